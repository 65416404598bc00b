//! Requests of sources that belong to no trunk: each costs at most one answer, and nothing is kept of it.

use crate::world::{CALLEE, CALLER, NUMBER, Setup, World};
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use trunkline_call::{Input, Output, UnknownSources};
use trunkline_model::Transport;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::transport::Flow;
use trunkline_sip::user_agent;

fn request(method: &str, number: u32, to: &str, more: &str) -> Bytes {
    format!(
        "{method} sip:{NUMBER}@203.0.113.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.250;rport;branch=z9hG4bKs{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+12065550111@x>;tag=s{number}\r\nTo: <sip:{NUMBER}@y>{to}\r\n\
         Call-ID: s{number}\r\nCSeq: 1 {method}\r\nContact: <sip:192.0.2.250>\r\n{more}Content-Length: 0\r\n\r\n"
    )
    .into()
}

/// Hands in a datagram and returns what is sent for it: where to, and the status.
fn receive(world: &mut World, source: IpAddr, bytes: Bytes) -> Vec<(SocketAddr, u16)> {
    let local = "203.0.113.1:5060".parse().unwrap();
    let flow = Flow { transport: Transport::Udp, local, remote: (source, 5060).into(), connection: None };
    let input = user_agent::Input::Received { flow, bytes };
    world.b2bua.handle_input(world.now, Input::Sip(input));
    let outputs = std::iter::from_fn(|| world.b2bua.poll_output());
    outputs
        .filter_map(|output| match output {
            Output::Transmit(transmit) => {
                let status = Message::parse(transmit.bytes).unwrap().status().unwrap_or_default();
                Some((transmit.target.remote, status))
            }
            _ => None,
        })
        .collect()
}

const SCANNER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));

#[test]
fn a_flood_of_a_hundred_thousand_strangers_leaves_nothing_and_a_call_succeeds() {
    let mut world = World::new();
    let mut answered = 0;
    for number in 0..100_000_u32 {
        let source = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        let sent = receive(&mut world, source, request("INVITE", number, "", ""));
        assert!(sent.is_empty() || sent == [((source, 5060).into(), 403)], "{sent:?}");
        answered += sent.len() as u64;
    }
    let sip = world.b2bua.sip_counts();
    assert_eq!((sip.server_transactions, sip.sessions, sip.requests), (0, 0, 0));
    let totals = world.b2bua.totals();
    assert_eq!((totals.turned_away, totals.ignored), (answered, 100_000 - answered));
    assert!((400..=600).contains(&answered), "{answered}");
    assert_eq!((totals.offered, totals.refused), (answered, answered));
    assert_eq!(totals.ended + totals.refused_unreported, totals.refused);

    let (caller, _) = world.talk();
    assert_eq!(world.statuses(CALLER), [180, 200]);
    world.hang_up(CALLER, caller);
    world.settle();
}

#[test]
fn one_stranger_is_answered_so_often_and_not_more() {
    let mut world = World::new();
    let answered = |from: IpAddr, world: &mut World, numbers: std::ops::Range<u32>| {
        let each = |number| receive(world, from, request("OPTIONS", number, "", "")).len();
        numbers.map(each).sum::<usize>()
    };
    assert_eq!(answered(SCANNER, &mut world, 0..100), 10);
    assert_eq!(
        answered("203.0.113.78".parse().unwrap(), &mut world, 100..105),
        5,
        "another has its own share"
    );
    world.run_ms(1000);
    assert_eq!(answered(SCANNER, &mut world, 200..300), 10);
    // A host with IPv6 has more addresses than there is room for.
    let of_host = |number: u32| format!("2001:db8::{number:x}").parse::<IpAddr>().unwrap();
    let total: usize =
        (1..100).map(|number| answered(of_host(number), &mut world, 400 + number..401 + number)).sum();
    assert_eq!(total, 10);
}

#[test]
fn a_stranger_gets_403_whatever_else_is_wrong() {
    let cases = [
        request("INVITE", 1, "", "Require: gruu\r\n"),
        request("REGISTER", 2, "", ""),
        request("WHATEVER", 3, "", ""),
        request("BYE", 4, ";tag=x", ""),
        request("INVITE", 5, ";tag=0123456789abcdef", ""),
        request("CANCEL", 6, "", ""),
        request("INVITE", 7, "", "Expires: never\r\nContent-Type: x\r\n"),
        request("OPTIONS", 8, "", ""),
    ];
    let mut world = World::new();
    for bytes in cases {
        let sent = receive(&mut world, SCANNER, bytes.clone());
        assert_eq!(sent, [((SCANNER, 5060).into(), 403)], "{bytes:?}");
    }
    assert_eq!(receive(&mut world, SCANNER, request("ACK", 1, ";tag=x", "")), [], "nobody answers an ACK");
    let sip = world.b2bua.sip_counts();
    assert_eq!((sip.server_transactions, sip.sessions, sip.malformed), (0, 0, 0));
}

#[test]
fn a_malformed_call_of_a_stranger_is_turned_away_and_recorded() {
    let mut world = World::new();
    let text = String::from_utf8(request("INVITE", 1, "", "").to_vec()).unwrap();
    let bytes = Bytes::from(text.replace("Max-Forwards: 70", "Max-Forwards: x"));
    assert_eq!(receive(&mut world, SCANNER, bytes), [((SCANNER, 5060).into(), 400)]);
    assert_eq!(world.b2bua.totals().refused, 1);
    assert_eq!(world.b2bua.sip_counts().server_transactions, 0);
}

#[test]
fn a_stranger_names_nobody_else_to_be_answered() {
    let mut world = World::new();
    let text = String::from_utf8(request("INVITE", 1, "", "").to_vec()).unwrap();
    let bytes = Bytes::from(text.replace(";rport", ";maddr=198.51.100.1"));
    assert_eq!(receive(&mut world, SCANNER, bytes), [((SCANNER, 5060).into(), 403)]);
}

#[test]
fn an_invite_that_comes_again_is_answered_again_and_recorded_once() {
    let mut world = World::new();
    for _ in 0..3 {
        assert_eq!(receive(&mut world, SCANNER, request("INVITE", 1, "", "")).len(), 1);
    }
    let totals = world.b2bua.totals();
    assert_eq!((totals.offered, totals.refused, totals.turned_away), (1, 1, 3));
}

#[test]
fn where_strangers_are_ignored_they_hear_nothing_at_all() {
    let mut world = World::of(Setup { unknown_sources: UnknownSources::Ignore, ..Setup::default() });
    for (number, method) in ["INVITE", "OPTIONS", "BYE", "ACK"].into_iter().enumerate() {
        assert_eq!(receive(&mut world, SCANNER, request(method, number as u32, "", "")), []);
        assert_eq!(
            receive(&mut world, SCANNER, request(method, number as u32, ";tag=0123456789abcdef", "")),
            []
        );
    }
    assert_eq!(receive(&mut world, SCANNER, "INVITE gibberish SIP/2.0\r\n\r\n".into()), []);
    assert_eq!(world.b2bua.totals().ignored, 9);
}

#[test]
fn a_call_goes_on_when_its_trunk_is_no_longer_configured() {
    let mut setup = Setup::default();
    let mut world = World::of(Setup::default());
    let caller = world.dial(CALLER);
    world.run_ms(50);
    let callee = world.incoming(CALLEE);
    world.ring(CALLEE, callee, 180);
    setup.caller_trunk.inbound.sources = vec!["10.9.0.0/16".parse().unwrap()];
    world.b2bua.set_routes(world.now, setup.table());
    world.run_ms(50);
    world.hang_up(CALLER, caller);
    world.run_ms(100);
    assert_eq!(world.requests(CALLEE, Method::Cancel).len(), 1);
    world.settle();
}
