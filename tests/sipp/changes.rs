//! Calls that change while they are up: hold, codec, port and address.

use crate::{End, PACKET, TALK, assert_answered, converse, knock_until_heard, speak};
use trunkline_model::Party;
use trunkline_tests::peers::{Direction, Message, Packet, Phone, Sipp, Speech, Stage, Trunk, wait_for};

/// Returns the directions that session descriptions in received requests or responses ask for, in order. A description
/// without one means `sendrecv` (RFC 4566 §6).
fn directions(messages: &[Message]) -> Vec<&'static str> {
    let received = messages.iter().filter(|message| message.direction == Direction::Received);
    let bodies = received.map(Message::body).filter(|body| body.starts_with("v=0"));
    let direction = |body: &str| {
        let says = |direction: &&str| body.lines().any(|line| line.trim() == format!("a={direction}"));
        ["sendonly", "recvonly", "inactive"].into_iter().find(says).unwrap_or("sendrecv")
    };
    bodies.map(direction).collect()
}

/// Waits until so many requests of the caller that set up or change the session were answered by 200.
pub(crate) fn changes_made(caller: &Sipp, count: usize) {
    wait_for("the changes of the call", || {
        let done =
            caller.received().iter().filter(|m| m.answers(200, "INVITE") || m.answers(200, "UPDATE")).count();
        (done >= count).then_some(())
    });
}

/// While the west holds the east: the east hears what the west plays it, and is not heard.
fn only_the_west_is_heard(west: &mut End<'_>, east: &mut End<'_>) {
    for end in [&*west, &*east] {
        end.phone.forget();
    }
    speak(west, Packet::PCMU, east, Packet::PCMU);
    let expected = west.speech.encoded(Packet::PCMU);
    east.phone.hears(Packet::PCMU, expected.len()).assert_audio(Packet::PCMU, expected, PACKET);
}

#[test]
fn hold_and_resume_reach_the_other_side_with_and_without_a_session_description() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee_is_held.xml").start();
    let caller = stage.calls(&west, "caller_holds.xml", &trunkline).pauses(TALK).start();

    let (mut at_west, mut at_east) = (End::west(&west, &caller), End::east(&east, &callee));
    changes_made(&caller, 2);
    only_the_west_is_heard(&mut at_west, &mut at_east);
    changes_made(&caller, 5);
    assert_eq!(west.phone.heard().packets, [], "the west has heard the east while it held it");
    // The last change is over only when the ACK with the answer has come and the east has been told.
    knock_until_heard(&mut at_west, &mut at_east);
    converse(&mut at_west, &mut at_east);
    let (caller, callee) = (caller.finish(), callee.finish());

    let at_east = directions(&callee);
    assert_eq!(at_east[..3], ["sendrecv", "sendonly", "sendrecv"], "{at_east:?}");
    // RFC 3264 §8.4 reads the old form as a hold; both ways to say it to the next hop are right.
    assert!(["sendonly", "inactive"].contains(&at_east[3]), "{at_east:?}");
    assert_eq!(at_east.last(), Some(&"sendrecv"), "{at_east:?}");
    let at_west = directions(&caller);
    assert_eq!(at_west[..3], ["sendrecv", "recvonly", "sendrecv"], "{at_west:?}");
    assert_ne!(at_west[3], "sendrecv", "{at_west:?}");
    assert_eq!(at_west.last(), Some(&"sendrecv"), "{at_west:?}");
    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn hold_and_resume_by_update_reach_the_other_side() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee_is_held_once.xml").start();
    let caller = stage.calls(&west, "caller_updates.xml", &trunkline).pauses(TALK).start();

    let (mut at_west, mut at_east) = (End::west(&west, &caller), End::east(&east, &callee));
    changes_made(&caller, 2);
    only_the_west_is_heard(&mut at_west, &mut at_east);
    changes_made(&caller, 3);
    assert_eq!(west.phone.heard().packets, [], "the west has heard the east while it held it");
    converse(&mut at_west, &mut at_east);
    let (caller, callee) = (caller.finish(), callee.finish());

    assert_eq!(directions(&callee), ["sendrecv", "sendonly", "sendrecv"]);
    assert_eq!(directions(&caller), ["sendrecv", "recvonly", "sendrecv"]);
    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn a_reinvite_moves_codec_port_and_address_and_the_streams_go_on() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let moved = Phone::at(stage.addresses().media(0));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee_may_be_changed.xml").start();
    let caller = stage
        .calls(&west, "caller_moves.xml", &trunkline)
        .key("moved_ip", moved.address().ip())
        .key("moved_port", moved.address().port())
        .key("moved_formats", "8 101")
        .pauses(TALK)
        .start();
    let (mut at_west, mut at_east) = (End::west(&west, &caller), End::east(&east, &callee));
    converse(&mut at_west, &mut at_east);

    changes_made(&caller, 2);
    at_west.phone = &moved;
    at_west.to = caller.peer_audio(1);
    speak(&mut at_west, Packet::PCMA, &mut at_east, Packet::PCMU);
    let speech_bytes = Speech::CALLEE.encoded(Packet::PCMA).len();
    let after = moved.hears(Packet::PCMA, speech_bytes);
    let all_at_east = east.phone.hears(Packet::PCMU, 2 * speech_bytes);
    let _ = (caller.finish(), callee.finish());

    after.assert_same_sound(Packet::PCMA, Speech::CALLEE.encoded(Packet::PCMU));
    // To the west, the stream that left for the new place is the one that went to the old place.
    let before = west.phone.heard();
    let (last, first) =
        (before.packets.last().expect("audio before"), after.packets.first().expect("audio after"));
    assert_eq!(first.ssrc, last.ssrc);
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    assert!(first.timestamp.wrapping_sub(last.timestamp) < 1 << 31);
    // To the east nothing has happened.
    all_at_east.assert_one_stream();
    let mut second = all_at_east.clone();
    second.packets.drain(..speech_bytes / PACKET);
    second.assert_same_sound(Packet::PCMU, Speech::CALLER.encoded(Packet::PCMA));
    assert_answered(&stage.records(trunkline), Party::Caller);
}
