//! Our session at a carrier: we are the ESME.

mod flow;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::AckToken;
use super::backoff::{Backoff, Jitter};
use super::link::{Asked, Counters, End, Heard, Link, Timers};
use crate::pdu::{Bind, Body, ShortMessage};
use crate::status::{Class, CommandStatus, StatusTable};

/// One session of a trunk; a trunk with several binds has several.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// How we bind.
    pub bind: Bind,
    /// Most submit_sm without a response.
    pub window: usize,
    /// Most deliver_sm that the owner has not acknowledged; beyond, the carrier is told that the queue is full.
    pub deliver_window: usize,
    /// Times.
    pub timers: Timers,
    /// What statuses mean on this trunk.
    pub statuses: StatusTable,
    /// Pauses before connecting again.
    pub reconnect: Backoff,
    /// The pause before binding again with an account that the carrier refuses.
    pub refused_pause: Duration,
}

/// Window unless configured otherwise (rules D.5).
pub const WINDOW_DEFAULT: usize = 10;
/// Deliver window unless configured otherwise: enough for a group commit, small enough to push back.
pub const DELIVER_WINDOW_DEFAULT: usize = 256;

impl ClientConfig {
    /// Returns the defaults of rules D.5 for an account.
    pub fn new(bind: Bind) -> Self {
        Self {
            bind,
            window: WINDOW_DEFAULT,
            deliver_window: DELIVER_WINDOW_DEFAULT,
            timers: Timers::default(),
            statuses: StatusTable::default(),
            reconnect: Backoff::MINUTE,
            refused_pause: Duration::from_secs(300),
        }
    }
}

/// A session at a carrier, from the first connection to [`stop`](Self::stop); it reconnects by itself.
///
/// `M` is the owner's name for a message it submits. Every message that [`submit`](Self::submit) takes ends in exactly
/// one [`Event`] that carries it.
///
/// After every call, drain [`poll_output`](Self::poll_output), then read [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Client<M> {
    config: ClientConfig,
    jitter: Jitter,
    state: State,
    link: Link<Flight<M>>,
    /// Messages that the carrier throttled, or that wait behind those; in the order they were submitted.
    backlog: VecDeque<Flight<M>>,
    submitted: u64,
    /// The end of the pause that a throttling carrier asked for.
    paused_until: Option<Instant>,
    throttled_in_a_row: u32,
    unanswered_in_a_row: u32,
    failures: u32,
    session: u64,
    delivered: u64,
    /// Requests of the carrier's that wait for the owner: token, sequence number, whether it is a data_sm.
    unacknowledged: BTreeMap<AckToken, (u32, bool)>,
    outputs: VecDeque<Output<M>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not connected until then.
    Waiting(Instant),
    /// The owner connects.
    Connecting,
    /// bind_* is on its way.
    Binding,
    /// Messages pass; since when.
    Bound(Instant),
    /// No new messages; when the last has its answer, unbind.
    Draining,
    /// unbind is on its way.
    Unbinding,
    /// Over for good.
    Stopped,
}

/// A message on its way.
#[derive(Debug)]
struct Flight<M> {
    order: u64,
    token: M,
    message: ShortMessage,
}

/// What the owner has to do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "outputs are taken out one by one and not kept")]
pub enum Output<M> {
    /// Connect, then call `handle_connected` or `handle_closed`.
    Connect,
    /// Write to the connection.
    Transmit(Bytes),
    /// Close the connection once all is written; nothing has to be reported back.
    Close,
    /// Something happened.
    Event(Event<M>),
}

/// What happened.
#[derive(Debug, PartialEq)]
pub enum Event<M> {
    /// The session is bound, and messages may be submitted.
    Bound {
        /// sc_interface_version, if the carrier told: below 0x34 it knows no TLVs.
        version: Option<u8>,
    },
    /// The session is down.
    Down {
        /// Why.
        end: End,
        /// When it will be tried again; none if it was stopped.
        retry_at: Option<Instant>,
    },
    /// The carrier took a message.
    Accepted {
        /// Which.
        token: M,
        /// The carrier's id of it, if it gave one.
        id: Option<String>,
    },
    /// The carrier did not take a message.
    Refused {
        /// Which.
        token: M,
        /// What it said.
        status: CommandStatus,
        /// What that means on this trunk; never `Accepted` or `Throttled`.
        class: Class,
    },
    /// A message got no answer in time: the carrier may have it or not.
    Unanswered {
        /// Which.
        token: M,
    },
    /// The session ended before a message had its answer.
    Returned {
        /// Which.
        token: M,
        /// Whether it had been sent, so that sending it again may duplicate it.
        in_doubt: bool,
    },
    /// A message does not fit SMPP; it will on no session.
    Unencodable {
        /// Which.
        token: M,
        /// The field at fault.
        field: &'static str,
    },
    /// The carrier throttles: nothing is sent until then.
    Paused {
        /// The end of the pause.
        until: Instant,
    },
    /// The pause is over.
    Resumed,
    /// A text or a receipt. Answer with [`Client::acknowledge`] once it is durable.
    Deliver {
        /// Names it.
        ack: AckToken,
        /// What came.
        message: ShortMessage,
    },
}

/// What a timeout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Time to connect again.
    Reconnect,
    /// The pause of a throttled session ends.
    Throttle,
    /// A response is overdue, the peer is silent, or it is time for enquire_link.
    Link,
}

/// Messages without an answer in a row after which the session is given up.
const UNANSWERED_MAX: u32 = 3;

/// A session that held this long was sound: the next failure is a new one.
const SOUND_AFTER: Duration = Duration::from_secs(60);

impl<M> Client<M> {
    /// Returns a session that connects at once.
    pub fn new(config: ClientConfig, seed: u64, now: Instant) -> Self {
        let link = Link::new(config.timers, now);
        let mut client = Self {
            config,
            jitter: Jitter::new(seed),
            state: State::Connecting,
            link,
            backlog: VecDeque::new(),
            submitted: 0,
            paused_until: None,
            throttled_in_a_row: 0,
            unanswered_in_a_row: 0,
            failures: 0,
            session: 0,
            delivered: 0,
            unacknowledged: BTreeMap::new(),
            outputs: VecDeque::new(),
        };
        client.outputs.push_back(Output::Connect);
        client
    }

    /// Whether the session is bound.
    pub fn is_bound(&self) -> bool {
        matches!(self.state, State::Bound(_))
    }

    /// Returns how many messages [`submit`](Self::submit) would take now.
    pub fn room(&self) -> usize {
        if !self.is_bound() || !self.config.bind.kind.submits() || self.paused_until.is_some() {
            return 0;
        }
        self.config.window.saturating_sub(self.link.messages_pending() + self.backlog.len())
    }

    /// Returns the peer's oddities on the present or last connection.
    pub fn counters(&self) -> Counters {
        self.link.counters
    }

    /// Submits a message, or gives it back if there is no [`room`](Self::room).
    ///
    /// # Errors
    /// The token, if it was not taken.
    pub fn submit(&mut self, now: Instant, token: M, message: ShortMessage) -> Result<(), M> {
        if self.room() == 0 {
            return Err(token);
        }
        self.submitted += 1;
        self.backlog.push_back(Flight { order: self.submitted, token, message });
        self.flush(now);
        self.collect();
        Ok(())
    }

    /// Answers a deliver_sm; does nothing if its session is over.
    ///
    /// [`CommandStatus::OK`] says that it is durable, anything else asks the carrier to come again or to give up.
    pub fn acknowledge(&mut self, ack: AckToken, status: CommandStatus) {
        if let Some((sequence, is_data)) = self.unacknowledged.remove(&ack) {
            let body = if is_data { Body::DataResp { id: None } } else { Body::DeliverResp };
            self.link.respond(sequence, status, body);
            self.collect();
        }
    }

    /// Takes no new messages, waits for the answers of those on their way, unbinds, and stays down.
    pub fn stop(&mut self, now: Instant) {
        match self.state {
            State::Bound(_) => {
                self.state = State::Draining;
                self.return_backlog();
                self.unbind_when_drained(now);
            }
            State::Waiting(_) => self.halt(End::Unbound),
            State::Connecting | State::Binding => {
                self.outputs.push_back(Output::Close);
                self.halt(End::Unbound);
            }
            State::Draining | State::Unbinding | State::Stopped => {}
        }
        self.collect();
    }

    /// Takes in that the connection is up.
    pub fn handle_connected(&mut self, now: Instant) {
        if self.state != State::Connecting {
            return;
        }
        self.session += 1;
        self.link = Link::new(self.config.timers, now);
        self.state = State::Binding;
        // What cannot be encoded here is the configuration's fault, as an account that is refused is.
        if self.link.request(now, Body::Bind(self.config.bind.clone()), Asked::Bind).is_err() {
            self.end(now, End::BindRefused(CommandStatus::INVALID_SYSTEM_ID));
        }
        self.collect();
    }

    /// Takes in what the connection brought.
    pub fn handle_received(&mut self, now: Instant, octets: &[u8]) {
        if !self.is_live() {
            return;
        }
        let received = self.link.receive(now, octets);
        while let Some(heard) = self.link.poll_heard() {
            match heard {
                Heard::Request { sequence, body } if self.is_live() => {
                    self.heard_request(now, sequence, body)
                }
                Heard::Request { .. } => {}
                Heard::Answer { asked, status, body } => self.heard_answer(now, asked, status, body),
            }
        }
        if let Err(end) = received {
            self.end(now, end);
        }
        self.unbind_when_drained(now);
        self.collect();
    }

    /// Takes in that the connection is gone, or that there will be none.
    pub fn handle_closed(&mut self, now: Instant) {
        match self.state {
            State::Waiting(_) | State::Stopped => {}
            State::Connecting | State::Binding | State::Bound(_) => self.lose(now, End::Closed),
            State::Draining | State::Unbinding => self.halt(End::Closed),
        }
        self.collect();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Stopped | State::Connecting => {}
            State::Waiting(at) => {
                if at <= now {
                    self.state = State::Connecting;
                    self.outputs.push_back(Output::Connect);
                }
            }
            State::Binding | State::Bound(_) | State::Draining | State::Unbinding => {
                self.timed_out(now);
                self.unbind_when_drained(now);
            }
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
            State::Stopped | State::Connecting => None,
            State::Waiting(at) => Some((at, Timer::Reconnect)),
            State::Binding | State::Bound(_) | State::Draining | State::Unbinding => {
                let link = (self.link.next_timeout(), Timer::Link);
                match self.paused_until {
                    Some(until) if until < link.0 => Some((until, Timer::Throttle)),
                    Some(_) | None => Some(link),
                }
            }
        }
    }

    fn is_live(&self) -> bool {
        match self.state {
            State::Binding | State::Bound(_) | State::Draining | State::Unbinding => true,
            State::Waiting(_) | State::Connecting | State::Stopped => false,
        }
    }

    /// Moves what the link writes to the outputs.
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
