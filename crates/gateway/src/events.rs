//! Delivers events to the endpoints of subscriptions.
//!
//! ```text
//!   publish (any unit) ─► jobs of the subscription's queue ─► Dispatcher ─► Worker, one for each subscription
//!                                                                             claims, posts, finishes or retries
//!   subscribe ─► a job in VALIDATIONS ─► Validator ─► the endpoint proves that it wants the events
//! ```
//!
//! Each subscription has a worker with its own limit of requests under way and its own [`Breaker`](breaker::Breaker), so
//! a slow or dead endpoint delays nobody else. An event is delivered at least once, those of a conversation one after
//! the other; what fails is tried again with growing pauses for a day, and is then a dead letter.

mod breaker;
mod delivery;
mod dispatcher;
mod signature;
mod validation;
mod worker;

pub(crate) use signature::secret_of;

use crate::config::Webhooks;
use crate::http_client::{HttpClient, Limits};
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trunkline_storage::Store;
use trunkline_storage::jobs::Backoff;

/// The tasks that deliver events.
pub(crate) struct Events {
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all of them share.
#[derive(Clone)]
struct Shared {
    store: Store,
    client: HttpClient,
    metrics: Arc<Metrics>,
    webhooks: Webhooks,
    /// The URL under which the API is reached.
    base: String,
}

/// Longest answer of an endpoint that is read: nothing in it matters beyond a validation code.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long requests under way may take at the end.
const STOP_MAX: Duration = Duration::from_secs(4);

impl Events {
    /// Starts delivering; `base` is the URL under which the API is reached.
    pub(crate) fn start(
        webhooks: Webhooks,
        client: HttpClient,
        store: Store,
        metrics: Arc<Metrics>,
        base: String,
    ) -> Self {
        let (end, ends) = watch::channel(false);
        let shared = Shared { store, client, metrics, webhooks, base };
        let tasks = vec![
            tokio::spawn(dispatcher::run(shared.clone(), ends.clone())),
            tokio::spawn(validation::run(shared, ends)),
        ];
        Self { end, tasks }
    }

    /// Begins no more deliveries, and waits a moment for those under way. Others are made again after the next start.
    pub(crate) async fn stop(self) {
        // Nobody listens when the tasks have ended already.
        let _ = self.end.send(true);
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(STOP_MAX, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Shared {
    fn limits(&self) -> Limits {
        Limits { within: self.webhooks.answer, body_bytes_max: ANSWER_BYTES_MAX }
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: self.webhooks.retry_first, max: self.webhooks.retry_max }
    }
}

/// Returns when the process is to end.
async fn ended(end: &mut watch::Receiver<bool>) {
    // An error says that whoever would have told us is gone.
    let _ = end.wait_for(|ended| *ended).await;
}

fn now_unix_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
