//! Calls between browsers, whose descriptions are passed from end to end: what they agree on (video, data, text) is
//! theirs, and their media goes its own way.

use super::Call;
use super::change::Pending;
use super::ring::Winner;
use crate::b2bua::{CallTimer, Core};
use crate::event::{CallEvent, Side};
use crate::leg::Leg;
use bytes::Bytes;
use std::time::Instant;
use trunkline_media::Direction;
use trunkline_model::Stage;
use trunkline_sip::user_agent::{Body, Failure, Headers, Reply, SessionId};

impl Call {
    /// Whether descriptions are passed from end to end.
    pub(crate) fn passes(&self) -> bool {
        self.passes
    }

    /// Answers the caller with what the callee answered.
    pub(super) fn connect_passing(&mut self, core: &mut Core, now: Instant, winner: Winner, answer: Bytes) {
        self.callee = Some(Leg {
            session: Some(winner.session),
            user: Some(winner.user),
            trunk: winner.users,
            media: winner.media,
            wish: Direction::SendRecv,
            offered: Direction::SendRecv,
            bridged: None,
            path: None,
        });
        if let Some(session) = self.caller.session
            && let Err(error) = core.ua.accept(now, session, Headers::new(), Some(answer))
        {
            return self.answer_failed(core, now, &error);
        }
        self.answered = Some(now);
        self.stage = Stage::Answered;
        core.totals.answered += 1;
        if let Some(max) = core.config.limits.duration_max {
            core.timers.set(self.id.serial, CallTimer::Duration, now + max);
        }
        core.event(CallEvent::Answered { call: self.id });
    }

    /// One end changes its session: the other is asked.
    pub(super) fn pass_change(
        &mut self,
        core: &mut Core,
        now: Instant,
        side: Side,
        session: SessionId,
        offer: Option<Bytes>,
    ) {
        let status = match (&self.pending, offer) {
            (Some(_), _) => 491,
            // An offer that is left to the other end would need its ACK passed on as well.
            (None, None) => 488,
            (None, Some(offer)) => {
                let asked = self.session(side.other());
                let sent = asked.map(|asked| core.ua.reinvite(now, asked, Some(offer), Headers::new()));
                match sent {
                    Some(Ok(())) => {
                        self.pending = Some(Pending::Passed { by: side });
                        return;
                    }
                    Some(Err(_)) | None => 500,
                }
            }
        };
        let _ = core.ua.reject_change(now, session, Reply::new(status));
    }

    /// The other end has agreed.
    pub(super) fn pass_changed(&mut self, core: &mut Core, now: Instant, side: Side, body: Option<Body>) {
        let Some(by) = self.take_passed(side.other()) else { return };
        let _ = match body {
            Some(Body::Answer(answer)) => core.ua.accept_change(now, by, Headers::new(), Some(answer)),
            Some(Body::Offer(_)) | None => core.ua.reject_change(now, by, Reply::new(500)),
        };
    }

    /// The other end has refused.
    pub(super) fn pass_refusal(&mut self, core: &mut Core, now: Instant, side: Side, failure: &Failure) {
        let Some(by) = self.take_passed(side.other()) else { return };
        let status = match failure.status() {
            // 408 and 481 would end the dialog (RFC 3261 §12.2.1.2), where only the change came to nothing.
            408 | 481 => 504,
            status => status,
        };
        let _ = core.ua.reject_change(now, by, Reply::new(status));
    }

    /// The end that asked takes it back.
    pub(super) fn pass_cancel(&mut self, core: &mut Core, now: Instant, side: Side) {
        if self.take_passed(side).is_some()
            && let Some(asked) = self.session(side.other())
        {
            let _ = core.ua.cancel_change(now, asked);
        }
    }

    /// Returns the session of the end that asked for the change under way.
    fn take_passed(&mut self, by: Side) -> Option<SessionId> {
        match self.pending {
            Some(Pending::Passed { by: asked }) if asked == by => {
                self.pending = None;
                self.session(by)
            }
            _ => None,
        }
    }
}
