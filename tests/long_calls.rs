//! Session timers and hour-long calls, in the simulated world.

use std::time::Duration;
use trunkline_model::{Reliability, SessionTimerPolicy};
use trunkline_sip::user_agent::Profile;
use trunkline_tests::sim::{CALLEE, CARRIER, End, Pattern, Phone, State, World};

/// A session timer as short as RFC 4028 §4 allows.
const SHORT: Duration = Duration::from_secs(90);

#[test]
fn an_hour_long_call_with_refreshes_stays_up_and_loses_nothing() {
    let mut world = short_timers(1);
    world.talk();
    world.run_for(Duration::from_secs(3600));
    assert!(world.phones[CARRIER].is_up() && world.phones[CALLEE].is_up(), "{}", world.net.ladder());
    for phone in [CARRIER, CALLEE] {
        let stats = world.phones[phone].call().leg.as_ref().unwrap().stats();
        assert!(stats.received >= 179_000, "phone {phone} heard {} packets", stats.received);
        assert_eq!(stats.lost, 0, "phone {phone}");
    }
    world.assert_nothing_left();
    let record = world.records()[0];
    assert!(record.answered_after.is_some() && record.ended_after > Duration::from_secs(3600));
}

#[test]
fn a_call_outlives_the_loss_of_its_first_refresh() {
    for refresher in ["UPDATE", "INVITE"] {
        for seed in 0..4 {
            let mut world = short_timers(10 + seed);
            mute(&mut world);
            world.talk();
            world.run_for(Duration::from_secs(5));
            world.net.drop_next(Pattern::request(refresher), 3);
            world.run_for(Duration::from_secs(600));
            let ladder = world.net.ladder();
            assert!(world.phones[CARRIER].is_up() && world.phones[CALLEE].is_up(), "{refresher}\n{ladder}");
            world.assert_nothing_left();
        }
    }
}

#[test]
fn a_call_whose_carrier_is_gone_ends_when_its_session_expires() {
    for gone in [CARRIER, CALLEE] {
        let mut world = short_timers(20);
        mute(&mut world);
        world.talk();
        world.run_for(Duration::from_secs(5));
        let other = if gone == CARRIER { CALLEE } else { CARRIER };
        let address = world.phones[gone].sip();
        world.net.drop_next(Pattern::default().from(address), u32::MAX);
        world.net.drop_next(Pattern::default().to(address), u32::MAX);
        world.run_for(SHORT * 2);
        assert_eq!(world.phones[other].call().state, State::Over(End::ByPeer), "{}", world.net.ladder());
        assert_eq!(world.records().len(), 1, "the call has its record");
    }
}

#[test]
fn a_callee_that_restarted_makes_the_call_end_at_the_next_refresh() {
    let mut world = short_timers(30);
    mute(&mut world);
    world.talk();
    world.run_for(Duration::from_secs(5));
    world.act(CALLEE, Phone::crash);
    world.run_for(SHORT * 2);
    assert_eq!(world.phones[CARRIER].call().state, State::Over(End::ByPeer), "{}", world.net.ladder());
    world.assert_nothing_left();
}

fn short_timers(seed: u64) -> World {
    let policy = SessionTimerPolicy { expires: SHORT, min: SHORT };
    let profile = Profile {
        advertised: None,
        reliability: Reliability::Supported,
        session_timer: policy,
        follow_source: true,
    };
    World::with(seed, profile, |trunk| trunk.session_timer = policy)
}

fn mute(world: &mut World) {
    for phone in &mut world.phones {
        phone.speaks = false;
    }
}
