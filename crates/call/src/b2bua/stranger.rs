//! Requests of sources that belong to no trunk: turned away one for one without keeping anything of them, and so many
//! a second only.
//!
//! They come before the user agent, so that nobody who is not known costs a transaction, a session or a
//! retransmission: a forged source address gets at most one response for each request.

use super::{B2bua, UnknownSources};
use crate::limit::TokenBucket;
use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Instant;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::transport::Flow;

/// How much strangers may still be told.
pub(super) struct Strangers {
    /// Answers to each source. Sources share buckets by a keyed hash, so that the table has one size whatever comes
    /// and nobody can choose whom he shares with.
    answers: Box<[TokenBucket]>,
    /// Answers to all of them.
    all: TokenBucket,
    /// Events about refused calls.
    events: TokenBucket,
    key: u64,
}

/// Most answers a second to one source: a carrier under test sees what is wrong, a scanner gets no further.
const ANSWERS_PER_SEC: u32 = 10;

/// Most answers a second to all: what a flood of forged sources may cost.
const ALL_ANSWERS_PER_SEC: u32 = 500;

/// Most events a second about calls of unknown sources: enough to see a misconfigured carrier, and no flood of
/// records when a scanner comes by.
const EVENTS_PER_SEC: u32 = 20;

/// How many buckets the sources share: more than there are answers to all in a second, so that sharing is rare.
const BUCKETS: usize = 4096;

impl Strangers {
    pub(super) fn new(key: u64, now: Instant) -> Self {
        Self {
            answers: vec![TokenBucket::new(ANSWERS_PER_SEC, now); BUCKETS].into(),
            all: TokenBucket::new(ALL_ANSWERS_PER_SEC, now),
            events: TokenBucket::new(EVENTS_PER_SEC, now),
            key,
        }
    }

    /// Whether an event may be told about a call of an unknown source.
    pub(super) fn may_tell(&mut self, now: Instant) -> bool {
        self.events.take(now)
    }

    fn may_answer(&mut self, source: IpAddr, now: Instant) -> bool {
        let at = self.bucket_of(source);
        let Some(bucket) = self.answers.get_mut(at) else { return false };
        // Both are looked at first: a source that has had its share takes nothing from the others.
        bucket.has(now) && self.all.take(now) && bucket.take(now)
    }

    fn bucket_of(&self, source: IpAddr) -> usize {
        let network = match source.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            // A host has a whole /64 to choose from.
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        let mut hasher = DefaultHasher::new();
        (self.key, network).hash(&mut hasher);
        hasher.finish() as usize % BUCKETS
    }
}

impl B2bua {
    /// Deals with a message if it is a request of an unknown source that belongs to nothing here; says so.
    pub(super) fn turn_away_stranger(&mut self, now: Instant, flow: Flow, bytes: &Bytes) -> bool {
        if bytes.starts_with(b"SIP/2.0 ") || self.table.identify(flow.remote, flow.transport).is_some() {
            return false;
        }
        let parsed = Message::parse(bytes.clone());
        let request = match &parsed {
            // Calls that are up go on although their trunk is no longer configured, or its peer has moved.
            Ok(request) if self.core.ua.concerns(request) => return false,
            Ok(request) => Some((request, 403)),
            Err(error) => error.answerable().map(|request| (request, error.kind().status())),
        };
        let Some((request, status)) = request.filter(|(request, _)| request.method() != Some(&Method::Ack))
        else {
            self.core.totals.ignored += 1;
            return true;
        };
        if self.core.config.unknown_sources == UnknownSources::Ignore
            || !self.strangers.may_answer(flow.remote.ip(), now)
        {
            self.core.totals.ignored += 1;
            return true;
        }
        self.core.ua.turn_away(flow, request, status);
        self.core.totals.turned_away += 1;
        if request.method() == Some(&Method::Invite) && is_outside(request) {
            self.tell_of_stranger(now, request, flow);
        }
        true
    }
}

fn is_outside(request: &Message) -> bool {
    request.to().map_or(true, |to| to.tag().is_none())
}
