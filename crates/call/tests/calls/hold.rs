//! Changes of a call that is up: hold and resume from either side, moves, refusals, glare.

use crate::world::{CALLEE, CALLER, Setup, World, direction_of, sdp_at};
use bytes::Bytes;
use std::time::Duration;
use trunkline_media::Direction;
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{Body, Event, Headers, Reply, SessionId};

fn reinvite(world: &mut World, end: usize, session: SessionId, sdp: Option<Bytes>) {
    world.with(end, |ua, now| ua.reinvite(now, session, sdp, Headers::new())).unwrap();
    world.run_ms(30);
}

/// Answers the change that an end has been asked for, and returns what was asked.
fn agree(world: &mut World, end: usize, session: SessionId, port: u16, direction: &str) -> String {
    let asked = loop {
        match world.next(end) {
            Event::Change { offer: Some(offer), .. } => break String::from_utf8(offer.to_vec()).unwrap(),
            Event::Acked { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    let answer = sdp_at(world.ends[end].at.ip(), port, "0", direction, 2);
    world.with(end, |ua, now| ua.accept_change(now, session, Headers::new(), Some(answer))).unwrap();
    world.run_ms(50);
    asked
}

fn answer_of(world: &mut World, end: usize) -> String {
    loop {
        match world.next(end) {
            Event::Changed { body: Some(Body::Answer(answer)), .. } => {
                return String::from_utf8(answer.to_vec()).unwrap();
            }
            Event::ChangeFailed { failure, .. } => panic!("{failure:?}"),
            _ => {}
        }
    }
}

#[test]
fn every_direction_that_one_side_asks_for_reaches_the_other_and_its_answer_comes_back() {
    // RFC 3264 §6.1: what each offer may be answered with.
    let may = |offer: Direction, answer: Direction| {
        (!answer.sends() || offer.receives()) && (!answer.receives() || offer.sends())
    };
    for (asking, asked) in [(CALLER, CALLEE), (CALLEE, CALLER)] {
        for offer in Direction::ALL {
            for answer in Direction::ALL.into_iter().filter(|answer| may(offer, *answer)) {
                if offer == Direction::SendRecv {
                    continue;
                }
                let mut world = World::new();
                let (caller, callee) = world.talk();
                let sessions = [caller, callee];
                let ports = [4000, 6000];
                let sdp = sdp_at(world.ends[asking].at.ip(), ports[asking], "0", offer.as_str(), 2);
                reinvite(&mut world, asking, sessions[asking], Some(sdp));
                let seen = agree(&mut world, asked, sessions[asked], ports[asked], answer.as_str());
                assert_eq!(direction_of(&seen), offer.as_str());
                let came = answer_of(&mut world, asking);
                assert_eq!(direction_of(&came), answer.as_str(), "to {}", offer.as_str());
            }
        }
    }
}

#[test]
fn on_hold_nothing_crosses_and_after_resuming_everything_does() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    let both = [(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)];

    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    agree(&mut world, CALLEE, callee, 6000, "recvonly");
    world.talk_for(5, &both);
    assert_eq!(world.heard(CALLER, 4000).len(), 0);
    assert_eq!(world.heard(CALLEE, 6000).len(), 5, "music on hold");

    let resume = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendrecv", 3);
    reinvite(&mut world, CALLER, caller, Some(resume));
    agree(&mut world, CALLEE, callee, 6000, "sendrecv");
    world.talk_for(5, &both);
    assert_eq!(world.heard(CALLER, 4000).len(), 5);
    assert_eq!(world.heard(CALLEE, 6000).len(), 10);
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn a_hold_by_address_is_a_hold() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let hold = sdp_at("0.0.0.0".parse().unwrap(), 4000, "0", "sendrecv", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    let asked = agree(&mut world, CALLEE, callee, 6000, "recvonly");
    assert_ne!(direction_of(&asked), "sendrecv");
    assert!(!asked.contains("c=IN IP4 0.0.0.0"), "written the way of RFC 3264 to the other side");
}

#[test]
fn resuming_without_a_description_works_too() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    agree(&mut world, CALLEE, callee, 6000, "recvonly");
    world.ends[CALLER].events.clear();

    reinvite(&mut world, CALLER, caller, None);
    let offer = match world.next(CALLER) {
        Event::Changed { body: Some(Body::Offer(offer)), .. } => String::from_utf8(offer.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(direction_of(&offer), "sendrecv", "the callee never held");
    let answer = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendrecv", 3);
    world.with(CALLER, |ua, now| ua.ack(now, caller, answer)).unwrap();
    world.run_ms(50);
    let asked = agree(&mut world, CALLEE, callee, 6000, "sendrecv");
    assert_eq!(direction_of(&asked), "sendrecv");
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (5, 5));
}

#[test]
fn two_holds_end_one_after_the_other() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let at = |world: &World, end: usize, direction: &str, version: u32| {
        sdp_at(world.ends[end].at.ip(), [4000, 6000][end], "0", direction, version)
    };
    let sdp = at(&world, CALLER, "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(sdp));
    agree(&mut world, CALLEE, callee, 6000, "recvonly");
    world.ends[CALLER].events.clear();

    let sdp = at(&world, CALLEE, "sendonly", 3);
    reinvite(&mut world, CALLEE, callee, Some(sdp));
    agree(&mut world, CALLER, caller, 4000, "inactive");
    assert_eq!(direction_of(&answer_of(&mut world, CALLEE)), "inactive");

    let sdp = at(&world, CALLEE, "sendrecv", 4);
    reinvite(&mut world, CALLEE, callee, Some(sdp));
    agree(&mut world, CALLER, caller, 4000, "sendonly");
    assert_eq!(direction_of(&answer_of(&mut world, CALLEE)), "sendonly", "still held by the caller");

    world.ends[CALLER].events.clear();
    let sdp = at(&world, CALLER, "sendrecv", 5);
    reinvite(&mut world, CALLER, caller, Some(sdp));
    agree(&mut world, CALLEE, callee, 6000, "sendrecv");
    assert_eq!(direction_of(&answer_of(&mut world, CALLER)), "sendrecv");
}

#[test]
fn another_port_and_codec_of_one_side_are_no_business_of_the_other() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    let to_callee = world.relay(CALLEE);
    let moved = sdp_at(world.ends[CALLER].at.ip(), 4200, "8", "sendrecv", 2);
    reinvite(&mut world, CALLER, caller, Some(moved));
    let answer = answer_of(&mut world, CALLER);
    assert!(answer.contains("RTP/AVP 8"), "{answer}");
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 1);
    world.talk_for(5, &[(CALLEE, 6000, to_callee, 0)]);
    let heard = world.heard(CALLER, 4200);
    assert_eq!(heard.len(), 5);
    assert!(heard.iter().all(|packet| packet.0 == 8));
}

#[test]
fn an_update_holds_like_a_re_invite() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    world.with(CALLER, |ua, now| ua.update(now, caller, Some(hold), Headers::new())).unwrap();
    world.run_ms(30);
    let asked = agree(&mut world, CALLEE, callee, 6000, "recvonly");
    assert_eq!(direction_of(&asked), "sendonly");
    assert_eq!(direction_of(&answer_of(&mut world, CALLER)), "recvonly");
}

#[test]
fn a_change_that_is_refused_leaves_the_call_as_it_was() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    world.with(CALLEE, |ua, now| ua.reject_change(now, callee, Reply::new(488))).unwrap();
    world.run_ms(50);
    match world.next(CALLER) {
        Event::ChangeFailed { failure, .. } => assert_eq!(failure.status(), 488),
        other => panic!("{other:?}"),
    }
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (5, 5));
    world.hang_up(CALLEE, callee);
    world.settle();
}

#[test]
fn an_offer_that_can_t_be_met_is_refused_with_the_reason_and_nothing_changes() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    let strange = sdp_at(world.ends[CALLER].at.ip(), 4000, "9", "sendrecv", 2);
    reinvite(&mut world, CALLER, caller, Some(strange));
    match world.next(CALLER) {
        Event::ChangeFailed { failure, .. } => assert_eq!(failure.status(), 488),
        other => panic!("{other:?}"),
    }
    let refusal = world.ends[CALLER].received.iter().find(|message| message.status() == Some(488)).unwrap();
    assert!(refusal.header(Name::Warning).unwrap().starts_with("305 "));
    let to_callee = world.relay(CALLEE);
    world.talk_for(3, &[(CALLEE, 6000, to_callee, 0)]);
    assert_eq!(world.heard(CALLER, 4000).len(), 3);
}

#[test]
fn both_sides_hold_in_the_same_moment_and_come_to_agree() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let hold =
        |world: &World, end: usize| sdp_at(world.ends[end].at.ip(), [4000, 6000][end], "0", "sendonly", 2);
    let sdp = [hold(&world, CALLER), hold(&world, CALLEE)];
    world.with(CALLER, |ua, now| ua.reinvite(now, caller, Some(sdp[0].clone()), Headers::new())).unwrap();
    world.with(CALLEE, |ua, now| ua.reinvite(now, callee, Some(sdp[1].clone()), Headers::new())).unwrap();
    let sessions = [caller, callee];
    // Each end takes whatever it is asked; 491 makes the others try again within seconds.
    for _ in 0..800 {
        world.run_ms(20);
        for end in [CALLER, CALLEE] {
            while let Some(event) = world.ends[end].events.pop_front() {
                if let Event::Change { offer: Some(_), .. } = event {
                    let answer = sdp_at(world.ends[end].at.ip(), [4000, 6000][end], "0", "inactive", 3);
                    let accept = |ua: &mut trunkline_sip::UserAgent, now| {
                        ua.accept_change(now, sessions[end], Headers::new(), Some(answer))
                    };
                    let _ = world.with(end, accept);
                }
                assert!(!matches!(event, Event::Ended { .. }), "the call is up");
            }
        }
    }
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (0, 0));
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn hanging_up_while_a_hold_is_under_way_ends_both_sides() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    world.hang_up(CALLER, caller);
    world.run_ms(200);
    assert_eq!(world.requests(CALLEE, Method::Bye).len(), 1);
    assert_eq!(world.record().cause.sip, 200);
    world.settle();
}

#[test]
fn digits_in_info_are_passed_on_and_anything_else_is_not() {
    use trunkline_sip::user_agent::{RequestParams, Scope};
    let mut world = World::new();
    let (caller, _) = world.talk();
    let info = |content: &str| RequestParams {
        method: Method::Info,
        scope: Scope::Session(caller),
        headers: Headers::new(),
        body: Some((content.to_owned(), "Signal=5\r\nDuration=160\r\n".into())),
    };
    world.with(CALLER, |ua, now| ua.request(now, info("application/dtmf-relay"))).unwrap();
    world.run_ms(30);
    let request = match world.next(CALLEE) {
        Event::Request { request, message, .. } => {
            assert_eq!(&message.body()[..], b"Signal=5\r\nDuration=160\r\n");
            request
        }
        other => panic!("{other:?}"),
    };
    world.respond(CALLEE, request, 200);
    world.run_ms(50);
    let result = |event: Event| match event {
        Event::Response { result, .. } => result.unwrap().status().unwrap(),
        other => panic!("{other:?}"),
    };
    let event = world.next(CALLER);
    assert_eq!(result(event), 200);

    world.with(CALLER, |ua, now| ua.request(now, info("application/x-shell"))).unwrap();
    world.run_ms(50);
    let event = world.next(CALLER);
    assert_eq!(result(event), 415);
    assert!(world.ends[CALLEE].events.is_empty());
}

#[test]
fn digits_in_info_are_not_sent_to_a_peer_that_does_not_take_them() {
    use trunkline_sip::user_agent::{RequestParams, Scope};
    let mut world = World::of(Setup { end_methods: vec![], ..Setup::default() });
    let (caller, _) = world.talk();
    let info = RequestParams {
        method: Method::Info,
        scope: Scope::Session(caller),
        headers: Headers::new(),
        body: Some(("application/dtmf-relay".to_owned(), "Signal=5\r\nDuration=160\r\n".into())),
    };
    world.with(CALLER, |ua, now| ua.request(now, info)).unwrap();
    world.run_ms(50);
    assert!(world.requests(CALLEE, Method::Info).is_empty());
    let answer = world.ends[CALLER].received.last().unwrap();
    assert_eq!(answer.status(), Some(405));
    // RFC 3261 §21.4.6: the methods that are taken, here.
    assert!(answer.lists(Name::Allow, "INVITE") && !answer.lists(Name::Allow, "INFO"));
}

#[test]
fn a_hold_that_is_cancelled_is_taken_back_from_the_other_side() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    assert!(matches!(world.next(CALLEE), Event::Change { .. }), "the callee thinks about it");
    world.with(CALLER, |ua, now| ua.cancel_change(now, caller)).unwrap();
    world.run_ms(100);
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), 1);
    assert!(matches!(world.next(CALLEE), Event::ChangeCancelled { .. }));
    match world.next(CALLER) {
        Event::ChangeFailed { failure, .. } => assert_eq!(failure.status(), 487),
        other => panic!("{other:?}"),
    }
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (5, 5));
    // The next hold finds nothing in its way.
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 3);
    reinvite(&mut world, CALLER, caller, Some(hold));
    assert_eq!(direction_of(&agree(&mut world, CALLEE, callee, 6000, "recvonly")), "sendonly");
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn a_hold_that_was_agreed_to_before_its_cancel_came_is_taken_back_by_another_offer() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    assert!(matches!(world.next(CALLEE), Event::Change { .. }));
    // The answer of the callee and the CANCEL of the caller cross in the B2BUA.
    world.with(CALLER, |ua, now| ua.cancel_change(now, caller)).unwrap();
    let answer = sdp_at(world.ends[CALLEE].at.ip(), 6000, "0", "recvonly", 2);
    world.with(CALLEE, |ua, now| ua.accept_change(now, callee, Headers::new(), Some(answer))).unwrap();
    world.run_ms(5);
    assert_eq!(world.statuses(CALLER), [180, 200]);
    world.run_ms(100);
    let asked = agree(&mut world, CALLEE, callee, 6000, "sendrecv");
    assert_eq!(direction_of(&asked), "sendrecv");
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (5, 5));
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn a_hold_by_update_is_answered_in_time_when_the_other_side_is_not() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    world.with(CALLER, |ua, now| ua.update(now, caller, Some(hold), Headers::new())).unwrap();
    // The callee's phone has sent 100 and asks its user.
    world.run_for(Duration::from_secs(31));
    let failed = |event: &Event| match event {
        Event::ChangeFailed { failure, .. } => Some(failure.status()),
        _ => None,
    };
    assert_eq!(world.ends[CALLER].events.iter().find_map(failed), Some(504));
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), 1, "and is no longer asked");
    world.ends[CALLER].events.clear();
    world.ends[CALLEE].events.clear();

    let hold = sdp_at(world.ends[CALLEE].at.ip(), 6000, "0", "sendonly", 2);
    reinvite(&mut world, CALLEE, callee, Some(hold));
    agree(&mut world, CALLER, caller, 4000, "recvonly");
    assert_eq!(direction_of(&answer_of(&mut world, CALLEE)), "recvonly");
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn a_hold_whose_other_side_never_ends_its_silence_fails_and_both_may_change_again() {
    let mut world = World::new();
    let (caller, callee) = world.talk();
    let hold = sdp_at(world.ends[CALLER].at.ip(), 4000, "0", "sendonly", 2);
    reinvite(&mut world, CALLER, caller, Some(hold));
    world.run_ms(500);
    world.dead.insert(world.ends[CALLEE].at.ip());
    world.run_for(Duration::from_secs(70));
    let failed = |event: &Event| match event {
        Event::ChangeFailed { failure, .. } => Some(failure.status()),
        _ => None,
    };
    // The caller's own patience is as long as ours.
    assert_eq!(world.ends[CALLER].events.iter().find_map(failed), Some(487));
    world.dead.clear();
    world.run_for(Duration::from_secs(60));
    world.ends[CALLER].events.clear();
    world.ends[CALLEE].events.clear();
    let hold = sdp_at(world.ends[CALLEE].at.ip(), 6000, "0", "sendonly", 3);
    reinvite(&mut world, CALLEE, callee, Some(hold));
    agree(&mut world, CALLER, caller, 4000, "recvonly");
    assert_eq!(direction_of(&answer_of(&mut world, CALLEE)), "recvonly");
    world.hang_up(CALLEE, callee);
    world.settle();
}
