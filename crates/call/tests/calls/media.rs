//! Media through a whole call.

use crate::world::{CALLEE, CALLER, STRANGER, Setup, World};
use trunkline_call::{CallEvent, Side};
use trunkline_media::g711::{self, Law};

#[test]
fn each_side_speaks_its_own_law() {
    let mut world = World::new();
    let offer = world.sdp(CALLER, 4000, "0", "sendrecv");
    world.dial_with(CALLER, |params| params.offer = Some(offer));
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let answer = world.sdp(CALLEE, 6000, "8", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(20, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 8)]);
    let heard = world.heard(CALLEE, 6000);
    assert_eq!(heard.len(), 20);
    for (n, (payload_type, _, _, first, length)) in heard.iter().enumerate() {
        let expected = g711::convert(Law::Mu, Law::A, n as u8);
        assert_eq!((*payload_type, *first, *length), (8, expected, 160));
    }
    let steps: Vec<_> = heard.windows(2).map(|pair| (pair[1].1 - pair[0].1, pair[1].2 - pair[0].2)).collect();
    assert!(steps.iter().all(|step| *step == (1, 160)), "numbered without a gap: {steps:?}");
    world.hang_up(CALLEE, callee);
    world.run_ms(50);
    let record = world.record();
    assert_eq!(record.caller_media.unwrap().codec, "PCMU");
    assert_eq!(record.callee_media.unwrap().codec, "PCMA");
    world.settle();
}

#[test]
fn a_callee_offered_both_laws_is_offered_the_caller_s_first() {
    let mut world = World::new();
    let offer = world.sdp(CALLER, 4000, "8 0 101", "sendrecv");
    world.dial_with(CALLER, |params| params.offer = Some(offer));
    world.run_ms(50);
    let seen = world.newest_sdp(CALLEE);
    assert!(seen.contains("RTP/AVP 8 0 101"), "{seen}");
    assert_eq!(seen.matches("telephone-event").count(), 1);
}

#[test]
fn media_of_a_stranger_goes_nowhere_and_moves_nothing() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    world.talk_for(10, &[(STRANGER, 9999, to_caller, 0), (STRANGER, 9999, to_callee, 0)]);
    assert_eq!(world.heard(CALLER, 4000).len() + world.heard(CALLEE, 6000).len(), 0);
    world.talk_for(10, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert_eq!((world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len()), (10, 10));
    assert_eq!(world.heard(STRANGER, 9999).len(), 0, "RTP never goes to who merely sent some");
    world.hang_up(CALLER, caller);
    world.run_ms(50);
    let record = world.record();
    assert_eq!(record.caller_media.unwrap().packets_refused, 10);
    assert_eq!(record.callee_media.unwrap().packets_refused, 10);
}

#[test]
fn behind_nat_the_source_in_the_trunk_s_networks_is_latched() {
    let mut setup = Setup::default();
    setup.caller_trunk.media.latch = vec!["192.0.2.0/24".parse().unwrap()];
    let mut world = World::of(setup);
    world.talk();
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    // The SDP said 4000.
    world.talk_for(5, &[(CALLER, 31_000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    assert!(world.heard(CALLER, 31_000).len() >= 4);
    assert_eq!(world.heard(CALLEE, 6000).len(), 5);
}

#[test]
fn the_first_media_of_each_side_is_an_event() {
    let mut world = World::new();
    world.talk();
    let to_callee = world.relay(CALLEE);
    world.talk_for(3, &[(CALLEE, 6000, to_callee, 0)]);
    let sides: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            CallEvent::MediaStarted { side, .. } => Some(*side),
            _ => None,
        })
        .collect();
    assert_eq!(sides, [Side::Callee]);
}

#[test]
fn the_advertised_address_of_each_trunk_is_what_its_peer_sees() {
    let mut setup = Setup::default();
    setup.caller_trunk.advertised = Some("203.0.113.200".parse().unwrap());
    setup.callee_trunk.advertised = Some("203.0.113.201".parse().unwrap());
    setup.callee_trunk.advertised_port = Some(5999);
    let mut world = World::of(setup);
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    assert!(world.newest_sdp(CALLEE).contains("c=IN IP4 203.0.113.201"));
    let invite = &world.ends[CALLEE].received[0];
    let contact = invite.header(trunkline_sip::header::Name::Contact).unwrap();
    assert!(contact.contains("203.0.113.201:5999"), "{contact}");
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    assert!(world.newest_sdp(CALLER).contains("c=IN IP4 203.0.113.200"));
}
