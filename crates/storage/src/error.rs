//! What can go wrong, by what the caller can do about it.

use std::error::Error as StdError;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL names no database this program can open. The text never repeats a password.
    #[error("database URL: {0}")]
    Url(&'static str),
    /// The database could not be opened or reached, or the connection to it was lost; nothing was written.
    #[error("the database cannot be reached: {0}")]
    Open(#[source] Source),
    /// The database was written by a newer program; nothing was changed.
    #[error(
        "the database has schema version {found}, but this program knows versions up to {known}: \
         start the newer program, or restore a backup from before the upgrade"
    )]
    SchemaNewer {
        /// Highest version found in the database.
        found: i64,
        /// Highest version this program knows.
        known: i64,
    },
    /// A migration could not be applied; the ones before it were.
    #[error("the database schema could not be brought up to date: {0}")]
    Migration(#[source] Source),
    /// A row with this key exists already; nothing was written.
    #[error("a row with this key exists already ({statement})")]
    Duplicate {
        /// The statement that found it.
        statement: &'static str,
    },
    /// Others hold what was needed: the same unit may succeed when tried again.
    #[error("the database is busy; try again ({statement})")]
    Contended {
        /// The statement that had to give way.
        statement: &'static str,
    },
    /// Another program has held the database for longer than the store waits; nothing was written. The store has
    /// waited already, so to try again at once helps nobody.
    #[error("the database is held by another program")]
    Busy,
    /// The disk is full; nothing was written, and writing goes on when there is room.
    #[error("the disk under the database is full")]
    DiskFull,
    /// Whether the unit was written is not known; try again only what may be done twice.
    #[error("the database failed during a commit, which may or may not have been written: {0}")]
    CommitUnknown(#[source] Source),
    /// Writing has stopped for good, because an earlier write failed at the disk.
    ///
    /// After a failed sync the kernel may report the next one as good although pages were lost, so
    /// nothing is acknowledged any more until the program starts again and reads back what is there.
    #[error("writing has stopped after a disk failure; restart the program")]
    Stopped,
    /// A unit went on after one of its statements had failed; it was undone.
    #[error("a statement of the unit had failed, so the unit was undone")]
    Undone,
    /// The unit panicked; it was undone.
    #[error("the unit of work panicked and was undone")]
    Panicked,
    /// The database refused a statement.
    #[error("the database refused {statement}: {source}")]
    Statement {
        /// The statement.
        statement: &'static str,
        /// What the database said.
        #[source]
        source: Source,
    },
    /// A row holds what this program does not write.
    #[error("column {column} holds what cannot be read: {source}")]
    Unreadable {
        /// The column.
        column: &'static str,
        /// What was wrong with it.
        #[source]
        source: Source,
    },
}

/// The error underneath, of whichever crate.
type Source = Box<dyn StdError + Send + Sync>;

impl Error {
    pub(crate) fn from_statement(statement: &'static str, error: sqlx::Error) -> Self {
        match Reason::of(&error) {
            Reason::Duplicate => Self::Duplicate { statement },
            Reason::Contended => Self::Contended { statement },
            Reason::DiskFull => Self::DiskFull,
            Reason::Lost => Self::Open(Box::new(error)),
            Reason::DiskFailed | Reason::Other => Self::Statement { statement, source: Box::new(error) },
        }
    }
}

/// What an engine's error means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Duplicate,
    Contended,
    DiskFull,
    /// The file under SQLite could not be written, synced or understood.
    DiskFailed,
    /// The connection broke, or the server is on its way down or up.
    Lost,
    Other,
}

impl Reason {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let Some(error) = error.as_database_error() else {
            return if matches!(error, sqlx::Error::Io(_)) { Self::Lost } else { Self::Other };
        };
        if error.is_unique_violation() {
            return Self::Duplicate;
        }
        let code = error.code().unwrap_or_default();
        if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
            // Extended result codes hold the primary code in their low byte.
            return match code.parse::<u32>().map(|code| code & 0xff) {
                Ok(SQLITE_BUSY | SQLITE_LOCKED) => Self::Contended,
                Ok(SQLITE_FULL) => Self::DiskFull,
                Ok(SQLITE_IOERR | SQLITE_CORRUPT | SQLITE_NOTADB) => Self::DiskFailed,
                Ok(_) | Err(_) => Self::Other,
            };
        }
        match code.as_ref() {
            PG_SERIALIZATION_FAILURE | PG_DEADLOCK_DETECTED | PG_LOCK_NOT_AVAILABLE => Self::Contended,
            PG_DISK_FULL => Self::DiskFull,
            PG_ADMIN_SHUTDOWN | PG_CRASH_SHUTDOWN | PG_CANNOT_CONNECT_NOW => Self::Lost,
            code if code.starts_with(PG_CONNECTION_EXCEPTIONS) => Self::Lost,
            _ => Self::Other,
        }
    }
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_NOTADB: u32 = 26;

const PG_SERIALIZATION_FAILURE: &str = "40001";
const PG_DEADLOCK_DETECTED: &str = "40P01";
const PG_LOCK_NOT_AVAILABLE: &str = "55P03";
const PG_DISK_FULL: &str = "53100";
const PG_ADMIN_SHUTDOWN: &str = "57P01";
const PG_CRASH_SHUTDOWN: &str = "57P02";
const PG_CANNOT_CONNECT_NOW: &str = "57P03";
const PG_CONNECTION_EXCEPTIONS: &str = "08";
