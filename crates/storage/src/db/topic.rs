//! Word that something changed, for those who would otherwise poll.
//!
//! Within the program a change is told through a channel after its commit. To other programs on the same
//! database PostgreSQL carries it (`LISTEN`, `NOTIFY`); for SQLite the file is looked at twice a second.
//! Word may come late, twice or without need, and is lost in a crash: it wakes, it does not inform, and
//! whoever must not miss a change looks for himself from time to time too.

use sqlx::pool::CloseEvent;
use sqlx::postgres::PgListener;
use sqlx::{PgPool, SqlitePool};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Jobs are due.
    Jobs,
    /// Numbers, trunks or routes: the routing table has to be built again.
    Routing,
    /// Resources, their keys or hosts, or their event subscriptions.
    Resources,
    /// Texts are queued.
    Messages,
}

impl Topic {
    const ALL: [Self; 4] = [Self::Jobs, Self::Routing, Self::Resources, Self::Messages];

    fn bit(self) -> u8 {
        match self {
            Self::Jobs => 1,
            Self::Routing => 2,
            Self::Resources => 4,
            Self::Messages => 8,
        }
    }
}

/// Several topics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Topics(u8);

impl Topics {
    const ALL: Self = Self(15);

    pub(super) fn insert(&mut self, topic: Topic) {
        self.0 |= topic.bit();
    }
}

/// Waits for word on one topic.
pub struct Subscription(watch::Receiver<u64>);

impl Subscription {
    /// Has the next [`changed`](Self::changed) return at once, for whoever could not act on the last word.
    pub fn again(&mut self) {
        self.0.mark_changed();
    }

    /// Returns when there was word since the last call; at once if there was some already.
    ///
    /// Never returns again after the store is gone.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where word is given and taken.
pub(super) struct Exchange {
    jobs: watch::Sender<u64>,
    routing: watch::Sender<u64>,
    resources: watch::Sender<u64>,
    messages: watch::Sender<u64>,
    /// Topics that other programs still have to be told of.
    unannounced: AtomicU8,
    announce: Notify,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            jobs: watch::Sender::new(0),
            routing: watch::Sender::new(0),
            resources: watch::Sender::new(0),
            messages: watch::Sender::new(0),
            unannounced: AtomicU8::new(0),
            announce: Notify::new(),
        }
    }

    pub(super) fn subscribe(&self, topic: Topic) -> Subscription {
        Subscription(self.sender(topic).subscribe())
    }

    /// Gives word of a commit of ours.
    pub(super) fn publish(&self, topics: Topics) {
        if topics == Topics::default() {
            return;
        }
        self.tell(topics);
        self.unannounced.fetch_or(topics.0, Ordering::AcqRel);
        self.announce.notify_one();
    }

    /// Tells this program.
    fn tell(&self, topics: Topics) {
        for topic in Topic::ALL {
            if topics.0 & topic.bit() != 0 {
                self.sender(topic).send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    fn sender(&self, topic: Topic) -> &watch::Sender<u64> {
        match topic {
            Topic::Jobs => &self.jobs,
            Topic::Routing => &self.routing,
            Topic::Resources => &self.resources,
            Topic::Messages => &self.messages,
        }
    }
}

/// Passes word on to other programs, many commits in one message.
///
/// It is not part of the commits themselves, because PostgreSQL lets only one transaction that notifies
/// commit at a time.
pub(super) async fn announce_by_postgres(pool: PgPool, exchange: Arc<Exchange>) {
    loop {
        tokio::select! {
            () = exchange.announce.notified() => {}
            () = pool.close_event() => return,
        }
        let bits = exchange.unannounced.swap(0, Ordering::AcqRel);
        if bits != 0 {
            let notify = sqlx::query(NOTIFY).bind(bits.to_string());
            if let Err(error) = notify.execute(&pool).await {
                tracing::debug!(error = %error, "word of a change was not passed on");
            }
        }
        tokio::time::sleep(ANNOUNCE_INTERVAL).await;
    }
}

/// Takes the word of other programs.
pub(super) async fn listen_to_postgres(pool: PgPool, exchange: Arc<Exchange>) {
    while !pool.is_closed() {
        if let Err(error) = listen(&pool, &exchange).await {
            tracing::debug!(error = %error, "not listening for changes of other programs");
        }
        // Whatever was said in between was missed.
        exchange.tell(Topics::ALL);
        pause(LISTEN_AGAIN_AFTER, pool.close_event()).await;
    }
}

/// Waits for a time, or until the store is closed.
async fn pause(time: Duration, closed: CloseEvent) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = closed => {}
    }
}

async fn listen(pool: &PgPool, exchange: &Exchange) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    while let Some(word) = listener.try_recv().await? {
        exchange.tell(word.payload().parse().map_or(Topics::ALL, Topics));
    }
    Ok(())
}

/// Watches for commits of other programs, such as the command line.
pub(super) async fn watch_sqlite(pool: SqlitePool, exchange: Arc<Exchange>) {
    // The number is the connection's own view, so it must be one connection throughout.
    let Ok(mut connection) = pool.acquire().await else { return };
    let mut last = None;
    while !pool.is_closed() {
        let version = sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(&mut *connection).await;
        match (version, last) {
            (Ok(version), Some(seen)) if version != seen => {
                last = Some(version);
                exchange.tell(Topics::ALL);
            }
            (Ok(version), _) => last = Some(version),
            (Err(error), _) => tracing::debug!(error = %error, "the file's version cannot be read"),
        }
        pause(FILE_INTERVAL, pool.close_event()).await;
    }
}

const NOTIFY: &str = "SELECT pg_notify('trunkline', $1)";
const CHANNEL: &str = "trunkline";

/// At a hundred messages a second to each node, word is late by no more than anyone notices.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(10);

/// A database that restarts is back in seconds.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A person at the command line does not notice half a second.
const FILE_INTERVAL: Duration = Duration::from_millis(500);
