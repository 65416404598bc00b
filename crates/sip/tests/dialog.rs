//! Dialogs as a peer on the wire sees them: route sets, targets, sequence numbers, forks.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use trunkline_model::Transport;
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{Body, EndReason, Event, ForkId, Headers, SessionId};
use world::{ALICE, BOB, World, ms, sdp, secs};

/// A response to the INVITE that Alice sent last, from a fork.
fn response(world: &World, status: u16, tag: &str, extra: &str, body: &str) -> String {
    let invite = world.ends[ALICE].last_request(Method::Invite);
    let content = if body.is_empty() { String::new() } else { "Content-Type: application/sdp\n".to_owned() };
    let length = body.len();
    format!(
        "SIP/2.0 {status} X\nVia: {via}\nFrom: {from}\nTo: {to};tag={tag}\nCall-ID: {call_id}\n\
         CSeq: {number} INVITE\n{extra}{content}Content-Length: {length}\n\n{body}",
        via = invite.header(Name::Via).unwrap(),
        from = invite.header(Name::From).unwrap(),
        to = invite.header(Name::To).unwrap().split(";tag=").next().unwrap(),
        call_id = invite.call_id(),
        number = invite.cseq().unwrap().number,
    )
}

fn answer(world: &mut World, from: &str, status: u16, tag: &str, extra: &str, body: &str) {
    let text = response(world, status, tag, extra, body);
    world.inject(ALICE, from, &text);
}

/// What went to an address where nobody of ours is.
fn outside<'a>(world: &'a World, to: &str, method: &Method) -> Vec<&'a Message> {
    let to = to.parse().unwrap();
    world.outside.iter().filter(|(at, m)| *at == to && m.method() == Some(method)).map(|(_, m)| m).collect()
}

#[test]
fn requests_take_the_route_of_loose_routers_in_reverse() {
    let mut world = World::new(1);
    let alice = world.dial();
    let routes = "Contact: <sip:callee@127.0.0.30:5062>\nRecord-Route: <sip:127.0.0.22;lr>, <sip:127.0.0.21:5061;lr>\n";
    answer(&mut world, "127.0.0.21:5061", 200, "f1", routes, "answer");
    world.act(ALICE, |ua, now| ua.hangup(now, alice, Headers::new()).unwrap());
    world.run_for(ms(100));
    for method in [Method::Ack, Method::Bye] {
        let sent = outside(&world, "127.0.0.21:5061", &method);
        assert_eq!(sent.len(), 1, "{method} goes to the first hop");
        assert_eq!(sent[0].uri_text(), "sip:callee@127.0.0.30:5062");
        let route: Vec<&str> = sent[0].list(Name::Route).collect();
        assert_eq!(route, ["<sip:127.0.0.21:5061;lr>", "<sip:127.0.0.22;lr>"]);
    }
}

#[test]
fn a_strict_router_gets_the_request_uri_and_the_target_goes_last() {
    let mut world = World::new(2);
    world.dial();
    let routes = "Contact: <sip:callee@127.0.0.30>\nRecord-Route: <sip:127.0.0.22;lr>, <sip:127.0.0.21>\n";
    answer(&mut world, "127.0.0.21:5060", 200, "f1", routes, "answer");
    world.run_for(ms(100));
    let ack = outside(&world, "127.0.0.21:5060", &Method::Ack);
    assert_eq!(ack.len(), 1);
    assert_eq!(ack[0].uri_text(), "sip:127.0.0.21");
    let route: Vec<&str> = ack[0].list(Name::Route).collect();
    assert_eq!(route, ["<sip:127.0.0.22;lr>", "<sip:callee@127.0.0.30>"]);
}

#[test]
fn a_callee_takes_the_route_of_the_invite_in_order() {
    let mut world = World::new(3);
    world.inject(
        BOB,
        "127.0.0.21:5060",
        "INVITE sip:b@127.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.21;branch=z9hG4bKr\nMax-Forwards: 70\n\
         Record-Route: <sip:127.0.0.21;lr>\nRecord-Route: <sip:127.0.0.22;lr>\nFrom: <sip:a@x>;tag=1\n\
         To: <sip:b@127.0.0.2>\nCall-ID: routed\nCSeq: 1 INVITE\nContact: <sip:a@127.0.0.40>\n\
         Content-Type: application/sdp\nContent-Length: 5\n\noffer",
    );
    let bob = world.ends[BOB].incoming().unwrap();
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap());
    let ok = world.ends[BOB].last_sent(|m| m.status() == Some(200)).clone();
    let recorded: Vec<&str> = ok.list(Name::RecordRoute).collect();
    assert_eq!(recorded, ["<sip:127.0.0.21;lr>", "<sip:127.0.0.22;lr>"]);
    world.act(BOB, |ua, now| ua.hangup(now, bob, Headers::new()).unwrap());
    world.run_for(secs(33));
    let bye = &outside(&world, "127.0.0.21:5060", &Method::Bye)[0];
    assert_eq!(bye.uri_text(), "sip:a@127.0.0.40");
    let route: Vec<&str> = bye.list(Name::Route).collect();
    assert_eq!(route, recorded);
    assert_eq!(bye.cseq().unwrap().number, 1);
}

#[test]
fn the_target_is_refreshed_by_each_contact() {
    let mut world = World::new(4);
    let alice = world.dial();
    answer(
        &mut world,
        "127.0.0.21:5060",
        200,
        "f1",
        "Contact: <sip:one@127.0.0.30>\nAllow: UPDATE\n",
        "answer",
    );
    world.act(ALICE, |ua, now| ua.reinvite(now, alice, Some(sdp("new")), Headers::new()).unwrap());
    assert_eq!(world.ends[ALICE].last_request(Method::Invite).uri_text(), "sip:one@127.0.0.30");
    answer(&mut world, "127.0.0.21:5060", 200, "f1", "Contact: <sip:two@127.0.0.31>\n", "answer");
    assert_eq!(world.ends[ALICE].last_request(Method::Ack).uri_text(), "sip:two@127.0.0.31");
    let ack = world.ends[ALICE].last_request(Method::Ack).clone();
    let update = format!(
        "UPDATE sip:x@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.21;branch=z9hG4bKu\nMax-Forwards: 70\n\
         From: {}\nTo: {}\nCall-ID: {}\nCSeq: 1 UPDATE\nContact: <sip:three@127.0.0.32>\nContent-Length: 0\n\n",
        ack.header(Name::To).unwrap(),
        ack.header(Name::From).unwrap(),
        ack.call_id(),
    );
    world.inject(ALICE, "127.0.0.21:5060", &update);
    assert_eq!(world.ends[ALICE].sent_responses(200, Method::Update), 1);
    world.act(ALICE, |ua, now| ua.hangup(now, alice, Headers::new()).unwrap());
    assert_eq!(world.ends[ALICE].last_request(Method::Bye).uri_text(), "sip:three@127.0.0.32");
}

#[test]
fn a_request_with_an_old_number_gets_500_and_a_repeated_one_482() {
    let mut world = World::new(5);
    world.dial();
    answer(&mut world, "127.0.0.21:5060", 200, "f1", "Contact: <sip:one@127.0.0.30>\n", "answer");
    let ack = world.ends[ALICE].last_request(Method::Ack).clone();
    let request = |number: u32, branch: &str| {
        format!(
            "UPDATE sip:x@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.21;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
             From: {}\nTo: {}\nCall-ID: {}\nCSeq: {number} UPDATE\nContact: <sip:127.0.0.30>\nContent-Length: 0\n\n",
            ack.header(Name::To).unwrap(),
            ack.header(Name::From).unwrap(),
            ack.call_id(),
        )
    };
    for (number, branch, status) in [(5, "a", 200), (4, "b", 500), (5, "c", 482), (9, "d", 200)] {
        world.inject(ALICE, "127.0.0.21:5060", &request(number, branch));
        assert_eq!(world.ends[ALICE].sent.last().unwrap().status(), Some(status), "CSeq {number}");
    }
    assert!(world.ends[ALICE].last_sent(|m| m.status() == Some(500)).header(Name::RetryAfter).is_some());
    let stranger = request(10, "e").replace(";tag=f1", ";tag=f2");
    world.inject(ALICE, "127.0.0.21:5060", &stranger);
    assert_eq!(world.ends[ALICE].sent.last().unwrap().status(), Some(481));
}

fn progress_of(world: &World) -> Vec<(ForkId, Option<Body>)> {
    world.ends[ALICE]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Progress { fork, body, .. } => Some((*fork, body.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn each_fork_has_its_own_early_dialog_and_early_media() {
    let mut world = World::new(6);
    let alice = world.dial();
    for (tag, text) in [("f1", "media one"), ("f2", "media two"), ("f1", "media one again")] {
        answer(&mut world, "127.0.0.21:5060", 183, tag, "Contact: <sip:one@127.0.0.30>\n", text);
    }
    let seen = progress_of(&world);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].0, seen[2].0);
    assert_ne!(seen[0].0, seen[1].0);
    assert_eq!(seen[1].1, Some(Body::Answer(sdp("media two"))));
    answer(&mut world, "127.0.0.21:5060", 200, "f2", "Contact: <sip:two@127.0.0.31>\n", "media two");
    let answered = world.ends[ALICE].events.iter().find_map(|event| match event {
        Event::Answered { fork, .. } => Some(*fork),
        _ => None,
    });
    assert_eq!(answered, Some(seen[1].0));
    assert!(world.ends[ALICE].is_up(alice));
}

#[test]
fn reliable_responses_of_two_forks_are_acknowledged_apart() {
    let mut world = World::new(7);
    world.dial();
    let reliable =
        |host: u32, rseq: u32| format!("Contact: <sip:127.0.0.{host}>\nRequire: 100rel\nRSeq: {rseq}\n");
    answer(&mut world, "127.0.0.21:5060", 183, "f1", &reliable(31, 5), "one");
    answer(&mut world, "127.0.0.21:5060", 183, "f2", &reliable(32, 900), "two");
    // One that comes again is not acknowledged by a new PRACK, nor is one that came too early.
    answer(&mut world, "127.0.0.21:5060", 183, "f1", &reliable(31, 5), "one");
    answer(&mut world, "127.0.0.21:5060", 180, "f1", &reliable(31, 7), "");
    world.run_for(ms(50));
    let prack = |host: u32| -> Vec<String> {
        outside(&world, &format!("127.0.0.{host}:5060"), &Method::Prack)
            .iter()
            .map(|m| m.header(Name::RAck).unwrap().to_owned())
            .collect()
    };
    assert_eq!(prack(31), ["5 1 INVITE"]);
    assert_eq!(prack(32), ["900 1 INVITE"]);
    assert_eq!(progress_of(&world).len(), 2);
}

#[test]
fn further_forks_that_answer_are_acknowledged_and_hung_up_also_when_the_call_is_over() {
    let mut world = World::new(8);
    world.net.drop_requests(Method::Invite, usize::MAX);
    let alice = world.dial();
    answer(&mut world, "127.0.0.21:5060", 200, "f1", "Contact: <sip:127.0.0.31>\n", "one");
    answer(&mut world, "127.0.0.21:5060", 200, "f2", "Contact: <sip:127.0.0.32>\n", "two");
    answer(&mut world, "127.0.0.21:5060", 200, "f2", "Contact: <sip:127.0.0.32>\n", "two");
    world.run_for(ms(50));
    assert!(world.ends[ALICE].is_up(alice));
    assert_eq!(outside(&world, "127.0.0.32:5060", &Method::Ack).len(), 2);
    assert_eq!(outside(&world, "127.0.0.32:5060", &Method::Bye).len(), 1);
    assert_eq!(outside(&world, "127.0.0.31:5060", &Method::Bye).len(), 0);

    world.act(ALICE, |ua, now| ua.hangup(now, alice, Headers::new()).unwrap());
    let bye = world.ends[ALICE].last_request(Method::Bye).clone();
    let gone = trunkline_sip::message::response_to(&bye, 200, "OK", None).finish().unwrap();
    world.inject(
        ALICE,
        "127.0.0.31:5060",
        std::str::from_utf8(gone.bytes()).unwrap().replace('\r', "").as_str(),
    );
    assert_eq!(world.ends[ALICE].ua.counts().sessions, 0);
    let late = response_to_invite(&world, "f3", 33);
    world.inject(ALICE, "127.0.0.21:5060", &late);
    world.run_for(ms(50));
    assert_eq!(outside(&world, "127.0.0.33:5060", &Method::Ack).len(), 1);
    assert_eq!(outside(&world, "127.0.0.33:5060", &Method::Bye).len(), 1);
    world.assert_nothing_is_left();
}

fn response_to_invite(world: &World, tag: &str, host: u32) -> String {
    response(world, 200, tag, &format!("Contact: <sip:127.0.0.{host}>\n"), "late")
}

#[test]
fn more_forks_than_the_limit_are_ignored_until_they_answer() {
    let mut world = World::new(9);
    let alice = world.dial();
    for fork in 0..40 {
        answer(&mut world, "127.0.0.21:5060", 180, &format!("f{fork}"), "Contact: <sip:127.0.0.31>\n", "");
    }
    assert_eq!(progress_of(&world).len(), world.ends[ALICE].ua.config().limits.forks);
    answer(&mut world, "127.0.0.21:5060", 200, "f39", "Contact: <sip:127.0.0.39>\n", "answer");
    assert!(world.ends[ALICE].is_up(alice));
    assert_eq!(world.ends[ALICE].last_request(Method::Ack).uri_text(), "sip:127.0.0.39");
}

#[test]
fn a_contact_by_name_is_looked_up_before_the_ack() {
    let mut world = World::new(10);
    world.dial();
    answer(&mut world, "127.0.0.21:5060", 200, "f1", "Contact: <sip:gw.carrier.example>\n", "answer");
    // The world resolves every name to Bob.
    let ack = world.ends[ALICE].last_request(Method::Ack);
    assert_eq!(ack.uri_text(), "sip:gw.carrier.example");
    answer(&mut world, "127.0.0.21:5060", 200, "f1", "Contact: <sip:gw.carrier.example>\n", "answer");
    assert_eq!(world.ends[ALICE].sent_requests(Method::Ack), 2);
}

#[test]
fn via_and_contact_show_the_advertised_address_of_the_peer() {
    let mut world = World::new(11);
    let mut params = world.params(Some("offer"));
    params.profile.advertised = Some(trunkline_sip::transport::Advertised {
        host: trunkline_model::Host::Ip("203.0.113.5".parse().unwrap()),
        port: Some(5099),
    });
    let profile = params.profile.clone();
    world.dial_with(params);
    let invite = world.ends[ALICE].last_request(Method::Invite);
    assert!(invite.header(Name::Via).unwrap().starts_with("SIP/2.0/UDP 203.0.113.5:5099;"));
    assert_eq!(invite.header(Name::Contact), Some("<sip:+14255550101@203.0.113.5:5099>"));
    let bob = world.await_incoming();
    world.act(BOB, |ua, now| {
        ua.adopt(now, bob, profile).unwrap();
        ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap();
    });
    let ok = world.ends[BOB].last_sent(|m| m.status() == Some(200));
    assert_eq!(ok.header(Name::Contact), Some("<sip:+14255550100@203.0.113.5:5099>"));
}

#[test]
fn a_call_over_tcp_stays_on_its_connection() {
    let mut world = World::new(12);
    let mut params = world.params(Some("offer"));
    params.destination = trunkline_sip::resolve::Destination::Target(trunkline_sip::transport::Target::new(
        Transport::Tcp,
        world::address(BOB),
    ));
    let alice = world.dial_with(params);
    let bob = world.await_incoming();
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap());
    world.run_for(secs(1));
    assert!(world.ends[ALICE].is_up(alice) && world.ends[BOB].is_up(bob));
    let invite = world.ends[ALICE].last_request(Method::Invite);
    assert!(invite.header(Name::Contact).unwrap().contains(";transport=tcp"));
    hang_up_and_check(&mut world, alice, bob);
}

fn hang_up_and_check(world: &mut World, alice: SessionId, bob: SessionId) {
    world.act(BOB, |ua, now| ua.hangup(now, bob, Headers::new()).unwrap());
    world.run_for(secs(1));
    assert!(matches!(world.ends[ALICE].end_reason(alice), Some(EndReason::Bye(_))));
    world.assert_nothing_is_left();
}
