//! Users: who sends what comes over their connections, and where they can be reached.
//!
//! Whether a token is good is a question to the world ([`Output::Authenticate`]), whose answer is an input: what waits
//! for it is kept here, and no call waits for a database. What a connection has shown holds for all that comes over it
//! until the token ends, is revoked, or the connection is gone; REGISTER is looked into every time.
//!
//! [`Output::Authenticate`]: super::Output::Authenticate

use super::{B2bua, Output};
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use trunkline_model::{Transport, Trunk, UserAddress};
use trunkline_sip::auth::{
    Algorithm, BearerError, Credential, DigestResponse, Freshness, Nonces, Secret, bearer_challenge,
    digest_challenge,
};
use trunkline_sip::header::{Name, NameAddr};
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::registrar::{Grant, Limits, Registrar};
use trunkline_sip::transport::{ConnectionId, Flow};
use trunkline_sip::user_agent::{Headers, Reply, RequestId, SessionId};

/// The realm of digests. It is part of the secrets that are kept, and so never changes, whatever hosts there are.
pub const REALM: &str = "trunkline";

/// The scope that a token needs (RFC 6750 §3).
const SCOPE: &str = "voip";

/// Most questions under way. Each waits for one read of the database; beyond that requests get 503.
const QUESTIONS_MAX: usize = 10_000;

/// After so many refused credentials nothing more is asked for a connection: a client that has the wrong token stops by
/// itself, and what goes on is guessing.
const FAILURES_MAX: u8 = 20;

/// A question to the world about who is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuestionId(pub u64);

/// What has to be known about who is asking. `Debug` hides the token.
#[derive(Clone, PartialEq, Eq)]
pub enum Question {
    /// Is this token good for calls, and whose is it?
    Token(String),
    /// What are the digest secrets of this user's tokens that are good for calls?
    Secrets(UserAddress),
}

/// What the world answered.
#[derive(Debug, Clone)]
pub enum Finding {
    /// The token is good.
    Good(Granted),
    /// It is expired, revoked, or none of ours; or its user or resource is gone.
    Invalid,
    /// It is good, but not for calls.
    InsufficientScope,
    /// The digest secrets of the user's tokens.
    Secrets(Vec<(Secret, Granted)>),
    /// Nobody can say now.
    Unavailable,
}

/// What a token grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// To whom.
    pub user: UserAddress,
    /// When it was issued, in seconds of the Unix epoch.
    pub issued: i64,
    /// When it ends.
    pub until: Instant,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(…)"),
            Self::Secrets(user) => write!(f, "Secrets({user})"),
        }
    }
}

/// What is known of users.
pub(crate) struct Users {
    /// The trunk that stands for all of them; none where there are no users.
    pub(crate) trunk: Option<Arc<Trunk>>,
    pub(crate) registrar: Registrar,
    nonces: Nonces,
    connections: HashMap<ConnectionId, Known>,
    waiting: HashMap<QuestionId, Waiting>,
    asked: u64,
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Known {
    /// Whose it is.
    granted: Option<Granted>,
    failures: u8,
}

/// A request whose sender is being looked into.
struct Waiting {
    subject: Subject,
    message: Message,
    flow: Flow,
}

/// What waits.
pub(super) enum Subject {
    /// A request that is not an INVITE.
    Request(RequestId),
    /// A new call.
    Call(SessionId, Option<Bytes>),
}

/// Why a request of a user goes no further now.
enum Hurdle {
    /// It is asked who it is.
    Asked,
    /// It is answered so.
    Refused(Reply),
}

impl Users {
    pub(crate) fn new(limits: Limits, key: [u8; 32], now: Instant) -> Self {
        Self {
            trunk: None,
            registrar: Registrar::new(limits),
            nonces: Nonces::new(key, now),
            connections: HashMap::new(),
            waiting: HashMap::new(),
            asked: 0,
        }
    }

    /// Returns whose connection it is.
    pub(super) fn owner(&self, now: Instant, flow: Flow) -> Option<&UserAddress> {
        let granted = self.connections.get(&flow.connection?)?.granted.as_ref()?;
        (granted.until > now).then_some(&granted.user)
    }

    /// Ends what was granted to a user before that second of the Unix epoch.
    fn revoke(&mut self, user: &UserAddress, issued_before: i64) {
        self.registrar.revoke(user.as_str(), issued_before);
        for known in self.connections.values_mut() {
            known.granted.take_if(|granted| granted.user == *user && granted.issued < issued_before);
        }
    }
}

impl B2bua {
    /// Sets the limits of registrations. To be called before there are any.
    pub fn set_registrar_limits(&mut self, limits: Limits) {
        self.core.users.registrar = Registrar::new(limits);
    }

    /// Tokens of a user that were issued before that second of the Unix epoch are good no more: its registrations by
    /// them end. Calls that are up go on.
    pub fn revoke_tokens(&mut self, user: &UserAddress, issued_before: i64) {
        self.core.users.revoke(user, issued_before);
    }

    /// Returns how many users can be reached, and at how many contacts.
    pub fn registered(&self) -> (usize, usize) {
        let registrar = &self.core.users.registrar;
        (registrar.users(), registrar.len())
    }

    /// Whether messages on a path are those of users. Nothing but users speaks WebSocket; over TLS it is whoever is no
    /// trunk.
    pub(super) fn is_of_users(&self, flow: Flow) -> bool {
        match flow.transport {
            Transport::Wss => true,
            Transport::Tls => self.table.identify(flow.remote, flow.transport).is_none(),
            Transport::Udp | Transport::Tcp => false,
        }
    }

    /// A connection is gone, and with it what it had shown and what it waited for.
    pub(super) fn handle_connection_gone(&mut self, now: Instant, connection: ConnectionId) {
        let users = &mut self.core.users;
        users.registrar.connection_gone(connection);
        users.connections.remove(&connection);
        let lost = users.waiting.extract_if(|_, waiting| waiting.flow.connection == Some(connection));
        let lost: Vec<Subject> = lost.map(|(_, waiting)| waiting.subject).collect();
        for subject in lost {
            self.refuse_subject(now, subject, Reply::new(500));
        }
    }

    /// A new call of a user.
    pub(super) fn handle_user_invite(
        &mut self,
        now: Instant,
        session: SessionId,
        request: &Message,
        flow: Flow,
        offer: Option<Bytes>,
    ) {
        if let Some(user) = self.core.users.owner(now, flow).cloned() {
            return self.call_of_user(now, session, request, flow, offer, &user);
        }
        match self.look_into(now, request, flow, Subject::Call(session, offer)) {
            Hurdle::Asked => {}
            Hurdle::Refused(reply) => drop(self.core.ua.reject(now, session, reply)),
        }
    }

    /// A request of a user that belongs to no call.
    pub(super) fn handle_user_request(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        flow: Flow,
    ) {
        if message.method() != Some(&Method::Register)
            && let Some(user) = self.core.users.owner(now, flow).cloned()
        {
            return self.request_of_user(now, request, message, flow, &user);
        }
        match self.look_into(now, message, flow, Subject::Request(request)) {
            Hurdle::Asked => {}
            Hurdle::Refused(reply) => drop(self.core.ua.respond(now, request, reply)),
        }
    }

    /// Asks who sends a request, if there is anything to ask about.
    fn look_into(&mut self, now: Instant, message: &Message, flow: Flow, subject: Subject) -> Hurdle {
        let Some(connection) = flow.connection.filter(|_| self.table.users().is_some()) else {
            return Hurdle::Refused(Reply::new(403));
        };
        if self.core.users.connections.get(&connection).is_some_and(|known| known.failures >= FAILURES_MAX) {
            return Hurdle::Refused(Reply::new(403).with_reason("Too Many Refused Credentials"));
        }
        let question = match credential(message) {
            Some(Credential::Bearer(token)) => Question::Token(token.to_owned()),
            Some(Credential::Digest(digest)) => match self.check_digest(&digest, message) {
                Some(user) => Question::Secrets(user),
                None => return Hurdle::Refused(self.challenge(now, None, false)),
            },
            None => return Hurdle::Refused(self.challenge(now, None, false)),
        };
        let users = &mut self.core.users;
        if users.waiting.len() >= QUESTIONS_MAX {
            return Hurdle::Refused(unavailable());
        }
        users.asked += 1;
        let id = QuestionId(users.asked);
        users.waiting.insert(id, Waiting { subject, message: message.clone(), flow });
        self.core.outputs.push_back(Output::Authenticate { id, question });
        Hurdle::Asked
    }

    /// Returns whose secrets a digest has to fit, if it is one to our challenge and for this request.
    fn check_digest(&self, digest: &DigestResponse<'_>, message: &Message) -> Option<UserAddress> {
        let fits = digest.realm == REALM
            && digest.is_for(message.uri_text())
            && self.core.users.nonces.is_ours(digest.nonce);
        // The name is part of the secret, so it has to be written in the one form that the secret was made with.
        let user = digest.user.parse().ok().filter(|user: &UserAddress| user.as_str() == digest.user);
        user.filter(|_| fits)
    }

    /// The world has said who is asking.
    pub(super) fn handle_finding(&mut self, now: Instant, id: QuestionId, finding: Finding) {
        // The call it was about may be over.
        let Some(Waiting { subject, message, flow }) = self.core.users.waiting.remove(&id) else { return };
        let granted = match finding {
            Finding::Good(granted) => Ok(granted),
            Finding::Invalid => Err(self.challenge(now, Some(BearerError::InvalidToken), false)),
            Finding::InsufficientScope => {
                // RFC 6750 §3.1.
                let challenge = bearer_challenge(REALM, SCOPE, Some(BearerError::InsufficientScope));
                Err(Reply::new(403).with_headers(Headers::new().with(Name::WwwAuthenticate, challenge)))
            }
            Finding::Secrets(secrets) => self.judge_digest(now, &message, &secrets),
            Finding::Unavailable => return self.refuse_subject(now, subject, unavailable()),
        };
        let owner = granted.and_then(|granted| self.own(now, flow, granted));
        match (owner, subject) {
            (Ok(granted), Subject::Call(session, offer)) => {
                self.call_of_user(now, session, &message, flow, offer, &granted.user);
            }
            (Ok(granted), Subject::Request(request)) if message.method() == Some(&Method::Register) => {
                let reply = self.register(now, &message, flow, &granted);
                let _ = self.core.ua.respond(now, request, reply);
            }
            (Ok(granted), Subject::Request(request)) => {
                self.request_of_user(now, request, &message, flow, &granted.user);
            }
            (Err(reply), subject) => {
                if let Some(connection) = flow.connection {
                    let known = self.core.users.connections.entry(connection).or_default();
                    known.failures = known.failures.saturating_add(1);
                }
                self.refuse_subject(now, subject, reply);
            }
        }
    }

    fn refuse_subject(&mut self, now: Instant, subject: Subject, reply: Reply) {
        let _ = match subject {
            Subject::Call(session, _) => self.core.ua.reject(now, session, reply),
            Subject::Request(request) => self.core.ua.respond(now, request, reply),
        };
    }

    /// Finds the token that a digest was made with.
    fn judge_digest(
        &mut self,
        now: Instant,
        message: &Message,
        secrets: &[(Secret, Granted)],
    ) -> Result<Granted, Reply> {
        let method = message.method().map(Method::as_str).unwrap_or_default();
        let Some(Credential::Digest(digest)) = credential(message) else {
            return Err(self.challenge(now, None, false));
        };
        // All are looked at, so that the time says nothing of which it was.
        let fitting = secrets.iter().filter(|(secret, _)| digest.fits(secret, method));
        let Some((_, granted)) = fitting.fold(None, |_, fits| Some(fits)) else {
            return Err(self.challenge(now, None, false));
        };
        match self.core.users.nonces.take(now, digest.nonce, digest.count) {
            Freshness::Fresh => Ok(granted.clone()),
            // The password was right: another nonce, and nobody has to be asked.
            Freshness::Stale | Freshness::Replayed => Err(self.challenge(now, None, true)),
            Freshness::Foreign => Err(self.challenge(now, None, false)),
        }
    }

    /// Makes a connection a user's. It is one user's only: what comes over it is taken for that user's.
    fn own(&mut self, now: Instant, flow: Flow, granted: Granted) -> Result<Granted, Reply> {
        let known =
            flow.connection.map(|connection| self.core.users.connections.entry(connection).or_default());
        let Some(known) = known else { return Err(Reply::new(403)) };
        let is_anothers = known.granted.as_ref().is_some_and(|held| held.user != granted.user);
        if granted.until <= now || !self.table.knows_tenant(granted.user.resource()) {
            return Err(Reply::new(403).with_reason("Not A User Here"));
        }
        if is_anothers {
            return Err(Reply::new(403).with_reason("Another User's Connection"));
        }
        known.failures = 0;
        known.granted = Some(granted.clone());
        Ok(granted)
    }

    /// Registers what a REGISTER of a user asks for.
    fn register(&mut self, now: Instant, message: &Message, flow: Flow, granted: &Granted) -> Reply {
        let of_user = message.to().is_ok_and(|to| self.is_address_of(&to, &granted.user));
        let domain = message.uri().ok().and_then(|uri| uri.host()).map(|host| host.to_string());
        let here = domain.is_some_and(|domain| self.table.is_domain_of(&domain, granted.user.resource()));
        if !of_user || !here {
            // RFC 3261 §10.3 item 4: third parties register nobody here.
            return Reply::new(403).with_reason("Not Your Address");
        }
        let grant = Grant { until: granted.until, issued: granted.issued };
        let registrar = &mut self.core.users.registrar;
        let registered = registrar.register(now, granted.user.as_str(), message, flow, grant);
        registered.unwrap_or_else(|refused| refused.reply())
    }

    /// Whether an address is that of a user, in a domain that is not another resource's.
    fn is_address_of(&self, address: &NameAddr<'_>, user: &UserAddress) -> bool {
        let Ok(uri) = address.uri() else { return false };
        let named = uri.user().and_then(|name| UserAddress::of_sip_user(&name, Some(user.resource())));
        let host = uri.host().map(|host| host.to_string()).unwrap_or_default();
        named.as_ref() == Some(user) && self.table.is_domain_of(&host, user.resource())
    }

    /// Returns a 401 with every way to say who one is.
    fn challenge(&mut self, now: Instant, error: Option<BearerError>, stale: bool) -> Reply {
        let nonce = self.core.users.nonces.issue(now);
        let digest = |algorithm| digest_challenge(algorithm, REALM, &nonce, stale);
        // RFC 8760 §2.3: the preferred first. MD5 comes last also because JsSIP and SIP.js keep the last alone, and know
        // no other hash; what they hash is a long random token, in TLS.
        let bearer = bearer_challenge(REALM, SCOPE, error);
        let mut headers = Headers::new();
        for challenge in [bearer, digest(Algorithm::Sha256), digest(Algorithm::Md5)] {
            headers.push(Name::WwwAuthenticate, challenge);
        }
        Reply::new(401).with_headers(headers)
    }

    /// A call is over before it was known whose it was.
    pub(super) fn forget_question_about(&mut self, session: SessionId) {
        let is_other =
            |waiting: &Waiting| !matches!(waiting.subject, Subject::Call(about, _) if about == session);
        self.core.users.waiting.retain(|_, waiting| is_other(waiting));
    }
}

fn unavailable() -> Reply {
    Reply::new(503).with_headers(Headers::new().with(Name::RetryAfter, "5"))
}

/// Returns the first credential of a request that is of a kind that we know.
fn credential(message: &Message) -> Option<Credential<'_>> {
    message
        .headers(Name::Authorization)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .find_map(Credential::parse)
}
