//! Limits: calls a second, hops, attempts, times.

use std::time::{Duration, Instant};

/// What one node takes, whatever its trunks allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most calls at once.
    pub calls_max: usize,
    /// How long a gateway may say nothing at all before the next one is tried.
    ///
    /// RFC 3261's own limit is timer B, 32 s: no caller waits that long in silence. Four seconds see an INVITE
    /// over UDP sent four times (0, 0.5, 1.5, 3.5 s), and carriers send 100 within a fraction of one. It
    /// applies only while there is another gateway to try: the last one gets timer B, so that a lossy path
    /// with a single gateway loses nothing.
    pub response_max: Duration,
    /// How long an answered call may last; none for no limit.
    pub duration_max: Option<Duration>,
    /// Most Via headers of an INVITE; a longer path is taken for a loop that resets Max-Forwards.
    pub hops_max: usize,
    /// Most gateways tried for one call, over all trunks of its route.
    pub attempts_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Two ports each: the default range 20000-29999 serves 2,500 calls; ports, not this, are the limit.
            calls_max: 20_000,
            response_max: Duration::from_secs(4),
            duration_max: None,
            // The longest paths of carriers have about ten hops.
            hops_max: 30,
            // A caller hears silence while gateways are tried.
            attempts_max: 6,
        }
    }
}

/// A token bucket, kept as one instant (the generic cell rate algorithm of ITU-T I.371).
///
/// It holds one second's worth of tokens, so that a burst of as many calls as are allowed in a second passes.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    interval: Duration,
    tolerance: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl TokenBucket {
    /// Returns a full bucket that gains `per_sec` tokens a second. Zero counts as one.
    pub(crate) fn new(per_sec: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / per_sec.max(1);
        Self { interval, tolerance: Duration::from_secs(1).saturating_sub(interval), full_at: now }
    }

    /// Whether a token is there.
    pub(crate) fn has(&self, now: Instant) -> bool {
        self.full_at.saturating_duration_since(now) <= self.tolerance
    }

    /// Takes a token if one is there.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let there = self.has(now);
        if there {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    #[test]
    fn a_bucket_lets_a_second_of_calls_through_at_once_and_then_the_rate() {
        let start = first_instant();
        let mut bucket = TokenBucket::new(10, start);
        let burst = (0..20).filter(|_| bucket.take(start)).count();
        assert_eq!(burst, 10);

        let steady = (1..=100).filter(|n| bucket.take(start + Duration::from_millis(50 * n))).count();
        assert_eq!(steady, 50, "five seconds at ten a second");
    }

    #[test]
    fn an_idle_bucket_never_holds_more_than_a_second_of_calls() {
        let start = first_instant();
        let mut bucket = TokenBucket::new(3, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 3);
    }
}
