//! How calls come up: plainly, with early media, reliably, with a late offer; from either side.

use crate::changes::changes_made;
use crate::{End, PACKET, TALK, assert_answered, assert_heard_both_ways, converse, knock_until_heard, speak};
use trunkline_model::{Party, Stage as CallStage};
use trunkline_tests::peers::{
    Direction, EAST_NUMBER, Packet, Speech, Stage, Trunk, WEST_NUMBER, wait_for_free_ports,
};

#[test]
fn a_call_is_heard_both_ways_until_the_caller_hangs_up() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee.xml").start();
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(TALK).start();

    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let (sent, received) = (caller.finish(), callee.finish());

    let invite = received.iter().find(|message| message.text.starts_with("INVITE")).expect("an INVITE");
    assert!(invite.start().starts_with(&format!("INVITE sip:{EAST_NUMBER}@")), "{}", invite.start());
    // The topology is hidden: nothing of the west's side shows in the east.
    let west_ip = west.address().ip().to_string();
    for message in received.iter().filter(|message| message.direction == Direction::Received) {
        assert!(!message.text.contains(&west_ip), "{}", message.text);
    }
    let east_ip = east.address().ip().to_string();
    for message in sent.iter().filter(|message| message.direction == Direction::Received) {
        assert!(!message.text.contains(&east_ip), "{}", message.text);
    }
    let records = stage.records(trunkline);
    assert_answered(&records, Party::Caller);
    assert_heard_both_ways(&records[0]);
    wait_for_free_ports(stage.addresses().trunkline());
}

#[test]
fn a_call_is_heard_both_ways_until_the_callee_hangs_up() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee_hangs_up.xml").pauses(TALK).start();
    let caller = stage.calls(&west, "caller_waits.xml", &trunkline).start();

    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let _ = (caller.finish(), callee.finish());

    let records = stage.records(trunkline);
    assert_answered(&records, Party::Callee);
    assert_heard_both_ways(&records[0]);
}

#[test]
fn the_east_calls_the_west() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&west, "callee.xml").start();
    let caller = stage.calls(&east, "caller.xml", &trunkline).dials(WEST_NUMBER).pauses(TALK).start();

    converse(&mut End::west(&west, &callee), &mut End::east(&east, &caller));
    let _ = (caller.finish(), callee.finish());

    let records = stage.records(trunkline);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].to, WEST_NUMBER);
    assert_eq!(records[0].trunk_in.as_ref().map(|trunk| trunk.as_str()), Some("east"));
    assert_eq!(records[0].trunk_out.as_ref().map(|trunk| trunk.as_str()), Some("west"));
    let cause = &records[0].cause;
    assert_eq!(
        (cause.sip, cause.ended_by, cause.stage),
        (200, Party::Caller, CallStage::Answered),
        "{cause}"
    );
    assert_heard_both_ways(&records[0]);
}

#[test]
fn early_media_is_heard_before_the_answer_and_goes_on_as_one_stream() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee_early_media.xml").pauses(TALK).start();
    let caller = stage.calls(&west, "caller_early_media.xml", &trunkline).pauses(TALK).start();

    let mut announcement = End::east(&east, &callee);
    announcement.says(Packet::PCMU);
    let expected = Speech::CALLEE.encoded(Packet::PCMU);
    let early = west.phone.hears(Packet::PCMU, expected.len());
    early.assert_audio(Packet::PCMU, expected, PACKET);
    assert!(
        !caller.messages().iter().any(|message| message.answers(200, "INVITE")),
        "the call was answered already"
    );

    let _ = caller.waits_for("SIP/2.0 200", 0);
    let mut at_west = End::west(&west, &caller);
    speak(&mut at_west, Packet::PCMU, &mut announcement, Packet::PCMU);
    let all = west.phone.hears(Packet::PCMU, 2 * expected.len());
    all.assert_one_stream();
    assert_eq!(all.audio(Packet::PCMU), [expected, expected].concat());
    let said = Speech::CALLER.encoded(Packet::PCMU);
    let mut heard = east.phone.hears(Packet::PCMU, PACKET + said.len());
    heard.assert_one_stream();
    // Before the answer there was one silent packet, for carriers that send to where RTP comes from.
    assert_eq!(heard.packets.remove(0).payload, [0xff; PACKET]);
    heard.assert_audio(Packet::PCMU, said, PACKET);
    let _ = (caller.finish(), callee.finish());
    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn provisional_responses_are_acknowledged_on_both_sides() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee_prack.xml").start();
    let caller = stage.calls(&west, "caller_prack.xml", &trunkline).pauses(TALK).start();

    // Until then the caller is not heard: only the callee has early media.
    changes_made(&caller, 1);
    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let (caller, callee) = (caller.finish(), callee.finish());

    let reliable: Vec<u32> = caller
        .iter()
        .filter(|message| message.status().is_some_and(|status| (101..200).contains(&status)))
        .map(|message| {
            assert_eq!(message.header("Require"), Some("100rel"), "{}", message.text);
            message.header("RSeq").and_then(|rseq| rseq.parse().ok()).expect("an RSeq")
        })
        .collect();
    // RFC 3262 §3: each number is one above that of the response before it.
    assert!(reliable.len() >= 2 && reliable.windows(2).all(|pair| pair[1] == pair[0] + 1));
    let acknowledged: Vec<_> = callee
        .iter()
        .filter(|message| message.text.starts_with("PRACK"))
        .filter_map(|message| Some(message.header("RAck")?.split_once(' ')?.0.to_owned()))
        .collect();
    assert_eq!(acknowledged, ["7", "8"]);
    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn an_offer_that_comes_late_is_asked_for_and_answered() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee.xml").start();
    let caller = stage.calls(&west, "caller_delayed_offer.xml", &trunkline).pauses(TALK).start();

    let (mut at_west, mut at_east) = (End::west(&west, &caller), End::east(&east, &callee));
    knock_until_heard(&mut at_west, &mut at_east);
    converse(&mut at_west, &mut at_east);
    let _ = (caller.finish(), callee.finish());

    assert_answered(&stage.records(trunkline), Party::Caller);
}
