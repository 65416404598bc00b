//! Where a browser's authenticated checks come from.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// The addresses that checks came from, the latest last, and the one that the browser chose.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    seen: VecDeque<SocketAddr>,
    nominated: Option<SocketAddr>,
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

    /// Notes that the browser chose an address. Returns whether it had chosen another before.
    pub(super) fn nominate(&mut self, source: SocketAddr) -> bool {
        self.nominated.replace(source).is_some_and(|before| before != source)
    }

    /// Returns the address that the browser chose.
    pub(super) fn nominated(&self) -> Option<SocketAddr> {
        self.nominated
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

/// Most addresses of one browser at a time: a laptop has two networks of two families, and VPNs.
const ADDRESSES_MAX: usize = 8;

/// Most addresses that a browser may come from in its life. str0m keeps what it knows of each, and a phone on a train
/// changes them every few minutes.
const NEWS_MAX: usize = 256;
