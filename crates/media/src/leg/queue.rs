//! Packets that wait for the shell.

use std::net::SocketAddr;

/// A datagram to put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// From which of the two ports.
    pub channel: Channel,
    /// Where to.
    pub remote: SocketAddr,
    /// The datagram.
    pub bytes: &'a [u8],
}

/// One of the two ports of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// RTP, and RTCP too where multiplexed.
    Rtp,
    /// RTCP.
    Rtcp,
}

/// Packets back to back in one buffer, which is reused once all are taken. Each has a tag, such as where it goes.
#[derive(Debug)]
pub(super) struct PacketQueue<T> {
    bytes: Vec<u8>,
    entries: Vec<(T, usize)>,
    taken: usize,
    offset: usize,
}

/// Most bytes that wait. A parent drains after every call; one frame makes at most 20 packets of 10 ms.
const WAITING_BYTES_MAX: usize = 64 * 1024;

impl<T> Default for PacketQueue<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), entries: Vec::new(), taken: 0, offset: 0 }
    }
}

impl<T: Copy> PacketQueue<T> {
    /// Adds a packet; `write` appends its bytes. Does nothing when the queue is full, as a full socket would.
    pub(super) fn push(&mut self, tag: T, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        if start >= WAITING_BYTES_MAX {
            return;
        }
        write(&mut self.bytes);
        let length = self.bytes.len() - start;
        self.entries.push((tag, length));
    }

    pub(super) fn pop(&mut self) -> Option<(T, &[u8])> {
        let Some(&(tag, length)) = self.entries.get(self.taken) else {
            self.entries.clear();
            self.bytes.clear();
            self.taken = 0;
            self.offset = 0;
            return None;
        };
        let start = self.offset;
        self.taken += 1;
        self.offset += length;
        Some((tag, self.bytes.get(start..self.offset)?))
    }
}
