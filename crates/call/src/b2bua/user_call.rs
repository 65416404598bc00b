//! A new call of a user: whom it may call, and what it may show.

use super::admit::{HOPS, asked, prack};
use super::{B2bua, Core, Owner, Place};
use crate::call::identity::{Caller, InvalidCaller};
use crate::call::{Call, NewCall};
use crate::event::{CallEvent, Side};
use crate::explain::{Asked, Refusal, check_out};
use crate::leg::Leg;
use crate::route::{Called, Dialled, Identity, Route};
use crate::trunk::Choice;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use trunkline_media::offer::Error;
use trunkline_media::{Direction, MediaSession};
use trunkline_model::{E164, Transport, Trunk, UserAddress};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::transport::Flow;
use trunkline_sip::user_agent::SessionId;

/// The caller's side of a call of a user, ready.
struct Ready {
    who: Caller,
    route: Route,
    users: Arc<Trunk>,
    media: MediaSession,
    wish: Direction,
    place: Place,
}

impl B2bua {
    pub(super) fn call_of_user(
        &mut self,
        now: Instant,
        session: SessionId,
        request: &Message,
        flow: Flow,
        offer: Option<Bytes>,
        user: &UserAddress,
    ) {
        self.core.totals.offered += 1;
        let asked = Asked { from: user.sip_user().to_owned(), ..asked(request, flow) };
        let key = self.core.random_key();
        let ready = match self.admit_user(now, (request, flow), &asked, offer.as_deref(), (user, key)) {
            Ok(ready) => ready,
            Err(refusal) => return self.refuse(now, session, asked, refusal),
        };
        if let Err(criterion) = self.core.trunks.take_call(&ready.users.id, now) {
            let refusal = Refusal::TrunkCap(ready.users.id.clone(), criterion);
            return self.refuse(now, session, asked, refusal);
        }
        let id = self.core.new_call();
        self.core.sessions.insert(session, Owner { call: id.serial, side: Side::Caller });
        self.core.event(CallEvent::Started {
            call: id,
            trunk: ready.users.id.clone(),
            from: ready.who.said.clone(),
            to: asked.to.clone(),
        });
        let profile = self.core.profile(&ready.users, flow.transport);
        let caller = Leg {
            session: Some(session),
            user: Some(user.clone()),
            trunk: Arc::clone(&ready.users),
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
                route: ready.route,
                hops_left: request.max_forwards().unwrap_or(HOPS).min(HOPS).saturating_sub(1),
                caller,
                caller_flow: flow,
                caller_offer: offer,
                caller_prack: prack(request, ready.users.reliability),
                caller_place: ready.place,
            },
        );
        self.calls.insert(id.serial, call);
        let adopted = self.core.ua.adopt(now, session, profile);
        self.drain(now);
        if adopted.is_ok() {
            self.with_call(id.serial, |call, core| call.begin(core, now));
        }
    }

    fn admit_user(
        &self,
        now: Instant,
        (request, flow): (&Message, Flow),
        asked: &Asked,
        offer: Option<&[u8]>,
        (user, key): (&UserAddress, [u8; 32]),
    ) -> Result<Ready, Refusal> {
        let users = self.table.users().ok_or(Refusal::UnknownSource)?;
        self.check_node(request)?;
        self.core
            .trunks
            .check_call(&users.id, now)
            .map_err(|criterion| Refusal::TrunkCap(users.id.clone(), criterion))?;
        let called = Called::parse(&asked.to, user.resource());
        let who = self.identify_user(request, user, &called)?;
        let route = self.table.route_of_user(user.resource(), &called).map_err(Refusal::NoRoute)?;
        let open = |choice| {
            let mut outs = route.trunks.iter();
            outs.any(|out| check_out(&self.core.trunks, &users.id, &route, out, choice, now).is_ok())
        };
        if route.steps.is_empty() && !open(Choice::Well) && !open(Choice::LastResort) {
            return Err(Refusal::NoTrunk);
        }
        let place = self.core.place_of_user(flow);
        let place = place.ok_or(Refusal::Media("no media address of the caller's family"))?;
        let media = self.core.media_at(self.core.local(users, place, None), place, key);
        let wish = match offer.map(|offer| media.read_offer(offer)) {
            None => Direction::SendRecv,
            Some(Ok(view)) => view.direction,
            // Among browsers it may be what we do not know; towards a trunk it is refused when it comes to that.
            Some(Err(_)) if !route.steps.is_empty() => Direction::SendRecv,
            Some(Err(error @ Error::Malformed(_))) => return Err(Refusal::BadRequest(error.warning().1)),
            Some(Err(error)) => return Err(Refusal::Media(error.warning().1)),
        };
        Ok(Ready { who, route, users: Arc::clone(users), media, wish, place })
    }

    /// Decides what a user shows: the number that it asks for if that is its resource's, or the resource's own
    /// (CALL-01, CALL-02). Towards users of its resource it needs none.
    fn identify_user(
        &self,
        request: &Message,
        user: &UserAddress,
        called: &Called,
    ) -> Result<Caller, Refusal> {
        let identity = self.table.identity(user.resource(), wanted_number(request));
        let number = match (identity, called) {
            (Identity::Number(number), _) => Some(number),
            (Identity::None, Called::User(_)) => None,
            (Identity::None, Called::Number(_)) => return Err(Refusal::CallerId("the resource has none")),
            (Identity::NotOwned, _) => return Err(Refusal::CallerId("the resource does not have it")),
        };
        Caller::of_user(request, user, number).map_err(|error| match error {
            InvalidCaller::From => Refusal::BadRequest("From"),
            InvalidCaller::Privacy => Refusal::Privacy,
        })
    }
}

impl Core {
    /// Returns the host of addresses that users are shown: that of the listener that they come to.
    pub(crate) fn user_domain(&self) -> String {
        let listeners = &self.config.user_agent.listeners;
        let wss = listeners.iter().find(|listener| listener.transport == Transport::Wss);
        wss.or(listeners.first()).map_or_else(String::new, |listener| listener.advertised.host.to_string())
    }
}

/// Returns the number that a caller asks to be shown by (RFC 3325 §9.2), or calls itself.
fn wanted_number(request: &Message) -> Option<E164> {
    let number = |user: &str| Dialled::parse(user.strip_prefix("4:").unwrap_or(user)).number;
    let preferred = request.addresses(Name::PPreferredIdentity).flatten();
    let preferred = preferred.filter_map(|address| number(&address.uri().ok()?.user()?)).next();
    preferred.or_else(|| number(&request.from().ok()?.uri().ok()?.user()?))
}
