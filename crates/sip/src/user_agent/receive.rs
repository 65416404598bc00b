//! What happens to a message that comes in: which machine it is for, or how it is refused (RFC 3261 §8.2, §16.3).

use std::time::Instant;

use bytes::Bytes;

use super::core::{SUPPORTED, hex};
use super::table::Id;
use super::{ChangeKind, Event, Outcome, SDP, UserAgent};
use crate::dialog::{Sequence, has_usable_routes};
use crate::header::Name;
use crate::invite::Session;
use crate::message::{HEADERS_MAX, MESSAGE_BYTES_MAX, Message, ParseError, ParseErrorKind, response_to};
use crate::method::Method;
use crate::resolve::{QueryId, ResolveError};
use crate::status::reason_phrase;
use crate::transaction::{Arrival, MAGIC_COOKIE, Verdict, to_tag};
use crate::transport::{Flow, Target, Transmit, response_target};
use crate::uri::Scheme;

/// What Retry-After says under overload: long enough to matter, short enough to come back before callers give up.
pub(super) const RETRY_AFTER_SECS: &str = "5";

/// The extensions that a peer may require of us.
const EXTENSIONS: [&str; 2] = ["100rel", "timer"];

/// Longest text of a peer that is shown to an operator: the names of extensions have some ten characters.
const SHOWN_MAX: usize = 64;

/// Most fields that a response echoes: what it says itself stays below two dozen.
const ECHOED_MAX: usize = HEADERS_MAX - 24;

/// Most bytes of them: half a message, which leaves the rest to a description and to our own fields.
const ECHOED_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

/// Why a request is refused.
struct Objection {
    status: u16,
    phrase: &'static str,
    header: Option<(Name, String)>,
}

impl Objection {
    fn new(status: u16) -> Self {
        Self { status, phrase: reason_phrase(status), header: None }
    }

    /// Says it to an operator: the phrase, and what was asked in vain.
    fn reason(&self) -> String {
        match &self.header {
            Some((Name::Unsupported, extensions)) => {
                // What is no token (RFC 3261 §25.1) or list of them has no place in a record.
                let is_token = |c: &char| c.is_ascii_alphanumeric() || "-.!%*_+`'~, ".contains(*c);
                let shown: String = extensions.chars().filter(is_token).take(SHOWN_MAX).collect();
                format!("{}: {shown}", self.phrase)
            }
            Some(_) | None => self.phrase.to_owned(),
        }
    }

    fn with(mut self, name: Name, value: String) -> Self {
        self.header = Some((name, value));
        self
    }
}

impl UserAgent {
    pub(super) fn receive(&mut self, now: Instant, flow: Flow, bytes: Bytes) {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            self.answer_ping(flow, &bytes);
            return;
        }
        match Message::parse(bytes) {
            Ok(message) if message.is_request() => self.receive_request(now, flow, message),
            Ok(message) => self.receive_response(now, flow, message),
            Err(error) => self.refuse_malformed(now, flow, &error),
        }
    }

    /// RFC 5626 §3.5.1: a double line end on a stream asks for a single one.
    fn answer_ping(&mut self, flow: Flow, bytes: &Bytes) {
        if flow.transport.is_reliable() && bytes.len() >= 4 {
            let pong = Bytes::from_static(b"\r\n");
            self.core.transmit(Transmit { target: Target::from(flow), bytes: pong });
        }
    }

    fn refuse_malformed(&mut self, now: Instant, flow: Flow, error: &ParseError) {
        self.core.counts.malformed += 1;
        tracing::debug!(kind = %error.kind(), remote = %flow.remote, "malformed message");
        let Some(request) = error.answerable().and_then(|request| request.received_from(flow.remote).ok())
        else {
            return;
        };
        if request.method() == Some(&Method::Invite) {
            return self.refuse_malformed_invite(now, flow, request, error.kind());
        }
        let tag = self.stateless_tag(&request);
        if let Some(response) = error.response(flow.remote, &tag) {
            let target = response_target(&request, flow);
            self.core.transmit(Transmit { target, bytes: response.bytes().clone() });
        }
    }

    /// Refuses a malformed INVITE in a transaction, so that copies of it are absorbed and it is told once.
    fn refuse_malformed_invite(&mut self, now: Instant, flow: Flow, request: Message, kind: ParseErrorKind) {
        let values = self.core.values();
        let core = &mut self.core;
        let arrival =
            core.transactions.handle_request(now, &values, &mut core.deadlines, &mut core.outputs, &request);
        match arrival {
            Arrival::Absorbed | Arrival::OkAck => return,
            Arrival::Merged | Arrival::New => {}
        }
        if self.is_overloaded(&request) {
            return self.refuse_stateless(flow, request);
        }
        let server = self.core.transactions.start_server(request.clone(), flow);
        // The same INVITE put right is a new one.
        self.core.transactions.forget_origin(server);
        let phrase = kind.to_string();
        let tag = hex(self.core.random());
        self.core.answer_saying(now, server, (kind.status(), &phrase), &tag, &[]);
        self.tell_refused(request, flow, kind.status(), phrase);
    }

    /// Tells the owner of a new INVITE that was refused. Of other requests there is nothing to tell.
    fn tell_refused(&mut self, request: Message, flow: Flow, status: u16, reason: String) {
        if request.method() == Some(&Method::Invite) && to_tag(&request).is_empty() {
            self.core.event(Event::Refused { request, flow, status, reason });
        }
    }

    fn receive_response(&mut self, now: Instant, flow: Flow, response: Message) {
        let mut vias = response.vias();
        // RFC 3261 §8.1.3.3: more than one Via means that the response is not for us.
        let client = match (vias.next(), vias.next()) {
            (Some(Ok(via)), None) => self.core.transactions.match_response(&response, &via),
            (Some(_) | None, _) => None,
        };
        drop(vias);
        let Some(client) = client else {
            self.core.counts.stray += 1;
            return;
        };
        let values = self.core.values();
        let core = &mut self.core;
        let verdict = core.transactions.handle_response(now, &values, &mut core.outputs, client, &response);
        if verdict == Verdict::Pass {
            self.pass_response(now, client, response, flow);
        }
        self.core.transactions.settle_client(&mut self.core.deadlines, client);
    }

    fn pass_response(&mut self, now: Instant, client: Id, response: Message, flow: Flow) {
        // RFC 3263 §4.3: a server that is out of service is as good as one that cannot be reached.
        if response.status() == Some(503)
            && let Some((owner, next)) = self.core.send_elsewhere(now, client)
        {
            return self.tell_sent(owner, next);
        }
        if let Some(owner) = self.core.transactions.client(client).map(|client| client.owner) {
            self.dispatch(now, owner, client, Outcome::Response(response, flow));
        }
    }

    fn receive_request(&mut self, now: Instant, flow: Flow, request: Message) {
        let Ok(request) = request.received_from(flow.remote) else {
            self.core.counts.malformed += 1;
            return;
        };
        if !is_answerable(&request) {
            return self.refuse_unanswerable(flow, request);
        }
        let values = self.core.values();
        let core = &mut self.core;
        let arrival =
            core.transactions.handle_request(now, &values, &mut core.deadlines, &mut core.outputs, &request);
        match arrival {
            Arrival::Absorbed => {}
            Arrival::OkAck => self.receive_ok_ack(now, flow, &request),
            Arrival::Merged | Arrival::New if self.is_overloaded(&request) => {
                self.refuse_stateless(flow, request);
            }
            Arrival::Merged => {
                let server = self.core.transactions.start_server(request.clone(), flow);
                self.refuse(now, server, 482, &[]);
                self.tell_refused(request, flow, 482, "Merged request".to_owned());
            }
            Arrival::New => self.receive_new(now, flow, request),
        }
    }

    /// Refuses a request whose headers leave an answer no room, while a bare one can still be written.
    fn refuse_unanswerable(&mut self, flow: Flow, request: Message) {
        self.core.counts.malformed += 1;
        if request.method() == Some(&Method::Ack) {
            return;
        }
        let target = response_target(&request, flow);
        self.answer_stateless(target, &request, 400, None);
        self.tell_refused(request, flow, 400, "Via and Record-Route leave an answer no room".to_owned());
    }

    fn receive_ok_ack(&mut self, now: Instant, flow: Flow, request: &Message) {
        match self.session_of(request) {
            Some(session) => {
                self.with_session(session, |session, core| session.handle_ack(core, now, request, flow));
            }
            None => self.core.counts.stray += 1,
        }
    }

    fn is_overloaded(&self, request: &Message) -> bool {
        let limits = &self.core.config.limits;
        let is_new_session = request.method() == Some(&Method::Invite) && to_tag(request).is_empty();
        self.core.transactions.servers() >= limits.transactions
            || self.core.outputs.len() >= limits.outputs
            || is_new_session && self.sessions.len() >= limits.sessions
    }

    /// Whether a request is part of something that is here: of a dialog of a session, or of a transaction.
    pub fn concerns(&mut self, request: &Message) -> bool {
        self.session_of(request).is_some() || self.core.transactions.knows(request)
    }

    /// Answers a request without keeping anything of it: for each request there is one response, and none for an ACK.
    ///
    /// It is for what does not even come as far as [`handle_input`](Self::handle_input).
    pub fn turn_away(&mut self, flow: Flow, request: &Message, status: u16) {
        if request.method() == Some(&Method::Ack) {
            return;
        }
        match request.received_from(flow.remote) {
            Ok(request) => {
                let mut target = response_target(&request, flow);
                // Who is turned away names nobody else to be answered (`maddr`, RFC 3261 §18.2.2).
                target.remote.set_ip(flow.remote.ip());
                self.answer_stateless(target, &request, status, None);
            }
            Err(_) => self.core.counts.malformed += 1,
        }
    }

    /// Answers 503 without keeping anything of the request.
    fn refuse_stateless(&mut self, flow: Flow, request: Message) {
        self.core.counts.overloaded += 1;
        let target = response_target(&request, flow);
        self.answer_stateless(target, &request, 503, Some((Name::RetryAfter, RETRY_AFTER_SECS)));
        self.tell_refused(request, flow, 503, "the tables of the user agent are full".to_owned());
    }

    fn answer_stateless(
        &mut self,
        target: Target,
        request: &Message,
        status: u16,
        header: Option<(Name, &str)>,
    ) {
        let tag = self.stateless_tag(request);
        let mut builder = response_to(request, status, reason_phrase(status), Some(&tag));
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        if let Ok(response) = self.core.server_headers(builder).finish() {
            self.core.transmit(Transmit { target, bytes: response.bytes().clone() });
        }
    }

    /// Returns a tag that is the same when the request comes again (RFC 3261 §8.2.7).
    fn stateless_tag(&self, request: &Message) -> String {
        let branch = request.top_via().ok().and_then(|via| via.branch()).unwrap_or_default();
        format!("{:08x}", self.core.loop_mark(branch))
    }

    /// Refuses a request that has a server transaction.
    fn refuse(&mut self, now: Instant, server: Id, status: u16, headers: &[(Name, &str)]) {
        let tag = hex(self.core.random());
        self.core.answer(now, server, status, &tag, headers);
    }

    fn receive_new(&mut self, now: Instant, flow: Flow, request: Message) {
        let server = self.core.transactions.start_server(request.clone(), flow);
        let Some(method) = request.method().cloned() else { return };
        if method == Method::Cancel {
            return self.receive_cancel(now, server, &request);
        }
        if method == Method::Invite {
            // RFC 3261 §8.2.6.1: at once, so that the INVITE is not sent again.
            self.core.answer(now, server, 100, "", &[]);
        }
        if !self.is_method_taken(&method) {
            let allow = self.core.allow().to_owned();
            // RFC 3261 §21.5.2: 501 is for methods that are not even recognised.
            let status = if matches!(method, Method::Extension(_)) { 501 } else { 405 };
            return self.refuse(now, server, status, &[(Name::Allow, &allow)]);
        }
        let is_in_dialog = !to_tag(&request).is_empty();
        if let Some(objection) = self.objection(&request, &method, is_in_dialog) {
            return self.object(now, server, flow, request, &objection);
        }
        if is_in_dialog {
            self.receive_in_dialog(now, server, flow, request, &method);
        } else {
            self.receive_outside(now, server, flow, request, &method);
        }
    }

    fn object(&mut self, now: Instant, server: Id, flow: Flow, request: Message, objection: &Objection) {
        let header = objection.header.as_ref().map(|(name, value)| (*name, value.as_str()));
        let tag = hex(self.core.random());
        let said = (objection.status, objection.phrase);
        self.core.answer_saying(now, server, said, &tag, header.as_slice());
        self.tell_refused(request, flow, objection.status, objection.reason());
    }

    fn is_method_taken(&self, method: &Method) -> bool {
        matches!(
            method,
            Method::Invite | Method::Bye | Method::Prack | Method::Update | Method::Options | Method::Ack
        ) || self.core.config.methods.contains(method)
            || self.core.config.unadvertised.contains(method)
    }

    /// Returns why a request is refused whatever it is about, if it is.
    fn objection(&self, request: &Message, method: &Method, is_in_dialog: bool) -> Option<Objection> {
        match request.uri().map(|uri| uri.scheme()) {
            Ok(Scheme::Sip | Scheme::Sips | Scheme::Tel) => {}
            Ok(Scheme::Other) => return Some(Objection::new(416)),
            Err(_) => return Some(Objection { phrase: "Malformed Request-URI", ..Objection::new(400) }),
        }
        if !is_in_dialog {
            // A peer that asks with Max-Forwards 0 what is here means us (RFC 3261 §11.1).
            if request.max_forwards() == Some(0) && *method != Method::Options {
                return Some(Objection::new(483));
            }
            if self.is_loop(request) {
                return Some(Objection::new(482));
            }
        }
        let unsupported: Vec<&str> = request
            .list(Name::Require)
            .filter(|tag| !EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(tag)))
            .collect();
        if !unsupported.is_empty() {
            return Some(Objection::new(420).with(Name::Unsupported, unsupported.join(", ")));
        }
        let describes = matches!(method, Method::Invite | Method::Update | Method::Prack);
        if describes && !request.body().is_empty() && crate::invite::offer::sdp(request).is_none() {
            return Some(Objection::new(415).with(Name::Accept, SDP.to_owned()));
        }
        if *method == Method::Invite && !takes_sdp(request) {
            return Some(Objection::new(406));
        }
        None
    }

    /// Whether a request of ours came back with the Request-URI that we sent it with (RFC 5393 §4.2).
    fn is_loop(&self, request: &Message) -> bool {
        let mark = self.core.loop_mark(request.uri_text());
        request.vias().flatten().any(|via| {
            let digits = via.branch().and_then(|branch| branch.strip_prefix(MAGIC_COOKIE));
            digits
                .filter(|digits| digits.len() == 24)
                .and_then(|digits| digits.get(16..))
                .is_some_and(|digits| u32::from_str_radix(digits, 16) == Ok(mark))
        })
    }

    /// Returns the session whose dialog a request is in.
    fn session_of(&self, request: &Message) -> Option<Id> {
        let tag = to_tag(request);
        let number = u64::from_str_radix(tag, 16).ok().filter(|_| tag.len() == 16)?;
        let id = *self.by_tag.get(&number)?;
        self.sessions.get(id).filter(|session| session.holds(request))?;
        Some(id)
    }

    fn receive_cancel(&mut self, now: Instant, server: Id, request: &Message) {
        let Some(invite) = self.core.transactions.match_cancel(request) else {
            return self.refuse(now, server, 481, &[]);
        };
        let (session, is_pending) = match self.core.transactions.server(invite) {
            Some(entry) => (entry.session, entry.is_pending()),
            None => (None, false),
        };
        // RFC 3261 §9.2: the tag is that of the responses to the INVITE.
        let tag = match session.and_then(|id| self.sessions.get(id)) {
            Some(session) => session.tag().to_owned(),
            None => hex(self.core.random()),
        };
        self.core.answer(now, server, 200, &tag, &[]);
        if let Some(session) = session.filter(|_| is_pending) {
            self.with_session(session, |session, core| session.handle_cancel(core, now, invite, request));
        }
    }

    fn receive_outside(&mut self, now: Instant, server: Id, flow: Flow, request: Message, method: &Method) {
        match method {
            Method::Invite => self.receive_invite(now, server, flow, request),
            Method::Bye | Method::Prack | Method::Update => self.refuse(now, server, 481, &[]),
            Method::Options if !self.core.config.methods.contains(method) => self.answer_options(now, server),
            _ => self.hand_over(now, server, request, flow, None),
        }
    }

    fn receive_invite(&mut self, now: Instant, server: Id, flow: Flow, request: Message) {
        if !has_usable_routes(&request) {
            let objection = Objection { phrase: "Too long a Record-Route", ..Objection::new(400) };
            return self.object(now, server, flow, request, &objection);
        }
        let id = self.sessions.next_id();
        let tag = self.new_tag();
        let Some(session) = Session::be_called(&mut self.core, now, id, tag, server, &request, flow) else {
            // RFC 3261 §8.1.1.8: an INVITE without a usable Contact makes no dialog.
            let objection = Objection { phrase: "Missing or malformed Contact", ..Objection::new(400) };
            return self.object(now, server, flow, request, &objection);
        };
        if let Some(server) = self.core.transactions.server_mut(server) {
            server.session = Some(id);
        }
        self.add_session(session);
        self.with_session(id, |session, core| match session.check_requirements_unseen(core, now) {
            Ok(()) => session.offer_to_owner(core, request, flow),
            Err(status) => {
                let reason = reason_phrase(status).to_owned();
                core.event(Event::Refused { request, flow, status, reason });
            }
        });
    }

    /// Answers OPTIONS when the owner does not (RFC 3261 §11.2).
    fn answer_options(&mut self, now: Instant, server: Id) {
        let allow = self.core.allow().to_owned();
        let headers = [(Name::Allow, allow.as_str()), (Name::Accept, SDP), (Name::Supported, SUPPORTED)];
        self.refuse(now, server, 200, &headers);
    }

    fn receive_in_dialog(&mut self, now: Instant, server: Id, flow: Flow, request: Message, method: &Method) {
        let Some(id) = self.session_of(&request) else {
            return self.refuse(now, server, 481, &[]);
        };
        let Ok(number) = request.cseq().map(|cseq| cseq.number) else { return };
        let sequence = self
            .sessions
            .get_mut(id)
            .and_then(|session| session.usage_of(&request))
            .map(|usage| usage.dialog_mut().take_sequence(number));
        match sequence {
            Some(Sequence::InOrder) => {}
            Some(Sequence::Old) => {
                let wait = self.core.random_below(11).to_string();
                return self.refuse(now, server, 500, &[(Name::RetryAfter, &wait)]);
            }
            Some(Sequence::Repeated) => return self.refuse(now, server, 482, &[]),
            None => return self.refuse(now, server, 481, &[]),
        }
        match method {
            Method::Invite | Method::Update => {
                let kind = if *method == Method::Invite { ChangeKind::ReInvite } else { ChangeKind::Update };
                self.with_session(id, |session, core| {
                    session.handle_change_request(core, now, server, &request, flow, kind);
                });
            }
            Method::Bye => {
                self.with_session(id, |session, core| session.handle_bye(core, now, server, &request));
            }
            Method::Prack => {
                self.with_session(id, |session, core| session.handle_prack(core, now, server, &request));
            }
            _ if !self.sessions.get(id).is_some_and(|session| session.is_live()) => {
                self.refuse(now, server, 481, &[]);
            }
            Method::Options if !self.core.config.methods.contains(method) => self.answer_options(now, server),
            _ => self.hand_over(now, server, request, flow, Some(id)),
        }
    }

    pub(super) fn handle_resolved(
        &mut self,
        now: Instant,
        query: QueryId,
        targets: Result<Vec<Target>, ResolveError>,
    ) {
        let id = Id::from_u64(query.0);
        let error = match targets {
            Ok(targets) if !targets.is_empty() => match self.core.resolved(now, id, targets) {
                Some((owner, Some(client))) => return self.tell_sent(owner, client),
                Some((owner, None)) => return self.dispatch(now, owner, id, Outcome::Transport),
                None => return,
            },
            Ok(_) => ResolveError::NotFound,
            Err(error) => error,
        };
        if let Some(owner) = self.core.forget_query(id) {
            self.dispatch(now, owner, id, Outcome::Resolve(error));
        }
    }
}

/// Whether what a response echoes of a request leaves room for what it says itself.
fn is_answerable(request: &Message) -> bool {
    let echoed = || request.headers(Name::Via).chain(request.headers(Name::RecordRoute));
    echoed().count() <= ECHOED_MAX && echoed().map(<[u8]>::len).sum::<usize>() <= ECHOED_BYTES_MAX
}

/// Whether the sender of an INVITE takes a session description in the answer: one without Accept does
/// (RFC 3261 §20.1).
fn takes_sdp(request: &Message) -> bool {
    if request.raw(Name::Accept).is_none() {
        return true;
    }
    request.list(Name::Accept).any(|item| {
        let media_range = item.split(';').next().unwrap_or_default().trim_ascii();
        [SDP, "application/*", "*/*"].iter().any(|taken| media_range.eq_ignore_ascii_case(taken))
    })
}
