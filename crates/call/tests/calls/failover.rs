//! Gateways tried one after another, and what ends the trying.

use crate::world::{CALLEE, CALLER, NUMBER, SECOND, Setup, World, header, id, trunk};
use std::time::Duration;
use trunkline_call::CallEvent;
use trunkline_model::{Host, Party, Q850, Stage, Transport};
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{Headers, Input, Reply};

#[test]
fn faults_of_a_gateway_move_on_to_the_next() {
    for status in [408, 500, 503, 504] {
        let mut world = World::of(Setup::two_gateways());
        world.dial(CALLER);
        world.run_ms(50);
        let first = world.incoming(CALLEE);
        world.reject(CALLEE, first, status);
        world.run_ms(50);
        let second = world.incoming(SECOND);
        let answer = world.sdp(SECOND, 6000, "0", "sendrecv");
        world.answer(SECOND, second, answer);
        world.run_ms(50);
        assert_eq!(world.statuses(CALLER), [200], "after {status}");
        let (to_caller, to_second) = (world.relay(CALLER), world.relay(SECOND));
        world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (SECOND, 6000, to_second, 0)]);
        assert_eq!((world.heard(CALLER, 4000).len(), world.heard(SECOND, 6000).len()), (5, 5));
        world.hang_up(SECOND, second);
        world.run_ms(50);
        assert_eq!(world.record().attempts, 2);
        world.settle();
    }
}

#[test]
fn the_called_person_s_no_is_the_end_of_it() {
    for (status, shown) in
        [(486, 486), (600, 600), (603, 603), (404, 404), (480, 480), (487, 480), (302, 480)]
    {
        let mut setup = Setup::two_gateways();
        setup.callee_trunk.failover_statuses = [486, 600, 603, 487].into();
        let mut world = World::of(setup);
        world.dial(CALLER);
        world.run_ms(50);
        let first = world.incoming(CALLEE);
        world.reject(CALLEE, first, status);
        world.run_ms(100);
        assert_eq!(world.statuses(CALLER), [shown], "for {status}");
        assert!(world.ends[SECOND].received.is_empty(), "after {status}");
        let cause = world.record().cause;
        assert_eq!((cause.sip, cause.ended_by, cause.stage), (shown, Party::Callee, Stage::Routing));
        assert_eq!(cause.q850, Q850::from_sip(status));
        assert_eq!(cause.trunk.unwrap(), id("west"));
        world.settle();
    }
}

#[test]
fn a_configured_status_moves_on_too() {
    let mut setup = Setup::two_gateways();
    setup.callee_trunk.failover_statuses = [404].into();
    let mut world = World::of(setup);
    world.dial(CALLER);
    world.run_ms(50);
    let first = world.incoming(CALLEE);
    world.reject(CALLEE, first, 404);
    world.run_ms(50);
    world.incoming(SECOND);
}

#[test]
fn a_closed_port_moves_on_at_once() {
    let mut world = World::of(Setup::two_gateways());
    world.closed.insert(world.ends[CALLEE].at.ip());
    world.dial(CALLER);
    world.run_ms(50);
    world.incoming(SECOND);
    let failed = world.events.iter().find_map(|event| match event {
        CallEvent::AttemptFailed { status, moves_on, .. } => Some((*status, *moves_on)),
        _ => None,
    });
    assert_eq!(failed, Some((503, true)));
}

#[test]
fn a_silent_gateway_is_given_up_after_four_seconds() {
    let mut world = World::of(Setup::two_gateways());
    world.dead.insert(world.ends[CALLEE].at.ip());
    world.dial(CALLER);
    world.run_ms(3900);
    assert!(world.ends[SECOND].events.is_empty());
    world.run_ms(200);
    let second = world.incoming(SECOND);
    let answer = world.sdp(SECOND, 6000, "0", "sendrecv");
    world.answer(SECOND, second, answer);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [200]);
    world.hang_up(SECOND, second);
    world.settle();
}

#[test]
fn a_gateway_that_said_100_has_time() {
    let mut world = World::of(Setup::two_gateways());
    world.dial(CALLER);
    world.run_for(Duration::from_secs(20));
    assert!(world.ends[SECOND].received.is_empty());
    let callee = world.incoming(CALLEE);
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [200]);
}

#[test]
fn an_answer_of_a_gateway_given_up_is_hung_up() {
    let mut world = World::of(Setup::two_gateways());
    world.dead.insert(world.ends[CALLEE].at.ip());
    world.dial(CALLER);
    world.run_ms(4200);
    world.dead.clear();
    let second = world.incoming(SECOND);
    // The INVITE is not sent again once it was given up, so the first gateway never rings.
    let answer = world.sdp(SECOND, 6000, "0", "sendrecv");
    world.answer(SECOND, second, answer);
    world.run_for(Duration::from_secs(40));
    let acks = world.requests(CALLEE, Method::Ack).len();
    let byes = world.requests(CALLEE, Method::Bye).len();
    let cancels = world.requests(CALLEE, Method::Cancel).len();
    let invites = world.requests(CALLEE, Method::Invite).len();
    assert!(invites == 0 || cancels + byes > 0, "{invites} {acks} {byes} {cancels}");
    assert_eq!(world.statuses(CALLER), [200]);
    world.hang_up(SECOND, second);
    world.settle();
}

#[test]
fn a_lone_silent_gateway_has_the_whole_patience_of_sip() {
    let mut world = World::new();
    world.dead.insert(world.ends[CALLEE].at.ip());
    world.dial(CALLER);
    world.run_for(Duration::from_secs(30));
    assert!(world.statuses(CALLER).is_empty());
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.statuses(CALLER), [408]);
    let cause = world.record().cause;
    assert_eq!((cause.sip, cause.q850, cause.ended_by), (408, Q850::TIMER_EXPIRY, Party::Callee));
    world.settle();
}

#[test]
fn the_last_503_is_a_500_for_the_caller_with_the_reason() {
    let mut world = World::new();
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.reject(CALLEE, callee, 503);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [500]);
    let last = world.ends[CALLER].received.last().unwrap();
    assert_eq!(header(last, Name::Reason), "SIP;cause=503, Q.850;cause=34");
    assert_eq!(world.record().cause.detail, "the callee answered 503");
}

#[test]
fn a_challenge_is_never_passed_on() {
    for status in [401, 407] {
        let mut world = World::new();
        world.dial(CALLER);
        world.run_ms(50);
        let callee = world.incoming(CALLEE);
        let challenge = Headers::new().with(Name::WwwAuthenticate, "Digest realm=\"x\", nonce=\"y\"");
        let reply = Reply::new(status).with_headers(challenge);
        world.with(CALLEE, |ua, now| ua.reject(now, callee, reply)).unwrap();
        world.run_ms(50);
        assert_eq!(world.statuses(CALLER), [403]);
        let last = world.ends[CALLER].received.last().unwrap();
        assert!(last.header(Name::WwwAuthenticate).is_none());
        assert_eq!(header(last, Name::Reason), format!("SIP;cause={status}, Q.850;cause=21"));
    }
}

#[test]
fn after_early_media_no_other_gateway_is_tried() {
    let mut world = World::of(Setup::two_gateways());
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    let sdp = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.ring_with(CALLEE, callee, 183, sdp);
    world.run_ms(50);
    world.reject(CALLEE, callee, 503);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [183, 500]);
    assert!(world.ends[SECOND].received.is_empty());
}

#[test]
fn after_mere_ringing_another_gateway_is_tried() {
    let mut world = World::of(Setup::two_gateways());
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(50);
    world.reject(CALLEE, callee, 503);
    world.run_ms(50);
    let second = world.incoming(SECOND);
    world.ring(SECOND, second, 180);
    world.run_for(Duration::from_secs(59));
    assert_eq!(world.statuses(CALLER), [180, 180]);
    world.reject(SECOND, second, 486);
    world.run_ms(50);
    assert_eq!(world.record().cause.stage, Stage::Ringing);
}

#[test]
fn a_caller_who_gives_up_between_gateways_ends_everything() {
    let mut world = World::of(Setup::two_gateways());
    let caller = world.dial(CALLER);
    world.run_ms(50);
    let first = world.incoming(CALLEE);
    world.reject(CALLEE, first, 503);
    world.run_ms(50);
    world.incoming(SECOND);
    world.hang_up(CALLER, caller);
    world.run_ms(100);
    assert_eq!(world.requests(SECOND, Method::Cancel).len(), 1);
    assert_eq!(world.statuses(CALLER), [487]);
    assert_eq!(world.record().attempts, 2);
    world.settle();
}

#[test]
fn the_next_trunk_is_tried_when_the_first_has_no_gateway_left() {
    let mut setup = Setup::default();
    setup.more_trunks.push(trunk("south", &[], &["198.51.100.2"]));
    setup.routes[0].trunks = vec![id("west"), id("south")];
    let mut world = World::of(setup);
    world.dial(CALLER);
    world.run_ms(50);
    let first = world.incoming(CALLEE);
    world.reject(CALLEE, first, 500);
    world.run_ms(50);
    let second = world.incoming(SECOND);
    world.reject(SECOND, second, 486);
    world.run_ms(50);
    let record = world.record();
    assert_eq!((record.attempts, record.trunk_out), (2, Some(id("south"))));
    assert_eq!(record.cause.sip, 486);
    world.settle();
}

#[test]
fn a_gateway_that_asks_to_be_left_alone_gets_no_call_for_that_time() {
    let mut world = World::of(Setup::two_gateways());
    world.dial(CALLER);
    world.run_ms(50);
    let first = world.incoming(CALLEE);
    let reply = Reply::new(503).with_headers(Headers::new().with(Name::RetryAfter, "20 (busy)"));
    world.with(CALLEE, |ua, now| ua.reject(now, first, reply)).unwrap();
    world.run_ms(50);
    world.incoming(SECOND);

    world.dial(CALLER);
    world.run_ms(50);
    world.incoming(SECOND);
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 1);

    world.run_for(Duration::from_secs(20));
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 2);
}

#[test]
fn what_is_dialled_is_rewritten_for_each_trunk_by_its_domain() {
    let mut setup = Setup::default();
    setup.callee_trunk.domain = Some("sip.west.example".into());
    setup.routes[0].dial = Some("5551234".into());
    let mut world = World::of(setup);
    world.dial(CALLER);
    world.run_ms(50);
    let invite = &world.requests(CALLEE, Method::Invite)[0];
    assert_eq!(invite.uri_text(), "sip:5551234@sip.west.example");
    assert_eq!(header(invite, Name::To), "<sip:5551234@sip.west.example>");
    assert!(header(invite, Name::From).contains("@sip.west.example>"));
    assert!(!String::from_utf8_lossy(invite.bytes()).contains(NUMBER));
}

fn named() -> Setup {
    let mut setup = Setup::two_gateways();
    let gateway = &mut setup.callee_trunk.gateways[0];
    gateway.host = Host::Name("gw.west.example".into());
    gateway.port = None;
    setup
}

#[test]
fn a_gateway_may_be_a_name_with_several_servers() {
    let mut world = World::of(named());
    let ips = vec![world.ends[CALLEE].at.ip(), world.ends[SECOND].at.ip()];
    world.names.insert("gw.west.example".into(), ips);
    world.dial(CALLER);
    world.run_ms(50);
    let invite = &world.requests(CALLEE, Method::Invite)[0];
    assert_eq!(invite.uri_text(), format!("sip:{NUMBER}@gw.west.example"));
    let callee = world.incoming(CALLEE);
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [200]);
    world.hang_up(CALLEE, callee);
    world.settle();
}

#[test]
fn a_name_that_stands_for_nothing_moves_on() {
    let mut world = World::of(named());
    world.dial(CALLER);
    world.run_ms(50);
    let second = world.incoming(SECOND);
    world.reject(SECOND, second, 486);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [486]);
    world.settle();
}

fn ring_max(secs: u64) -> Setup {
    let mut setup = Setup::two_gateways();
    setup.callee_trunk.ring_max = Duration::from_secs(secs);
    setup
}

#[test]
fn a_callee_may_ring_as_long_as_the_trunk_says_and_then_nobody_else_rings() {
    let mut world = World::of(ring_max(300));
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(50);
    // One 180 and no more, as many gateways do: timer C must not end what may go on.
    world.dead.insert(world.ends[CALLEE].at.ip());
    world.run_for(Duration::from_secs(298));
    assert!(!world.statuses(CALLER).iter().any(|status| *status >= 200), "{:?}", world.statuses(CALLER));
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.statuses(CALLER).last(), Some(&480));
    assert!(world.ends[SECOND].received.is_empty());
    assert_eq!(world.record().cause.q850, Q850::NO_ANSWER);
}

#[test]
fn a_gateway_that_rings_is_not_given_up_for_another_by_an_icmp_error() {
    let mut world = World::of(Setup::two_gateways());
    world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    world.run_ms(50);
    let invite = world.requests(CALLEE, Method::Invite)[0].bytes().clone();
    for quoted in [Some(invite), None] {
        let remote = world.ends[CALLEE].at;
        let failed = Input::TransportFailed { transport: Transport::Udp, remote, connection: None, quoted };
        world.b2bua.handle_input(world.now, trunkline_call::Input::Sip(failed));
        world.drain();
    }
    let answer = world.sdp(CALLEE, 6000, "0", "sendrecv");
    world.answer(CALLEE, callee, answer);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [180, 200]);
    assert!(world.ends[SECOND].received.is_empty());
    world.hang_up(CALLEE, callee);
    world.settle();
}
