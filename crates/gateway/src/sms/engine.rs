//! The engine: owns the router, what waits for carriers and what is with them, and turns what they say into commits.
//!
//! ```text
//!   store --claims--> Work --decide--> queue of a carrier --dispatch--> link
//!     ^                                                                   |
//!     +---- Batch (one commit at a time) <--- Accepted, Refused, Inbound -+
//!                 |
//!                 +--> acknowledgements to carriers
//! ```
//!
//! One task runs all of it. It waits for the database nowhere: reads and commits are futures that it looks after while
//! carriers go on. One commit is under way at a time and the next one gathers meanwhile, so that what is written keeps
//! the order in which it happened.

mod claim;
mod dispatch;
mod inbound;
mod outcome;
mod receipts;
mod state;
mod stop;

use super::batch::{self, Batch, Committed};
use super::carrier::{EVENTS_MAX, Event, LinkId};
use super::housekeeping;
use super::http_carrier::{self, Hooks};
use super::law::Law;
use super::smpp;
use crate::app::random;
use crate::config::{CarrierReach, Sms};
use crate::metrics::Metrics;
use claim::Claims;
pub(super) use dispatch::{billed, purpose as router_purpose};
use receipts::Receipts;
use state::{Carrier, Link, Work};
use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use stop::Stopping;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use tracing::{error, info, warn};
use trunkline_model::TrunkId;
use trunkline_sms::router::{Router, Routes};
use trunkline_sms::segment::References;
use trunkline_sms::session::backoff::{Backoff, Jitter};
use trunkline_storage::messages::{Status, queue};
use trunkline_storage::{Error, Store, Subscription, Topic};

/// Work that the database does for the engine.
type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// How messages ended, each with the carrier that had it.
type Ends = Vec<(Option<TrunkId>, Status)>;

/// The engine's end that the process holds.
pub(crate) struct Handle {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    housekeeping: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Claims nothing new, waits for what is with carriers, gives the rest back to the store, and ends.
    pub(crate) async fn stop(self) {
        self.housekeeping.abort();
        // Fails when the engine has ended by itself, which is what is wanted.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            error!(%error, "the SMS engine failed");
        }
    }
}

/// Starts the engine and the links of its carriers.
///
/// # Errors
/// The database, or the file of a password, cannot be read.
pub(crate) async fn start(
    config: &Sms,
    node: String,
    store: Store,
    hooks: &Hooks,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Handle> {
    let law = Arc::new(Law::new(config));
    let word = store.subscribe(Topic::Messages);
    recover(&store, &node).await?;
    let (events_out, events) = mpsc::channel(EVENTS_MAX);
    let mut carriers = BTreeMap::new();
    for carrier in &config.carriers {
        let orders = match &carrier.reach {
            CarrierReach::Smpp(reach) => smpp::start(carrier, reach, &events_out)?,
            CarrierReach::Http(reach) => http_carrier::start(carrier, reach, hooks, &events_out)?,
        };
        let links = orders.into_iter().map(Link::new).collect();
        carriers.insert(carrier.id.clone(), Carrier::new(carrier.clone(), links));
    }
    let mut router = Router::new(Routes::new(config.routes.clone(), config.preference));
    if !config.quiet_hours {
        router.quiet_hours = None;
    }
    for carrier in &config.carriers {
        router.limits.set_trunk_rate(carrier.id.clone(), carrier.rate);
    }
    let (stop, stopped) = oneshot::channel();
    let mut engine = Engine {
        store,
        law,
        metrics,
        events,
        word,
        stopped: Some(stopped),
        carriers,
        router,
        works: HashMap::new(),
        claims: Claims::new(node),
        receipts: Receipts::default(),
        references: References::new(random()),
        jitter: Jitter::new(random()),
        brand_days: dispatch::BrandDays::default(),
        opted_out: HashMap::new(),
        batch: Batch::default(),
        parts: HashMap::new(),
        part_numbers: 0,
        writing: None,
        write_failures: 0,
        expiring: None,
        expire_at: Instant::now(),
        stopping: None,
        clock: Clock::now(),
    };
    engine.restore_parts().await?;
    engine.restore_brand_days().await?;
    let housekeeping = tokio::spawn(housekeeping::run(engine.store.clone(), config.clone()));
    Ok(Handle { stop, task: tokio::spawn(engine.run()), housekeeping })
}

/// Queues again what this node had claimed when it ended.
async fn recover(store: &Store, node: &str) -> Result<(), Error> {
    loop {
        let (now, name) = (unix_ms(), node.to_owned());
        let unit = store.write(move |db| {
            Box::pin(async move { queue::recover_own(db, &name, now, RECOVER_AT_ONCE).await })
        });
        let recovered: u64 = unit.await?;
        if recovered > 0 {
            info!(messages = recovered, "queued again; they may have been on their way");
        }
        if recovered < u64::from(RECOVER_AT_ONCE) {
            return Ok(());
        }
    }
}

/// Messages recovered in one unit.
const RECOVER_AT_ONCE: u16 = 1_000;

/// The engine.
struct Engine {
    store: Store,
    law: Arc<Law>,
    metrics: Arc<Metrics>,
    events: mpsc::Receiver<(LinkId, Event)>,
    word: Subscription,
    stopped: Option<oneshot::Receiver<()>>,
    carriers: BTreeMap<TrunkId, Carrier>,
    router: Router,
    /// Everything under lease, by `Message::seq`.
    works: HashMap<i64, Work>,
    claims: Claims,
    receipts: Receipts,
    references: References,
    jitter: Jitter,
    brand_days: dispatch::BrandDays,
    /// Whoever has just opted out: what was claimed for them before is looked at again.
    opted_out: HashMap<String, Instant>,
    /// What the next commit writes.
    batch: Batch,
    /// Parts that are being written, by the engine's numbers.
    parts: HashMap<u64, (TrunkId, trunkline_sms::segment::Piece<i64>)>,
    part_numbers: u64,
    writing: Option<(Arc<Batch>, Pending<Committed>)>,
    write_failures: u32,
    expiring: Option<Pending<Ends>>,
    expire_at: Instant,
    stopping: Option<Stopping>,
    clock: Clock,
}

/// Two clocks that were read at the same moment.
#[derive(Debug, Clone, Copy)]
struct Clock {
    now: Instant,
    unix_ms: i64,
}

impl Clock {
    fn now() -> Self {
        Self { now: Instant::now(), unix_ms: unix_ms() }
    }

    /// Returns the moment of a time of day; the past is now.
    fn instant(self, unix_ms: i64) -> Instant {
        let ahead = u64::try_from(unix_ms.saturating_sub(self.unix_ms)).unwrap_or(0);
        self.now + Duration::from_millis(ahead.min(AHEAD_MAX_MS))
    }

    /// Returns the time of day of a moment.
    fn unix(self, at: Instant) -> i64 {
        let ahead = at.saturating_duration_since(self.now).as_millis();
        self.unix_ms.saturating_add(i64::try_from(ahead).unwrap_or(i64::MAX))
    }
}

/// Further ahead than any validity; an [`Instant`] has an end.
const AHEAD_MAX_MS: u64 = 365 * 86_400_000;

fn unix_ms() -> i64 {
    let epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Events taken before commits and carriers have their turn again.
const EVENTS_AT_ONCE: usize = 1_024;

/// How often messages whose time is over are looked for.
const EXPIRE_EVERY: Duration = Duration::from_millis(500);

/// Between two tries of a commit that failed.
const WRITE_AGAIN: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(5) };

impl Engine {
    async fn run(mut self) {
        loop {
            self.clock = Clock::now();
            self.step();
            if self.has_stopped() {
                info!("SMS engine ended");
                return;
            }
            let wake = self.wake_at();
            tokio::select! {
                event = self.events.recv() => self.take_events(event),
                result = done(self.writing.as_mut().map(|(_, pending)| pending)) => self.written(result),
                found = self.claims.next() => self.claims_found(found),
                found = self.receipts.looked_up() => self.receipts_found(found),
                result = done(self.expiring.as_mut()) => self.expired(result),
                () = self.word.changed() => self.claims.look(),
                () = asked(&mut self.stopped) => self.begin_to_stop(),
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    /// Starts whatever can be started.
    fn step(&mut self) {
        self.receipts_time_out();
        self.dispatch_all();
        self.look_up_receipts();
        self.write();
        self.claim();
        self.expire();
        self.metrics.sms.claimed.set(self.works.len() as u64);
    }

    fn wake_at(&self) -> Instant {
        let now = self.clock.now;
        let mut wakes = vec![now + WAKE_MAX];
        match &self.stopping {
            Some(stopping) => wakes.push(stopping.deadline),
            None => {
                wakes.extend(Some(self.expire_at).filter(|_| self.expiring.is_none()));
                wakes.extend(self.claims.wake_at());
            }
        }
        wakes.extend(self.carriers.values().filter_map(|carrier| carrier.wake_at(now)));
        wakes.into_iter().min().unwrap_or(self.clock.now)
    }

    fn take_events(&mut self, first: Option<(LinkId, Event)>) {
        self.clock = Clock::now();
        let mut next = first;
        for _ in 0..EVENTS_AT_ONCE {
            let Some((link, event)) = next else { return };
            self.heed(&link, event);
            next = self.events.try_recv().ok();
        }
        if let Some((link, event)) = next {
            self.heed(&link, event);
        }
    }

    fn write(&mut self) {
        if self.writing.is_some() || self.batch.is_empty() {
            return;
        }
        let batch = Arc::new(std::mem::take(&mut self.batch));
        self.begin_to_write(batch);
    }

    fn begin_to_write(&mut self, batch: Arc<Batch>) {
        let commit =
            batch::commit(self.store.clone(), Arc::clone(&batch), Arc::clone(&self.law), self.clock.unix_ms);
        let delay = match self.write_failures {
            0 => None,
            failures => Some(WRITE_AGAIN.pause(failures - 1)),
        };
        let pending: Pending<Committed> = Box::pin(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            commit.await
        });
        self.writing = Some((batch, pending));
    }

    fn written(&mut self, result: Result<Committed, Error>) {
        self.clock = Clock::now();
        let Some((batch, _)) = self.writing.take() else { return };
        match result {
            Ok(committed) => {
                self.write_failures = 0;
                self.committed(&batch, committed);
            }
            // Nothing that a carrier said may be lost, and nothing is acknowledged before: it is tried until it is kept.
            Err(error) => {
                self.write_failures = self.write_failures.saturating_add(1);
                self.metrics.sms.write_failures.add(1);
                warn!(%error, "what carriers said could not be stored; it is tried again");
                self.begin_to_write(batch);
            }
        }
    }

    fn committed(&mut self, batch: &Batch, committed: Committed) {
        for (link, ack) in &batch.acks {
            self.acknowledge(link, *ack);
        }
        for (number, row) in committed.unmatched {
            self.receipts.stored_unmatched(number, row);
        }
        self.unlist_matched();
        for (number, row) in committed.parts {
            self.part_stored(number, row);
        }
        for pair in committed.opted_out {
            self.opted_out.insert(pair.recipient.to_string(), self.clock.now);
        }
        for (trunk, status) in committed.ended {
            self.metrics.sms.ended(trunk.as_ref(), status);
        }
        self.metrics.sms.possible_optouts.add(committed.possible_optouts);
    }

    fn expire(&mut self) {
        let may = self.expiring.is_none() && self.expire_at <= self.clock.now && self.stopping.is_none();
        if may {
            let (store, law) = (self.store.clone(), Arc::clone(&self.law));
            let now = self.clock.unix_ms;
            self.expire_at = self.clock.now + EXPIRE_EVERY;
            self.expiring = Some(Box::pin(async move {
                let due =
                    trunkline_storage::messages::delivery::next_deadline(&mut store.read().await?).await?;
                match due {
                    Some(due) if due <= now => batch::expire(store, law, now).await,
                    Some(_) | None => Ok(Vec::new()),
                }
            }));
        }
    }

    fn expired(&mut self, result: Result<Ends, Error>) {
        self.expiring = None;
        match result {
            Ok(ended) => {
                if !ended.is_empty() {
                    // There may be more.
                    self.expire_at = self.clock.now;
                }
                for (trunk, status) in ended {
                    self.metrics.sms.ended(trunk.as_ref(), status);
                }
            }
            Err(error) => warn!(%error, "messages whose time is over could not be ended; it is tried again"),
        }
    }
}

/// The engine looks around at least this often.
const WAKE_MAX: Duration = Duration::from_secs(1);

/// Waits for work of the database, if there is any.
async fn done<T>(pending: Option<&mut Pending<T>>) -> Result<T, Error> {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// Waits until the engine is told to stop, once.
async fn asked(stopped: &mut Option<oneshot::Receiver<()>>) {
    match stopped {
        Some(receiver) => {
            // A handle that was dropped wants the same.
            let _ = receiver.await;
            *stopped = None;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
