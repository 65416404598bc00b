//! What happens to sound and digits between two carriers that want different things.

use crate::{End, PACKET, TALK, assert_answered, speak};
use trunkline_model::Party;
use trunkline_tests::peers::{Digit, Packet, Speech, Stage, Trunk, wait_for};

/// 1 5 0 * # 5 5: a digit twice in a row is two digits.
const DIGITS: [u8; 7] = [1, 5, 0, 10, 11, 5, 5];

#[test]
fn speech_is_converted_between_the_laws() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east).media("codecs = [\"PCMA\"]")]);
    let callee = stage.answers(&east, "callee.xml").key("formats", "8 101").start();
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(TALK).start();

    let (mut at_west, mut at_east) = (End::west(&west, &caller), End::east(&east, &callee));
    speak(&mut at_west, Packet::PCMU, &mut at_east, Packet::PCMA);
    let bytes = Speech::CALLER.encoded(Packet::PCMU).len();
    west.phone
        .hears(Packet::PCMU, bytes)
        .assert_same_sound(Packet::PCMU, Speech::CALLEE.encoded(Packet::PCMA));
    east.phone
        .hears(Packet::PCMA, bytes)
        .assert_same_sound(Packet::PCMA, Speech::CALLER.encoded(Packet::PCMU));
    let _ = (caller.finish(), callee.finish());

    let records = stage.records(trunkline);
    assert_answered(&records, Party::Caller);
    assert_eq!(records[0].caller_media.as_ref().map(|media| media.codec.as_str()), Some("PCMU"));
    assert_eq!(records[0].callee_media.as_ref().map(|media| media.codec.as_str()), Some("PCMA"));
}

#[test]
fn digits_cross_the_laws_once_each_and_in_order() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east).media("codecs = [\"PCMA\"]")]);
    let callee = stage.answers(&east, "callee.xml").key("formats", "8 101").start();
    // Its own number for telephone-event: the payload types of two legs have nothing to do with each other.
    let caller = stage
        .calls(&west, "caller.xml", &trunkline)
        .key("formats", "0 96")
        .key("dtmf", 96)
        .pauses(2 * TALK)
        .start();

    let (mut at_west, mut at_east) = (End::west(&west, &caller), End::east(&east, &callee));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            at_west.says(Packet::PCMU);
            at_west.phone.press(&mut at_west.playing, at_west.to, 96, &DIGITS);
            at_west.says(Packet::PCMU);
        });
        scope.spawn(|| {
            at_east.says(Packet::PCMA);
            at_east.phone.press(&mut at_east.playing, at_east.to, 101, &DIGITS);
            at_east.says(Packet::PCMA);
        });
    });
    let bytes = Speech::CALLER.encoded(Packet::PCMU).len();
    let sent_to_west = [Speech::CALLEE.encoded(Packet::PCMA); 2].concat();
    let sent_to_east = [Speech::CALLER.encoded(Packet::PCMU); 2].concat();
    for (phone, codec, events, sent) in
        [(&west.phone, Packet::PCMU, 96, sent_to_west), (&east.phone, Packet::PCMA, 101, sent_to_east)]
    {
        let heard = wait_for("all digits and all speech", || {
            let heard = phone.heard();
            (heard.audio(codec).len() >= 2 * bytes && heard.digits(events).len() >= DIGITS.len())
                .then_some(heard)
        });
        heard.assert_same_sound(codec, &sent);
        let expected = DIGITS.map(|event| Digit { event, duration: 800, ended: true });
        assert_eq!(heard.digits(events), expected);
    }
    let _ = (caller.finish(), callee.finish());
    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn packets_are_cut_to_the_time_that_each_side_wants() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east).media("ptime_ms = 30")]);
    let callee = stage.answers(&east, "callee.xml").key("ptime", 30).start();
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(TALK).start();

    let (mut at_west, mut at_east) = (End::west(&west, &caller), End::east(&east, &callee));
    std::thread::scope(|scope| {
        scope.spawn(|| at_west.says(Packet::PCMU));
        scope.spawn(|| {
            let speech = at_east.speech.encoded(Packet::PCMU);
            at_east.phone.play(&mut at_east.playing, at_east.to, Packet::PCMU, speech, 240);
        });
    });
    let bytes = Speech::CALLER.encoded(Packet::PCMU).len();
    west.phone.hears(Packet::PCMU, bytes).assert_audio(
        Packet::PCMU,
        Speech::CALLEE.encoded(Packet::PCMU),
        PACKET,
    );
    east.phone.hears(Packet::PCMU, bytes).assert_audio(
        Packet::PCMU,
        Speech::CALLER.encoded(Packet::PCMU),
        240,
    );
    let _ = (caller.finish(), callee.finish());
    assert_answered(&stage.records(trunkline), Party::Caller);
}
