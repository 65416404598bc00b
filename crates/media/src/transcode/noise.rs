//! Comfort noise (RFC 3389): its level, and noise of that level.

/// Makes noise of one level. Its colour is not that of the far room: coefficients are left aside, as by most receivers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    amplitude: f32,
    state: u32,
}

/// The loudest sample, which levels count down from (RFC 3389 §3.1).
const OVERLOAD: f32 = 32_768.0;

/// The quietest level that can be told.
const LEVEL_MAX: u8 = 127;

impl Noise {
    /// Returns noise of the level in a payload; an empty one means the quietest.
    pub(crate) fn of(payload: &[u8]) -> Self {
        let level = payload.first().map_or(LEVEL_MAX, |level| level & 0x7f);
        let rms = OVERLOAD * 10f32.powf(-f32::from(level) / 20.0);
        // Evenly spread samples have an amplitude of √3 times their mean power.
        Self { amplitude: rms * 3f32.sqrt(), state: 1 }
    }

    /// Makes the next samples.
    pub(crate) fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            // Constants of Numerical Recipes; the high bits are noise enough.
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let even = (self.state >> 8) as f32 / (1u32 << 23) as f32 - 1.0;
            *sample = (even * self.amplitude) as i16;
        }
    }
}

/// Returns the level of samples in −dBov, as a payload says it.
pub(crate) fn level(samples: &[i16]) -> u8 {
    let power: f32 = samples.iter().map(|&sample| f32::from(sample).powi(2)).sum();
    let rms = (power / samples.len().max(1) as f32).sqrt();
    let level = -20.0 * (rms / OVERLOAD).log10();
    // Casting takes silence, whose level is infinite, to the largest.
    (level.round() as u8).min(LEVEL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_level_that_was_asked_for() {
        for wanted in [20, 40, 60, 70] {
            let mut samples = [0; 1600];
            Noise::of(&[wanted, 3, 4]).fill(&mut samples);
            assert!(level(&samples).abs_diff(wanted) <= 1, "{wanted}: {}", level(&samples));
        }
        assert_eq!(level(&[0; 160]), LEVEL_MAX);
        assert_eq!(level(&[]), LEVEL_MAX);
        assert_eq!(level(&[i16::MIN; 160]), 0);
        let mut samples = [1; 160];
        Noise::of(&[]).fill(&mut samples);
        assert_eq!(samples, [0; 160]);
    }
}
