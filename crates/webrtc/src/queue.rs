//! What waits for the shell.

use crate::event::Event;
use std::collections::VecDeque;
use std::net::SocketAddr;
use trunkline_media::rtp::{self, Packet};

/// A datagram to put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub remote: SocketAddr,
    /// The datagram.
    pub bytes: &'a [u8],
}

/// What one leg has to say while it is being worked on; the hub takes it at once.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The one that was taken last, which is on loan.
    taken: Vec<u8>,
    packets: Packets,
    events: VecDeque<Event>,
    forgotten: Option<SocketAddr>,
}

impl Outputs {
    pub(crate) fn transmit(&mut self, remote: SocketAddr, bytes: Vec<u8>) {
        // A parent drains after every call, and no call makes as many.
        if self.transmits.len() < TRANSMITS_MAX {
            self.transmits.push_back((remote, bytes));
        }
    }

    pub(crate) fn rtp(&mut self, packet: &Packet<'_>) {
        self.packets.push(packet);
    }

    pub(crate) fn rtp_count(&self) -> usize {
        self.packets.count
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.forgotten = Some(address);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        let (remote, bytes) = self.transmits.pop_front()?;
        self.taken = bytes;
        Some(Transmit { remote, bytes: &self.taken })
    }

    pub(crate) fn poll_rtp(&mut self) -> Option<&[u8]> {
        self.packets.pop()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn take_forgotten(&mut self) -> Option<SocketAddr> {
        self.forgotten.take()
    }
}

/// RTP packets back to back in one buffer, which is reused once all are taken.
#[derive(Debug, Default)]
struct Packets {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: VecDeque<usize>,
    start: usize,
    /// How many were put in, ever.
    count: usize,
}

impl Packets {
    fn push(&mut self, packet: &Packet<'_>) {
        if self.ends.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
        self.bytes.extend_from_slice(&rtp::header(packet));
        self.bytes.extend_from_slice(packet.payload);
        self.ends.push_back(self.bytes.len());
        self.count = self.count.wrapping_add(1);
    }

    fn pop(&mut self) -> Option<&[u8]> {
        let end = self.ends.pop_front()?;
        let packet = self.bytes.get(self.start..end);
        self.start = end;
        packet
    }
}

/// Most datagrams that wait: more than one call to a leg makes.
const TRANSMITS_MAX: usize = 256;
