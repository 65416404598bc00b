//! Chromium and the carrier, library by library.

use crate::place::{Check, NUMBER, OUTSIDE, Place};
use crate::sound::{find, wav};
use base64::Engine as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use trunkline_tests::peers::{Carrier, Packet, Playing, Speech, decode_ulaw};

/// How alike what was said and what is heard have to be. The law of G.711 and the resamplers of Chromium lie between them,
/// which leave more than 0.7 of the voice and 0.99 of the carrier; another voice is below 0.4.
const LIKENESS_MIN: f64 = 0.6;

#[test]
fn a_browser_with_jssip_calls_out_and_both_hear_each_other() {
    calls_out("jssip");
}

#[test]
fn a_browser_with_sipjs_calls_out_and_both_hear_each_other() {
    calls_out("sipjs");
}

#[test]
fn a_browser_with_jssip_is_called_and_both_hear_each_other() {
    is_called("jssip");
}

#[test]
fn a_browser_with_sipjs_is_called_and_both_hear_each_other() {
    is_called("sipjs");
}

fn calls_out(library: &str) {
    let place = Place::new();
    let callee = place.stage.answers(&place.carrier, "callee.xml").start();
    let mut browser = browse(&place, library, "out");
    browser.says("confirmed");
    let invite = callee.waits_for("INVITE", 0);
    assert!(invite.start().contains(OUTSIDE), "{}", invite.start());
    converse(&place.carrier, callee.peer_audio(0), &mut browser);
    browser.go_on();
    browser.says("pressed");
    browser.go_on();
    browser.passes();
    let _ = callee.finish();
    let digits: Vec<u8> = place.carrier.phone.heard().digits(101).iter().map(|digit| digit.event).collect();
    assert_eq!(digits, [5, 11, 7], "by RFC 4733 and by INFO");
}

fn is_called(library: &str) {
    let place = Place::new();
    place.assign(&[0]);
    let mut browser = browse(&place, library, "in");
    browser.says("ready");
    let caller = place.stage.calls_at(&place.carrier, "caller_waits.xml", place.sip()).dials(NUMBER).start();
    browser.says("confirmed");
    converse(&place.carrier, caller.peer_audio(0), &mut browser);
    browser.go_on();
    browser.passes();
    let _ = caller.finish();
}

/// Has both sides speak, and looks for what each says at the other.
fn converse(carrier: &Carrier, gateway: SocketAddr, browser: &mut Check) {
    let speech = Speech::CALLEE.encoded(Packet::PCMU);
    let mut playing = Playing::new(1);
    for _ in 0..3 {
        carrier.phone.play(&mut playing, gateway, Packet::PCMU, speech, 160);
    }
    let heard: Vec<i16> = carrier.phone.heard().audio(Packet::PCMU).into_iter().map(decode_ulaw).collect();
    let found = find(&wav(&voice()), &heard);
    assert!(found.likeness > LIKENESS_MIN, "the carrier hears something else: {found:?}");
    browser.go_on();
    let recording = base64::engine::general_purpose::STANDARD.decode(browser.tells("heard"));
    let recording = recording.expect("base64");
    let heard: Vec<i16> =
        recording.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let said: Vec<i16> = speech.iter().copied().map(decode_ulaw).collect();
    let found = find(&said, &heard);
    assert!(found.likeness > LIKENESS_MIN, "the browser hears something else: {found:?}");
    // Each hears the other and not itself.
    assert!(find(&wav(&voice()), &heard).likeness < LIKENESS_MIN, "the browser hears itself");
}

fn browse(place: &Place, library: &str, check: &str) -> Check {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/javascript/main.cjs");
    place.drive(&driver, "browser-javascript", &[check, library, &voice().display().to_string()])
}

/// What the browser says. Chromium opens no file whose path leads upwards, and is silent then.
fn voice() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/audio/greeting.wav");
    path.canonicalize().expect("a sound file")
}
