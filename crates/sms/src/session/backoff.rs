//! Growing pauses.

use std::time::Duration;

/// Pauses that double from one failure to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

impl Backoff {
    /// One second to one minute: reconnecting, and throttled sessions (rules D.5).
    pub const MINUTE: Self = Self { first: Duration::from_secs(1), max: Duration::from_secs(60) };

    /// Returns the pause after so many failures before this one.
    pub fn pause(self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// Returns the pause with up to a fifth taken off, so that many sessions do not come back at once.
    pub fn jittered(self, failures: u32, jitter: &mut Jitter) -> Duration {
        let pause = self.pause(failures);
        pause - pause.mul_f64(0.2 * jitter.fraction())
    }
}

/// A small generator for jitter (SplitMix64): seeded, so that a simulation runs the same twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jitter(u64);

impl Jitter {
    /// Returns a generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number from 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u64> = (0..8).map(|n| Backoff::MINUTE.pause(n).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(Backoff::MINUTE.pause(u32::MAX).as_secs(), 60);
    }

    #[test]
    fn jitter_takes_up_to_a_fifth_off() {
        let mut jitter = Jitter::new(3);
        for _ in 0..1_000 {
            let pause = Backoff::MINUTE.jittered(3, &mut jitter).as_secs_f64();
            assert!((6.4..=8.0).contains(&pause), "{pause}");
        }
    }
}
