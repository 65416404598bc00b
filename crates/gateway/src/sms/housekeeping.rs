//! What is forgotten in time: wishes after a day, receipts that matched nothing after three, messages after the
//! configured time.

use crate::config::Sms;
use std::time::{Duration, SystemTime};
use tracing::{debug, warn};
use trunkline_model::timestamp::{DAY_MS, civil};
use trunkline_storage::messages::{self, brand_day, history, inbound, unmatched};
use trunkline_storage::{BoxFuture, Connection, Error, Store};

/// Between two rounds: what is to be forgotten may stay a minute longer.
const EVERY: Duration = Duration::from_secs(60);

/// Rows of one unit: others wait for it.
const AT_ONCE: u16 = 500;

/// Units of one kind in a round: an hour's worth of 5,000 messages a second in a day's rounds.
const UNITS_MAX: u32 = 500;

/// Forgets for as long as the process runs.
pub(super) async fn run(store: Store, config: Sms) {
    let keep_ms = i64::try_from(config.keep.as_millis()).unwrap_or(i64::MAX);
    loop {
        let epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = i64::try_from(epoch.as_millis()).unwrap_or(i64::MAX);
        if let Err(error) = round(&store, now, now.saturating_sub(keep_ms)).await {
            warn!(%error, "old texts could not be removed; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn round(store: &Store, now: i64, until: i64) -> Result<(), Error> {
    let requests =
        repeat(store, move |db| Box::pin(async move { messages::forget_requests(db, now, AT_ONCE).await }))
            .await?;
    let receipts =
        repeat(store, move |db| Box::pin(async move { unmatched::prune(db, now, AT_ONCE).await })).await?;
    let sent =
        repeat(store, move |db| Box::pin(async move { history::prune(db, until, AT_ONCE).await })).await?;
    let received =
        repeat(store, move |db| Box::pin(async move { inbound::prune(db, until, AT_ONCE).await })).await?;
    let (year, month, day) = civil(now.div_euclid(DAY_MS) - BRAND_DAYS_KEPT);
    let before = format!("{year:04}-{month:02}-{day:02}");
    let days: Result<u64, Error> =
        store.write(move |db| Box::pin(async move { brand_day::prune(db, &before).await })).await;
    debug!(requests, receipts, sent, received, brand_days = days?, "forgotten");
    Ok(())
}

/// A brand's day is the present one in some time zone; the rest is for whoever wonders about yesterday.
const BRAND_DAYS_KEPT: i64 = 7;

/// Runs a unit until it finds no more, and returns how many rows it removed.
async fn repeat(
    store: &Store,
    unit: impl for<'c> Fn(&'c mut Connection) -> BoxFuture<'c, Result<u64, Error>> + Clone + Send + 'static,
) -> Result<u64, Error> {
    let mut removed = 0;
    for _ in 0..UNITS_MAX {
        let count: u64 = store.write(unit.clone()).await?;
        removed += count;
        if count < u64::from(AT_ONCE) / 2 {
            break;
        }
    }
    Ok(removed)
}
