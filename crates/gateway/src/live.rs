//! The calls that are up now, for whoever looks: what signalling told of them, and what their legs see.

use crate::app::unix_ms;
use crate::media_worker::Observer;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use trunkline_api::{LiveCall, LiveCalls};
use trunkline_call::{BridgeStats, CallEvent};
use trunkline_model::CallId;

/// What signalling told of the calls that are up. Its size is that of the calls that were let in.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<HashMap<CallId, Shown>>);

#[derive(Debug, Clone)]
struct Shown {
    from: String,
    to: String,
    started_unix_ms: i64,
    answered_unix_ms: Option<i64>,
}

impl Board {
    /// Notes what an event says of a call.
    pub(crate) fn note(&self, event: &CallEvent) {
        match event {
            CallEvent::Started { call, from, to, .. } => {
                let (from, to) = (from.clone(), to.clone());
                let shown = Shown { from, to, started_unix_ms: unix_ms(), answered_unix_ms: None };
                self.calls().insert(*call, shown);
            }
            CallEvent::Answered { call } => {
                if let Some(shown) = self.calls().get_mut(call) {
                    shown.answered_unix_ms = Some(unix_ms());
                }
            }
            CallEvent::Ended { record } => {
                self.calls().remove(&record.call);
            }
            _ => {}
        }
    }

    /// A panic while it was held left a call shown or not shown; the map is whole.
    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both together.
pub(crate) struct Live {
    pub(crate) board: Arc<Board>,
    pub(crate) media: Observer,
}

impl LiveCalls for Live {
    fn look(&self) -> Pin<Box<dyn Future<Output = Vec<LiveCall>> + Send + '_>> {
        Box::pin(async {
            // A call may have had several bridges; the one that is open is the one that answers.
            let mut seen: HashMap<CallId, BridgeStats> = self.media.look().await.into_iter().collect();
            let calls = self.board.calls();
            let live = calls.iter().map(|(call, shown)| {
                let stats = seen.remove(call);
                let (caller, callee) = stats.map_or((None, None), |stats| (stats.caller, stats.callee));
                LiveCall {
                    call: *call,
                    from: shown.from.clone(),
                    to: shown.to.clone(),
                    started_unix_ms: shown.started_unix_ms,
                    answered_unix_ms: shown.answered_unix_ms,
                    caller,
                    callee,
                }
            });
            live.collect()
        })
    }
}
