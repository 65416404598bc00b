//! Digits that we send ourselves, on the clock.

use super::{DIGIT_VOLUME, Event, EventPhase, EventUpdate};
use crate::frame::UNITS_PER_MS;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Turns queued digits into updates of events, one update each 20 ms.
#[derive(Debug, Default)]
pub(crate) struct DigitGenerator {
    queue: VecDeque<(Event, DigitTiming)>,
    sounding: Option<Sounding>,
    /// When the next digit may begin.
    free_at: Option<Instant>,
}

/// How long a digit sounds, and how long it is quiet after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigitTiming {
    /// How long a digit sounds.
    pub duration: Duration,
    /// How long it is quiet before the next.
    pub gap: Duration,
}

/// Why digits were not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigitsRefused {
    /// A character that no telephone has.
    #[error("{0:?} is not a digit: only 0-9, *, # and A-D are")]
    NotADigit(char),
    /// The queue is full.
    #[error("{DIGITS_MAX} digits are waiting already")]
    TooMany,
    /// Too short to be heard or longer than a press can be.
    #[error("a digit lasts 40 ms to 8 s, and a gap at least 40 ms")]
    Timing,
}

#[derive(Debug)]
struct Sounding {
    event: Event,
    timing: DigitTiming,
    /// Length told by the last update, in milliseconds.
    told_ms: u32,
    due: Instant,
}

/// Most digits waiting: two card numbers with their codes.
const DIGITS_MAX: usize = 64;

/// Time between updates (RFC 4733 §2.5.1.2 suggests the packet time of audio).
const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS as u64);
const INTERVAL_MS: u32 = 20;

/// Shortest digit and gap that exchanges must hear (ITU-T Q.24).
const SOUND_MIN: Duration = Duration::from_millis(40);

/// Longest digit: what fits in one segment.
const SOUND_MAX: Duration = Duration::from_secs(8);

impl Default for DigitTiming {
    fn default() -> Self {
        Self { duration: Duration::from_millis(100), gap: Duration::from_millis(80) }
    }
}

impl DigitGenerator {
    /// Queues digits behind those already waiting; either all of them or none.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        digits: &str,
        timing: DigitTiming,
    ) -> Result<(), DigitsRefused> {
        if !(SOUND_MIN..=SOUND_MAX).contains(&timing.duration) || timing.gap < SOUND_MIN {
            return Err(DigitsRefused::Timing);
        }
        if let Some(bad) = digits.chars().find(|&digit| Event::from_digit(digit).is_none()) {
            return Err(DigitsRefused::NotADigit(bad));
        }
        if self.queue.len() + digits.len() > DIGITS_MAX {
            return Err(DigitsRefused::TooMany);
        }
        self.queue.extend(digits.chars().filter_map(Event::from_digit).map(|event| (event, timing)));
        self.free_at.get_or_insert(now);
        Ok(())
    }

    /// Returns the next update that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<EventUpdate> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return None;
        }
        match &mut self.sounding {
            Some(sounding) => {
                sounding.told_ms += INTERVAL_MS;
                sounding.due += INTERVAL;
                let update = sounding.update(EventPhase::Update);
                if update.phase.ends() {
                    self.free_at = Some(now + INTERVAL + sounding.timing.gap);
                    self.sounding = None;
                }
                Some(update)
            }
            None => {
                let (event, timing) = self.queue.pop_front()?;
                let sounding = Sounding { event, timing, told_ms: INTERVAL_MS, due: now + INTERVAL };
                let update = sounding.update(EventPhase::Start);
                self.sounding = Some(sounding);
                Some(update)
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.sounding {
            Some(sounding) => Some(sounding.due),
            None if self.queue.is_empty() => None,
            None => self.free_at,
        }
    }

    /// Whether a digit sounds or waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.sounding.is_some() || !self.queue.is_empty()
    }
}

impl Sounding {
    /// Returns the update of the length told, which is the last when it reaches the length asked for.
    fn update(&self, phase: EventPhase) -> EventUpdate {
        let whole_ms = u32::try_from(self.timing.duration.as_millis()).unwrap_or(u32::MAX);
        let phase = if self.told_ms >= whole_ms { EventPhase::End } else { phase };
        let duration = self.told_ms.min(whole_ms) * UNITS_PER_MS;
        EventUpdate { event: self.event, volume: DIGIT_VOLUME, duration, phase }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    #[test]
    fn digits_sound_one_after_the_other_for_as_long_as_asked() {
        let start = first_instant();
        let mut generator = DigitGenerator::default();
        let timing = DigitTiming { duration: Duration::from_millis(60), gap: Duration::from_millis(40) };
        generator.push(start, "1#", timing).unwrap();
        let mut told = Vec::new();
        while let Some(due) = generator.poll_timeout() {
            let update = generator.handle_timeout(due).unwrap();
            told.push(((due - start).as_millis(), update.event.0, update.duration, update.phase));
        }
        assert_eq!(
            told,
            [
                (0, 1, 160, EventPhase::Start),
                (20, 1, 320, EventPhase::Update),
                (40, 1, 480, EventPhase::End),
                (100, 11, 160, EventPhase::Start),
                (120, 11, 320, EventPhase::Update),
                (140, 11, 480, EventPhase::End),
            ]
        );
        assert!(!generator.is_busy());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_whole() {
        let now = first_instant();
        let mut generator = DigitGenerator::default();
        let timing = DigitTiming::default();
        assert_eq!(generator.push(now, "12x", timing), Err(DigitsRefused::NotADigit('x')));
        assert_eq!(generator.push(now, &"1".repeat(65), timing), Err(DigitsRefused::TooMany));
        let short = DigitTiming { duration: Duration::from_millis(10), ..timing };
        assert_eq!(generator.push(now, "1", short), Err(DigitsRefused::Timing));
        assert!(!generator.is_busy());
    }
}
