//! A token bucket that smooths instead of refusing: it says when the next segment may go.

use std::time::{Duration, Instant};

/// How much may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Segments in each `per`.
    pub segments: u32,
    /// The time they take.
    pub per: Duration,
    /// Segments that may pass at once after a pause.
    pub burst: u32,
}

impl Rate {
    /// Returns a rate of so many segments a second, with a burst of one second's worth.
    pub fn per_second(segments: u32) -> Self {
        Self { segments, per: Duration::from_secs(1), burst: segments.max(1) }
    }
}

/// One bucket, as the virtual scheduling algorithm of ITU-T I.371 keeps it: by a single point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    rate: Rate,
    /// When the bucket is full again; none before the first segment.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Returns a full bucket.
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: None }
    }

    /// Returns when so many segments may pass: `now` if at once.
    ///
    /// More segments than the bucket holds pass when it is full, and it is in debt afterwards.
    pub fn ready_at(&self, now: Instant, segments: u16) -> Instant {
        let Some(full_at) = self.full_at else { return now };
        let wanted = u32::from(segments).min(self.rate.burst.max(1));
        let slack = self.time_of(self.rate.burst.max(1) - wanted);
        full_at.checked_sub(slack).unwrap_or(now).max(now)
    }

    /// Returns how many segments may pass at once now.
    pub fn available(&self, now: Instant) -> u32 {
        let burst = self.rate.burst.max(1);
        let missing = self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        let per_segment = self.time_of(1).as_nanos().max(1);
        let missing = u32::try_from(missing.as_nanos().div_ceil(per_segment)).unwrap_or(u32::MAX);
        burst.saturating_sub(missing)
    }

    /// Whether nothing is missing from the bucket: then it need not be kept.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }

    /// Takes segments out, whether or not they are there.
    pub fn take(&mut self, now: Instant, segments: u16) {
        let from = self.full_at.map_or(now, |full_at| full_at.max(now));
        self.full_at = Some(from + self.time_of(u32::from(segments)));
    }

    /// Takes segments out if they may pass now.
    pub fn try_take(&mut self, now: Instant, segments: u16) -> bool {
        let passes = self.ready_at(now, segments) <= now;
        if passes {
            self.take(now, segments);
        }
        passes
    }

    fn time_of(&self, segments: u32) -> Duration {
        let nanos = self.rate.per.as_nanos() * u128::from(segments) / u128::from(self.rate.segments.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use trunkline_model::clock::first_instant;

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let now = first_instant();
        let mut bucket = Bucket::new(Rate { segments: 10, per: Duration::from_secs(1), burst: 3 });
        assert!((0..3).all(|_| bucket.try_take(now, 1)));
        assert!(!bucket.try_take(now, 1));
        assert_eq!(bucket.ready_at(now, 1), now + Duration::from_millis(100));
        assert!(bucket.try_take(now + Duration::from_millis(100), 1));
    }

    #[test]
    fn a_message_longer_than_the_bucket_passes_when_it_is_full_and_is_paid_for() {
        let now = first_instant();
        let mut bucket = Bucket::new(Rate { segments: 10, per: Duration::from_secs(1), burst: 2 });
        assert!(bucket.try_take(now, 10));
        assert_eq!(bucket.ready_at(now, 1), now + Duration::from_millis(900));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            rate in 1u32..1_000,
            burst in 1u32..50,
            steps in proptest::collection::vec((0u64..200, 1u16..10), 1..200),
        ) {
            let start = first_instant();
            let mut bucket = Bucket::new(Rate { segments: rate, per: Duration::from_secs(1), burst });
            let (mut now, mut passed) = (start, 0u64);
            for (wait, segments) in steps {
                now += Duration::from_millis(wait);
                if bucket.try_take(now, segments) {
                    passed += u64::from(segments);
                }
            }
            let allowed = (now - start).as_secs_f64() * f64::from(rate) + f64::from(burst) + 10.0;
            prop_assert!(passed as f64 <= allowed, "{} > {}", passed, allowed);
        }
    }
}
