//! Requests that are not calls: OPTIONS of peers and our own, INFO.

use super::{B2bua, Purpose, destination, domains};
use crate::trunk::Behaviour;
use std::sync::Arc;
use std::time::Instant;
use trunkline_model::{Gateway, Trunk};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::transport::Flow;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{Failure, Headers, Reply, RequestId, RequestParams, Scope, SessionId};

/// Bodies of INFO that carry digits; others mean something between a peer and its own peer only.
const DIGITS: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

impl B2bua {
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        flow: Flow,
        session: Option<SessionId>,
    ) {
        let reply = match (message.method(), session) {
            (Some(Method::Options), _) => Some(self.options(session)),
            (Some(Method::Info), _) => self.relay_info(now, request, message, session).err(),
            (Some(Method::Refer), Some(session)) => self.refer(now, request, message, session).err(),
            (Some(Method::Notify), Some(session)) => self.pass_notify(now, request, message, session).err(),
            (Some(Method::Register | Method::Message), None) if self.is_of_users(flow) => {
                self.handle_user_request(now, request, message, flow);
                None
            }
            _ => Some(Reply::new(405)),
        };
        if let Some(reply) = reply {
            let _ = self.core.ua.respond(now, request, reply);
        }
    }

    fn options(&self, session: Option<SessionId>) -> Reply {
        if self.core.draining && session.is_none() {
            // Peers that probe turn to another server before their next call.
            return Reply::new(503).with_headers(Headers::new().with(Name::RetryAfter, "30"));
        }
        Reply::new(200).with_headers(Headers::new().with(Name::Accept, "application/sdp"))
    }

    /// Passes digits on to the other side; its answer comes back.
    fn relay_info(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        session: Option<SessionId>,
    ) -> Result<(), Reply> {
        if message.header(Name::InfoPackage).is_some() {
            // RFC 6086 §4.2.2: we have announced no package.
            return Err(Reply::new(469).with_headers(Headers::new().with(Name::RecvInfo, "")));
        }
        let media_type = message.content_type().unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !DIGITS.contains(&media_type.as_str()) {
            let accept = Headers::new().with(Name::Accept, DIGITS.join(", "));
            return Err(Reply::new(415).with_headers(accept));
        }
        let owner = session.and_then(|session| self.core.sessions.get(&session)).copied();
        let owner = owner.ok_or_else(|| Reply::new(481))?;
        let other = self.calls.get(&owner.call).and_then(|call| call.session(owner.side.other()));
        let other = other.ok_or_else(|| Reply::new(480))?;
        if self.core.ua.takes_info(other) == Some(false) {
            // What the other side would answer, and does not have to be asked for.
            return Err(Reply::new(405));
        }
        let params = RequestParams {
            method: Method::Info,
            scope: Scope::Session(other),
            headers: Headers::new(),
            body: Some((media_type, message.body().clone())),
        };
        let relayed = self.core.ua.request(now, params).map_err(|_| Reply::new(500))?;
        self.core.requests.insert(relayed, Purpose::Relay(request));
        Ok(())
    }

    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        request: RequestId,
        result: Result<Message, Failure>,
    ) {
        match self.core.requests.remove(&request) {
            None => {}
            Some(Purpose::Probe(trunk, gateway)) => {
                let status = result.as_ref().ok().and_then(Message::status);
                let seen = match status {
                    None | Some(503) => Behaviour::Silent,
                    Some(_) => Behaviour::Alive,
                };
                let change = self.core.trunks.probe_done(&trunk, &gateway, seen);
                self.core.health(change);
            }
            Some(Purpose::Text(original)) => self.text_delivered(now, original, result),
            Some(Purpose::Relay(original)) => {
                let status = match &result {
                    Ok(response) => response.status().unwrap_or(500),
                    Err(failure) => failure.status(),
                };
                // A peer that does not do INFO says 405 or 501; so do we, about this call.
                let _ = self.core.ua.respond(now, original, Reply::new(status));
            }
        }
    }

    /// Sends every OPTIONS that is due.
    pub(super) fn probe(&mut self, now: Instant) {
        while let Some((trunk, gateway, change)) = self.core.trunks.due_probe(now) {
            self.core.health(change);
            self.send_probe(now, &trunk, gateway);
        }
    }

    fn send_probe(&mut self, now: Instant, trunk: &Arc<Trunk>, gateway: Gateway) {
        let (domain, authority) = domains(trunk, &gateway);
        let params = RequestParams {
            method: Method::Options,
            scope: Scope::Outside {
                destination: destination(&gateway),
                uri: format!("sip:{authority}"),
                from: format!("<sip:trunkline@{domain}>"),
                to: format!("<sip:{domain}>"),
                profile: self.core.profile(trunk, gateway.transport),
            },
            headers: Headers::new().with(Name::Accept, "application/sdp"),
            body: None,
        };
        match self.core.ua.request(now, params) {
            Ok(request) => {
                self.core.requests.insert(request, Purpose::Probe(trunk.id.clone(), gateway));
            }
            Err(error) => {
                tracing::warn!(trunk = %trunk.id, %error, "OPTIONS could not be sent");
                let change = self.core.trunks.probe_done(&trunk.id, &gateway, Behaviour::Silent);
                self.core.health(change);
            }
        }
    }
}
