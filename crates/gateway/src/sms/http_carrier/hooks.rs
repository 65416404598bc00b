//! The webhooks of carriers over HTTP: `POST /carriers/{carrier}/{hook}`, beside the REST API and no part of it.
//!
//! What is not signed by the carrier is answered 401 or 403 and goes no further. What is, is answered 200 once it is on
//! disk, and 503 if it is not, so that the carrier comes again.

use crate::app::unix_ms;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, warn};
use trunkline_sms::carrier_http::{Carrier, HookError, HookEvent, Received};

/// Largest body: a hundred events, or one of the longest texts.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Webhooks read at once: each waits for the disk, which commits many together.
const AT_ONCE_MAX: usize = 128;

/// How long a carrier waits for the disk before it is told to come again.
const KEPT_MAX: Duration = Duration::from_secs(20);

/// Events of one carrier that wait for its link.
const ARRIVALS_MAX: usize = 256;

/// Ids of texts that are remembered for each carrier: one that comes again was not answered in time, and is not told
/// twice.
const IDS_MAX: usize = 10_000;

/// What a webhook told, and where it is said whether it is on disk.
pub(super) struct Arrival {
    pub(super) event: HookEvent,
    pub(super) kept: oneshot::Sender<bool>,
}

/// A carrier whose webhooks come in.
pub(super) struct Entrance {
    pub(super) carrier: Arc<Carrier>,
    /// Where its webhooks reach us, as it knows it.
    pub(super) url: String,
}

/// The entrances of all carriers. Clones share them.
#[derive(Clone)]
pub(crate) struct Hooks {
    /// Where the listener is reached, without a path.
    base: Arc<str>,
    open: Arc<Mutex<BTreeMap<String, Arc<Open>>>>,
    slots: Arc<Semaphore>,
}

struct Open {
    entrance: Entrance,
    arrivals: mpsc::Sender<Arrival>,
    seen: Mutex<VecDeque<String>>,
}

impl Hooks {
    /// Returns a table without entrances, for a listener that is reached at this URL.
    pub(crate) fn new(base: &str) -> Self {
        Self { base: base.into(), open: Arc::default(), slots: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Returns where the webhooks of a carrier reach us, without their last part.
    pub(super) fn url(&self, carrier: &str) -> String {
        format!("{}/carriers/{carrier}", self.base)
    }

    /// Opens a carrier's entrance; what comes in is received there.
    pub(super) fn open(&self, carrier: &str, entrance: Entrance) -> mpsc::Receiver<Arrival> {
        let (arrivals, received) = mpsc::channel(ARRIVALS_MAX);
        let open = Arc::new(Open { entrance, arrivals, seen: Mutex::default() });
        // The table is whole between any two statements, so a panic elsewhere spoils nothing.
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(carrier.to_owned(), open);
        received
    }

    fn of(&self, carrier: &str) -> Option<Arc<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(carrier).map(Arc::clone)
    }
}

/// Returns the router of webhooks.
pub(crate) fn router(hooks: Hooks) -> Router {
    Router::new()
        .route("/carriers/{carrier}/{hook}", post(receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(hooks)
}

async fn receive(
    State(hooks): State<Hooks>,
    Path((carrier, hook)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Some(open) = hooks.of(&carrier) else { return StatusCode::NOT_FOUND };
    let Ok(_slot) = hooks.slots.try_acquire() else { return StatusCode::SERVICE_UNAVAILABLE };
    let texts = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let texts: Vec<(String, String)> = texts.collect();
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let url = format!("{}/{hook}{query}", open.entrance.url);
    let received = Received { url: &url, headers: &texts, body: &body, now_unix: unix_ms() / 1_000 };
    match open.entrance.carrier.receive(&hook, &received) {
        Ok(events) => match timeout(KEPT_MAX, open.keep(events)).await {
            Ok(true) => StatusCode::OK,
            Ok(false) | Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        },
        Err(error) => {
            warn!(carrier, hook, %error, "a webhook of an SMS carrier was refused");
            match error {
                HookError::Unknown => StatusCode::NOT_FOUND,
                HookError::Unsigned => StatusCode::UNAUTHORIZED,
                HookError::Forged | HookError::Stale => StatusCode::FORBIDDEN,
                HookError::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            }
        }
    }
}

impl Open {
    /// Hands events over, and returns whether all are on disk.
    async fn keep(&self, events: Vec<HookEvent>) -> bool {
        let mut waiting = Vec::with_capacity(events.len());
        for event in events {
            let id = match &event {
                HookEvent::Text { id, .. } => Some(id.clone()),
                // A receipt that comes twice changes nothing.
                HookEvent::Report { .. } => None,
            };
            if id.as_ref().is_some_and(|id| self.seen().contains(id)) {
                debug!("a text came again");
                continue;
            }
            let (kept, answer) = oneshot::channel();
            if self.arrivals.send(Arrival { event, kept }).await.is_err() {
                return false;
            }
            waiting.push((id, answer));
        }
        let mut all = true;
        for (id, answer) in waiting {
            let kept = answer.await.unwrap_or(false);
            all &= kept;
            if let Some(id) = id.filter(|_| kept) {
                let mut seen = self.seen();
                seen.push_back(id);
                if seen.len() > IDS_MAX {
                    seen.pop_front();
                }
            }
        }
        all
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
