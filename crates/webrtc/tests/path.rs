//! A browser's path from the first check to the goodbye, on good networks and bad ones.

mod world;

use std::time::Duration;
use trunkline_media::DtlsRole;
use trunkline_webrtc::{CONNECT_MAX, CONSENT_MAX, Dropped, Event, Failure};
use world::{Network, World};

const ALICE: &str = "203.0.113.7:50000";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_browser_that_calls_is_heard_and_hears() {
    let mut world = World::new(1);
    let alice = world.caller(ALICE);
    assert_eq!(world.transport(alice).role, DtlsRole::Server);
    world.run_for(secs(1));
    assert_eq!(world.events_of(alice), [Event::Connected]);
    assert!(world.browsers[alice].connected);

    world.speak(alice, b"hello");
    world.say(alice, 65_535, b"good");
    world.say(alice, 0, b"day");
    world.run_for(ms(100));

    assert_eq!(world.heard_of(alice), [b"hello"]);
    let got = &world.browsers[alice].got;
    assert_eq!(got[..], [(65_535, b"good".to_vec()), (0, b"day".to_vec())]);
}

#[test]
fn a_browser_that_is_called_may_leave_the_handshake_to_us() {
    let mut world = World::new(2);
    let alice = world.callee(ALICE);
    assert_eq!(world.transport(alice).role, DtlsRole::Client, "this one answers our actpass with passive");
    world.run_for(secs(1));
    world.speak(alice, b"hello");
    world.say(alice, 1, b"hi");
    world.run_for(ms(100));
    assert_eq!(world.heard_of(alice), [b"hello"]);
    assert_eq!(world.browsers[alice].got, [(1, b"hi".to_vec())]);
}

#[test]
fn many_browsers_on_one_socket_are_told_apart() {
    let mut world = World::new(3);
    let browsers: Vec<usize> =
        (0..50).map(|index| world.caller(&format!("203.0.113.{index}:50000"))).collect();
    world.run_for(secs(2));
    for &key in &browsers {
        world.speak(key, &[u8::try_from(key).unwrap()]);
    }
    world.run_for(ms(100));
    for &key in &browsers {
        assert_eq!(world.heard_of(key), [[u8::try_from(key).unwrap()]]);
    }
}

#[test]
fn loss_and_reordering_only_delay_the_handshake() {
    for (seed, handshake_losses) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
        let mut world = World::new(seed);
        world.network = Network { handshake_losses, jitter_ms: 60 };
        let (alice, bob) = (world.caller(ALICE), world.callee("203.0.113.8:50000"));
        world.run_for(CONNECT_MAX);
        for key in [alice, bob] {
            assert_eq!(world.events_of(key), [Event::Connected], "seed {seed}");
            assert!(world.browsers[key].connected, "seed {seed}");
        }
    }
}

#[test]
fn a_browser_that_never_comes_fails_by_ice() {
    let mut world = World::new(4);
    let alice = world.caller(ALICE);
    world.browsers[alice].online = false;
    world.run_for(CONNECT_MAX - ms(1));
    assert_eq!(world.events_of(alice), []);
    world.run_for(ms(1));
    assert_eq!(world.events_of(alice), [Event::Failed(Failure::Ice)]);
}

#[test]
fn silence_ends_consent_and_an_ice_restart_brings_it_back() {
    let mut world = World::new(5);
    let alice = world.caller(ALICE);
    world.run_for(secs(1));
    world.browsers[alice].online = false;
    world.run_for(CONSENT_MAX + secs(5));
    assert_eq!(world.events_of(alice), [Event::Connected, Event::Lost]);

    // Its old checks are not enough (RFC 7675 §5.1).
    world.browsers[alice].online = true;
    world.run_for(secs(5));
    let before = world.browsers[alice].got.len();
    world.say(alice, 1, b"nobody");
    world.run_for(ms(100));
    assert_eq!(world.browsers[alice].got.len(), before);

    world.renegotiate(alice, |offer| {
        offer.ice_restart(true);
    });
    world.run_for(secs(5));
    world.say(alice, 2, b"back");
    world.run_for(ms(100));
    assert_eq!(world.browsers[alice].got.last(), Some(&(2, b"back".to_vec())));
}

#[test]
fn a_short_blackout_costs_nothing_but_its_packets() {
    let mut world = World::new(6);
    let alice = world.caller(ALICE);
    world.run_for(secs(1));
    world.browsers[alice].online = false;
    world.run_for(secs(12));
    world.browsers[alice].online = true;
    world.run_for(secs(1));
    world.speak(alice, b"hello");
    world.run_for(ms(100));
    assert_eq!(world.events_of(alice), [Event::Connected]);
    assert_eq!(world.heard_of(alice), [b"hello"]);
}

#[test]
fn a_browser_is_followed_to_another_address() {
    let mut world = World::new(7);
    let alice = world.caller(ALICE);
    world.run_for(secs(1));
    world.move_to(alice, "192.0.2.99:1234");
    world.run_for(secs(6));
    assert_eq!(world.events_of(alice), [Event::Connected, Event::Moved]);
    world.speak(alice, b"hello");
    world.say(alice, 1, b"there you are");
    world.run_for(ms(100));
    assert_eq!(world.heard_of(alice), [b"hello"]);
    assert_eq!(world.browsers[alice].got, [(1, b"there you are".to_vec())]);
}

#[test]
fn media_goes_on_through_an_ice_restart() {
    let mut world = World::new(8);
    let alice = world.caller(ALICE);
    world.run_for(secs(1));
    let before = world.transport(alice);
    world.renegotiate(alice, |offer| {
        offer.ice_restart(true);
    });
    let after = world.transport(alice);
    assert_ne!(before.local, after.local);
    assert_eq!(before.ssrc, after.ssrc);
    world.move_to(alice, "192.0.2.99:1234");
    for index in 0..50 {
        world.speak(alice, &[index]);
        world.say(alice, u16::from(index), &[index]);
        world.run_for(ms(20));
    }
    assert_eq!(world.events_of(alice), [Event::Connected, Event::Moved]);
    let heard = world.heard_of(alice);
    assert!(heard.len() > 40 && heard.last() == Some(&vec![49]), "{heard:?}");
    assert_eq!(world.browsers[alice].got.last().unwrap().1, [49]);
}

#[test]
fn a_browser_that_says_goodbye_is_over() {
    let mut world = World::new(9);
    let alice = world.caller(ALICE);
    world.run_for(secs(1));
    world.browsers[alice].rtc.close().unwrap();
    world.run_for(secs(1));
    world.speak(alice, b"anybody?");
    world.run_for(ms(100));
    assert_eq!(world.events_of(alice), [Event::Connected, Event::Closed]);
    assert_eq!(world.heard_of(alice), [b""; 0]);
}

#[test]
fn a_closed_leg_is_forgotten() {
    let mut world = World::new(10);
    let alice = world.caller(ALICE);
    world.run_for(secs(1));
    world.hub.close(world.now, alice);
    world.drain_hub();
    assert!(world.hub.is_empty());
    world.run_for(ms(100));
    let seen = world.seen.clone();
    for (source, datagram) in &seen {
        world.inject(&source.to_string(), datagram);
    }
    assert!(world.dropped(Dropped::UnknownLeg) > 0, "its checks are for nobody");
    assert!(world.dropped(Dropped::UnknownAddress) > 0, "its handshake neither");
    assert_eq!(world.events_of(alice), [Event::Connected]);
}
