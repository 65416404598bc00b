//! Hold, resume, and every other change of media in a call that is up or about to be.
//!
//! What concerns one side only (another port, address or codec, a refresh) is answered at once, for the bridge
//! converts. What changes who may talk goes to the other side first, and its answer comes back. Each side's own
//! wish is kept, so that two holds end one after the other (RFC 3264 §8.4).

use super::Call;
use super::outcome::for_caller;
use crate::b2bua::Core;
use crate::event::{CallEvent, Side};
use crate::leg::Leg;
use bytes::Bytes;
use std::time::Instant;
use trunkline_media::{Direction, Wish};
use trunkline_model::Stage;
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::user_agent::{Body, Failure, Headers, Reply, SessionId};

/// A change that waits for the side that was asked.
pub(super) enum Pending {
    /// One side asked for it, and gets its answer when the other has answered.
    Asked {
        /// Who asked.
        by: Side,
        /// Its offer.
        offer: Bytes,
        /// What it wanted before.
        before: Direction,
    },
    /// Nobody asked: this side is told what it has not been told yet.
    CatchUp(Side),
    /// One side's offer was passed to the other as it was.
    Passed {
        /// Who asked.
        by: Side,
    },
}

impl Call {
    pub(super) fn leg_mut(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::Caller => Some(&mut self.caller),
            Side::Callee => self.callee.as_mut(),
        }
    }

    fn leg(&self, side: Side) -> Option<&Leg> {
        match side {
            Side::Caller => Some(&self.caller),
            Side::Callee => self.callee.as_ref(),
        }
    }

    /// A peer wants to change its session.
    pub(crate) fn handle_change(
        &mut self,
        core: &mut Core,
        now: Instant,
        side: Side,
        session: SessionId,
        _request: &Message,
        offer: Option<Bytes>,
    ) {
        if self.end.is_some() {
            let _ = core.ua.reject_change(now, session, Reply::new(481));
            return;
        }
        if self.stage != Stage::Answered && self.ringing.is_some() {
            // Nobody has agreed to anything yet that could be changed.
            let _ = core.ua.reject_change(now, session, Reply::new(500));
            return;
        }
        if self.stage != Stage::Answered {
            return self.change_early(core, now, side, session, offer);
        }
        if self.passes {
            return self.pass_change(core, now, side, session, offer);
        }
        match (&self.pending, &offer) {
            (None, _) => {}
            // What we offered this side met an offer of its own and waits for its turn (RFC 3261 §14.1).
            (Some(Pending::Asked { by, .. }), Some(offer)) if *by == side.other() => {
                let offer = offer.clone();
                return self.settle_glare(core, now, side, session, &offer);
            }
            (Some(Pending::CatchUp(told)), _) if *told == side => self.withdraw(side),
            (Some(Pending::Asked { .. } | Pending::CatchUp(_) | Pending::Passed { .. }), _) => {
                // RFC 3261 §14.2: the other side's change is under way.
                let _ = core.ua.reject_change(now, session, Reply::new(491));
                return;
            }
        }
        match offer {
            Some(offer) => self.change_by_offer(core, now, side, session, offer),
            None => self.make_offer(core, now, side, session),
        }
    }

    /// Both sides want a change at once: the answer to this one's offer tells it what the other wants, so that both
    /// are done.
    fn settle_glare(&mut self, core: &mut Core, now: Instant, side: Side, session: SessionId, offer: &[u8]) {
        let Some(leg) = self.leg_mut(side) else { return };
        let view = match leg.media.read_offer(offer) {
            Ok(view) => view,
            Err(error) => {
                let _ = core.ua.reject_change(now, session, Reply::new(error.status()));
                return;
            }
        };
        let changed = leg.wish != view.direction;
        leg.wish = view.direction;
        leg.media.rollback();
        if changed {
            core.event(CallEvent::DirectionChanged { call: self.id, side, direction: view.direction });
        }
        let asked = self.pending.take();
        self.answer_change(core, now, side, offer);
        match asked {
            Some(Pending::Asked { by, offer, .. }) => self.answer_change(core, now, by, &offer),
            Some(Pending::CatchUp(_) | Pending::Passed { .. }) | None => {}
        }
        self.catch_up(core, now);
    }

    /// Takes back what this side was offered and has not answered.
    fn withdraw(&mut self, side: Side) {
        self.pending = None;
        if let Some(leg) = self.leg_mut(side) {
            leg.media.rollback();
        }
    }

    fn change_by_offer(
        &mut self,
        core: &mut Core,
        now: Instant,
        side: Side,
        session: SessionId,
        offer: Bytes,
    ) {
        let Some(leg) = self.leg_mut(side) else { return };
        let view = match leg.media.read_offer(&offer) {
            Ok(view) => view,
            Err(error) => {
                let (code, text) = error.warning();
                let warning = format!("{code} trunkline \"{text}\"");
                let reply =
                    Reply::new(error.status()).with_headers(Headers::new().with(Name::Warning, warning));
                let _ = core.ua.reject_change(now, session, reply);
                return;
            }
        };
        let before = leg.wish;
        if view.direction == before {
            return self.answer_change(core, now, side, &offer);
        }
        leg.wish = view.direction;
        core.event(CallEvent::DirectionChanged { call: self.id, side, direction: view.direction });
        if self.tell_other(core, now, side) {
            self.pending = Some(Pending::Asked { by: side, offer, before });
        } else {
            // The other side can't be told now; it will be.
            self.answer_change(core, now, side, &offer);
        }
    }

    /// Offers the other side what this one wants. Returns false when that is not possible now.
    fn tell_other(&mut self, core: &mut Core, now: Instant, side: Side) -> bool {
        let Some(wish) = self.leg(side).map(Leg::wish_for) else { return false };
        let Some(other) = self.leg_mut(side.other()) else { return false };
        let Some(session) = other.session else { return false };
        let prefer = other.codec();
        let offer = other.offer(Wish { prefer, ..wish });
        match core.ua.reinvite(now, session, Some(offer), Headers::new()) {
            Ok(()) => true,
            Err(error) => {
                other.media.rollback();
                tracing::debug!(call = %self.id, %error, "the other side can't be asked now");
                false
            }
        }
    }

    /// Answers the offer of a change.
    fn answer_change(&mut self, core: &mut Core, now: Instant, side: Side, offer: &[u8]) {
        let wish = self.leg(side.other()).map_or_else(Wish::default, Leg::wish_for);
        let Some(leg) = self.leg_mut(side) else { return };
        let Some(session) = leg.session else { return };
        let replied = match leg.media.answer_to(offer, wish) {
            Ok(answer) => core.ua.accept_change(now, session, Headers::new(), Some(answer)),
            Err(error) => core.ua.reject_change(now, session, Reply::new(error.status())),
        };
        if let Err(error) = replied {
            tracing::debug!(call = %self.id, %error, "a change could not be answered");
        }
        self.bridge_leg(core, side);
    }

    /// A re-INVITE without an offer asks us for one: all that the other side would do, which ends a hold.
    fn make_offer(&mut self, core: &mut Core, now: Instant, side: Side, session: SessionId) {
        let wish = self.leg(side.other()).map_or_else(Wish::default, Leg::wish_for);
        let Some(leg) = self.leg_mut(side) else { return };
        let prefer = leg.codec();
        let offer = leg.offer(Wish { prefer, ..wish });
        if core.ua.accept_change(now, session, Headers::new(), Some(offer)).is_err() {
            leg.media.rollback();
        }
    }

    /// Before the answer a side may move its media (RFC 3311); who may talk is settled after the answer.
    fn change_early(
        &mut self,
        core: &mut Core,
        now: Instant,
        side: Side,
        session: SessionId,
        offer: Option<Bytes>,
    ) {
        let answer = match (side, offer) {
            (_, None) => Err(500),
            (Side::Caller, Some(offer)) => self.answer_early_caller(&offer),
            (Side::Callee, Some(offer)) => self.answer_early_callee(&offer),
        };
        let _ = match answer {
            Ok(answer) => core.ua.accept_change(now, session, Headers::new(), Some(answer)),
            Err(status) => core.ua.reject_change(now, session, Reply::new(status)),
        };
        match side {
            Side::Caller => self.bridge_leg(core, side),
            Side::Callee => self.bridge_early(core),
        }
    }

    fn answer_early_caller(&mut self, offer: &[u8]) -> Result<Bytes, u16> {
        let view = self.caller.media.read_offer(offer).map_err(|error| error.status())?;
        let prefer = self.early_codec();
        let wish = Wish { direction: Direction::SendRecv, prefer };
        let answer = self.caller.media.answer_to(offer, wish).map_err(|error| error.status())?;
        self.caller.wish = view.direction;
        Ok(answer)
    }

    fn answer_early_callee(&mut self, offer: &[u8]) -> Result<Bytes, u16> {
        let wish = Leg::wish_for(&self.caller);
        let newest = self.attempt.as_mut().and_then(|attempt| attempt.forks.last_mut());
        let (_, media) = newest.ok_or(500_u16)?;
        media.answer_to(offer, wish).map_err(|error| error.status())
    }

    /// The side that was asked has agreed.
    pub(crate) fn handle_changed(
        &mut self,
        core: &mut Core,
        now: Instant,
        side: Side,
        session: SessionId,
        body: Option<Body>,
    ) {
        if self.passes {
            return self.pass_changed(core, now, side, body);
        }
        let Some(leg) = self.leg_mut(side).filter(|leg| leg.session == Some(session)) else { return };
        let was_offering = leg.media.is_offering();
        match body {
            Some(Body::Answer(answer)) => match leg.media.accept_answer(&answer) {
                Ok(_) if was_offering => leg.note_answer(),
                // A refresh that was answered with other media; or nonsense, and the old media goes on.
                Ok(_) | Err(_) => leg.media.rollback(),
            },
            // Only a re-INVITE without an offer gets one, and we send none.
            Some(Body::Offer(_)) | None => leg.media.rollback(),
        }
        self.bridge_leg(core, side);
        match self.pending.take() {
            Some(Pending::Asked { by, offer, before: _ }) if by == side.other() => {
                self.answer_change(core, now, by, &offer);
            }
            Some(Pending::CatchUp(told)) if told == side => {}
            other => self.pending = other,
        }
        self.catch_up(core, now);
    }

    /// The side that was asked has refused: everything stays as it was, for the asking side too.
    pub(crate) fn handle_change_failed(
        &mut self,
        core: &mut Core,
        now: Instant,
        side: Side,
        failure: &Failure,
    ) {
        if self.passes {
            return self.pass_refusal(core, now, side, failure);
        }
        let Some(leg) = self.leg_mut(side) else { return };
        leg.media.rollback();
        match self.pending.take() {
            Some(Pending::Asked { by, before, .. }) if by == side.other() => {
                let status = match failure.status() {
                    // The asking side is to try again (RFC 3261 §14.1).
                    491 => 491,
                    // 408 would end the dialog (RFC 3261 §12.2.1.2), where only the change came to nothing.
                    408 => 504,
                    status => for_caller(status),
                };
                let Some(asking) = self.leg_mut(by) else { return };
                asking.wish = before;
                if let Some(session) = asking.session {
                    let _ = core.ua.reject_change(now, session, Reply::new(status));
                }
                core.event(CallEvent::DirectionChanged { call: self.id, side: by, direction: before });
            }
            // It does not take what the other side wants: that stands unheard, and RTP is not sent where the
            // directions forbid it.
            Some(Pending::CatchUp(told)) if told == side => {}
            other => self.pending = other,
        }
    }

    /// A side has cancelled its re-INVITE: what it had asked the other side for is taken back there too.
    pub(crate) fn handle_change_cancelled(&mut self, core: &mut Core, now: Instant, side: Side) {
        if self.passes {
            return self.pass_cancel(core, now, side);
        }
        match self.pending.take() {
            Some(Pending::Asked { by, before, .. }) if by == side => {
                let Some(leg) = self.leg_mut(side) else { return };
                leg.wish = before;
                core.event(CallEvent::DirectionChanged { call: self.id, side, direction: before });
                // Its CANCEL may be late: if it agrees all the same, it is told anew what this side wants.
                self.pending = Some(Pending::CatchUp(side.other()));
                let asked = self.leg(side.other()).and_then(|leg| leg.session);
                if let Some(session) = asked
                    && let Err(error) = core.ua.cancel_change(now, session)
                {
                    tracing::debug!(call = %self.id, %error, "the other side's change is not under way");
                }
            }
            other => self.pending = other,
        }
    }

    /// Tells a side what the other wants, where it could not be told before: after a delayed offer, an early
    /// change, or an answer that met with early media.
    pub(super) fn catch_up(&mut self, core: &mut Core, now: Instant) {
        if self.passes || self.pending.is_some() || self.stage != Stage::Answered || self.end.is_some() {
            return;
        }
        for side in Side::BOTH {
            let (Some(leg), Some(other)) = (self.leg(side), self.leg(side.other())) else { return };
            let behind = leg.is_behind(other) && !leg.media.is_offering();
            if behind && self.tell_other(core, now, side.other()) {
                self.pending = Some(Pending::CatchUp(side));
                return;
            }
        }
    }
}
