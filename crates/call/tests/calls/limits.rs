//! Caps, hops, draining, and time limits.

use crate::world::{CALLEE, CALLER, NUMBER, Setup, World, header};
use std::time::Duration;
use trunkline_call::{CallEvent, Limits, Refusal};
use trunkline_model::{Party, Q850, SessionTimerPolicy};
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{Event, Headers, RequestParams, Scope};

fn refusal(world: &World) -> Refusal {
    let of = |event: &CallEvent| match event {
        CallEvent::Refused { explain, .. } => explain.refusal.clone(),
        _ => None,
    };
    world.events.iter().find_map(of).expect("nothing was refused")
}

#[test]
fn a_full_trunk_answers_503_and_says_when_to_come_back() {
    let mut setup = Setup::default();
    setup.caller_trunk.calls_max = Some(1);
    let mut world = World::of(setup);
    let (caller, _) = world.talk();
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [180, 200, 503]);
    assert_eq!(header(world.ends[CALLER].received.last().unwrap(), Name::RetryAfter), "1");
    assert!(refusal(&world).to_string().contains("trunk east: calls_max: 1 calls in progress"));
    world.hang_up(CALLER, caller);
    world.run_ms(50);
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 2);
}

#[test]
fn a_full_trunk_out_is_no_reason_for_the_caller_to_stay_away() {
    let mut setup = Setup::default();
    setup.callee_trunk.calls_max = Some(1);
    let mut world = World::of(setup);
    world.talk();
    world.dial(CALLER);
    world.run_ms(50);
    let last = world.ends[CALLER].received.last().unwrap();
    assert_eq!(last.status(), Some(503));
    assert!(last.header(Name::RetryAfter).is_none());
    assert_eq!(refusal(&world), Refusal::NoTrunk);
}

#[test]
fn calls_a_second_are_counted_on_both_trunks() {
    for (cap_in, cap_out) in [(Some(3), None), (None, Some(3))] {
        let mut setup = Setup::default();
        setup.caller_trunk.calls_per_sec_max = cap_in;
        setup.callee_trunk.calls_per_sec_max = cap_out;
        let mut world = World::of(setup);
        for _ in 0..5 {
            world.dial(CALLER);
        }
        world.run_ms(50);
        assert_eq!(world.requests(CALLEE, Method::Invite).len(), 3);
        assert_eq!(world.statuses(CALLER), [503, 503]);
        world.run_ms(1000);
        world.dial(CALLER);
        world.run_ms(50);
        assert_eq!(world.requests(CALLEE, Method::Invite).len(), 4);
    }
}

#[test]
fn a_node_without_ports_refuses_and_comes_back() {
    let setup = Setup { last_port: 20_003, ..Setup::default() };
    let mut world = World::of(setup);
    let (caller, _) = world.talk();
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(refusal(&world), Refusal::NoPorts);
    world.hang_up(CALLER, caller);
    world.run_ms(50);
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.requests(CALLEE, Method::Invite).len(), 2);
}

#[test]
fn a_node_takes_as_many_calls_as_it_may() {
    let limits = Limits { calls_max: 1, ..Limits::default() };
    let mut world = World::of(Setup { limits, ..Setup::default() });
    world.talk();
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(refusal(&world), Refusal::NodeFull);
}

#[test]
fn a_loop_ends_by_max_forwards_or_by_the_length_of_its_path() {
    let mut world = World::new();
    world.dial_with(CALLER, |params| params.max_forwards = 0);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [483]);
    assert!(world.ends[CALLEE].received.is_empty());

    let limits = Limits { hops_max: 0, ..Limits::default() };
    let mut world = World::of(Setup { limits, ..Setup::default() });
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [483]);
    assert_eq!(refusal(&world), Refusal::TooManyHops);
}

#[test]
fn max_forwards_goes_down_by_one() {
    let mut world = World::new();
    world.dial_with(CALLER, |params| params.max_forwards = 5);
    world.run_ms(50);
    assert_eq!(world.requests(CALLEE, Method::Invite)[0].max_forwards(), Some(4));
}

#[test]
fn a_draining_node_takes_no_new_calls_and_cuts_none() {
    let mut world = World::new();
    let (_, callee) = world.talk();
    world.b2bua.drain_calls();
    world.dial(CALLER);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.statuses(CALLER), [180, 200, 503]);
    assert_eq!(refusal(&world), Refusal::Draining);
    assert_eq!(world.requests(CALLEE, Method::Bye).len(), 0);
    world.hang_up(CALLEE, callee);
    world.settle();
}

#[test]
fn the_deadline_ends_every_call_with_a_reason() {
    let mut world = World::new();
    world.talk();
    world.dial(CALLER);
    world.run_ms(50);
    let now = world.now;
    world.b2bua.end_all(now);
    world.drain();
    world.run_ms(100);
    assert_eq!(world.requests(CALLER, Method::Bye).len(), 1);
    assert_eq!(world.requests(CALLEE, Method::Bye).len(), 1);
    assert_eq!(world.statuses(CALLER), [180, 200, 503]);
    let records = world.records();
    assert!(records.iter().all(|record| record.cause.ended_by == Party::Trunkline), "{records:?}");
    assert_eq!(records.len(), 2);
    world.settle();
}

#[test]
fn the_longest_duration_ends_a_call() {
    let limits = Limits { duration_max: Some(Duration::from_secs(3600)), ..Limits::default() };
    let mut world = World::of(Setup { limits, ..Setup::default() });
    world.talk();
    world.run_for(Duration::from_secs(3599));
    assert_eq!(world.records().len(), 0);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.record().cause.detail, "longest duration reached");
    world.settle();
}

#[test]
fn a_call_without_any_rtp_is_ended_by_policy() {
    let mut setup = Setup::default();
    setup.callee_trunk.media.silence_max = Some(Duration::from_secs(30));
    let mut world = World::of(setup);
    world.talk();
    world.run_for(Duration::from_secs(31));
    let cause = world.record().cause;
    assert_eq!((cause.sip, cause.q850, cause.ended_by), (200, Q850::TIMER_EXPIRY, Party::Trunkline));
    assert_eq!(cause.detail, "no RTP from either side");
    assert_eq!(world.requests(CALLER, Method::Bye).len(), 1);
    world.settle();
}

#[test]
fn another_table_of_routes_touches_no_call() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    let setup = Setup { routes: vec![], ..Setup::default() };
    let now = world.now;
    world.b2bua.set_routes(now, setup.table());
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [180, 200, 404]);
    let to_callee = world.relay(CALLEE);
    world.talk_for(5, &[(CALLEE, 6000, to_callee, 0)]);
    assert_eq!(world.heard(CALLER, 4000).len(), 5);
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn a_trunk_that_is_taken_out_of_the_table_keeps_its_calls() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    let now = world.now;
    world.b2bua.set_routes(now, Default::default());
    world.run_for(Duration::from_secs(5));
    world.with(CALLER, |ua, now| ua.hangup(now, caller, Headers::new())).unwrap();
    world.run_ms(100);
    assert_eq!(world.requests(CALLEE, Method::Bye).len(), 1);
    assert!(world.b2bua.trunk_load().is_empty());
    world.settle();
}

#[test]
fn each_leg_has_its_own_session_timer_and_a_caller_that_is_gone_ends_both() {
    let mut setup = Setup::default();
    let timer = SessionTimerPolicy { expires: Duration::from_secs(90), min: Duration::from_secs(90) };
    setup.caller_trunk.session_timer = timer;
    setup.callee_trunk.session_timer = timer;
    setup.end_profile.session_timer = timer;
    let mut world = World::of(setup);
    world.talk();
    world.run_for(Duration::from_secs(600));
    assert_eq!(world.records().len(), 0, "refreshed for ten minutes");
    world.dead.insert(world.ends[CALLER].at.ip());
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.requests(CALLEE, Method::Bye).len(), 1);
    let record = world.record();
    assert_eq!(record.cause.sip, 200);
    assert_eq!(record.cause.trunk.unwrap().as_str(), "east");
    world.settle();
}

#[test]
fn a_caller_that_requires_what_its_trunk_does_not_do_is_told_so() {
    let mut setup = Setup::default();
    setup.caller_trunk.reliability = trunkline_model::Reliability::Off;
    setup.end_profile.reliability = trunkline_model::Reliability::Required;
    let mut world = World::of(setup);
    world.dial(CALLER);
    world.run_ms(50);
    assert_eq!(world.statuses(CALLER), [420]);
    assert_eq!(world.record().cause.sip, 420);
    assert!(world.ends[CALLEE].received.is_empty());
    world.settle();
}

#[test]
fn peers_that_ask_within_a_call_are_not_sent_elsewhere_while_the_node_drains() {
    let mut world = World::new();
    let (caller, _) = world.talk();
    world.b2bua.drain_calls();
    let params =
        |scope| RequestParams { method: Method::Options, scope, headers: Headers::new(), body: None };
    world.with(CALLER, |ua, now| ua.request(now, params(Scope::Session(caller)))).unwrap();
    world.run_ms(50);
    let status = world.ends[CALLER].events.iter().find_map(|event| match event {
        Event::Response { result: Ok(response), .. } => response.status(),
        _ => None,
    });
    assert_eq!(status, Some(200));
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn an_invite_refused_for_overload_is_recorded_once_however_often_it_comes() {
    let mut setup = Setup::default();
    setup.sip_limits.sessions = 0;
    let mut world = World::of(setup);
    let invite = format!(
        "INVITE sip:{NUMBER}@203.0.113.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKover\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+12065550111@x>;tag=1\r\nTo: <sip:{NUMBER}@y>\r\n\
         Call-ID: over\r\nCSeq: 1 INVITE\r\nContact: <sip:192.0.2.10>\r\nContent-Length: 0\r\n\r\n"
    );
    for _ in 0..3 {
        world.inject(CALLER, invite.clone().into());
        world.run_ms(500);
    }
    assert_eq!(world.statuses(CALLER), [503, 503, 503]);
    assert_eq!(world.record().cause.sip, 503);
    assert_eq!(world.b2bua.totals().offered, 1);
    world.inject(CALLER, invite.replace("over", "again").into());
    world.run_ms(50);
    assert_eq!(world.records().len(), 2, "another is another");
    assert_eq!(world.b2bua.sip_counts().server_transactions, 0);
}
