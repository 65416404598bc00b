//! The end of the engine: nothing new, what is with carriers has its answer, the rest goes back to the store.

use super::super::carrier::{Order, STOP_MAX};
use super::Engine;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// An end that is under way.
pub(super) struct Stopping {
    /// When it is over in any case.
    pub(super) deadline: Instant,
}

/// How much longer commits may take than links.
const COMMIT_MAX: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn begin_to_stop(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { deadline: self.clock.now + STOP_MAX + COMMIT_MAX });
        let mut waiting = Vec::new();
        for carrier in self.carriers.values_mut() {
            waiting.extend(carrier.queue.drain().into_iter().map(|(_, entry)| entry.message));
            for link in &mut carrier.links {
                link.room = 0;
                link.tell(Order::Stop);
            }
        }
        info!(waiting = waiting.len(), under_way = self.works.len() - waiting.len(), "SMS engine ends");
        for seq in waiting {
            self.put_back(seq, "", self.clock.unix_ms);
        }
    }

    pub(super) fn has_stopped(&self) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let kept = self.batch.is_empty()
            && self.writing.is_none()
            && self.claims.is_idle()
            && self.receipts.is_idle();
        let quiet = self.expiring.is_none() && self.parts.is_empty();
        let links = self.carriers.values().flat_map(|carrier| &carrier.links);
        let answered = self.works.is_empty() && links.clone().all(|link| link.ended);
        if kept && quiet && answered {
            return true;
        }
        let late = stopping.deadline <= self.clock.now;
        if late {
            // Under lease they are found by the next start, and marked.
            warn!(messages = self.works.len(), "the end of the SMS engine took too long");
        }
        late
    }
}
