//! All browsers of one socket: finds whose a datagram is.

use crate::dtls::Certificate;
use crate::error::Error;
use crate::event::{Dropped, Event};
use crate::leg::Leg;
use crate::queue::{Outputs, Transmit};
use crate::stun::{self, Kind};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Instant;
use trunkline_media::DtlsTransport;

/// How a hub is made.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// What is shown to every browser.
    pub certificate: Certificate,
    /// The addresses of the socket that descriptions name, at most one of each family is used.
    pub candidates: Vec<SocketAddr>,
    /// Most legs.
    pub legs_max: usize,
    /// Most legs that wait for their browser. Each is worth some 100 kB, and a browser that never comes has one for half
    /// a minute.
    pub half_open_max: usize,
}

impl HubConfig {
    /// Returns a configuration with room for as many calls as one core can carry.
    pub fn new(certificate: Certificate, candidates: Vec<SocketAddr>) -> Self {
        Self { certificate, candidates, legs_max: 4096, half_open_max: 512 }
    }
}

/// The browsers of one socket, each under a key of its owner's.
///
/// A check (STUN) is for the leg that it names, and once that leg has found it authentic, whatever else comes from the
/// same address is for the leg too. After every call but the `poll_*`, drain [`poll_rtp`](Self::poll_rtp),
/// [`poll_event`](Self::poll_event) and [`poll_transmit`](Self::poll_transmit), then read
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Hub<K> {
    config: HubConfig,
    legs: HashMap<K, Held>,
    by_ufrag: HashMap<Box<str>, K>,
    by_address: HashMap<SocketAddr, K>,
    /// When legs want to be woken. An entry that is no longer the leg's own is skipped.
    timers: BinaryHeap<Reverse<(Instant, K)>>,
    outputs: Outputs,
    /// Whose the RTP in `outputs` is. Every call is about one leg, but for timeouts, which bring no RTP.
    current: Option<K>,
    /// The leg that is being worked on: the one to blame for a panic.
    working: Option<K>,
    events: VecDeque<(K, Event)>,
}

#[derive(Debug)]
struct Held {
    leg: Box<Leg>,
    /// The entry of `timers` that is its own.
    timer: Option<Instant>,
}

impl<K: Copy + Eq + Hash + Ord> Hub<K> {
    /// Returns a hub without legs.
    pub fn new(config: HubConfig) -> Self {
        Self {
            config,
            legs: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            timers: BinaryHeap::new(),
            outputs: Outputs::default(),
            current: None,
            working: None,
            events: VecDeque::new(),
        }
    }

    /// Takes what offer and answer agreed on: opens a leg, restarts its ICE, or begins anew with another certificate.
    ///
    /// # Errors
    /// When there are too many legs. Nothing has changed then.
    pub fn agree(&mut self, now: Instant, key: K, transport: &DtlsTransport) -> Result<(), Error> {
        let continues = self.legs.get(&key).map(|held| held.leg.continues(transport));
        match continues {
            Some(true) => self.restart(now, key, transport),
            Some(false) => {
                self.close(now, key);
                self.open(now, key, transport)?;
            }
            None => self.open(now, key, transport)?,
        }
        Ok(())
    }

    /// Ends a leg; its browser is told if it is there.
    pub fn close(&mut self, now: Instant, key: K) {
        let Some(mut held) = self.legs.remove(&key) else { return };
        held.leg.close(now, &mut self.outputs);
        self.forget_names(key, &held);
        // What a leg says of its own end, its owner knows.
        while self.outputs.poll_event().is_some() {}
    }

    /// Takes a datagram from the socket.
    ///
    /// # Errors
    /// When it was dropped. Nothing has changed then.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Dropped> {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let kind = stun::kind(datagram).ok_or(Dropped::Malformed)?;
        let key = match kind {
            Kind::Check(check) => *self.by_ufrag.get(check.ufrag).ok_or(Dropped::UnknownLeg)?,
            Kind::Dtls | Kind::Rtp { .. } | Kind::Rtcp => {
                *self.by_address.get(&source).ok_or(Dropped::UnknownAddress)?
            }
        };
        let held = self.legs.get_mut(&key).ok_or(Dropped::UnknownLeg)?;
        (self.current, self.working) = (Some(key), Some(key));
        let outcome = held.leg.handle_datagram(now, source, kind, datagram, &mut self.outputs);
        if outcome.is_ok() && matches!(kind, Kind::Check(_)) {
            // An address that another leg had is this one's now: the browser has used it again.
            self.by_address.insert(source, key);
        }
        if let Some(forgotten) = self.outputs.take_forgotten() {
            self.forget_address(forgotten, key);
        }
        self.settle(key);
        outcome
    }

    /// Sends an RTP packet to a browser, under the SSRC that was agreed on. One that is not connected gets none.
    pub fn send_rtp(&mut self, now: Instant, key: K, packet: &[u8]) {
        let Some(held) = self.legs.get_mut(&key) else { return };
        self.working = Some(key);
        held.leg.send_rtp(now, packet, &mut self.outputs);
        self.settle(key);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(Reverse((at, key))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(held) = self.legs.get_mut(&key).filter(|held| held.timer == Some(at)) else { continue };
            held.timer = None;
            self.working = Some(key);
            held.leg.handle_timeout(now, &mut self.outputs);
            self.settle(key);
        }
    }

    /// Returns the next RTP packet of a browser: a plain one, without header extensions.
    pub fn poll_rtp(&mut self) -> Option<(K, &[u8])> {
        let key = self.current?;
        Some((key, self.outputs.poll_rtp()?))
    }

    /// Returns the next thing that happened to a leg.
    pub fn poll_event(&mut self) -> Option<(K, Event)> {
        self.events.pop_front()
    }

    /// Returns the next datagram to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outputs.poll_transmit()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Drops the leg that was being worked on when a panic came, without a goodbye, and returns its key.
    pub fn abandon(&mut self) -> Option<K> {
        let key = self.working.take()?;
        let held = self.legs.remove(&key)?;
        self.forget_names(key, &held);
        Some(key)
    }

    /// Returns how many legs there are.
    pub fn len(&self) -> usize {
        self.legs.len()
    }

    /// Whether there is no leg.
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    fn open(&mut self, now: Instant, key: K, transport: &DtlsTransport) -> Result<(), Error> {
        if self.legs.len() >= self.config.legs_max {
            return Err(Error::Full);
        }
        // Counted only when there are many legs at all.
        let half_open_max = self.config.half_open_max;
        if self.legs.len() >= half_open_max
            && self.legs.values().filter(|held| held.leg.is_half_open()).count() >= half_open_max
        {
            return Err(Error::HalfOpen);
        }
        let HubConfig { certificate, candidates, .. } = &self.config;
        let leg = Box::new(Leg::new(now, certificate, candidates, transport.clone()));
        self.by_ufrag.insert(transport.local.ufrag.clone(), key);
        self.legs.insert(key, Held { leg, timer: None });
        self.settle(key);
        Ok(())
    }

    fn restart(&mut self, now: Instant, key: K, transport: &DtlsTransport) {
        let Some(held) = self.legs.get_mut(&key) else { return };
        let before = held.leg.transport().local.ufrag.clone();
        held.leg.restart(now, transport.clone(), &mut self.outputs);
        if before != transport.local.ufrag {
            self.by_ufrag.remove(&before);
            self.by_ufrag.insert(transport.local.ufrag.clone(), key);
        }
        self.settle(key);
    }

    /// Takes the events of the leg that was worked on, and notes when it wants to be woken.
    fn settle(&mut self, key: K) {
        self.working = None;
        while let Some(event) = self.outputs.poll_event() {
            self.events.push_back((key, event));
        }
        let Some(held) = self.legs.get_mut(&key) else { return };
        // Mostly later than before: the entry is left, and looked at when it fires.
        let Some(due) = held.leg.poll_timeout() else { return };
        if held.timer.is_none_or(|timer| due < timer) {
            held.timer = Some(due);
            self.timers.push(Reverse((due, key)));
        }
    }

    fn forget_names(&mut self, key: K, held: &Held) {
        self.by_ufrag.remove(&held.leg.transport().local.ufrag);
        for address in held.leg.addresses().iter() {
            self.forget_address(address, key);
        }
    }

    fn forget_address(&mut self, address: SocketAddr, key: K) {
        if self.by_address.get(&address) == Some(&key) {
            self.by_address.remove(&address);
        }
    }
}
