//! The root machine: it composes transactions, dialogs and INVITE sessions.

mod command;
mod config;
pub(crate) mod core;
pub(crate) mod deadlines;
mod event;
mod receive;
mod request;
pub(crate) mod send;
pub(crate) mod table;

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

pub use command::{Headers, InviteParams, Reply, RequestParams, Scope};
pub(crate) use command::{SDP, is_free};
pub use config::{Config, Limits, Profile};
pub use event::{Body, ChangeKind, EndReason, Event, Failure, ForkId, Input, Output, RequestId, SessionId};

use self::core::Core;
use crate::error::Error;
use crate::invite::Session;
use crate::message::Message;
use crate::method::Method;
use crate::resolve::ResolveError;
use crate::timer::Timer;
use crate::transaction::Lapse;
use crate::transport::Flow;
use deadlines::Who;
use request::Request;
use table::{Id, Table};

/// A SIP user agent, both client and server, for any number of sessions.
///
/// After every `handle_*` call and every command, drain [`poll_output`](Self::poll_output), then read
/// [`poll_timeout`](Self::poll_timeout).
pub struct UserAgent {
    core: Core,
    sessions: Table<Box<Session>>,
    /// Sessions by our tag, which requests of the peer carry in To.
    by_tag: HashMap<u64, Id>,
    requests: Table<Request>,
}

/// How many of each thing a user agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Client transactions.
    pub client_transactions: usize,
    /// Server transactions.
    pub server_transactions: usize,
    /// INVITE sessions, those included of which the owner knows that they are over, but the peer does not yet.
    pub sessions: usize,
    /// Requests outside of INVITE sessions that wait for a response, ours and peers'.
    pub requests: usize,
    /// Look-ups under way.
    pub queries: usize,
    /// Requests and responses that were malformed.
    pub malformed: u64,
    /// Messages dropped because nothing here is concerned with them.
    pub stray: u64,
    /// Requests answered 503 because a table was full.
    pub overloaded: u64,
}

/// Whom the fate of a client transaction concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Session(Id, Purpose),
    Request(Id),
    Nobody,
}

/// What a session sent a request for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Invite,
    Change,
    Prack,
    Cancel,
    Bye,
}

/// What came of a request.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "it is handed down by value and kept nowhere")]
pub(crate) enum Outcome {
    Response(Message, Flow),
    Timeout,
    Transport,
    Resolve(ResolveError),
}

impl Outcome {
    /// Whether more is to come.
    pub(crate) fn is_provisional(&self) -> bool {
        matches!(self, Self::Response(response, _) if response.status().is_some_and(|status| status < 200))
    }
}

/// The loop.
impl UserAgent {
    /// Returns a user agent. All its identifiers come from the seed.
    pub fn new(config: Config, seed: u64, _now: Instant) -> Self {
        Self {
            core: Core::new(config, seed),
            sessions: Table::new(),
            by_tag: HashMap::new(),
            requests: Table::new(),
        }
    }

    /// Takes in a message, a failure, or the answer to a look-up.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { flow, bytes } => self.receive(now, flow, bytes),
            Input::TransportFailed { transport, remote, connection, quoted } => {
                let place = (transport, remote, connection);
                for client in self.core.transactions.fail_clients(place, quoted.as_deref()) {
                    self.fail_client(now, client, Outcome::Transport);
                }
                if let Some(connection) = connection {
                    self.core.transactions.redirect_servers(connection, &mut self.core.outputs);
                }
            }
            Input::Resolved { query, targets } => self.handle_resolved(now, query, targets),
        }
        self.settle();
    }

    /// Acts on every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, _, who, serial)) = self.core.deadlines.top() {
            if at > now {
                break;
            }
            self.core.deadlines.pop();
            if self.is_live(who, serial) {
                self.fire(now, who);
            }
        }
        self.settle();
    }

    /// Returns the next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.core.deadlines.top().map(|(at, timer, _, _)| (at, timer))
    }

    /// Whether every peer knows how its INVITE and its session ended: no CANCEL is still to be sent, and neither a
    /// BYE nor a refusal may have to be repeated.
    ///
    /// Transactions that only absorb what comes again do not count: they last half a minute, and end nothing.
    pub fn is_settled(&self) -> bool {
        self.sessions.len() == 0 && !self.core.transactions.await_ack()
    }

    /// Returns how many of each thing there is.
    pub fn counts(&self) -> Counts {
        Counts {
            client_transactions: self.core.transactions.clients(),
            server_transactions: self.core.transactions.servers(),
            sessions: self.sessions.len(),
            requests: self.requests.len(),
            queries: self.core.queries.len(),
            ..self.core.counts
        }
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    fn fire(&mut self, now: Instant, who: Who) {
        let values = self.core.values();
        match who {
            Who::Client(id) => {
                let lapse = {
                    let core = &mut self.core;
                    core.transactions.handle_client_timeout(now, &values, &mut core.outputs, id)
                };
                match lapse {
                    Lapse::TimedOut => self.fail_client(now, id, Outcome::Timeout),
                    Lapse::Nothing => self.core.transactions.settle_client(&mut self.core.deadlines, id),
                }
            }
            Who::Server(id) => {
                let core = &mut self.core;
                core.transactions.handle_server_timeout(
                    now,
                    &values,
                    &mut core.deadlines,
                    &mut core.outputs,
                    id,
                );
            }
            Who::Session(id) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.armed = None;
                }
                self.with_session(id, |session, core| session.handle_timeout(core, now));
            }
            Who::Request(id) => self.handle_request_timeout(now, id),
            Who::Query(id) => {
                if let Some(owner) = self.core.forget_query(id) {
                    self.dispatch(now, owner, id, Outcome::Resolve(ResolveError::Timeout));
                }
            }
        }
    }

    /// Leaves a timer at the top of the heap that is really running.
    fn settle(&mut self) {
        while let Some((_, _, who, serial)) = self.core.deadlines.top() {
            if self.is_live(who, serial) {
                return;
            }
            self.core.deadlines.pop();
        }
    }

    fn is_live(&self, who: Who, serial: u64) -> bool {
        let armed = match who {
            Who::Session(id) => self.sessions.get(id).and_then(|session| session.armed),
            Who::Request(id) => self.requests.get(id).and_then(|request| request.armed),
            Who::Client(_) | Who::Server(_) | Who::Query(_) => {
                return self.core.is_live(who, serial).unwrap_or(false);
            }
        };
        armed.is_some_and(|armed| armed.serial() == serial)
    }

    /// Lets a session act, then makes tables and timers agree with it.
    fn with_session<R>(&mut self, id: Id, act: impl FnOnce(&mut Session, &mut Core) -> R) -> Option<R> {
        let session = self.sessions.get_mut(id)?;
        let result = act(session, &mut self.core);
        if session.is_over() {
            self.by_tag.remove(&session.local_tag);
            self.sessions.remove(id);
        } else {
            let soonest = session.poll_timeout();
            self.core.deadlines.arm(Who::Session(id), &mut session.armed, soonest);
        }
        Some(result)
    }

    /// A client transaction ended without a final response: goes on at the next server of the host, or tells its owner.
    fn fail_client(&mut self, now: Instant, client: Id, outcome: Outcome) {
        let Some(owner) = self.core.transactions.client(client).map(|client| client.owner) else { return };
        match self.core.send_elsewhere(now, client) {
            Some((owner, next)) => self.tell_sent(owner, next),
            None => self.dispatch(now, owner, client, outcome),
        }
        self.core.transactions.settle_client(&mut self.core.deadlines, client);
    }

    fn tell_sent(&mut self, owner: Owner, client: Id) {
        if let Owner::Session(id, purpose) = owner {
            self.with_session(id, |session, _| session.handle_sent(purpose, client));
        }
    }

    /// Tells the owner of a client transaction what came of it.
    fn dispatch(&mut self, now: Instant, owner: Owner, client: Id, outcome: Outcome) {
        match owner {
            Owner::Session(id, purpose) => {
                let stray = match (&outcome, self.sessions.get(id)) {
                    (Outcome::Response(response, flow), None) => Some((response.clone(), *flow)),
                    (
                        Outcome::Response(..) | Outcome::Timeout | Outcome::Transport | Outcome::Resolve(_),
                        _,
                    ) => None,
                };
                if let Some((response, flow)) = stray {
                    return self.release_stray(now, client, &response, flow);
                }
                self.with_session(id, |session, core| match purpose {
                    Purpose::Invite => session.handle_invite_outcome(core, now, client, outcome),
                    Purpose::Change => session.handle_change_outcome(core, now, client, outcome),
                    Purpose::Prack => session.handle_prack_outcome(&outcome),
                    Purpose::Bye => session.handle_bye_outcome(core, now, &outcome),
                    // What matters is the final response of the INVITE.
                    Purpose::Cancel => {}
                });
            }
            Owner::Request(id) => self.handle_request_outcome(id, outcome),
            Owner::Nobody => {
                if let Outcome::Response(response, flow) = outcome {
                    self.release_stray(now, client, &response, flow);
                }
            }
        }
    }

    /// A response came for a session that is over: only a 2xx to INVITE needs something done.
    fn release_stray(&mut self, now: Instant, client: Id, response: &Message, flow: Flow) {
        let is_ok = response.status().is_some_and(|status| (200..300).contains(&status));
        if is_ok && response.cseq().is_ok_and(|cseq| cseq.method == Method::Invite) {
            crate::invite::uac::release_stray_ok(&mut self.core, now, client, response, flow);
        }
    }
}

/// Commands about sessions.
impl UserAgent {
    /// Sends an INVITE and returns the session that it starts.
    pub fn invite(&mut self, now: Instant, params: InviteParams) -> Result<SessionId, Error> {
        if self.sessions.len() >= self.core.config.limits.sessions {
            return Err(Error::Full("sessions"));
        }
        let id = self.sessions.next_id();
        let tag = self.new_tag();
        let session = Session::call(&mut self.core, now, id, tag, params)?;
        let session_id = session.session_id();
        self.add_session(session);
        self.settle();
        Ok(session_id)
    }

    fn new_tag(&mut self) -> u64 {
        loop {
            // Ends: the table holds a vanishing part of all tags.
            let tag = self.core.random();
            if !self.by_tag.contains_key(&tag) {
                return tag;
            }
        }
    }

    fn add_session(&mut self, session: Session) {
        let tag = session.local_tag;
        let id = self.sessions.insert(Box::new(session));
        self.by_tag.insert(tag, id);
        self.with_session(id, |_, _| ());
    }

    fn command(
        &mut self,
        session: SessionId,
        act: impl FnOnce(&mut Session, &mut Core) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let result = self.with_session(Id::from_u64(session.0), act).unwrap_or(Err(Error::UnknownSession));
        self.settle();
        result
    }

    /// Sets how a session behaves: called on [`Event::Incoming`] when the trunk is known. A session whose INVITE
    /// does not go with the profile is rejected and ends.
    pub fn adopt(&mut self, now: Instant, session: SessionId, profile: Profile) -> Result<(), Error> {
        self.command(session, |session, core| session.adopt(core, now, profile))
    }

    /// Sends a 101 to 199 to the INVITE of a session, reliably where profile and peer want it.
    pub fn progress(&mut self, now: Instant, session: SessionId, reply: Reply) -> Result<(), Error> {
        self.command(session, |session, core| session.progress(core, now, reply))
    }

    /// Answers the INVITE of a session with 200. The description is the answer, or the offer if there was none;
    /// it may be left out if the answer was given in a 18x before.
    pub fn accept(
        &mut self,
        now: Instant,
        session: SessionId,
        headers: Headers,
        sdp: Option<Bytes>,
    ) -> Result<(), Error> {
        self.command(session, |session, core| session.accept(core, now, headers, sdp))
    }

    /// Rejects the INVITE of a session with a 300 to 699. The session ends.
    pub fn reject(&mut self, now: Instant, session: SessionId, reply: Reply) -> Result<(), Error> {
        self.command(session, |session, core| session.reject(core, now, &reply))
    }

    /// Ends a session, whatever its state: by CANCEL, BYE, or 480 to the INVITE.
    ///
    /// [`Event::Ended`] comes at once; what the peer still has to be told is done by the user agent.
    pub fn hangup(&mut self, now: Instant, session: SessionId, headers: Headers) -> Result<(), Error> {
        self.command(session, |session, core| session.hangup(core, now, headers))
    }

    /// Sends the ACK that answers the offer of a 2xx.
    pub fn ack(&mut self, now: Instant, session: SessionId, answer: Bytes) -> Result<(), Error> {
        self.command(session, |session, core| session.ack(core, now, answer))
    }

    /// Sends the PRACK that answers the offer of a reliable 18x.
    pub fn answer_progress(
        &mut self,
        now: Instant,
        session: SessionId,
        fork: ForkId,
        answer: Bytes,
    ) -> Result<(), Error> {
        self.command(session, |session, core| session.answer_progress(core, now, fork, answer))
    }

    /// Sends an INVITE in the dialog of a session; without an offer, the peer makes it.
    ///
    /// It is sent when nothing is in its way: the ACK of our 2xx, or a change of the peer's.
    pub fn reinvite(
        &mut self,
        now: Instant,
        session: SessionId,
        offer: Option<Bytes>,
        headers: Headers,
    ) -> Result<(), Error> {
        self.command(session, |session, core| session.change(core, now, ChangeKind::ReInvite, offer, headers))
    }

    /// Takes back a `reinvite` that has no final response yet. What comes of it is told as always: by
    /// [`Event::ChangeFailed`], or by [`Event::Changed`] if the peer was faster.
    pub fn cancel_change(&mut self, now: Instant, session: SessionId) -> Result<(), Error> {
        self.command(session, |session, core| session.cancel_change(core, now))
    }

    /// Sends an UPDATE in the dialog of a session, early or established.
    pub fn update(
        &mut self,
        now: Instant,
        session: SessionId,
        offer: Option<Bytes>,
        headers: Headers,
    ) -> Result<(), Error> {
        self.command(session, |session, core| session.change(core, now, ChangeKind::Update, offer, headers))
    }

    /// Says whether the peer of a session takes INFO, by the Allow that it sent last; none if it sent none, which says
    /// nothing about what it takes (RFC 3261 §20.5).
    pub fn takes_info(&self, session: SessionId) -> Option<bool> {
        self.sessions.get(Id::from_u64(session.0))?.takes_info()
    }

    /// Accepts what [`Event::Change`] asked. The description is the answer, or the offer if there was none.
    pub fn accept_change(
        &mut self,
        now: Instant,
        session: SessionId,
        headers: Headers,
        sdp: Option<Bytes>,
    ) -> Result<(), Error> {
        self.command(session, |session, core| session.accept_change(core, now, &headers, sdp))
    }

    /// Refuses what [`Event::Change`] asked; the session stays as it was.
    pub fn reject_change(&mut self, now: Instant, session: SessionId, reply: Reply) -> Result<(), Error> {
        self.command(session, |session, core| session.reject_change(core, now, &reply))
    }
}
