//! Where a browser's authenticated checks come from.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The addresses that checks came from, the latest last, and the one that we send to.
///
/// That is the one which the browser nominated last (RFC 8445 §8.1.1). But a check can be sent again by whoever has seen
/// it, from anywhere: another address has to be proved by media that is authentic and new, or by the silence of the one
/// before.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    seen: VecDeque<SocketAddr>,
    chosen: Option<Chosen>,
    /// Nominated, and not proved yet.
    pending: Option<SocketAddr>,
    /// How many were new when they were seen.
    news: usize,
}

impl Addresses {
    /// Whether a check from an address may be answered.
    pub(super) fn may_come_from(&self, source: SocketAddr) -> bool {
        self.news < NEWS_MAX || self.seen.contains(&source)
    }

    /// Notes that a check came from an address. Returns one that is forgotten for it.
    pub(super) fn checked(&mut self, source: SocketAddr) -> Option<SocketAddr> {
        if self.seen.back() == Some(&source) {
            return None;
        }
        let count = self.seen.len();
        self.seen.retain(|seen| *seen != source);
        if self.seen.len() == count {
            self.news += 1;
        }
        self.seen.push_back(source);
        if self.seen.len() > ADDRESSES_MAX { self.seen.pop_front() } else { None }
    }

    /// Notes that an authentic check came from an address, and whether it nominates it. Returns whether we send to another
    /// address now than before.
    pub(super) fn nominate(&mut self, now: Instant, source: SocketAddr, nominates: bool) -> bool {
        match &mut self.chosen {
            Some(chosen) if chosen.address == source => {
                chosen.checked_at = now;
                if nominates {
                    self.pending = None;
                }
                false
            }
            Some(chosen) if nominates && chosen.checked_at + SILENT_MIN <= now => self.choose(now, source),
            Some(_) => {
                if nominates {
                    self.pending = Some(source);
                }
                false
            }
            None => {
                if nominates {
                    self.choose(now, source);
                }
                false
            }
        }
    }

    /// Notes that authentic media came from an address. Returns whether we send to another address now than before.
    pub(super) fn prove(&mut self, now: Instant, source: SocketAddr) -> bool {
        self.pending == Some(source) && self.choose(now, source)
    }

    fn choose(&mut self, now: Instant, address: SocketAddr) -> bool {
        self.chosen = Some(Chosen { address, checked_at: now });
        self.pending = None;
        true
    }

    /// Returns the address that we send to.
    pub(super) fn chosen(&self) -> Option<SocketAddr> {
        self.chosen.map(|chosen| chosen.address)
    }

    /// Whether no check has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Returns them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.seen.iter().copied()
    }
}

/// Where we send to.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    address: SocketAddr,
    checked_at: Instant,
}

/// How long an address is silent before another takes its place without media from there. Browsers check the one they use
/// every 2.5 s or 5 s.
const SILENT_MIN: Duration = Duration::from_secs(6);

/// Most addresses of one browser at a time: a laptop has two networks of two families, and VPNs.
const ADDRESSES_MAX: usize = 8;

/// Most addresses that a browser may come from in its life. str0m keeps what it knows of each, and a phone on a train
/// changes them every few minutes.
const NEWS_MAX: usize = 256;
