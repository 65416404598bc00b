//! Opening a database: which, whose, and how old.

use crate::database::Database;
use crate::writing::write;
use sqlx::Connection as _;
use std::os::unix::fs::PermissionsExt;
use trunkline_storage::{Error, Store, calls, numbers};

crate::on_both_engines! {
    a_schema_newer_than_the_program_is_refused_and_left_alone,
    a_migration_that_was_changed_afterwards_is_refused,
}

async fn a_schema_newer_than_the_program_is_refused_and_left_alone(database: Database) {
    database.open().await.close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (9001, 'from the future', TRUE, '', 0)";
    run(&database, newer).await;

    let Err(Error::SchemaNewer { found, known }) = Store::open(database.url()).await else {
        panic!("opened a database of a newer program");
    };
    assert_eq!(found, 9001);
    assert!(known < found);

    run(&database, "DELETE FROM _sqlx_migrations WHERE version = 9001").await;
    let store = database.open().await;
    write!(store, |db| calls::insert(db, &[crate::calls::answered_call(1)]).await);
}

async fn a_migration_that_was_changed_afterwards_is_refused(database: Database) {
    database.open().await.close().await;
    run(&database, "UPDATE _sqlx_migrations SET checksum = '' WHERE version = 1").await;
    assert!(matches!(Store::open(database.url()).await, Err(Error::Migration(_))));
}

async fn run(database: &Database, sql: &'static str) {
    if database.url().starts_with("sqlite:") {
        let mut connection = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn urls_that_name_no_database_are_refused() {
    for url in ["", "trunkline.db", "mysql://localhost/x", "sqlite:", "sqlite::memory:", "postgres://[bad"] {
        assert!(matches!(Store::open(url).await, Err(Error::Url(_))), "{url:?}");
    }
    let demands_tls = Store::open("postgres://u:secret@localhost/x?sslmode=verify-full").await;
    let Err(error @ Error::Url(_)) = demands_tls else { panic!("TLS was promised") };
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn nothing_is_acknowledged_before_a_sync() {
    let database = Database::sqlite();
    let store = database.open().await;
    // 2 is FULL: with less a commit is not synced in WAL mode.
    assert_eq!(store.durability().await.unwrap(), "journal_mode=wal synchronous=2");
    let database = Database::postgres();
    let store = database.open().await;
    assert_eq!(store.durability().await.unwrap(), "synchronous_commit=on");
}

#[tokio::test]
async fn the_file_is_readable_by_its_owner_alone() {
    let database = Database::sqlite();
    let store = database.open().await;
    write!(store, |db| calls::insert(db, &[crate::calls::answered_call(1)]).await);
    let path = std::path::PathBuf::from(database.url().strip_prefix("sqlite:").unwrap());
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_is_out_of_reach_and_no_fault_of_the_statement() {
    let mut database = Database::postgres();
    let store = database.open().await;
    let mut db = store.read().await.unwrap();
    numbers::count(&mut db).await.unwrap();
    database.stop();
    let lost = numbers::count(&mut db).await;
    assert!(matches!(lost, Err(Error::Open(_))), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_while_another_program_holds_the_database_is_told_so_together() {
    let database = Database::sqlite();
    let store = database.open().await;
    let mut other = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        waiting.spawn(async move { store.write(|_| Box::pin(async { Ok::<_, Error>(()) })).await });
    }
    for told in waiting.join_all().await {
        assert!(matches!(told, Err(Error::Busy)), "{told:?}");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    store.write(|_| Box::pin(async { Ok::<_, Error>(()) })).await.unwrap();
}
