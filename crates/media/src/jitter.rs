//! The reorder window: packets in any order in, packets in order out, as soon as they can be.
//!
//! It is no playout buffer. A packet that is next leaves at once; only a gap makes those behind it wait, and not for
//! long, for the far end has a jitter buffer of its own.

use crate::frame::PAYLOAD_BYTES_MAX;
use crate::rtp::Packet;
use std::time::{Duration, Instant};

/// Puts the packets of one source in order (RFC 3550 A.1 for what belongs to it).
#[derive(Debug)]
pub(crate) struct ReorderWindow {
    /// The sequence number that is due, where any packet has come yet.
    next: Option<u16>,
    /// Held packets, nearest first, as indices into `slots`.
    order: [u8; SLOTS],
    held: usize,
    slots: [Slot; SLOTS],
    /// A packet far off: when the one after it comes too, the source has started anew.
    suspect: Option<u16>,
    /// Which of the 64 sequence numbers before `next` were seen, the nearest in the lowest bit.
    seen: u64,
    /// Late packets in a row, each the successor of the one before, and the last of them.
    late_run: (u16, u8),
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is next, or waits for its turn.
    Kept,
    /// It was there already.
    Duplicate,
    /// Its turn is over.
    Late,
    /// It is far from what is due, and may be the first of a new start: dropped unless the next proves it.
    Suspect,
    /// The source has started anew with this packet, which is kept.
    Restarted,
}

/// Names a released packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Released {
    slot: u8,
    /// How many packets before it never came.
    pub(crate) lost: u16,
}

/// A packet as it is held.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) arrival: Instant,
    pub(crate) payload: Vec<u8>,
}

/// Packets that the window has room for: those that may wait, the one that completes them, and some to spare for a
/// burst between two polls.
const SLOTS: usize = 8;

/// Most packets that wait for a missing one.
///
/// Reordering in real networks is by one or two packets; a packet that stays behind four others is lost.
const WAITING_MAX: usize = 4;

/// Longest that a packet waits for a missing one: it fits a neighbour swapped at 20 ms packets, and stays within
/// what the smallest jitter buffers absorb.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(30);

/// A gap larger than this is not worth waiting for.
const GAP_MAX: u16 = 16;

/// RFC 3550 A.1: a step forward this large is not loss.
const MAX_DROPOUT: u16 = 3000;

/// RFC 3550 A.1: a step back this large is not reordering.
const MAX_MISORDER: u16 = 100;

/// So many late packets in sequence are a source that started anew nearby, not a path that delays.
const LATE_RUN_MAX: u8 = 5;

impl ReorderWindow {
    pub(crate) fn new(now: Instant) -> Self {
        let slot = Slot {
            payload_type: 0,
            marker: false,
            sequence: 0,
            timestamp: 0,
            ssrc: 0,
            arrival: now,
            payload: Vec::new(),
        };
        Self {
            next: None,
            order: std::array::from_fn(|index| index as u8),
            held: 0,
            slots: std::array::from_fn(|_| slot.clone()),
            suspect: None,
            seen: 0,
            late_run: (0, 0),
        }
    }

    /// Forgets everything held and starts with whatever packet comes next.
    pub(crate) fn restart(&mut self) {
        self.next = None;
        self.held = 0;
        self.suspect = None;
        self.seen = 0;
        self.late_run = (0, 0);
    }

    /// Takes a packet.
    pub(crate) fn insert(&mut self, now: Instant, packet: &Packet<'_>) -> Placed {
        let sequence = packet.sequence;
        let Some(next) = self.next else {
            self.next = Some(sequence);
            self.keep(now, packet);
            return Placed::Kept;
        };
        let ahead = sequence.wrapping_sub(next);
        let behind = next.wrapping_sub(sequence);
        if ahead < MAX_DROPOUT {
            self.suspect = None;
            self.late_run = (0, 0);
            return if self.keep(now, packet) { Placed::Kept } else { Placed::Duplicate };
        }
        let restarted = if behind <= MAX_MISORDER {
            self.late_again(sequence)
        } else {
            let proven = self.suspect == Some(sequence);
            self.suspect = Some(sequence.wrapping_add(1));
            proven
        };
        if restarted {
            self.restart();
            self.next = Some(sequence);
            self.keep(now, packet);
            return Placed::Restarted;
        }
        if behind > MAX_MISORDER {
            return Placed::Suspect;
        }
        let bit = 1u64.checked_shl(u32::from(behind) - 1).unwrap_or(0);
        let seen = self.seen & bit != 0;
        self.seen |= bit;
        if seen { Placed::Duplicate } else { Placed::Late }
    }

    /// Releases the next packet in order, when it is its turn by now. [`slot`](Self::slot) lends it until the next
    /// insert.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Released> {
        if self.due(0)? > now {
            return None;
        }
        let slot = *self.order.first()?;
        let sequence = self.at(0)?.sequence;
        self.held -= 1;
        // The slot goes to the back of the free ones, so that the next insert does not take it.
        self.order.rotate_left(1);
        let lost = sequence.wrapping_sub(self.next?);
        self.seen = self.seen.checked_shl(u32::from(lost) + 1).unwrap_or(0) | 1;
        self.next = Some(sequence.wrapping_add(1));
        Some(Released { slot, lost })
    }

    /// Returns a released packet.
    pub(crate) fn slot(&self, released: Released) -> Option<&Slot> {
        self.slots.get(usize::from(released.slot))
    }

    /// When the nearest held packet stops waiting for those before it.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due(0)
    }

    fn due(&self, place: usize) -> Option<Instant> {
        let slot = self.at(place)?;
        let gap = slot.sequence.wrapping_sub(self.next?);
        if gap == 0 || gap > GAP_MAX || self.held > WAITING_MAX {
            return Some(slot.arrival);
        }
        Some(slot.arrival + WAIT_MAX)
    }

    fn at(&self, place: usize) -> Option<&Slot> {
        if place >= self.held {
            return None;
        }
        self.order.get(place).and_then(|&slot| self.slots.get(usize::from(slot)))
    }

    /// Puts a packet at its place; false when it is there already or there is no room.
    fn keep(&mut self, now: Instant, packet: &Packet<'_>) -> bool {
        let Some(next) = self.next else { return false };
        let ahead = packet.sequence.wrapping_sub(next);
        let nearer = (0..self.held).filter_map(|place| self.at(place));
        let place = nearer.take_while(|slot| slot.sequence.wrapping_sub(next) < ahead).count();
        let taken = self.at(place).is_some_and(|slot| slot.sequence == packet.sequence);
        if taken || self.held == SLOTS {
            return false;
        }
        let Some(free) = self.order.get(self.held).copied() else { return false };
        if let Some(order) = self.order.get_mut(place..=self.held) {
            order.rotate_right(1);
        }
        self.held += 1;
        if let Some(slot) = self.slots.get_mut(usize::from(free)) {
            slot.fill(now, packet);
        }
        true
    }

    /// Counts a late packet, and tells whether there were so many in sequence that the source has started anew.
    fn late_again(&mut self, sequence: u16) -> bool {
        let (last, run) = self.late_run;
        let run = if run > 0 && sequence == last.wrapping_add(1) { run + 1 } else { 1 };
        self.late_run = (sequence, run);
        run >= LATE_RUN_MAX
    }
}

impl Slot {
    fn fill(&mut self, now: Instant, packet: &Packet<'_>) {
        self.payload_type = packet.payload_type;
        self.marker = packet.marker;
        self.sequence = packet.sequence;
        self.timestamp = packet.timestamp;
        self.ssrc = packet.ssrc;
        self.arrival = now;
        self.payload.clear();
        let length = packet.payload.len().min(PAYLOAD_BYTES_MAX);
        self.payload.extend_from_slice(packet.payload.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    struct Path {
        window: ReorderWindow,
        now: Instant,
        out: Vec<u16>,
    }

    impl Path {
        fn new() -> Self {
            let now = first_instant();
            Self { window: ReorderWindow::new(now), now, out: Vec::new() }
        }

        fn packet(&mut self, sequence: u16) -> Placed {
            let packet = Packet {
                payload_type: 0,
                marker: false,
                sequence,
                timestamp: 0,
                ssrc: 1,
                payload: &sequence.to_be_bytes(),
            };
            let placed = self.window.insert(self.now, &packet);
            self.drain();
            placed
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
            self.drain();
        }

        fn drain(&mut self) {
            while let Some(released) = self.window.pop(self.now) {
                let slot = self.window.slot(released).unwrap();
                assert_eq!(slot.payload, slot.sequence.to_be_bytes());
                self.out.push(slot.sequence);
            }
        }
    }

    #[test]
    fn packets_in_order_pass_at_once_across_the_wrap() {
        let mut path = Path::new();
        for sequence in [65_534, 65_535, 0, 1] {
            path.packet(sequence);
        }
        assert_eq!(path.out, [65_534, 65_535, 0, 1]);
        assert_eq!(path.window.poll_timeout(), None);
    }

    #[test]
    fn swapped_neighbours_leave_in_order() {
        let mut path = Path::new();
        for sequence in [1, 3, 2, 6, 5, 4, 7] {
            path.packet(sequence);
        }
        assert_eq!(path.out, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_missing_packet_is_waited_for_only_so_long() {
        let mut path = Path::new();
        path.packet(1);
        path.packet(3);
        path.wait(29);
        assert_eq!(path.out, [1]);
        path.wait(1);
        assert_eq!(path.out, [1, 3]);
        assert_eq!(path.packet(2), Placed::Late);
        assert_eq!(path.out, [1, 3]);
    }

    #[test]
    fn a_missing_packet_is_waited_for_by_only_so_many() {
        let mut path = Path::new();
        path.packet(1);
        for sequence in 3..=6 {
            path.packet(sequence);
        }
        assert_eq!(path.out, [1]);
        path.packet(7);
        assert_eq!(path.out, [1, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn duplicates_are_dropped_whether_held_or_gone() {
        let mut path = Path::new();
        path.packet(1);
        path.packet(3);
        assert_eq!(path.packet(3), Placed::Duplicate);
        assert_eq!(path.packet(1), Placed::Duplicate);
        path.packet(2);
        assert_eq!(path.out, [1, 2, 3]);
    }

    #[test]
    fn a_long_gap_is_not_waited_for() {
        let mut path = Path::new();
        path.packet(1);
        path.packet(30);
        assert_eq!(path.out, [1, 30]);
    }

    #[test]
    fn a_source_that_starts_anew_is_followed_from_its_second_packet() {
        let mut path = Path::new();
        path.packet(1);
        path.packet(2);
        assert_eq!(path.packet(40_000), Placed::Suspect);
        assert_eq!(path.packet(3), Placed::Kept);
        assert_eq!(path.packet(40_001), Placed::Suspect);
        assert_eq!(path.packet(40_002), Placed::Restarted);
        assert_eq!(path.packet(40_003), Placed::Kept);
        assert_eq!(path.out, [1, 2, 3, 40_002, 40_003]);
    }

    #[test]
    fn a_source_that_starts_anew_nearby_is_followed_after_a_run() {
        let mut path = Path::new();
        path.packet(100);
        for sequence in 50..54 {
            assert_ne!(path.packet(sequence), Placed::Kept);
        }
        assert_eq!(path.packet(54), Placed::Restarted);
        assert_eq!(path.packet(55), Placed::Kept);
        assert_eq!(path.out, [100, 54, 55]);
    }

    #[test]
    fn nothing_is_kept_beyond_the_room_there_is() {
        let mut path = Path::new();
        path.packet(1);
        for sequence in 3..3000 {
            let packet =
                Packet { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc: 1, payload: &[] };
            path.window.insert(path.now, &packet);
        }
        path.out.clear();
        assert_eq!(std::iter::from_fn(|| path.window.pop(path.now)).count(), SLOTS);
    }
}
