//! The outgoing media clock.

use crate::frame::{self, CLOCK_RATE, StreamId};
use std::time::Instant;

/// Places frames on one continuous clock, whatever source they come from.
///
/// Within a stream, distances between timestamps are kept, so that pauses and losses stay what they were. Where a
/// stream changes or its clock jumps, the new one goes on after as much media time as has passed.
#[derive(Debug)]
pub(super) struct Timeline {
    mapping: Option<Mapping>,
    last: Option<Last>,
    /// End of the last event, which the next has to begin after.
    last_event_end: Option<u32>,
    first: u32,
}

/// Where something goes on the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) timestamp: u32,
    /// Whether the clock was set anew for it.
    pub(super) jumps: bool,
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    stream: StreamId,
    theirs: u64,
    ours: u32,
}

/// What was sent last, and when.
#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    timestamp: u32,
    duration: u32,
}

/// How far ahead of the time passed a stream may be: a burst after a stall. Further is a jump of its clock.
const AHEAD_MAX: i64 = CLOCK_RATE as i64;

/// How far back an event may begin: its first packets were lost, or audio went on beside it.
const EVENT_BACK_MAX: i64 = CLOCK_RATE as i64 / 2;

impl Timeline {
    pub(super) fn new(first: u32) -> Self {
        Self { mapping: None, last: None, last_event_end: None, first }
    }

    /// Places audio or comfort noise. It never goes back to before what was sent.
    pub(super) fn place_audio(&mut self, now: Instant, stream: StreamId, theirs: u64) -> Place {
        self.place(now, stream, theirs, 0)
    }

    /// Places an event.
    pub(super) fn place_event(&mut self, now: Instant, stream: StreamId, theirs: u64) -> u32 {
        let Place { timestamp, .. } = self.place(now, stream, theirs, -EVENT_BACK_MAX);
        self.clear_of_events(timestamp, now)
    }

    /// Returns the timestamp of now, for what we begin ourselves.
    pub(super) fn timestamp_at(&self, now: Instant) -> u32 {
        let Some(last) = self.last else { return self.first };
        last.timestamp.wrapping_add(units_since(last.at, now).max(last.duration))
    }

    /// Returns the timestamp of now for an event that we begin ourselves.
    pub(super) fn event_timestamp_at(&self, now: Instant) -> u32 {
        self.clear_of_events(self.timestamp_at(now), now)
    }

    pub(super) fn audio_sent(&mut self, now: Instant, timestamp: u32, duration: u32) {
        self.last = Some(Last { at: now, timestamp, duration });
    }

    /// Takes it that an event that began at a timestamp has been sent up to a duration.
    pub(super) fn event_sent(&mut self, now: Instant, timestamp: u32, duration: u32) {
        let end = timestamp.wrapping_add(duration);
        self.last_event_end = Some(end);
        if self.last.is_none_or(|last| distance(last.timestamp, end) > 0) {
            self.last = Some(Last { at: now, timestamp: end, duration: 0 });
        }
    }

    fn place(&mut self, now: Instant, stream: StreamId, theirs: u64, back_max: i64) -> Place {
        if let Some(mapping) = self.mapping.filter(|mapping| mapping.stream == stream) {
            let timestamp = mapping.ours.wrapping_add(theirs.wrapping_sub(mapping.theirs) as u32);
            if self.is_plausible(now, timestamp, back_max) {
                return Place { timestamp, jumps: false };
            }
        }
        let timestamp = self.timestamp_at(now);
        self.mapping = Some(Mapping { stream, theirs, ours: timestamp });
        Place { timestamp, jumps: true }
    }

    fn is_plausible(&self, now: Instant, timestamp: u32, back_max: i64) -> bool {
        let Some(last) = self.last else { return true };
        let ahead = distance(last.timestamp, timestamp);
        let passed = i64::from(units_since(last.at, now).max(last.duration));
        ahead >= back_max && ahead <= passed + AHEAD_MAX
    }

    fn clear_of_events(&self, timestamp: u32, now: Instant) -> u32 {
        match self.last_event_end {
            Some(end)
                if distance(end, timestamp) <= 0 && distance(end, timestamp) > -i64::from(CLOCK_RATE) =>
            {
                let clear = end.wrapping_add(1);
                if distance(clear, self.timestamp_at(now)) > 0 { self.timestamp_at(now) } else { clear }
            }
            Some(_) | None => timestamp,
        }
    }
}

/// Returns how far `to` is after `from`, negative when before.
fn distance(from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from).cast_signed())
}

fn units_since(then: Instant, now: Instant) -> u32 {
    // The clock has 2^32 units; what is cut off is whole turns of it.
    frame::units(now.saturating_duration_since(then)) as u32
}
