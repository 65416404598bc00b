//! A call that is answered, and the ways it can end.

use crate::world::{CALLEE, CALLER, NUMBER, World, direction_of, header, rtp_of};
use std::time::Duration;
use trunkline_call::CallEvent;
use trunkline_model::{Party, Q850, Stage};
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{Body, EndReason, Event, Headers};

#[test]
fn a_call_is_placed_answered_talked_and_hung_up() {
    let mut world = World::new();
    let caller = world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(2000);
    let answer = world.sdp(CALLEE, 6000, "0 101", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(100);
    assert_eq!(world.statuses(CALLER), [180, 200]);
    assert_eq!(world.requests(CALLEE, Method::Ack).len(), 1);

    let to_caller_relay = world.relay(CALLER);
    let to_callee_relay = world.relay(CALLEE);
    assert_ne!(to_caller_relay, to_callee_relay);
    world.talk_for(50, &[(CALLER, 4000, to_caller_relay, 0), (CALLEE, 6000, to_callee_relay, 0)]);
    assert_eq!(world.heard(CALLEE, 6000).len(), 50);
    assert_eq!(world.heard(CALLER, 4000).len(), 50);

    world.hang_up(CALLER, caller);
    world.run_ms(100);
    let ended = std::mem::take(&mut world.ends[CALLEE].events);
    assert!(ended.iter().any(|event| matches!(event, Event::Ended { reason: EndReason::Bye(_), .. })));
    let bye = &world.requests(CALLEE, Method::Bye)[0];
    assert_eq!(header(bye, Name::Reason), "Q.850;cause=16");

    let record = world.record();
    assert_eq!((record.from.as_str(), record.to.as_str()), ("+12065550111", NUMBER));
    assert_eq!(record.trunk_in.unwrap().as_str(), "east");
    assert_eq!(record.trunk_out.unwrap().as_str(), "west");
    assert_eq!(record.attempts, 1);
    assert_eq!(record.started_unix_ms, 1_800_000_000_005);
    assert_eq!(record.rang_after, Some(Duration::from_millis(50)));
    assert_eq!(record.answered_after, Some(Duration::from_millis(2050)));
    assert_eq!(record.ended_after, Duration::from_millis(3150));
    let cause = record.cause;
    assert_eq!((cause.sip, cause.q850, cause.ended_by), (200, Q850::NORMAL_CLEARING, Party::Caller));
    assert_eq!((cause.stage, cause.trunk.unwrap().as_str()), (Stage::Answered, "east"));
    let media = record.caller_media.unwrap();
    assert_eq!((media.codec.as_str(), media.packets_received, media.packets_sent), ("PCMU", 50, 50));
    assert_eq!((media.packets_lost, media.packets_refused), (0, 0));
    world.settle();
}

#[test]
fn the_callee_may_hang_up_and_its_cause_goes_to_the_caller() {
    let mut world = World::new();
    let (_, callee) = world.talk();
    let reason = Headers::new().with(Name::Reason, "Q.850;cause=31;text=\"x\"");
    world.with(CALLEE, |ua, now| ua.hangup(now, callee, reason)).unwrap();
    world.run_ms(100);
    let bye = &world.requests(CALLER, Method::Bye)[0];
    assert_eq!(header(bye, Name::Reason), "Q.850;cause=31");
    let cause = world.record().cause;
    assert_eq!((cause.sip, cause.q850, cause.ended_by), (200, Q850(31), Party::Callee));
    assert_eq!(cause.trunk.unwrap().as_str(), "west");
    world.settle();
}

#[test]
fn a_caller_who_gives_up_is_the_end_of_the_callee_s_ringing() {
    let mut world = World::new();
    let caller = world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(1000);
    let reason = Headers::new().with(Name::Reason, "SIP;cause=200;text=\"Call completed elsewhere\"");
    world.with(CALLER, |ua, now| ua.hangup(now, caller, reason)).unwrap();
    world.run_ms(200);
    let cancel = &world.requests(CALLEE, Method::Cancel)[0];
    assert_eq!(header(cancel, Name::Reason), "SIP;cause=200, Q.850;cause=16");
    assert_eq!(world.statuses(CALLER), [180, 487]);
    let cause = world.record().cause;
    assert_eq!((cause.sip, cause.ended_by, cause.stage), (487, Party::Caller, Stage::Ringing));
    world.settle();
}

#[test]
fn a_cancel_before_the_callee_has_said_anything_still_reaches_it() {
    let mut world = World::new();
    world.dead.insert(world.ends[CALLEE].at.ip());
    let caller = world.dial(CALLER);
    world.run_ms(100);
    world.hang_up(CALLER, caller);
    world.run_ms(100);
    assert_eq!(world.record().cause.stage, Stage::Routing);
    world.dead.clear();
    // The INVITE comes again, is answered with 100, and then the CANCEL goes out (RFC 3261 §9.1).
    world.run_ms(2000);
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), 1);
    world.settle();
}

#[test]
fn a_cancel_that_crosses_the_answer_ends_the_answered_call() {
    let mut world = World::new();
    let caller = world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(50);
    world.hang_up(CALLER, caller);
    // Answers while the CANCEL is on the wire.
    world.run_ms(7);
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(300);
    assert_eq!(world.requests(CALLEE, Method::Bye).len(), 1, "answered, so it has to be hung up");
    assert_eq!(world.record().cause.sip, 487);
    world.settle();
}

#[test]
fn nothing_of_one_side_s_signalling_shows_on_the_other() {
    let mut world = World::new();
    world.talk();
    let invite = &world.requests(CALLEE, Method::Invite)[0];
    let text = String::from_utf8(invite.bytes().to_vec()).unwrap();
    for theirs in ["192.0.2.10", "carrier.example"] {
        assert!(!text.contains(theirs), "{theirs} in {text}");
    }
    let caller_id = world.ends[CALLER].received[0].call_id().to_owned();
    assert_ne!(invite.call_id(), caller_id);
    assert_eq!(invite.vias().count(), 1);
    assert_eq!(invite.max_forwards(), Some(69));
    assert_eq!(
        header(invite, Name::From).split(";tag").next().unwrap(),
        "\"Ann\" <sip:+12065550111@198.51.100.1>"
    );
    let ok = world.ends[CALLER].received.iter().find(|message| message.status() == Some(200)).unwrap();
    let text = String::from_utf8(ok.bytes().to_vec()).unwrap();
    assert!(!text.contains("198.51.100"), "{text}");
}

#[test]
fn a_caller_without_an_offer_gets_ours_and_its_answer_is_used() {
    let mut world = World::new();
    let caller = world.dial_with(CALLER, |_| {});
    world.run_ms(50);
    assert!(world.newest_sdp(CALLEE).contains("m=audio"), "the callee is offered audio all the same");
    let callee = world.incoming(CALLEE);
    let answer = world.sdp(CALLEE, 6000, "8", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(20);
    let offer = match world.next(CALLER) {
        Event::Answered { body: Some(Body::Offer(offer)), .. } => String::from_utf8(offer.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(offer.contains("RTP/AVP 8 0"), "what the callee chose comes first: {offer}");
    let answer = world.sdp(CALLER, 4000, "8", "sendrecv");
    world.with(CALLER, |ua, now| ua.ack(now, caller, answer)).unwrap();
    world.run_ms(50);
    let relay = rtp_of(&offer);
    let callee_relay = world.relay(CALLEE);
    world.talk_for(5, &[(CALLER, 4000, relay, 8), (CALLEE, 6000, callee_relay, 8)]);
    assert_eq!(world.heard(CALLEE, 6000).len(), 5);
    assert_eq!(world.heard(CALLER, 4000).len(), 5);
    world.hang_up(CALLEE, callee);
    world.settle();
}

#[test]
fn a_late_answer_that_holds_reaches_the_callee() {
    let mut world = World::new();
    let caller = world.dial_with(CALLER, |_| {});
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(20);
    let answer = world.sdp(CALLER, 4000, "0", "sendonly");
    world.with(CALLER, |ua, now| ua.ack(now, caller, answer)).unwrap();
    world.run_ms(100);
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 2, "it is told by re-INVITE");
    assert_eq!(direction_of(&world.newest_sdp(CALLEE)), "sendonly");
}

#[test]
fn a_call_that_nobody_answers_ends_by_our_clock() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_for(Duration::from_secs(61));
    // RFC 3261 §13.3.1.1: the 180 is repeated each minute.
    assert_eq!(world.statuses(CALLER), [180, 180, 480]);
    let last = world.ends[CALLER].received.last().unwrap();
    assert_eq!(header(last, Name::Reason), "Q.850;cause=19");
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), 1);
    let cause = world.record().cause;
    assert_eq!((cause.sip, cause.q850, cause.ended_by), (480, Q850::NO_ANSWER, Party::Trunkline));
    world.settle();
}

#[test]
fn the_events_of_a_call_come_in_order() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    world.hang_up(CALLER, caller);
    world.run_ms(100);
    let names: Vec<_> = world
        .events
        .iter()
        .map(|event| match event {
            CallEvent::Started { .. } => "started",
            CallEvent::Attempt { .. } => "attempt",
            CallEvent::Ringing { early_media: false, .. } => "ringing",
            CallEvent::Answered { .. } => "answered",
            CallEvent::Ended { .. } => "ended",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["started", "attempt", "ringing", "answered", "ended"]);
}
