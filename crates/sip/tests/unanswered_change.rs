//! Changes of a session that get no answer: they neither last for ever nor keep others away.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{EndReason, Event, Failure, Headers, SessionId};
use world::{ALICE, BOB, World, sdp, secs};

fn reinvite(world: &mut World, end: usize, session: SessionId, offer: &'static str) {
    world.act(end, |ua, now| ua.reinvite(now, session, Some(sdp(offer)), Headers::new()).unwrap());
}

fn hang_up(world: &mut World, end: usize, session: SessionId) {
    world.act(end, |ua, now| ua.hangup(now, session, Headers::new()).unwrap());
}

fn drop_finals(world: &mut World, count: usize) {
    let is_final = |status: u16| status >= 200;
    world.net.drop_if(count, move |message| {
        message.status().is_some_and(is_final) && message.cseq().unwrap().method == Method::Invite
    });
}

fn count(world: &World, end: usize, wanted: impl Fn(&Event) -> bool) -> usize {
    world.ends[end].events.iter().filter(|event| wanted(event)).count()
}

/// A call of whose re-INVITE Alice hears 100 and then nothing.
fn call_with_a_hanging_change(seed: u64) -> (World, SessionId, SessionId) {
    let mut world = World::new(seed);
    let (alice, bob) = world.call();
    drop_finals(&mut world, usize::MAX);
    reinvite(&mut world, ALICE, alice, "never answered");
    world.run_for(secs(1));
    assert_eq!(world.ends[ALICE].received_responses(100, Method::Invite), 2);
    (world, alice, bob)
}

#[test]
fn a_reinvite_left_at_100_is_cancelled_and_given_up_and_the_session_goes_on() {
    let mut world = World::new(1);
    let (alice, bob) = world.call();
    // Eleven times a 487 is sent until timer H: all of them are lost.
    drop_finals(&mut world, 11);
    reinvite(&mut world, ALICE, alice, "never answered");
    world.run_for(secs(31));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Cancel), 0);
    world.run_for(secs(2));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Cancel), 1);
    world.run_for(secs(32));
    let given_up = |event: &Event| matches!(event, Event::ChangeFailed { failure: Failure::Timeout, .. });
    assert_eq!(count(&world, ALICE, given_up), 1);
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::ChangeCancelled { .. })), 1);
    assert!(world.ends[ALICE].is_up(alice));

    for (from, session) in [(BOB, bob), (ALICE, alice)] {
        world.ends[ALICE + BOB - from].habit.takes_changes = true;
        reinvite(&mut world, from, session, "after it");
        world.run_for(secs(1));
        assert_eq!(count(&world, from, |event| matches!(event, Event::Changed { .. })), 1, "{from}");
    }
    hang_up(&mut world, ALICE, alice);
    world.assert_nothing_is_left();
}

#[test]
fn our_bye_ends_the_reinvite_that_was_left_at_100() {
    let (mut world, alice, _) = call_with_a_hanging_change(2);
    hang_up(&mut world, ALICE, alice);
    world.assert_nothing_is_left();
}

#[test]
fn the_peers_bye_ends_the_reinvite_that_was_left_at_100() {
    let (mut world, alice, bob) = call_with_a_hanging_change(3);
    hang_up(&mut world, BOB, bob);
    world.run_for(secs(1));
    assert!(matches!(world.ends[ALICE].end_reason(alice), Some(EndReason::Bye(_))));
    world.assert_nothing_is_left();
}

#[test]
fn a_cancelled_reinvite_whose_end_is_lost_is_given_up() {
    let (mut world, alice, _) = call_with_a_hanging_change(4);
    world.act(ALICE, |ua, now| ua.cancel_change(now, alice).unwrap());
    world.run_for(secs(33));
    assert_eq!(count(&world, ALICE, |event| matches!(event, Event::ChangeFailed { .. })), 1);
    hang_up(&mut world, ALICE, alice);
    world.assert_nothing_is_left();
}

#[test]
fn an_update_that_the_owner_leaves_gets_504_before_its_sender_gives_up() {
    let mut world = World::new(5);
    let (alice, bob) = world.call();
    world.act(ALICE, |ua, now| ua.update(now, alice, Some(sdp("hold")), Headers::new()).unwrap());
    world.run_for(secs(31));
    assert_eq!(world.ends[BOB].sent_responses(504, Method::Update), 1);
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::ChangeCancelled { .. })), 1);
    let answered = world.act(BOB, |ua, now| ua.accept_change(now, bob, Headers::new(), Some(sdp("late"))));
    assert!(answered.is_err());
    assert!(world.ends[ALICE].is_up(alice));
    hang_up(&mut world, BOB, bob);
    world.assert_nothing_is_left();
}
