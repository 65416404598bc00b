//! Many calls at once, each with audio both ways.

use std::collections::BTreeSet;
use std::time::Duration;
use trunkline_tests::peers::{
    Packet, Speech, Stage, Stream, Swarm, Trunk, udp_ports_of, wait_for_free_ports, wait_up_to,
};

/// New calls a second.
const RATE: u32 = 50;

/// How long each call is up. With [`RATE`], 1,500 calls are up at once.
const LENGTH: Duration = Duration::from_secs(30);

/// All calls: ten seconds' worth more than are up at once.
const CALLS: u32 = 2_000;

/// Packets of 20 ms that each end sends: twelve talk spurts of 20, the last over 3 s before the call is, so that all arrive.
const PACKETS: u32 = 12 * 20;

#[test]
fn fifty_calls_a_second_of_thirty_seconds_all_succeed_and_leave_no_port() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let (at_west, at_east) = (Swarm::at(west.address().ip()), Swarm::at(east.address().ip()));
    let limit = Duration::from_secs(120);
    let callees = stage.answers(&east, "callee_load.xml").many_answers(CALLS, at_east.ports()).within(limit);
    let callers = stage
        .calls(&west, "caller_load.xml", &trunkline)
        .many(RATE, CALLS, at_west.ports())
        .pauses(LENGTH)
        .within(limit);
    let (caller_log, callee_log) = (callers.log(), callees.log());
    let (callees, callers) = (callees.start(), callers.start());
    let (to_east, to_west) = (Speech::CALLER.encoded(Packet::PCMU), Speech::CALLEE.encoded(Packet::PCMU));
    let at_west = at_west.play(caller_log, to_east, to_west, PACKETS);
    let at_east = at_east.play(callee_log, to_west, to_east, PACKETS);

    // SIPp ends well only if every single call went as written.
    let _ = (callers.finish(), callees.finish());

    for streams in [at_west.finish(), at_east.finish()] {
        assert_whole(&streams);
    }
    let metrics = wait_up_to(Duration::from_secs(10), "all records to be stored", || {
        let metrics = trunkline.metrics_at_rest();
        (metrics.sum("trunkline_records_stored_total") >= f64::from(CALLS)).then_some(metrics)
    });
    assert_eq!(metrics.sum("trunkline_calls_answered_total"), f64::from(CALLS));
    assert_eq!(metrics.sum("trunkline_rtp_packets_refused_total"), 0.0);
    wait_for_free_ports(stage.addresses().trunkline());
    assert_eq!(udp_ports_of(stage.addresses().trunkline()), 0);
    let _ = stage.records(trunkline);
}

/// Asserts that every call was heard: by the right ear, in order, unchanged, and with nothing missing.
fn assert_whole(streams: &[Stream]) {
    assert_eq!(streams.len(), CALLS as usize, "ports that audio came from");
    let calls: BTreeSet<u32> = streams.iter().map(|stream| stream.call).collect();
    assert_eq!(calls.len(), CALLS as usize, "calls that were heard");
    let wrong: Vec<&Stream> = streams.iter().filter(|stream| stream.wrong > 0).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let cut: Vec<&Stream> = streams.iter().filter(|stream| stream.in_order != PACKETS).collect();
    assert!(cut.is_empty(), "{} calls lack packets, such as {:?}", cut.len(), cut.first());
}
