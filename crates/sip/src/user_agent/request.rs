//! Requests that are not part of an INVITE session's own signalling: OPTIONS, INFO, REFER and the like.

use std::time::{Duration, Instant};

use super::core::hex;
use super::deadlines::{Armed, Who};
use super::send::{Contact, Outgoing, carries_contact};
use super::table::Id;
use super::{
    Event, Failure, Outcome, Owner, Profile, Reply, RequestId, RequestParams, Scope, UserAgent, is_free,
};
use crate::error::Error;
use crate::header::{Name, NameAddr};
use crate::message::{Message, MessageBuilder};
use crate::method::Method;
use crate::resolve::Destination;
use crate::timer::{Timer, Timers};
use crate::transport::Flow;

/// A request that waits for its final response.
#[derive(Debug)]
pub(super) struct Request {
    state: State,
    timers: Timers<1>,
    pub(super) armed: Option<Armed>,
}

#[derive(Debug)]
enum State {
    /// Ours; the peer answers.
    Sent,
    /// The peer's; the owner answers.
    Received { server: Id, message: Message, tag: String },
}

/// How long the owner may take for an answer: the peer gives up after 32 s (timer F).
const OWNER_ANSWER_MAX: Duration = Duration::from_secs(24);

impl UserAgent {
    /// Sends a request that is not part of an INVITE session's own signalling.
    pub fn request(&mut self, now: Instant, params: RequestParams) -> Result<RequestId, Error> {
        if matches!(
            params.method,
            Method::Invite | Method::Ack | Method::Bye | Method::Cancel | Method::Prack | Method::Update
        ) {
            return Err(Error::Malformed("method: it belongs to sessions"));
        }
        if self.requests.len() >= self.core.config.limits.transactions {
            return Err(Error::Full("requests"));
        }
        let id = self.requests.insert(Request { state: State::Sent, timers: Timers::new(), armed: None });
        let sent = match &params.scope {
            Scope::Session(session) => {
                let owner = Owner::Request(id);
                let session = Id::from_u64(session.0);
                self.with_session(session, |session, core| session.build_request(core, now, owner, &params))
                    .unwrap_or(Err(Error::UnknownSession))
            }
            Scope::Outside { destination, uri, from, to, profile } => {
                self.send_outside(now, id, &params, destination, uri, (from, to), profile)
            }
        };
        self.settle();
        match sent {
            Ok(()) => Ok(RequestId(id.to_u64())),
            Err(error) => {
                self.requests.remove(id);
                Err(error)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn send_outside(
        &mut self,
        now: Instant,
        id: Id,
        params: &RequestParams,
        destination: &Destination,
        uri: &str,
        (from, to): (&str, &str),
        profile: &Profile,
    ) -> Result<(), Error> {
        NameAddr::parse(from.as_bytes()).map_err(|_| Error::Malformed("From"))?;
        NameAddr::parse(to.as_bytes()).map_err(|_| Error::Malformed("To"))?;
        let tag = hex(self.core.random());
        let call_id = hex(self.core.random()) + &hex(self.core.random());
        let builder = MessageBuilder::request(params.method.clone(), uri)
            .header(Name::MaxForwards, "70")
            .header(Name::From, format!("{from};tag={tag}"))
            .header(Name::To, to)
            .header(Name::CallId, call_id)
            .header(Name::CSeq, format!("1 {}", params.method));
        let mut builder = self.core.client_headers(params.headers.write(builder, is_free));
        if params.method == Method::Options {
            builder = builder.header(Name::Accept, super::SDP);
        }
        if let Some((content_type, body)) = &params.body {
            builder = builder.body(content_type, body.clone());
        }
        let wants_contact = carries_contact(&params.method) || params.method == Method::Options;
        let outgoing = Outgoing {
            request: builder.finish()?,
            contact: wants_contact.then(Contact::default),
            advertised: profile.advertised.clone(),
        };
        self.core.send(now, Owner::Request(id), outgoing, destination.clone()).map(|_| ())
    }

    pub(super) fn handle_request_outcome(&mut self, id: Id, outcome: Outcome) {
        let result = match outcome {
            Outcome::Response(response, _) if response.status().is_some_and(|status| status < 200) => return,
            Outcome::Response(response, _) => Ok(response),
            Outcome::Timeout => Err(Failure::Timeout),
            Outcome::Transport => Err(Failure::Transport),
            Outcome::Resolve(error) => Err(Failure::Resolve(error)),
        };
        if self.requests.remove(id).is_some() {
            self.core.event(Event::Response { request: RequestId(id.to_u64()), result });
        }
    }

    /// Hands a peer's request to the owner.
    pub(super) fn hand_over(
        &mut self,
        now: Instant,
        server: Id,
        message: Message,
        flow: Flow,
        session: Option<Id>,
    ) {
        let tag = match session.and_then(|id| self.sessions.get(id)) {
            Some(session) => session.tag().to_owned(),
            None => hex(self.core.random()),
        };
        if self.requests.len() >= self.core.config.limits.transactions {
            self.core.answer(now, server, 503, &tag, &[(Name::RetryAfter, super::receive::RETRY_AFTER_SECS)]);
            return;
        }
        let mut timers = Timers::new();
        timers.set(Timer::OwnerAnswer, now + OWNER_ANSWER_MAX);
        let state = State::Received { server, message: message.clone(), tag };
        let id = self.requests.insert(Request { state, timers, armed: None });
        if let Some(request) = self.requests.get_mut(id) {
            let soonest = request.timers.soonest();
            self.core.deadlines.arm(Who::Request(id), &mut request.armed, soonest);
        }
        let session = session.and_then(|id| self.sessions.get(id)).map(|session| session.session_id());
        self.core.event(Event::Request { request: RequestId(id.to_u64()), message, flow, session });
    }

    /// Answers a request of [`Event::Request`].
    pub fn respond(&mut self, now: Instant, request: RequestId, reply: Reply) -> Result<(), Error> {
        let id = Id::from_u64(request.0);
        let entry = self.requests.get(id).ok_or(Error::UnknownRequest)?;
        let State::Received { server, message, tag } = &entry.state else {
            return Err(Error::UnknownRequest);
        };
        if !(100..700).contains(&reply.status) {
            return Err(Error::Malformed("status"));
        }
        let (server, message, tag) = (*server, message.clone(), tag.clone());
        if !self.core.reply(now, server, &message, &tag, &reply) {
            return Err(Error::Malformed("header of a response"));
        }
        if reply.status >= 200 {
            self.requests.remove(id);
        }
        self.settle();
        Ok(())
    }

    /// The owner did not answer.
    pub(super) fn handle_request_timeout(&mut self, now: Instant, id: Id) {
        if let Some(Request { state: State::Received { server, tag, .. }, .. }) = self.requests.remove(id) {
            self.core.answer(now, server, 500, &tag, &[]);
        }
    }
}
