//! The deliveries of one subscription.

use super::breaker::Breaker;
use super::delivery::{Endpoint, Outcome};
use super::{Shared, ended, now_unix_ms};
use crate::app::random;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{info, warn};
use trunkline_storage::jobs::{self, Failed, Job, Lease};
use trunkline_storage::{Connection, Error, events};

/// How long a delivery is ours: longer than an endpoint may take to answer, and a commit after it.
const LEASE_MS: i64 = 120_000;

/// How often it is looked how many events wait.
const DEPTH_EVERY: Duration = Duration::from_secs(30);

/// The pause after the database failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked what a silent endpoint will not get in time.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// Expired deliveries that one unit buries: a few milliseconds.
const EXPIRED_MAX: u16 = 500;

/// Delivers until the end, or until it is aborted.
pub(super) async fn run(
    shared: Shared,
    endpoint: Endpoint,
    poke: Arc<Notify>,
    mut end: watch::Receiver<bool>,
) {
    let mut worker = Worker::new(shared, endpoint);
    loop {
        worker.turn().await;
        if worker.ending && worker.under_way.is_empty() {
            return;
        }
        let wakes = worker.wakes();
        tokio::select! {
            () = poke.notified() => worker.hungry = true,
            Some(done) = worker.under_way.join_next() => worker.note(done.ok()),
            () = sleep_until(wakes.into()) => worker.hungry = true,
            () = ended(&mut end), if !worker.ending => worker.ending = true,
        }
    }
}

struct Worker {
    shared: Shared,
    endpoint: Arc<Endpoint>,
    queue: String,
    breaker: Breaker,
    under_way: JoinSet<(Lease, Outcome)>,
    settled: Settled,
    /// There may be more to claim.
    hungry: bool,
    ending: bool,
    /// The database failed; it is left alone until then.
    store_rests_until: Option<Instant>,
    counted: Option<Instant>,
    /// When it is looked again what a silent endpoint will not get in time.
    expires: Instant,
    full: bool,
    silent: bool,
}

/// What deliveries came to, until that is on disk.
#[derive(Debug, Clone, Default)]
struct Settled {
    delivered: Vec<Lease>,
    failed: Vec<(Lease, String)>,
    refused: Vec<(Lease, String)>,
}

impl Settled {
    fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.failed.is_empty() && self.refused.is_empty()
    }
}

/// What a unit did.
#[derive(Default)]
struct Turned {
    claimed: Vec<Job>,
    retried: u64,
    dead: u64,
    /// There may be more that has expired.
    more_expired: bool,
}

impl Worker {
    fn new(shared: Shared, endpoint: Endpoint) -> Self {
        let full = endpoint.subscription.full_unix_ms.is_some();
        if full {
            shared.metrics.webhooks.full.add(1);
        }
        Self {
            shared,
            queue: endpoint.subscription.queue(),
            endpoint: Arc::new(endpoint),
            breaker: Breaker::new(),
            under_way: JoinSet::new(),
            settled: Settled::default(),
            hungry: true,
            ending: false,
            store_rests_until: None,
            counted: None,
            expires: Instant::now(),
            full,
            silent: false,
        }
    }

    /// Writes down what has come to its end, and claims as much as there is room for: one commit for both.
    async fn turn(&mut self) {
        while let Some(done) = self.under_way.try_join_next() {
            self.note(done.ok());
        }
        let now = Instant::now();
        if self.store_rests_until.is_some_and(|until| now < until) {
            return;
        }
        self.store_rests_until = None;
        let most = usize::from(self.shared.webhooks.concurrency);
        let allowed = if self.ending || !self.hungry { 0 } else { self.breaker.allowed(now, most) };
        let room = allowed.saturating_sub(self.under_way.len());
        // A claim costs a commit: it had better be worth one, or come with another.
        let room =
            if self.settled.is_empty() && room < most / 4 && !self.under_way.is_empty() { 0 } else { room };
        let expires = self.breaker.is_tripped() && !self.ending && now >= self.expires;
        if self.settled.is_empty() && room == 0 && !expires {
            self.hungry &= self.breaker.opens(now).is_some() || !self.under_way.is_empty();
            return self.count().await;
        }
        self.commit(u16::try_from(room).unwrap_or(u16::MAX), expires).await;
        self.count().await;
    }

    async fn commit(&mut self, room: u16, expires: bool) {
        let settled = self.settled.clone();
        let (queue, backoff, seed) = (self.queue.clone(), self.shared.backoff(), random());
        let delivered = settled.delivered.len() as u64;
        let turned: Result<Turned, Error> = self
            .shared
            .store
            .write(move |db| {
                Box::pin(async move {
                    let now_unix_ms = now_unix_ms();
                    let mut turned = settle(db, &settled, &backoff, seed, now_unix_ms).await?;
                    if expires {
                        let buried = jobs::expire(db, &queue, now_unix_ms, EXPIRED_MAX).await?;
                        turned.dead += buried;
                        turned.more_expired = buried == u64::from(EXPIRED_MAX);
                    }
                    if room > 0 {
                        turned.claimed =
                            jobs::claim(db, &queue, now_unix_ms, now_unix_ms + LEASE_MS, room).await?;
                    }
                    Ok(turned)
                })
            })
            .await;
        let metrics = &self.shared.metrics.webhooks;
        match turned {
            Ok(turned) => {
                metrics.delivered.add(delivered);
                metrics.failed.add(turned.retried);
                metrics.dead.add(turned.dead);
                self.settled = Settled::default();
                self.hungry = turned.claimed.len() == usize::from(room);
                if expires && !turned.more_expired {
                    self.expires = Instant::now() + EXPIRE_EVERY;
                }
                for job in turned.claimed {
                    self.begin(job);
                }
            }
            // The other side of the clash has gone on: it will not happen again at once.
            Err(Error::Contended { .. }) => metrics.write_failures.add(1),
            Err(error) => {
                metrics.write_failures.add(1);
                warn!(%error, subscription = %self.endpoint.subscription.id, "deliveries were not written down");
                self.store_rests_until = Some(Instant::now() + STORE_PAUSE);
            }
        }
    }

    fn begin(&mut self, job: Job) {
        let (shared, endpoint) = (self.shared.clone(), Arc::clone(&self.endpoint));
        self.under_way.spawn(async move {
            let _under_way = UnderWay::begin(&shared.metrics);
            let began = Instant::now();
            let outcome = endpoint.deliver(&shared, &job).await;
            shared.metrics.webhooks.duration.note(began.elapsed());
            (job.lease, outcome)
        });
    }

    /// Notes what a delivery came to; one that panicked is made again when its lease has run out.
    fn note(&mut self, done: Option<(Lease, Outcome)>) {
        let now = Instant::now();
        match done {
            Some((lease, Outcome::Delivered)) => {
                self.breaker.succeeded();
                self.settled.delivered.push(lease);
            }
            Some((lease, Outcome::Failed { why, pause })) => {
                self.breaker.failed(now, pause, random());
                self.settled.failed.push((lease, why));
            }
            // It answered, so it lives.
            Some((lease, Outcome::Refused { why })) => {
                self.breaker.succeeded();
                self.settled.refused.push((lease, why));
            }
            None => self.breaker.failed(now, None, random()),
        }
        if self.silent != self.breaker.is_tripped() {
            self.silent = self.breaker.is_tripped();
            let gauge = &self.shared.metrics.webhooks.silent;
            let subscription = &self.endpoint.subscription.id;
            if self.silent {
                gauge.add(1);
                info!(%subscription, "the endpoint does not answer: deliveries pause");
            } else {
                gauge.sub(1);
                info!(%subscription, "the endpoint answers again");
            }
        }
    }

    /// Stops new events for an endpoint that has left too many undelivered, until it has caught up.
    async fn count(&mut self) {
        let now = Instant::now();
        if self.counted.is_some_and(|counted| now < counted + DEPTH_EVERY) {
            return;
        }
        self.counted = Some(now);
        let depth = match self.shared.store.read().await {
            Ok(mut db) => jobs::depth(&mut db, &self.queue).await,
            Err(error) => Err(error),
        };
        // Without the number nothing changes; the next round asks again.
        let Ok(depth) = depth else { return };
        let (waiting, most) = (depth.ready + depth.waiting, u64::from(self.shared.webhooks.waiting_max));
        let full = if self.full { waiting > most / 10 * 9 } else { waiting >= most };
        if full == self.full {
            return;
        }
        let (id, since) = (self.endpoint.subscription.id, full.then(now_unix_ms));
        let set: Result<(), Error> = self
            .shared
            .store
            .write(move |db| Box::pin(async move { events::set_full(db, id, since).await }))
            .await;
        if set.is_err() {
            return;
        }
        self.full = full;
        if full {
            self.shared.metrics.webhooks.full.add(1);
            warn!(subscription = %id, waiting, "too many events wait for the endpoint: it gets no new ones");
        } else {
            self.shared.metrics.webhooks.full.sub(1);
            info!(subscription = %id, waiting, "the endpoint has caught up and gets new events again");
        }
    }

    /// Returns when there is something to do without a word from anyone.
    fn wakes(&self) -> Instant {
        let now = Instant::now();
        if let Some(until) = self.store_rests_until {
            return until;
        }
        if !self.settled.is_empty() {
            return now;
        }
        let idle = if self.silent && !self.ending { self.expires } else { now + DEPTH_EVERY };
        if !self.hungry {
            return idle;
        }
        match self.breaker.opens(now) {
            Some(opens) => opens.min(idle),
            // With requests under way, their ends are what is waited for.
            None if self.under_way.is_empty() => now,
            None => idle,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let metrics = &self.shared.metrics.webhooks;
        if self.full {
            metrics.full.sub(1);
        }
        if self.silent {
            metrics.silent.sub(1);
        }
    }
}

/// Counts a request as under way, also one that is given up.
struct UnderWay(Arc<Metrics>);

impl UnderWay {
    fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.webhooks.under_way.add(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.webhooks.under_way.sub(1);
    }
}

async fn settle(
    db: &mut Connection,
    settled: &Settled,
    backoff: &jobs::Backoff,
    seed: u64,
    now_unix_ms: i64,
) -> Result<Turned, Error> {
    let mut turned = Turned::default();
    jobs::finish_all(db, &settled.delivered, now_unix_ms).await?;
    for (lease, why) in &settled.failed {
        match jobs::fail(db, lease, why, backoff, seed, now_unix_ms).await? {
            Failed::RetryAt(_) => turned.retried += 1,
            Failed::Dead => turned.dead += 1,
            Failed::LeaseLost => {}
        }
    }
    for (lease, why) in &settled.refused {
        turned.dead += u64::from(jobs::bury(db, lease, why, now_unix_ms).await?);
    }
    Ok(turned)
}
