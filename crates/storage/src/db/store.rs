//! The store: open it, write units, read.

use super::topic::{Exchange, Subscription, Topic, Topics};
use super::unit::unit;
use super::writer::Order;
use super::{BoxFuture, Connection, postgres, sqlite};
use crate::error::Error;
use sqlx::{PgPool, SqlitePool};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// The database. Clones share it.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    shared: Arc<Shared>,
}

enum Engine {
    Sqlite { readers: SqlitePool, writers: SqlitePool, orders: mpsc::Sender<Order> },
    Postgres { pool: PgPool },
}

impl Store {
    /// Opens `sqlite:PATH` (made when it is missing) or `postgres://…`, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Open`], [`Error::SchemaNewer`], [`Error::Migration`].
    pub async fn open(url: &str) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new());
        let engine = if let Some(path) = url.strip_prefix("sqlite:") {
            let sqlite::Opened { readers, writers, orders } = sqlite::open(path, &shared).await?;
            Engine::Sqlite { readers, writers, orders }
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Engine::Postgres { pool: postgres::open(url, &shared).await? }
        } else {
            return Err(Error::Url("it must begin with sqlite: or postgres:"));
        };
        Ok(Self { engine: Arc::new(engine), shared })
    }

    /// Runs a unit of work in one transaction and returns its result when that is on disk.
    ///
    /// An error of the unit undoes what it did. Once called it runs to its end, even if the caller
    /// stops waiting. It must wait for nothing but its own statements: with SQLite everyone waits for it.
    ///
    /// # Errors
    /// The unit's own; [`Error::Contended`] when trying again may help, [`Error::Busy`], [`Error::DiskFull`],
    /// [`Error::CommitUnknown`], [`Error::Stopped`], [`Error::Undone`], [`Error::Panicked`].
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (unit, result) = unit(work);
        match &*self.engine {
            Engine::Sqlite { orders, .. } => {
                orders.send(Order::Run(unit)).await.map_err(|_| Error::Stopped)?;
            }
            Engine::Postgres { pool } => {
                tokio::spawn(postgres::run(pool.clone(), unit, self.shared.clone()));
            }
        }
        // The sender is dropped unanswered only when the store was closed under the unit.
        result.await.unwrap_or_else(|_| Err(Error::Stopped.into()))
    }

    /// Returns a connection to read with; it never waits for writers.
    ///
    /// # Errors
    /// [`Error::Open`] when none can be had.
    pub async fn read(&self) -> Result<Connection, Error> {
        match &*self.engine {
            Engine::Sqlite { readers, .. } => readers.acquire().await.map(Connection::sqlite),
            Engine::Postgres { pool } => pool.acquire().await.map(Connection::postgres),
        }
        .map_err(|error| Error::Open(Box::new(error)))
    }

    /// Returns where word of a topic comes, from this program and from others on the same database.
    pub fn subscribe(&self, topic: Topic) -> Subscription {
        self.shared.exchange.subscribe(topic)
    }

    /// Finishes what was ordered and closes every connection; for SQLite the log is folded into the file.
    pub async fn close(&self) {
        match &*self.engine {
            Engine::Sqlite { readers, writers, orders } => {
                // Fails when another clone has closed the store, which is what is wanted.
                let _ = orders.send(Order::Close).await;
                readers.close().await;
                writers.close().await;
            }
            Engine::Postgres { pool } => pool.close().await,
        }
    }

    /// Has the engine parse and plan every statement of this program, without running any, and returns how
    /// many there are.
    ///
    /// # Errors
    /// The first statement that it refuses: the schema is damaged.
    pub async fn prepare_all(&self) -> Result<usize, Error> {
        let mut connection = self.read().await?;
        let mut count = 0;
        for sql in crate::STATEMENTS.iter().copied().flatten() {
            connection.prepare(*sql).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Returns the settings that decide whether a commit is on disk when it returns, as the database says
    /// them of a connection that writes.
    ///
    /// # Errors
    /// Those of a unit.
    pub async fn durability(&self) -> Result<String, Error> {
        self.write(|connection| Box::pin(connection.durability())).await
    }

    /// Returns what was written since the store was opened.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            units: self.shared.units.load(Ordering::Relaxed),
            commits: self.shared.commits.load(Ordering::Relaxed),
            waiting: match &*self.engine {
                Engine::Sqlite { orders, .. } => orders.max_capacity() - orders.capacity(),
                Engine::Postgres { .. } => 0,
            },
        }
    }
}

impl Drop for Engine {
    /// Marks the pools closed, which ends the tasks that watch for changes.
    fn drop(&mut self) {
        match self {
            Self::Sqlite { readers, .. } => drop(readers.close()),
            Self::Postgres { pool } => drop(pool.close()),
        }
    }
}

/// What was written since a store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Units whose fate was told after a commit.
    pub units: u64,
    /// Commits, each one sync of the disk: `units / commits` is the mean size of a group.
    pub commits: u64,
    /// Units that wait for SQLite's writer now.
    pub waiting: usize,
}

/// What the store shares with those who commit for it.
pub(super) struct Shared {
    units: AtomicU64,
    commits: AtomicU64,
    pub(super) exchange: Arc<Exchange>,
}

impl Shared {
    fn new() -> Self {
        Self { units: AtomicU64::new(0), commits: AtomicU64::new(0), exchange: Arc::new(Exchange::new()) }
    }

    /// Counts a commit and gives word of it.
    pub(super) fn committed(&self, units: usize, topics: Topics) {
        self.units.fetch_add(units as u64, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.exchange.publish(topics);
    }
}
