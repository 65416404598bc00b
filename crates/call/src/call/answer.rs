//! Ringing, early media and the answer.

use super::attempt::Attempt;
use super::reason::Reason;
use super::ring::Winner;
use super::{Call, Prack};
use crate::b2bua::{CallTimer, Core};
use crate::command::{BridgeCommand, Gate};
use crate::event::{CallEvent, Side};
use crate::leg::Leg;
use bytes::Bytes;
use std::time::Instant;
use trunkline_media::offer::Error;
use trunkline_media::{Direction, MediaSession, Wish};
use trunkline_model::{Codec, Party, Q850, Stage};
use trunkline_sip::message::Message;
use trunkline_sip::user_agent::{Body, ForkId, Headers, Reply, SessionId};

/// Early dialog terminated (RFC 6228): a fork is gone. It means nothing to the caller.
const FORK_GONE: u16 = 199;

impl Call {
    pub(crate) fn handle_progress(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        (fork, body, _reliable): (ForkId, Option<Body>, bool),
        response: &Message,
    ) {
        let status = response.status().unwrap_or_default();
        if self.is_ringing(session) {
            return self.contact_rings(core, now, status);
        }
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.session == session) else {
            return;
        };
        if status == FORK_GONE {
            attempt.forks.retain(|(known, _)| *known != fork);
            return;
        }
        let has_media = match body {
            Some(Body::Answer(answer)) => attempt.note_answer(fork, &answer),
            // Our INVITEs make the offer, so that the user agent takes no other for one (RFC 3262 §5).
            Some(Body::Offer(_)) | None => Ok(false),
        };
        let has_media = has_media.unwrap_or_else(|error| {
            // RFC 3264 can't be met by what it described; the ringing is real all the same.
            tracing::debug!(call = %self.id, %error, "early media can't be used");
            false
        });
        if has_media {
            self.bridge_early(core);
        }
        self.note_ringing(core, now, has_media);
        self.relay_progress(core, now, status, has_media);
    }

    /// Lets the caller hear the newest fork.
    pub(super) fn bridge_early(&mut self, core: &mut Core) {
        let Some(attempt) = &mut self.attempt else { return };
        let newest = attempt.forks.last().and_then(|(_, media)| media.negotiated().copied());
        let Some(negotiated) = newest else { return };
        if attempt.bridged != newest {
            attempt.bridged = newest;
            self.tell_bridge(core, BridgeCommand::Negotiated { side: Side::Callee, negotiated });
        }
    }

    fn note_ringing(&mut self, core: &mut Core, now: Instant, has_media: bool) {
        let Some(attempt) = &mut self.attempt else { return };
        let first = !std::mem::replace(&mut attempt.rings, true);
        let first_media = has_media && !self.early_media && self.caller_offer.is_some();
        if first {
            self.rang.get_or_insert(now);
            self.stage = Stage::Ringing;
            core.timers.set(self.id.serial, CallTimer::Ring, now + attempt.trunk.ring_max);
        }
        if first || first_media {
            core.event(CallEvent::Ringing { call: self.id, early_media: first_media });
        }
    }

    /// Sends a 18x on to the caller: each one, also a 180 after a 183, for it may change what the caller hears.
    fn relay_progress(&mut self, core: &mut Core, now: Instant, status: u16, has_media: bool) {
        let Some(session) = self.caller.session else { return };
        let status = if matches!(status, 180..=183) { status } else { 183 };
        let mut reply = Reply::new(status);
        let sdp = match self.caller_offer {
            Some(_) if has_media => self.answer_for_caller(None),
            Some(_) => None,
            None => self.early_offer(has_media),
        };
        if let Some(sdp) = sdp {
            reply = reply.with_sdp(sdp);
        }
        self.bridge_leg(core, Side::Caller);
        self.let_early_media_through(core);
        if let Err(error) = core.ua.progress(now, session, reply) {
            tracing::debug!(call = %self.id, %error, "18x not passed on");
        }
    }

    /// Returns our offer to a caller that made none, where a reliable 18x can carry it: the first reliable response
    /// has to (RFC 3261 §13.2.1), and without it there is no early media.
    fn early_offer(&mut self, has_media: bool) -> Option<Bytes> {
        let wanted = match self.caller_prack {
            Prack::Never => false,
            Prack::WithMedia => has_media,
            Prack::Always => true,
        };
        if !wanted || self.caller.is_described() {
            return None;
        }
        let prefer = self.early_codec();
        Some(self.caller.offer(Wish { direction: Direction::SendRecv, prefer }))
    }

    /// Opens the bridge for early media once both sides are agreed on theirs.
    fn let_early_media_through(&mut self, core: &mut Core) {
        let has_media = self.attempt.as_ref().is_some_and(|attempt| attempt.bridged.is_some());
        if has_media && self.caller.media.negotiated().is_some() {
            self.early_media = true;
            self.open_gate(core, Gate::Early);
        }
    }

    /// Returns the answer to the caller's offer, the same every time; none when the caller made no offer.
    ///
    /// Before the answer the direction is what the caller asked for, whatever an announcement's is: a 183 that
    /// says `sendonly` is no hold, and all 18x and the 200 have to show the caller one description
    /// (RFC 6337 §3.1.1).
    fn answer_for_caller(&mut self, callee: Option<Wish>) -> Option<Bytes> {
        if self.caller.media.negotiated().is_some() {
            return self.caller.media.standing().cloned();
        }
        let offer = self.caller_offer.as_ref()?;
        let prefer = callee.map_or_else(|| self.early_codec(), |wish| wish.prefer);
        let direction = callee.map_or(Direction::SendRecv, |wish| wish.direction);
        // Read at admission, so that it can be answered.
        self.caller.media.answer_to(offer, Wish { direction, prefer }).ok()
    }

    pub(super) fn early_codec(&self) -> Option<Codec> {
        let (_, media) = self.attempt.as_ref()?.forks.last()?;
        media.negotiated()?.send.audio().map(|(_, codec)| codec)
    }

    pub(crate) fn handle_answer(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        fork: ForkId,
        body: Option<Body>,
        response: &Message,
    ) {
        if self.is_ringing(session) {
            return self.contact_answered(core, now, session, body, response);
        }
        if self.attempt.as_ref().is_none_or(|attempt| attempt.session != session) {
            return;
        }
        self.gateway_lives_no_more(core);
        self.signalling.callee_status = response.status();
        let Some(mut attempt) = self.attempt.take() else { return };
        match attempt.take_answered(fork, body) {
            Ok(media) => {
                let Attempt { session, trunk, offered, bridged, .. } = attempt;
                let (session, wish) = (Some(session), Direction::SendRecv);
                let leg = Leg { session, user: None, trunk, media, wish, offered, bridged, path: None };
                self.connect(core, now, leg);
            }
            Err(error) => {
                let _ = core.ua.hangup(now, session, Reason::q850(Q850::INTERWORKING).headers());
                let detail = format!("the callee's answer can't be used: {error}");
                let mut cause = self.cause(488, Q850::INTERWORKING, Party::Callee, detail);
                cause.trunk = Some(attempt.trunk.id.clone());
                self.finish(core, now, cause, Reason::q850(Q850::INTERWORKING));
            }
        }
    }

    /// A user has answered.
    pub(super) fn connect_user(&mut self, core: &mut Core, now: Instant, winner: Winner) {
        let Winner { session, user, users: trunk, media } = winner;
        let (session, user, wish) = (Some(session), Some(user), Direction::SendRecv);
        let offered = self.caller.wish;
        self.connect(
            core,
            now,
            Leg { session, user, trunk, media, wish, offered, bridged: None, path: None },
        );
    }

    fn connect(&mut self, core: &mut Core, now: Instant, mut callee: Leg) {
        let silences = [self.caller.trunk.media.silence_max, callee.trunk.media.silence_max];
        callee.note_answer();
        let wish = Leg::wish_for(&callee);
        let sdp = match self.answer_for_caller(Some(wish)) {
            Some(answer) => Some(answer),
            // The offer in a 18x, whose PRACK is on the way, is the only one.
            None if self.caller.media.is_offering() => None,
            None => Some(self.caller.offer(wish)),
        };
        self.callee = Some(callee);
        if let Some(session) = self.caller.session
            && let Err(error) = core.ua.accept(now, session, Headers::new(), sdp)
        {
            return self.answer_failed(core, now, &error);
        }
        self.answered = Some(now);
        self.stage = Stage::Answered;
        core.totals.answered += 1;
        if let Some(max) = core.config.limits.duration_max {
            core.timers.set(self.id.serial, CallTimer::Duration, now + max);
        }
        self.bridge_leg(core, Side::Callee);
        self.bridge_leg(core, Side::Caller);
        let silence = silences.into_iter().flatten().min();
        if silence.is_some() {
            self.tell_bridge(core, BridgeCommand::SilenceMax(silence));
        }
        self.open_gate(core, Gate::Open);
        core.event(CallEvent::Answered { call: self.id });
    }

    /// The caller could not be told of the answer: there is no call, and the callee is hung up.
    pub(super) fn answer_failed(&mut self, core: &mut Core, now: Instant, error: &trunkline_sip::Error) {
        if matches!(error, trunkline_sip::Error::UnknownSession) {
            // The caller is gone, with its event on the way.
            return;
        }
        tracing::warn!(call = %self.id, %error, "the caller could not be answered");
        self.end_by_us(core, now, 500, Q850::INTERWORKING, "the answer could not be written for the caller");
    }

    /// The ACK for a 2xx of ours came, or a PRACK with an answer.
    pub(crate) fn handle_ack(&mut self, core: &mut Core, now: Instant, side: Side, answer: Option<Bytes>) {
        let Some(leg) = self.leg_mut(side) else { return };
        if leg.media.is_offering() {
            let accepted = answer.map(|answer| leg.media.accept_answer(&answer));
            match accepted {
                Some(Ok(_)) => leg.note_answer(),
                // Without a first answer there is no session at all (RFC 3261 §13.2.1).
                Some(Err(_)) | None if leg.media.negotiated().is_none() => {
                    let detail = "our offer was not answered";
                    return self.end_by_us(core, now, 488, Q850::INTERWORKING, detail);
                }
                Some(Err(_)) | None => leg.media.rollback(),
            }
            self.bridge_leg(core, side);
        }
        if self.stage != Stage::Answered {
            return self.let_early_media_through(core);
        }
        self.catch_up(core, now);
    }
}

impl Attempt {
    /// Notes the answer of a fork, which becomes the newest.
    fn note_answer(&mut self, fork: ForkId, answer: &[u8]) -> Result<bool, Error> {
        let known = self.forks.iter().position(|(known, _)| *known == fork);
        let mut media = match known {
            Some(at) => self.forks.remove(at).1,
            None => self.media.clone(),
        };
        let accepted = media.accept_answer(answer);
        if accepted.is_ok() || known.is_some() {
            self.forks.push((fork, media));
        }
        accepted.map(|_| true)
    }

    /// Returns the media of the fork that answered. A description in the 200 counts even if a 18x had one: it
    /// may name another port or codec.
    fn take_answered(&mut self, fork: ForkId, body: Option<Body>) -> Result<MediaSession, Error> {
        let known = self.forks.iter().position(|(known, _)| *known == fork);
        let mut media = known.map_or_else(|| self.media.clone(), |at| self.forks.swap_remove(at).1);
        match body {
            Some(Body::Answer(answer)) => {
                media.accept_answer(&answer)?;
            }
            // We offered; an offer in return is none that can be answered in an ACK.
            Some(Body::Offer(_)) => return Err(Error::OfferPending),
            None => {}
        }
        if media.negotiated().is_some() { Ok(media) } else { Err(Error::NoAudio) }
    }
}
