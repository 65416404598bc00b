//! The root machine: it composes transactions, dialogs and INVITE sessions.

mod command;
mod config;
mod event;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

pub use command::{Headers, InviteParams, Reply, RequestParams, Scope};
pub(crate) use command::{SDP, is_free};
pub use config::{Config, Limits, Profile};
pub use event::{Body, ChangeKind, EndReason, Event, Failure, ForkId, Input, Output, RequestId, SessionId};

use crate::error::Error;
use crate::timer::Timer;

/// A SIP user agent, both client and server, for any number of sessions.
///
/// After every `handle_*` call and every command, drain [`poll_output`](Self::poll_output), then read
/// [`poll_timeout`](Self::poll_timeout).
pub struct UserAgent {
    config: Config,
    outputs: VecDeque<Output>,
}

/// How many of each thing a user agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Client transactions.
    pub client_transactions: usize,
    /// Server transactions.
    pub server_transactions: usize,
    /// INVITE sessions.
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

impl UserAgent {
    /// Returns a user agent. All its identifiers come from the seed.
    pub fn new(config: Config, _seed: u64, _now: Instant) -> Self {
        Self { config, outputs: VecDeque::new() }
    }

    /// Takes in a message, a failure, or the answer to a look-up.
    pub fn handle_input(&mut self, _now: Instant, _input: Input) {}

    /// Acts on every timer that is due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Returns the next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        None
    }

    /// Returns how many of each thing there is.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sends an INVITE and returns the session that it starts.
    pub fn invite(&mut self, _now: Instant, _params: InviteParams) -> Result<SessionId, Error> {
        Err(Error::UnknownSession)
    }

    /// Sets how a session behaves: called on [`Event::Incoming`] when the trunk is known. A session whose INVITE
    /// does not go with the profile is rejected and ends.
    pub fn adopt(&mut self, _now: Instant, _session: SessionId, _profile: Profile) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Sends a 101 to 199 to the INVITE of a session, reliably where profile and peer want it.
    pub fn progress(&mut self, _now: Instant, _session: SessionId, _reply: Reply) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Answers the INVITE of a session with 200. The description is the answer, or the offer if there was none;
    /// it is left out if the answer was given in a reliable 18x before.
    pub fn accept(
        &mut self,
        _now: Instant,
        _session: SessionId,
        _headers: Headers,
        _sdp: Option<Bytes>,
    ) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Rejects the INVITE of a session with a 300 to 699. The session ends.
    pub fn reject(&mut self, _now: Instant, _session: SessionId, _reply: Reply) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Ends a session, whatever its state: by CANCEL, BYE, or 480 to the INVITE.
    pub fn hangup(&mut self, _now: Instant, _session: SessionId, _headers: Headers) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Sends the ACK that answers the offer of a 2xx.
    pub fn ack(&mut self, _now: Instant, _session: SessionId, _answer: Bytes) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Sends the PRACK that answers the offer of a reliable 18x.
    pub fn answer_progress(
        &mut self,
        _now: Instant,
        _session: SessionId,
        _fork: ForkId,
        _answer: Bytes,
    ) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Sends an INVITE in the dialog of a session; without an offer, the peer makes it.
    pub fn reinvite(
        &mut self,
        _now: Instant,
        _session: SessionId,
        _offer: Option<Bytes>,
        _headers: Headers,
    ) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Sends an UPDATE in the dialog of a session, early or established.
    pub fn update(
        &mut self,
        _now: Instant,
        _session: SessionId,
        _offer: Option<Bytes>,
        _headers: Headers,
    ) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Accepts what [`Event::Change`] asked. The description is the answer, or the offer if there was none.
    pub fn accept_change(
        &mut self,
        _now: Instant,
        _session: SessionId,
        _headers: Headers,
        _sdp: Option<Bytes>,
    ) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Refuses what [`Event::Change`] asked; the session stays as it was.
    pub fn reject_change(&mut self, _now: Instant, _session: SessionId, _reply: Reply) -> Result<(), Error> {
        Err(Error::UnknownSession)
    }

    /// Sends a request that is not part of an INVITE session's own signalling.
    pub fn request(&mut self, _now: Instant, _params: RequestParams) -> Result<RequestId, Error> {
        Err(Error::UnknownRequest)
    }

    /// Answers a request of [`Event::Request`].
    pub fn respond(&mut self, _now: Instant, _request: RequestId, _reply: Reply) -> Result<(), Error> {
        Err(Error::UnknownRequest)
    }
}
