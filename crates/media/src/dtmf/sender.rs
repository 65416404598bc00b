//! Events out, as packets.

use super::{Event, EventPayload, EventPhase, EventUpdate};
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

#[derive(Debug)]
struct Active {
    event: Event,
    /// Timestamp of the segment being sent.
    timestamp: u32,
    /// Length of the segments before it.
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

/// Longest that a segment can say it is.
const SEGMENT: u32 = 0xffff;

impl EventSender {
    /// Takes an update and sends what it calls for. `timestamp` is when the event began, on the outgoing clock;
    /// only the update that begins an event is asked for it.
    pub(crate) fn handle_update(
        &mut self,
        now: Instant,
        update: EventUpdate,
        timestamp: u32,
        send: &mut impl FnMut(EventPacket),
    ) {
        if update.phase.begins() {
            self.flush(send);
            self.active = Some(Active { event: update.event, timestamp, earlier_segments: 0 });
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
        let mut duration = update.duration.saturating_sub(self.earlier_segments);
        while duration > SEGMENT {
            // RFC 4733 §2.5.1.3: the segment says its full length, without E, and the next starts where it ends.
            send(self.packet(update, marker, false, SEGMENT));
            marker = false;
            self.timestamp = self.timestamp.wrapping_add(SEGMENT);
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
            sender.handle_update(now, update(5, 160, EventPhase::Start), 9000, &mut send);
            sender.handle_update(now, update(5, 320, EventPhase::Update), 0, &mut send);
            sender.handle_update(now, update(5, 480, EventPhase::End), 0, &mut send);
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
            sender.handle_update(now, update(5, 480, EventPhase::Whole), 9000, &mut send);
            sender.handle_update(now, update(5, 160, EventPhase::Start), 9900, &mut send);
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
            sender.handle_update(now, update(5, 65_500, EventPhase::Start), 9000, &mut send);
            sender.handle_update(now, update(5, 65_660, EventPhase::Update), 0, &mut send);
            sender.handle_update(now, update(5, 65_820, EventPhase::Update), 0, &mut send);
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
    fn an_event_whose_beginning_was_not_sent_is_not_sent_at_all() {
        let now = first_instant();
        let rows = rows(|sender, mut send| {
            sender.handle_update(now, update(5, 320, EventPhase::Update), 0, &mut send);
            sender.handle_update(now, update(5, 480, EventPhase::End), 0, &mut send);
        });
        assert_eq!(rows, []);
    }
}
