//! Leaves an endpoint alone that does not answer.

use std::time::{Duration, Instant};

/// Counts failures in a row. After some, deliveries pause; then one is tried, and the first that succeeds lets all go
/// again. So a dead endpoint costs one request a minute, and its events keep their attempts.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    /// Until when nothing is tried.
    closed_until: Option<Instant>,
}

/// Failures in a row after which deliveries pause: fewer may be the fault of the events.
const FAILURES_MAX: u32 = 5;

const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// An endpoint that is back waits no longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Longest pause that an endpoint may ask for.
const ASKED_MAX: Duration = Duration::from_secs(300);

impl Breaker {
    pub(super) fn new() -> Self {
        Self { failures: 0, closed_until: None }
    }

    /// Notes that a delivery arrived.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.closed_until = None;
    }

    /// Notes that a delivery did not arrive; `asked` is the pause that the endpoint asks for, `seed` spreads pauses of
    /// endpoints that failed together.
    pub(super) fn failed(&mut self, now: Instant, asked: Option<Duration>, seed: u64) {
        self.failures = self.failures.saturating_add(1);
        if let Some(asked) = asked {
            self.close(now + asked.min(ASKED_MAX));
        }
        // Those that were under way together count once.
        if self.failures >= FAILURES_MAX && self.closed_until.is_none_or(|until| until <= now) {
            let doublings = (self.failures - FAILURES_MAX).min(16);
            let pause = PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX);
            self.close(now + pause / 2 + pause.mul_f64((seed % 1_000) as f64 / 2_000.0));
        }
    }

    /// Says how many deliveries of `most` may be under way.
    pub(super) fn allowed(&self, now: Instant, most: usize) -> usize {
        match self.closed_until {
            Some(until) if now < until => 0,
            Some(_) if self.failures >= FAILURES_MAX => 1,
            Some(_) | None => most,
        }
    }

    /// Returns when deliveries may be tried again, if they may not now.
    pub(super) fn opens(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| now < *until)
    }

    /// Says whether the endpoint is taken to be dead.
    pub(super) fn is_tripped(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    fn close(&mut self, until: Instant) {
        self.closed_until = Some(self.closed_until.map_or(until, |known| known.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_dead_endpoint_is_tried_with_one_delivery_after_growing_pauses() {
        let mut now = first_instant();
        let mut breaker = Breaker::new();
        for _ in 1..FAILURES_MAX {
            breaker.failed(now, None, 7);
            assert_eq!(breaker.allowed(now, 64), 64);
        }
        let mut pauses = Vec::new();
        for _ in 0..10 {
            breaker.failed(now, None, 999);
            assert_eq!(breaker.allowed(now, 64), 0);
            let opens = breaker.opens(now).unwrap();
            pauses.push(opens - now);
            now = opens;
            assert_eq!(breaker.allowed(now, 64), 1);
        }
        assert!(pauses.is_sorted() && pauses[0] <= secs(1), "{pauses:?}");
        assert!(pauses[9] > secs(30) && pauses[9] <= secs(60), "{pauses:?}");
        breaker.succeeded();
        assert_eq!(breaker.allowed(now, 64), 64);
    }

    #[test]
    fn what_failed_together_counts_once() {
        let now = first_instant();
        let mut breaker = Breaker::new();
        (0..64).for_each(|_| breaker.failed(now, None, 0));
        assert!(breaker.opens(now).unwrap() <= now + secs(1));
        let later = now + secs(2);
        assert_eq!(breaker.allowed(later, 64), 1);
    }

    #[test]
    fn an_endpoint_may_ask_for_a_pause() {
        let now = first_instant();
        let mut breaker = Breaker::new();
        breaker.failed(now, Some(secs(20)), 0);
        assert_eq!(breaker.opens(now), Some(now + secs(20)));
        assert_eq!(breaker.allowed(now + secs(20), 64), 64);
        breaker.failed(now, Some(secs(86_400)), 0);
        assert_eq!(breaker.opens(now), Some(now + ASKED_MAX));
    }
}
