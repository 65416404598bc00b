//! What both roles have in common: sequence numbers, requests on their way, enquire_link, framing.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frame::{Framer, PDU_OCTETS_MAX};
use crate::pdu::body::RESPONSE;
use crate::pdu::{self, Body, Malformed, Pdu, Unencodable};
use crate::status::CommandStatus;

/// Times of a session (SMPP 3.4 §7.2, rules D.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// How long a peer may take to bind.
    pub session_init: Duration,
    /// After what silence enquire_link is sent; none for peers that do not know it.
    pub enquire_link: Option<Duration>,
    /// How long a response may take.
    pub response: Duration,
    /// After what silence the session ends, where enquire_link does not end it before.
    pub inactivity: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            session_init: Duration::from_secs(5),
            enquire_link: Some(Duration::from_secs(30)),
            response: Duration::from_secs(10),
            inactivity: Duration::from_secs(120),
        }
    }
}

/// Oddities of a peer, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Responses to nothing that was asked, or that came too late.
    pub unknown_responses: u64,
    /// Requests that could not be read.
    pub malformed_requests: u64,
    /// Requests that the session's state or role does not allow.
    pub unexpected_requests: u64,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The connection was closed, or never came up.
    Closed,
    /// One side unbound.
    Unbound,
    /// A PDU had an impossible length.
    BadLength,
    /// The peer did not bind, or did not answer a bind, in time.
    NotBound,
    /// The bind was refused.
    BindRefused(CommandStatus),
    /// enquire_link, or several messages in a row, got no answer.
    Unresponsive,
    /// Nothing came for too long.
    Inactive,
    /// The carrier says that the session is not bound.
    BindLost,
}

/// A request of ours.
#[derive(Debug)]
pub(super) enum Asked<T> {
    Bind,
    Unbind,
    EnquireLink,
    Message(T),
}

/// What the connection brought.
#[derive(Debug)]
pub(super) enum Heard<T> {
    Request { sequence: u32, body: Body },
    Answer { asked: Asked<T>, status: CommandStatus, body: Body },
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link<T> {
    timers: Timers,
    framer: Framer,
    writes: VecDeque<Bytes>,
    heard: VecDeque<Heard<T>>,
    sequence: u32,
    pending: BTreeMap<u32, Asked<T>>,
    /// How many of those are messages.
    messages: usize,
    /// When each request should have its answer, in the order they were sent; answered ones are skipped.
    due: VecDeque<(Instant, u32)>,
    heard_at: Instant,
    enquiring: bool,
    pub(super) counters: Counters,
}

/// Largest sequence_number (SMPP 3.4 §3.2).
const SEQUENCE_MAX: u32 = 0x7fff_ffff;

impl<T> Link<T> {
    pub(super) fn new(timers: Timers, now: Instant) -> Self {
        Self {
            timers,
            framer: Framer::new(PDU_OCTETS_MAX),
            writes: VecDeque::new(),
            heard: VecDeque::new(),
            sequence: 0,
            pending: BTreeMap::new(),
            messages: 0,
            due: VecDeque::new(),
            heard_at: now,
            enquiring: false,
            counters: Counters::default(),
        }
    }

    /// Sends a request; the caller gets its token back if it cannot be written.
    pub(super) fn request(
        &mut self,
        now: Instant,
        body: Body,
        asked: Asked<T>,
    ) -> Result<(), (Unencodable, Asked<T>)> {
        let sequence = if self.sequence >= SEQUENCE_MAX { 1 } else { self.sequence + 1 };
        match pdu::encode(&Pdu { status: CommandStatus::OK, sequence, body }) {
            Ok(octets) => self.writes.push_back(octets),
            Err(error) => return Err((error, asked)),
        }
        self.sequence = sequence;
        self.messages += usize::from(matches!(asked, Asked::Message(_)));
        self.pending.insert(sequence, asked);
        self.due.push_back((now + self.timers.response, sequence));
        Ok(())
    }

    /// Answers a request.
    pub(super) fn respond(&mut self, sequence: u32, status: CommandStatus, body: Body) {
        // An answer of ours that does not fit its fields still has to be an answer.
        let octets = pdu::encode(&Pdu { status, sequence, body }).or_else(|_| {
            let status = CommandStatus::SYSTEM_ERROR;
            pdu::encode(&Pdu { status, sequence, body: Body::GenericNack })
        });
        self.writes.extend(octets);
    }

    /// Refuses a request with the response that belongs to it.
    pub(super) fn refuse(&mut self, sequence: u32, body: &Body, status: CommandStatus) {
        self.counters.unexpected_requests += 1;
        let answer = match body {
            Body::Bind(bind) => Body::BindResp { kind: bind.kind, system_id: String::new(), version: None },
            Body::Submit(_) => Body::SubmitResp { id: None },
            Body::SubmitMulti { .. } => Body::SubmitMultiResp { id: None, failed: Vec::new() },
            Body::Deliver(_) => Body::DeliverResp,
            Body::Data(_) => Body::DataResp { id: None },
            Body::Query { id, .. } => {
                Body::QueryResp { id: id.clone(), final_date: String::new(), state: 7, error: 0 }
            }
            Body::Cancel { .. } => Body::CancelResp,
            _ => Body::GenericNack,
        };
        self.respond(sequence, status, answer);
    }

    /// Takes octets in. What they say waits in [`poll_heard`](Self::poll_heard).
    pub(super) fn receive(&mut self, now: Instant, octets: &[u8]) -> Result<(), End> {
        self.heard_at = now;
        self.framer.push(octets);
        loop {
            match self.framer.poll_frame() {
                Ok(Some(frame)) => match pdu::decode(&frame) {
                    Ok(pdu) => self.take(pdu),
                    Err(malformed) => self.refuse_malformed(malformed),
                },
                Ok(None) => return Ok(()),
                Err(bad) => {
                    self.respond(bad.sequence, CommandStatus::INVALID_COMMAND_LENGTH, Body::GenericNack);
                    return Err(End::BadLength);
                }
            }
        }
    }

    pub(super) fn poll_heard(&mut self) -> Option<Heard<T>> {
        self.heard.pop_front()
    }

    pub(super) fn poll_write(&mut self) -> Option<Bytes> {
        self.writes.pop_front()
    }

    /// Returns how many messages are unanswered.
    pub(super) fn messages_pending(&self) -> usize {
        self.messages
    }

    /// Returns the next request whose answer is overdue.
    pub(super) fn poll_overdue(&mut self, now: Instant) -> Option<Asked<T>> {
        while self.next_due()? <= now {
            let (_, sequence) = self.due.pop_front()?;
            if let Some(asked) = self.remove(sequence) {
                return Some(asked);
            }
        }
        None
    }

    /// Sends enquire_link if it is time, or says that the peer has been silent for too long.
    pub(super) fn tend(&mut self, now: Instant) -> Result<(), End> {
        if now >= self.heard_at + self.timers.inactivity {
            return Err(End::Inactive);
        }
        if !self.enquiring && self.enquire_at().is_some_and(|at| at <= now) {
            self.enquiring = true;
            let _ = self.request(now, Body::EnquireLink, Asked::EnquireLink);
        }
        Ok(())
    }

    /// Returns when [`poll_overdue`](Self::poll_overdue) and [`tend`](Self::tend) are due next.
    pub(super) fn next_timeout(&self) -> Instant {
        let silence = self.heard_at + self.timers.inactivity;
        let enquire = if self.enquiring { None } else { self.enquire_at() };
        [self.next_due_peek(), enquire].into_iter().flatten().fold(silence, Instant::min)
    }

    /// Takes out every message that has no answer, in the order they were sent.
    pub(super) fn drain_pending(&mut self) -> Vec<T> {
        let mut pending = std::mem::take(&mut self.pending);
        self.messages = 0;
        let order: Vec<u32> = self.due.drain(..).map(|(_, sequence)| sequence).collect();
        let messages = order.into_iter().filter_map(|sequence| match pending.remove(&sequence)? {
            Asked::Message(message) => Some(message),
            Asked::Bind | Asked::Unbind | Asked::EnquireLink => None,
        });
        messages.collect()
    }

    fn take(&mut self, Pdu { status, sequence, body }: Pdu) {
        if body.is_response() {
            match self.remove(sequence) {
                Some(Asked::EnquireLink) => self.enquiring = false,
                Some(asked) => self.heard.push_back(Heard::Answer { asked, status, body }),
                None => self.counters.unknown_responses += 1,
            }
            self.next_due();
            return;
        }
        match body {
            Body::EnquireLink => self.respond(sequence, CommandStatus::OK, Body::EnquireLinkResp),
            Body::AlertNotification => {}
            Body::Other { .. } => self.refuse(sequence, &body, CommandStatus::INVALID_COMMAND_ID),
            body => self.heard.push_back(Heard::Request { sequence, body }),
        }
    }

    fn remove(&mut self, sequence: u32) -> Option<Asked<T>> {
        let asked = self.pending.remove(&sequence)?;
        self.messages -= usize::from(matches!(asked, Asked::Message(_)));
        Some(asked)
    }

    fn refuse_malformed(&mut self, malformed: Malformed) {
        self.counters.malformed_requests += 1;
        let command_id = malformed.command_id | RESPONSE;
        self.respond(malformed.sequence, malformed.status, Body::Other { command_id });
    }

    fn enquire_at(&self) -> Option<Instant> {
        self.timers.enquire_link.map(|idle| self.heard_at + idle)
    }

    fn next_due(&mut self) -> Option<Instant> {
        while let Some((_, sequence)) = self.due.front()
            && !self.pending.contains_key(sequence)
        {
            self.due.pop_front();
        }
        self.next_due_peek()
    }

    /// May name a request that has its answer by now: then the timeout finds nothing to do.
    fn next_due_peek(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }
}
