//! What is lost is made good: every message of a call, one at a time, and then at random.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use trunkline_sip::Timer;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{EndReason, Event, Failure, Headers, Reply};
use world::{ALICE, BOB, Habit, World, ms, sdp, secs};

#[test]
fn a_call_is_set_up_and_hung_up_without_any_retransmission() {
    let mut world = World::new(1);
    world.net.delay_max = ms(5);
    let alice = world.dial();
    world.run_for(ms(100));
    let bob = world.ends[BOB].incoming().unwrap();
    world.act(BOB, |ua, now| ua.progress(now, bob, Reply::new(180)).unwrap());
    world.run_for(secs(1));
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap());
    world.run_for(secs(10));
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));

    world.act(ALICE, |ua, now| ua.hangup(now, alice, Headers::new()).unwrap());
    world.run_for(secs(1));

    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Bye(_))));
    assert!(matches!(world.ends[ALICE].end_reason(alice), Some(EndReason::Local)));
    let sent: Vec<String> = world.ends[ALICE].sent.iter().map(|m| m.method().unwrap().to_string()).collect();
    assert_eq!(sent, ["INVITE", "ACK", "BYE"]);
    let sent: Vec<u16> = world.ends[BOB].sent.iter().map(|m| m.status().unwrap()).collect();
    assert_eq!(sent, [100, 180, 200, 200]);
    world.assert_nothing_is_left();
}

#[test]
fn a_lost_ack_makes_the_ok_come_again_and_the_ack_too() {
    let mut world = World::new(2);
    world.net.drop_requests(Method::Ack, 2);
    let (_, bob) = world.call();
    world.run_for(secs(5));
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Invite), 3);
    assert_eq!(world.ends[ALICE].sent_requests(Method::Ack), 3);
    assert!(world.ends[BOB].is_up(bob));
}

#[test]
fn an_ok_without_any_ack_ends_the_call_by_bye() {
    let mut world = World::new(3);
    world.net.drop_requests(Method::Ack, usize::MAX);
    let (alice, bob) = world.call();
    world.run_for(secs(40));
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::AckMissing)));
    assert!(matches!(world.ends[ALICE].end_reason(alice), Some(EndReason::Bye(_))));
    // T1 doubling to T2 within 64·T1: at 0.5, 1.5, 3.5, 7.5, then each 4 s.
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Invite), 11);
    world.assert_nothing_is_left();
}

#[test]
fn a_callee_that_hangs_up_before_the_ack_sends_bye_after_it() {
    let mut world = World::new(4);
    world.net.drop_requests(Method::Ack, 2);
    let (alice, bob) = world.call();
    world.act(BOB, |ua, now| ua.hangup(now, bob, Headers::new()).unwrap());
    assert_eq!(world.ends[BOB].sent_requests(Method::Bye), 0);
    world.run_for(secs(5));
    assert_eq!(world.ends[BOB].sent_requests(Method::Bye), 1);
    assert!(matches!(world.ends[ALICE].end_reason(alice), Some(EndReason::Bye(_))));
    world.assert_nothing_is_left();
}

#[test]
fn a_lost_ok_comes_again() {
    let mut world = World::new(5);
    world.net.drop_responses(200, Method::Invite, 1);
    let (alice, bob) = world.call();
    world.run_for(secs(2));
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Invite), 2);
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
}

#[test]
fn a_lost_invite_is_sent_again_by_timer_a() {
    let mut world = World::new(6);
    world.net.drop_requests(Method::Invite, 2);
    world.call();
    assert_eq!(world.ends[ALICE].sent_requests(Method::Invite), 3);
    assert!(world.ends[ALICE].fired.contains(&Timer::A));
}

#[test]
fn an_invite_that_comes_again_is_absorbed() {
    let mut world = World::new(7);
    world.net.drop_responses(100, Method::Invite, 1);
    world.call();
    let incoming = world.ends[BOB].events.iter().filter(|event| matches!(event, Event::Incoming { .. }));
    assert_eq!(incoming.count(), 1);
    assert_eq!(world.ends[BOB].sent_responses(100, Method::Invite), 2);
}

#[test]
fn a_lost_bye_and_its_lost_answer_are_made_good_by_timer_e() {
    let mut world = World::new(8);
    let (alice, bob) = world.call();
    world.net.drop_requests(Method::Bye, 1);
    world.net.drop_responses(200, Method::Bye, 1);
    world.act(ALICE, |ua, now| ua.hangup(now, alice, Headers::new()).unwrap());
    world.run_for(secs(5));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Bye), 3);
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Bye(_))));
    world.assert_nothing_is_left();
}

#[test]
fn an_invite_into_the_void_fails_by_timer_b() {
    let mut world = World::new(9);
    world.net.loss = 100;
    let alice = world.dial();
    world.run_for(secs(31));
    assert!(!world.ends[ALICE].is_over(alice));
    world.run_for(secs(2));
    assert!(matches!(world.ends[ALICE].failure(alice), Some(Failure::Timeout)));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Invite), 7);
    world.assert_nothing_is_left();
}

#[test]
fn a_lost_rejection_and_its_lost_ack_come_again() {
    let mut world = World::new(10);
    world.net.drop_responses(486, Method::Invite, 1);
    world.net.drop_requests(Method::Ack, 1);
    let alice = world.dial();
    let bob = world.await_incoming();
    world.act(BOB, |ua, now| ua.reject(now, bob, Reply::new(486)).unwrap());
    world.run_for(secs(5));
    assert_eq!(world.ends[ALICE].failure(alice).unwrap().status(), 486);
    assert_eq!(world.ends[BOB].sent_responses(486, Method::Invite), 3);
    assert_eq!(world.ends[ALICE].sent_requests(Method::Ack), 2);
    world.assert_nothing_is_left();
}

#[test]
fn at_thirty_per_cent_loss_both_sides_always_agree_in_the_end() {
    let mut up = 0;
    for seed in 0..200 {
        let mut world = World::new(1000 + seed);
        world.net.loss = 30;
        world.net.delay_max = ms(400);
        world.ends[BOB].habit = Habit {
            rings: seed % 2 == 0,
            rings_with_sdp: seed % 3 == 0,
            answers_after: Some(secs(2)),
            takes_changes: true,
        };
        world.ends[ALICE].habit.takes_changes = true;
        let offer = if seed % 5 == 0 && seed % 3 != 0 { None } else { Some("alice offer") };
        let params = world.params(offer);
        let alice = world.dial_with(params);
        world.run_for(secs(50));
        let bob = world.ends[BOB].incoming();
        let bob_up = bob.is_some_and(|bob| world.ends[BOB].is_up(bob));
        assert_eq!(world.ends[ALICE].is_up(alice), bob_up, "seed {seed}");
        if bob_up {
            up += 1;
            let bob = bob.unwrap();
            // Both change the session at once, and then one hangs up in the middle of it.
            world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("a2")), Headers::new()).unwrap());
            world.act(BOB, |ua, now| ua.reinvite(now, bob, Some(sdp("b2")), Headers::new()).unwrap());
            world.run_for(secs(if seed % 4 == 0 { 1 } else { 90 }));
            let (who, session) = if seed % 2 == 0 { (ALICE, alice) } else { (BOB, bob) };
            if !world.ends[who].is_over(session) {
                world.act(who, |ua, now| ua.hangup(now, session, Headers::new()).unwrap());
            }
            world.run_for(secs(120));
            assert!(world.ends[ALICE].is_over(alice) && world.ends[BOB].is_over(bob), "seed {seed}");
        }
        world.run_for(secs(200));
        world.assert_nothing_is_left();
    }
    assert!(up > 190, "{up} of 200 calls came up");
}
