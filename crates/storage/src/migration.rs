//! The schema, embedded, and how a database is brought up to it.
//!
//! Both engines have the same versions. A migration that has been released is never changed: its
//! checksum is kept in the database.

use crate::error::Error;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgPool, SqlSafeStr, SqlitePool};
use std::time::Duration;

macro_rules! migration {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        )
    };
}

/// Name, and the text for SQLite and for PostgreSQL; the version is the position, counted from one.
const MIGRATIONS: &[(&str, &str, &str)] = &[
    migration!("0001_calls"),
    migration!("0002_jobs"),
    migration!("0003_resources"),
    migration!("0004_numbers"),
    migration!("0005_requests"),
    migration!("0006_bounds"),
    migration!("0007_signalling"),
    migration!("0008_messages"),
    migration!("0009_events"),
    migration!("0010_users"),
    migration!("0010_texts_of_resources"),
];

/// How often a fresh SQLite file is tried again when another process migrates it at the same moment.
const ATTEMPTS_MAX: u32 = 20;

/// Between two of those attempts; a migration takes a few milliseconds.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run_sqlite(pool: &SqlitePool) -> Result<(), Error> {
    let migrator = migrator(|&(_, sqlite, _)| sqlite);
    let mut attempt = 1;
    loop {
        match migrator.run(pool).await {
            Ok(()) => return Ok(()),
            // sqlx takes no lock for SQLite: whoever comes second finds the table made, and then up to date.
            Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)) if attempt < ATTEMPTS_MAX => {
                attempt += 1;
                tokio::time::sleep(ATTEMPT_INTERVAL).await;
            }
            Err(error) => return Err(failure(error)),
        }
    }
}

pub(crate) async fn run_postgres(pool: &PgPool) -> Result<(), Error> {
    migrator(|&(_, _, postgres)| postgres).run(pool).await.map_err(failure)
}

fn migrator(text: fn(&(&'static str, &'static str, &'static str)) -> &'static str) -> Migrator {
    let migrations = MIGRATIONS.iter().zip(1..).map(|(migration, version)| {
        let sql = text(migration).into_sql_str();
        Migration::new(version, migration.0.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

fn failure(error: MigrateError) -> Error {
    let known = MIGRATIONS.len() as i64;
    match error {
        MigrateError::VersionMissing(found) if found > known => Error::SchemaNewer { found, known },
        error => Error::Migration(Box::new(error)),
    }
}
