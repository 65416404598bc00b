//! A call to baresip, a user agent that is not ours.

use std::time::Duration;
use trunkline_model::{Party, Stage as CallStage};
use trunkline_tests::peers::{Baresip, Packet, Playing, Stage, Trunk, decode_ulaw, wait_for};

/// What the two ends say: a tone each, told apart by pitch.
const WEST_HZ: f64 = 1_000.0;
const EAST_HZ: f64 = 440.0;

const RATE: f64 = 8_000.0;

#[test]
fn a_tone_reaches_baresip_and_its_tone_comes_back() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let speech = stage.folder().join("tone.wav");
    std::fs::write(&speech, wav(&tone(EAST_HZ, 10.0))).expect("a file to play");
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = Baresip::answers(&east, &speech, stage.folder());
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(Duration::from_secs(4)).start();

    let to = caller.peer_audio(0);
    let encoded: Vec<u8> = tone(WEST_HZ, 2.0).into_iter().map(encode_ulaw).collect();
    west.phone.play(&mut Playing::new(1), to, Packet::PCMU, &encoded, 160);
    let heard_at_west = west.phone.hears(Packet::PCMU, 8_000);
    let _ = caller.finish();

    heard_at_west.assert_one_stream();
    let at_west: Vec<i16> = heard_at_west.audio(Packet::PCMU).into_iter().map(decode_ulaw).collect();
    assert_pitch(&at_west, EAST_HZ, WEST_HZ);
    let at_east =
        wait_for("baresip's recording", || Some(callee.heard()).filter(|heard| heard.len() >= 12_000));
    assert_pitch(&at_east, WEST_HZ, EAST_HZ);
    let records = stage.records(trunkline);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].cause.ended_by, records[0].cause.stage), (Party::Caller, CallStage::Answered));
}

/// Asserts that half a second in the middle of what was heard is a pure tone of one pitch, with nothing of the other.
fn assert_pitch(samples: &[i16], hz: f64, other_hz: f64) {
    let loud =
        samples.iter().position(|sample| sample.unsigned_abs() > 4_000).expect("anything that can be heard");
    // After the first tenth of a second: a receiver's buffer settles then.
    let window: Vec<f64> =
        samples[loud..].iter().skip(800).take(4_000).map(|&sample| f64::from(sample)).collect();
    assert_eq!(window.len(), 4_000, "half a second of sound, after {loud} samples");
    let total: f64 = window.iter().map(|sample| sample * sample).sum();
    let share = |hz: f64| power(&window, hz) / total;
    assert!(share(hz) > 0.95, "{:.3} of the power is at {hz} Hz", share(hz));
    assert!(share(other_hz) < 0.01, "{:.3} of the power is at {other_hz} Hz", share(other_hz));
}

/// Returns the power at one frequency, by the formula of Goertzel: all of a pure tone's.
fn power(samples: &[f64], hz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / RATE).cos();
    let (last, before) = samples
        .iter()
        .fold((0.0, 0.0), |(last, before), sample| (sample + coefficient * last - before, last));
    let energy = last * last + before * before - coefficient * last * before;
    2.0 * energy / samples.len() as f64
}

fn tone(hz: f64, secs: f64) -> Vec<i16> {
    let count = (secs * RATE) as u32;
    (0..count).map(|n| ((std::f64::consts::TAU * hz * f64::from(n) / RATE).sin() * 12_000.0) as i16).collect()
}

/// Encodes µ-law by looking for the nearest code: slow, and nothing to get wrong.
fn encode_ulaw(sample: i16) -> u8 {
    (0..=255u8).min_by_key(|&code| i32::from(decode_ulaw(code)).abs_diff(i32::from(sample))).expect("a code")
}

/// Returns a WAV file of 16-bit mono samples at 8 kHz.
fn wav(samples: &[i16]) -> Vec<u8> {
    let length = u32::try_from(samples.len() * 2).expect("a short file");
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + length).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    for half in [1u16, 1] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [8_000u32, 16_000] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [2u16, 16] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(b"data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}
