//! Opening SQLite: one writer, several readers.

use super::checkpoint::{Due, LOG_PAGES_MAX};
use super::store::Shared;
use super::writer::{Order, QUEUE_UNITS_MAX, Writer};
use super::{Connection, checkpoint, topic};
use crate::error::Error;
use crate::migration;
use sqlx::ConnectOptions;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Connections that read, one of them watching for other programs' commits, and at times one folding the log. A read is
/// a fraction of a millisecond and runs on its own thread; more than the cores of a small machine would only add threads.
const READERS_MAX: u32 = 6;

/// Memory of the writer for pages, in KiB as SQLite wants it said: the upper levels of every index, and what a group of
/// units changes.
const WRITER_CACHE: &str = "-16384";

/// How long the writer waits for another process, such as the command line, to finish its transaction.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Prepared statements kept by each connection: more than there are statements.
const STATEMENTS_MAX: usize = 512;

pub(super) struct Opened {
    pub(super) readers: SqlitePool,
    pub(super) writers: SqlitePool,
    pub(super) orders: mpsc::Sender<Order>,
}

pub(super) async fn open(path: &str, shared: &Arc<Shared>) -> Result<Opened, Error> {
    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
    if path.as_os_str().is_empty() || path.to_str().is_some_and(|path| path.contains(":memory:")) {
        return Err(Error::Url("sqlite: needs the path of a file"));
    }
    create_private(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_MAX)
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging();
    let writers = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    let writing =
        options.clone().pragma("cache_size", WRITER_CACHE).pragma("wal_autocheckpoint", LOG_PAGES_MAX);
    let writers = writers.connect_with(writing).await.map_err(|error| Error::Open(Box::new(error)))?;
    migration::run_sqlite(&writers).await?;
    // A connection to a file does not break: asking it whether it is there would double the trips of a short read.
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None);
    let readers = readers.connect_lazy_with(options.pragma("query_only", "ON"));

    let (orders, queue) = mpsc::channel(QUEUE_UNITS_MAX);
    let connection = writers.acquire().await.map_err(|error| Error::Open(Box::new(error)))?;
    tokio::spawn(topic::watch_sqlite(readers.clone(), shared.exchange.clone()));
    let due = Due::default();
    tokio::spawn(checkpoint::run(readers.clone(), due.word()));
    tokio::spawn(Writer::new(Connection::sqlite(connection), queue, shared.clone(), due).run());
    Ok(Opened { readers, writers, orders })
}

/// Makes the file before SQLite does, readable by its owner alone: it will hold access keys. SQLite gives
/// its companion files the same mode.
fn create_private(path: &Path) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map(drop).map_err(|error| Error::Open(Box::new(error)))
}
