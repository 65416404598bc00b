//! From the packet time of one leg to that of another.

use crate::frame::{PAYLOAD_BYTES_MAX, UNITS_PER_MS};
use crate::g711::Law;
use std::time::{Duration, Instant};

/// Cuts audio, a byte a sample, into packets of one length.
///
/// Audio that comes in the right length passes through. Else it waits until there is enough; what is incomplete goes
/// out short when the audio does not go on where it stopped.
#[derive(Debug, Default)]
pub(crate) struct Packetizer {
    waiting: Vec<u8>,
    head: Option<Head>,
}

/// A packet's worth of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) law: Law,
    pub(crate) payload: &'a [u8],
}

/// What is known of the first waiting sample.
#[derive(Debug, Clone, Copy)]
struct Head {
    timestamp: u32,
    marker: bool,
    law: Law,
    since: Instant,
}

/// How much longer than a packet time incomplete audio waits for the rest.
const PATIENCE: Duration = Duration::from_millis(20);

impl Packetizer {
    /// Takes audio and sends what is complete. `ptime_ms` is the packet time wanted.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        ptime_ms: u16,
        chunk: Chunk<'_>,
        send: &mut impl FnMut(Chunk<'_>),
    ) {
        let length = packet_length(ptime_ms);
        if self.head.is_some_and(|head| chunk.marker || !head.is_followed_by(&chunk, self.waiting.len())) {
            self.flush(send);
        }
        if self.head.is_none() && chunk.payload.len() == length {
            send(chunk);
            return;
        }
        let head = Head { timestamp: chunk.timestamp, marker: chunk.marker, law: chunk.law, since: now };
        self.head.get_or_insert(head);
        self.waiting.extend_from_slice(chunk.payload);
        self.send_complete(now, length, send);
    }

    /// Sends what waits, complete or not.
    pub(crate) fn flush(&mut self, send: &mut impl FnMut(Chunk<'_>)) {
        if let Some(head) = self.head.take()
            && !self.waiting.is_empty()
        {
            send(head.chunk(&self.waiting));
        }
        self.waiting.clear();
    }

    /// Forgets what waits.
    pub(crate) fn abandon(&mut self) {
        self.head = None;
        self.waiting.clear();
    }

    /// When incomplete audio stops waiting for the rest.
    pub(crate) fn poll_timeout(&self, ptime_ms: u16) -> Option<Instant> {
        self.head.map(|head| head.since + Duration::from_millis(u64::from(ptime_ms)) + PATIENCE)
    }

    fn send_complete(&mut self, now: Instant, length: usize, send: &mut impl FnMut(Chunk<'_>)) {
        let mut sent = 0;
        for payload in self.waiting.chunks_exact(length) {
            let Some(head) = &mut self.head else { return };
            send(head.chunk(payload));
            head.timestamp = head.timestamp.wrapping_add(payload.len() as u32);
            head.marker = false;
            head.since = now;
            sent += payload.len();
        }
        self.waiting.drain(..sent);
        if self.waiting.is_empty() {
            self.head = None;
        }
    }
}

impl Head {
    fn is_followed_by(&self, chunk: &Chunk<'_>, waiting: usize) -> bool {
        self.law == chunk.law && self.timestamp.wrapping_add(waiting as u32) == chunk.timestamp
    }

    fn chunk<'a>(&self, payload: &'a [u8]) -> Chunk<'a> {
        Chunk { timestamp: self.timestamp, marker: self.marker, law: self.law, payload }
    }
}

/// Returns the samples in a packet, at least 10 ms and no more than a packet takes.
fn packet_length(ptime_ms: u16) -> usize {
    (usize::from(ptime_ms) * UNITS_PER_MS as usize).clamp(10 * UNITS_PER_MS as usize, PAYLOAD_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    /// Pushes frames of (timestamp, samples, marker) and returns the packets that came out, the last by flushing.
    fn reframed(ptime_ms: u16, frames: &[(u32, usize, bool)]) -> Vec<(u32, usize, bool)> {
        let mut packets = Vec::new();
        let mut packetizer = Packetizer::default();
        let mut send = |chunk: Chunk<'_>| {
            for (place, &sample) in (chunk.timestamp..).zip(chunk.payload) {
                assert_eq!(sample, place as u8, "each sample keeps its time");
            }
            packets.push((chunk.timestamp, chunk.payload.len(), chunk.marker));
        };
        for &(timestamp, samples, marker) in frames {
            let payload: Vec<u8> = (timestamp..).take(samples).map(|place| place as u8).collect();
            let chunk = Chunk { timestamp, marker, law: Law::Mu, payload: &payload };
            packetizer.push(first_instant(), ptime_ms, chunk, &mut send);
        }
        packetizer.flush(&mut send);
        packets
    }

    #[test]
    fn the_right_length_passes_through() {
        assert_eq!(reframed(20, &[(0, 160, true), (160, 160, false)]), [(0, 160, true), (160, 160, false)]);
    }

    #[test]
    fn thirty_becomes_twenty() {
        assert_eq!(
            reframed(20, &[(0, 240, true), (240, 240, false)]),
            [(0, 160, true), (160, 160, false), (320, 160, false)]
        );
    }

    #[test]
    fn ten_becomes_thirty_and_thirty_becomes_ten() {
        assert_eq!(
            reframed(30, &[(0, 80, true), (80, 80, false), (160, 80, false), (240, 80, false)]),
            [(0, 240, true), (240, 80, false)]
        );
        assert_eq!(reframed(10, &[(0, 240, true)]), [(0, 80, true), (80, 80, false), (160, 80, false)]);
    }

    #[test]
    fn a_gap_or_a_new_spurt_sends_what_waits_short() {
        assert_eq!(
            reframed(
                20,
                &[(0, 80, true), (160, 80, false), (240, 80, false), (320, 80, false), (400, 80, true)]
            ),
            [(0, 80, true), (160, 160, false), (320, 80, false), (400, 80, true)]
        );
    }
}
