//! The caller's side: INVITE, its responses, ACK and CANCEL (RFC 3261 §13.2, §9.1).

use std::time::Instant;

use bytes::Bytes;
use trunkline_model::{Host, Reliability};

use super::offer::{Delivery, Pending, sdp};
use super::{Phase, Session, Usage, with_headers, with_sdp};
use crate::dialog::{Dialog, check_route};
use crate::error::Error;
use crate::header::{Name, NameAddr};
use crate::message::{Message, MessageBuilder};
use crate::method::Method;
use crate::timer::Timer;
use crate::transaction::to_tag;
use crate::transport::{Advertised, Flow};
use crate::uri;
use crate::user_agent::core::{Core, hex};
use crate::user_agent::send::{Attempt, Contact, Outgoing};
use crate::user_agent::table::Id;
use crate::user_agent::{
    Body, EndReason, Event, Failure, ForkId, Headers, InviteParams, Outcome, Owner, Purpose, is_free,
};

impl Session {
    /// Sends an INVITE.
    pub(crate) fn call(
        cx: &mut Core,
        now: Instant,
        id: Id,
        local_tag: u64,
        params: InviteParams,
    ) -> Result<Self, Error> {
        let contact = Contact { user: params.contact_user.as_deref().map(Box::from) };
        let mut session = Self::new(id, local_tag, params.profile.clone(), contact, Phase::Calling);
        session.offered = params.offer.is_some();
        session.local_sdp = params.offer.clone();
        let invite = session.build_invite(cx, &params)?;
        session.invite = Some(invite.clone());
        let outgoing = session.outgoing(invite);
        let owner = Owner::Session(id, Purpose::Invite);
        session.attempt = Some(cx.send(now, owner, outgoing, params.destination)?);
        Ok(session)
    }

    fn build_invite(&self, cx: &mut Core, params: &InviteParams) -> Result<Message, Error> {
        NameAddr::parse(params.from.as_bytes()).map_err(|_| Error::Malformed("From"))?;
        NameAddr::parse(params.to.as_bytes()).map_err(|_| Error::Malformed("To"))?;
        let mut builder = MessageBuilder::request(Method::Invite, &params.uri);
        for route in &params.routes {
            check_route(route)?;
            builder = builder.header(Name::Route, route);
        }
        let call_id = match &params.call_id {
            Some(call_id) => call_id.clone(),
            None => hex(cx.random()) + &hex(cx.random()),
        };
        builder = builder
            .header(Name::MaxForwards, params.max_forwards.to_string())
            .header(Name::From, format!("{};tag={}", params.from, self.tag))
            .header(Name::To, &params.to)
            .header(Name::CallId, call_id)
            .header(Name::CSeq, "1 INVITE");
        builder = self.capabilities(cx, builder);
        if self.profile.reliability == Reliability::Required {
            builder = builder.header(Name::Require, "100rel");
        }
        builder = with_headers(builder, &self.session_timer.request_headers());
        builder = cx.client_headers(params.headers.write(builder, is_free));
        Ok(with_sdp(builder, params.offer.clone()).finish()?)
    }

    pub(super) fn outgoing(&self, request: Message) -> Outgoing {
        Outgoing { request, contact: Some(self.contact.clone()), advertised: self.profile.advertised.clone() }
    }

    /// Something came of our INVITE.
    pub(crate) fn handle_invite_outcome(
        &mut self,
        cx: &mut Core,
        now: Instant,
        client: Id,
        outcome: Outcome,
    ) {
        let failure = match outcome {
            Outcome::Response(response, flow) => {
                return self.handle_invite_response(cx, now, client, response, flow);
            }
            Outcome::Timeout => Failure::Timeout,
            Outcome::Transport => Failure::Transport,
            Outcome::Resolve(error) => Failure::Resolve(error),
        };
        if matches!(self.phase, Phase::Calling | Phase::Cancelling) {
            self.tell_failed(cx, failure);
            self.phase = Phase::Over;
        }
    }

    fn handle_invite_response(
        &mut self,
        cx: &mut Core,
        now: Instant,
        client: Id,
        response: Message,
        flow: Flow,
    ) {
        match response.status().unwrap_or_default() {
            100..=199 => self.handle_provisional(cx, now, response, flow),
            200..=299 => self.handle_ok(cx, now, client, response, flow),
            422 if self.phase == Phase::Calling && self.session_timer.raise(&response) => {
                self.call_again(cx, now, client);
            }
            _ => {
                self.tell_failed(cx, Failure::Response(response));
                self.phase = Phase::Over;
            }
        }
    }

    fn handle_provisional(&mut self, cx: &mut Core, now: Instant, response: Message, flow: Flow) {
        if !std::mem::replace(&mut self.proceeding, true) {
            self.tell(cx, Event::Trying { session: self.session_id() });
        }
        if self.phase == Phase::Cancelling {
            self.send_cancel(cx, now);
            return;
        }
        if self.phase != Phase::Calling {
            return;
        }
        if response.status() == Some(100) {
            // RFC 3261 §16.6: timer C starts with the INVITE; a 101 to 199 starts it anew.
            if !self.timers.is_running(Timer::C) {
                self.timers.set(Timer::C, now + cx.values().c);
            }
            return;
        }
        self.timers.set(Timer::C, now + cx.values().c);
        let Some(at) = self.fork(cx, &response, flow) else { return };
        let Some(reliable) = self.take_rseq(at, &response) else { return };
        let delivery = if reliable.is_some() { Delivery::Reliable } else { Delivery::Unreliable };
        let Some(usage) = self.usages.get_mut(at) else { return };
        usage.note_capabilities(&response);
        // Only a missing final body is an error, so this cannot fail.
        let body = usage.negotiation.receive(sdp(&response), delivery).unwrap_or_default();
        let fork = ForkId(usage.fork);
        if let Some(rack) = reliable {
            if matches!(body, Some(Body::Offer(_))) {
                usage.unanswered_progress = Some(rack);
            } else {
                self.send_prack(cx, now, at, rack, None);
            }
        }
        if matches!(body, Some(Body::Answer(_))) {
            self.remote_sdp = sdp(&response);
        }
        let session = self.session_id();
        self.tell(cx, Event::Progress { session, fork, response, body, reliable: reliable.is_some() });
    }

    /// Returns which early dialog a response belongs to, making it if it is new. There is none past the limit.
    fn fork(&mut self, cx: &Core, response: &Message, flow: Flow) -> Option<usize> {
        let tag = to_tag(response);
        if let Some(at) = self.usages.iter().position(|usage| usage.dialog.remote_tag() == tag) {
            return Some(at);
        }
        if self.usages.len() >= cx.config.limits.forks {
            return None;
        }
        let mut dialog = Dialog::of_response(self.invite.as_ref()?, response, flow)?;
        dialog.follow_source(self.profile.follow_source);
        let pending = if self.offered { Pending::Ours } else { Pending::Nothing };
        self.usages.push(Usage::new(self.forks, dialog, pending));
        self.forks += 1;
        Some(self.usages.len() - 1)
    }

    fn handle_ok(&mut self, cx: &mut Core, now: Instant, client: Id, response: Message, flow: Flow) {
        match self.phase {
            Phase::Calling => self.handle_first_ok(cx, now, client, response, flow),
            Phase::Cancelling => {
                // RFC 3261 §9.1: the CANCEL came too late, so the session is there and must be ended.
                self.timers.stop_all();
                if let Some(usage) = self.take_fork(cx, &response, flow) {
                    // One that is too long is left as the early dialog had it: the callee has to be told somehow.
                    usage.dialog.confirm(&response, flow);
                    self.send_ok_ack(cx, now, client, self.invite_number(), None);
                    self.invite = None;
                    let farewell = std::mem::take(&mut self.farewell);
                    self.send_bye(cx, now, &farewell);
                } else {
                    self.phase = Phase::Over;
                }
            }
            Phase::Offered
            | Phase::Accepting
            | Phase::Established
            | Phase::Parting
            | Phase::Leaving
            | Phase::Over => {
                let is_ours =
                    self.usages.first().is_some_and(|usage| usage.dialog.remote_tag() == to_tag(&response));
                if !is_ours {
                    release_stray_ok(cx, now, client, &response, flow);
                }
            }
        }
    }

    fn handle_first_ok(&mut self, cx: &mut Core, now: Instant, client: Id, response: Message, flow: Flow) {
        let Some(usage) = self.take_fork(cx, &response, flow) else {
            self.tell_failed(cx, Failure::PeerMisbehaved("2xx makes no dialog"));
            self.phase = Phase::Over;
            return;
        };
        let is_reachable = usage.dialog.confirm(&response, flow);
        usage.note_capabilities(&response);
        let fork = ForkId(usage.fork);
        let number = self.invite_number();
        let Some(usage) = self.usages.first_mut() else { return };
        let body = if is_reachable {
            usage.negotiation.receive(sdp(&response), Delivery::Final)
        } else {
            Err("2xx has too long a Record-Route")
        };
        self.invite = None;
        self.attempt = None;
        self.timers.stop(Timer::C);
        self.phase = Phase::Established;
        let body = match body {
            Ok(body) => body,
            Err(fault) => {
                self.send_ok_ack(cx, now, client, number, None);
                self.tell_failed(cx, Failure::PeerMisbehaved(fault));
                self.send_bye(cx, now, &Headers::new());
                return;
            }
        };
        self.session_timer.agree(&response);
        self.session_timer.restart(now, &mut self.timers);
        match &body {
            Some(Body::Offer(_)) => self.unanswered_ok = Some((client, number)),
            Some(Body::Answer(sdp)) => {
                self.remote_sdp = Some(sdp.clone());
                self.send_ok_ack(cx, now, client, number, None);
            }
            None => self.send_ok_ack(cx, now, client, number, None),
        }
        let session = self.session_id();
        self.tell(cx, Event::Answered { session, fork, response, body });
    }

    /// Leaves of all forks the one that answered. It goes on from its early dialog, whose requests have used up numbers.
    fn take_fork(&mut self, cx: &mut Core, response: &Message, flow: Flow) -> Option<&mut Usage> {
        let at = self.fork(cx, response, flow).or_else(|| {
            // Past the limit of forks there is no early dialog, but a 2xx is an answer all the same.
            self.usages.pop();
            self.fork(cx, response, flow)
        })?;
        self.usages.swap(0, at);
        self.usages.truncate(1);
        self.usages.first_mut()
    }

    fn invite_number(&self) -> u32 {
        self.invite.as_ref().and_then(|invite| invite.cseq().ok()).map_or(1, |cseq| cseq.number)
    }

    /// Sends the ACK of a 2xx along the dialog's route.
    pub(super) fn send_ok_ack(
        &mut self,
        cx: &mut Core,
        now: Instant,
        client: Id,
        number: u32,
        answer: Option<Bytes>,
    ) {
        let Some(usage) = self.usages.first() else { return };
        let builder = with_sdp(cx.client_headers(usage.dialog.ack(number)), answer);
        let Ok(request) = builder.finish() else { return };
        let advertised = self.profile.advertised.clone();
        let outgoing = Outgoing { request, contact: None, advertised };
        cx.send_ack(now, client, usage.dialog.remote_tag(), outgoing, usage.dialog.next_hop());
    }

    /// Acknowledges a 2xx whose offer the owner did not answer in time: the session ends anyway.
    pub(super) fn acknowledge_bare(&mut self, cx: &mut Core, now: Instant) {
        if let Some((client, number)) = self.unanswered_ok.take() {
            self.send_ok_ack(cx, now, client, number, None);
        }
    }

    /// Sends the ACK that answers the offer of a 2xx.
    pub(crate) fn ack(&mut self, cx: &mut Core, now: Instant, answer: Bytes) -> Result<(), Error> {
        self.live()?;
        let (client, number) =
            self.unanswered_ok.take().ok_or(Error::WrongState("no 2xx waits for an answer"))?;
        if let Some(usage) = self.usages.first_mut() {
            usage.negotiation.settle();
        }
        self.local_sdp = Some(answer.clone());
        self.send_ok_ack(cx, now, client, number, Some(answer));
        self.start_change(cx, now);
        Ok(())
    }

    /// Sends the INVITE again with a longer session interval (RFC 4028 §7.3).
    fn call_again(&mut self, cx: &mut Core, now: Instant, client: Id) {
        let again = self.with_new_interval();
        let target = cx.transactions.client(client).map(|client| client.target);
        let sent = again.zip(target).map(|(invite, target)| {
            self.usages.clear();
            self.proceeding = false;
            self.invite = Some(invite.clone());
            let owner = Owner::Session(self.id, Purpose::Invite);
            let outgoing = self.outgoing(invite);
            cx.send(now, owner, outgoing, crate::resolve::Destination::Target(target))
        });
        match sent {
            Some(Ok(attempt)) => self.attempt = Some(attempt),
            Some(Err(_)) | None => {
                self.tell_failed(cx, Failure::Transport);
                self.phase = Phase::Over;
            }
        }
    }

    fn with_new_interval(&self) -> Option<Message> {
        let invite = self.invite.as_ref()?;
        let number = invite.cseq().ok()?.number + 1;
        let changed = [Name::CSeq, Name::SessionExpires, Name::MinSe];
        let mut builder = invite
            .builder()
            .copy_where(invite, |name, _| !name.is_some_and(|name| changed.contains(&name)))
            .header(Name::CSeq, format!("{number} INVITE"));
        builder = with_headers(builder, &self.session_timer.request_headers());
        if let Some(content_type) = invite.raw(Name::ContentType) {
            builder = builder.body(content_type, invite.body().clone());
        }
        builder.finish().ok()
    }

    /// Gives up our INVITE: now, or when its first provisional response comes (RFC 3261 §9.1).
    pub(super) fn cancel(&mut self, cx: &mut Core, now: Instant, headers: Headers) {
        self.phase = Phase::Cancelling;
        self.farewell = headers;
        self.timers.stop(Timer::C);
        match self.attempt {
            Some(Attempt::Resolving(query)) => {
                cx.forget_query(query);
                self.phase = Phase::Over;
            }
            Some(Attempt::Sent(_)) if self.proceeding => self.send_cancel(cx, now),
            // The INVITE is still sent again until it is answered or timer B fires, but to no other server.
            Some(Attempt::Sent(client)) => {
                if let Some(client) = cx.transactions.client_mut(client) {
                    client.retry = None;
                }
            }
            None => self.phase = Phase::Over,
        }
    }

    fn send_cancel(&mut self, cx: &mut Core, now: Instant) {
        if self.timers.is_running(Timer::CancelGiveUp) {
            return;
        }
        self.timers.set(Timer::CancelGiveUp, now + cx.values().patience());
        let Some(Attempt::Sent(client)) = self.attempt else { return };
        cx.send_cancel(now, Owner::Session(self.id, Purpose::Cancel), client, &self.farewell);
    }

    /// No final response came to a cancelled INVITE (RFC 3261 §9.1).
    pub(super) fn give_up_cancel(&mut self, cx: &mut Core, now: Instant) {
        if self.phase != Phase::Cancelling {
            return self.give_up_change(cx, now);
        }
        if let Some(Attempt::Sent(client)) = self.attempt {
            cx.end_client(client);
        }
        self.phase = Phase::Over;
    }

    pub(super) fn handle_timer_c(&mut self, cx: &mut Core, now: Instant) {
        if self.phase == Phase::Calling {
            self.tell_failed(cx, Failure::Timeout);
            self.cancel(cx, now, Headers::new());
        }
    }
}

/// Acknowledges and ends what a fork made by a 2xx that nobody waits for any more (RFC 3261 §13.2.2.4).
///
/// A 2xx to a re-INVITE of a session that is over is only acknowledged: BYE was sent or received already.
pub(crate) fn release_stray_ok(cx: &mut Core, now: Instant, client: Id, response: &Message, flow: Flow) {
    let Some(client_entry) = cx.transactions.client(client) else { return };
    let invite = client_entry.machine.request().clone();
    let Some(mut dialog) = Dialog::of_response(&invite, response, flow) else { return };
    let Ok(cseq) = invite.cseq() else { return };
    let advertised = advertised_in(&invite);
    if let Ok(request) = cx.client_headers(dialog.ack(cseq.number)).finish() {
        let outgoing = Outgoing { request, contact: None, advertised: advertised.clone() };
        cx.send_ack(now, client, to_tag(response), outgoing, dialog.next_hop());
    }
    if !to_tag(&invite).is_empty() {
        return;
    }
    dialog.pass_over_early_requests();
    if let Ok(request) = cx.client_headers(dialog.request(Method::Bye)).finish() {
        let outgoing = Outgoing { request, contact: None, advertised };
        // A full table leaves the fork to its own session timer.
        let _ = cx.send(now, Owner::Nobody, outgoing, dialog.next_hop());
    }
}

/// Returns what we showed of ourselves in a request.
fn advertised_in(request: &Message) -> Option<Advertised> {
    let via = request.top_via().ok()?;
    let host = match via.host() {
        uri::Host::Ip(ip) => Host::Ip(ip),
        uri::Host::Name(name) => Host::Name(name.to_owned()),
    };
    Some(Advertised { host, port: via.port() })
}

impl Session {
    /// Ends the session because the peer broke the protocol.
    pub(super) fn misbehaved(&mut self, cx: &mut Core, now: Instant, fault: &'static str) {
        self.end(cx, now, EndReason::PeerMisbehaved(fault), "SIP;cause=400;text=\"Protocol error\"");
    }
}
