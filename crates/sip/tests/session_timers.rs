//! Session timers between two user agents, in both refresher roles (RFC 4028).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use std::time::Duration;

use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{EndReason, Event, Headers, SessionId};
use world::{ALICE, BOB, World, config, sdp, secs};

fn hang_up(world: &mut World, end: usize, session: SessionId) {
    world.act(end, |ua, now| ua.hangup(now, session, Headers::new()).unwrap());
}

fn count(world: &World, end: usize, wanted: impl Fn(&Event) -> bool) -> usize {
    world.ends[end].events.iter().filter(|event| wanted(event)).count()
}

fn with_timer(expires: u64, min: u64) -> trunkline_sip::user_agent::Config {
    let mut config = config(world::address(0));
    config.profile.session_timer.expires = secs(expires);
    config.profile.session_timer.min = secs(min);
    config
}

fn timed_world(seed: u64, alice: (u64, u64), bob: (u64, u64)) -> World {
    let alice = with_timer(alice.0, alice.1);
    let mut config_of_bob = config(world::address(BOB));
    config_of_bob.profile = with_timer(bob.0, bob.1).profile;
    World::with(seed, alice, config_of_bob)
}

#[test]
fn the_caller_refreshes_by_update_although_the_first_refresh_is_lost() {
    let mut world = timed_world(50, (90, 90), (1800, 90));
    let (alice, bob) = world.call();
    world.net.drop_requests(Method::Update, 3);
    world.run_for(secs(600));
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
    let update = world.ends[ALICE].last_request(Method::Update);
    assert_eq!(update.header(Name::SessionExpires), Some("90;refresher=uac"));
    assert!(update.body().is_empty());
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::Change { .. })), 0);
}

#[test]
fn the_callee_refreshes_when_the_caller_cannot() {
    let mut world = timed_world(51, (0, 90), (90, 90));
    let (alice, bob) = world.call();
    let ok = world.ends[BOB].last_sent(|m| m.status() == Some(200));
    assert_eq!(ok.header(Name::SessionExpires), Some("90;refresher=uas"));
    world.run_for(secs(600));
    assert!(world.ends[BOB].sent_requests(Method::Update) >= 10);
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
}

#[test]
fn a_refresher_that_falls_silent_is_hung_up_before_the_interval_is_over() {
    let mut world = timed_world(52, (90, 90), (1800, 90));
    let (_, bob) = world.call();
    world.net.drop_requests(Method::Update, usize::MAX);
    world.run_for(secs(58));
    assert!(world.ends[BOB].is_up(bob));
    world.run_for(secs(3));
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::SessionExpired)));
    let bye = world.ends[BOB].last_request(Method::Bye);
    assert!(bye.header(Name::Reason).unwrap().starts_with("SIP;cause=408"));
}

#[test]
fn an_interval_too_small_is_raised_by_422() {
    let mut world = timed_world(53, (90, 90), (1800, 300));
    let (alice, _) = world.call();
    assert_eq!(world.ends[BOB].sent_responses(422, Method::Invite), 1);
    let invite = world.ends[ALICE].last_request(Method::Invite);
    assert_eq!(invite.header(Name::MinSe), Some("300"));
    assert_eq!(invite.header(Name::SessionExpires), Some("300"));
    assert_eq!(invite.cseq().unwrap().number, 2);
    assert_eq!(count(&world, BOB, |event| matches!(event, Event::Incoming { .. })), 1);
    world.run_for(secs(1000));
    assert!(world.ends[ALICE].is_up(alice));
}

#[test]
fn an_interval_below_the_least_of_a_peer_without_timers_does_not_make_us_refresh_without_pause() {
    for expires in [0, 1, 89] {
        let mut world = timed_world(46, (1800, 90), (1800, 90));
        let invite = format!(
            "INVITE sip:+14255550100@127.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.9:5070;branch=z9hG4bKx\n\
             Max-Forwards: 70\nFrom: <sip:peer@127.0.0.9>;tag=1\nTo: <sip:bob@127.0.0.2>\nCall-ID: short\n\
             CSeq: 1 INVITE\nContact: <sip:127.0.0.9>\nSession-Expires: {expires}\n\
             Content-Type: application/sdp\nContent-Length: 5\n\noffer"
        );
        world.inject(BOB, "127.0.0.9:5070", &invite);
        let bob = world.ends[BOB].incoming().unwrap();
        world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap());
        let ok = world.ends[BOB].last_sent(|m| m.status() == Some(200));
        assert_eq!(ok.header(Name::SessionExpires), Some("1800;refresher=uas"), "{expires}");
        world.run_for(secs(20));
        assert_eq!(world.ends[BOB].sent_requests(Method::Update), 0);
        assert!(!world.ends[BOB].is_over(bob));
    }
}

#[test]
fn a_peer_without_update_is_refreshed_by_invite_with_the_same_description() {
    let mut world = timed_world(54, (90, 90), (1800, 90));
    let alice = world.dial();
    world.run_for(secs(1));
    let invite = world.ends[ALICE].last_request(Method::Invite).clone();
    let ok = format!(
        "SIP/2.0 200 OK\nVia: {via}\nFrom: {from}\nTo: <sip:x@127.0.0.9>;tag=9\nCall-ID: {call_id}\n\
         CSeq: 1 INVITE\nContact: <sip:127.0.0.9>\nAllow: INVITE, ACK, BYE\nSession-Expires: 90;refresher=uac\n\
         Content-Type: application/sdp\nContent-Length: 6\n\nanswer",
        via = invite.header(Name::Via).unwrap(),
        from = invite.header(Name::From).unwrap(),
        call_id = invite.call_id(),
    );
    world.inject(ALICE, "127.0.0.9:5060", &ok);
    assert!(world.ends[ALICE].is_up(alice));
    world.run_for(Duration::from_millis(45_500));
    let refresh = world.ends[ALICE].last_request(Method::Invite);
    assert_eq!(refresh.cseq().unwrap().number, 2);
    assert_eq!(refresh.body(), &sdp("alice offer"));
}

#[test]
fn a_refresh_answered_481_hangs_up() {
    let mut world = timed_world(55, (90, 90), (1800, 90));
    let (alice, bob) = world.call();
    // Bob forgets the call; his BYE never arrives.
    world.net.drop_requests(Method::Bye, usize::MAX);
    hang_up(&mut world, BOB, bob);
    world.run_for(secs(50));
    assert!(matches!(world.ends[ALICE].end_reason(alice), Some(EndReason::DialogGone)));
}

#[test]
fn an_hour_of_refreshes_at_thirty_per_cent_loss_keeps_the_call_up() {
    for seed in 0..20 {
        let mut world = timed_world(5600 + seed, (600, 90), (1800, 90));
        let (alice, bob) = world.call();
        world.net.loss = 30;
        world.run_for(secs(3600));
        assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob), "seed {seed}");
    }
}
