//! One sound looked for in another, by cross-correlation.

use std::path::Path;

/// Samples a second.
const HZ: usize = 8000;

/// Where a sound was found, and how sure that is.
#[derive(Debug)]
pub(crate) struct Found {
    /// The correlation coefficient: 1 for the very same wave at whatever volume.
    pub(crate) likeness: f64,
}

/// Looks for a second of speech, wherever it may be.
pub(crate) fn find(speech: &[i16], heard: &[i16]) -> Found {
    // A quarter of a second in: what comes first may be lost while the path is made. Every other sample will do.
    let wanted: Vec<f64> = speech.iter().skip(HZ / 4).take(HZ).step_by(2).map(|s| f64::from(*s)).collect();
    let energy = |wave: &[f64]| wave.iter().map(|sample| sample * sample).sum::<f64>().sqrt();
    let power = energy(&wanted);
    assert!(power > 0.0, "silence cannot be found");
    let mut best = Found { likeness: 0.0 };
    for phase in 0..2 {
        let heard: Vec<f64> = heard.iter().skip(phase).step_by(2).map(|s| f64::from(*s)).collect();
        for window in heard.windows(wanted.len()) {
            let product: f64 = window.iter().zip(&wanted).map(|(a, b)| a * b).sum();
            let likeness = product / (power * energy(window)).max(f64::MIN_POSITIVE);
            if likeness > best.likeness {
                best = Found { likeness };
            }
        }
    }
    best
}

/// Reads a file of 16-bit samples.
pub(crate) fn wav(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).expect("a sound file");
    let data = bytes.windows(4).position(|word| word == b"data").expect("a sound file with sound");
    let samples = bytes[data + 8..].chunks_exact(2);
    samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[test]
fn a_sound_is_found_in_itself_and_not_in_another() {
    let noise = |mut seed: u32| {
        std::iter::repeat_with(move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as i16 / 4
        })
    };
    let speech: Vec<i16> = noise(1).take(2 * HZ).collect();
    let late: Vec<i16> = std::iter::repeat_n(0, 777).chain(speech.iter().map(|sample| sample / 3)).collect();
    assert!(find(&speech, &late).likeness > 0.99);
    let other: Vec<i16> = noise(2).take(3 * HZ).collect();
    assert!(find(&speech, &other).likeness < 0.2);
}
