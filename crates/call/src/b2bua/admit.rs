//! A new INVITE: admitted and sent on, or refused with a reason.

use super::{B2bua, Core, Owner, Place};
use crate::call::identity::{Caller, InvalidCaller};
use crate::call::{Call, NewCall, Prack};
use crate::event::{CallEvent, Side};
use crate::explain::{Admitted, Asked, Refusal, decide};
use crate::leg::Leg;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use trunkline_media::offer::Error;
use trunkline_media::{Direction, MediaSession};
use trunkline_model::{Reliability, Signalling, Trunk};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::transport::Flow;
use trunkline_sip::user_agent::{Headers, Reply, SessionId};

/// Max-Forwards of a request without one (RFC 3261 §8.1.1.6).
pub(super) const HOPS: u8 = 70;

/// The caller's side of a call, ready.
struct Ready {
    who: Caller,
    media: MediaSession,
    wish: Direction,
    place: Place,
}

impl B2bua {
    pub(super) fn handle_incoming(
        &mut self,
        now: Instant,
        session: SessionId,
        request: &Message,
        flow: Flow,
        offer: Option<Bytes>,
    ) {
        if self.is_of_users(flow) {
            return self.handle_user_invite(now, session, request, flow, offer);
        }
        self.core.totals.offered += 1;
        let asked = asked(request, flow);
        let seed = self.core.random();
        let decided = self.admit(now, (request, flow), &asked, offer.as_deref(), seed);
        let (admitted, ready) = match decided {
            Ok(decided) => decided,
            Err(refusal) => return self.refuse(now, session, asked, refusal),
        };
        if let Err(criterion) = self.core.trunks.take_call(&admitted.trunk.id, now) {
            let refusal = Refusal::TrunkCap(admitted.trunk.id.clone(), criterion);
            return self.refuse(now, session, asked, refusal);
        }
        let id = self.core.new_call();
        self.core.sessions.insert(session, Owner { call: id.serial, side: Side::Caller });
        self.core.event(CallEvent::Started {
            call: id,
            trunk: admitted.trunk.id.clone(),
            from: asked.from.clone(),
            to: asked.to.clone(),
        });
        let caller = Leg {
            session: Some(session),
            user: None,
            trunk: Arc::clone(&admitted.trunk),
            media: ready.media,
            wish: ready.wish,
            offered: Direction::SendRecv,
            bridged: None,
            path: None,
        };
        let call = Call::new(
            now,
            NewCall {
                id,
                who: ready.who,
                signalling: asked.signalling(),
                started_unix_ms: self.core.unix_ms(now),
                dialled: asked.to,
                route: admitted.route,
                hops_left: request.max_forwards().unwrap_or(HOPS).min(HOPS).saturating_sub(1),
                caller,
                caller_flow: flow,
                caller_offer: offer,
                caller_prack: prack(request, admitted.trunk.reliability),
                caller_place: ready.place,
            },
        );
        self.calls.insert(id.serial, call);
        let profile = self.core.profile(&admitted.trunk, flow.transport);
        // A session that does not go with the profile ends with an event of its own, handled before this call
        // is looked at again.
        let adopted = self.core.ua.adopt(now, session, profile);
        self.drain(now);
        if adopted.is_ok() {
            self.with_call(id.serial, |call, core| call.begin(core, now));
        }
    }

    /// Decides whether a call may be, and makes ready what does not take anything from anyone.
    fn admit(
        &self,
        now: Instant,
        (request, flow): (&Message, Flow),
        asked: &Asked,
        offer: Option<&[u8]>,
        seed: u64,
    ) -> Result<(Admitted, Ready), Refusal> {
        let core = &self.core;
        // First of all who asks: a stranger learns nothing of how we are.
        let trunk = self.table.identify(flow.remote, flow.transport).ok_or(Refusal::UnknownSource)?;
        self.check_node(request)?;
        let who = Caller::of(request, trunk).map_err(|error| match error {
            InvalidCaller::From => Refusal::BadRequest("From"),
            InvalidCaller::Privacy => Refusal::Privacy,
        })?;
        let decided = decide(&self.table, &core.trunks, asked, now);
        let admitted = decided.map_err(|explained| explained.refusal.unwrap_or(Refusal::NoTrunk))?;
        let (media, wish, place) = self.caller_media(trunk, flow.remote.ip(), offer, seed)?;
        Ok((admitted, Ready { who, media, wish, place }))
    }

    /// Decides whether the node takes another call.
    pub(super) fn check_node(&self, request: &Message) -> Result<(), Refusal> {
        let Core { config, draining, ports, .. } = &self.core;
        if *draining {
            return Err(Refusal::Draining);
        }
        if self.calls.len() >= config.limits.calls_max {
            return Err(Refusal::NodeFull);
        }
        if ports.free() < 2 {
            return Err(Refusal::NoPorts);
        }
        // The user agent has looked at Max-Forwards and at its own Vias; proxies that give every round a new
        // Max-Forwards leave a long path.
        let hops = request.vias().take(config.limits.hops_max + 1).count();
        if hops > config.limits.hops_max {
            return Err(Refusal::TooManyHops);
        }
        Ok(())
    }

    /// Finds the interface on which the caller's offer can be answered.
    pub(super) fn caller_media(
        &self,
        trunk: &Trunk,
        source: IpAddr,
        offer: Option<&[u8]>,
        seed: u64,
    ) -> Result<(MediaSession, Direction, Place), Refusal> {
        let mut refusal = Refusal::Media("no media address of the caller's family");
        let near = self.core.media_interface(source);
        let others = self.core.config.media.iter().copied().filter(|other| Some(*other) != near);
        for interface in near.into_iter().chain(others) {
            let place = Place::Interface(interface);
            // The port is set when the bridge has one.
            let media = MediaSession::new(self.core.local(trunk, place, None), seed);
            match offer.map(|offer| media.read_offer(offer)) {
                None => return Ok((media, Direction::SendRecv, place)),
                Some(Ok(view)) => return Ok((media, view.direction, place)),
                Some(Err(error @ Error::Malformed(_))) => {
                    return Err(Refusal::BadRequest(error.warning().1));
                }
                Some(Err(Error::Address)) => {}
                Some(Err(error)) => return Err(Refusal::Media(error.warning().1)),
            }
            refusal = Refusal::Media(Error::Address.warning().1);
        }
        Err(refusal)
    }

    pub(super) fn refuse(&mut self, now: Instant, session: SessionId, asked: Asked, refusal: Refusal) {
        let status = refusal.status();
        let mut headers = Headers::new();
        if let Some(secs) = refusal.retry_after_secs() {
            headers.push(Name::RetryAfter, secs.to_string());
        }
        if let Refusal::Media(text) | Refusal::BadRequest(text) = refusal {
            headers.push(Name::Warning, format!("399 trunkline \"{text}\""));
        }
        let _ = self.core.ua.reject(now, session, Reply::new(status).with_headers(headers));
        self.tell_refused(now, asked, refusal);
    }
}

impl Asked {
    pub(super) fn signalling(&self) -> Signalling {
        Signalling {
            source: Some(self.source),
            caller_call_id: self.call_id.clone(),
            ..Signalling::default()
        }
    }

    /// Returns what an INVITE asks that came on a path.
    pub fn of(request: &Message, flow: Flow) -> Self {
        asked(request, flow)
    }
}

pub(super) fn prack(request: &Message, ours: Reliability) -> Prack {
    let requires = request.lists(Name::Require, "100rel");
    let supports = requires || request.lists(Name::Supported, "100rel");
    match ours {
        Reliability::Required if supports => Prack::Always,
        Reliability::Supported if requires => Prack::Always,
        Reliability::Supported if supports => Prack::WithMedia,
        Reliability::Off | Reliability::Supported | Reliability::Required => Prack::Never,
    }
}

pub(super) fn asked(request: &Message, flow: Flow) -> Asked {
    let kept = |text: &str| text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect::<String>();
    let user = |uri: Option<std::borrow::Cow<'_, str>>| kept(&uri.unwrap_or_default());
    let from = request.from().ok();
    let from = from.as_ref().and_then(|from| from.uri().ok()).and_then(|uri| uri.user());
    let to = request.uri().ok();
    Asked {
        source: flow.remote,
        transport: flow.transport,
        from: user(from),
        to: user(to.and_then(|uri| uri.user())),
        call_id: kept(request.header(Name::CallId).unwrap_or_default()),
    }
}

/// Longest user part kept in records and looked up, and longest Call-ID: a number with parameters of RFC 4694 stays below,
/// and so do the random numbers and hosts that Call-IDs are made of.
const TEXT_MAX: usize = 128;
