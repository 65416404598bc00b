//! Keeps a worker for each active subscription, and wakes those that have something due.

use super::delivery::Endpoint;
use super::{Shared, ended, now_unix_ms, worker};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;
use trunkline_model::event::topic;
use trunkline_storage::{Error, Topic, events, jobs, resources};
use uuid::Uuid;

/// Word of jobs comes with each commit that makes one: what comes within this time is looked up together.
const GATHERING: Duration = Duration::from_millis(5);

/// How often subscriptions and what is due are looked up without word of a change.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long dead letters are kept.
const DEAD_KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// Dead letters that one unit discards.
const DISCARDED_MAX: u16 = 500;

struct Running {
    queue: String,
    poke: Arc<Notify>,
    task: JoinHandle<()>,
}

struct Dispatcher {
    shared: Shared,
    end: watch::Receiver<bool>,
    workers: BTreeMap<Uuid, Running>,
    /// When subscriptions are looked up again.
    follows: Instant,
}

pub(super) async fn run(shared: Shared, mut end: watch::Receiver<bool>) {
    let mut due = shared.store.subscribe(Topic::Jobs);
    let mut changes = shared.store.subscribe(Topic::Resources);
    let mut dispatcher =
        Dispatcher { shared, end: end.clone(), workers: BTreeMap::new(), follows: Instant::now() };
    loop {
        let wakes = match dispatcher.look().await {
            Ok(wakes) => wakes,
            Err(error) => {
                warn!(%error, "subscriptions cannot be looked up");
                Instant::now() + LOOK_EVERY
            }
        };
        tokio::select! {
            () = changes.changed() => dispatcher.follows = Instant::now(),
            () = due.changed() => sleep(GATHERING).await,
            () = sleep_until(wakes) => {}
            () = ended(&mut end) => break,
        }
    }
    for running in dispatcher.workers.into_values() {
        // A worker that panicked has been reported by the runtime.
        let _ = running.task.await;
    }
}

impl Dispatcher {
    /// Wakes workers with something due, and returns when to look again.
    async fn look(&mut self) -> Result<Instant, Error> {
        if self.follows <= Instant::now() {
            self.follows = Instant::now() + LOOK_EVERY;
            self.follow().await?;
            self.discard().await?;
        }
        let queues: Vec<&str> = self.workers.values().map(|running| running.queue.as_str()).collect();
        let mut wakes = self.follows;
        if queues.is_empty() {
            return Ok(wakes);
        }
        let dues = jobs::next_dues(&mut self.shared.store.read().await?, &queues).await?;
        let now_unix_ms = now_unix_ms();
        for (queue, due) in dues {
            if let Ok(ahead @ 1..) = u64::try_from(due - now_unix_ms) {
                wakes = wakes.min(Instant::now() + Duration::from_millis(ahead));
                continue;
            }
            let running = self.workers.values().find(|running| running.queue == queue);
            running.inspect(|running| running.poke.notify_one());
        }
        Ok(wakes)
    }

    /// Starts a worker for each subscription that has none, and ends those of subscriptions that are no more.
    async fn follow(&mut self) -> Result<(), Error> {
        let mut db = self.shared.store.read().await?;
        let active = events::active(&mut db).await?;
        self.workers.retain(|id, running| {
            let keep =
                active.iter().any(|subscription| subscription.id == *id) && !running.task.is_finished();
            if !keep {
                running.task.abort();
            }
            keep
        });
        for subscription in active {
            if self.workers.contains_key(&subscription.id) {
                continue;
            }
            // A resource that was deleted has no events either.
            let Some(resource) = resources::by_id(&mut db, subscription.resource).await? else { continue };
            let (id, queue, poke) = (subscription.id, subscription.queue(), Arc::new(Notify::new()));
            let endpoint = Endpoint { topic: topic(resource.id, &resource.name), subscription };
            let task = worker::run(self.shared.clone(), endpoint, Arc::clone(&poke), self.end.clone());
            self.workers.insert(id, Running { queue, poke, task: tokio::spawn(task) });
        }
        self.shared.metrics.webhooks.subscriptions.set(self.workers.len() as u64);
        Ok(())
    }

    /// Discards dead letters that nobody asked for.
    async fn discard(&self) -> Result<(), Error> {
        let before = now_unix_ms() - DEAD_KEPT_MS;
        for running in self.workers.values() {
            let queue = running.queue.clone();
            let mut db = self.shared.store.read().await?;
            let oldest = jobs::list_dead(&mut db, &queue, 0, 1).await?;
            drop(db);
            if oldest.first().is_none_or(|dead| dead.dead_unix_ms >= before) {
                continue;
            }
            self.shared
                .store
                .write(move |db| {
                    Box::pin(async move { jobs::discard_older(db, &queue, before, DISCARDED_MAX).await })
                })
                .await?;
        }
        Ok(())
    }
}
