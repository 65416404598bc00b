//! What links say became of submissions, and what follows.

use super::super::batch;
use super::super::carrier::{Event, LinkId, Token};
use super::Engine;
use super::state::Work;
use crate::config::SmsReceipts;
use tracing::{debug, warn};
use trunkline_sms::receipt::{CarrierId, Failure, Terminal};
use trunkline_sms::retry::{Attempt, Next, Why};
use trunkline_sms::router::Health;
use trunkline_sms::status::{Class, CommandStatus};
use trunkline_storage::messages::delivery::{self, Settled, Taken};
use trunkline_storage::messages::queue::Lane;
use trunkline_storage::messages::{Delivery, Message, Outcome, Status};

impl Engine {
    /// Takes in what a link says.
    pub(super) fn heed(&mut self, link: &LinkId, event: Event) {
        match event {
            Event::Up { room } => self.link_up(link, room),
            Event::Down { why } => self.link_down(link, &why),
            Event::Paused { until } => {
                self.metrics.sms.throttled.add(1);
                if let Some(link) = self.link_mut(link) {
                    link.paused_until = Some(until);
                }
                self.set_health(link);
            }
            Event::Accepted { token, id } => {
                self.release(link);
                self.accepted(link, token, id.as_deref());
            }
            Event::Refused { token, status, class, reason } => {
                self.release(link);
                self.metrics.sms.refused.add(1);
                self.failed(link, token, Attempt::Refused { status, class }, reason);
            }
            Event::Unanswered { token } => {
                self.release(link);
                self.failed(link, token, Attempt::InDoubt, None);
            }
            Event::Returned { token, in_doubt } => {
                self.release(link);
                let attempt = if in_doubt { Attempt::InDoubt } else { Attempt::NotSent };
                self.failed(link, token, attempt, None);
            }
            Event::Unencodable { token, field } => {
                self.release(link);
                self.failed(link, token, Attempt::Unencodable(field), None);
            }
            Event::Inbound(inbound) => self.inbound(link, inbound),
        }
    }

    fn link_mut(&mut self, id: &LinkId) -> Option<&mut super::Link> {
        self.carriers.get_mut(&id.carrier)?.links.get_mut(usize::from(id.link))
    }

    fn release(&mut self, id: &LinkId) {
        if let Some(link) = self.link_mut(id) {
            link.outstanding = link.outstanding.saturating_sub(1);
        }
    }

    fn link_up(&mut self, id: &LinkId, room: usize) {
        let stopping = self.stopping.is_some();
        if let Some(link) = self.link_mut(id).filter(|_| !stopping) {
            link.room = room;
            link.paused_until = None;
        }
        self.set_health(id);
        // What waits for it can come in.
        self.claims.look();
    }

    fn link_down(&mut self, id: &LinkId, why: &str) {
        debug!(carrier = %id.carrier, link = id.link, why, "link is down");
        let stopping = self.stopping.is_some();
        if let Some(link) = self.link_mut(id) {
            link.room = 0;
            link.paused_until = None;
            link.ended |= stopping;
        }
        self.set_health(id);
        self.give_up_queue(id);
    }

    /// With its last link gone, a carrier's queue is decided about anew.
    fn give_up_queue(&mut self, id: &LinkId) {
        let Some(carrier) = self.carriers.get_mut(&id.carrier).filter(|carrier| !carrier.is_up()) else {
            return;
        };
        for (_, entry) in carrier.queue.drain() {
            self.decide_again(entry.message);
        }
    }

    fn set_health(&mut self, id: &LinkId) {
        let Some(carrier) = self.carriers.get(&id.carrier) else { return };
        let now = self.clock.now;
        let paused = |link: &super::Link| link.paused_until.is_some_and(|until| until > now);
        let up = carrier.links.iter().filter(|link| link.room > 0);
        let health = match (up.clone().count(), up.filter(|link| !paused(link)).count()) {
            (0, _) => Health::Down,
            (_, 0) => Health::Degraded,
            (_, _) => Health::Up,
        };
        self.metrics.sms.set_up(&id.carrier, health != Health::Down);
        self.router.set_health(id.carrier.clone(), health);
    }

    fn accepted(&mut self, link: &LinkId, token: Token, id: Option<&str>) {
        let id = id.and_then(CarrierId::parse);
        if let Some(carrier) = self.carriers.get_mut(&link.carrier) {
            carrier.correlator.handle_response(&(token.message, token.segment), id.clone());
        }
        self.metrics.sms.accepted.add(1);
        let Some(work) = self.works.get_mut(&token.message) else { return };
        self.router.destinations.handle_accepted(work.message.to.digits());
        if let Some(passage) = &mut work.passage {
            passage.outstanding = passage.outstanding.saturating_sub(1);
            if let Some(taken) = passage.taken.get_mut(usize::from(token.segment)) {
                *taken = true;
            }
            self.batch.taken.push(Taken {
                message: token.message,
                segment: token.segment,
                // There are 255 segments at most.
                total: passage.taken.len() as u8,
                reference: passage.reference,
                trunk: link.carrier.clone(),
                bare_id: id.as_ref().and_then(CarrierId::bare).map(|id| id.as_str().to_owned()),
                carrier_id: id.map(|id| id.as_str().to_owned()),
            });
        }
        self.drain_answers(&link.carrier);
        self.finish_when_done(token.message);
    }

    fn failed(&mut self, link: &LinkId, token: Token, attempt: Attempt, reason: Option<String>) {
        if let Some(carrier) = self.carriers.get_mut(&link.carrier) {
            carrier.correlator.handle_response(&(token.message, token.segment), None);
        }
        self.drain_answers(&link.carrier);
        let Some(passage) = self.works.get_mut(&token.message).and_then(|work| work.passage.as_mut()) else {
            return;
        };
        passage.outstanding = passage.outstanding.saturating_sub(1);
        if passage.worst.is_none_or(|worst| severity(attempt) > severity(worst)) {
            passage.worst = Some(attempt);
            passage.reason = reason;
        }
        self.finish_when_done(token.message);
    }

    fn finish_when_done(&mut self, seq: i64) {
        let passage = self.works.get(&seq).and_then(|work| work.passage.as_ref());
        if passage.is_some_and(|passage| passage.outstanding == 0) {
            self.finish(seq);
        }
    }

    /// Moves a message on when every segment has had its answer.
    pub(super) fn finish(&mut self, seq: i64) {
        let Some(work) = self.works.get_mut(&seq) else { return };
        let Some(passage) = &work.passage else { return };
        let trunk = passage.trunk.clone();
        let Some(carrier) = self.carriers.get(&trunk) else { return };
        if passage.taken.iter().all(|taken| *taken) {
            let next = match carrier.config.receipts {
                SmsReceipts::Sent(_) => delivery::Next::Sent,
                // Nothing more will be heard of it.
                SmsReceipts::Never => {
                    delivery::Next::Ended(batch::outcome(&Terminal::Unknown, self.clock.unix_ms))
                }
            };
            return self.settle(seq, next);
        }
        let Some(attempt) = passage.worst else { return };
        let lost = carrier.config.lost_response;
        let next = work.history.next(self.clock.now, work.deadline, attempt, lost, &mut self.jitter);
        let reason = work.passage.as_mut().and_then(|passage| passage.reason.take());
        self.follow(seq, attempt, next, reason);
    }

    fn follow(&mut self, seq: i64, attempt: Attempt, next: Next, reason: Option<String>) {
        let Some(work) = self.works.get_mut(&seq) else { return };
        match next {
            Next::Again { at, elsewhere } => {
                if let (true, Some(passage)) = (elsewhere, &work.passage)
                    && !matches!(attempt, Attempt::NotSent)
                {
                    work.avoided = vec![passage.trunk.clone()];
                }
                let at = match attempt {
                    Attempt::Refused { class: Class::Destination, .. } => {
                        let to = work.message.to.digits();
                        self.router.destinations.handle_full(self.clock.now, to, &mut self.jitter)
                    }
                    Attempt::Refused { .. }
                    | Attempt::InDoubt
                    | Attempt::NotSent
                    | Attempt::Unencodable(_) => at,
                };
                if at > self.clock.now {
                    self.put_back(seq, "", self.clock.unix(at));
                } else {
                    self.decide_again(seq);
                }
            }
            Next::Hold => self.settle(seq, delivery::Next::Sent),
            Next::Failed(why) => {
                let status = match why {
                    Why::Refused(status) => status,
                    Why::Unanswered => CommandStatus::UNKNOWN_ERROR,
                };
                let terminal = Terminal::Failed(Failure::Refused(status));
                let mut outcome = batch::outcome(&terminal, self.clock.unix_ms);
                outcome.detail = match (why, reason) {
                    (Why::Unanswered, _) => "the carrier gave no answer".into(),
                    (Why::Refused(_), Some(reason)) => reason,
                    (Why::Refused(_), None) => outcome.detail,
                };
                self.end(seq, outcome);
            }
            Next::Expired => self.expired_in_queue(seq),
            Next::Quarantine(suspicion) => {
                warn!(message = %work.message.id, ?suspicion, "message is set aside: it may be what breaks sessions");
                self.metrics.sms.quarantined.add(1);
                self.settle(seq, delivery::Next::Quarantined);
            }
        }
    }

    /// Decides about a message again that no carrier has, or that a carrier has a part of.
    fn decide_again(&mut self, seq: i64) {
        let Some(work) = self.works.get_mut(&seq) else { return };
        let part = work.passage.as_ref().filter(|passage| passage.taken.contains(&true));
        let Some(trunk) = part.map(|passage| passage.trunk.clone()) else {
            work.passage = None;
            return self.decide(seq);
        };
        // Its other parts would be no use from another carrier.
        let up = self.carriers.get(&trunk).is_some_and(super::Carrier::is_up);
        if up && self.stopping.is_none() {
            self.push(seq, &trunk);
        } else {
            let pause = if self.stopping.is_some() { 0 } else { PART_PAUSE_MS };
            self.put_back(seq, "", self.clock.unix_ms + pause);
        }
    }

    /// Gives a message back to the store.
    pub(super) fn put_back(&mut self, seq: i64, lane: &str, due_unix_ms: i64) {
        if let Some(work) = self.works.get(&seq).filter(|_| !lane.is_empty()) {
            self.claims.backlog.insert(Lane { resource: work.message.resource, name: lane.to_owned() });
        }
        self.settle(seq, delivery::Next::Queued { lane: lane.to_owned(), due_unix_ms });
    }

    /// Ends a message.
    pub(super) fn end(&mut self, seq: i64, outcome: Outcome) {
        self.settle(seq, delivery::Next::Ended(outcome));
    }

    fn settle(&mut self, seq: i64, next: delivery::Next) {
        let Some(work) = self.works.remove(&seq) else { return };
        let settled =
            Settled { seq, claims: work.message.claims, delivery: travelled(&work), next: next.clone() };
        let told = matches!(next, delivery::Next::Ended(_)).then(|| Box::new(work.message));
        self.batch.settled.push((settled, told));
    }

    /// Ends a message whose sender cannot be read: it was accepted by another version of this program.
    pub(super) fn fail_unreadable(&mut self, message: &Message) {
        let outcome = Outcome {
            status: Status::Failed,
            code: 4001,
            detail: "the sender cannot be read".into(),
            ended_unix_ms: self.clock.unix_ms,
        };
        let settled = Settled {
            seq: message.seq,
            claims: message.claims,
            delivery: message.delivery.clone(),
            next: delivery::Next::Ended(outcome),
        };
        self.batch.settled.push((settled, Some(Box::new(message.clone()))));
    }
}

/// What a message has been through, as it is kept.
fn travelled(work: &Work) -> Delivery {
    let before = &work.message.delivery;
    let passage = work.passage.as_ref();
    Delivery {
        trunk: passage.map(|passage| passage.trunk.clone()).or_else(|| before.trunk.clone()),
        // There are 255 segments at most.
        segments: passage.map(|passage| passage.taken.len() as u8).or(before.segments),
        refusals: work.history.refusals,
        in_doubt: work.history.in_doubt,
        possible_duplicate: work.history.possible_duplicate,
        avoided: work.avoided.last().cloned(),
    }
}

/// Of two ends of segments, the worse one decides about their message.
fn severity(attempt: Attempt) -> u8 {
    match attempt {
        Attempt::NotSent => 0,
        Attempt::InDoubt => 1,
        Attempt::Refused { class: Class::Final, .. } => 3,
        Attempt::Refused { .. } => 2,
        Attempt::Unencodable(_) => 4,
    }
}

/// A message of which a carrier has a part waits so long before it is looked whether the carrier is there again.
const PART_PAUSE_MS: i64 = 5_000;
