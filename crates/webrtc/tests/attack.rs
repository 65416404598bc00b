//! What strangers send, and what it must not do (CVE-2023-49786, CVE-2025-53399, CVE-2021-26712 and their like).

mod world;

use std::time::Duration;
use trunkline_media::rtp::{self, Packet};
use trunkline_webrtc::{Certificate, Dropped, Error, Event, HubConfig};
use world::{SERVER, World};

const ALICE: &str = "203.0.113.7:50000";
const MALLORY: &str = "192.0.2.66:6666";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A ClientHello that a browser of another world sent.
fn client_hello() -> Vec<u8> {
    let mut world = World::new(99);
    world.caller(ALICE);
    world.run_for(ms(500));
    let is_hello = |datagram: &Vec<u8>| datagram[0] == 22 && datagram[13] == 1;
    let mut seen = world.seen.into_iter().map(|(_, datagram)| datagram);
    seen.find(is_hello).expect("no ClientHello was sent")
}

fn forged_rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let packet =
        Packet { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc, payload: &[0xd5; 170] };
    let mut bytes = rtp::header(&packet).to_vec();
    bytes.extend_from_slice(packet.payload);
    bytes
}

#[test]
fn a_forged_client_hello_of_a_stranger_is_dropped() {
    let hello = client_hello();
    let mut world = World::new(1);
    let alice = world.caller(ALICE);
    // Before its first check, and while it connects: a race that a stranger could win otherwise.
    for _ in 0..50 {
        world.inject(MALLORY, &hello);
        world.run_for(ms(5));
    }
    world.run_for(ms(1000));
    assert_eq!(world.events_of(alice), [Event::Connected]);
    assert_eq!(world.dropped(Dropped::UnknownAddress), 50);
}

#[test]
fn a_forged_client_hello_from_the_browsers_own_address_does_not_end_its_call() {
    let hello = client_hello();
    let mut world = World::new(2);
    let alice = world.caller(ALICE);
    world.run_for(ms(500));
    for index in 0..50 {
        world.inject(ALICE, &hello);
        world.speak(alice, &[index]);
        world.run_for(ms(20));
    }
    world.run_for(ms(5000));
    assert_eq!(world.events_of(alice), [Event::Connected]);
    assert_eq!(world.heard_of(alice).len(), 50);
    assert!(world.browsers[alice].rtc.is_connected());
}

#[test]
fn unreadable_dtls_and_alerts_end_nothing() {
    let mut world = World::new(3);
    let alice = world.caller(ALICE);
    // A fatal alert in the clear, a record that is cut short, one of an epoch that is not there, and none at all.
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    let cut = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0];
    let epoch = [23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    for _ in 0..50 {
        world.run_for(ms(10));
        for datagram in [&alert[..], &cut, &epoch, &[22; 200], &[63]] {
            world.inject(ALICE, datagram);
            world.inject(MALLORY, datagram);
        }
    }
    world.run_for(ms(5000));
    assert_eq!(world.events_of(alice), [Event::Connected]);
    world.speak(alice, b"hello");
    world.run_for(ms(100));
    assert_eq!(world.heard_of(alice), [b"hello"]);
}

#[test]
fn a_check_that_is_not_signed_opens_no_path() {
    let mut world = World::new(4);
    let alice = world.caller(ALICE);
    world.run_for(ms(500));
    let check = world.seen.iter().find(|(_, datagram)| datagram[0] == 0).unwrap().1.clone();
    // Up to the fingerprint, which is signed by nobody.
    for at in 20..check.len() - 8 {
        let mut forged = check.clone();
        forged[at] ^= 1;
        world.inject(MALLORY, &forged);
    }
    assert_eq!(world.dropped(Dropped::UnknownAddress), 0);
    world.inject(MALLORY, &client_hello());
    assert_eq!(world.dropped(Dropped::UnknownAddress), 1, "no forged check has opened a path");
    assert!(world.dropped(Dropped::Forged) > 10);
    assert_eq!(world.events_of(alice), [Event::Connected]);
}

#[test]
fn a_check_that_is_sent_again_from_elsewhere_moves_nothing() {
    let mut world = World::new(10);
    let alice = world.caller(ALICE);
    world.run_for(ms(500));
    for round in 0..10 {
        for (_, datagram) in world.seen.clone() {
            world.inject(MALLORY, &datagram);
        }
        world.say(alice, round, b"for alice");
        world.run_for(ms(1000));
    }
    assert_eq!(world.events_of(alice), [Event::Connected]);
    assert_eq!(world.browsers[alice].got.len(), 10);
}

#[test]
fn injected_rtp_changes_nothing() {
    let mut world = World::new(5);
    let alice = world.caller(ALICE);
    world.run_for(ms(500));
    world.speak(alice, b"one");
    world.run_for(ms(50));
    let genuine = world.seen.last().unwrap().1.clone();
    let ssrc = u32::from_be_bytes(genuine[8..12].try_into().unwrap());

    for sequence in 0..200 {
        for source in [MALLORY, ALICE] {
            // In the browser's own stream, in others, and in the one that stands for probes.
            for ssrc in [ssrc, u32::from(sequence) + 1, 0] {
                world.inject(source, &forged_rtp(ssrc, sequence * 300));
            }
        }
    }
    world.speak(alice, b"two");
    world.run_for(ms(50));

    assert_eq!(world.heard_of(alice), [b"one", b"two"]);
    assert_eq!(world.dropped(Dropped::Unauthentic), 600);
    assert_eq!(world.dropped(Dropped::UnknownAddress), 600);
    assert_eq!(world.events_of(alice), [Event::Connected]);
}

#[test]
fn replayed_rtp_is_heard_once_wherever_it_comes_from() {
    let mut world = World::new(6);
    let alice = world.caller(ALICE);
    world.run_for(ms(500));
    for index in 0..20_u8 {
        world.speak(alice, &[index]);
    }
    world.run_for(ms(50));
    let seen = world.seen.clone();
    for (_, datagram) in seen.iter().filter(|(_, datagram)| datagram[0] == 0x80 || datagram[0] == 0x90) {
        world.inject(ALICE, datagram);
        world.inject(MALLORY, datagram);
    }
    assert_eq!(world.heard_of(alice).len(), 20);
    world.say(alice, 1, b"still you");
    world.run_for(ms(50));
    assert_eq!(world.browsers[alice].got, [(1, b"still you".to_vec())]);
}

#[test]
fn mutated_datagrams_end_nothing_and_panic_nowhere() {
    let mut world = World::new(7);
    let alice = world.caller(ALICE);
    world.run_for(ms(500));
    world.speak(alice, b"hello");
    world.run_for(ms(6000));
    let corpus: Vec<Vec<u8>> = world.seen.iter().map(|(_, datagram)| datagram.clone()).collect();
    assert!(corpus.len() > 8);
    let mut state = 0x9e37_79b9_u32;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    for round in 0..20_000 {
        let mut datagram = corpus[random(corpus.len())].clone();
        for _ in 0..=random(4) {
            match random(4) {
                0 => datagram.truncate(random(datagram.len() + 1)),
                1 => datagram.push(u8::try_from(random(256)).unwrap()),
                _ if datagram.is_empty() => {}
                2 => {
                    let at = random(datagram.len());
                    datagram[at] ^= 1 << random(8);
                }
                _ => {
                    let at = random(datagram.len());
                    datagram[at] = u8::try_from(random(256)).unwrap();
                }
            }
        }
        world.inject(if round % 2 == 0 { ALICE } else { MALLORY }, &datagram);
        if round % 100 == 0 {
            world.run_for(ms(20));
        }
    }
    let heard = world.heard_of(alice).len();
    world.speak(alice, b"still here");
    world.run_for(ms(200));
    assert_eq!(world.heard_of(alice)[heard..], [b"still here"]);
    assert_eq!(world.events_of(alice), [Event::Connected]);
}

#[test]
fn browsers_that_never_come_are_limited_and_those_that_are_there_do_not_count() {
    let certificate = Certificate::generate().unwrap();
    let config = HubConfig { half_open_max: 3, ..HubConfig::new(certificate, vec![SERVER.parse().unwrap()]) };
    let mut world = World::with(8, config);
    for index in 0..3 {
        world.caller(&format!("203.0.113.{index}:50000"));
    }
    world.run_for(ms(1000));
    let waiting: Vec<usize> =
        (10..13).map(|index| world.caller(&format!("203.0.113.{index}:50000"))).collect();
    let transport = world.transport(waiting[0]);
    assert_eq!(world.hub.agree(world.now, 77, &transport), Err(Error::HalfOpen));
    world.hub.close(world.now, waiting[0]);
    assert_eq!(world.hub.agree(world.now, 77, &transport), Ok(()));
    assert_eq!(world.hub.len(), 6);
}

#[test]
fn a_browser_with_another_certificate_than_it_stated_is_refused() {
    let mut world = World::new(9);
    let alice = world.browser(ALICE);
    world.renegotiate_as(alice, |transport| transport.fingerprint.0[0] ^= 1);
    world.run_for(ms(2000));
    assert_eq!(world.events_of(alice), [Event::Failed(trunkline_webrtc::Failure::Dtls)]);
}
