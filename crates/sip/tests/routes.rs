//! Where requests in a dialog go: peers behind NAT, and route sets that are too long.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use std::net::SocketAddr;

use bytes::Bytes;
use trunkline_model::Transport;
use trunkline_model::clock::first_instant;
use trunkline_sip::UserAgent;
use trunkline_sip::message::{Message, response_to};
use trunkline_sip::method::Method;
use trunkline_sip::transport::{Flow, Target};
use trunkline_sip::user_agent::{Event, Failure, Headers, Input, Output, SessionId};
use world::{ALICE, BOB, World, address, config, sdp, secs};

fn invite(contact: &str, routes: usize, vias: usize) -> String {
    let routes: String = (0..routes).map(|n| format!("Record-Route: <sip:p{n}.example;lr>\n")).collect();
    let vias: String =
        (0..vias).map(|n| format!("Via: SIP/2.0/UDP h{n}.example;branch=z9hG4bKv{n}\n")).collect();
    format!(
        "INVITE sip:b@127.0.0.2 SIP/2.0\n{vias}{routes}Max-Forwards: 70\nFrom: <sip:a@x>;tag=peer\n\
         To: <sip:b@127.0.0.2>\nCall-ID: routes\nCSeq: 7 INVITE\nContact: <sip:a@{contact}>\n\
         Content-Type: application/sdp\nContent-Length: 5\n\noffer"
    )
}

fn flow(remote: &str) -> Flow {
    Flow { transport: Transport::Udp, local: address(BOB), remote: remote.parse().unwrap(), connection: None }
}

fn receive(ua: &mut UserAgent, flow: Flow, text: &str) -> (Vec<(Target, Message)>, Vec<Event>) {
    let bytes = Bytes::from(text.replace('\n', "\r\n"));
    ua.handle_input(first_instant(), Input::Received { flow, bytes });
    drain(ua)
}

fn drain(ua: &mut UserAgent) -> (Vec<(Target, Message)>, Vec<Event>) {
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = ua.poll_output() {
        match output {
            Output::Transmit(transmit) => {
                sent.push((transmit.target, Message::parse(transmit.bytes).unwrap()));
            }
            Output::Event(event) => events.push(event),
            Output::Resolve { .. } => panic!("no names here"),
        }
    }
    (sent, events)
}

fn incoming(events: &[Event]) -> SessionId {
    let of = |event: &Event| match event {
        Event::Incoming { session, .. } => Some(*session),
        _ => None,
    };
    events.iter().find_map(of).expect("an INVITE arrived")
}

/// Where the BYE of a call goes whose INVITE came from there with that Contact.
fn bye_goes_to(source: &str, contact: &str, follow_source: bool) -> SocketAddr {
    let now = first_instant();
    let mut config = config(address(BOB));
    config.profile.follow_source = follow_source;
    let mut ua = UserAgent::new(config, 1, now);
    let (_, events) = receive(&mut ua, flow(source), &invite(contact, 0, 1));
    let session = incoming(&events);
    ua.accept(now, session, Headers::new(), Some(sdp("answer"))).unwrap();
    let (sent, _) = drain(&mut ua);
    let to = sent[0].1.to().unwrap().tag().unwrap().to_owned();
    let ack = format!(
        "ACK sip:b@127.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP h0.example;branch=z9hG4bKa\nMax-Forwards: 70\n\
         From: <sip:a@x>;tag=peer\nTo: <sip:b@127.0.0.2>;tag={to}\nCall-ID: routes\nCSeq: 7 ACK\n\
         Content-Length: 0\n\n"
    );
    receive(&mut ua, flow(source), &ack);
    ua.hangup(now, session, Headers::new()).unwrap();
    let (sent, _) = drain(&mut ua);
    assert_eq!(sent[0].1.method(), Some(&Method::Bye));
    assert_eq!(sent[0].1.uri_text(), format!("sip:a@{contact}"));
    sent[0].0.remote
}

#[test]
fn a_peer_behind_nat_is_reached_where_its_messages_come_from() {
    for hidden in ["10.0.0.5:5070", "192.168.1.5:5070", "100.64.0.5:5070", "127.0.0.1:5070"] {
        assert_eq!(bye_goes_to("198.51.100.9:40000", hidden, true), "198.51.100.9:40000".parse().unwrap());
        assert_eq!(bye_goes_to("198.51.100.9:40000", hidden, false), hidden.parse().unwrap());
    }
}

#[test]
fn a_contact_that_can_be_reached_is_used() {
    let public = "203.0.113.5:5070";
    assert_eq!(bye_goes_to("198.51.100.9:40000", public, true), public.parse().unwrap());
    // Both are in one private network: the Contact may be another host of it.
    assert_eq!(bye_goes_to("10.0.0.9:5060", "10.0.0.5:5070", true), "10.0.0.5:5070".parse().unwrap());
}

#[test]
fn a_route_set_that_is_too_long_is_refused_and_not_cut() {
    let mut ua = UserAgent::new(config(address(BOB)), 1, first_instant());
    let (sent, events) = receive(&mut ua, flow("127.0.0.9:5060"), &invite("127.0.0.9", 33, 1));
    assert_eq!(sent.last().unwrap().1.status(), Some(400));
    assert!(matches!(&events[..], [Event::Refused { status: 400, .. }]), "{events:?}");
    assert_eq!(ua.counts().sessions, 0);
    let mut ua = UserAgent::new(config(address(BOB)), 1, first_instant());
    let (_, events) = receive(&mut ua, flow("127.0.0.9:5060"), &invite("127.0.0.9", 32, 1));
    incoming(&events);
}

#[test]
fn a_call_whose_answer_could_not_be_written_is_refused_at_once() {
    for (routes, vias) in [(119, 1), (1, 110)] {
        let mut ua = UserAgent::new(config(address(BOB)), 1, first_instant());
        let (sent, events) = receive(&mut ua, flow("127.0.0.9:5060"), &invite("127.0.0.9", routes, vias));
        let statuses: Vec<_> = sent.iter().filter_map(|(_, message)| message.status()).collect();
        assert_eq!(statuses, [400]);
        assert!(matches!(&events[..], [Event::Refused { status: 400, .. }]), "{events:?}");
        let counts = ua.counts();
        assert_eq!((counts.sessions, counts.server_transactions, counts.malformed), (0, 0, 1));
    }
}

#[test]
fn an_answer_with_too_long_a_route_set_is_acknowledged_and_hung_up() {
    let mut world = World::new(1);
    let alice = world.dial();
    world.run_for(secs(1));
    let invite = world.ends[BOB].received[0].clone();
    let mut ok = response_to(&invite, 200, "OK", Some("far"))
        .header(trunkline_sip::header::Name::Contact, "<sip:127.0.0.2>");
    let ringing = response_to(&invite, 180, "Ringing", Some("far"))
        .header(trunkline_sip::header::Name::Contact, "<sip:127.0.0.2>")
        .finish()
        .unwrap();
    for hop in 0..40 {
        ok = ok.header(trunkline_sip::header::Name::RecordRoute, format!("<sip:p{hop}.example;lr>"));
    }
    let ok = ok.body("application/sdp", sdp("answer")).finish().unwrap();
    let flow = Flow { local: address(ALICE), remote: address(BOB), ..flow("127.0.0.2:5060") };
    for response in [ringing, ok] {
        world.deliver(ALICE, flow, response.bytes().clone());
    }
    assert!(matches!(world.ends[ALICE].failure(alice), Some(Failure::PeerMisbehaved(_))));
    assert_eq!(world.ends[ALICE].sent_requests(Method::Ack), 1);
    assert_eq!(world.ends[ALICE].sent_requests(Method::Bye), 1);
}
