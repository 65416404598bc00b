//! The message centre: SMPP sessions of those who bind, and what it tells them.

mod receive;

pub(super) use receive::ANSWER;

use super::ledger::{Attempts, Ledger};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use trunkline_sms::pdu::{Address, ShortMessage};
use trunkline_sms::segment::References;
use trunkline_sms::segment::split::{SplitError, SplitPolicy, split};
use trunkline_sms::session::accounts::{Account, Accounts, Grant};
use trunkline_sms::session::server::{Event, Output as SessionOutput, Reply};
use trunkline_sms::session::{AckToken, Server, ServerConfig, deliver};
use trunkline_sms::status::Class;

/// Names a connection to the message centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Who may bind, and how much is remembered.
#[derive(Debug, Clone)]
pub struct SmscConfig {
    /// The account's system_id.
    pub system_id: String,
    /// Its password.
    pub password: String,
    /// Attempts kept for [`Smsc::ledger`].
    pub kept_max: usize,
    /// A moment of the monotonic clock, and the same in seconds since 1970.
    pub anchor: (Instant, i64),
}

/// What the owner has to do.
#[derive(Debug)]
pub enum Output {
    /// Write to the connection.
    Transmit(ConnectionId, Bytes),
    /// Close the connection once all is written.
    Close(ConnectionId),
    /// Tell people.
    Note(ConnectionId, Note),
}

/// What people may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Someone bound.
    Bound,
    /// Someone was refused.
    Refused,
    /// A session ended.
    Ended,
}

/// A message centre with magic numbers.
///
/// After every call, drain [`poll_output`](Self::poll_output), then read [`poll_timeout`](Self::poll_timeout).
pub struct Smsc {
    anchor: (Instant, i64),
    accounts: Accounts,
    system_id: String,
    sessions: BTreeMap<ConnectionId, Session>,
    opened: u64,
    attempts: Attempts,
    ledger: Ledger,
    ids: u64,
    references: References,
    /// What is to be done when.
    due: BTreeMap<(Instant, u64), Due>,
    scheduled: u64,
    /// Texts and receipts that wait for a session.
    waiting: VecDeque<ShortMessage>,
    /// Those that are on their way, by the token their session knows them by.
    in_flight: BTreeMap<u64, ShortMessage>,
    delivered: u64,
    /// The session that delivered last: they take turns.
    turn: ConnectionId,
    outputs: VecDeque<Output>,
}

struct Session {
    server: Server<u64>,
    from: IpAddr,
    is_bound: bool,
}

enum Due {
    Reply(ConnectionId, AckToken, Reply),
    Deliver(ShortMessage),
}

/// Most sessions: a trunk has a few binds, and a test a few trunks.
const SESSIONS_MAX: usize = 64;

/// Requests of one session without a response: silent numbers never give one, so this is far beyond any window.
const WINDOW: usize = 10_000;

/// Deliveries of one session without a response.
const DELIVER_WINDOW: usize = 10;

/// Most texts and receipts waiting for a session or for their time; beyond, the oldest is lost, as carriers do.
const WAITING_MAX: usize = 100_000;

/// How long a delivery waits that was refused for now.
const AGAIN: Duration = Duration::from_secs(1);

/// Most segments of a text that comes in: as many as headers can count.
const SEGMENTS_MAX: u8 = 255;

impl Smsc {
    /// Returns a message centre that nobody is connected to.
    pub fn new(config: SmscConfig, seed: u64) -> Self {
        let account = Account {
            grant: Grant { window: WINDOW, rate: None, deliver_window: DELIVER_WINDOW },
            password: config.password,
            networks: Vec::new(),
            binds_max: SESSIONS_MAX,
            kinds: Vec::new(),
        };
        Self {
            anchor: config.anchor,
            accounts: Accounts::new(BTreeMap::from([(config.system_id.clone(), account)])),
            system_id: config.system_id,
            sessions: BTreeMap::new(),
            opened: 0,
            attempts: Attempts::default(),
            ledger: Ledger::new(config.kept_max),
            // Another start, other ids: none is used twice.
            ids: u64::from(seed as u32) << 16,
            references: References::new(seed),
            due: BTreeMap::new(),
            scheduled: 0,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            delivered: 0,
            turn: ConnectionId(0),
            outputs: VecDeque::new(),
        }
    }

    /// Returns what was received.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns how many sessions are bound.
    pub fn bound(&self) -> usize {
        self.sessions.values().filter(|session| session.is_bound).count()
    }

    /// Returns how many texts and receipts are not acknowledged yet, or not due.
    pub fn undelivered(&self) -> usize {
        let due = self.due.values().filter(|due| matches!(due, Due::Deliver(_))).count();
        self.waiting.len() + self.in_flight.len() + due
    }

    /// Texts in, from a handset to a number of the gateway's; returns the number of segments.
    ///
    /// # Errors
    /// The text is too long.
    pub fn text(&mut self, now: Instant, from: &str, to: &str, text: &str) -> Result<usize, SplitError> {
        let policy = SplitPolicy { segments_max: SEGMENTS_MAX, ..SplitPolicy::default() };
        let split = split(text, &policy, self.references.take(from, to))?;
        let segments = deliver::text(&address(from), &address(to), &split);
        let count = segments.len();
        for segment in segments {
            self.queue(segment);
        }
        self.pump(now);
        Ok(count)
    }

    /// Takes in a new connection.
    pub fn handle_accepted(&mut self, now: Instant, connection: ConnectionId, from: IpAddr) {
        if self.sessions.len() >= SESSIONS_MAX {
            self.outputs.push_back(Output::Close(connection));
            return;
        }
        self.opened += 1;
        let config = ServerConfig { system_id: self.system_id.clone(), ..ServerConfig::default() };
        let server = Server::new(config, self.opened, now);
        self.sessions.insert(connection, Session { server, from, is_bound: false });
    }

    /// Takes in what a connection brought.
    pub fn handle_received(&mut self, now: Instant, connection: ConnectionId, octets: &[u8]) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.server.handle_received(now, octets);
            self.drain(now, connection);
            self.pump(now);
        }
    }

    /// Takes in that a connection is gone.
    pub fn handle_closed(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.server.handle_closed();
            self.drain(now, connection);
            self.pump(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Due::Reply(connection, ack, reply) => self.reply(now, connection, ack, reply),
                Due::Deliver(message) => self.queue(message),
            }
        }
        let connections: Vec<ConnectionId> = self.sessions.keys().copied().collect();
        for connection in connections {
            if let Some(session) = self.sessions.get_mut(&connection)
                && session.server.poll_timeout().is_some_and(|(at, _)| at <= now)
            {
                session.server.handle_timeout(now);
                self.drain(now, connection);
            }
        }
        self.pump(now);
    }

    /// Unbinds all sessions.
    pub fn stop(&mut self, now: Instant) {
        let connections: Vec<ConnectionId> = self.sessions.keys().copied().collect();
        for connection in connections {
            if let Some(session) = self.sessions.get_mut(&connection) {
                session.server.stop(now);
                self.drain(now, connection);
            }
        }
    }

    /// Returns what to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.sessions.values().filter_map(|session| session.server.poll_timeout());
        let due = self.due.first_key_value().map(|((at, _), _)| *at);
        sessions.map(|(at, _)| at).chain(due).min()
    }

    /// Takes out what a session wants done.
    fn drain(&mut self, now: Instant, connection: ConnectionId) {
        while let Some(output) = self.sessions.get_mut(&connection).and_then(|s| s.server.poll_output()) {
            match output {
                SessionOutput::Transmit(octets) => {
                    self.outputs.push_back(Output::Transmit(connection, octets));
                }
                SessionOutput::Close => self.outputs.push_back(Output::Close(connection)),
                SessionOutput::Event(event) => self.happened(now, connection, event),
            }
        }
    }

    fn happened(&mut self, now: Instant, connection: ConnectionId, event: Event<u64>) {
        match event {
            Event::BindRequested(bind) => {
                let Some(session) = self.sessions.get_mut(&connection) else { return };
                let decision = self.accounts.bind(now, session.from, &bind);
                session.is_bound = decision.is_ok();
                session.server.decide(now, decision);
                let note = if decision.is_ok() { Note::Bound } else { Note::Refused };
                self.outputs.push_back(Output::Note(connection, note));
            }
            Event::Request { ack, request } => self.requested(now, connection, ack, request),
            Event::Delivered { token } => {
                self.in_flight.remove(&token);
            }
            Event::Refused { token, class, .. } => {
                // What will never be taken is given up, as carriers do.
                if let Some(message) = self.in_flight.remove(&token)
                    && class != Class::Final
                {
                    self.schedule(now + AGAIN, Due::Deliver(message));
                }
            }
            Event::Undelivered { token, .. } => {
                if let Some(message) = self.in_flight.remove(&token) {
                    self.waiting.push_front(message);
                }
            }
            Event::Ended(_) => {
                if self.sessions.remove(&connection).is_some_and(|session| session.is_bound) {
                    self.accounts.release(&self.system_id);
                }
                self.outputs.push_back(Output::Note(connection, Note::Ended));
            }
        }
    }

    fn reply(&mut self, now: Instant, connection: ConnectionId, ack: AckToken, reply: Reply) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.server.reply(ack, reply);
            self.drain(now, connection);
        }
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        self.scheduled += 1;
        if self.due.len() >= WAITING_MAX {
            self.due.pop_first();
        }
        self.due.insert((at, self.scheduled), due);
    }

    fn queue(&mut self, message: ShortMessage) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }

    /// Hands what waits to sessions with room, in turns.
    fn pump(&mut self, now: Instant) {
        while !self.waiting.is_empty() {
            let turn = self.turn;
            let room = |(_, session): &(&ConnectionId, &Session)| session.server.room() > 0;
            let behind = self.sessions.range(ConnectionId(turn.0 + 1)..).find(room);
            let next = behind.or_else(|| self.sessions.iter().find(room)).map(|(connection, _)| *connection);
            let Some(connection) = next else { return };
            let Some(message) = self.waiting.pop_front() else { return };
            self.turn = connection;
            self.delivered += 1;
            self.in_flight.insert(self.delivered, message.clone());
            if let Some(session) = self.sessions.get_mut(&connection) {
                // It has room, and says by events what becomes of the message.
                let _ = session.server.deliver(now, self.delivered, message);
                self.drain(now, connection);
            }
        }
    }

    fn unix(&self, now: Instant) -> i64 {
        let (anchor, unix) = self.anchor;
        unix + now.saturating_duration_since(anchor).as_secs() as i64
    }
}

/// Returns a number as carriers write it: digits, international.
fn address(number: &str) -> Address {
    let digits = number.strip_prefix('+').unwrap_or(number);
    // Five or six digits are a short code.
    let (ton, npi) = if digits.len() > 6 { (1, 1) } else { (3, 0) };
    Address { ton, npi, address: digits.to_owned() }
}

#[cfg(test)]
mod tests;
