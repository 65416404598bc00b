//! Event packets in, each event told once and in order.

use super::{Event, EventPayload, EventPhase, EventUpdate};
use crate::frame::ClockRate;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Hears events out of packets that may be lost, repeated, late, or never marked (RFC 4733 §2.5.2).
///
/// An event is known by its source and timestamp, never by the marker bit. It ends with a packet that says so,
/// with the next event, or when nothing was heard of it for [`SILENCE_MAX`].
#[derive(Debug, Default)]
pub(crate) struct EventReceiver {
    current: Option<Current>,
    /// The last event that ended: its late and repeated packets mean nothing.
    ended: Option<Ended>,
    heard: VecDeque<Heard>,
}

/// What names an event on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventKey {
    pub(crate) ssrc: u32,
    pub(crate) timestamp: u32,
    /// That of the event's durations.
    pub(crate) clock: ClockRate,
}

/// News of an event, and when on the leg's media clock it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) update: EventUpdate,
    pub(crate) began_at: u64,
}

#[derive(Debug)]
struct Current {
    /// Source and timestamp of the segment being received.
    key: EventKey,
    event: Event,
    volume: u8,
    began_at: u64,
    /// Length of the segments before this one (RFC 4733 §2.5.1.3), in ticks.
    earlier_segments: u32,
    /// Length of this segment so far, in ticks.
    duration: u32,
    last_packet: Instant,
}

#[derive(Debug)]
struct Ended {
    key: EventKey,
    /// Length of its last segment, in ticks.
    duration: u16,
    /// When the last packet of it came, or when it ended without one.
    at: Instant,
}

/// An event of which nothing was heard for so long is over.
///
/// Updates come every 20 to 50 ms (RFC 4733 §2.5.1.2); this outlasts three lost ones.
const SILENCE_MAX: Duration = Duration::from_millis(200);

/// Packets of an event that is over come no further apart than this: three repeats at the largest interval in use
/// (RFC 4733 §2.5.1.2), and a path that reorders.
const REPEATS_MAX: Duration = Duration::from_millis(500);

/// How long an event that ended may go on after an outage.
const ENDED_MEMORY: Duration = Duration::from_secs(5);

/// How far behind an event a packet may be to be a late one of an earlier event. Further back, its source has started
/// its clock anew.
const STRAGGLER_SECS_MAX: u32 = 2;

/// Most updates between two polls: one packet ends one event and starts another, and a parent polls after each packet.
const HEARD_MAX: usize = 8;

/// Length of a full segment in ticks (RFC 4733 §2.5.1.3).
const SEGMENT: u32 = 0xffff;

/// How far from its full length the last packet heard of a segment may be when the next segment begins: five lost
/// updates.
const SEGMENT_SLACK_MS: u32 = 250;

impl EventReceiver {
    /// Takes one packet. `began_at` is its timestamp on the leg's media clock.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        key: EventKey,
        began_at: u64,
        payload: EventPayload,
    ) {
        if self.is_straggler(now, key, payload) {
            return;
        }
        match &mut self.current {
            Some(current) if current.continues(key, payload) => {
                let grew = current.absorb(now, key, payload);
                if payload.end {
                    self.end(now);
                } else if grew && let Some(current) = &self.current {
                    let update = current.update(EventPhase::Update);
                    self.tell(update, began_at);
                }
            }
            Some(current) if current.is_newer_than(key) => {}
            Some(_) => {
                self.end(now);
                self.begin(now, key, began_at, payload);
            }
            None => self.begin(now, key, began_at, payload),
        }
    }

    /// Ends an event that has fallen silent.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.end(now);
        }
    }

    /// When the event in progress counts as over unless more is heard of it.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.last_packet + SILENCE_MAX)
    }

    pub(crate) fn poll(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    /// Whether a packet belongs to an event that is over, and so means nothing.
    fn is_straggler(&mut self, now: Instant, key: EventKey, payload: EventPayload) -> bool {
        let Some(ended) = self.ended.as_mut().filter(|ended| ended.is_behind(key)) else { return false };
        let silent = now.saturating_duration_since(ended.at);
        // Later than any repeat, it is the same event only if it goes on from where that stopped, as after an outage:
        // some equipment plays every press of a key from one recording, timestamps and all.
        let goes_on = ended.key == key && payload.duration >= ended.duration && silent < ENDED_MEMORY;
        let is_straggler = silent < REPEATS_MAX || goes_on;
        if is_straggler && ended.key == key {
            ended.at = now;
        }
        is_straggler
    }

    fn begin(&mut self, now: Instant, key: EventKey, began_at: u64, payload: EventPayload) {
        // Its clock went back: what ended before says nothing of this one.
        self.ended.take_if(|ended| ended.is_behind(key));
        let current = Current {
            key,
            event: payload.event,
            volume: payload.volume,
            began_at,
            earlier_segments: 0,
            duration: u32::from(payload.duration),
            last_packet: now,
        };
        if payload.end {
            self.ended = Some(Ended { key, duration: payload.duration, at: now });
            self.tell(current.update(EventPhase::Whole), began_at);
        } else {
            self.tell(current.update(EventPhase::Start), began_at);
            self.current = Some(current);
        }
    }

    fn end(&mut self, now: Instant) {
        if let Some(current) = self.current.take() {
            let duration = u16::try_from(current.duration).unwrap_or(u16::MAX);
            self.ended = Some(Ended { key: current.key, duration, at: now });
            self.tell(current.update(EventPhase::End), current.began_at);
        }
    }

    fn tell(&mut self, update: EventUpdate, began_at: u64) {
        let began_at = self.current.as_ref().map_or(began_at, |current| current.began_at);
        if self.heard.len() < HEARD_MAX {
            self.heard.push_back(Heard { update, began_at });
        }
    }
}

impl Ended {
    /// Whether a packet is of this event or of one before it.
    fn is_behind(&self, key: EventKey) -> bool {
        self.key.is_soon_after(key)
    }
}

impl EventKey {
    /// Whether the other is of the same source and not far before this one.
    fn is_soon_after(self, other: Self) -> bool {
        let behind = self.timestamp.wrapping_sub(other.timestamp);
        self.ssrc == other.ssrc && behind < STRAGGLER_SECS_MAX * self.clock.hz()
    }

    fn segment_slack(self) -> u32 {
        SEGMENT_SLACK_MS * self.clock.hz() / 1000
    }
}

impl Current {
    /// Whether a packet tells of this event, in the segment known or in the next.
    fn continues(&self, key: EventKey, payload: EventPayload) -> bool {
        if key.ssrc != self.key.ssrc || payload.event != self.event {
            return false;
        }
        let advance = key.timestamp.wrapping_sub(self.key.timestamp);
        let duration = u32::from(payload.duration);
        let slack = self.key.segment_slack();
        let next_segment = advance.abs_diff(SEGMENT) <= slack && self.duration + slack >= SEGMENT;
        // Some senders move the timestamp with every packet of an event. Then it moves by as much as the duration
        // grows, which a second press of the key cannot do: its duration starts small again.
        let moving = duration > self.duration && advance == duration - self.duration;
        advance == 0 || next_segment || moving
    }

    /// Takes what a packet adds, and tells whether the event grew.
    fn absorb(&mut self, now: Instant, key: EventKey, payload: EventPayload) -> bool {
        let before = self.total();
        let duration = u32::from(payload.duration);
        let advance = key.timestamp.wrapping_sub(self.key.timestamp);
        let slack = self.key.segment_slack();
        if advance.abs_diff(SEGMENT) <= slack {
            self.earlier_segments = self.earlier_segments.saturating_add(advance);
            self.duration = duration;
        } else if duration < slack && self.duration + slack >= SEGMENT {
            // The sender let the duration wrap instead of starting a segment.
            self.earlier_segments = self.earlier_segments.saturating_add(SEGMENT + 1);
            self.duration = duration;
        } else {
            self.duration = self.duration.max(duration);
        }
        self.key = key;
        self.volume = payload.volume;
        self.last_packet = now;
        self.total() > before
    }

    fn is_newer_than(&self, key: EventKey) -> bool {
        self.key.is_soon_after(key)
    }

    /// Length of all segments, in ticks.
    fn total(&self) -> u32 {
        self.earlier_segments.saturating_add(self.duration)
    }

    fn update(&self, phase: EventPhase) -> EventUpdate {
        let duration = self.total() / self.key.clock.ticks_per_unit();
        EventUpdate { event: self.event, volume: self.volume, duration, phase }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    struct Ear {
        receiver: EventReceiver,
        now: Instant,
        clock: ClockRate,
    }

    impl Ear {
        fn new() -> Self {
            Self { receiver: EventReceiver::default(), now: first_instant(), clock: ClockRate::Hz8000 }
        }

        fn packet(&mut self, event: u8, timestamp: u32, duration: u16, end: bool) -> &mut Self {
            let key = EventKey { ssrc: 1, timestamp, clock: self.clock };
            let payload = EventPayload { event: Event(event), end, volume: 10, duration };
            self.receiver.handle_packet(self.now, key, u64::from(timestamp), payload);
            self.now += Duration::from_millis(20);
            self
        }

        fn heard(&mut self) -> Vec<(EventPhase, u8, u32)> {
            std::iter::from_fn(|| self.receiver.poll())
                .map(|heard| (heard.update.phase, heard.update.event.0, heard.update.duration))
                .collect()
        }
    }

    use EventPhase::{End, Start, Update, Whole};

    #[test]
    fn repeated_packets_tell_nothing_new() {
        let mut ear = Ear::new();
        ear.packet(5, 1000, 160, false).packet(5, 1000, 160, false).packet(5, 1000, 320, false);
        ear.packet(5, 1000, 480, true).packet(5, 1000, 480, true).packet(5, 1000, 480, true);
        assert_eq!(ear.heard(), [(Start, 5, 160), (Update, 5, 320), (End, 5, 480)]);
    }

    #[test]
    fn lost_end_packets_are_made_up_for_by_silence() {
        let mut ear = Ear::new();
        ear.packet(5, 1000, 160, false).packet(5, 1000, 320, false);
        let due = ear.receiver.poll_timeout().unwrap();
        ear.receiver.handle_timeout(due - Duration::from_millis(1));
        assert_eq!(ear.heard().len(), 2);
        ear.receiver.handle_timeout(due);
        assert_eq!(ear.heard(), [(End, 5, 320)]);
        ear.packet(5, 1000, 640, true);
        assert_eq!(ear.heard(), [], "a straggler does not press the key again");
    }

    #[test]
    fn lost_end_packets_are_made_up_for_by_the_next_event() {
        let mut ear = Ear::new();
        ear.packet(5, 1000, 160, false).packet(5, 2000, 160, false).packet(5, 2000, 320, true);
        assert_eq!(ear.heard(), [(Start, 5, 160), (End, 5, 160), (Start, 5, 160), (End, 5, 320)]);
    }

    #[test]
    fn one_packet_of_an_event_is_enough() {
        let mut ear = Ear::new();
        ear.packet(7, 1000, 800, true).packet(7, 1000, 800, true);
        assert_eq!(ear.heard(), [(Whole, 7, 800)]);
    }

    #[test]
    fn late_packets_of_an_earlier_event_are_ignored() {
        let mut ear = Ear::new();
        ear.packet(1, 1000, 160, false).packet(2, 3000, 160, false).packet(1, 1000, 320, true);
        ear.packet(2, 3000, 320, true);
        assert_eq!(ear.heard(), [(Start, 1, 160), (End, 1, 160), (Start, 2, 160), (End, 2, 320)]);
    }

    #[test]
    fn segments_of_a_long_press_are_one_event() {
        let mut ear = Ear::new();
        ear.packet(9, 1000, 65_000, false).packet(9, 1000, 65_535, false).packet(9, 66_535, 160, false);
        ear.packet(9, 66_535, 1000, true);
        assert_eq!(
            ear.heard(),
            [(Start, 9, 65_000), (Update, 9, 65_535), (Update, 9, 65_695), (End, 9, 66_535)]
        );
    }

    #[test]
    fn at_48_khz_a_segment_lasts_little_more_than_a_second() {
        let mut ear = Ear::new();
        ear.clock = ClockRate::Hz48000;
        ear.packet(9, 1000, 960, false).packet(9, 1000, 65_280, false).packet(9, 1000, 65_535, false);
        ear.packet(9, 66_535, 705, false).packet(9, 66_535, 1665, true);
        assert_eq!(
            ear.heard(),
            [
                (Start, 9, 160),
                (Update, 9, 10_880),
                (Update, 9, 10_922),
                (Update, 9, 11_040),
                (End, 9, 11_200)
            ]
        );
    }

    #[test]
    fn a_duration_that_wraps_goes_on_growing() {
        let mut ear = Ear::new();
        ear.packet(9, 1000, 65_500, false).packet(9, 1000, 124, false).packet(9, 1000, 284, true);
        assert_eq!(ear.heard(), [(Start, 9, 65_500), (Update, 9, 65_660), (End, 9, 65_820)]);
    }

    #[test]
    fn a_sender_that_moves_the_timestamp_presses_the_key_once() {
        let mut ear = Ear::new();
        ear.packet(3, 1000, 160, false).packet(3, 1160, 320, false).packet(3, 1320, 480, true);
        ear.packet(3, 1320, 480, true);
        assert_eq!(ear.heard(), [(Start, 3, 160), (Update, 3, 320), (End, 3, 480)]);
    }

    #[test]
    fn one_recording_of_a_key_played_again_is_another_press() {
        let mut ear = Ear::new();
        for _ in 0..2 {
            ear.packet(1, 1000, 0, false).packet(1, 1000, 320, false);
            ear.packet(1, 1000, 640, true).packet(1, 1000, 640, true);
            ear.now += Duration::from_millis(600);
        }
        let once = [(Start, 1, 0), (Update, 1, 320), (End, 1, 640)];
        assert_eq!(ear.heard(), [once, once].concat());
    }

    #[test]
    fn a_press_goes_on_after_an_outage_without_becoming_two() {
        let mut ear = Ear::new();
        ear.packet(1, 1000, 160, false).packet(1, 1000, 320, false);
        let due = ear.receiver.poll_timeout().unwrap();
        ear.receiver.handle_timeout(due);
        ear.now += Duration::from_millis(900);
        ear.packet(1, 1000, 8000, false).packet(1, 1000, 8160, true).packet(1, 1000, 8160, true);
        assert_eq!(ear.heard(), [(Start, 1, 160), (Update, 1, 320), (End, 1, 320)]);
    }

    #[test]
    fn timestamps_wrap_between_digits() {
        let mut ear = Ear::new();
        ear.packet(1, u32::MAX - 100, 160, false).packet(1, u32::MAX - 100, 320, true);
        ear.packet(2, 1500, 160, false).packet(2, 1500, 320, true);
        assert_eq!(ear.heard(), [(Start, 1, 160), (End, 1, 320), (Start, 2, 160), (End, 2, 320)]);
    }
}
