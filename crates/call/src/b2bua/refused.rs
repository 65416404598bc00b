//! Calls that are refused before they are calls: told once each, and recorded.

use super::B2bua;
use super::admit::asked;
use crate::event::CallEvent;
use crate::explain::{Asked, Refusal, explain};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};
use trunkline_model::{CallRecord, Cause, Party, Q850, Stage};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::transport::Flow;

/// INVITEs that were refused without a transaction, so that nothing else knows their retransmissions.
///
/// A table of marks, each where its own value puts it: a newer INVITE may take the place of an older one, which then
/// is told twice at worst.
pub(super) struct RefusedLately {
    marks: Box<[u64]>,
    key: u64,
}

/// How many refused INVITEs are known again: those of a flood are told 20 a second, and retransmissions come within
/// 32 s.
const MARKS: usize = 4096;

impl RefusedLately {
    pub(super) fn new(key: u64) -> Self {
        Self { marks: vec![0; MARKS].into(), key }
    }

    /// Takes note of a refused INVITE. Says whether it has not come before.
    fn is_new(&mut self, invite: &Message, flow: Flow) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.key, flow.remote).hash(&mut hasher);
        for name in [Name::Via, Name::CallId, Name::CSeq, Name::From] {
            invite.raw(name).hash(&mut hasher);
        }
        let mark = hasher.finish();
        match self.marks.get_mut(mark as usize % MARKS) {
            Some(place) => std::mem::replace(place, mark) != mark,
            None => true,
        }
    }
}

impl B2bua {
    /// The user agent refused an INVITE that never became a session.
    pub(super) fn handle_refused(
        &mut self,
        now: Instant,
        request: &Message,
        flow: Flow,
        status: u16,
        reason: String,
    ) {
        if self.refused_lately.is_new(request, flow) {
            self.core.totals.offered += 1;
            self.tell_refused(now, asked(request, flow), Refusal::UserAgent { status, reason });
        }
    }

    /// A source that belongs to no trunk was turned away with its INVITE.
    pub(super) fn tell_of_stranger(&mut self, now: Instant, request: &Message, flow: Flow) {
        if self.refused_lately.is_new(request, flow) {
            self.core.totals.offered += 1;
            self.tell_refused(now, asked(request, flow), Refusal::UnknownSource);
        }
    }

    /// Tells of a call that was refused, and writes its record.
    pub(super) fn tell_refused(&mut self, now: Instant, asked: Asked, refusal: Refusal) {
        self.core.totals.refused += 1;
        let trunk = self.table.identify(asked.source, asked.transport).map(|trunk| trunk.id.clone());
        if trunk.is_none() && !self.strangers.may_tell(now) {
            self.core.totals.refused_unreported += 1;
            return;
        }
        let call = self.core.new_call();
        let status = refusal.status();
        let cause = Cause {
            sip: status,
            q850: Q850::from_sip(status),
            ended_by: Party::Trunkline,
            stage: Stage::Admission,
            trunk: trunk.clone(),
            detail: refusal.to_string(),
        };
        let explain = explain(&self.table, &self.core.trunks, &asked, Some(refusal), now);
        self.core.event(CallEvent::Refused { call, explain: Box::new(explain), status });
        self.core.totals.ended += 1;
        let record = CallRecord {
            call,
            signalling: asked.signalling(),
            from: asked.from,
            to: asked.to,
            trunk_in: trunk,
            trunk_out: None,
            attempts: 0,
            started_unix_ms: self.core.unix_ms(now),
            rang_after: None,
            answered_after: None,
            ended_after: Duration::ZERO,
            cause,
            caller_media: None,
            callee_media: None,
        };
        self.core.event(CallEvent::Ended { record: Box::new(record) });
    }
}
