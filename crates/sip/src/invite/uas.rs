//! The callee's side: INVITE, our responses, and the 2xx until its ACK (RFC 3261 §13.3).

use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkline_model::Reliability;

use super::offer::{Delivery, Pending, sdp};
use super::{Phase, Session, Usage, with_headers, with_sdp};
use crate::dialog::Dialog;
use crate::error::Error;
use crate::header::Name;
use crate::message::{BuildError, Message, response_to};
use crate::status::reason_phrase;
use crate::timer::Timer;
use crate::transport::{Flow, Target, Transmit};
use crate::user_agent::core::Core;
use crate::user_agent::send::Contact;
use crate::user_agent::table::Id;
use crate::user_agent::{EndReason, Event, Headers, Profile, Reply, is_free};

/// A 2xx of ours that has no ACK yet.
#[derive(Debug)]
pub(crate) struct UnacknowledgedOk {
    response: Bytes,
    target: Target,
    number: u32,
    interval: Duration,
    /// Whether it held an offer, which the ACK answers.
    offered: bool,
}

/// How long the owner may leave an INVITE without a final response.
///
/// Callers and the proxies between give up after three minutes (RFC 3261 §16.6 timer C); one that is still here
/// after ten has vanished without CANCEL.
const RING_MAX: Duration = Duration::from_secs(600);

/// How often a provisional response is repeated, so that one that is lost does no harm: proxies give an INVITE up
/// that had none for three minutes (RFC 3261 §13.3.1.1).
const PROGRESS_REPEAT: Duration = Duration::from_secs(60);

/// The same for one that is sure to arrive (RFC 3262 §3).
const PROGRESS_REPEAT_RELIABLE: Duration = Duration::from_secs(150);

impl Session {
    /// Takes a new INVITE. There is none if it can make no dialog.
    pub(crate) fn be_called(
        cx: &mut Core,
        now: Instant,
        id: Id,
        local_tag: u64,
        server: Id,
        request: &Message,
        flow: Flow,
    ) -> Option<Self> {
        let user = request.uri().ok().and_then(|uri| uri.user_raw().map(Box::from));
        let profile = cx.config.profile.clone();
        let mut session = Self::new(id, local_tag, profile, Contact { user }, Phase::Offered);
        let mut dialog = Dialog::of_request(request, &session.tag, flow)?;
        dialog.follow_source(session.profile.follow_source);
        let offer = sdp(request);
        let pending = if offer.is_some() { Pending::Theirs } else { Pending::Nothing };
        let mut usage = Usage::new(0, dialog, pending);
        usage.note_capabilities(request);
        session.usages.push(usage);
        session.remote_sdp = offer;
        session.server = Some(server);
        session.timers.set(Timer::OwnerAnswer, now + RING_MAX);
        Some(session)
    }

    /// Tells the owner of the INVITE.
    pub(crate) fn offer_to_owner(&self, cx: &mut Core, request: Message, flow: Flow) {
        let offer = self.remote_sdp.clone();
        cx.event(Event::Incoming { session: self.session_id(), request, flow, offer });
    }

    /// Takes the profile of the peer, and rejects the INVITE if they do not go together.
    pub(crate) fn adopt(&mut self, cx: &mut Core, now: Instant, profile: Profile) -> Result<(), Error> {
        self.live()?;
        self.session_timer = super::session_timer::SessionTimer::new(profile.session_timer);
        self.profile = profile;
        for usage in &mut self.usages {
            usage.dialog.follow_source(self.profile.follow_source);
        }
        // The event of the end says by which status it was rejected.
        let _ = self.check_requirements(cx, now);
        Ok(())
    }

    /// Checks an INVITE that the owner does not know of yet, and need not if it is rejected.
    pub(crate) fn check_requirements_unseen(&mut self, cx: &mut Core, now: Instant) -> Result<(), u16> {
        self.told = true;
        let checked = self.check_requirements(cx, now);
        self.told = checked.is_err();
        checked
    }

    /// Rejects an INVITE that requires what the profile forbids, or does not offer what it requires, and says by which
    /// status.
    fn check_requirements(&mut self, cx: &mut Core, now: Instant) -> Result<(), u16> {
        if self.phase != Phase::Offered {
            return Ok(());
        }
        let Some(request) = self.invite_request(cx) else { return Ok(()) };
        let peer_can = request.lists(Name::Supported, "100rel") || request.lists(Name::Require, "100rel");
        let (status, header) = match self.profile.reliability {
            Reliability::Off if request.lists(Name::Require, "100rel") => {
                (420, (Name::Unsupported, "100rel".to_owned()))
            }
            Reliability::Required if !peer_can => (421, (Name::Require, "100rel".to_owned())),
            Reliability::Off | Reliability::Supported | Reliability::Required => {
                match self.session_timer.refusal(&request) {
                    Some(min) => (422, (Name::MinSe, min)),
                    None => return Ok(()),
                }
            }
        };
        self.tell_ended(cx, EndReason::Rejected(status));
        self.refuse_invite(cx, now, status, &Headers::new().with(header.0, header.1));
        Err(status)
    }

    /// Returns the peer's INVITE while it is not answered.
    fn invite_request(&self, cx: &Core) -> Option<Message> {
        cx.transactions.server(self.server?).map(|server| server.request().clone())
    }

    /// Sends a provisional response.
    pub(crate) fn progress(&mut self, cx: &mut Core, now: Instant, reply: Reply) -> Result<(), Error> {
        self.live()?;
        if self.phase != Phase::Offered {
            return Err(Error::WrongState("the INVITE is answered"));
        }
        if !(101..200).contains(&reply.status) {
            return Err(Error::Malformed("provisional status"));
        }
        let request = self.invite_request(cx).ok_or(Error::WrongState("there is no INVITE"))?;
        let mut again = reply.clone();
        let interval = if self.wants_reliable(&request, reply.body.is_some()) {
            self.progress_reliably(cx, now, &request, reply)?;
            // What it described has arrived for good.
            again.body = None;
            PROGRESS_REPEAT_RELIABLE
        } else {
            self.send_progress(cx, now, &request, reply, Delivery::Unreliable, &[])?;
            PROGRESS_REPEAT
        };
        self.repeated = Some(again);
        self.timers.set(Timer::ProgressRepeat, now + interval);
        Ok(())
    }

    /// Sends the last provisional response again: the owner still has no answer.
    pub(super) fn repeat_progress(&mut self, cx: &mut Core, now: Instant) {
        let Some(reply) = self.repeated.take() else { return };
        if self.phase == Phase::Offered && self.progress(cx, now, reply).is_err() {
            tracing::debug!("a provisional response could not be repeated");
        }
    }

    fn wants_reliable(&self, request: &Message, has_sdp: bool) -> bool {
        let required = request.lists(Name::Require, "100rel");
        let supported = required || request.lists(Name::Supported, "100rel");
        match self.profile.reliability {
            Reliability::Off => false,
            Reliability::Supported => required || supported && has_sdp,
            Reliability::Required => supported,
        }
    }

    /// Sends a provisional response; says whether it held a session description.
    pub(super) fn send_progress(
        &mut self,
        cx: &mut Core,
        now: Instant,
        request: &Message,
        reply: Reply,
        delivery: Delivery,
        extra: &[(Name, String)],
    ) -> Result<(bool, Message), Error> {
        let given = reply.body.as_ref().map(|(_, sdp)| sdp.clone());
        let usage = self.usages.first_mut().ok_or(Error::UnknownSession)?;
        let mut negotiation = usage.negotiation;
        let sdp = negotiation.send(given, delivery).map_err(Error::WrongState)?;
        let response =
            self.response(cx, request, reply.status, reply.phrase(), &reply.headers, extra, sdp.clone())?;
        if let Some(usage) = self.usages.first_mut() {
            usage.negotiation = negotiation;
        }
        if sdp.is_some() {
            self.local_sdp.clone_from(&sdp);
        }
        if let Some(server) = self.server {
            cx.respond(now, server, &response);
        }
        Ok((sdp.is_some(), response))
    }

    /// Builds a response that belongs to the dialog.
    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    pub(super) fn response(
        &self,
        cx: &Core,
        request: &Message,
        status: u16,
        phrase: &str,
        headers: &Headers,
        extra: &[(Name, String)],
        sdp: Option<Bytes>,
    ) -> Result<Message, BuildError> {
        let mut builder = response_to(request, status, phrase, Some(&self.tag));
        if status < 300
            && let Some(usage) = self.usages.first()
        {
            let target = Target::from(usage.dialog.flow());
            if let Some(contact) = cx.contact_for(&self.contact, target, self.profile.advertised.as_ref()) {
                builder = builder.header(Name::Contact, contact);
            }
            builder = self.capabilities(cx, builder);
        }
        builder = with_headers(builder, extra);
        // Contact says where to go instead in a 3xx, and Require what is missing in a 421.
        let may_add = |name: Name| {
            is_free(name) || status >= 300 && matches!(name, Name::Contact | Name::Require | Name::MinSe)
        };
        builder = cx.server_headers(headers.write(builder, may_add));
        with_sdp(builder, sdp).finish()
    }

    /// Answers the INVITE; later if a PRACK has to come first (RFC 3262 §3).
    pub(crate) fn accept(
        &mut self,
        cx: &mut Core,
        now: Instant,
        headers: Headers,
        sdp: Option<Bytes>,
    ) -> Result<(), Error> {
        self.live()?;
        if self.phase != Phase::Offered {
            return Err(Error::WrongState("the INVITE is answered"));
        }
        if self.reliable.holds_final() || self.remote_change.is_some() {
            self.held_ok = Some((headers, sdp));
            self.phase = Phase::Accepting;
            return Ok(());
        }
        self.send_ok(cx, now, &headers, sdp)
    }

    /// Sends the 2xx that was held back, if nothing holds it back any more.
    pub(super) fn release_ok(&mut self, cx: &mut Core, now: Instant) {
        if self.phase != Phase::Accepting || self.reliable.holds_final() || self.remote_change.is_some() {
            return;
        }
        let Some((headers, sdp)) = self.held_ok.take() else { return };
        if self.send_ok(cx, now, &headers, sdp).is_err() {
            // The owner was promised that it would be sent; what it gave cannot be.
            self.tell_ended(cx, EndReason::Rejected(500));
            self.refuse_invite(cx, now, 500, &Headers::new());
        }
    }

    fn send_ok(
        &mut self,
        cx: &mut Core,
        now: Instant,
        headers: &Headers,
        sdp: Option<Bytes>,
    ) -> Result<(), Error> {
        let server = self.server.ok_or(Error::WrongState("there is no INVITE"))?;
        let request = self.invite_request(cx).ok_or(Error::WrongState("there is no INVITE"))?;
        let usage = self.usages.first().ok_or(Error::UnknownSession)?;
        let mut negotiation = usage.negotiation;
        // An answer that was shown before need not be given again.
        let sdp = match negotiation.pending {
            Pending::Theirs => sdp.or_else(|| self.local_sdp.clone()),
            Pending::Nothing | Pending::Ours => sdp,
        };
        let sdp = negotiation.send(sdp, Delivery::Final).map_err(Error::WrongState)?;
        let mut session_timer = self.session_timer.clone();
        let extra = session_timer.accept(&request);
        let response = self.response(cx, &request, 200, reason_phrase(200), headers, &extra, sdp.clone())?;
        if let Some(usage) = self.usages.first_mut() {
            usage.negotiation = negotiation;
        }
        self.session_timer = session_timer;
        self.session_timer.restart(now, &mut self.timers);
        if sdp.is_some() {
            self.local_sdp = sdp;
        }
        self.phase = Phase::Established;
        self.timers.stop(Timer::OwnerAnswer);
        self.timers.stop(Timer::ProgressRepeat);
        self.repeated = None;
        self.stop_reliable();
        self.server = None;
        self.deliver_ok(cx, now, server, &request, &response, negotiation.pending == Pending::Ours);
        Ok(())
    }

    /// Sends a 2xx to INVITE or re-INVITE, and keeps sending it until its ACK (RFC 3261 §13.3.1.4).
    ///
    /// That is done over streams too: the hop behind a proxy may be a datagram one.
    pub(super) fn deliver_ok(
        &mut self,
        cx: &mut Core,
        now: Instant,
        server: Id,
        request: &Message,
        response: &Message,
        offered: bool,
    ) {
        let Some(target) = cx.transactions.server(server).map(|server| server.target()) else { return };
        cx.respond(now, server, response);
        let values = cx.values();
        self.ok = Some(UnacknowledgedOk {
            response: response.bytes().clone(),
            target,
            number: request.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            interval: values.t1,
            offered,
        });
        self.timers.set(Timer::OkRetransmit, now + values.t1);
        self.timers.set(Timer::OkUnacknowledged, now + values.patience());
    }

    pub(super) fn retransmit_ok(&mut self, cx: &mut Core, now: Instant) {
        let values = cx.values();
        let Some(ok) = &mut self.ok else { return };
        ok.interval = (ok.interval * 2).min(values.t2);
        self.timers.set(Timer::OkRetransmit, now + ok.interval);
        cx.transmit(Transmit { target: ok.target, bytes: ok.response.clone() });
    }

    pub(super) fn handle_ok_unacknowledged(&mut self, cx: &mut Core, now: Instant) {
        if self.ok.take().is_none() {
            return;
        }
        self.timers.stop(Timer::OkRetransmit);
        match self.phase {
            Phase::Parting => {
                let farewell = std::mem::take(&mut self.farewell);
                self.send_bye(cx, now, &farewell);
            }
            Phase::Calling
            | Phase::Cancelling
            | Phase::Offered
            | Phase::Accepting
            | Phase::Established
            | Phase::Leaving
            | Phase::Over => {
                self.end(cx, now, EndReason::AckMissing, "SIP;cause=408;text=\"ACK missing\"");
            }
        }
    }

    /// The ACK of a 2xx came.
    pub(crate) fn handle_ack(&mut self, cx: &mut Core, now: Instant, request: &Message, flow: Flow) {
        let number = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let Some(ok) = self.ok.take_if(|ok| ok.number == number) else { return };
        self.stop_ok();
        if let Some(usage) = self.usages.first_mut() {
            usage.dialog.note_flow(flow);
        }
        if self.phase == Phase::Parting {
            let farewell = std::mem::take(&mut self.farewell);
            self.send_bye(cx, now, &farewell);
            return;
        }
        let answer = if ok.offered { sdp(request) } else { None };
        if ok.offered {
            if answer.is_none() {
                self.misbehaved(cx, now, "ACK has no answer");
                return;
            }
            if let Some(usage) = self.usages.first_mut() {
                usage.negotiation.settle();
            }
            self.remote_sdp.clone_from(&answer);
        }
        self.tell(cx, Event::Acked { session: self.session_id(), answer });
        self.start_change(cx, now);
    }

    /// The peer goes on in the dialog, so it has our 2xx, although the ACK was lost.
    pub(super) fn acknowledged_by_deed(&mut self, cx: &mut Core) {
        if self.ok.take_if(|ok| !ok.offered).is_some() {
            self.stop_ok();
            self.tell(cx, Event::Acked { session: self.session_id(), answer: None });
        }
    }

    fn stop_ok(&mut self) {
        self.timers.stop(Timer::OkRetransmit);
        self.timers.stop(Timer::OkUnacknowledged);
    }

    /// Rejects the INVITE.
    pub(crate) fn reject(&mut self, cx: &mut Core, now: Instant, reply: &Reply) -> Result<(), Error> {
        self.live()?;
        if self.phase != Phase::Offered {
            return Err(Error::WrongState("the INVITE is answered"));
        }
        if !(300..700).contains(&reply.status) {
            return Err(Error::Malformed("final status"));
        }
        let request = self.invite_request(cx).ok_or(Error::WrongState("there is no INVITE"))?;
        let response =
            self.response(cx, &request, reply.status, reply.phrase(), &reply.headers, &[], None)?;
        if let Some(server) = self.server.take() {
            cx.respond(now, server, &response);
        }
        self.refuse_change(cx, now);
        self.tell_ended(cx, EndReason::Local);
        self.phase = Phase::Over;
        Ok(())
    }

    /// Rejects the INVITE on our own account.
    pub(super) fn refuse_invite(&mut self, cx: &mut Core, now: Instant, status: u16, headers: &Headers) {
        self.refuse_change(cx, now);
        if let Some(request) = self.invite_request(cx)
            && let Some(server) = self.server.take()
            && let Ok(response) =
                self.response(cx, &request, status, reason_phrase(status), headers, &[], None)
        {
            cx.respond(now, server, &response);
        }
        self.phase = Phase::Over;
    }

    /// Nobody answered the INVITE.
    pub(super) fn handle_unanswered(&mut self, cx: &mut Core, now: Instant) {
        if matches!(self.phase, Phase::Offered | Phase::Accepting) {
            self.tell_ended(cx, EndReason::Rejected(480));
            self.refuse_invite(cx, now, 480, &Headers::new());
        }
    }

    /// CANCEL came for the INVITE or re-INVITE in that transaction, and was answered (RFC 3261 §9.2).
    pub(crate) fn handle_cancel(&mut self, cx: &mut Core, now: Instant, invite: Id, cancel: &Message) {
        if self.server == Some(invite) {
            self.tell_ended(cx, EndReason::Cancel(cancel.clone()));
            self.refuse_invite(cx, now, 487, &Headers::new());
        } else {
            self.withdraw_change(cx, now, invite);
        }
    }
}
