//! What users send besides calls: texts to one another (RFC 3428), and transfers.

use super::{B2bua, Purpose};
use crate::call::identity::Caller;
use crate::route::Called;
use std::time::Instant;
use trunkline_model::UserAddress;
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::{Flow, Target};
use trunkline_sip::user_agent::{Failure, Headers, Reply, RequestId, RequestParams, Scope, SessionId};

/// Texts that are on their way to contacts.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// How many contacts have not answered.
    left: usize,
    /// The best status so far.
    best: Option<u16>,
}

/// Most contacts that a text goes to.
const COPIES_MAX: usize = 10;

impl B2bua {
    /// A request of a user outside of calls.
    pub(super) fn request_of_user(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        flow: Flow,
        user: &UserAddress,
    ) {
        let refused = match message.method() {
            Some(Method::Message) => self.send_text(now, request, message, flow, user).err(),
            Some(_) | None => Some(405),
        };
        if let Some(status) = refused {
            let _ = self.core.ua.respond(now, request, Reply::new(status));
        }
    }

    /// Sends a text on to every contact of another user of the resource.
    fn send_text(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        flow: Flow,
        user: &UserAddress,
    ) -> Result<(), u16> {
        let to = message.uri().ok().and_then(|uri| uri.user().map(|user| user.into_owned()));
        let Called::User(called) = Called::parse(&to.unwrap_or_default(), user.resource()) else {
            return Err(404);
        };
        if called.resource() != user.resource() {
            return Err(404);
        }
        let users = self.core.users.trunk.clone().ok_or(403_u16)?;
        let caller = Caller::of_user(message, user, None).map_err(|_| 400_u16)?;
        let content_type = message.content_type().ok_or(400_u16)?.to_owned();
        let domain = self.core.user_domain();
        let contacts = self.core.users.registrar.contacts(now, called.as_str());
        let others = contacts.into_iter().filter(|contact| contact.flow != flow).take(COPIES_MAX);
        let copies: Vec<RequestParams> = others
            .map(|contact| RequestParams {
                method: Method::Message,
                scope: Scope::Outside {
                    destination: Destination::Target(Target::from(contact.flow)),
                    uri: contact.uri.to_string(),
                    from: caller.from(&domain),
                    to: format!("<sip:{}@{domain}>", called.sip_user()),
                    profile: self.core.profile(&users, contact.flow.transport),
                },
                headers: Headers::new(),
                body: Some((content_type.clone(), message.body().clone())),
            })
            .collect();
        let mut text = Text::default();
        for copy in copies {
            if let Ok(sent) = self.core.ua.request(now, copy) {
                self.core.requests.insert(sent, Purpose::Text(request));
                text.left += 1;
            }
        }
        if text.left == 0 {
            return Err(480);
        }
        self.core.texts.insert(request, text);
        Ok(())
    }

    /// A contact has taken a text, or not. The sender is told of the first that has.
    pub(super) fn text_delivered(
        &mut self,
        now: Instant,
        original: RequestId,
        result: Result<Message, Failure>,
    ) {
        let status = match &result {
            Ok(response) => response.status().unwrap_or(500),
            Err(failure) => failure.status(),
        };
        let Some(text) = self.core.texts.get_mut(&original) else { return };
        text.left -= 1;
        let best = text.best.map_or(status, |best| best.min(status));
        text.best = Some(best);
        if best >= 300 && text.left > 0 {
            return;
        }
        self.core.texts.remove(&original);
        // A challenge or a redirect of a contact is for us, and a 503 would speak of this server.
        let status = match best {
            200..=299 => 200,
            300..=399 | 401 | 407 | 408 | 503 => 480,
            other => other,
        };
        let _ = self.core.ua.respond(now, original, Reply::new(status));
    }

    /// An end asks for a transfer.
    pub(super) fn refer(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        session: SessionId,
    ) -> Result<(), Reply> {
        let owner = self.core.sessions.get(&session).copied().ok_or_else(|| Reply::new(481))?;
        let passes = self.calls.get(&owner.call).is_some_and(|call| call.passes());
        if passes {
            return self.pass(now, request, message, session, &[Name::ReferTo, Name::ReferSub]);
        }
        Err(Reply::new(405))
    }

    /// An end tells how a transfer goes.
    pub(super) fn pass_notify(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        session: SessionId,
    ) -> Result<(), Reply> {
        self.pass(now, request, message, session, &[Name::Event, Name::SubscriptionState])
    }

    /// Passes a request on to the other end of a call between browsers, which answers it.
    fn pass(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        session: SessionId,
        kept: &[Name],
    ) -> Result<(), Reply> {
        let owner = self.core.sessions.get(&session).copied().ok_or_else(|| Reply::new(481))?;
        let call = self.calls.get(&owner.call).filter(|call| call.passes());
        let other = call.and_then(|call| call.session(owner.side.other())).ok_or_else(|| Reply::new(405))?;
        let method = message.method().cloned().ok_or_else(|| Reply::new(400))?;
        let mut headers = Headers::new();
        for name in kept {
            if let Some(value) = message.header(*name) {
                headers.push(*name, value.to_owned());
            }
        }
        let body = message.content_type().map(|kind| (kind.to_owned(), message.body().clone()));
        let params = RequestParams { method, scope: Scope::Session(other), headers, body };
        let relayed = self.core.ua.request(now, params).map_err(|_| Reply::new(500))?;
        self.core.requests.insert(relayed, Purpose::Relay(request));
        Ok(())
    }
}
