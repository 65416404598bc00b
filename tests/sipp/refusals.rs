//! Calls that do not come up, and those that come up at the second try.

use crate::{End, TALK, assert_answered, assert_failed, converse, final_status};
use std::net::{SocketAddr, UdpSocket};
use trunkline_model::{Party, Stage as CallStage};
use trunkline_tests::peers::{Carrier, Stage, Trunk};

#[test]
fn a_call_cancelled_before_it_rings_is_cancelled_at_the_callee() {
    cancelled("caller_cancels_at_once.xml", "callee_is_cancelled_at_once.xml", CallStage::Routing);
}

#[test]
fn a_call_cancelled_while_it_rings_is_cancelled_at_the_callee() {
    cancelled("caller_cancels_ringing.xml", "callee_is_cancelled_ringing.xml", CallStage::Ringing);
}

fn cancelled(caller: &'static str, callee: &'static str, stage_then: CallStage) {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, callee).start();
    let caller = stage.calls(&west, caller, &trunkline).start();

    let _ = (caller.finish(), callee.finish());

    assert_failed(&stage.records(trunkline), 487, 16, Party::Caller, stage_then);
}

#[test]
fn a_busy_callee_is_busy_to_the_caller() {
    refused("callee_is_busy.xml", 486, 17, CallStage::Routing);
}

#[test]
fn a_callee_that_declines_declines_to_the_caller() {
    refused("callee_declines.xml", 603, 21, CallStage::Ringing);
}

fn refused(callee: &'static str, status: u16, q850: u8, stage_then: CallStage) {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    // A second gateway, which must not be tried: the callee has decided.
    let spare = stage.carrier(2, "spare");
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east).gateway(spare.address(), "udp")]);
    let callee = stage.answers(&east, callee).start();
    let caller = stage.calls(&west, "caller_is_refused.xml", &trunkline).start();

    let (caller, _) = (caller.finish(), callee.finish());

    assert_eq!(final_status(&caller), Some(status));
    let records = stage.records(trunkline);
    assert_failed(&records, status, q850, Party::Callee, stage_then);
    assert_eq!(records[0].attempts, 1);
}

#[test]
fn a_callee_that_does_not_answer_is_cancelled_and_the_caller_told() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east).key("ring_secs_max = 2")]);
    let callee = stage.answers(&east, "callee_is_cancelled_ringing.xml").start();
    let caller = stage.calls(&west, "caller_is_refused.xml", &trunkline).start();

    let (caller, _) = (caller.finish(), callee.finish());

    assert_eq!(final_status(&caller), Some(480));
    assert_failed(&stage.records(trunkline), 480, 19, Party::Trunkline, CallStage::Ringing);
}

#[test]
fn a_number_without_a_route_is_not_found() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let unknown = "+13125550100";
    let caller = stage.calls(&west, "caller_is_refused.xml", &trunkline).dials(unknown).start();

    assert_eq!(final_status(&caller.finish()), Some(404));
    let records = stage.records(trunkline);
    assert_failed(&records, 404, 1, Party::Trunkline, CallStage::Admission);
    assert_eq!((records[0].to.as_str(), records[0].attempts), (unknown, 0));
}

#[test]
fn a_dead_gateway_is_passed_over() {
    let stage = Stage::new();
    // Nobody listens there: the system says so at once.
    fails_over(&stage, stage.carrier(2, "dead").address());
}

#[test]
fn a_gateway_that_refuses_tcp_is_passed_over() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let dead = stage.carrier(2, "dead").address();
    let to_east =
        Trunk::named("east").from(east.address().ip()).gateway(dead, "tcp").gateway(east.address(), "udp");
    arrives_at_second_try(&stage, &west, &east, to_east);
}

#[test]
fn a_gateway_that_says_nothing_is_passed_over_before_the_caller_gives_up() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let silent = stage.carrier(2, "silent").address();
    let _socket = UdpSocket::bind(silent).expect("a socket that says nothing");
    let to_east =
        Trunk::named("east").from(east.address().ip()).gateway(silent, "udp").gateway(east.address(), "udp");
    arrives_at_second_try(&stage, &west, &east, to_east);
}

#[test]
fn a_gateway_that_answers_503_is_passed_over() {
    let stage = Stage::new();
    let full = stage.carrier(2, "full");
    let refusal = stage.answers(&full, "callee_is_unavailable.xml").start();
    fails_over(&stage, full.address());
    let _ = refusal.finish();
}

#[test]
fn a_trunk_that_answers_503_is_passed_over_for_the_next_trunk() {
    let stage = Stage::new();
    let (west, east, full) = (stage.carrier(0, "west"), stage.carrier(1, "east"), stage.carrier(2, "full"));
    let refusal = stage.answers(&full, "callee_is_unavailable.xml").start();
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&full), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee.xml").start();
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(TALK).start();

    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let _ = (caller.finish(), callee.finish(), refusal.finish());

    let records = stage.records(trunkline);
    assert_answered(&records, Party::Caller);
    assert_eq!(records[0].attempts, 2);
}

#[test]
fn a_call_that_no_gateway_takes_is_refused_once() {
    let stage = Stage::new();
    let (west, east, full) = (stage.carrier(0, "west"), stage.carrier(1, "east"), stage.carrier(2, "full"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&full), Trunk::to(&east)]);
    let refusals = [
        stage.answers(&full, "callee_is_unavailable.xml").start(),
        stage.answers(&east, "callee_is_unavailable.xml").start(),
    ];
    let caller = stage.calls(&west, "caller_is_refused.xml", &trunkline).start();

    // RFC 3261 §16.7 item 6: a 503 of the next hop is not one of ours, which would keep the caller away altogether.
    assert_eq!(final_status(&caller.finish()), Some(500));
    for refusal in refusals {
        let _ = refusal.finish();
    }
    let records = stage.records(trunkline);
    assert_failed(&records, 500, 34, Party::Callee, CallStage::Routing);
    assert_eq!(records[0].attempts, 2);
}

/// The trunk to the east has this gateway first, and the east second.
fn fails_over(stage: &Stage, first: SocketAddr) {
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let to_east =
        Trunk::named("east").from(east.address().ip()).gateway(first, "udp").gateway(east.address(), "udp");
    arrives_at_second_try(stage, &west, &east, to_east);
}

fn arrives_at_second_try(stage: &Stage, west: &Carrier, east: &Carrier, to_east: Trunk) {
    let trunkline = stage.trunkline(&[Trunk::to(west), to_east]);
    let callee = stage.answers(east, "callee.xml").start();
    let caller = stage.calls(west, "caller.xml", &trunkline).pauses(TALK).start();

    converse(&mut End::west(west, &caller), &mut End::east(east, &callee));
    let _ = (caller.finish(), callee.finish());

    let records = stage.records(trunkline);
    assert_answered(&records, Party::Caller);
    assert_eq!(records[0].attempts, 2);
}
