//! Ringing and early media: 180, 183, several of them, forks, reliable ones.

use crate::world::{CALLEE, CALLER, Setup, World, direction_of, rtp_of};
use std::time::Duration;
use trunkline_call::CallEvent;
use trunkline_model::Reliability;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{Body, Event, SessionId};

/// Dials, and returns the callee's session.
fn ringing(world: &mut World) -> SessionId {
    world.dial(CALLER);
    world.run_ms(50);
    world.incoming(CALLEE)
}

#[test]
fn early_media_is_heard_by_the_caller_and_nothing_goes_back() {
    let mut world = World::new();
    let callee = ringing(&mut world);
    let sdp = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring_with(CALLEE, callee, 183, sdp.clone());
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [183]);
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(10, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!(world.heard(CALLER, 4000).len(), 10);
    assert_eq!(world.heard(CALLEE, 6000).len(), 0);

    world.answer(CALLEE, callee, sdp);
    world.run_ms(50);
    world.talk_for(10, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!(world.heard(CALLEE, 6000).len(), 10);
    assert!(world.events.iter().any(|event| matches!(event, CallEvent::Ringing { early_media: true, .. })));
}

#[test]
fn every_18x_reaches_the_caller_also_a_180_after_a_183() {
    let mut world = World::new();
    let callee = ringing(&mut world);
    let sdp = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring(CALLEE, callee, 182);
    world.ring_with(CALLEE, callee, 183, sdp.clone());
    world.run_ms(50);
    world.ring(CALLEE, callee, 180);
    world.ring_with(CALLEE, callee, 183, sdp);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [182, 183, 180, 183]);
}

#[test]
fn an_announcement_that_only_sends_is_no_hold_for_the_caller() {
    let mut world = World::new();
    let callee = ringing(&mut world);
    let early = world.sdp(CALLEE, 6000, "0", "sendonly");
    world.ring_with(CALLEE, callee, 183, early);
    world.run_ms(50);
    assert_eq!(direction_of(&world.newest_sdp(CALLER)), "sendrecv");
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(100);
    assert_eq!(world.requests(CALLER, Method::Invite).len(), 0, "nothing had to be corrected");
}

#[test]
fn an_answer_with_another_port_and_codec_than_the_183_is_followed() {
    let mut world = World::new();
    let callee = ringing(&mut world);
    let early = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring_with(CALLEE, callee, 183, early);
    world.run_ms(50);
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(3, &[(CALLEE, 6000, to_callee, 0)]);
    let answer = world.sdp(CALLEE, 6100, "8", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6100, to_callee, 8)]);
    let heard = world.heard(CALLEE, 6100);
    assert_eq!(heard.len(), 5);
    assert!(heard.iter().all(|packet| packet.0 == 8), "in the law of the answer");
    assert_eq!(world.heard(CALLER, 4000).len(), 8, "before and after, under one description");
    assert!(world.heard(CALLER, 4000).iter().all(|packet| packet.0 == 0));
}

#[test]
fn the_caller_s_description_is_the_same_in_the_183_and_the_200() {
    let mut world = World::new();
    let callee = ringing(&mut world);
    let early = world.sdp(CALLEE, 6000, "8", "sendrecv");
    world.ring_with(CALLEE, callee, 183, early.clone());
    world.run_ms(50);
    let first = world.newest_sdp(CALLER);
    assert!(first.contains("RTP/AVP 8"), "the law that the callee chose comes first: {first}");
    world.answer(CALLEE, callee, early);
    world.run_ms(50);
    assert_eq!(world.newest_sdp(CALLER), first);
}

#[test]
fn a_reliable_183_is_acknowledged_on_each_side_by_itself() {
    let mut setup = Setup::default();
    setup.end_profile.reliability = Reliability::Supported;
    let mut world = World::of(setup);
    let callee = ringing(&mut world);
    let sdp = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring_with(CALLEE, callee, 183, sdp);
    world.run_ms(100);
    assert_eq!(world.requests(CALLEE, Method::Prack).len(), 1, "ours to the callee");
    let to_caller = world.ends[CALLER].received.iter().find(|message| message.status() == Some(183)).unwrap();
    assert!(to_caller.header(trunkline_sip::header::Name::RSeq).is_some());
    world.with(CALLEE, |ua, now| ua.accept(now, callee, Default::default(), None)).unwrap();
    world.run_ms(100);
    assert_eq!(world.statuses(CALLER), [183, 200]);
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (5, 5));
    world.hang_up(CALLEE, callee);
    world.settle();
}

#[test]
fn a_callee_that_requires_prack_is_reached_by_a_caller_that_has_none() {
    let mut setup = Setup::default();
    setup.caller_trunk.reliability = Reliability::Off;
    setup.end_profile.reliability = Reliability::Required;
    let mut world = World::of(setup);
    let mut profile = world.ends[CALLER].ua.config().profile.clone();
    profile.reliability = Reliability::Off;
    let offer = world.sdp(CALLER, 4000, "0", "sendrecv");
    world.dial_with(CALLER, |params| {
        params.offer = Some(offer);
        params.profile = profile;
    });
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let sdp = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring_with(CALLEE, callee, 183, sdp);
    world.run_ms(100);
    assert_eq!(world.requests(CALLEE, Method::Prack).len(), 1);
    assert_eq!(world.statuses(CALLER), [183]);
    let to_caller = world.ends[CALLER].received.iter().find(|message| message.status() == Some(183)).unwrap();
    assert!(to_caller.header(trunkline_sip::header::Name::RSeq).is_none());
}

#[test]
fn a_caller_that_moves_its_media_before_the_answer_is_followed() {
    let mut setup = Setup::default();
    setup.end_profile.reliability = Reliability::Supported;
    let mut world = World::of(setup);
    let offer = world.sdp(CALLER, 4000, "0", "sendrecv");
    let caller = world.dial_with(CALLER, |params| params.offer = Some(offer));
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let sdp = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring_with(CALLEE, callee, 183, sdp);
    world.run_ms(100);
    let moved = world.sdp(CALLER, 4100, "0", "sendrecv");
    world.with(CALLER, |ua, now| ua.update(now, caller, Some(moved), Default::default())).unwrap();
    world.run_ms(100);
    let to_callee = world.relay(CALLEE);
    world.talk_for(5, &[(CALLEE, 6000, to_callee, 0)]);
    assert_eq!(world.heard(CALLER, 4100).len(), 5);
    assert_eq!(world.requests(CALLEE, Method::Update).len(), 0, "it is no business of the callee");
}

#[test]
fn the_ring_limit_counts_from_the_first_ring() {
    let mut world = World::new();
    let callee = ringing(&mut world);
    world.run_for(Duration::from_secs(30));
    world.ring(CALLEE, callee, 180);
    world.run_for(Duration::from_secs(45));
    assert_eq!(world.statuses(CALLER), [180], "it may ring for 60 s");
    world.run_for(Duration::from_secs(20));
    // RFC 3261 §13.3.1.1: the 180 is repeated each minute.
    assert_eq!(world.statuses(CALLER), [180, 180, 480]);
}

#[test]
fn media_that_can_t_be_used_is_still_ringing() {
    let mut world = World::new();
    let callee = ringing(&mut world);
    world.ring_with(CALLEE, callee, 183, "v=0\r\nnonsense".into());
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [183]);
    let progress = world.next(CALLER);
    assert!(matches!(progress, Event::Progress { body: None, .. }), "{progress:?}");
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    match world.next(CALLER) {
        Event::Answered { body: Some(Body::Answer(sdp)), .. } => {
            assert_eq!(rtp_of(std::str::from_utf8(&sdp).unwrap()).port() % 2, 0);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_forks_the_newest_early_media_is_heard_and_then_the_one_that_answers() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let invite = world.requests(CALLEE, Method::Invite)[0].clone();
    let at = |world: &World, port: u16, formats: &str| world.sdp(CALLEE, port, formats, "sendrecv");
    let (first, second) = (at(&world, 6000, "0"), at(&world, 6100, "8"));
    world.inject_response(CALLEE, &invite, 183, "one", &first);
    world.run_ms(50);
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(5, &[(CALLEE, 6000, to_callee, 0)]);
    assert_eq!(world.heard(CALLER, 4000).len(), 5);

    world.inject_response(CALLEE, &invite, 183, "two", &second);
    world.run_ms(50);
    world.talk_for(5, &[(CALLEE, 6000, to_callee, 0), (CALLEE, 6100, to_callee, 8)]);
    assert_eq!(world.heard(CALLER, 4000).len(), 10, "only the newer one");
    assert_eq!(world.statuses(CALLER), [183, 183]);

    // A source that was left is not followed again within half a second, for its stragglers look the same.
    world.run_ms(500);
    // The first one answers after all, without a second description (RFC 6337 §3.1.1 lets it).
    world.inject_response(CALLEE, &invite, 200, "one", &first);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [183, 183, 200]);
    world.talk_for(
        5,
        &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0), (CALLEE, 6100, to_callee, 8)],
    );
    assert_eq!(world.heard(CALLER, 4000).len(), 15, "only the one that answered");
    assert_eq!(world.heard(CALLEE, 6000).len(), 5);
    assert_eq!(world.heard(CALLEE, 6100).len(), 0);
}

#[test]
fn a_second_answer_of_a_fork_is_hung_up_and_the_call_goes_on() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let invite = world.requests(CALLEE, Method::Invite)[0].clone();
    let sdp = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.inject_response(CALLEE, &invite, 200, "one", &sdp);
    world.inject_response(CALLEE, &invite, 200, "two", &sdp);
    world.run_ms(100);
    let byes = world.requests(CALLEE, Method::Bye);
    assert!(byes.iter().all(|bye| bye.to().unwrap().tag() == Some("two")), "{byes:?}");
    assert!(!byes.is_empty());
    assert_eq!(world.statuses(CALLER), [200]);
    assert_eq!(world.b2bua.counts().calls, 1);
}

#[test]
fn a_fork_that_is_gone_says_nothing_to_the_caller() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let invite = world.requests(CALLEE, Method::Invite)[0].clone();
    world.inject_response(CALLEE, &invite, 180, "one", &Default::default());
    world.inject_response(CALLEE, &invite, 199, "one", &Default::default());
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [180]);
}

#[test]
fn a_caller_without_offer_is_offered_media_in_the_first_reliable_response_and_hears_early_media() {
    for required in [Reliability::Required, Reliability::Supported] {
        let mut setup = Setup::default();
        setup.end_profile.reliability = required;
        let mut world = World::of(setup);
        let caller = world.dial_with(CALLER, |_| {});
        world.run_ms(50);
        let callee = world.incoming(CALLEE);
        let early = world.sdp(CALLEE, 6000, "8", "sendrecv");
        world.ring_with(CALLEE, callee, 183, early.clone());
        world.run_ms(100);
        let (offer, fork) = match world.next(CALLER) {
            Event::Progress { body: Some(Body::Offer(offer)), fork, reliable: true, .. } => (offer, fork),
            other => panic!("{other:?}"),
        };
        let answer = world.sdp(CALLER, 4000, "8", "sendrecv");
        world.with(CALLER, |ua, now| ua.answer_progress(now, caller, fork, answer)).unwrap();
        world.run_ms(100);
        let to_caller = rtp_of(std::str::from_utf8(&offer).unwrap());
        let to_callee = world.relay(CALLEE);
        let both = [(CALLER, 4000, to_caller, 8), (CALLEE, 6000, to_callee, 8)];
        world.talk_for(5, &both);
        assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (5, 0));

        world.with(CALLEE, |ua, now| ua.accept(now, callee, Default::default(), None)).unwrap();
        world.run_ms(100);
        assert_eq!(world.statuses(CALLER), [183, 200]);
        world.talk_for(5, &both);
        assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (10, 5));
        world.hang_up(CALLER, caller);
        world.settle();
    }
}

#[test]
fn an_answer_that_comes_before_the_prack_waits_for_it() {
    let mut setup = Setup::default();
    setup.end_profile.reliability = Reliability::Required;
    let mut world = World::of(setup);
    let caller = world.dial_with(CALLER, |_| {});
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(50);
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(100);
    let (offer, fork) = match world.next(CALLER) {
        Event::Progress { body: Some(Body::Offer(offer)), fork, .. } => (offer, fork),
        other => panic!("{other:?}"),
    };
    assert_eq!(world.statuses(CALLER), [180]);
    let answer = world.sdp(CALLER, 4000, "0", "sendrecv");
    world.with(CALLER, |ua, now| ua.answer_progress(now, caller, fork, answer)).unwrap();
    world.run_ms(100);
    assert_eq!(world.statuses(CALLER), [180, 200]);
    let to_caller = rtp_of(std::str::from_utf8(&offer).unwrap());
    let to_callee = world.relay(CALLEE);
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (5, 5));
    world.hang_up(CALLEE, callee);
    world.settle();
}

#[test]
fn a_callee_that_sends_early_media_only_to_where_rtp_comes_from_gets_some_before_the_answer() {
    let mut world = World::new();
    let caller = world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let early = world.sdp(CALLEE, 6000, "0 101", "sendrecv");
    world.ring_with(CALLEE, callee, 183, early);
    world.run_ms(300);
    assert_eq!(world.kept_alive(CALLEE, 6000), 1);
    assert_eq!(world.heard(CALLEE, 6000), [], "and nothing of the caller");
    world.run_for(Duration::from_secs(31));
    assert_eq!(world.kept_alive(CALLEE, 6000), 3);
    world.hang_up(CALLER, caller);
    world.settle();
}
