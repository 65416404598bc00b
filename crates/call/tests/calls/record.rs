//! The record of a call, also when the media worker is in trouble.

use crate::world::{CALLEE, CALLER, SECOND, Setup, World, header, rtp_of};
use std::collections::HashSet;
use trunkline_model::{Party, Reliability, Stage};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
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
    world.ports_taken = u32::MAX;
    world.dial(CALLER);
    world.run_ms(100);
    assert_eq!(world.statuses(CALLER), [503]);
    let record = world.record();
    assert_eq!(record.cause.ended_by, Party::Trunkline);
    assert_eq!(record.cause.detail, "RTP ports could not be bound");
    let invites = world.requests(CALLEE, Method::Invite).len();
    assert_eq!(invites, 4, "three other pairs were tried");
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), invites);
    assert_eq!(record.attempts, 1, "it was one gateway");
    world.ports_taken = 0;
    world.settle();
    world.ends[CALLEE].events.clear();
    world.talk();
}

#[test]
fn ports_that_another_program_holds_are_passed_over() {
    let mut world = World::new();
    world.ports_taken = 1;
    world.dial(CALLER);
    world.run_ms(50);
    let invites = world.requests(CALLEE, Method::Invite);
    let port = |invite: &Message| rtp_of(std::str::from_utf8(invite.body()).unwrap()).port();
    let ports: Vec<u16> = invites.iter().map(port).collect();
    assert_eq!(ports.len(), 2);
    assert_ne!(ports[0], ports[1]);
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), 1);
    let (_cancelled, standing) = (world.incoming(CALLEE), world.incoming(CALLEE));
    world.reject(CALLEE, standing, 486);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [486]);
    assert_eq!(world.record().attempts, 1);
    world.settle();
}

#[test]
fn a_record_says_what_a_carrier_needs_to_find_the_call() {
    let mut world = World::of(Setup::two_gateways());
    let caller = world.dial_with(CALLER, |invite| invite.call_id = Some("abc@192.0.2.10".to_owned()));
    world.run_ms(50);
    let refusing = world.incoming(CALLEE);
    world.reject(CALLEE, refusing, 503);
    world.run_ms(50);
    let callee = world.incoming(SECOND);
    let answer = world.sdp(SECOND, 7_000, "0", "sendrecv");
    world.answer(SECOND, callee, answer);
    world.run_ms(50);
    let invite = world.requests(SECOND, Method::Invite).pop().unwrap();
    world.hang_up(CALLER, caller);
    world.run_ms(100);
    world.settle();
    let signalling = world.record().signalling;
    assert_eq!(signalling.source.unwrap().ip().to_string(), "192.0.2.10");
    assert_eq!(signalling.caller_call_id, "abc@192.0.2.10");
    assert_eq!(signalling.callee_call_id.as_deref(), Some(header(&invite, Name::CallId)));
    assert_eq!(signalling.gateway.as_deref(), Some("198.51.100.2:5060/udp"));
    assert_eq!(signalling.callee_status, Some(200));
}

#[test]
fn a_callee_s_own_status_is_kept_whatever_the_caller_was_shown() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.reject(CALLEE, callee, 503);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [500]);
    assert_eq!(world.record().signalling.callee_status, Some(503));
}

#[test]
fn a_clock_that_is_set_moves_the_calls_that_follow_and_no_call_ends_before_it_began() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    world.run_ms(5_000);
    let before = world.now;
    world.b2bua.set_clock(before, 1_000);
    world.hang_up(CALLER, caller);
    world.run_ms(100);
    world.settle();
    let first = world.record();
    assert!(first.started_unix_ms > 1_000, "it began by the old clock");
    assert!(first.ended_after >= std::time::Duration::from_secs(5));

    world.ends[CALLEE].events.clear();
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.reject(CALLEE, callee, 486);
    world.run_ms(50);
    let second = world.records().pop().unwrap();
    let elapsed = i64::try_from((world.now - before).as_millis()).unwrap();
    assert!((1_000..=1_000 + elapsed).contains(&second.started_unix_ms), "{}", second.started_unix_ms);
    assert!(second.call.serial > first.call.serial, "ids go on");
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
