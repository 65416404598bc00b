//! INVITE sessions between two user agents: cancelling, offers and answers, PRACK, UPDATE, glare.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use trunkline_model::Reliability;
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{
    Body, ChangeKind, EndReason, Event, Failure, Headers, Profile, Reply, SessionId,
};
use trunkline_sip::{Error, Timer};
use world::{ALICE, BOB, Habit, World, config, ms, profile_without_timers, sdp, secs};

fn hang_up(world: &mut World, end: usize, session: SessionId) {
    world.act(end, |ua, now| ua.hangup(now, session, Headers::new()).unwrap());
}

fn count(world: &World, end: usize, wanted: impl Fn(&Event) -> bool) -> usize {
    world.ends[end].events.iter().filter(|event| wanted(event)).count()
}

fn body_of_answer(world: &World) -> Option<Body> {
    world.ends[ALICE].events.iter().find_map(|event| match event {
        Event::Answered { body, .. } => body.clone(),
        _ => None,
    })
}

#[test]
fn events_show_neither_numbers_nor_descriptions_in_logs() {
    let mut world = World::new(8);
    world.ends[BOB].habit = Habit { rings_with_sdp: true, takes_changes: true, ..Habit::default() };
    let (alice, _) = world.call();
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("alice offer")), Headers::new()).unwrap());
    world.run_for(secs(1));
    hang_up(&mut world, ALICE, alice);
    world.run_for(secs(1));
    for event in world.ends.iter().flat_map(|end| &end.events) {
        let shown = format!("{event:?}");
        for hidden in ["425555", "offer\"", "answer\"", "early", "description"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
    assert!(world.ends[BOB].events.len() >= 4);
}

// Cancelling (RFC 3261 §9).

#[test]
fn a_ringing_call_is_cancelled_with_487() {
    let mut world = World::new(1);
    world.ends[BOB].habit.rings = true;
    let alice = world.dial();
    let bob = world.await_incoming();
    hang_up(&mut world, ALICE, alice);
    world.run_for(secs(1));
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Cancel(_))));
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Cancel), 1);
    assert_eq!(world.ends[BOB].sent_responses(487, Method::Invite), 1);
    assert_eq!(world.ends[ALICE].sent_requests(Method::Ack), 1);
    world.assert_nothing_is_left();
}

#[test]
fn a_cancel_shares_branch_and_cseq_with_its_invite() {
    let mut world = World::new(2);
    let alice = world.dial();
    world.await_incoming();
    hang_up(&mut world, ALICE, alice);
    let invite = world.ends[ALICE].last_request(Method::Invite);
    let cancel = world.ends[ALICE].last_request(Method::Cancel);
    assert_eq!(cancel.header(Name::Via), invite.header(Name::Via));
    assert_eq!(cancel.uri_text(), invite.uri_text());
    assert_eq!(cancel.cseq().unwrap().number, invite.cseq().unwrap().number);
    assert_eq!(cancel.to().unwrap().tag(), None);
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let mut world = World::new(3);
    world.net.drop_responses(100, Method::Invite, 1);
    let alice = world.dial();
    world.run_for(ms(100));
    hang_up(&mut world, ALICE, alice);
    assert!(world.ends[ALICE].is_over(alice), "the owner need not wait");
    world.run_for(ms(100));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Cancel), 0);
    world.run_for(secs(2));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Cancel), 1);
    let bob = world.ends[BOB].incoming().unwrap();
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Cancel(_))));
    world.assert_nothing_is_left();
}

#[test]
fn a_cancel_that_crosses_200_becomes_ack_and_bye() {
    let mut world = World::new(4);
    let alice = world.dial();
    let bob = world.await_incoming();
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap());
    hang_up(&mut world, ALICE, alice);
    world.run_for(secs(2));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Cancel), 1);
    assert_eq!(world.ends[ALICE].sent_requests(Method::Ack), 1);
    assert_eq!(world.ends[ALICE].sent_requests(Method::Bye), 1);
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Bye(_))));
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::Answered { .. })), 0);
    world.assert_nothing_is_left();
}

#[test]
fn a_cancelled_invite_that_is_never_answered_is_given_up() {
    let mut world = World::new(5);
    let alice = world.dial();
    world.await_incoming();
    world.net.loss = 100;
    hang_up(&mut world, ALICE, alice);
    world.run_for(secs(33));
    assert_eq!(world.ends[ALICE].ua.counts().sessions, 0);
}

#[test]
fn an_endless_ring_is_cancelled_by_timer_c() {
    let mut world = World::new(6);
    world.ends[BOB].habit.rings = true;
    let alice = world.dial();
    world.await_incoming();
    // A callee that is still there says so each minute.
    world.net.drop_responses(180, Method::Invite, usize::MAX);
    world.run_for(secs(210));
    assert!(matches!(world.ends[ALICE].failure(alice), Some(Failure::Timeout)));
    assert!(world.ends[ALICE].fired.contains(&Timer::C));
    assert_eq!(world.ends[BOB].sent_responses(487, Method::Invite), 1);
    world.assert_nothing_is_left();
}

#[test]
fn a_call_that_nobody_answers_or_cancels_is_rejected_in_the_end() {
    let mut world = World::new(7);
    let alice = world.dial();
    let bob = world.await_incoming();
    world.net.loss = 100;
    world.run_for(secs(700));
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Rejected(480))));
    assert!(world.ends[ALICE].is_over(alice));
    world.assert_nothing_is_left();
}

// Offers and answers.

#[test]
fn a_delayed_offer_comes_in_200_and_its_answer_in_ack() {
    let mut world = World::new(10);
    let params = world.params(None);
    let alice = world.dial_with(params);
    let bob = world.await_incoming();
    let offered = count(&world, BOB, |event| matches!(event, Event::Incoming { offer: None, .. }));
    assert_eq!(offered, 1);
    assert_eq!(
        world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), None)),
        Err(Error::WrongState("2xx needs an offer"))
    );
    world.net.drop_requests(Method::Ack, 1);
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("bob offer"))).unwrap());
    world.run_for(secs(3));
    assert_eq!(body_of_answer(&world), Some(Body::Offer(sdp("bob offer"))));
    assert_eq!(
        count(&world, BOB, |event| {
            matches!(event, Event::Acked { answer: Some(answer), .. } if *answer == sdp("description 1"))
        }),
        1
    );
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
}

#[test]
fn a_200_without_an_answer_is_acknowledged_and_hung_up() {
    let mut world = World::new(11);
    let alice = world.dial();
    world.run_for(secs(1));
    let invite = world.ends[ALICE].last_request(Method::Invite).clone();
    let via = invite.header(Name::Via).unwrap();
    let from = invite.header(Name::From).unwrap();
    let call_id = invite.call_id();
    let ok = format!(
        "SIP/2.0 200 OK\nVia: {via}\nFrom: {from}\nTo: <sip:x@127.0.0.2>;tag=9\nCall-ID: {call_id}\n\
         CSeq: 1 INVITE\nContact: <sip:127.0.0.9>\nContent-Length: 0\n\n"
    );
    world.inject(ALICE, "127.0.0.9:5060", &ok);
    assert!(matches!(world.ends[ALICE].failure(alice), Some(Failure::PeerMisbehaved(_))));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Ack), 1);
    assert_eq!(world.ends[ALICE].sent_requests(Method::Bye), 1);
}

#[test]
fn an_unreliable_183_previews_the_answer_and_200_repeats_it() {
    let mut world = World::new(12);
    let mut params = world.params(Some("offer"));
    params.profile.reliability = Reliability::Off;
    let alice = world.dial_with(params);
    world.ends[BOB].habit = Habit { rings_with_sdp: true, ..Habit::default() };
    let bob = world.await_incoming();
    assert_eq!(
        count(&world, ALICE, |event| matches!(
            event,
            Event::Progress { body: Some(Body::Answer(_)), reliable: false, .. }
        )),
        1
    );
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), None).unwrap());
    world.run_for(secs(1));
    assert_eq!(body_of_answer(&world), Some(Body::Answer(sdp("bob early"))));
    assert!(world.ends[ALICE].is_up(alice));
}

// Provisional responses.

#[test]
fn the_first_provisional_response_tells_that_somebody_is_there() {
    let mut world = World::new(15);
    let alice = world.dial();
    world.run_for(ms(100));
    let trying = |event: &Event| matches!(event, Event::Trying { session } if *session == alice);
    assert_eq!(count(&world, ALICE, trying), 1, "100 is enough");
    let bob = world.ends[BOB].incoming().unwrap();
    world.act(BOB, |ua, now| ua.progress(now, bob, Reply::new(180)).unwrap());
    world.run_for(ms(100));
    assert_eq!(count(&world, ALICE, trying), 1);
    assert_eq!(world.ends[ALICE].events.len(), 2, "and the 180 is told as always");
}

#[test]
fn a_callee_that_rings_for_long_says_so_each_minute() {
    let mut world = World::new(16);
    world.dial();
    let bob = world.await_incoming();
    let reply = Reply::new(183).with_sdp(sdp("preview"));
    let mut profile = profile_without_timers();
    profile.reliability = Reliability::Off;
    world.act(BOB, |ua, now| ua.adopt(now, bob, profile).unwrap());
    world.act(BOB, |ua, now| ua.progress(now, bob, reply).unwrap());
    world.run_for(secs(119));
    assert_eq!(world.ends[BOB].sent_responses(183, Method::Invite), 2);
    // A newer one takes its place, and its time.
    world.act(BOB, |ua, now| ua.progress(now, bob, Reply::new(180)).unwrap());
    world.run_for(secs(59));
    assert_eq!(world.ends[BOB].sent_responses(180, Method::Invite), 1);
    world.run_for(secs(2));
    assert_eq!(world.ends[BOB].sent_responses(180, Method::Invite), 2);
    assert_eq!(world.ends[BOB].sent_responses(183, Method::Invite), 2);
    world.act(BOB, |ua, now| ua.reject(now, bob, Reply::new(486)).unwrap());
    world.assert_nothing_is_left();
    assert_eq!(world.ends[BOB].sent_responses(180, Method::Invite), 2);
}

#[test]
fn a_reliable_provisional_response_is_repeated_less_often_and_without_its_description() {
    let mut world = World::new(17);
    world.ends[BOB].habit.rings_with_sdp = true;
    world.dial();
    world.run_for(secs(149));
    assert_eq!(world.ends[BOB].sent_responses(183, Method::Invite), 1);
    world.run_for(secs(2));
    assert_eq!(world.ends[BOB].sent_responses(183, Method::Invite), 2);
    let repeated = world.ends[BOB].last_sent(|m| m.status() == Some(183));
    assert!(repeated.body().is_empty(), "the answer has arrived");
}

// Reliable provisional responses (RFC 3262).

#[test]
fn a_183_with_sdp_is_sent_reliably_and_200_waits_for_its_prack() {
    let mut world = World::new(20);
    world.ends[BOB].habit.rings_with_sdp = true;
    world.net.drop_requests(Method::Prack, 2);
    let alice = world.dial();
    world.run_for(ms(100));
    let bob = world.ends[BOB].incoming().unwrap();
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), None).unwrap());
    world.run_for(ms(300));
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Invite), 0);
    world.run_for(secs(5));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Prack), 3);
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Prack), 1);
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Invite), 1);
    assert!(world.ends[BOB].last_sent(|m| m.status() == Some(200)).body().is_empty(), "the answer was given");
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
    hang_up(&mut world, ALICE, alice);
    world.assert_nothing_is_left();
}

#[test]
fn a_lost_reliable_183_comes_again() {
    let mut world = World::new(21);
    world.ends[BOB].habit.rings_with_sdp = true;
    world.net.drop_responses(183, Method::Invite, 2);
    world.dial();
    world.run_for(secs(5));
    assert_eq!(world.ends[BOB].sent_responses(183, Method::Invite), 3);
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::Progress { reliable: true, .. })), 1);
}

#[test]
fn reliable_responses_go_one_at_a_time_and_arrive_in_order() {
    let mut world = World::new(22);
    let mut params = world.params(Some("offer"));
    params.profile.reliability = Reliability::Required;
    world.dial_with(params);
    let bob = world.await_incoming();
    world.net.loss = 40;
    world.net.delay_max = ms(700);
    for status in [180, 181, 182, 183] {
        world.act(BOB, |ua, now| ua.progress(now, bob, Reply::new(status)).unwrap());
    }
    world.run_for(secs(60));
    let seen: Vec<u16> = world.ends[ALICE]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Progress { response, .. } => response.status(),
            _ => None,
        })
        .collect();
    assert_eq!(seen, [180, 181, 182, 183]);
}

#[test]
fn a_reliable_response_without_prack_ends_the_invite_with_504() {
    let mut world = World::new(23);
    world.ends[BOB].habit.rings_with_sdp = true;
    world.net.drop_requests(Method::Prack, usize::MAX);
    let alice = world.dial();
    let bob = world.await_incoming();
    world.run_for(secs(33));
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::PrackMissing)));
    assert_eq!(world.ends[ALICE].failure(alice).unwrap().status(), 504);
    // T1 doubling without a cap: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5.
    assert_eq!(world.ends[BOB].sent_responses(183, Method::Invite), 7);
    world.assert_nothing_is_left();
}

#[test]
fn an_offer_in_a_reliable_183_is_answered_in_prack() {
    let mut world = World::new(24);
    let params = world.params(None);
    let alice = world.dial_with(params);
    let bob = world.await_incoming();
    let reply = Reply::new(183).with_sdp(sdp("bob offer"));
    world.act(BOB, |ua, now| ua.progress(now, bob, reply).unwrap());
    world.run_for(secs(1));
    assert_eq!(
        count(
            &world,
            BOB,
            |event| matches!(event, Event::Prack { answer, .. } if *answer == sdp("description 1"))
        ),
        1
    );
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), None).unwrap());
    world.run_for(secs(1));
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
}

#[test]
fn a_peer_that_requires_100rel_of_one_who_has_it_off_gets_420() {
    let mut bob = config(world::address(BOB));
    bob.profile.reliability = Reliability::Off;
    let mut world = World::with(25, config(world::address(ALICE)), bob);
    let mut params = world.params(Some("offer"));
    params.profile.reliability = Reliability::Required;
    let alice = world.dial_with(params);
    world.run_for(secs(1));
    assert_eq!(world.ends[ALICE].failure(alice).unwrap().status(), 420);
    assert_eq!(
        world.ends[BOB].last_sent(|m| m.status() == Some(420)).header(Name::Unsupported),
        Some("100rel")
    );
    assert!(matches!(world.ends[BOB].events[..], [Event::Refused { status: 420, .. }]));
    world.assert_nothing_is_left();
}

#[test]
fn one_who_requires_100rel_of_a_peer_without_it_says_421() {
    let mut world = World::new(26);
    let mut params = world.params(Some("offer"));
    params.profile.reliability = Reliability::Off;
    let alice = world.dial_with(params);
    let bob = world.await_incoming();
    let profile = Profile { reliability: Reliability::Required, ..Profile::default() };
    world.act(BOB, |ua, now| ua.adopt(now, bob, profile).unwrap());
    world.run_for(secs(1));
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Rejected(421))));
    assert_eq!(world.ends[ALICE].failure(alice).unwrap().status(), 421);
}

// Changes.

#[test]
fn a_reinvite_changes_the_session_in_both_directions() {
    let mut world = World::new(30);
    let (alice, bob) = world.call();
    for (who, session, other) in [(ALICE, alice, BOB), (BOB, bob, ALICE)] {
        world.ends[other].habit.takes_changes = true;
        world.act(who, |ua, now| ua.reinvite(now, session, Some(sdp("hold")), Headers::new()).unwrap());
        world.run_for(secs(1));
        assert_eq!(
            count(&world, other, |event| matches!(
                event,
                Event::Change { kind: ChangeKind::ReInvite, offer: Some(offer), .. } if *offer == sdp("hold")
            )),
            1
        );
        assert_eq!(
            count(&world, who, |event| matches!(event, Event::Changed { body: Some(Body::Answer(_)), .. })),
            1
        );
    }
    hang_up(&mut world, BOB, bob);
    world.assert_nothing_is_left();
}

#[test]
fn a_reinvite_without_an_offer_asks_the_peer_for_it() {
    let mut world = World::new(31);
    let (alice, _) = world.call();
    world.ends[BOB].habit.takes_changes = true;
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, None, Headers::new()).unwrap());
    world.run_for(secs(1));
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::Change { offer: None, .. })), 1);
    assert_eq!(
        count(&world, ALICE, |event| matches!(event, Event::Changed { body: Some(Body::Offer(_)), .. })),
        1
    );
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::Acked { answer: Some(_), .. })), 1);
}

#[test]
fn a_refused_change_leaves_the_session_as_it_was() {
    let mut world = World::new(32);
    let (alice, bob) = world.call();
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("new")), Headers::new()).unwrap());
    world.run_for(ms(100));
    world.act(BOB, |ua, now| ua.reject_change(now, bob, Reply::new(488)).unwrap());
    world.run_for(secs(1));
    assert_eq!(
        count(
            &world,
            ALICE,
            |event| matches!(event, Event::ChangeFailed { failure, .. } if failure.status() == 488)
        ),
        1
    );
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
    world.ends[BOB].habit.takes_changes = true;
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("newer")), Headers::new()).unwrap());
    world.run_for(secs(1));
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::Changed { .. })), 1);
}

#[test]
fn changes_that_cross_meet_491_and_one_goes_through() {
    for seed in 0..50 {
        let mut world = World::new(3300 + seed);
        world.net.delay_max = ms(1);
        let (alice, bob) = world.call();
        world.ends[ALICE].habit.takes_changes = true;
        world.ends[BOB].habit.takes_changes = true;
        world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("a")), Headers::new()).unwrap());
        world.act(BOB, |ua, now| ua.reinvite(now, bob, Some(sdp("b")), Headers::new()).unwrap());
        world.run_for(ms(50));
        assert_eq!(world.ends[ALICE].sent_responses(491, Method::Invite), 1);
        assert_eq!(world.ends[BOB].sent_responses(491, Method::Invite), 1);
        world.run_for(secs(10));
        // Bob, who did not make the Call-ID, waits at most 2 s and goes first; what Alice offered is then out of date.
        assert_eq!(count(&world, BOB, |event| matches!(event, Event::Changed { .. })), 1, "seed {seed}");
        let late = |event: &Event| matches!(event, Event::ChangeFailed { failure: Failure::Superseded, .. });
        assert_eq!(count(&world, ALICE, late), 1, "seed {seed}");
        world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("a2")), Headers::new()).unwrap());
        world.run_for(secs(1));
        assert_eq!(count(&world, ALICE, |event| matches!(event, Event::Changed { .. })), 1);
    }
}

#[test]
fn a_second_change_while_one_waits_for_the_owner_gets_500_with_retry_after() {
    let mut world = World::new(34);
    let (alice, bob) = world.call();
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("first")), Headers::new()).unwrap());
    world.run_for(ms(100));
    let first = world.ends[ALICE].last_request(Method::Invite).clone();
    let second = raw_in_dialog(&first, "INVITE", 9, "sdp two");
    world.inject(BOB, "127.0.0.1:5060", &second);
    let refusal = world.ends[BOB].last_sent(|m| m.status() == Some(500));
    let wait: u32 = refusal.header(Name::RetryAfter).unwrap().parse().unwrap();
    assert!(wait <= 10);
    world.act(BOB, |ua, now| ua.accept_change(now, bob, Headers::new(), Some(sdp("ok"))).unwrap());
    world.run_for(secs(1));
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::Changed { .. })), 1);
}

#[test]
fn a_reinvite_that_its_sender_cancels_gets_487_and_the_owner_is_told() {
    let mut world = World::new(37);
    let (alice, bob) = world.call();
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("new")), Headers::new()).unwrap());
    world.run_for(ms(100));
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::Change { .. })), 1);
    world.act(ALICE, |ua, now| ua.cancel_change(now, alice).unwrap());
    world.run_for(ms(100));
    let told = |event: &Event| matches!(event, Event::ChangeCancelled { session } if *session == bob);
    assert_eq!(count(&world, BOB, told), 1);
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Cancel), 1);
    assert_eq!(world.ends[BOB].sent_responses(487, Method::Invite), 1);
    let failed = |event: &Event| {
        matches!(event, Event::ChangeFailed { failure: Failure::Response(response), .. }
            if response.status() == Some(487))
    };
    assert_eq!(count(&world, ALICE, failed), 1);
    let late = world.act(BOB, |ua, now| ua.accept_change(now, bob, Headers::new(), Some(sdp("late"))));
    assert!(late.is_err(), "there is nothing left to accept");
    // The session stands, and the next change goes through.
    world.ends[BOB].habit.takes_changes = true;
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("newer")), Headers::new()).unwrap());
    world.run_for(secs(1));
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::Changed { .. })), 1);
    hang_up(&mut world, ALICE, alice);
    world.assert_nothing_is_left();
}

#[test]
fn the_cancel_of_a_reinvite_waits_for_a_provisional_response_and_may_come_too_late() {
    let mut world = World::new(38);
    world.ends[BOB].habit.takes_changes = true;
    let (alice, _) = world.call();
    world.net.drop_responses(100, Method::Invite, usize::MAX);
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("new")), Headers::new()).unwrap());
    world.act(ALICE, |ua, now| ua.cancel_change(now, alice).unwrap());
    assert_eq!(world.ends[ALICE].sent_requests(Method::Cancel), 0);
    world.run_for(secs(1));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Cancel), 0);
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::Changed { .. })), 1);
    let again = world.act(ALICE, |ua, now| ua.cancel_change(now, alice));
    assert!(matches!(again, Err(Error::WrongState(_))));
    hang_up(&mut world, ALICE, alice);
    world.assert_nothing_is_left();
}

#[test]
fn a_reinvite_that_waits_for_its_turn_is_taken_back_without_a_word() {
    let mut world = World::new(39);
    world.net.drop_requests(Method::Ack, usize::MAX);
    let alice = world.dial();
    let bob = world.await_incoming();
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap());
    world.act(BOB, |ua, now| ua.reinvite(now, bob, Some(sdp("new")), Headers::new()).unwrap());
    world.act(BOB, |ua, now| ua.cancel_change(now, bob).unwrap());
    assert_eq!(world.ends[BOB].sent_requests(Method::Invite), 0);
    let failed = |event: &Event| matches!(event, Event::ChangeFailed { failure: Failure::Superseded, .. });
    assert_eq!(count(&world, BOB, failed), 1);
    hang_up(&mut world, ALICE, alice);
    world.assert_nothing_is_left();
}

/// Writes a request in the dialog of another one, with another number.
fn raw_in_dialog(like: &trunkline_sip::message::Message, method: &str, number: u32, body: &str) -> String {
    let length = body.len();
    let content = if body.is_empty() { String::new() } else { "Content-Type: application/sdp\n".to_owned() };
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKraw{number}{method}\n\
         Max-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {number} {method}\n\
         Contact: <sip:127.0.0.1>\n{content}Content-Length: {length}\n\n{body}",
        uri = like.uri_text(),
        from = like.header(Name::From).unwrap(),
        to = like.header(Name::To).unwrap(),
        call_id = like.call_id(),
    )
}

#[test]
fn a_bye_that_crosses_a_reinvite_ends_both() {
    for (first, second) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut world = World::new(35);
        let (alice, bob) = world.call();
        let sessions = [alice, bob];
        world.act(first, |ua, now| {
            ua.reinvite(now, sessions[first], Some(sdp("new")), Headers::new()).unwrap();
        });
        hang_up(&mut world, second, sessions[second]);
        world.run_for(secs(5));
        assert!(world.ends[ALICE].is_over(alice) && world.ends[BOB].is_over(bob));
        assert_eq!(world.ends[second].sent_responses(481, Method::Invite), 1);
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_bye_finds_a_reinvite_that_waits_for_its_owner_and_ends_it_with_487() {
    let mut world = World::new(36);
    let (alice, bob) = world.call();
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("new")), Headers::new()).unwrap());
    world.run_for(ms(100));
    hang_up(&mut world, ALICE, alice);
    world.run_for(secs(2));
    assert_eq!(world.ends[BOB].sent_responses(487, Method::Invite), 1);
    assert!(world.ends[BOB].is_over(bob));
    world.assert_nothing_is_left();
}

#[test]
fn byes_that_cross_are_both_answered_with_200() {
    let mut world = World::new(37);
    let (alice, bob) = world.call();
    hang_up(&mut world, ALICE, alice);
    hang_up(&mut world, BOB, bob);
    world.run_for(secs(1));
    assert_eq!(world.ends[ALICE].received_responses(200, Method::Bye), 1);
    assert_eq!(world.ends[BOB].received_responses(200, Method::Bye), 1);
    world.assert_nothing_is_left();
}

#[test]
fn update_changes_an_early_session_once_the_first_answer_is_final() {
    let mut world = World::new(40);
    world.ends[BOB].habit.rings_with_sdp = true;
    world.ends[BOB].habit.takes_changes = true;
    let alice = world.dial();
    assert_eq!(
        world.act(ALICE, |ua, now| ua.update(now, alice, Some(sdp("too soon")), Headers::new())),
        Err(Error::WrongState("there is no dialog yet"))
    );
    let bob = world.await_incoming();
    world.act(ALICE, |ua, now| ua.update(now, alice, Some(sdp("early change")), Headers::new()).unwrap());
    world.run_for(secs(1));
    assert_eq!(
        count(&world, BOB, |event| matches!(event, Event::Change { kind: ChangeKind::Update, .. })),
        1
    );
    assert_eq!(
        count(&world, ALICE, |event| matches!(event, Event::Changed { body: Some(Body::Answer(_)), .. })),
        1
    );
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), None).unwrap());
    world.run_for(secs(1));
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
}

#[test]
fn updates_that_cross_meet_491() {
    let mut world = World::new(41);
    let (alice, bob) = world.call();
    world.ends[ALICE].habit.takes_changes = true;
    world.ends[BOB].habit.takes_changes = true;
    world.act(ALICE, |ua, now| ua.update(now, alice, Some(sdp("a")), Headers::new()).unwrap());
    world.act(BOB, |ua, now| ua.update(now, bob, Some(sdp("b")), Headers::new()).unwrap());
    world.run_for(secs(10));
    assert_eq!(world.ends[ALICE].sent_responses(491, Method::Update), 1);
    assert_eq!(world.ends[BOB].sent_responses(491, Method::Update), 1);
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::Changed { .. })), 1);
}

#[test]
fn a_change_without_any_answer_ends_the_session() {
    let mut world = World::new(42);
    let (alice, _) = world.call();
    world.net.loss = 100;
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("new")), Headers::new()).unwrap());
    world.run_for(secs(40));
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::ChangeFailed { .. })), 1);
    assert!(matches!(world.ends[ALICE].end_reason(alice), Some(EndReason::DialogGone)));
}

#[test]
fn a_change_waits_for_the_ack_of_our_200() {
    let mut world = World::new(44);
    world.ends[ALICE].habit.takes_changes = true;
    world.net.drop_requests(Method::Ack, 2);
    world.dial();
    let bob = world.await_incoming();
    world.act(BOB, |ua, now| {
        ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap();
        ua.reinvite(now, bob, Some(sdp("new")), Headers::new()).unwrap();
    });
    world.run_for(secs(1));
    assert_eq!(world.ends[BOB].sent_requests(Method::Invite), 0);
    world.run_for(secs(5));
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::Changed { .. })), 1);
}
