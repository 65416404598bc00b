//! Tones: made for callers to hear, and found in what was heard.
//!
//! Levels are linear amplitudes; 0 dBm0 of G.711 is a sine 3.17 dB below full scale.

use crate::dtmf::Event;
use crate::frame::CLOCK_RATE;
use std::f64::consts::TAU;

/// A tone of up to two frequencies, on for a while and off for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Frequencies in Hz; zero for none.
    pub frequencies_hz: [f64; 2],
    /// Peak amplitude of each frequency.
    pub amplitude: f64,
    /// Samples on; the tone never stops when `samples_off` is zero.
    pub samples_on: u32,
    /// Samples off after that.
    pub samples_off: u32,
}

/// Makes the samples of a [`Tone`], without a click between blocks.
#[derive(Debug, Clone)]
pub struct ToneGenerator {
    tone: Tone,
    /// Samples made, within the cadence.
    place: u32,
    phases: [f64; 2],
}

/// Peak amplitude of a sine of 0 dBm0.
const ZERO_DBM0: f64 = 32_768.0 * 0.694;

/// Frequencies of the rows and columns of a keypad (ITU-T Q.23).
const ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// Keys by row and column, as event codes of RFC 4733.
const KEYS: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];

impl Tone {
    /// Nothing to hear.
    pub const SILENCE: Self =
        Self { frequencies_hz: [0.0, 0.0], amplitude: 0.0, samples_on: u32::MAX, samples_off: 0 };

    /// The ringback of North America: 440 and 480 Hz at −19 dBm0 each, two seconds in six.
    pub const RINGBACK: Self = Self {
        frequencies_hz: [440.0, 480.0],
        amplitude: ZERO_DBM0 * 0.112_2,
        samples_on: 2 * CLOCK_RATE,
        samples_off: 4 * CLOCK_RATE,
    };

    /// The busy tone of North America: 480 and 620 Hz at −24 dBm0 each, half a second in one.
    pub const BUSY: Self = Self {
        frequencies_hz: [480.0, 620.0],
        amplitude: ZERO_DBM0 * 0.063_1,
        samples_on: CLOCK_RATE / 2,
        samples_off: CLOCK_RATE / 2,
    };

    /// The digital milliwatt: 1 kHz at 0 dBm0.
    pub const MILLIWATT: Self = Self::sine(1000.0, ZERO_DBM0);

    /// A steady sine.
    pub const fn sine(frequency_hz: f64, amplitude: f64) -> Self {
        Self { frequencies_hz: [frequency_hz, 0.0], amplitude, samples_on: u32::MAX, samples_off: 0 }
    }

    /// The two frequencies of a key (ITU-T Q.23) at −8 dBm0 each; none for events that are not keys.
    pub fn key(event: Event) -> Option<Self> {
        let (row, keys) = ROWS_HZ.iter().zip(KEYS).find(|(_, keys)| keys.contains(&event.0))?;
        let (column, _) = COLUMNS_HZ.iter().zip(keys).find(|&(_, code)| code == event.0)?;
        Some(Self {
            frequencies_hz: [*row, *column],
            amplitude: ZERO_DBM0 * 0.398,
            samples_on: u32::MAX,
            samples_off: 0,
        })
    }
}

impl ToneGenerator {
    /// Begins a tone.
    pub fn new(tone: Tone) -> Self {
        Self { tone, place: 0, phases: [0.0; 2] }
    }

    /// Fills a block with the next samples.
    pub fn fill(&mut self, block: &mut [i16]) {
        for sample in block {
            *sample = self.sample();
        }
    }

    /// Returns the next sample.
    pub fn sample(&mut self) -> i16 {
        let Tone { frequencies_hz, amplitude, samples_on, samples_off } = self.tone;
        let sounds = samples_off == 0 || self.place < samples_on;
        if samples_off > 0 {
            self.place = (self.place + 1) % samples_on.saturating_add(samples_off);
        }
        let mut sum = 0.0;
        for (phase, frequency_hz) in self.phases.iter_mut().zip(frequencies_hz) {
            sum += phase.sin();
            *phase = (*phase + TAU * frequency_hz / f64::from(CLOCK_RATE)) % TAU;
        }
        if sounds { (sum * amplitude) as i16 } else { 0 }
    }
}

/// Returns the mean power of a frequency in a block, as the squared amplitude of its sine (Goertzel).
pub fn power_at(samples: &[i16], frequency_hz: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let coefficient = 2.0 * (TAU * frequency_hz / f64::from(CLOCK_RATE)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in samples {
        let next = f64::from(sample) + coefficient * last - before;
        (before, last) = (last, next);
    }
    let magnitude = last * last + before * before - coefficient * last * before;
    4.0 * magnitude / (samples.len() as f64).powi(2)
}

/// Returns how far a frequency stands above everything else in a block, in dB.
///
/// A block of whole periods of the frequency gives the true figure; 80 samples hold ten of 1 kHz.
pub fn signal_to_noise_db(samples: &[i16], frequency_hz: f64) -> f64 {
    let total: f64 =
        samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    let signal = power_at(samples, frequency_hz) / 2.0;
    10.0 * (signal.max(1e-9) / (total - signal).max(1e-9)).log10()
}

/// Returns the key that sounds in a block of 13 ms or more; none when none does.
pub fn key_in(samples: &[i16]) -> Option<Event> {
    let (row, row_power) = loudest(samples, ROWS_HZ);
    let (column, column_power) = loudest(samples, COLUMNS_HZ);
    let total: f64 =
        samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    // Both tones of a key carry nearly all of the power; −40 dBm0 is quieter than any exchange need hear (Q.24).
    let audible = total > (ZERO_DBM0 * 0.01).powi(2);
    let pure = (row_power + column_power) / 2.0 > 0.8 * total;
    // Q.24: one may be up to 8 dB louder than the other.
    let balanced = row_power < 6.4 * column_power && column_power < 6.4 * row_power;
    if !(audible && pure && balanced) {
        return None;
    }
    KEYS.get(row).and_then(|keys| keys.get(column)).map(|&code| Event(code))
}

/// Returns the keys heard in a recording, once for each press of 40 ms or more.
pub fn keys_in(samples: &[i16]) -> Vec<Event> {
    let mut keys = Vec::new();
    let (mut candidate, mut run, mut pause) = (None, 0, usize::MAX);
    for block in samples.chunks_exact(KEY_BLOCK) {
        let heard = key_in(block);
        run = if heard.is_some() && heard == candidate { run + 1 } else { 1 };
        // Two blocks make a press; the same key counts again only after a pause of two.
        if let (Some(key), 2) = (heard, run)
            && (pause >= 2 || keys.last() != Some(&key))
        {
            keys.push(key);
        }
        pause = if heard.is_none() {
            pause.saturating_add(1)
        } else if run >= 2 {
            0
        } else {
            pause
        };
        candidate = heard;
    }
    keys
}

/// Samples looked at in one go for a key: 15 ms, which tells neighbouring rows apart.
const KEY_BLOCK: usize = 120;

fn loudest(samples: &[i16], frequencies_hz: [f64; 4]) -> (usize, f64) {
    let powers = frequencies_hz.map(|frequency_hz| power_at(samples, frequency_hz));
    let loudest = powers.into_iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    loudest.unwrap_or((0, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711::{self, Law};

    fn samples(tone: Tone, count: usize) -> Vec<i16> {
        let mut block = vec![0; count];
        ToneGenerator::new(tone).fill(&mut block);
        block
    }

    #[test]
    fn the_milliwatt_is_pure_and_as_loud_as_it_should_be() {
        let tone = samples(Tone::MILLIWATT, 800);
        assert!(signal_to_noise_db(&tone, 1000.0) > 60.0);
        assert!((power_at(&tone, 1000.0).sqrt() - ZERO_DBM0).abs() < 10.0);
        // The sequence of G.711 table 5 for the digital milliwatt peaks at the codes 0x0b and 0x1e of µ-law.
        let coded: Vec<u8> = tone.iter().take(8).map(|&sample| g711::compress(Law::Mu, sample)).collect();
        assert_eq!(coded.iter().map(|code| code & 0x70).max(), Some(0x70));
    }

    #[test]
    fn g711_keeps_a_tone_well_above_its_noise() {
        for law in [Law::Mu, Law::A] {
            let heard: Vec<i16> = samples(Tone::MILLIWATT, 800)
                .into_iter()
                .map(|sample| g711::expand(law, g711::compress(law, sample)))
                .collect();
            assert!(signal_to_noise_db(&heard, 1000.0) > 33.0);
            assert!(signal_to_noise_db(&heard, 1500.0) < -30.0);
        }
    }

    #[test]
    fn ringback_sounds_two_seconds_in_six() {
        let tone = samples(Tone::RINGBACK, 7 * CLOCK_RATE as usize);
        let second = |n: usize| &tone[n * 8000..(n + 1) * 8000];
        for (n, sounds) in [(0, true), (1, true), (2, false), (5, false), (6, true)] {
            assert_eq!(power_at(second(n), 440.0) > 1e6, sounds, "second {n}");
            assert_eq!(power_at(second(n), 480.0) > 1e6, sounds, "second {n}");
        }
    }

    #[test]
    fn each_key_is_heard_as_itself_through_g711() {
        let mut recording = Vec::new();
        let dialled: Vec<Event> = "112233A456B789C*0##D".chars().filter_map(Event::from_digit).collect();
        for &key in &dialled {
            let press = samples(Tone::key(key).unwrap(), 600);
            recording.extend(press.iter().map(|&s| g711::expand(Law::Mu, g711::compress(Law::Mu, s))));
            recording.extend([0; 400]);
        }
        assert_eq!(keys_in(&recording), dialled);
    }

    #[test]
    fn neither_silence_nor_other_tones_nor_noise_are_keys() {
        assert_eq!(keys_in(&samples(Tone::SILENCE, 8000)), []);
        assert_eq!(keys_in(&samples(Tone::MILLIWATT, 8000)), []);
        assert_eq!(keys_in(&samples(Tone::RINGBACK, 8000)), []);
        let mut state = 1u32;
        let noise: Vec<i16> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16 / 4
        })
        .take(80_000)
        .collect();
        assert_eq!(keys_in(&noise), []);
    }
}
