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

/// Datagrams back to back in one buffer, which is reused once all are taken.
#[derive(Debug, Default)]
pub(super) struct TransmitQueue {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    taken: usize,
    offset: usize,
}

#[derive(Debug)]
struct Entry {
    channel: Channel,
    remote: SocketAddr,
    length: usize,
}

/// Most bytes that wait. A parent drains after every call; one frame makes at most 20 packets of 10 ms.
const WAITING_BYTES_MAX: usize = 64 * 1024;

impl TransmitQueue {
    /// Adds a datagram; `write` appends its bytes. Does nothing when the queue is full, as a full socket would.
    pub(super) fn push(&mut self, channel: Channel, remote: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        if start >= WAITING_BYTES_MAX {
            return;
        }
        write(&mut self.bytes);
        let length = self.bytes.len() - start;
        self.entries.push(Entry { channel, remote, length });
    }

    pub(super) fn pop(&mut self) -> Option<Transmit<'_>> {
        let Some(entry) = self.entries.get(self.taken) else {
            self.entries.clear();
            self.bytes.clear();
            self.taken = 0;
            self.offset = 0;
            return None;
        };
        let start = self.offset;
        self.taken += 1;
        self.offset += entry.length;
        let bytes = self.bytes.get(start..self.offset)?;
        Some(Transmit { channel: entry.channel, remote: entry.remote, bytes })
    }
}
