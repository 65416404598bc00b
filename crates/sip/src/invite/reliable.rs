//! Reliable provisional responses and PRACK, both roles (RFC 3262).

use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkline_model::Reliability;

use super::change::RemoteChange;
use super::offer::{Delivery, Pending, sdp};
use super::{PROGRESS_QUEUE_MAX, Phase, ProgressQueue, Session, with_sdp};
use crate::error::Error;
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use crate::timer::Timer;
use crate::transport::Transmit;
use crate::user_agent::core::Core;
use crate::user_agent::send::Outgoing;
use crate::user_agent::table::Id;
use crate::user_agent::{ChangeKind, EndReason, Event, ForkId, Headers, Outcome, Owner, Purpose, Reply};

/// The callee's side: one reliable provisional response at a time, in order.
#[derive(Debug, Default)]
pub(crate) struct ReliableSender {
    rseq: u32,
    outstanding: Option<Outstanding>,
    queue: ProgressQueue,
}

/// A reliable provisional response that has no PRACK yet.
#[derive(Debug)]
struct Outstanding {
    response: Bytes,
    rseq: u32,
    cseq: u32,
    interval: Duration,
    has_sdp: bool,
    /// Whether the INVITE has its final response, so that it is not sent again (RFC 3262 §3).
    is_settled: bool,
}

impl ReliableSender {
    /// Whether a 2xx has to wait: a session description is on its way to the peer (RFC 3262 §3).
    pub(super) fn holds_final(&self) -> bool {
        self.outstanding.as_ref().is_some_and(|outstanding| outstanding.has_sdp) || !self.queue.is_empty()
    }
}

/// The callee's side.
impl Session {
    pub(super) fn progress_reliably(
        &mut self,
        cx: &mut Core,
        now: Instant,
        request: &Message,
        reply: Reply,
    ) -> Result<(), Error> {
        // RFC 3262 §3: the second only when the first was acknowledged.
        if self.reliable.outstanding.is_some() {
            if self.reliable.queue.len() >= PROGRESS_QUEUE_MAX {
                return Err(Error::Full("provisional responses"));
            }
            self.reliable.queue.push_back(reply);
            return Ok(());
        }
        if self.reliable.rseq == 0 {
            // RFC 3262 §3: starts between 1 and 2³¹ - 1; far from the end, so that it cannot wrap.
            self.reliable.rseq = 1 + cx.random_below(1 << 20) as u32;
        } else {
            self.reliable.rseq += 1;
        }
        let rseq = self.reliable.rseq;
        let extra = [(Name::Require, "100rel".to_owned()), (Name::RSeq, rseq.to_string())];
        let (has_sdp, response) = self.send_progress(cx, now, request, reply, Delivery::Reliable, &extra)?;
        let values = cx.values();
        self.reliable.outstanding = Some(Outstanding {
            response: response.bytes().clone(),
            rseq,
            cseq: request.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            interval: values.t1,
            has_sdp,
            is_settled: false,
        });
        self.timers.set(Timer::ReliableRetransmit, now + values.t1);
        self.timers.set(Timer::ReliableUnacknowledged, now + values.patience());
        Ok(())
    }

    pub(super) fn retransmit_reliable(&mut self, cx: &mut Core, now: Instant) {
        let target =
            self.server.and_then(|server| cx.transactions.server(server)).map(|server| server.target());
        let Some((target, outstanding)) = target.zip(self.reliable.outstanding.as_mut()) else { return };
        // RFC 3262 §3: unlike a 2xx, its interval is not capped at T2.
        outstanding.interval *= 2;
        self.timers.set(Timer::ReliableRetransmit, now + outstanding.interval);
        cx.transmit(Transmit { target, bytes: outstanding.response.clone() });
    }

    pub(super) fn handle_reliable_unacknowledged(&mut self, cx: &mut Core, now: Instant) {
        self.stop_reliable();
        if matches!(self.phase, Phase::Offered | Phase::Accepting) {
            self.tell_ended(cx, EndReason::PrackMissing);
            self.refuse_invite(cx, now, 504, &Headers::new());
        }
    }

    /// The INVITE has its final response: nothing is sent again, but a PRACK under way is still answered.
    pub(super) fn stop_reliable(&mut self) {
        self.timers.stop(Timer::ReliableRetransmit);
        self.timers.stop(Timer::ReliableUnacknowledged);
        self.reliable.queue.clear();
        if let Some(outstanding) = &mut self.reliable.outstanding {
            outstanding.is_settled = true;
        }
    }

    /// A PRACK came.
    pub(crate) fn handle_prack(&mut self, cx: &mut Core, now: Instant, server: Id, request: &Message) {
        let matches =
            self.reliable.outstanding.as_ref().zip(rack(request)).is_some_and(
                |(outstanding, (rseq, cseq))| outstanding.rseq == rseq && outstanding.cseq == cseq,
            );
        if !matches {
            cx.answer(now, server, 481, &self.tag, &[]);
            return;
        }
        let is_settled = self.reliable.outstanding.take().is_some_and(|outstanding| outstanding.is_settled);
        self.timers.stop(Timer::ReliableRetransmit);
        self.timers.stop(Timer::ReliableUnacknowledged);
        let Some(usage) = self.usages.first_mut() else { return };
        let sdp = sdp(request);
        match (usage.negotiation.pending, sdp) {
            (Pending::Ours, Some(answer)) => {
                usage.negotiation.settle();
                self.remote_sdp = Some(answer.clone());
                cx.answer(now, server, 200, &self.tag, &[]);
                let session = self.session_id();
                self.tell(cx, Event::Prack { session, request: request.clone(), answer });
            }
            (Pending::Ours, None) => {
                // RFC 3262 §5: the PRACK of an offer must answer it. Without an answer there can be no session.
                cx.answer(now, server, 400, &self.tag, &[]);
                self.tell_ended(cx, EndReason::PeerMisbehaved("PRACK has no answer"));
                self.refuse_invite(cx, now, 500, &Headers::new());
                return;
            }
            (Pending::Nothing, Some(offer)) if usage.negotiation.is_answered() && !is_settled => {
                usage.negotiation.pending = Pending::Theirs;
                self.await_owner(now, RemoteChange::new(server, ChangeKind::Prack, true));
                let session = self.session_id();
                let kind = ChangeKind::Prack;
                self.tell(cx, Event::Change { session, request: request.clone(), kind, offer: Some(offer) });
                return;
            }
            (Pending::Nothing | Pending::Theirs, _) => cx.answer(now, server, 200, &self.tag, &[]),
        }
        self.go_on_after_prack(cx, now);
    }

    /// Sends what waited for a PRACK: the next provisional response, or the 2xx.
    pub(super) fn go_on_after_prack(&mut self, cx: &mut Core, now: Instant) {
        if self.reliable.outstanding.is_none()
            && let Some(reply) = self.reliable.queue.pop_front()
            && let Some(request) = self
                .server
                .and_then(|server| cx.transactions.server(server))
                .map(|server| server.request().clone())
        {
            // What cannot be sent now is not worth failing the call for: it is provisional.
            let _ = self.progress_reliably(cx, now, &request, reply);
        }
        self.release_ok(cx, now);
    }
}

/// The caller's side.
impl Session {
    /// Takes a provisional response in order (RFC 3262 §4). Returns nothing if it is to be dropped, and RSeq and CSeq
    /// for its PRACK if it is reliable.
    #[expect(clippy::option_option, reason = "dropped, unreliable, reliable")]
    pub(super) fn take_rseq(&mut self, at: usize, response: &Message) -> Option<Option<(u32, u32)>> {
        if self.profile.reliability == Reliability::Off || !response.lists(Name::Require, "100rel") {
            return Some(None);
        }
        let rseq = response.header(Name::RSeq)?.trim_ascii().parse::<u32>().ok()?;
        let cseq = response.cseq().ok()?.number;
        let usage = self.usages.get_mut(at)?;
        // One that comes again is acknowledged by the PRACK under way; one out of order will come again.
        if usage.rseq.is_some_and(|last| Some(rseq) != last.checked_add(1)) {
            return None;
        }
        usage.rseq = Some(rseq);
        Some(Some((rseq, cseq)))
    }

    pub(super) fn send_prack(
        &mut self,
        cx: &mut Core,
        now: Instant,
        at: usize,
        rack: (u32, u32),
        answer: Option<Bytes>,
    ) {
        let owner = Owner::Session(self.id, Purpose::Prack);
        let Some(usage) = self.usages.get_mut(at) else { return };
        let rack = format!("{} {} INVITE", rack.0, rack.1);
        let builder = usage.dialog.request(Method::Prack).header(Name::RAck, rack);
        let builder = with_sdp(cx.client_headers(builder), answer);
        let Ok(request) = builder.finish() else { return };
        let outgoing = Outgoing { request, contact: None, advertised: self.profile.advertised.clone() };
        // Should it not go out, the response comes again and the callee gives up in the end.
        let _ = cx.send(now, owner, outgoing, usage.dialog.next_hop());
    }

    /// Sends the PRACK that answers the offer of a reliable 18x.
    pub(crate) fn answer_progress(
        &mut self,
        cx: &mut Core,
        now: Instant,
        fork: ForkId,
        answer: Bytes,
    ) -> Result<(), Error> {
        self.live()?;
        let at = self.usages.iter().position(|usage| usage.fork == fork.0).ok_or(Error::UnknownSession)?;
        let usage = self.usages.get_mut(at).ok_or(Error::UnknownSession)?;
        let rack = usage.unanswered_progress.take().ok_or(Error::WrongState("no 18x waits for an answer"))?;
        usage.negotiation.settle();
        self.local_sdp = Some(answer.clone());
        self.send_prack(cx, now, at, rack, Some(answer));
        Ok(())
    }

    /// Something came of our PRACK. A callee that refuses it will fail the INVITE, which is what tells us.
    pub(crate) fn handle_prack_outcome(&mut self, outcome: &Outcome) {
        if let Outcome::Response(response, flow) = outcome
            && let Some(usage) = self
                .usages
                .iter_mut()
                .find(|usage| usage.dialog.remote_tag() == crate::transaction::to_tag(response))
        {
            usage.dialog.note_flow(*flow);
        }
    }
}

/// Reads RAck of an INVITE: RSeq and CSeq number.
fn rack(request: &Message) -> Option<(u32, u32)> {
    let mut words = request.header(Name::RAck)?.split_ascii_whitespace();
    let rseq = words.next()?.parse().ok()?;
    let cseq = words.next()?.parse().ok()?;
    (words.next() == Some("INVITE")).then_some((rseq, cseq))
}
