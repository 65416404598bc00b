//! INVITEs that are refused before they become sessions: the peer gets its answer and the owner an event, each once.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::Event;
use world::{ALICE, BOB, World, address, config, secs};

const PEER: &str = "127.0.0.9:5070";

fn invite(branch: &str, changes: &[(&str, &str)]) -> String {
    let text = format!(
        "INVITE sip:+14255550100@127.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.9:5070;branch=z9hG4bK{branch}\n\
         Max-Forwards: 70\nFrom: <sip:+12065550111@127.0.0.9>;tag=77\nTo: <sip:+14255550100@127.0.0.2>\n\
         Call-ID: raw-call\nCSeq: 7 INVITE\nContact: <sip:127.0.0.9:5070>\nSupported: timer\n\
         Content-Type: application/sdp\nContent-Length: 5\n\noffer"
    );
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

/// Returns status and reason of what the owner was told, in order.
fn told(world: &World) -> Vec<(u16, &str)> {
    let refused = |event: &'_ Event| matches!(event, Event::Refused { .. });
    let events = world.ends[BOB].events.iter().filter(|event| refused(event));
    events
        .map(|event| match event {
            Event::Refused { status, reason, .. } => (*status, reason.as_str()),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn final_responses(world: &World) -> Vec<&Message> {
    world.ends[BOB].sent.iter().filter(|sent| sent.status().is_some_and(|status| status >= 200)).collect()
}

#[test]
fn every_invite_that_the_user_agent_refuses_has_its_answer_and_its_event() {
    let cases = [
        ("Max-Forwards: 70", "Max-Forwards: x", 400, "Malformed Max-Forwards header"),
        ("CSeq: 7 INVITE", "CSeq: 7 BYE", 400, "CSeq method does not match"),
        ("Content-Length: 5", "Content-Length: 500", 400, "Body shorter than Content-Length"),
        ("Supported: timer", "Supported: timer\nCSeq: 8 INVITE", 400, "Repeated CSeq header"),
        ("Contact: <sip:127.0.0.9:5070>\n", "", 400, "Missing or malformed Contact"),
        ("Contact: <sip:127.0.0.9:5070>", "Contact: <sip:", 400, "Malformed Contact header"),
        ("Supported: timer", "Accept: text/plain", 406, "Not Acceptable"),
        ("application/sdp", "text/plain", 415, "Unsupported Media Type"),
        ("INVITE sip:+14255550100@127.0.0.2", "INVITE urn:service:sos", 416, "Unsupported URI Scheme"),
        ("Supported: timer", "Require: 100rel, foo, bar", 420, "Bad Extension: foo, bar"),
        ("Supported: timer", "Supported: timer\nSession-Expires: 60", 422, "Session Interval Too Small"),
        ("Max-Forwards: 70", "Max-Forwards: 0", 483, "Too Many Hops"),
        ("SIP/2.0\n", "SIP/3.0\n", 505, "Version not supported"),
    ];
    for (number, (from, to, status, reason)) in cases.into_iter().enumerate() {
        let mut world = World::new(1);
        world.inject(BOB, PEER, &invite(&number.to_string(), &[(from, to)]));
        assert_eq!(told(&world), [(status, reason)], "{to}");
        assert_eq!(world.ends[BOB].events.len(), 1, "{to}");
        let answers = final_responses(&world);
        assert_eq!(answers.len(), 1, "{to}");
        assert_eq!(answers[0].status(), Some(status), "{to}");
        assert!(answers[0].to().unwrap().tag().is_some(), "{to}");
        let Event::Refused { request, flow, .. } = &world.ends[BOB].events[0] else { panic!() };
        assert_eq!(flow.remote, PEER.parse().unwrap());
        assert_eq!(request.from().unwrap().uri().unwrap().user().unwrap(), "+12065550111");
        world.assert_nothing_is_left();
    }
}

#[test]
fn what_is_known_of_a_malformed_invite_is_told() {
    let mut world = World::new(2);
    world.inject(BOB, PEER, &invite("a", &[("Max-Forwards: 70", "Max-Forwards: x")]));
    let Event::Refused { request, .. } = &world.ends[BOB].events[0] else { panic!() };
    assert_eq!(request.uri().unwrap().user().unwrap(), "+14255550100");
    assert_eq!(request.call_id(), "raw-call");
}

#[test]
fn a_malformed_invite_that_comes_again_is_told_once_and_answered_alike() {
    let mut world = World::new(3);
    let malformed = invite("a", &[("Max-Forwards: 70", "Max-Forwards: x")]);
    for _ in 0..3 {
        world.inject(BOB, PEER, &malformed);
    }
    assert_eq!(told(&world).len(), 1);
    let answers = final_responses(&world);
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| answer.bytes() == answers[0].bytes()));
    // The 400 comes again by timer G until its ACK is there, which is not taken for a stray one.
    let to = answers[0].header(Name::To).unwrap().to_owned();
    let ack = format!(
        "ACK sip:+14255550100@127.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.9:5070;branch=z9hG4bKa\n\
         From: <sip:+12065550111@127.0.0.9>;tag=77\nTo: {to}\nCall-ID: raw-call\nCSeq: 7 ACK\n\
         Content-Length: 0\n\n"
    );
    world.inject(BOB, PEER, &ack);
    world.run_for(secs(10));
    assert_eq!(final_responses(&world).len(), 3);
    assert_eq!(world.ends[BOB].ua.counts().stray, 0);
    world.assert_nothing_is_left();
}

#[test]
fn a_malformed_invite_put_right_is_a_new_call() {
    let mut world = World::new(4);
    world.inject(BOB, PEER, &invite("a", &[("Max-Forwards: 70", "Max-Forwards: x")]));
    world.inject(BOB, PEER, &invite("b", &[]));
    assert!(world.ends[BOB].incoming().is_some());
    assert_eq!(told(&world).len(), 1);
}

#[test]
fn a_merged_copy_and_one_too_many_are_told_as_well() {
    let mut limited = config(address(BOB));
    limited.limits.sessions = 1;
    let mut world = World::with(5, config(address(ALICE)), limited);
    world.inject(BOB, PEER, &invite("a", &[]));
    world.inject(BOB, PEER, &invite("b", &[("raw-call", "other-call")]));
    assert_eq!(told(&world), [(503, "the tables of the user agent are full")]);
    let mut world = World::new(5);
    world.inject(BOB, PEER, &invite("a", &[]));
    world.inject(BOB, PEER, &invite("b", &[]));
    assert_eq!(told(&world), [(482, "Merged request")]);
}

#[test]
fn other_requests_and_those_in_a_dialog_are_refused_without_an_event() {
    let mut world = World::new(6);
    let refer = invite("a", &[("INVITE sip", "REFER sip"), ("7 INVITE", "7 REFER")]);
    world.inject(BOB, PEER, &refer);
    world.inject(BOB, PEER, &refer.replace("bKa", "bKb").replace("Max-Forwards: 70", "Max-Forwards: x"));
    let in_dialog = [("To: <sip:+14255550100@127.0.0.2>", "To: <sip:+14255550100@127.0.0.2>;tag=9")];
    world.inject(BOB, PEER, &invite("c", &in_dialog));
    let malformed = invite("d", &in_dialog).replace("Max-Forwards: 70", "Max-Forwards: x");
    world.inject(BOB, PEER, &malformed);
    let statuses: Vec<_> = final_responses(&world).iter().map(|sent| sent.status().unwrap()).collect();
    assert_eq!(statuses, [405, 400, 481, 400]);
    assert!(world.ends[BOB].events.is_empty());
    assert_eq!(world.ends[BOB].sent_responses(400, Method::Refer), 1);
}

#[test]
fn what_cannot_be_answered_is_counted_and_dropped() {
    let mut world = World::new(7);
    let unanswerable = [
        invite("a", &[("Via: SIP/2.0/UDP 127.0.0.9:5070;branch=z9hG4bKa\n", "")]),
        invite("b", &[("Call-ID: raw-call\n", "")]),
        invite("c", &[("From: <sip:+12065550111@127.0.0.9>", "From: \u{1}<sip:+12065550111@127.0.0.9>")]),
        invite(
            "d",
            &[("INVITE sip", "ACK sip"), ("7 INVITE", "7 ACK"), ("Max-Forwards: 70", "Max-Forwards: x")],
        ),
    ];
    for (number, text) in unanswerable.iter().enumerate() {
        world.inject(BOB, PEER, text);
        assert_eq!(world.ends[BOB].ua.counts().malformed, number as u64 + 1);
    }
    assert!(world.ends[BOB].sent.is_empty() && world.ends[BOB].events.is_empty());
    world.assert_nothing_is_left();
}

#[test]
fn of_what_a_peer_requires_an_operator_sees_the_beginning_and_nothing_but_tokens() {
    let mut world = World::new(9);
    let long = format!("Require: a<b>c~, {}", "x".repeat(7000));
    world.inject(BOB, PEER, &invite("long", &[("Supported: timer", &long)]));
    assert_eq!(told(&world), [(420, format!("Bad Extension: abc~, {}", "x".repeat(58)).as_str())]);
}
