//! What time does to numbers when nobody asks: months begin, holds run out, rest ends, records grow old.
//!
//! Nothing depends on its being prompt: a hold that ran out holds nothing (INV-4), and a month charged late is
//! dated when it began.

use super::unit::{self, Undone};
use crate::error::ApiError;
use crate::state::State;
use trunkline_storage::numbers::{Act, Rest};
use trunkline_storage::{ledger, numbers, operations, repeatability, reservations};

/// What a round of upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Months charged.
    pub renewed: usize,
    /// Numbers given back because the time is over that they were bought for (PROV-04).
    pub ended: usize,
    /// Numbers moved on: out of holds, out of their last month into quarantine, out of quarantine.
    pub moved: usize,
    /// Searches and reservations that ran out.
    pub expired: u64,
    /// Records of reservations, operations and repeated requests forgotten.
    pub forgotten: u64,
}

impl State {
    /// Does what has come due. Meant for every minute or so; several programs on one database may do it at once.
    ///
    /// # Errors
    /// What the store could not do, as a client would be told it; the log says more. What was done before stays.
    pub async fn upkeep(&self) -> Result<Upkeep, ApiError> {
        let mut done = Upkeep::default();
        for _ in 0..BATCHES_MAX {
            let renewed = self.renew().await?;
            let ended = self.end().await?;
            let moved = self.sweep().await?;
            let expired = self.expire().await?;
            done.renewed += renewed;
            done.ended += ended;
            done.moved += moved;
            done.expired += expired;
            if renewed == 0 && ended == 0 && moved == 0 && expired == 0 {
                break;
            }
        }
        for _ in 0..BATCHES_MAX {
            let forgotten = self.forget().await?;
            done.forgotten += forgotten;
            if forgotten == 0 {
                break;
            }
        }
        Ok(done)
    }

    async fn renew(&self) -> Result<usize, Undone> {
        let now_unix_ms = self.now_unix_ms();
        unit::write(self, move |db| {
            Box::pin(async move {
                let mut renewed = 0;
                for due in ledger::due_renewals(db, now_unix_ms, BATCH).await? {
                    renewed += usize::from(ledger::renew(db, &due).await?);
                }
                Ok(renewed)
            })
        })
        .await
    }

    async fn end(&self) -> Result<usize, Undone> {
        let now_unix_ms = self.now_unix_ms();
        unit::write(self, move |db| {
            let act = Act { actor: "sweeper", now_unix_ms };
            Box::pin(async move {
                let over = numbers::over(db, now_unix_ms, BATCH).await?;
                for ended in &over {
                    numbers::release(db, ended.number, ended.resource, Rest::EndOfCycle, 0, act).await?;
                }
                Ok(over.len())
            })
        })
        .await
    }

    async fn expire(&self) -> Result<u64, Undone> {
        let now_unix_ms = self.now_unix_ms();
        unit::write(self, move |db| {
            Box::pin(async move { Ok(reservations::expire(db, now_unix_ms, BATCH).await?) })
        })
        .await
    }

    async fn sweep(&self) -> Result<usize, Undone> {
        let now_unix_ms = self.now_unix_ms();
        let quarantine_ms = i64::from(self.rules.load().active().1.release.quarantine_days) * DAY_MS;
        unit::write(self, move |db| {
            let act = Act { actor: "sweeper", now_unix_ms };
            Box::pin(async move { Ok(numbers::sweep(db, quarantine_ms, BATCH, act).await?) })
        })
        .await
    }

    async fn forget(&self) -> Result<u64, Undone> {
        let now_unix_ms = self.now_unix_ms();
        let old = now_unix_ms - KEPT_DAYS * DAY_MS;
        unit::write(self, move |db| {
            Box::pin(async move {
                let mut forgotten = reservations::prune(db, old, BATCH).await?;
                forgotten += operations::prune(db, old, BATCH).await?;
                forgotten += repeatability::prune(db, now_unix_ms, BATCH).await?;
                Ok(forgotten)
            })
        })
        .await
    }
}

/// Rows in one transaction: others wait for it.
const BATCH: u16 = 100;
/// The rest waits for the next round, so that no round is without end.
const BATCHES_MAX: usize = 1_000;
/// A reservation is deleted after a month (PROV-11), and operations with it.
const KEPT_DAYS: i64 = 31;
const DAY_MS: i64 = 86_400_000;
