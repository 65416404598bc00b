//! Users rung at all their contacts, step by step, before any trunk is tried (RFC 3261 §16.7, as a UAC of ours).
//!
//! The first contact that answers has the call, and the others are told that it was taken elsewhere. Nothing of theirs
//! is heard before the answer.

use super::Call;
use super::outcome::{for_caller, reason_for_caller};
use super::reason::Reason;
use crate::b2bua::{CallTimer, Core, Owner};
use crate::event::{CallEvent, Side};
use crate::route::RingStep;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use trunkline_media::{MediaSession, OfferView, Wish};
use trunkline_model::{Party, Q850, Stage, Transport, Trunk, UserAddress};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::registrar::Binding;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::{Flow, Target};
use trunkline_sip::user_agent::{Body, Failure, Headers, InviteParams, Reply, SessionId};

/// Contacts that ring at once.
pub(super) struct Ringing {
    contacts: Vec<Contacted>,
    users: Arc<Trunk>,
}

/// An INVITE to one contact.
struct Contacted {
    session: SessionId,
    user: UserAddress,
    /// What we offered; none where the caller's own offer was passed on.
    media: Option<MediaSession>,
}

/// A contact that has answered.
pub(super) struct Winner {
    pub(super) session: SessionId,
    pub(super) user: UserAddress,
    pub(super) users: Arc<Trunk>,
    pub(super) media: MediaSession,
}

/// Why no user has taken the call so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unreached {
    status: u16,
    said: Reason,
}

/// Most contacts that ring at once: three users with ten each. More would be a switchboard.
const FORKS_MAX: usize = 30;

impl Call {
    /// Goes on to the next place where the call could be taken. Returns false when there is none.
    pub(super) fn next_place(&mut self, core: &mut Core, now: Instant) -> bool {
        while let Some(step) = self.steps.pop_front() {
            if self.ring(core, now, &step) {
                return true;
            }
        }
        self.passes = false;
        self.next_attempt(core, now)
    }

    /// Ends the call that no place has taken.
    pub(super) fn end_unreached(&mut self, core: &mut Core, now: Instant) {
        if self.route.steps.is_empty() {
            // Q.850 34: no circuit available.
            return self.end_by_us(core, now, 503, Q850(34), "no gateway could be tried");
        }
        match self.unreached {
            // Q.850 20: subscriber absent.
            None => self.end_by_us(core, now, 480, Q850(20), "no user can be reached"),
            Some(Unreached { status, said }) => {
                let reason = reason_for_caller(status, said);
                let q850 = reason.q850.unwrap_or(Q850::from_sip(status));
                let detail = format!("the user answered {status}");
                let mut cause = self.cause(for_caller(status), q850, Party::Callee, detail);
                cause.trunk = self.trunk_out.as_ref().map(|trunk| trunk.id.clone());
                self.finish(core, now, cause, reason);
            }
        }
    }

    /// Calls users at all their contacts. Returns false when none could be called.
    fn ring(&mut self, core: &mut Core, now: Instant, step: &RingStep) -> bool {
        let mut contacts: Vec<(UserAddress, Binding)> = Vec::new();
        for user in &step.users {
            // A user does not ring at the place that it calls from.
            let elsewhere = |binding: &&&Binding| binding.flow != self.caller_flow;
            let found = core.users.registrar.contacts(now, user.as_str());
            contacts.extend(found.iter().filter(elsewhere).map(|binding| (user.clone(), (*binding).clone())));
        }
        contacts.truncate(FORKS_MAX);
        let Some(users) = core.users.trunk.clone().filter(|_| !contacts.is_empty()) else { return false };
        if !self.count_on(core, now, &users) {
            return false;
        }
        // One side of a bridge has one kind of peer: that of the most preferred contact.
        let kind = contacts.first().map(|(_, contact)| contact.flow.transport == Transport::Wss);
        contacts.retain(|(_, contact)| Some(contact.flow.transport == Transport::Wss) == kind);
        // Between browsers everything is theirs to agree on, so that what we do not know passes too.
        let browsers = contacts.iter().all(|(_, contact)| contact.flow.transport == Transport::Wss);
        let from_browser = self.caller.user.is_some() && self.caller_flow.transport == Transport::Wss;
        self.passes = browsers && from_browser && self.caller_offer.is_some();
        let mut ringing = Ringing { contacts: Vec::new(), users: Arc::clone(&users) };
        for (user, contact) in contacts {
            if let Some(contacted) = self.invite_contact(core, now, &users, user, &contact) {
                ringing.contacts.push(contacted);
            }
        }
        if ringing.contacts.is_empty() {
            return false;
        }
        self.stage = Stage::Routing;
        self.signalling.callee_status = None;
        self.ringing = Some(ringing);
        core.timers.set(self.id.serial, CallTimer::Ring, now + step.ring_max);
        true
    }

    fn invite_contact(
        &mut self,
        core: &mut Core,
        now: Instant,
        users: &Arc<Trunk>,
        user: UserAddress,
        contact: &Binding,
    ) -> Option<Contacted> {
        let (media, offer) = if self.passes {
            (None, self.caller_offer.clone())
        } else {
            let (media, offer) = self.offer_to_contact(core, users, contact.flow)?;
            (Some(media), Some(offer))
        };
        let call_id = format!("{:016x}{:016x}", core.random(), core.random());
        self.signalling.callee_call_id = Some(call_id.clone());
        self.signalling.gateway = Some(format!("{}/{}", contact.flow.remote, contact.flow.transport));
        let params = self.contact_params(core, users, &user, contact, (call_id, offer));
        match core.ua.invite(now, params) {
            Ok(session) => {
                core.sessions.insert(session, Owner { call: self.id.serial, side: Side::Callee });
                Some(Contacted { session, user, media })
            }
            Err(error) => {
                tracing::warn!(call = %self.id, %error, "INVITE to a user could not be sent");
                None
            }
        }
    }

    /// Makes an offer to a contact of a kind that is known by its connection.
    fn offer_to_contact(
        &mut self,
        core: &mut Core,
        users: &Trunk,
        flow: Flow,
    ) -> Option<(MediaSession, Bytes)> {
        let place = core.place_of_user(flow)?;
        let opened = self.bridge_on(core, users, place)?;
        let local = core.local(users, opened.callee, Some((opened.id, opened.ports[1])));
        let key = core.random_key();
        let mut media = core.media_at(local, place, key);
        let view = self.caller_offer.as_ref().and_then(|offer| self.caller.media.read_offer(offer).ok());
        let prefer = view.as_ref().and_then(OfferView::codec);
        let offer = media.offer(Wish { direction: self.caller.wish, prefer });
        Some((media, offer))
    }

    fn contact_params(
        &self,
        core: &Core,
        users: &Trunk,
        user: &UserAddress,
        contact: &Binding,
        (call_id, offer): (String, Option<Bytes>),
    ) -> InviteParams {
        let domain = core.user_domain();
        InviteParams {
            destination: Destination::Target(Target::from(contact.flow)),
            uri: contact.uri.to_string(),
            from: self.who.from(&domain),
            to: format!("<sip:{}@{domain}>", user.sip_user()),
            contact_user: None,
            call_id: Some(call_id),
            max_forwards: self.hops_left,
            routes: Vec::new(),
            headers: Headers::new(),
            offer,
            profile: core.profile(users, contact.flow.transport),
        }
    }

    /// Whether a session is one of a contact that rings.
    pub(super) fn is_ringing(&self, session: SessionId) -> bool {
        let contacts = self.ringing.iter().flat_map(|ringing| &ringing.contacts);
        contacts.into_iter().any(|contact| contact.session == session)
    }

    /// A contact rings. The caller is told once, however many there are.
    pub(super) fn contact_rings(&mut self, core: &mut Core, now: Instant, status: u16) {
        if self.stage == Stage::Ringing || !matches!(status, 180..=183) {
            return;
        }
        self.stage = Stage::Ringing;
        self.rang.get_or_insert(now);
        core.event(CallEvent::Ringing { call: self.id, early_media: false });
        if let Some(session) = self.caller.session
            && let Err(error) = core.ua.progress(now, session, Reply::new(180))
        {
            tracing::debug!(call = %self.id, %error, "180 not passed on");
        }
    }

    /// A contact has answered: it has the call, and the others are told so.
    pub(super) fn contact_answered(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        body: Option<Body>,
        response: &Message,
    ) {
        core.timers.stop(self.id.serial, CallTimer::Ring);
        self.signalling.callee_status = response.status();
        let Some(ringing) = self.ringing.take() else { return };
        let users = ringing.users;
        let mut winner = None;
        for contact in ringing.contacts {
            if contact.session == session {
                winner = Some(contact);
            } else {
                // It may be over already, with its event on the way.
                let _ = core.ua.hangup(now, contact.session, elsewhere());
            }
        }
        let Some(Contacted { session, user, media }) = winner else { return };
        let Some(Body::Answer(answer)) = body else {
            return self.answer_of_no_use(core, now, session, "the answer has no description");
        };
        match media {
            None => {
                let media = self.caller.media.clone();
                self.connect_passing(core, now, Winner { session, user, users, media }, answer);
            }
            Some(mut media) => match media.accept_answer(&answer) {
                Ok(_) => self.connect_user(core, now, Winner { session, user, users, media }),
                Err(error) => self.answer_of_no_use(core, now, session, &error.to_string()),
            },
        }
    }

    fn answer_of_no_use(&mut self, core: &mut Core, now: Instant, session: SessionId, why: &str) {
        let _ = core.ua.hangup(now, session, Reason::q850(Q850::INTERWORKING).headers());
        let detail = format!("the user's answer can't be used: {why}");
        let cause = self.cause(488, Q850::INTERWORKING, Party::Callee, detail);
        self.finish(core, now, cause, Reason::q850(Q850::INTERWORKING));
    }

    /// A contact does not take the call.
    pub(super) fn contact_failed(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        failure: &Failure,
    ) {
        let Some(ringing) = &mut self.ringing else { return };
        let Some(at) = ringing.contacts.iter().position(|contact| contact.session == session) else { return };
        let contact = ringing.contacts.swap_remove(at);
        let status = failure.status();
        let said = match failure {
            Failure::Response(response) => Reason::of(response),
            Failure::Timeout
            | Failure::Transport
            | Failure::Resolve(_)
            | Failure::Superseded
            | Failure::PeerMisbehaved(_) => Reason::default(),
        };
        if status >= 600 {
            // RFC 3261 §16.7 item 5: the person has spoken, for every place it is at.
            ringing.contacts.retain(|other| {
                let same = other.user == contact.user;
                if same {
                    let _ = core.ua.hangup(now, other.session, Headers::new());
                }
                !same
            });
        }
        self.note_unreached(Unreached { status, said });
        if self.ringing.as_ref().is_some_and(|ringing| ringing.contacts.is_empty()) {
            self.step_over(core, now);
        }
    }

    /// Keeps the best of what contacts said (RFC 3261 §16.7 item 6): what a person says before what a machine does.
    fn note_unreached(&mut self, new: Unreached) {
        let rank = |status: u16| match status {
            600.. => 0,
            486 => 1,
            480 | 487 => 2,
            400..=499 => 3,
            _ => 4,
        };
        if self.unreached.is_none_or(|held| rank(new.status) < rank(held.status)) {
            self.unreached = Some(new);
        }
    }

    /// Nobody took the call in time.
    pub(super) fn give_up_step(&mut self, core: &mut Core, now: Instant) {
        self.stop_ringing(core, now, &Headers::new());
        self.note_unreached(Unreached { status: 480, said: Reason::q850(Q850::NO_ANSWER) });
        self.step_over(core, now);
    }

    fn step_over(&mut self, core: &mut Core, now: Instant) {
        core.timers.stop(self.id.serial, CallTimer::Ring);
        self.ringing = None;
        if !self.next_place(core, now) {
            self.end_unreached(core, now);
        }
    }

    /// Cancels what rings.
    pub(super) fn stop_ringing(&mut self, core: &mut Core, now: Instant, headers: &Headers) {
        let Some(ringing) = self.ringing.take() else { return };
        for contact in ringing.contacts {
            let _ = core.ua.hangup(now, contact.session, headers.clone());
        }
    }
}

/// Says that another contact has answered (RFC 3326 §2, RFC 3261 §16.10), so that a phone shows no missed call.
fn elsewhere() -> Headers {
    Headers::new().with(Name::Reason, "SIP;cause=200;text=\"Call completed elsewhere\"")
}
