//! Messages lost, crossing and repeated, in the simulated world.

use std::time::Duration;
use trunkline_media::Direction;
use trunkline_model::Party;
use trunkline_tests::sim::{Answering, CALLEE, CARRIER, End, Pattern, Phone, State, Weather, World};

#[test]
fn a_whole_call_leaves_one_record_and_nothing_else() {
    let mut world = World::new(1);
    world.talk();
    world.run_for(secs(10));
    world.act(CARRIER, Phone::hang_up);
    world.run_for(secs(2));

    assert_eq!(world.phones[CALLEE].call().state, State::Over(End::ByPeer));
    let records = world.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].cause.sip, records[0].cause.ended_by), (200, Party::Caller));
    let (heard, said) = (&records[0].caller_media, &records[0].callee_media);
    let (heard, said) = (heard.as_ref().unwrap(), said.as_ref().unwrap());
    assert!(heard.packets_received > 450 && said.packets_received > 450, "{heard:?} {said:?}");
    assert_eq!((heard.packets_lost, said.packets_lost), (0, 0));
    world.assert_nothing_left();
}

#[test]
fn a_lost_ack_makes_the_ok_come_again() {
    let mut world = World::new(2);
    let (carrier, gateway) = (world.phones[CARRIER].sip(), world.sip());
    world.net.drop_next(Pattern::request("ACK").from(carrier), 2);
    world.net.drop_next(Pattern::request("ACK").from(gateway), 2);
    world.talk();
    world.run_for(secs(40));
    assert!(world.phones[CARRIER].is_up() && world.phones[CALLEE].is_up(), "{}", world.net.ladder());
    world.assert_nothing_left();
}

#[test]
fn an_ack_that_never_comes_ends_the_call_on_both_sides() {
    let mut world = World::new(3);
    let carrier = world.phones[CARRIER].sip();
    world.net.drop_next(Pattern::request("ACK").from(carrier), u32::MAX);
    world.dial();
    world.run_for(secs(60));
    assert_eq!(world.phones[CALLEE].call().state, State::Over(End::ByPeer), "{}", world.net.ladder());
    assert_eq!(world.phones[CARRIER].call().state, State::Over(End::ByPeer));
    world.assert_nothing_left();
}

#[test]
fn cancel_crossing_the_answer_ends_in_silence_on_both_sides() {
    for delay_ms in [0, 2, 5, 8, 11, 14, 20] {
        let mut world = World::new(4);
        world.phones[CALLEE].answering = Answering::ByHand;
        world.dial();
        world.run_for(secs(1));
        world.act(CALLEE, Phone::answer);
        world.run_for(Duration::from_millis(delay_ms));
        world.act(CARRIER, Phone::hang_up);
        world.run_for(secs(40));
        for phone in [CARRIER, CALLEE] {
            let state = &world.phones[phone].call().state;
            assert!(matches!(state, State::Over(_)), "{delay_ms} ms: {state:?}\n{}", world.net.ladder());
        }
        assert_eq!(world.records().len(), 1, "{delay_ms} ms");
        world.assert_nothing_left();
    }
}

#[test]
fn cancel_before_any_response_reaches_the_callee_once_it_may() {
    let mut world = World::new(5);
    world.phones[CALLEE].answering = Answering::ByHand;
    let callee = world.phones[CALLEE].sip();
    world.net.delay_next(Pattern::request("INVITE").to(callee), Duration::from_millis(300));
    world.dial();
    world.run_for(Duration::from_millis(50));
    world.act(CARRIER, Phone::hang_up);
    world.run_for(secs(5));
    assert_eq!(world.phones[CALLEE].call().state, State::Over(End::ByPeer), "{}", world.net.ladder());
    assert_eq!(world.phones[CARRIER].call().state, State::Over(End::ByUs));
    world.assert_nothing_left();
}

#[test]
fn bye_crossing_a_reinvite_ends_the_call_for_good() {
    for (holder, hanger) in [(CARRIER, CALLEE), (CALLEE, CARRIER), (CARRIER, CARRIER), (CALLEE, CALLEE)] {
        for delay_ms in [0, 3, 7, 12] {
            let mut world = World::new(6);
            world.talk();
            world.run_for(secs(1));
            world.act(holder, |phone, now| phone.reinvite(now, Direction::SendOnly));
            world.run_for(Duration::from_millis(delay_ms));
            world.act(hanger, Phone::hang_up);
            world.run_for(secs(40));
            for phone in [CARRIER, CALLEE] {
                let state = &world.phones[phone].call().state;
                assert!(matches!(state, State::Over(_)), "{delay_ms} ms: {state:?}\n{}", world.net.ladder());
            }
            world.assert_nothing_left();
        }
    }
}

#[test]
fn both_sides_holding_at_once_is_settled() {
    for apart_ms in [0, 1, 5, 9, 12, 20] {
        let mut world = World::new(7 + apart_ms);
        world.talk();
        world.run_for(secs(1));
        world.act(CARRIER, |phone, now| phone.reinvite(now, Direction::SendOnly));
        world.run_for(Duration::from_millis(apart_ms));
        world.act(CALLEE, |phone, now| phone.reinvite(now, Direction::SendOnly));
        world.run_for(secs(30));
        let ladder = world.net.ladder();
        assert!(world.phones[CARRIER].is_up() && world.phones[CALLEE].is_up(), "{ladder}");
        for phone in [CARRIER, CALLEE] {
            let call = world.phones[phone].call();
            assert_eq!(
                call.accepted, 1,
                "phone {phone}, {apart_ms} ms apart: its hold is in force\n{ladder}"
            );
        }
        // Both resume, one after the other, and both hear again.
        for phone in [CARRIER, CALLEE] {
            world.act(phone, |phone, now| phone.reinvite(now, Direction::SendRecv));
            world.run_for(secs(20));
        }
        let heard =
            |world: &World, phone: usize| world.phones[phone].call().leg.as_ref().unwrap().stats().received;
        let before = [heard(&world, CARRIER), heard(&world, CALLEE)];
        world.run_for(secs(2));
        for phone in [CARRIER, CALLEE] {
            let after = heard(&world, phone);
            assert!(after >= before[phone] + 95, "phone {phone} hears nothing\n{}", world.net.ladder());
        }
        world.assert_nothing_left();
    }
}

#[test]
fn calls_come_up_and_end_at_thirty_percent_loss() {
    let (mut up, calls) = (0, 60);
    for seed in 0..calls {
        let mut world = World::new(100 + seed);
        world.net.weather = Weather::stormy(0.3);
        world.phones[CARRIER].speaks = false;
        world.phones[CALLEE].speaks = false;
        world.dial();
        world.run_until(secs(60), |world| world.phones[CARRIER].is_up());
        up += u64::from(world.phones[CARRIER].is_up());
        world.run_for(secs(60));
        world.act(CARRIER, Phone::hang_up);
        world.run_for(secs(120));
        let ladder = world.net.ladder();
        assert!(matches!(world.phones[CARRIER].call().state, State::Over(_)), "seed {seed}\n{ladder}");
        for call in world.phones[CALLEE].calls.values() {
            assert!(matches!(call.state, State::Over(_)), "seed {seed}: {:?}\n{ladder}", call.state);
        }
        assert_eq!(world.records().len(), 1, "seed {seed}\n{ladder}");
        world.assert_nothing_left();
    }
    // Two user agents without a B2BUA between them manage 91.5 % on such a path, and here are two paths in a row.
    assert!(up * 100 >= calls * 90, "{up} of {calls} calls came up");
}

#[test]
fn digits_cross_once_each_in_the_middle_of_a_storm() {
    let mut world = World::new(9);
    world.talk();
    world.net.weather = Weather { loss: 0.1, ..Weather::stormy(0.1) };
    world.act(CARRIER, |phone, now| phone.press(now, "0123456789*#"));
    world.run_for(secs(10));
    assert_eq!(world.phones[CALLEE].call().digits, "0123456789*#");
    world.assert_nothing_left();
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let mut world = World::new(10);
    world.phones[CALLEE].answering = Answering::EarlyMedia(secs(5));
    world.dial();
    world.run_for(secs(3));
    assert_eq!(world.phones[CARRIER].call().state, State::Ringing);
    let heard = world.phones[CARRIER].call().leg.as_ref().unwrap().stats().received;
    assert!(heard > 100, "{heard} packets of early media\n{}", world.net.ladder());
    let spoken = world.phones[CALLEE].call().leg.as_ref().unwrap().stats().received;
    assert_eq!(
        spoken, 1,
        "a silent packet that says where to send, and nothing of the caller before the answer"
    );
    world.run_for(secs(5));
    assert!(world.phones[CARRIER].is_up());
    world.assert_nothing_left();
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
