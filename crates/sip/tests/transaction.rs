//! Requests and responses as a peer on the wire sees them: matching, refusals, routing of responses.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use bytes::Bytes;
use trunkline_model::Transport;
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::resolve::{Destination, ResolveError};
use trunkline_sip::transport::{ConnectionId, Flow, Target};
use trunkline_sip::user_agent::{
    Config, Event, Failure, Headers, Input, Output, Profile, Reply, RequestParams, Scope, SessionId,
    UserAgent,
};
use trunkline_sip::{Error, Timer};
use world::{ALICE, BOB, World, address, config, ms, sdp, secs};

const PEER: &str = "127.0.0.9:5070";

fn invite(branch: &str, changes: &[(&str, &str)]) -> String {
    let text = format!(
        "INVITE sip:+14255550100@127.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.9:5070;branch={branch}\n\
         Max-Forwards: 70\nFrom: <sip:peer@127.0.0.9>;tag=77\nTo: <sip:+14255550100@127.0.0.2>\n\
         Call-ID: raw-call\nCSeq: 7 INVITE\nContact: <sip:peer@127.0.0.9:5070>\nSupported: timer\n\
         Content-Type: application/sdp\nContent-Length: 5\n\noffer"
    );
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

fn options(branch: &str) -> String {
    format!(
        "OPTIONS sip:127.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.9:5070;branch={branch}\nMax-Forwards: 0\n\
         From: <sip:peer@127.0.0.9>;tag=1\nTo: <sip:127.0.0.2>\nCall-ID: ping-{branch}\nCSeq: 1 OPTIONS\n\
         Content-Length: 0\n\n"
    )
}

/// Has a raw request arrive and returns the final response to it.
fn ask(world: &mut World, text: &str) -> Message {
    let before = world.ends[BOB].sent.len();
    world.inject(BOB, PEER, text);
    let sent = &world.ends[BOB].sent[before..];
    sent.iter().rev().find(|m| m.status().is_some_and(|status| status >= 200)).expect("an answer").clone()
}

// Matching (RFC 3261 §17.2.3).

#[test]
fn a_request_that_comes_again_is_answered_alike_and_told_once() {
    let mut world = World::new(1);
    for _ in 0..3 {
        world.inject(BOB, PEER, &invite("z9hG4bKone", &[]));
    }
    assert_eq!(world.ends[BOB].sent_responses(100, Method::Invite), 3);
    assert_eq!(world.ends[BOB].events.len(), 1);
    let first = ask(&mut world, &options("z9hG4bKping"));
    let again = ask(&mut world, &options("z9hG4bKping"));
    assert_eq!(first.bytes(), again.bytes());
}

#[test]
fn the_same_branch_from_another_host_or_method_is_another_request() {
    let mut world = World::new(2);
    world.inject(BOB, PEER, &invite("z9hG4bKone", &[]));
    let other = invite("z9hG4bKone", &[("127.0.0.9:5070;", "127.0.0.8:5070;"), ("raw-call", "other-call")]);
    world.inject(BOB, "127.0.0.8:5070", &other);
    assert_eq!(world.ends[BOB].events.len(), 2);
}

#[test]
fn a_client_of_rfc_2543_is_matched_without_the_magic_cookie() {
    let mut world = World::new(3);
    for _ in 0..2 {
        world.inject(BOB, PEER, &invite("1", &[]));
    }
    assert_eq!(world.ends[BOB].events.len(), 1);
    let bob = world.ends[BOB].incoming().unwrap();
    world.act(BOB, |ua, now| ua.reject(now, bob, Reply::new(486)).unwrap());
    let busy = world.ends[BOB].last_sent(|m| m.status() == Some(486)).clone();
    let ack = invite(
        "1",
        &[
            ("INVITE sip", "ACK sip"),
            ("7 INVITE", "7 ACK"),
            ("Content-Type: application/sdp\nContent-Length: 5\n\noffer", "Content-Length: 0\n\n"),
        ],
    )
    .replace("To: <sip:+14255550100@127.0.0.2>", &format!("To: {}", busy.header(Name::To).unwrap()));
    world.inject(BOB, PEER, &ack);
    world.run_for(secs(10));
    assert_eq!(world.ends[BOB].sent_responses(486, Method::Invite), 1, "the ACK was matched");
}

#[test]
fn a_response_that_matches_nothing_is_dropped() {
    let mut world = World::new(4);
    world.dial();
    world.inject(
        ALICE,
        PEER,
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK0000000000000000aaaaaaaa\n\
         From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nContent-Length: 0\n\n",
    );
    assert_eq!(world.ends[ALICE].ua.counts().stray, 1);
    assert!(world.ends[ALICE].events.is_empty());
}

// Refusals (RFC 3261 §8.2, §16.3).

/// What is replaced in a request, the status that it then gets, and a header of the answer.
type Fault = (&'static str, &'static str, u16, Option<(Name, &'static str)>);

#[test]
fn each_fault_of_a_request_has_its_answer() {
    let cases: &[Fault] = &[
        ("Max-Forwards: 70", "Max-Forwards: 0", 483, None),
        ("Supported: timer", "Require: 100rel, foo, timer, bar", 420, Some((Name::Unsupported, "foo, bar"))),
        ("INVITE sip:+14255550100@127.0.0.2", "INVITE urn:service:sos", 416, None),
        ("Contact: <sip:peer@127.0.0.9:5070>\n", "", 400, None),
        ("CSeq: 7 INVITE", "CSeq: 7 BYE", 400, None),
        ("Call-ID: raw-call\n", "", 400, None),
        (
            "Content-Type: application/sdp",
            "Content-Type: text/plain",
            415,
            Some((Name::Accept, "application/sdp")),
        ),
        ("To: <sip:+14255550100@127.0.0.2>", "To: <sip:+14255550100@127.0.0.2>;tag=gone", 481, None),
        ("Supported: timer", "Supported: timer\nSession-Expires: 60", 422, Some((Name::MinSe, "90"))),
    ];
    for (number, (from, to, status, header)) in cases.iter().enumerate() {
        let mut world = World::new(10);
        let request = invite(&format!("z9hG4bKbad{number}"), &[(from, to)]);
        world.inject(BOB, PEER, &request);
        // A request without Call-ID is answered by what could be read of it, or dropped.
        let Some(answer) = world.ends[BOB].sent.iter().rev().find(|m| m.status() != Some(100)) else {
            assert_eq!(*from, "Call-ID: raw-call\n");
            continue;
        };
        assert_eq!(answer.status(), Some(*status), "{to}");
        assert!(answer.to().unwrap().tag().is_some());
        if let Some((name, value)) = header {
            assert_eq!(answer.header(*name), Some(*value));
        }
        let is_told = |event: &Event| matches!(event, Event::Refused { status: told, .. } if told == status);
        assert!(world.ends[BOB].events.iter().all(is_told), "{to}");
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_method_that_is_not_listed_gets_405_with_allow() {
    let mut world = World::new(11);
    let refer = invite("z9hG4bKm", &[("INVITE sip", "REFER sip"), ("7 INVITE", "7 REFER")]);
    let answer = ask(&mut world, &refer);
    assert_eq!(answer.status(), Some(405));
    assert!(answer.lists(Name::Allow, "INVITE") && answer.lists(Name::Allow, "UPDATE"));
    assert!(!answer.lists(Name::Allow, "REFER"));
}

#[test]
fn requests_for_no_dialog_get_481() {
    for method in ["BYE", "UPDATE", "PRACK", "CANCEL"] {
        let mut world = World::new(12);
        let request = invite(
            "z9hG4bKx",
            &[("INVITE sip", &format!("{method} sip")), ("7 INVITE", &format!("7 {method}"))],
        );
        assert_eq!(ask(&mut world, &request).status(), Some(481), "{method}");
        world.assert_nothing_is_left();
    }
}

#[test]
fn copies_of_one_request_on_two_paths_get_one_482() {
    let mut world = World::new(13);
    world.inject(BOB, PEER, &invite("z9hG4bKfirst", &[]));
    assert_eq!(ask(&mut world, &invite("z9hG4bKsecond", &[])).status(), Some(482));
    assert!(world.ends[BOB].incoming().is_some());
    assert_eq!(world.ends[BOB].events.len(), 2, "the second is told as refused");
    // Its end does not make a third copy pass.
    world.run_for(secs(60));
    assert_eq!(ask(&mut world, &invite("z9hG4bKthird", &[])).status(), Some(482));
}

#[test]
fn a_request_of_ours_that_comes_back_is_a_loop() {
    let mut world = World::new(14);
    world.dial();
    let sent = world.ends[ALICE].last_request(Method::Invite).clone();
    let ours = sent.header(Name::Via).unwrap();
    let looped = format!(
        "INVITE {} SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.9:5070;branch=z9hG4bKproxy\nVia: {ours}\nMax-Forwards: 69\n\
         From: {}\nTo: {}\nCall-ID: {}\nCSeq: 1 INVITE\nContact: <sip:127.0.0.1>\nContent-Length: 0\n\n",
        sent.uri_text(),
        sent.header(Name::From).unwrap(),
        sent.header(Name::To).unwrap(),
        sent.call_id(),
    );
    world.inject(ALICE, PEER, &looped);
    assert_eq!(world.ends[ALICE].sent_responses(482, Method::Invite), 1);
    // To another number it is a call that a proxy routed on to us.
    let spiral = looped
        .replace(sent.uri_text(), "sip:+14255550177@127.0.0.1")
        .replace("Kproxy", "Kproxy2")
        .replace("CSeq: 1", "CSeq: 2");
    world.inject(ALICE, PEER, &spiral);
    assert_eq!(world.ends[ALICE].sent_responses(482, Method::Invite), 1);
    assert!(world.ends[ALICE].incoming().is_some());
}

#[test]
fn under_overload_requests_get_503_with_retry_after_and_nothing_is_kept() {
    let mut limited = config(address(BOB));
    limited.limits.sessions = 1;
    let mut world = World::with(15, config(address(ALICE)), limited);
    world.inject(BOB, PEER, &invite("z9hG4bKa", &[]));
    let second = invite("z9hG4bKb", &[("raw-call", "second-call")]);
    let first = ask(&mut world, &second);
    assert_eq!(first.status(), Some(503));
    assert!(first.header(Name::RetryAfter).is_some());
    let again = ask(&mut world, &second);
    assert_eq!(first.bytes(), again.bytes(), "a stateless answer has the same tag");
    assert_eq!(world.ends[BOB].ua.counts().server_transactions, 1);
    assert_eq!(world.ends[BOB].ua.counts().overloaded, 2);
    assert_eq!(ask(&mut world, &options("z9hG4bKc")).status(), Some(200), "what is not a new session passes");
}

#[test]
fn malformed_bytes_are_counted_and_dropped_or_answered() {
    let mut world = World::new(16);
    let flow = Flow {
        transport: Transport::Udp,
        local: address(BOB),
        remote: PEER.parse().unwrap(),
        connection: None,
    };
    for bytes in ["garbage", "\r\n\r\n", "INVITE\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"] {
        world.deliver(BOB, flow, Bytes::from_static(bytes.as_bytes()));
    }
    assert!(world.ends[BOB].sent.is_empty());
    assert_eq!(world.ends[BOB].ua.counts().malformed, 3);
    let answer = ask(&mut world, &invite("z9hG4bKlong", &[("Content-Length: 5", "Content-Length: 500")]));
    assert_eq!(answer.status(), Some(400));
    assert_eq!(answer.reason(), "Body shorter than Content-Length");
}

// The way back (RFC 3261 §18.2, RFC 3581).

#[test]
fn a_response_goes_to_the_sent_by_port_or_with_rport_to_the_source_port() {
    let mut world = World::new(20);
    world.inject(BOB, "127.0.0.9:40000", &options("z9hG4bKa"));
    world.inject(BOB, "127.0.0.9:40000", &options("z9hG4bKb;rport"));
    world.inject(BOB, "127.0.0.7:40000", &options("z9hG4bKc;maddr=127.0.0.99"));
    world.run_for(ms(100));
    world.outside.sort_by_key(|(_, m)| m.call_id().to_owned());
    let to: Vec<String> = world.outside.iter().map(|(to, _)| to.to_string()).collect();
    assert_eq!(to, ["127.0.0.9:5070", "127.0.0.9:40000", "127.0.0.99:5070"]);
    let via = |at: usize| world.outside[at].1.top_via().unwrap();
    assert_eq!(via(0).received(), None);
    assert_eq!((via(1).received(), via(1).rport()), (Some("127.0.0.9".parse().unwrap()), Some(40000)));
    assert_eq!(via(2).received(), Some("127.0.0.7".parse().unwrap()));
}

#[test]
fn over_a_stream_responses_and_later_requests_take_the_same_connection() {
    let mut ua = UserAgent::new(config(address(BOB)), 1, world_start());
    let flow = stream(7);
    let now = world_start();
    receive(&mut ua, now, flow, &invite("z9hG4bKtcp", &[("SIP/2.0/UDP", "SIP/2.0/TCP")]));
    let session = incoming(&mut ua);
    assert!(matches!(ua.poll_timeout(), Some((_, Timer::OwnerAnswer))), "a stream needs no retransmission");
    ua.accept(now, session, Headers::new(), Some(sdp("answer"))).unwrap();
    let ok = drain(&mut ua).remove(0);
    assert_eq!(ok.0.connection, Some(ConnectionId(7)));
    // The peer comes back on another connection, and is then reached there.
    let to = ok.1.header(Name::To).unwrap();
    let ack = invite(
        "z9hG4bKack",
        &[
            ("SIP/2.0/UDP", "SIP/2.0/TCP"),
            ("INVITE sip", "ACK sip"),
            ("7 INVITE", "7 ACK"),
            ("Content-Type: application/sdp\nContent-Length: 5\n\noffer", "Content-Length: 0\n\n"),
            ("To: <sip:+14255550100@127.0.0.2>", &format!("To: {to}")),
        ],
    );
    receive(&mut ua, now, stream(8), &ack);
    ua.hangup(now, session, Headers::new()).unwrap();
    let bye = drain(&mut ua).remove(0);
    assert_eq!(bye.1.method(), Some(&Method::Bye));
    assert_eq!(bye.0.connection, Some(ConnectionId(8)));
    // That one is gone too: the peer is called at its Contact.
    ua.handle_input(
        now,
        Input::TransportFailed {
            transport: Transport::Tcp,
            remote: bye.0.remote,
            connection: bye.0.connection,
            quoted: None,
        },
    );
    let again = drain(&mut ua).remove(0);
    assert_eq!(again.1.method(), Some(&Method::Bye));
    assert_eq!((again.0.remote, again.0.connection), (PEER.parse().unwrap(), None));
}

fn world_start() -> std::time::Instant {
    trunkline_model::clock::first_instant()
}

fn stream(connection: u64) -> Flow {
    Flow {
        transport: Transport::Tcp,
        local: address(BOB),
        remote: "127.0.0.9:33333".parse().unwrap(),
        connection: Some(ConnectionId(connection)),
    }
}

fn receive(ua: &mut UserAgent, now: std::time::Instant, flow: Flow, text: &str) {
    let bytes = Bytes::from(text.replace('\n', "\r\n"));
    ua.handle_input(now, Input::Received { flow, bytes });
}

fn incoming(ua: &mut UserAgent) -> SessionId {
    std::iter::from_fn(|| ua.poll_output())
        .find_map(|output| match output {
            Output::Event(Event::Incoming { session, .. }) => Some(session),
            _ => None,
        })
        .expect("an INVITE arrived")
}

fn drain(ua: &mut UserAgent) -> Vec<(Target, Message)> {
    std::iter::from_fn(|| ua.poll_output())
        .filter_map(|output| match output {
            Output::Transmit(transmit) => Some((transmit.target, Message::parse(transmit.bytes).unwrap())),
            Output::Resolve { .. } | Output::Event(_) => None,
        })
        .collect()
}

#[test]
fn a_rejection_over_a_stream_whose_connection_is_gone_takes_the_sent_by_address() {
    let mut ua = UserAgent::new(config(address(BOB)), 1, world_start());
    let now = world_start();
    let flow = stream(7);
    receive(&mut ua, now, flow, &invite("z9hG4bKtcp", &[("SIP/2.0/UDP", "SIP/2.0/TCP")]));
    let session = incoming(&mut ua);
    ua.handle_input(
        now,
        Input::TransportFailed {
            transport: Transport::Tcp,
            remote: flow.remote,
            connection: flow.connection,
            quoted: None,
        },
    );
    ua.reject(now, session, Reply::new(486)).unwrap();
    let sent = drain(&mut ua);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0.remote, PEER.parse().unwrap());
    assert_eq!(sent[0].0.connection, None);
}

#[test]
fn a_ping_on_a_stream_is_answered() {
    let mut ua = UserAgent::new(config(address(BOB)), 1, world_start());
    ua.handle_input(
        world_start(),
        Input::Received { flow: stream(7), bytes: Bytes::from_static(b"\r\n\r\n") },
    );
    let Some(Output::Transmit(pong)) = ua.poll_output() else { panic!("a pong") };
    assert_eq!(&pong.bytes[..], b"\r\n");
}

// Client side: failures, look-ups, the size of datagrams.

#[test]
fn a_transport_that_fails_ends_the_transactions_on_it_at_once() {
    let mut world = World::new(30);
    let alice = world.dial();
    world.act(ALICE, |ua, now| ua.handle_input(now, icmp(address(BOB), None)));
    assert!(matches!(world.ends[ALICE].failure(alice), Some(Failure::Transport)));
    assert_eq!(world.ends[ALICE].ua.counts().client_transactions, 0);
}

fn icmp(remote: std::net::SocketAddr, quoted: Option<Bytes>) -> Input {
    Input::TransportFailed { transport: Transport::Udp, remote, connection: None, quoted }
}

#[test]
fn an_icmp_error_does_not_end_what_has_had_a_response() {
    let mut world = World::new(32);
    world.ends[BOB].habit.rings = true;
    let ringing = world.dial();
    let invite = world.ends[ALICE].last_request(Method::Invite).bytes().clone();
    let bob = world.await_incoming();
    let dialling = world.dial();
    for quoted in [Some(invite), None] {
        world.act(ALICE, |ua, now| ua.handle_input(now, icmp(address(BOB), quoted)));
        assert!(!world.ends[ALICE].is_over(ringing));
    }
    assert!(matches!(world.ends[ALICE].failure(dialling), Some(Failure::Transport)));
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("answer"))).unwrap());
    world.run_for(secs(1));
    assert!(world.ends[ALICE].is_up(ringing));
}

#[test]
fn an_icmp_error_ends_only_the_transaction_that_it_quotes() {
    let mut world = World::new(33);
    let first = world.dial();
    let refused = world.ends[ALICE].last_request(Method::Invite).bytes().clone();
    let second = world.dial();
    let response =
        trunkline_sip::message::response_to(&Message::parse(refused.clone()).unwrap(), 486, "", Some("x"))
            .finish()
            .unwrap();
    let ack = Bytes::from(String::from_utf8(refused.to_vec()).unwrap().replacen("INVITE", "ACK", 1));
    let cancel = Bytes::from(String::from_utf8(refused.to_vec()).unwrap().replacen("INVITE", "CANCEL", 1));
    for other in [response.bytes().clone(), ack, cancel] {
        world.act(ALICE, |ua, now| ua.handle_input(now, icmp(address(BOB), Some(other))));
        assert!(!world.ends[ALICE].is_over(first));
    }
    // Routers quote some 500 bytes at most.
    world.act(ALICE, |ua, now| ua.handle_input(now, icmp(address(BOB), Some(refused.slice(..200)))));
    assert!(matches!(world.ends[ALICE].failure(first), Some(Failure::Transport)));
    assert!(!world.ends[ALICE].is_over(second));
    // Some quote the bare header of UDP, which says no more than the address does.
    world.act(ALICE, |ua, now| ua.handle_input(now, icmp(address(BOB), Some(Bytes::new()))));
    assert!(world.ends[ALICE].is_over(second));
}

fn named(world: &World) -> trunkline_sip::user_agent::InviteParams {
    let mut params = world.params(Some("offer"));
    params.destination =
        Destination::Host { host: "carrier.example".to_owned(), port: None, transport: None };
    params
}

#[test]
fn a_host_with_several_servers_is_tried_in_their_order() {
    let mut ua = UserAgent::new(config(address(ALICE)), 3, world_start());
    let world = World::new(31);
    let now = world_start();
    let session = ua.invite(now, named(&world)).unwrap();
    let Some(Output::Resolve { query, host, .. }) = ua.poll_output() else { panic!("a question") };
    assert_eq!(host, "carrier.example");
    let target = |text: &str| Target::new(Transport::Udp, text.parse().unwrap());
    let targets = vec![target("127.0.0.5:5060"), target("127.0.0.6:5060"), target("127.0.0.7:5060")];
    ua.handle_input(now, Input::Resolved { query, targets: Ok(targets) });
    let first = drain(&mut ua).remove(0);
    assert_eq!(first.0.remote, "127.0.0.5:5060".parse().unwrap());
    // The first does not exist, the second is out of service, the third is silent.
    ua.handle_input(now, icmp(first.0.remote, None));
    let second = drain(&mut ua).remove(0);
    assert_eq!(second.0.remote, "127.0.0.6:5060".parse().unwrap());
    assert_ne!(second.1.header(Name::Via), first.1.header(Name::Via));
    let unavailable = trunkline_sip::message::response_to(&second.1, 503, "No", Some("x")).finish().unwrap();
    let flow =
        Flow { transport: Transport::Udp, local: address(ALICE), remote: second.0.remote, connection: None };
    ua.handle_input(now, Input::Received { flow, bytes: unavailable.bytes().clone() });
    let third = drain(&mut ua);
    assert_eq!(third[0].1.method(), Some(&Method::Ack));
    assert_eq!(third[1].0.remote, "127.0.0.7:5060".parse().unwrap());
    let late = now + secs(33);
    ua.handle_timeout(late);
    let failed = std::iter::from_fn(|| ua.poll_output()).any(|output| {
        matches!(output, Output::Event(Event::Failed { session: of, failure: Failure::Timeout }) if of == session)
    });
    assert!(failed);
}

#[test]
fn what_one_server_said_does_not_count_for_the_next() {
    let mut ua = UserAgent::new(config(address(ALICE)), 3, world_start());
    let now = world_start();
    let session = ua.invite(now, named(&World::new(36))).unwrap();
    let Some(Output::Resolve { query, .. }) = ua.poll_output() else { panic!("a question") };
    let target = |text: &str| Target::new(Transport::Udp, text.parse().unwrap());
    let targets = vec![target("127.0.0.5:5060"), target("127.0.0.6:5060"), target("127.0.0.7:5060")];
    ua.handle_input(now, Input::Resolved { query, targets: Ok(targets) });
    let (first, invite) = drain(&mut ua).remove(0);
    let respond = |ua: &mut UserAgent, target: Target, invite: &Message, status: u16| {
        let response = trunkline_sip::message::response_to(invite, status, "x", Some("x")).finish().unwrap();
        let flow = Flow {
            transport: Transport::Udp,
            local: address(ALICE),
            remote: target.remote,
            connection: None,
        };
        ua.handle_input(now, Input::Received { flow, bytes: response.bytes().clone() });
        drain(ua)
    };
    assert!(respond(&mut ua, first, &invite, 180).is_empty());
    let (second, invite) = respond(&mut ua, first, &invite, 503).pop().unwrap();
    assert_eq!(second.remote, "127.0.0.6:5060".parse().unwrap());
    // RFC 3261 §9.1: the second server has said nothing yet.
    ua.hangup(now, session, Headers::new()).unwrap();
    assert!(drain(&mut ua).is_empty());
    // Nobody wants the third server to ring any more.
    let after = respond(&mut ua, second, &invite, 503);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].1.method(), Some(&Method::Ack));
    assert_eq!(ua.counts().sessions, 0);
}

#[test]
fn a_name_without_an_address_fails_the_call() {
    let mut ua = UserAgent::new(config(address(ALICE)), 3, world_start());
    let world = World::new(32);
    let now = world_start();
    ua.invite(now, named(&world)).unwrap();
    let Some(Output::Resolve { query, .. }) = ua.poll_output() else { panic!("a question") };
    ua.handle_input(now, Input::Resolved { query, targets: Err(ResolveError::NotFound) });
    let Some(Output::Event(Event::Failed { failure, .. })) = ua.poll_output() else { panic!("a failure") };
    assert_eq!(failure.status(), 503);

    ua.invite(now, named(&world)).unwrap();
    assert!(matches!(ua.poll_timeout(), Some((_, Timer::Resolve))));
    ua.handle_timeout(now + secs(20));
    assert_eq!(ua.counts().queries, 0);
    assert_eq!(ua.counts().sessions, 0);
}

#[test]
fn a_request_too_large_for_a_datagram_goes_over_tcp_where_that_is_allowed() {
    let mut allowing = config(address(ALICE));
    allowing.large_over_tcp = true;
    for (config, transport) in [(config(address(ALICE)), Transport::Udp), (allowing, Transport::Tcp)] {
        let mut ua = UserAgent::new(config, 3, world_start());
        let mut params = World::new(33).params(Some("offer"));
        params.offer = Some(Bytes::from(vec![b'x'; 1300]));
        ua.invite(world_start(), params).unwrap();
        let (target, message) = drain(&mut ua).remove(0);
        assert_eq!(target.transport, transport);
        let name = if transport == Transport::Tcp { "TCP" } else { "UDP" };
        assert_eq!(message.top_via().unwrap().transport(), name);
    }
}

#[test]
fn what_a_transport_has_no_listener_for_is_not_sent() {
    let mut ua = UserAgent::new(Config::default(), 3, world_start());
    let params = World::new(34).params(None);
    assert_eq!(ua.invite(world_start(), params), Err(Error::NoListener(Transport::Udp)));
    assert_eq!(ua.counts().sessions, 0);
}

#[test]
fn a_header_that_would_forge_another_is_refused() {
    let mut world = World::new(35);
    let mut params = world.params(None);
    params.headers = Headers::new().with(Name::Subject, "x\r\nFrom: <sip:evil@x>");
    let refused = world.act(ALICE, |ua, now| ua.invite(now, params));
    assert!(matches!(refused, Err(Error::Build(_))));
}

// Other requests.

fn ping() -> RequestParams {
    RequestParams {
        method: Method::Options,
        scope: Scope::Outside {
            destination: Destination::Target(Target::new(Transport::Udp, address(BOB))),
            uri: "sip:127.0.0.2".to_owned(),
            from: "<sip:127.0.0.1>".to_owned(),
            to: "<sip:127.0.0.2>".to_owned(),
            profile: Profile::default(),
        },
        headers: Headers::new(),
        body: None,
    }
}

#[test]
fn options_are_answered_with_what_we_can_do() {
    let mut world = World::new(40);
    world.net.drop_requests(Method::Options, 1);
    world.act(ALICE, |ua, now| ua.request(now, ping()).unwrap());
    world.run_for(secs(2));
    let answered = world.ends[ALICE].events.iter().any(|event| {
        matches!(event, Event::Response { result: Ok(response), .. }
            if response.status() == Some(200)
                && response.lists(Name::Allow, "PRACK")
                && response.lists(Name::Supported, "timer")
                && response.header(Name::Accept) == Some("application/sdp"))
    });
    assert!(answered);
    world.assert_nothing_is_left();
}

#[test]
fn options_to_nobody_time_out_by_timer_f() {
    let mut world = World::new(41);
    world.net.loss = 100;
    world.act(ALICE, |ua, now| ua.request(now, ping()).unwrap());
    world.run_for(secs(33));
    let timed_out = |event: &Event| matches!(event, Event::Response { result: Err(Failure::Timeout), .. });
    assert!(world.ends[ALICE].events.iter().any(timed_out));
    // T1 doubling to T2: 0, 0.5, 1.5, 3.5, then each 4 s.
    assert_eq!(world.ends[ALICE].sent_requests(Method::Options), 11);
}

#[test]
fn info_in_a_dialog_reaches_the_owner_who_answers_it() {
    let mut bob = config(address(BOB));
    bob.methods = vec![Method::Info];
    let mut world = World::with(42, config(address(ALICE)), bob);
    let (alice, bob) = world.call();
    let info = RequestParams {
        method: Method::Info,
        scope: Scope::Session(alice),
        headers: Headers::new(),
        body: Some(("application/dtmf-relay".to_owned(), sdp("Signal=5"))),
    };
    world.act(ALICE, |ua, now| ua.request(now, info.clone()).unwrap());
    world.run_for(ms(100));
    let request = world.ends[BOB].events.iter().find_map(|event| match event {
        Event::Request { request, session: Some(session), message, .. } => {
            assert_eq!(*session, bob);
            assert_eq!(message.body(), &sdp("Signal=5"));
            Some(*request)
        }
        _ => None,
    });
    world.act(BOB, |ua, now| ua.respond(now, request.unwrap(), Reply::new(200)).unwrap());
    world.run_for(secs(1));
    assert!(
        world.ends[ALICE].events.iter().any(|event| matches!(event, Event::Response { result: Ok(_), .. }))
    );

    // One that the owner forgets is answered for it.
    world.act(ALICE, |ua, now| ua.request(now, info).unwrap());
    world.run_for(secs(30));
    assert_eq!(world.ends[BOB].sent_responses(500, Method::Info), 1);
}
