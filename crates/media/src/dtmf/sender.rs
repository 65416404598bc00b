//! Events out, as packets.

use super::{Event, EventPayload, EventPhase, EventUpdate};
use crate::frame::ClockRate;
use std::time::{Duration, Instant};

/// Writes events as RFC 4733 §2.5.1 says: one timestamp an event, the marker on its first packet, a growing
/// duration, three end packets, and segments when it outlasts the duration field.
///
/// It is driven by updates, whether relayed as they arrive or generated on the clock.
#[derive(Debug, Default)]
pub(crate) struct EventSender {
    active: Option<Active>,
    repeats: Option<Repeats>,
}

/// One packet to send: everything but its sequence number and payload type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventPacket {
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: EventPayload,
}

/// When an event begins, on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventStart {
    /// Timestamp of the beginning, on the clock of the audio.
    pub(crate) timestamp: u32,
    /// The clock of the audio.
    pub(crate) audio: ClockRate,
    /// The clock of the event's durations.
    pub(crate) clock: ClockRate,
}

#[derive(Debug)]
struct Active {
    event: Event,
    /// Timestamp of the segment being sent.
    timestamp: u32,
    /// Ticks of the timestamp in a tick of the duration; 1 unless the audio beside it has another clock.
    timestamp_ticks: u32,
    /// That of the durations.
    clock: ClockRate,
    /// Length of the segments before it, in ticks of the duration.
    earlier_segments: u32,
}

#[derive(Debug)]
struct Repeats {
    packet: EventPacket,
    left: u8,
    due: Instant,
}

/// How often the last packet of an event is sent again (RFC 4733 §2.5.1.4: three times in all).
const END_REPEATS: u8 = 2;

/// Time between repeats: the interval of updates.
const REPEAT_INTERVAL: Duration = Duration::from_millis(20);

/// Longest that a segment can say it is, in ticks.
const SEGMENT: u32 = 0xffff;

impl EventSender {
    /// Takes an update and sends what it calls for. `start` is when the event began; only the update that begins an
    /// event is asked for it.
    pub(crate) fn handle_update(
        &mut self,
        now: Instant,
        update: EventUpdate,
        start: EventStart,
        send: &mut impl FnMut(EventPacket),
    ) {
        if update.phase.begins() {
            self.flush(send);
            let EventStart { timestamp, audio, clock } = start;
            // RFC 7160 tells of clocks that differ in one stream: timestamps go on with that of the audio.
            let timestamp_ticks = (audio.ticks_per_unit() / clock.ticks_per_unit()).max(1);
            let event = update.event;
            self.active = Some(Active { event, timestamp, timestamp_ticks, clock, earlier_segments: 0 });
        }
        // An update of an event whose beginning was not sent, as the leg was on hold then, is not sent either.
        let Some(active) = self.active.as_mut().filter(|active| active.event == update.event) else { return };
        let packet = active.advance(update, send);
        send(packet);
        match update.phase {
            EventPhase::Start | EventPhase::Update => {}
            EventPhase::End | EventPhase::Whole => {
                self.active = None;
                let packet = EventPacket { marker: false, ..packet };
                self.repeats = Some(Repeats { packet, left: END_REPEATS, due: now + REPEAT_INTERVAL });
            }
        }
    }

    /// Sends a repeat of an end packet that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, send: &mut impl FnMut(EventPacket)) {
        let Some(repeats) = self.repeats.as_mut().filter(|repeats| repeats.due <= now) else { return };
        send(repeats.packet);
        repeats.left -= 1;
        repeats.due += REPEAT_INTERVAL;
        if repeats.left == 0 {
            self.repeats = None;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.repeats.as_ref().map(|repeats| repeats.due)
    }

    /// Sends at once the repeats that something else must not overtake.
    pub(crate) fn flush(&mut self, send: &mut impl FnMut(EventPacket)) {
        if let Some(repeats) = self.repeats.take() {
            for _ in 0..repeats.left {
                send(repeats.packet);
            }
        }
    }

    /// Forgets what was being sent: the peer no longer listens.
    pub(crate) fn abandon(&mut self) {
        self.active = None;
        self.repeats = None;
    }
}

impl Active {
    /// Returns the packet of an update, after the ends of the segments that came before it.
    fn advance(&mut self, update: EventUpdate, send: &mut impl FnMut(EventPacket)) -> EventPacket {
        let mut marker = update.phase.begins();
        let total = update.duration.saturating_mul(self.clock.ticks_per_unit());
        let mut duration = total.saturating_sub(self.earlier_segments);
        while duration > SEGMENT {
            // RFC 4733 §2.5.1.3: the segment says its full length, without E, and the next starts where it ends.
            send(self.packet(update, marker, false, SEGMENT));
            marker = false;
            self.timestamp = self.timestamp.wrapping_add(SEGMENT * self.timestamp_ticks);
            self.earlier_segments += SEGMENT;
            duration -= SEGMENT;
        }
        self.packet(update, marker, update.phase.ends(), duration)
    }

    fn packet(&self, update: EventUpdate, marker: bool, end: bool, duration: u32) -> EventPacket {
        let duration = u16::try_from(duration).unwrap_or(u16::MAX);
        let payload = EventPayload { event: update.event, end, volume: update.volume, duration };
        EventPacket { timestamp: self.timestamp, marker, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    fn update(event: u8, duration: u32, phase: EventPhase) -> EventUpdate {
        EventUpdate { event: Event(event), volume: 10, duration, phase }
    }

    fn at(timestamp: u32) -> EventStart {
        EventStart { timestamp, audio: ClockRate::Hz8000, clock: ClockRate::Hz8000 }
    }

    /// (timestamp, marker, duration, end)
    type Row = (u32, bool, u16, bool);

    fn rows(run: impl FnOnce(&mut EventSender, &mut dyn FnMut(EventPacket))) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut send = |packet: EventPacket| {
            rows.push((packet.timestamp, packet.marker, packet.payload.duration, packet.payload.end));
        };
        run(&mut EventSender::default(), &mut send);
        rows
    }

    #[test]
    fn an_event_keeps_its_timestamp_and_ends_three_times() {
        let now = first_instant();
        let rows = rows(|sender, mut send| {
            sender.handle_update(now, update(5, 160, EventPhase::Start), at(9000), &mut send);
            sender.handle_update(now, update(5, 320, EventPhase::Update), at(0), &mut send);
            sender.handle_update(now, update(5, 480, EventPhase::End), at(0), &mut send);
            while let Some(due) = sender.poll_timeout() {
                sender.handle_timeout(due, &mut send);
            }
            assert!(sender.active.is_none());
        });
        assert_eq!(
            rows,
            [
                (9000, true, 160, false),
                (9000, false, 320, false),
                (9000, false, 480, true),
                (9000, false, 480, true),
                (9000, false, 480, true),
            ]
        );
    }

    #[test]
    fn the_next_event_waits_for_the_last_ends_of_the_one_before() {
        let now = first_instant();
        let rows = rows(|sender, mut send| {
            sender.handle_update(now, update(5, 480, EventPhase::Whole), at(9000), &mut send);
            sender.handle_update(now, update(5, 160, EventPhase::Start), at(9900), &mut send);
        });
        assert_eq!(
            rows,
            [
                (9000, true, 480, true),
                (9000, false, 480, true),
                (9000, false, 480, true),
                (9900, true, 160, false)
            ]
        );
    }

    #[test]
    fn an_event_longer_than_its_field_goes_on_in_a_new_segment() {
        let now = first_instant();
        let rows = rows(|sender, mut send| {
            sender.handle_update(now, update(5, 65_500, EventPhase::Start), at(9000), &mut send);
            sender.handle_update(now, update(5, 65_660, EventPhase::Update), at(0), &mut send);
            sender.handle_update(now, update(5, 65_820, EventPhase::Update), at(0), &mut send);
        });
        assert_eq!(
            rows,
            [
                (9000, true, 65_500, false),
                (9000, false, 65_535, false),
                (74_535, false, 125, false),
                (74_535, false, 285, false),
            ]
        );
    }

    #[test]
    fn at_48_khz_the_new_segment_comes_soon() {
        let now = first_instant();
        let start = EventStart { timestamp: 9000, audio: ClockRate::Hz48000, clock: ClockRate::Hz48000 };
        let rows = rows(|sender, mut send| {
            sender.handle_update(now, update(5, 160, EventPhase::Start), start, &mut send);
            sender.handle_update(now, update(5, 10_960, EventPhase::End), start, &mut send);
        });
        assert_eq!(
            rows,
            [(9000, true, 960, false), (9000, false, 65_535, false), (74_535, false, 225, true)]
        );
    }

    #[test]
    fn beside_audio_of_another_clock_the_timestamp_has_that_and_the_duration_its_own() {
        let now = first_instant();
        let start = EventStart { timestamp: 9000, audio: ClockRate::Hz48000, clock: ClockRate::Hz8000 };
        let rows = rows(|sender, mut send| {
            sender.handle_update(now, update(5, 65_500, EventPhase::Start), start, &mut send);
            sender.handle_update(now, update(5, 65_660, EventPhase::Update), start, &mut send);
        });
        assert_eq!(
            rows,
            [
                (9000, true, 65_500, false),
                (9000, false, 65_535, false),
                (9000 + 6 * 65_535, false, 125, false)
            ]
        );
    }

    #[test]
    fn an_event_whose_beginning_was_not_sent_is_not_sent_at_all() {
        let now = first_instant();
        let rows = rows(|sender, mut send| {
            sender.handle_update(now, update(5, 320, EventPhase::Update), at(0), &mut send);
            sender.handle_update(now, update(5, 480, EventPhase::End), at(0), &mut send);
        });
        assert_eq!(rows, []);
    }
}
