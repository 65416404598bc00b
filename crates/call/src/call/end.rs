//! The end of a call, and its record.

use super::outcome::for_caller;
use super::reason::Reason;
use super::{Call, End};
use crate::b2bua::{CallTimer, Core};
use crate::event::{BridgeStats, CallEvent, Side};
use std::time::{Duration, Instant};
use trunkline_model::{CallRecord, Cause, Party, Q850, Stage};
use trunkline_sip::user_agent::{EndReason, Reply, SessionId};

/// How long the record of a call waits for the statistics of its media.
///
/// A media worker answers within a few packets' time; one that does not is stuck, and the record matters more.
const RECORD_WAIT: Duration = Duration::from_secs(1);

/// What the end of one leg means for the call.
struct Parting {
    sip: u16,
    q850: Q850,
    by: Party,
    detail: String,
    /// What the other side is told.
    reason: Reason,
}

impl Call {
    /// A leg is over, by its peer or for a fault.
    pub(crate) fn handle_end(
        &mut self,
        core: &mut Core,
        now: Instant,
        side: Side,
        session: SessionId,
        reason: &EndReason,
    ) {
        let is_attempt = self.attempt.as_ref().is_some_and(|attempt| attempt.session == session);
        match self.leg_mut(side) {
            Some(leg) if leg.session == Some(session) => leg.session = None,
            Some(_) | None if is_attempt => {
                self.gateway_lives_no_more(core);
                self.attempt = None;
            }
            Some(_) | None => return,
        }
        if self.end.is_some() {
            return;
        }
        if side == Side::Caller && self.stage == Stage::Answered && is_of_invite(reason) {
            // The callee has answered, but the 200 for the caller waited for a PRACK and was never sent.
            self.answered = None;
            self.stage = Stage::Ringing;
        }
        let parting = self.parting(side, reason);
        let mut cause = self.cause(parting.sip, parting.q850, parting.by, parting.detail);
        cause.trunk = match side {
            Side::Caller => Some(self.caller.trunk.id.clone()),
            Side::Callee => self.trunk_out.as_ref().map(|trunk| trunk.id.clone()),
        };
        self.finish(core, now, cause, parting.reason);
    }

    fn parting(&self, side: Side, reason: &EndReason) -> Parting {
        let peer = match side {
            Side::Caller => Party::Caller,
            Side::Callee => Party::Callee,
        };
        let up = self.stage == Stage::Answered;
        // What the caller gets, if it is still there to get it.
        let shown = |status: u16| match (up, side) {
            (true, Side::Caller | Side::Callee) => 200,
            (false, Side::Caller) => status,
            (false, Side::Callee) => for_caller(status),
        };
        let fault = |status: u16, by: Party, detail: &str| Parting {
            sip: shown(status),
            q850: Q850::from_sip(status),
            by,
            detail: detail.to_owned(),
            reason: Reason::q850(Q850::from_sip(status)),
        };
        match reason {
            EndReason::Bye(message) | EndReason::Cancel(message) => {
                let said = Reason::of(message);
                let q850 = said.q850.unwrap_or(Q850::NORMAL_CLEARING);
                Parting {
                    sip: shown(487),
                    q850,
                    by: peer,
                    detail: String::new(),
                    reason: Reason { q850: Some(q850), ..said },
                }
            }
            EndReason::AckMissing => fault(408, Party::Trunkline, "no ACK for the answer"),
            EndReason::PrackMissing => fault(504, Party::Trunkline, "no PRACK for a reliable 18x"),
            EndReason::SessionExpired => fault(408, Party::Trunkline, "the session was not refreshed"),
            EndReason::DialogGone => fault(481, peer, "the peer no longer knows the dialog"),
            EndReason::Rejected(status) => {
                fault(*status, Party::Trunkline, "what the peer requires can't be had")
            }
            EndReason::PeerMisbehaved(what) => fault(500, peer, what),
            EndReason::Local => fault(500, Party::Trunkline, "ended by the user agent"),
        }
    }

    /// Ends the call for a reason of our own.
    pub(crate) fn end_by_us(&mut self, core: &mut Core, now: Instant, status: u16, q850: Q850, detail: &str) {
        if self.end.is_some() {
            return;
        }
        let sip = if self.stage == Stage::Answered { 200 } else { status };
        let mut cause = self.cause(sip, q850, Party::Trunkline, detail.to_owned());
        cause.trunk = self.trunk_out.as_ref().map(|trunk| trunk.id.clone());
        self.finish(core, now, cause, Reason::q850(q850));
    }

    /// Ends the call after a panic, wherever that has left it.
    pub(crate) fn abandon(&mut self, core: &mut Core, now: Instant) {
        if self.end.is_some() {
            // It was ending already; its record must not wait for what may never come.
            return self.record(core, BridgeStats::default());
        }
        // Q.850 41: temporary failure.
        self.end_by_us(core, now, 500, Q850(41), "an error in this program");
    }

    pub(super) fn cause(&self, sip: u16, q850: Q850, ended_by: Party, detail: String) -> Cause {
        Cause { sip, q850, ended_by, stage: self.stage, trunk: None, detail }
    }

    /// Ends what is left of the call: every leg, the bridge, the places on the trunks; and writes the record once
    /// the media worker has told what it saw.
    pub(super) fn finish(&mut self, core: &mut Core, now: Instant, cause: Cause, reason: Reason) {
        if self.end.is_some() {
            return;
        }
        self.gateway_lives_no_more(core);
        core.timers.stop_all(self.id.serial);
        self.pending = None;
        self.stop_ringing(core, now, &reason.headers());
        // Errors mean that the user agent has ended the session itself, with its event on the way.
        if let Some(attempt) = self.attempt.take() {
            let _ = core.ua.hangup(now, attempt.session, reason.headers());
        }
        if let Some(session) = self.callee.as_mut().and_then(|leg| leg.session.take()) {
            let _ = core.ua.hangup(now, session, reason.headers());
        }
        if let Some(session) = self.caller.session.take() {
            let _ = match self.stage {
                Stage::Answered => core.ua.hangup(now, session, reason.headers()),
                Stage::Admission | Stage::Routing | Stage::Ringing => {
                    let reply = Reply::new(cause.sip).with_headers(reason.headers());
                    core.ua.reject(now, session, reply)
                }
            };
        }
        core.trunks.release_call(&self.caller.trunk.id);
        if let Some(trunk) = &self.trunk_out {
            core.trunks.release_call(&trunk.id);
        }
        core.totals.ended += 1;
        self.end = Some(End { cause, at: now, recorded: false });
        match self.bridge {
            Some(opened) => {
                core.close_bridge(opened.id);
                core.timers.set(self.id.serial, CallTimer::Record, now + RECORD_WAIT);
            }
            None => self.record(core, BridgeStats::default()),
        }
    }

    pub(super) fn record(&mut self, core: &mut Core, stats: BridgeStats) {
        let Some(end) = self.end.as_mut().filter(|end| !end.recorded) else { return };
        end.recorded = true;
        let since = |at: Instant| at.saturating_duration_since(self.started);
        let record = CallRecord {
            call: self.id,
            from: self.who.said.clone(),
            to: self.dialled.clone(),
            trunk_in: Some(self.caller.trunk.id.clone()),
            trunk_out: self.trunk_out.as_ref().map(|trunk| trunk.id.clone()),
            signalling: self.signalling.clone(),
            attempts: u16::try_from(self.tried.len()).unwrap_or(u16::MAX),
            started_unix_ms: self.started_unix_ms,
            rang_after: self.rang.map(since),
            answered_after: self.answered.map(since),
            ended_after: since(end.at),
            cause: end.cause.clone(),
            caller_media: stats.caller.filter(|_| self.answered.is_some() || self.early_media),
            callee_media: stats.callee.filter(|_| self.answered.is_some() || self.early_media),
        };
        core.event(CallEvent::Ended { record: Box::new(record) });
    }
}

/// Whether a session ended by a final response to its INVITE other than 2xx.
fn is_of_invite(reason: &EndReason) -> bool {
    match reason {
        EndReason::Cancel(_) | EndReason::PrackMissing | EndReason::Rejected(_) => true,
        EndReason::Local
        | EndReason::Bye(_)
        | EndReason::AckMissing
        | EndReason::SessionExpired
        | EndReason::DialogGone
        | EndReason::PeerMisbehaved(_) => false,
    }
}
