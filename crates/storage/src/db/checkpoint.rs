//! Folds SQLite's log into its file beside the writer.
//!
//! By itself SQLite does so inside the commit that finds the log long, and whoever waits for that commit waits for thousands
//! of pages and two more syncs. A connection that reads may do it too, while the writer goes on; then little is left when
//! the log has grown so long ([`LOG_PAGES_MAX`]) that the writer has to, which alone can start it over.

use sqlx::SqlitePool;
use std::sync::Arc;
use tokio::sync::Notify;

/// Units between two times: with the pages that they change, some megabytes.
const UNITS: usize = 500;

/// Pages of 4 KiB in the log from which on the writer folds it: 64 MiB on the disk.
pub(super) const LOG_PAGES_MAX: &str = "16384";

/// Counts the units that the writer commits.
#[derive(Default)]
pub(super) struct Due {
    units: usize,
    word: Arc<Notify>,
}

impl Due {
    pub(super) fn word(&self) -> Arc<Notify> {
        self.word.clone()
    }

    pub(super) fn committed(&mut self, units: usize) {
        self.units += units;
        if self.units >= UNITS {
            self.units = 0;
            self.word.notify_one();
        }
    }
}

/// Folds the log whenever it is due, until the store is closed.
pub(super) async fn run(pool: SqlitePool, due: Arc<Notify>) {
    loop {
        tokio::select! {
            () = due.notified() => {}
            () = pool.close_event() => return,
        }
        let Ok(mut connection) = pool.acquire().await else { return };
        // Of what readers still look at, and of what is written meanwhile, the rest is folded another time.
        if let Err(error) = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *connection).await {
            tracing::debug!(error = %error, "the log was not folded into the file");
        }
    }
}
