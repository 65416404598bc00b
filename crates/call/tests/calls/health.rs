//! OPTIONS: ours to gateways, and those of peers to us.

use crate::world::{CALLEE, CALLER, SECOND, STRANGER, Setup, World};
use std::time::Duration;
use trunkline_call::CallEvent;
use trunkline_model::{HealthPolicy, Transport};
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::Target;
use trunkline_sip::user_agent::{Event, Headers, RequestParams, Scope};

fn probed() -> World {
    let mut setup = Setup::two_gateways();
    setup.callee_trunk.health =
        Some(HealthPolicy { interval: Duration::from_secs(10), down_after: 3, up_after: 2 });
    World::of(setup)
}

fn changes(world: &World) -> Vec<(bool, usize)> {
    let of = |event: &CallEvent| match event {
        CallEvent::GatewayDown { up_left, .. } => Some((false, *up_left)),
        CallEvent::GatewayUp { up_left, .. } => Some((true, *up_left)),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

#[test]
fn gateways_are_probed_once_an_interval() {
    let mut world = probed();
    world.run_for(Duration::from_secs(100));
    for end in [CALLEE, SECOND] {
        let probes = world.requests(end, Method::Options);
        assert_eq!(probes.len(), 10);
        assert!(probes[0].uri_text().starts_with("sip:198.51.100."));
    }
    assert_eq!(changes(&world), []);
}

#[test]
fn a_gateway_that_stops_answering_gets_no_calls_until_it_answers_again() {
    let mut world = probed();
    world.dead.insert(world.ends[CALLEE].at.ip());
    world.run_for(Duration::from_secs(45));
    assert_eq!(changes(&world), [(false, 1)]);
    world.dead.clear();

    world.dial(CALLER);
    world.run_ms(50);
    world.incoming(SECOND);
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 0);

    world.run_for(Duration::from_secs(25));
    assert_eq!(changes(&world), [(false, 1), (true, 2)]);
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 1);
}

#[test]
fn with_every_gateway_down_calls_are_tried_all_the_same() {
    let mut world = probed();
    let both = [world.ends[CALLEE].at.ip(), world.ends[SECOND].at.ip()];
    world.dead.extend(both);
    world.run_for(Duration::from_secs(45));
    assert_eq!(changes(&world).last(), Some(&(false, 0)));
    world.dead.clear();
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [200]);
}

#[test]
fn calls_that_a_gateway_does_not_answer_count_like_probes() {
    let mut setup = Setup::two_gateways();
    setup.callee_trunk.health =
        Some(HealthPolicy { interval: Duration::from_secs(3600), down_after: 3, up_after: 2 });
    let mut world = World::of(setup);
    world.dead.insert(world.ends[CALLEE].at.ip());
    for _ in 0..3 {
        assert_eq!(changes(&world), []);
        world.dial(CALLER);
        world.run_ms(4100);
        world.incoming(SECOND);
    }
    assert_eq!(changes(&world), [(false, 1)]);
    world.dial(CALLER);
    world.run_ms(50);
    world.incoming(SECOND);
}

fn options(world: &mut World, end: usize) -> u16 {
    let here = "203.0.113.1:5060".parse().unwrap();
    let profile = world.ends[end].ua.config().profile.clone();
    let params = RequestParams {
        method: Method::Options,
        scope: Scope::Outside {
            destination: Destination::Target(Target::new(Transport::Udp, here)),
            uri: "sip:203.0.113.1".into(),
            from: "<sip:ping@carrier.example>".into(),
            to: "<sip:203.0.113.1>".into(),
            profile,
        },
        headers: Headers::new(),
        body: None,
    };
    world.with(end, |ua, now| ua.request(now, params)).unwrap();
    world.run_ms(50);
    match world.next(end) {
        Event::Response { result, .. } => result.unwrap().status().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_carrier_s_options_tell_it_whether_calls_are_welcome() {
    let mut world = World::new();
    assert_eq!(options(&mut world, CALLER), 200);
    let ok = world.ends[CALLER].received.last().unwrap();
    assert_eq!(ok.header(Name::Accept), Some("application/sdp"));
    assert!(ok.lists(Name::Allow, "INVITE"));
    assert_eq!(options(&mut world, STRANGER), 403);
    world.b2bua.drain_calls();
    assert_eq!(options(&mut world, CALLER), 503);
}
