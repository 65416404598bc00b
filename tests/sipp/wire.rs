//! The same call written in other ways, and carried by other transports.

use crate::{End, TALK, assert_answered, converse};
use trunkline_model::Party;
use trunkline_tests::peers::{Stage, Trunk};

#[test]
fn everything_long_and_legal_is_understood() {
    written("caller_long.xml");
}

#[test]
fn compact_headers_are_understood() {
    written("caller_compact.xml");
}

fn written(caller: &'static str) {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee.xml").start();
    let caller = stage.calls(&west, caller, &trunkline).pauses(TALK).start();

    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let _ = (caller.finish(), callee.finish());

    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn a_call_goes_over_tcp_on_both_sides() {
    over_tcp("caller.xml", "callee.xml", Party::Caller);
}

#[test]
fn a_callee_hangs_up_over_tcp() {
    over_tcp("caller_waits.xml", "callee_hangs_up.xml", Party::Callee);
}

fn over_tcp(caller: &'static str, callee: &'static str, ended_by: Party) {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::over_tcp(&west), Trunk::over_tcp(&east)]);
    let callee = stage.answers(&east, callee).over_tcp().pauses(TALK).start();
    let caller = stage.calls(&west, caller, &trunkline).over_tcp().pauses(TALK).start();

    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let _ = (caller.finish(), callee.finish());

    assert_answered(&stage.records(trunkline), ended_by);
}

#[test]
fn a_call_from_ipv6_reaches_ipv4() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier_v6("west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline_v6(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee.xml").start();
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(TALK).start();

    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let _ = (caller.finish(), callee.finish());

    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn a_call_from_ipv4_reaches_ipv6() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier_v6("east"));
    let trunkline = stage.trunkline_v6(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee.xml").start();
    let caller = stage.calls(&west, "caller.xml", &trunkline).pauses(TALK).start();

    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let _ = (caller.finish(), callee.finish());

    assert_answered(&stage.records(trunkline), Party::Caller);
}
