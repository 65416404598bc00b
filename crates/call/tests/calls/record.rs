//! The record of a call, also when the media worker is in trouble.

use crate::world::{CALLEE, CALLER, Setup, World};
use std::collections::HashSet;
use trunkline_model::{Party, Reliability, Stage};
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;

#[test]
fn a_stuck_media_worker_delays_a_record_by_a_second_at_most() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    world.worker_is_stuck = true;
    world.hang_up(CALLER, caller);
    world.run_ms(900);
    assert_eq!(world.records().len(), 0);
    world.run_ms(200);
    let record = world.record();
    assert_eq!((record.caller_media, record.callee_media), (None, None));
    assert_eq!(world.b2bua.counts().ports, 2, "its ports are not free: its sockets may be open");
    assert_eq!(world.b2bua.counts().calls, 0);
}

#[test]
fn ports_that_can_t_be_bound_end_the_call_with_503() {
    let mut world = World::new();
    world.ports_are_taken = true;
    world.dial(CALLER);
    world.run_ms(100);
    assert_eq!(world.statuses(CALLER), [503]);
    let record = world.record();
    assert_eq!(record.cause.ended_by, Party::Trunkline);
    assert_eq!(record.cause.detail, "RTP ports could not be bound");
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), 1);
    world.ports_are_taken = false;
    world.settle();
    world.ends[CALLEE].events.clear();
    world.talk();
}

#[test]
fn a_call_that_was_never_answered_has_no_media_in_its_record() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(50);
    world.reject(CALLEE, callee, 486);
    world.run_ms(50);
    let record = world.record();
    assert_eq!((record.caller_media, record.callee_media, record.answered_after), (None, None, None));
    assert_eq!((record.cause.stage, record.cause.sip), (Stage::Ringing, 486));
    assert_eq!(
        record.cause.to_string(),
        "486 q850=17 by callee while ringing on west: the callee answered 486"
    );
    world.settle();
}

#[test]
fn every_call_has_an_id_of_its_own() {
    let mut setup = Setup::default();
    setup.caller_trunk.calls_max = Some(1);
    let mut world = World::of(setup);
    for _ in 0..5 {
        let caller = world.dial(CALLER);
        world.dial(CALLER);
        world.run_ms(50);
        world.hang_up(CALLER, caller);
        world.run_ms(50);
    }
    let ids: HashSet<_> = world.records().iter().map(|record| record.call).collect();
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| id.node.0 == 1));
}

#[test]
fn a_hundred_calls_leave_nothing_behind() {
    let setup = Setup { last_port: 20_999, ..Setup::default() };
    let mut world = World::of(setup);
    let callers: Vec<_> = (0..100).map(|_| world.dial(CALLER)).collect();
    world.run_ms(50);
    for n in 0..100 {
        let callee = world.incoming(CALLEE);
        match n % 4 {
            0 => world.reject(CALLEE, callee, 486),
            1 => world.ring(CALLEE, callee, 180),
            _ => {
                let answer = world.sdp(CALLEE, 6000 + 2 * n, "0", "sendrecv");
                world.answer(CALLEE, callee, answer);
            }
        }
    }
    world.run_ms(100);
    assert_eq!(world.b2bua.counts().ports, 150, "two for each of the 75 that are not over");
    for caller in callers {
        let _ = world.with(CALLER, |ua, now| ua.hangup(now, caller, Default::default()));
    }
    world.run_ms(200);
    assert_eq!(world.records().len(), 100);
    world.settle();
}

#[test]
fn an_answer_without_an_ack_ends_the_call() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.dead.insert(world.ends[CALLER].at.ip());
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(33_000);
    assert_eq!(world.requests(CALLEE, Method::Bye).len(), 1);
    let cause = world.record().cause;
    assert_eq!((cause.sip, cause.ended_by), (200, Party::Trunkline));
    assert_eq!(cause.detail, "no ACK for the answer");
    world.settle();
}

#[test]
fn an_answer_that_waited_for_a_prack_and_was_never_given_is_no_answered_call() {
    let mut setup = Setup::default();
    setup.end_profile.reliability = Reliability::Supported;
    let mut world = World::of(setup);
    let caller = world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let early = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring_with(CALLEE, callee, 183, early.clone());
    world.run_ms(12);
    world.answer(CALLEE, callee, early);
    // The caller gives up while its PRACK is lost.
    world.dead.insert(world.ends[CALLER].at.ip());
    world.run_ms(8);
    world.dead.clear();
    world.hang_up(CALLER, caller);
    world.run_ms(100);
    let record = world.record();
    assert_eq!((record.cause.sip, record.cause.stage), (487, Stage::Ringing));
    assert_eq!(record.answered_after, None);
    assert_eq!(world.statuses(CALLER).last(), Some(&487));
    world.settle();
}
