//! The numbering of the packets that go to one peer.

use crate::frame::ClockRate;
use crate::leg::queue::PacketQueue;
use crate::rtp;
use crate::stats::LegStats;
use std::time::Instant;

/// One stream of packets, whatever they carry.
#[derive(Debug)]
pub(super) struct Line {
    ssrc: u32,
    sequence: u16,
    clock: WireClock,
    /// Whether the next audio packet begins a talk spurt.
    pub(super) spurt_due: bool,
}

/// Where packets of one call to the sender go.
pub(super) struct Wire<'a> {
    pub(super) now: Instant,
    pub(super) queue: &'a mut PacketQueue<()>,
    pub(super) stats: &'a mut LegStats,
}

/// Turns units of 1/8000 s into ticks of the wire. Both go on for ever and wrap at 32 bits.
#[derive(Debug, Clone, Copy, Default)]
struct WireClock {
    rate: ClockRate,
    /// A unit and the tick of the same moment.
    unit: u32,
    tick: u32,
}

impl Line {
    pub(super) fn new(ssrc: u32, sequence: u16) -> Self {
        Self { ssrc, sequence, clock: WireClock::default(), spurt_due: true }
    }

    pub(super) fn rate(&self) -> ClockRate {
        self.clock.rate
    }

    /// Goes on with another clock from a moment on, as if nothing had happened.
    pub(super) fn set_rate(&mut self, rate: ClockRate, unit: u32) {
        if rate != self.clock.rate {
            self.clock = WireClock { rate, unit, tick: self.ticks(unit) };
        }
    }

    /// Returns the timestamp of a moment on the wire.
    pub(super) fn ticks(&self, unit: u32) -> u32 {
        let WireClock { rate, unit: from, tick } = self.clock;
        tick.wrapping_add(unit.wrapping_sub(from).wrapping_mul(rate.ticks_per_unit()))
    }

    /// Leaves out sequence numbers, so that the peer knows what is missing.
    pub(super) fn skip(&mut self, packets: u16) {
        self.sequence = self.sequence.wrapping_add(packets);
    }

    /// Sends a packet. `timestamp` is that of the wire.
    pub(super) fn send(
        &mut self,
        wire: &mut Wire<'_>,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        let bytes = self.put(wire.queue, payload_type, marker, timestamp, payload);
        let stats = &mut *wire.stats;
        stats.sent_bytes += bytes as u64;
        stats.sent += 1;
        stats.first_sent.get_or_insert(wire.now);
        stats.last_sent = Some(wire.now);
    }

    /// Queues a packet, and returns how many bytes its payload has.
    pub(super) fn put(
        &mut self,
        queue: &mut PacketQueue<()>,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let header = rtp::header(&rtp::Packet {
            payload_type,
            marker,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            payload: &[],
        });
        self.sequence = self.sequence.wrapping_add(1);
        let mut length = 0;
        queue.push((), |bytes| {
            bytes.extend(header);
            let start = bytes.len();
            payload(bytes);
            length = bytes.len() - start;
        });
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_changes_its_rate_goes_on_where_it_was() {
        let mut line = Line::new(1, 0);
        assert_eq!(line.ticks(u32::MAX), u32::MAX);
        line.set_rate(ClockRate::Hz48000, u32::MAX);
        assert_eq!(line.ticks(u32::MAX), u32::MAX);
        assert_eq!(line.ticks(159), 959, "160 units are 960 ticks, across the wrap");
        line.set_rate(ClockRate::Hz8000, 159);
        assert_eq!(line.ticks(319), 1119);
    }
}
