//! A call to baresip, a user agent that is not ours.

use std::path::Path;
use std::time::Duration;
use trunkline_model::{Party, Stage as CallStage};
use trunkline_tests::peers::{Baresip, Carrier, Packet, Playing, Stage, Trunk, decode_ulaw, wait_for};

const TONE_HZ: f64 = 1_000.0;

const RATE_HZ: f64 = 8_000.0;

#[test]
fn a_tone_comes_back_from_baresip_with_its_pitch_and_level() {
    tone_comes_back("", Baresip::echoes, "PCMU");
}

#[test]
fn a_tone_comes_back_from_baresip_through_opus_with_its_pitch_and_level() {
    tone_comes_back("codecs = [\"OPUS\", \"PCMU\"]", Baresip::echoes_in_opus, "opus");
}

fn tone_comes_back(codecs: &str, echoes: fn(&Carrier, &Path) -> Baresip, codec: &str) {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    // baresip sends its media from another address than its session description says: without this nothing of it is
    // taken, as it should be.
    let to_east = Trunk::to(&east).media(&format!("{codecs}\nlatch = [\"127.0.0.0/8\"]"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), to_east]);
    let _callee = echoes(&east, stage.folder());
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(Duration::from_secs(5)).start();

    let to = caller.peer_audio(0);
    let sent = tone(TONE_HZ, 3.0);
    let encoded: Vec<u8> = sent.iter().map(|&sample| encode_ulaw(sample)).collect();
    west.phone.play(&mut Playing::new(1), to, Packet::PCMU, &encoded, 160);
    let heard = wait_for("the tone to come back", || {
        let heard = west.phone.heard();
        (samples(&heard.audio(Packet::PCMU)).len() >= 16_000).then_some(heard)
    });
    let _ = caller.finish();

    heard.assert_one_stream();
    assert_tone(&samples(&heard.audio(Packet::PCMU)), &sent);
    let records = stage.records(trunkline);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].cause.ended_by, records[0].cause.stage), (Party::Caller, CallStage::Answered));
    let media = records[0].callee_media.as_ref().expect("figures of the media");
    assert_eq!(media.codec, codec);
    assert!(media.packets_received >= 100 && media.packets_sent >= 150, "{media:?}");
}

fn samples(audio: &[u8]) -> Vec<i16> {
    audio.iter().map(|&code| decode_ulaw(code)).collect()
}

/// Asserts that half a second of what was heard is the tone that was sent, and nothing else, at the same level.
fn assert_tone(heard: &[i16], sent: &[i16]) {
    let loud =
        heard.iter().position(|sample| sample.unsigned_abs() > 4_000).expect("anything that can be heard");
    // After a fifth of a second: a receiver's buffer settles then.
    let window: Vec<f64> =
        heard[loud..].iter().skip(1_600).take(4_000).map(|&sample| f64::from(sample)).collect();
    assert_eq!(window.len(), 4_000, "half a second of sound, after {loud} samples");
    let energy = |samples: &[f64]| samples.iter().map(|sample| sample * sample).sum::<f64>();
    let share = power(&window, TONE_HZ) / energy(&window);
    assert!(share > 0.95, "{share:.3} of the power is at {TONE_HZ} Hz");
    let sent: Vec<f64> = sent[..4_000].iter().map(|&sample| f64::from(sample)).collect();
    let level_db = 10.0 * (energy(&window) / energy(&sent)).log10();
    assert!(level_db.abs() < 0.5, "the level changed by {level_db:.2} dB");
}

/// Returns the power at one frequency, by the formula of Goertzel: all of a pure tone's.
fn power(samples: &[f64], hz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / RATE_HZ).cos();
    let (last, before) = samples
        .iter()
        .fold((0.0, 0.0), |(last, before), sample| (sample + coefficient * last - before, last));
    let energy = last * last + before * before - coefficient * last * before;
    2.0 * energy / samples.len() as f64
}

fn tone(hz: f64, secs: f64) -> Vec<i16> {
    let count = (secs * RATE_HZ) as u32;
    (0..count)
        .map(|n| ((std::f64::consts::TAU * hz * f64::from(n) / RATE_HZ).sin() * 12_000.0) as i16)
        .collect()
}

/// Encodes µ-law by looking for the nearest code: slow, and nothing to get wrong.
fn encode_ulaw(sample: i16) -> u8 {
    (0..=255u8).min_by_key(|&code| i32::from(decode_ulaw(code)).abs_diff(i32::from(sample))).expect("a code")
}
