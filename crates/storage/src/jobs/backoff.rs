//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with jitter.
///
/// The pause doubles with every attempt up to a largest one, and is then shortened at random by up to
/// half, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Pause after the first attempt, before jitter.
    pub first: Duration,
    /// Longest pause, before jitter.
    pub max: Duration,
}

impl Backoff {
    /// Returns the pause in milliseconds after an attempt, counted from 1. The same seed gives the same.
    pub fn pause_ms(&self, attempt: u32, seed: u64) -> i64 {
        let first = u64::try_from(self.first.as_millis()).unwrap_or(u64::MAX);
        let max = u64::try_from(self.max.as_millis()).unwrap_or(u64::MAX);
        let doublings = attempt.saturating_sub(1).min(u64::BITS - 1);
        let whole = first.saturating_mul(1 << doublings).min(max);
        let half = whole / 2;
        // The part that is random: 0..=half.
        let random = mixed(seed ^ u64::from(attempt)) % (half + 1);
        i64::try_from(whole - random).unwrap_or(i64::MAX)
    }
}

/// SplitMix64: neighbouring seeds give unrelated values.
fn mixed(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(10), max: Duration::from_secs(600) };

    #[test]
    fn pauses_double_up_to_the_largest_and_lose_at_most_half() {
        for seed in 0..1_000 {
            for (attempt, whole) in [(1, 10_000), (2, 20_000), (6, 320_000), (7, 600_000), (1_000, 600_000)] {
                let pause = BACKOFF.pause_ms(attempt, seed);
                assert!((whole / 2..=whole).contains(&pause), "attempt {attempt} seed {seed}: {pause}");
            }
        }
    }

    #[test]
    fn what_failed_together_does_not_come_back_together() {
        let mut pauses: Vec<_> = (0..100).map(|seed| BACKOFF.pause_ms(3, seed)).collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert!(pauses.len() > 90, "{} different pauses of 100", pauses.len());
    }
}
