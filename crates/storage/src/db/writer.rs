//! SQLite's one writer, with group commit.
//!
//! A disk syncs some hundred times a second; callers are many more. So the writer takes all the units
//! that have queued up while the last sync was under way, runs each in a savepoint of one transaction,
//! commits once, and only then tells every caller. The busier the store, the larger the groups.
//!
//! A savepoint is made with the first statement of its unit and released with the first of the next, so it costs
//! no trip to SQLite's thread of its own. Two names take turns: where one could not be made, to undo its unit
//! fails too, and never undoes the unit before, which was to stay.

use super::Sql;
use super::checkpoint::Due;
use super::connection::{Connection, Fault};
use super::store::Shared;
use super::unit::{Done, Unit};
use crate::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Units that may wait for the writer before callers are held back.
///
/// At 5,000 units a second that is a second of work: more would only hide that the disk is too slow.
pub(super) const QUEUE_UNITS_MAX: usize = 4096;

/// Most units of one transaction.
///
/// With 256 a disk of 400 syncs a second is far from being the limit, and a crash of the group (disk
/// full) touches few callers.
const GROUP_UNITS_MAX: usize = 256;

/// How long a group may go on gathering: it bounds what the first unit waits beyond its own sync.
const GROUP_GATHERING_MAX: Duration = Duration::from_millis(10);

/// What the writer is asked to do.
pub(super) enum Order {
    Run(Box<dyn Unit>),
    /// Ends the writer after everything ordered before.
    Close,
}

pub(super) struct Writer {
    connection: Connection,
    units: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
    checkpoint: Due,
    /// A write failed at the disk; see [`Error::Stopped`].
    stopped: bool,
    /// [`Order::Close`] came while a group was gathering.
    closing: bool,
}

/// The savepoint of the unit that runs.
#[derive(Clone, Copy)]
enum Savepoint {
    Even,
    Odd,
}

impl Savepoint {
    /// Goes on to that of the next unit, and returns what makes it.
    fn next(&mut self) -> &'static [Sql] {
        match self {
            Self::Even => {
                *self = Self::Odd;
                &[RELEASE_EVEN, SAVEPOINT_ODD]
            }
            Self::Odd => {
                *self = Self::Even;
                &[RELEASE_ODD, SAVEPOINT_EVEN]
            }
        }
    }

    /// The savepoint outlives its own undoing.
    fn undo(self) -> &'static str {
        match self {
            Self::Even => "ROLLBACK TO even",
            Self::Odd => "ROLLBACK TO odd",
        }
    }
}

const SAVEPOINT_EVEN: Sql = command("SAVEPOINT even");
const SAVEPOINT_ODD: Sql = command("SAVEPOINT odd");
const RELEASE_EVEN: Sql = command("RELEASE even");
const RELEASE_ODD: Sql = command("RELEASE odd");

const fn command(text: &'static str) -> Sql {
    Sql { name: text, sqlite: text, postgres: text }
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        units: mpsc::Receiver<Order>,
        shared: Arc<Shared>,
        checkpoint: Due,
    ) -> Self {
        Self { connection, units, shared, checkpoint, stopped: false, closing: false }
    }

    /// Serves units until every store is gone or one was closed.
    pub(super) async fn run(mut self) {
        while !self.closing
            && let Some(first) = self.units.recv().await
        {
            let first = match first {
                Order::Run(unit) => unit,
                Order::Close => break,
            };
            if self.stopped {
                first.reject(Error::Stopped);
                continue;
            }
            match self.connection.command("BEGIN IMMEDIATE").await {
                Ok(()) => self.serve_group(first).await,
                // Another process has held the database for longer than the busy timeout: whoever came meanwhile has
                // waited long enough.
                Err(_) => self.refuse_all(first),
            }
        }
    }

    /// Runs units, each in a savepoint so that its failure undoes only itself, and commits them together.
    ///
    /// SQLite ends the transaction by itself when the disk is full or fails; then the savepoint is gone too,
    /// and the next command about it says so.
    async fn serve_group(&mut self, first: Box<dyn Unit>) {
        let began = Instant::now();
        let mut group = Vec::new();
        let mut next = Some(first);
        let mut savepoint = Savepoint::Even;
        self.connection.send_ahead(&[SAVEPOINT_EVEN]);
        while let Some(unit) = next {
            let done = unit.run(&mut self.connection).await;
            let keep = done.keep;
            group.push(done);
            // Where the savepoint has not gone yet the unit has done nothing, and the next may have it.
            if !self.connection.is_ahead() {
                if keep {
                    self.connection.send_ahead(savepoint.next());
                } else if let Err(error) = self.connection.command(savepoint.undo()).await {
                    return self.abandon(group, error).await;
                }
            }
            let full = group.len() >= GROUP_UNITS_MAX || began.elapsed() >= GROUP_GATHERING_MAX;
            next = if full { None } else { self.queued() };
        }
        // Takes the savepoint with it that is left.
        if let Err(error) = self.connection.command("COMMIT").await {
            return self.abandon(group, error).await;
        }
        // A statement met a broken disk and its unit alone was undone: what is written here is good, but
        // nothing more is.
        self.stopped |= self.connection.take_fault() == Some(Fault::DiskFailed);
        let topics = self.connection.take_topics();
        self.shared.committed(group.len(), topics);
        self.checkpoint.committed(group.len());
        group.into_iter().for_each(|done| done.acknowledge(Ok(())));
    }

    fn queued(&mut self) -> Option<Box<dyn Unit>> {
        match self.units.try_recv().ok()? {
            Order::Run(unit) => Some(unit),
            Order::Close => {
                self.closing = true;
                None
            }
        }
    }

    /// Undoes the whole group and tells every caller why.
    async fn abandon(&mut self, group: Vec<Done>, error: sqlx::Error) {
        // Fails when SQLite has rolled back already, which is as good.
        let _ = self.connection.command("ROLLBACK").await;
        let fault = self.connection.take_fault();
        self.stopped |= fault == Some(Fault::DiskFailed);
        if self.stopped {
            tracing::error!(error = %error, "writing has stopped after a disk failure");
        }
        for done in group {
            done.acknowledge(Err(Self::abandoned(fault)));
        }
    }

    fn refuse_all(&mut self, first: Box<dyn Unit>) {
        let fault = self.connection.take_fault();
        self.stopped |= fault == Some(Fault::DiskFailed);
        let waiting = self.units.len();
        first.reject(Self::abandoned(fault));
        for _ in 0..waiting {
            let Some(unit) = self.queued() else { break };
            unit.reject(Self::abandoned(fault));
        }
    }

    fn abandoned(fault: Option<Fault>) -> Error {
        match fault {
            Some(Fault::DiskFailed) => Error::CommitUnknown("a write or a sync failed at the disk".into()),
            Some(Fault::DiskFull) => Error::DiskFull,
            // Another process holds the database, or a unit made SQLite roll everything back.
            None => Error::Busy,
        }
    }
}
