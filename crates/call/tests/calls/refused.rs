//! Calls that are refused: each with every trunk and the first criterion it failed.

use crate::world::{CALLEE, CALLER, NUMBER, STRANGER, Setup, World, header, id, trunk};
use bytes::Bytes;
use trunkline_call::{CallEvent, Criterion, Explain, Refusal, UnknownSources};
use trunkline_model::{PatternRoute, Stage, Transport};
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;

fn explained(world: &World) -> Explain {
    let of = |event: &CallEvent| match event {
        CallEvent::Refused { explain, .. } => Some((**explain).clone()),
        _ => None,
    };
    world.events.iter().find_map(of).expect("nothing was refused")
}

fn failed(explain: &Explain) -> Vec<(&str, Option<Criterion>)> {
    explain.inbound.iter().map(|verdict| (verdict.trunk.as_str(), verdict.failed.clone())).collect()
}

#[test]
fn a_stranger_is_told_no_and_the_operator_why() {
    let mut world = World::new();
    world.dial(STRANGER);
    world.run_ms(50);
    assert_eq!(world.statuses(STRANGER), [403]);
    let explain = explained(&world);
    assert_eq!(failed(&explain), [("east", Some(Criterion::Source)), ("west", Some(Criterion::Source))]);
    assert_eq!(explain.asked.to, NUMBER);
    let record = world.record();
    assert_eq!((record.trunk_in, record.cause.sip, record.cause.stage), (None, 403, Stage::Admission));
    assert_eq!(record.cause.detail, "no trunk takes requests from this source");
    world.settle();
}

#[test]
fn a_stranger_is_not_told_anything_where_that_is_the_policy() {
    let mut world = World::of(Setup { unknown_sources: UnknownSources::Ignore, ..Setup::default() });
    world.dial(STRANGER);
    world.run_ms(5000);
    assert!(world.ends[STRANGER].received.is_empty());
    assert!(world.b2bua.totals().ignored >= 4, "every INVITE that was sent again");
    assert_eq!(world.b2bua.sip_counts().server_transactions, 0);
    world.talk();
}

#[test]
fn the_right_source_over_the_wrong_transport_is_a_stranger() {
    let mut setup = Setup::default();
    setup.caller_trunk.inbound.transports = vec![Transport::Tls];
    let mut world = World::of(setup);
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [403]);
    assert_eq!(failed(&explained(&world))[0], ("east", Some(Criterion::Transport)));
}

#[test]
fn a_number_without_a_route_is_not_found() {
    let mut world = World::new();
    let offer = world.sdp(CALLER, 4000, "0", "sendrecv");
    world.dial_with(CALLER, |params| {
        params.uri = "sip:+14255550199@203.0.113.1".into();
        params.offer = Some(offer);
    });
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [404]);
    let shown = explained(&world).to_string();
    assert!(shown.contains("east: yes"), "{shown}");
    assert!(shown.ends_with("refused with 404: no DID and no prefix matches the number"), "{shown}");
}

#[test]
fn a_pattern_for_all_never_sends_a_call_back_where_it_came_from() {
    let mut setup = Setup { routes: vec![], ..Setup::default() };
    let back = |from: Vec<_>| PatternRoute {
        prefix: "+1".into(),
        from,
        trunks: vec![id("east")],
        strip: 0,
        prepend: String::new(),
    };
    setup.caller_trunk = trunk("east", &["192.0.2.0/24"], &["192.0.2.10"]);
    setup.patterns = vec![back(vec![])];
    let mut world = World::of(setup);
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [503]);
    let explain = explained(&world);
    assert_eq!(explain.outbound[0].failed, Some(Criterion::Hairpin));
    assert!(world.requests(CALLER, Method::Invite).is_empty());
}

#[test]
fn an_offer_that_nobody_could_meet_is_refused_before_anyone_is_called() {
    let mut world = World::new();
    let offer = world.sdp(CALLER, 4000, "9", "sendrecv");
    world.dial_with(CALLER, |params| params.offer = Some(offer));
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [488]);
    let last = world.ends[CALLER].received.last().unwrap();
    assert!(header(last, Name::Warning).contains("Incompatible media format"));
    assert!(world.ends[CALLEE].received.is_empty());
    world.settle();
}

#[test]
fn a_body_that_is_no_description_is_a_bad_request() {
    let mut world = World::new();
    world.dial_with(CALLER, |params| params.offer = Some("hello".into()));
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [400]);
    assert!(world.ends[CALLEE].received.is_empty());
}

#[test]
fn a_refused_call_leaves_one_event_and_one_record() {
    let mut world = World::new();
    world.dial(STRANGER);
    world.run_ms(50);
    let calls: Vec<_> = world
        .events
        .iter()
        .map(|event| match event {
            CallEvent::Refused { call, .. } => ("refused", *call),
            CallEvent::Ended { record } => ("ended", record.call),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].0, calls[1].0), ("refused", "ended"));
    assert_eq!(calls[0].1, calls[1].1);
}

/// Writes an INVITE by hand, with something about it changed.
fn raw(branch: usize, from: &str, to: &str) -> Bytes {
    let text = format!(
        "INVITE sip:{NUMBER}@203.0.113.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKr{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+12065550111@x>;tag=r{branch}\r\nTo: <sip:{NUMBER}@y>\r\n\
         Call-ID: raw{branch}\r\nCSeq: 1 INVITE\r\nContact: <sip:192.0.2.10>\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(text.contains(from));
    text.replacen(from, to, 1).into()
}

#[test]
fn a_call_that_the_user_agent_refuses_has_its_event_and_its_record_too() {
    let cases = [
        ("Max-Forwards: 70", "Max-Forwards: x", 400, "request: Malformed Max-Forwards header"),
        ("Contact: <sip:192.0.2.10>\r\n", "", 400, "request: Missing or malformed Contact"),
        ("Max-Forwards: 70", "Max-Forwards: 0", 483, "request: Too Many Hops"),
        ("CSeq: 1", "Require: gruu\r\nCSeq: 1", 420, "request: Bad Extension: gruu"),
        ("sip:+1", "isbn:+1", 416, "request: Unsupported URI Scheme"),
    ];
    for (number, (from, to, status, detail)) in cases.into_iter().enumerate() {
        let mut world = World::new();
        world.inject(CALLER, raw(number, from, to));
        world.run_ms(50);
        let explain = explained(&world);
        assert_eq!(explain.refusal.as_ref().map(Refusal::status), Some(status), "{to}");
        assert_eq!(failed(&explain), [("east", None), ("west", Some(Criterion::Source))], "{to}");
        assert!(explain.to_string().ends_with(&format!("refused with {status}: {detail}")), "{explain}");
        let record = world.record();
        assert_eq!((record.cause.sip, record.cause.stage), (status, Stage::Admission));
        assert_eq!((record.cause.detail.as_str(), record.from.as_str()), (detail, "+12065550111"));
        assert_eq!(record.trunk_in, Some(id("east")));
        let totals = world.b2bua.totals();
        assert_eq!((totals.offered, totals.refused, totals.ended), (1, 1, 1));
        world.settle();
    }
}

#[test]
fn no_event_shows_a_number_in_logs() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    world.hang_up(CALLER, caller);
    world.dial(STRANGER);
    world.run_ms(50);
    assert_eq!(world.records().len(), 2);
    for event in &world.events {
        let shown = format!("{event:?}");
        assert!(!shown.contains("555"), "{shown}");
    }
}
