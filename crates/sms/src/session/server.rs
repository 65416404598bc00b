//! A customer's session at ours: we are the message centre.

mod flow;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::AckToken;
use super::accounts::{Grant, Refusal};
use super::link::{Counters, End, Link, Timers};
use crate::bucket::Bucket;
use crate::pdu::body::VERSION_3_4;
use crate::pdu::{Address, Bind, BindKind, Body, Destination, ShortMessage};
use crate::status::{Class, CommandStatus, StatusTable};

/// How sessions of customers are run.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// Our system_id: up to 15 octets.
    pub system_id: String,
    /// Times.
    pub timers: Timers,
    /// What statuses mean that customers answer our deliver_sm with.
    pub statuses: StatusTable,
}

/// A session from its connection to its end.
///
/// `M` is the owner's name for a message it delivers. Every message that [`deliver`](Self::deliver) takes ends in
/// exactly one [`Event`] that carries it.
///
/// After every call, drain [`poll_output`](Self::poll_output), then read [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Server<M> {
    config: ServerConfig,
    state: State,
    link: Link<M>,
    bucket: Option<Bucket>,
    /// The customer's interface_version.
    version: u8,
    session: u64,
    requested: u64,
    /// Requests that wait for the owner: sequence number and which command.
    unanswered: BTreeMap<AckToken, (u32, Command)>,
    outputs: VecDeque<Output<M>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has bound; until then.
    Unbound(Instant),
    /// The owner decides on a bind.
    Deciding { sequence: u32, kind: BindKind },
    /// The refusal of a bind waits.
    Refusing { sequence: u32, kind: BindKind, status: CommandStatus, at: Instant },
    /// Messages pass.
    Bound { kind: BindKind, grant: Grant },
    /// unbind is on its way.
    Unbinding,
    /// Over.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Submit,
    SubmitMulti,
    Data,
    Query,
    Cancel,
}

/// What the owner has to do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "outputs are taken out one by one and not kept")]
pub enum Output<M> {
    /// Write to the connection.
    Transmit(Bytes),
    /// Close the connection once all is written.
    Close,
    /// Something happened.
    Event(Event<M>),
}

/// What happened.
#[derive(Debug, PartialEq)]
pub enum Event<M> {
    /// Someone wants to bind: answer with [`Server::decide`].
    BindRequested(Bind),
    /// The customer asks for something: answer with [`Server::reply`] once it is durable.
    Request {
        /// Names it.
        ack: AckToken,
        /// What it is.
        request: Request,
    },
    /// The customer has a message.
    Delivered {
        /// Which.
        token: M,
    },
    /// The customer did not take a message.
    Refused {
        /// Which.
        token: M,
        /// What it said.
        status: CommandStatus,
        /// What that means; never `Accepted`.
        class: Class,
    },
    /// The customer did not answer in time, or the session ended before.
    Undelivered {
        /// Which.
        token: M,
        /// Whether it had been sent, so that it may come twice.
        in_doubt: bool,
    },
    /// The session is over.
    Ended(End),
}

/// What a customer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// submit_sm, or data_sm.
    Submit(ShortMessage),
    /// submit_multi: one message to several destinations.
    SubmitMulti {
        /// The message, without a destination.
        message: ShortMessage,
        /// Where it goes.
        destinations: Vec<Destination>,
    },
    /// query_sm.
    Query {
        /// Our id of the message.
        id: String,
        /// Who sent it.
        source: Address,
    },
    /// cancel_sm.
    Cancel {
        /// Our id of the message; empty for all between the two addresses.
        id: String,
        /// Who sent it.
        source: Address,
        /// To whom.
        destination: Address,
    },
}

/// What a customer is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The message is ours, under this id.
    Accepted(String),
    /// The messages are ours, but for these.
    AcceptedMulti {
        /// Our id.
        id: String,
        /// Destinations that were refused, and why.
        failed: Vec<(Address, CommandStatus)>,
    },
    /// The state of a message.
    State {
        /// Our id.
        id: String,
        /// When it reached it, in the form of SMPP 3.4 §7.1.1; empty if it is not final.
        final_date: String,
        /// message_state.
        state: u8,
        /// The network's error.
        error: u8,
    },
    /// The messages are cancelled.
    Cancelled,
    /// No.
    Refused(CommandStatus),
}

/// What a timeout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Nobody bound in time.
    SessionInit,
    /// A refusal has waited long enough.
    Refusal,
    /// A response is overdue, the peer is silent, or it is time for enquire_link.
    Link,
}

impl<M> Server<M> {
    /// Returns a session for a connection that was just accepted. `session` is a number of no other session's.
    pub fn new(config: ServerConfig, session: u64, now: Instant) -> Self {
        let link = Link::new(config.timers, now);
        Self {
            state: State::Unbound(now + config.timers.session_init),
            config,
            link,
            bucket: None,
            version: VERSION_3_4,
            session,
            requested: 0,
            unanswered: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Returns how many messages [`deliver`](Self::deliver) would take now.
    pub fn room(&self) -> usize {
        match self.state {
            State::Bound { kind, grant } if kind.receives() => {
                grant.deliver_window.saturating_sub(self.link.messages_pending())
            }
            State::Bound { .. }
            | State::Unbound(_)
            | State::Deciding { .. }
            | State::Refusing { .. }
            | State::Unbinding
            | State::Closed => 0,
        }
    }

    /// Returns the peer's oddities.
    pub fn counters(&self) -> Counters {
        self.link.counters
    }

    /// Answers the bind that [`Event::BindRequested`] told of.
    pub fn decide(&mut self, now: Instant, decision: Result<Grant, Refusal>) {
        let State::Deciding { sequence, kind } = self.state else { return };
        match decision {
            Ok(grant) => {
                self.state = State::Bound { kind, grant };
                self.bucket = grant.rate.map(Bucket::new);
                let system_id = self.config.system_id.clone();
                // A peer of SMPP 3.3 knows no TLVs.
                let version = (self.version >= VERSION_3_4).then_some(VERSION_3_4);
                let body = Body::BindResp { kind, system_id, version };
                self.link.respond(sequence, CommandStatus::OK, body);
            }
            Err(Refusal { status, delay }) => {
                self.state = State::Refusing { sequence, kind, status, at: now + delay };
                self.refuse_when_due(now);
            }
        }
        self.collect();
    }

    /// Answers a request; does nothing if it has been answered or the session is over.
    pub fn reply(&mut self, ack: AckToken, reply: Reply) {
        let Some((sequence, command)) = self.unanswered.remove(&ack) else { return };
        let (status, body) = flow::response(command, reply);
        self.link.respond(sequence, status, body);
        self.collect();
    }

    /// Sends a text or a receipt, or gives it back if there is no [`room`](Self::room).
    ///
    /// # Errors
    /// The token, if it was not taken.
    pub fn deliver(&mut self, now: Instant, token: M, message: ShortMessage) -> Result<(), M> {
        if self.room() == 0 {
            return Err(token);
        }
        self.send(now, token, message);
        self.collect();
        Ok(())
    }

    /// Unbinds and closes: the gateway stops, or the account is gone.
    pub fn stop(&mut self, now: Instant) {
        match self.state {
            State::Bound { .. } => self.unbind(now),
            State::Unbound(_) | State::Deciding { .. } | State::Refusing { .. } => self.end(End::Unbound),
            State::Unbinding | State::Closed => {}
        }
        self.collect();
    }

    /// Takes in what the connection brought.
    pub fn handle_received(&mut self, now: Instant, octets: &[u8]) {
        if self.state != State::Closed {
            self.received(now, octets);
            self.collect();
        }
    }

    /// Takes in that the connection is gone.
    pub fn handle_closed(&mut self) {
        if self.state != State::Closed {
            self.finish(End::Closed);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Unbound(at) if at <= now => self.end(End::NotBound),
            State::Unbound(_) | State::Closed => {}
            State::Refusing { .. } => self.refuse_when_due(now),
            State::Deciding { .. } | State::Bound { .. } | State::Unbinding => self.timed_out(now),
        }
        self.collect();
    }

    /// Returns what to do next.
    pub fn poll_output(&mut self) -> Option<Output<M>> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Closed => None,
            State::Unbound(at) => Some((at, Timer::SessionInit)),
            State::Refusing { at, .. } => Some((at, Timer::Refusal)),
            State::Deciding { .. } | State::Bound { .. } | State::Unbinding => {
                Some((self.link.next_timeout(), Timer::Link))
            }
        }
    }

    fn collect(&mut self) {
        while let Some(octets) = self.link.poll_write() {
            self.outputs.push_back(Output::Transmit(octets));
        }
    }

    fn event(&mut self, event: Event<M>) {
        self.collect();
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
