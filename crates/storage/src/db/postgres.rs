//! Opening PostgreSQL, and running a unit there.

use super::store::Shared;
use super::topic::Topics;
use super::unit::Unit;
use super::{Connection, topic};
use crate::error::Error;
use crate::migration;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, PgPool};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Connections of one node, reads and writes together: three nodes stay below PostgreSQL's default of 100.
const CONNECTIONS_MAX: u32 = 24;

/// How long a unit waits for a connection before it is told to try again.
const ACQUIRE_MAX: Duration = Duration::from_secs(10);

/// Prepared statements kept by each connection: more than there are statements.
const STATEMENTS_MAX: usize = 512;

/// A database may be set up to acknowledge before it syncs; what we acknowledge must be on disk.
const SYNCED: &str = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

pub(super) async fn open(url: &str, shared: &Arc<Shared>) -> Result<PgPool, Error> {
    let options = PgConnectOptions::from_str(url).map_err(|_| Error::Url("it is not a PostgreSQL URL"))?;
    match options.get_ssl_mode() {
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => {}
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => {
            return Err(Error::Url("TLS to PostgreSQL is not built in; connect over a trusted network"));
        }
    }
    let options = options
        .ssl_mode(PgSslMode::Disable)
        .application_name("trunkline")
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_MAX)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::query(SYNCED).execute(connection).await.map(drop) })
        })
        .connect_with(options)
        .await
        .map_err(|error| Error::Open(Box::new(error)))?;
    migration::run_postgres(&pool).await?;
    tokio::spawn(topic::announce_by_postgres(pool.clone(), shared.exchange.clone()));
    tokio::spawn(topic::listen_to_postgres(pool.clone(), shared.exchange.clone()));
    Ok(pool)
}

/// Runs a unit in its own transaction; PostgreSQL groups the syncs of concurrent ones by itself.
pub(super) async fn run(pool: PgPool, unit: Box<dyn Unit>, shared: Arc<Shared>) {
    let mut connection = match pool.acquire().await {
        Ok(connection) => Connection::postgres(connection),
        Err(sqlx::Error::PoolTimedOut) => return unit.reject(Error::Busy),
        Err(error) => return unit.reject(Error::Open(Box::new(error))),
    };
    if let Err(error) = connection.command("BEGIN").await {
        connection.discard();
        return unit.reject(Error::from_statement("BEGIN", error));
    }
    let done = unit.run(&mut connection).await;
    let ended = connection.command(if done.keep { "COMMIT" } else { "ROLLBACK" }).await;
    match ended {
        Ok(()) => {
            let topics = connection.take_topics();
            drop(connection);
            shared.committed(1, if done.keep { topics } else { Topics::default() });
            done.acknowledge(Ok(()));
        }
        Err(error) if done.keep => {
            connection.discard();
            // A database that answers has refused; one that does not may have committed.
            let unanswered = error.as_database_error().is_none();
            done.acknowledge(Err(if unanswered {
                Error::CommitUnknown(Box::new(error))
            } else {
                Error::from_statement("COMMIT", error)
            }));
        }
        Err(_) => {
            // The connection broke, which undoes the transaction; the unit's own error stands.
            connection.discard();
            done.acknowledge(Ok(()));
        }
    }
}
