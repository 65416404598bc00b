//! Where users can be reached: RFC 3261 §10.3 and RFC 5626 §6, item by item.

use bytes::Bytes;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_model::Transport;
use trunkline_model::clock::first_instant;
use trunkline_sip::message::Message;
use trunkline_sip::registrar::{Grant, Limits, Refused, Registrar};
use trunkline_sip::transport::{ConnectionId, Flow};
use trunkline_sip::user_agent::Reply;

const DAY: Duration = Duration::from_secs(86_400);

struct Place {
    registrar: Registrar,
    now: Instant,
    granted: Grant,
}

impl Place {
    fn new(limits: Limits) -> Self {
        let now = first_instant();
        Self { registrar: Registrar::new(limits), now, granted: Grant { until: now + DAY, issued: 1000 } }
    }

    fn register(&mut self, user: &str, connection: u64, text: &str) -> Result<Reply, Refused> {
        let request = register(text);
        self.registrar.register(self.now, user, &request, flow(connection), self.granted)
    }

    fn uris(&self, user: &str) -> Vec<String> {
        self.registrar.contacts(self.now, user).iter().map(|contact| contact.uri.to_string()).collect()
    }

    fn pass(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
        self.registrar.handle_timeout(self.now);
    }
}

#[test]
fn a_contact_is_kept_as_long_as_it_asks_within_bounds() {
    let mut place = Place::new(Limits::default());
    for (asked, left) in [("Expires: 120", 120), ("Expires: 999999999999", 3600), ("Supported: path", 600)] {
        let mut place = Place::new(Limits::default());
        let reply =
            place.register("al", 1, &format!("CSeq: 1 REGISTER\r\nContact: <sip:a@x.invalid>\r\n{asked}"));
        assert_eq!(contact_of(&reply.unwrap()), [format!("<sip:a@x.invalid>;expires={left}")]);
        place.pass(left - 1);
        assert_eq!(place.registrar.len(), 1);
        assert_eq!(place.registrar.poll_timeout(), Some(place.now + Duration::from_secs(1)));
        place.pass(1);
        assert_eq!((place.registrar.len(), place.registrar.poll_timeout()), (0, None));
    }
    let brief = place.register("al", 1, "CSeq: 1 REGISTER\r\nContact: <sip:a@x.invalid>;expires=59");
    assert_eq!(brief.as_ref().unwrap_err().reply().status, 423);
    assert_eq!(brief.unwrap_err(), Refused::TooBrief(60));
    assert!(place.registrar.is_empty());
}

#[test]
fn no_contact_outlives_its_token() {
    let mut place = Place::new(Limits::default());
    place.granted.until = place.now + Duration::from_secs(30);
    let reply = place.register("al", 1, "CSeq: 1 REGISTER\r\nContact: <sip:a@x.invalid>\r\nExpires: 600");
    assert_eq!(contact_of(&reply.unwrap()), ["<sip:a@x.invalid>;expires=30"]);
    place.pass(30);
    assert!(place.registrar.is_empty());
}

#[test]
fn a_revoked_token_takes_its_contacts_with_it_and_leaves_newer_ones() {
    let mut place = Place::new(Limits::default());
    place.register("al", 1, "CSeq: 1 REGISTER\r\nContact: <sip:a@x.invalid>").unwrap();
    place.granted.issued = 2000;
    place.register("al", 2, "CSeq: 2 REGISTER\r\nContact: <sip:b@x.invalid>").unwrap();
    assert_eq!(place.registrar.revoke("al", 2000), [ConnectionId(1)]);
    assert_eq!(place.uris("al"), ["sip:b@x.invalid"]);
    assert!(place.registrar.revoke("al", 2000).is_empty());
    assert!(place.registrar.revoke("nobody", 2000).is_empty());
}

#[test]
fn several_contacts_are_ordered_by_weight_and_then_by_age() {
    let mut place = Place::new(Limits::default());
    let contacts =
        "<sip:a@x.invalid>;q=0.5, <sip:b@x.invalid>, <sip:c@x.invalid>;q=0, <sip:d@x.invalid>;q=1.000";
    place.register("al", 1, &format!("CSeq: 1 REGISTER\r\nContact: {contacts}")).unwrap();
    let order = ["sip:d@x.invalid", "sip:b@x.invalid", "sip:a@x.invalid", "sip:c@x.invalid"];
    assert_eq!(place.uris("al"), order);
    place.register("al", 1, "CSeq: 2 REGISTER\r\nContact: <sip:b@x.invalid>").unwrap();
    assert_eq!(place.uris("al").first().map(String::as_str), Some("sip:b@x.invalid"));
}

#[test]
fn zero_removes_one_contact_and_a_star_all() {
    let mut place = Place::new(Limits::default());
    place.register("al", 1, "CSeq: 1 REGISTER\r\nContact: <sip:a@x.invalid>, <sip:b@x.invalid>").unwrap();
    let reply = place.register("al", 1, "CSeq: 2 REGISTER\r\nContact: <sip:a@x.invalid>;expires=0").unwrap();
    assert_eq!(contact_of(&reply), ["<sip:b@x.invalid>;expires=600"]);
    for bad in ["Contact: *", "Contact: *\r\nExpires: 1"] {
        let refused = place.register("al", 1, &format!("CSeq: 3 REGISTER\r\n{bad}"));
        assert_eq!(refused.unwrap_err().reply().status, 400, "{bad}");
    }
    place.register("al", 1, "CSeq: 4 REGISTER\r\nContact: *\r\nExpires: 0").unwrap();
    assert!(place.uris("al").is_empty());
    let nothing = place.register("al", 1, "CSeq: 5 REGISTER").unwrap();
    assert!(contact_of(&nothing).is_empty());
}

#[test]
fn what_was_overtaken_changes_nothing() {
    let mut place = Place::new(Limits::default());
    place.register("al", 1, "CSeq: 7 REGISTER\r\nContact: <sip:a@x.invalid>").unwrap();
    for late in [
        "Contact: <sip:a@x.invalid>;expires=0",
        "Contact: *\r\nExpires: 0",
        "Contact: <sip:c@x.invalid>, <sip:a@x.invalid>",
    ] {
        for number in [6, 7] {
            let refused = place.register("al", 1, &format!("CSeq: {number} REGISTER\r\n{late}"));
            assert_eq!(refused.unwrap_err(), Refused::OutOfOrder, "{late}");
        }
    }
    assert_eq!(place.uris("al"), ["sip:a@x.invalid"], "all or nothing");
    // Another client, or the same one started anew, counts for itself.
    place.register("al", 1, "Call-ID: 2\r\nCSeq: 1 REGISTER\r\nContact: *\r\nExpires: 0").unwrap();
    assert!(place.uris("al").is_empty());
}

#[test]
fn a_flow_of_a_device_replaces_its_own_former_self_whatever_its_address() {
    let mut place = Place::new(Limits::default());
    let flow = |user: &str, id: u32| {
        format!("Contact: <sip:{user}@x.invalid;transport=ws>;reg-id={id};+sip.instance=\"<urn:uuid:1>\"")
    };
    let supported = "Supported: path, outbound";
    let reply =
        place.register("al", 1, &format!("CSeq: 1 REGISTER\r\n{supported}\r\n{}", flow("a", 1))).unwrap();
    let text = format!("{:?}", reply.headers);
    assert!(text.contains("Require") && text.contains("outbound"), "{text}");
    place.register("al", 2, &format!("CSeq: 2 REGISTER\r\n{supported}\r\n{}", flow("b", 1))).unwrap();
    assert_eq!(place.uris("al"), ["sip:b@x.invalid;transport=ws"]);
    place.register("al", 3, &format!("CSeq: 3 REGISTER\r\n{supported}\r\n{}", flow("c", 2))).unwrap();
    assert_eq!(place.registrar.len(), 2);
    // The old connection has nothing left to lose.
    assert_eq!(place.registrar.connection_gone(ConnectionId(1)), 0);
    assert_eq!(place.registrar.connection_gone(ConnectionId(2)), 1);
    assert_eq!(place.uris("al"), ["sip:c@x.invalid;transport=ws"]);
}

#[test]
fn a_connection_that_is_gone_takes_every_contact_with_it() {
    let mut place = Place::new(Limits::default());
    for (user, connection) in [("al", 1), ("bo", 1), ("al", 2)] {
        let contact =
            format!("CSeq: 1 REGISTER\r\nCall-ID: {connection}\r\nContact: <sip:{connection}@x.invalid>");
        place.register(user, connection, &contact).unwrap();
    }
    assert_eq!(place.registrar.connection_gone(ConnectionId(1)), 2);
    assert_eq!((place.uris("al").len(), place.uris("bo").len()), (1, 0));
    assert_eq!(place.registrar.connection_gone(ConnectionId(1)), 0);
}

#[test]
fn the_limits_hold_for_one_user_and_for_all() {
    let limits = Limits { contacts_per_user: 2, contacts: 3, ..Limits::default() };
    let mut place = Place::new(limits);
    let contact =
        |name: &str| format!("CSeq: 1 REGISTER\r\nCall-ID: {name}\r\nContact: <sip:{name}@x.invalid>");
    place.register("al", 1, &contact("a")).unwrap();
    place.register("al", 1, &contact("b")).unwrap();
    assert_eq!(place.register("al", 1, &contact("c")), Err(Refused::TooManyContacts));
    place.register("bo", 1, &contact("d")).unwrap();
    assert_eq!(place.register("cy", 1, &contact("e")), Err(Refused::Full));
    assert_eq!(place.registrar.users(), 2);
    // A refresh takes no more room.
    let refresh = "CSeq: 2 REGISTER\r\nCall-ID: a\r\nContact: <sip:a@x.invalid>";
    place.register("al", 1, refresh).unwrap();
}

#[test]
fn what_cannot_be_reached_or_written_back_is_refused() {
    let mut place = Place::new(Limits::default());
    for bad in [
        "Contact: <tel:+14255550100>",
        "Contact: <mailto:a@b>",
        "Contact: <sip:a@x.invalid?Subject=x>",
        "Contact: sip:a@x.invalid;q=2",
        "Contact: <sip:a@x.invalid>;q=0.0001",
        "Contact: <sip:a@x.invalid>;expires=-1",
        "Contact: <sip:a@x.invalid>;expires=soon",
        "Contact: <sip:a@x.invalid>;+sip.instance=\"<urn>\";reg-id=0",
        "Contact: <sip:a@x.invalid>;+sip.instance=\"nothing\"",
        "Expires: x\r\nContact: <sip:a@x.invalid>",
    ] {
        let refused = place.register("al", 1, &format!("CSeq: 1 REGISTER\r\n{bad}"));
        assert_eq!(refused.map_err(|refused| refused.reply().status).err(), Some(400), "{bad}");
    }
    let long = format!("CSeq: 1 REGISTER\r\nContact: <sip:{}@x.invalid>", "a".repeat(600));
    assert_eq!(place.register("al", 1, &long).unwrap_err().reply().status, 400);
    assert!(place.registrar.is_empty());
}

/// What may happen to a registrar.
#[derive(Debug, Clone)]
enum Step {
    Register { user: u8, connection: u8, contact: u8, sequence: u32, expires: u32, flow: bool },
    Star { user: u8, sequence: u32 },
    Gone { connection: u8 },
    Revoke { user: u8 },
    Pass { secs: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let register = (0..4_u8, 0..5_u8, 0..4_u8, 0..50_u32, prop_oneof![Just(0), 60..4000_u32], any::<bool>());
    prop_oneof![
        6 => register.prop_map(|(user, connection, contact, sequence, expires, flow)| {
            Step::Register { user, connection, contact, sequence, expires, flow }
        }),
        1 => (0..4_u8, 0..50_u32).prop_map(|(user, sequence)| Step::Star { user, sequence }),
        1 => (0..5_u8).prop_map(|connection| Step::Gone { connection }),
        1 => (0..4_u8).prop_map(|user| Step::Revoke { user }),
        2 => (0..2000_u16).prop_map(|secs| Step::Pass { secs }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn tables_agree_with_each_other_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let limits = Limits { contacts_per_user: 3, contacts: 8, ..Limits::default() };
        let mut place = Place::new(limits);
        for step in steps {
            match step {
                Step::Register { user, connection, contact, sequence, expires, flow } => {
                    let id = if flow { ";reg-id=1;+sip.instance=\"<urn:uuid:7>\"" } else { "" };
                    let text = format!(
                        "CSeq: {sequence} REGISTER\r\nCall-ID: {connection}\r\n\
                         Contact: <sip:{contact}@x.invalid>;expires={expires}{id}"
                    );
                    let _ = place.register(&user.to_string(), connection.into(), &text);
                }
                Step::Star { user, sequence } => {
                    let text = format!("CSeq: {sequence} REGISTER\r\nContact: *\r\nExpires: 0");
                    let _ = place.register(&user.to_string(), 0, &text);
                }
                Step::Gone { connection } => {
                    let connection = ConnectionId(connection.into());
                    place.registrar.connection_gone(connection);
                    for user in 0..4 {
                        let contacts = place.registrar.contacts(place.now, &user.to_string()).into_iter();
                        prop_assert!(contacts.map(|it| it.flow.connection).all(|it| it != Some(connection)));
                    }
                }
                Step::Revoke { user } => {
                    place.registrar.revoke(&user.to_string(), 1001);
                    prop_assert!(place.uris(&user.to_string()).is_empty());
                }
                Step::Pass { secs } => place.pass(secs.into()),
            }
            let contacts: Vec<usize> = (0..4).map(|user| place.uris(&user.to_string()).len()).collect();
            prop_assert!(contacts.iter().all(|count| *count <= 3));
            prop_assert_eq!(contacts.iter().sum::<usize>(), place.registrar.len());
            prop_assert_eq!(contacts.iter().filter(|count| **count > 0).count(), place.registrar.users());
            prop_assert_eq!(place.registrar.poll_timeout().is_some(), !place.registrar.is_empty());
        }
        place.pass(4000);
        prop_assert!(place.registrar.is_empty() && place.registrar.users() == 0);
    }

    #[test]
    fn no_contact_header_panics_or_comes_back_changed(contact in "[ -~]{0,80}", expires in "[ -~]{0,12}") {
        let mut place = Place::new(Limits::default());
        let text = format!("CSeq: 1 REGISTER\r\nContact: {contact}\r\nExpires: {expires}");
        let Ok(request) = Message::parse(Bytes::from(whole(&text))) else { return Ok(()) };
        let registered = place.registrar.register(place.now, "al", &request, flow(1), place.granted);
        for held in place.registrar.contacts(place.now, "al") {
            prop_assert!(contact.contains(&*held.uri));
        }
        prop_assert!(registered.is_err() || place.registrar.len() <= 3);
    }
}

fn whole(text: &str) -> String {
    let call_id = if text.contains("Call-ID") { "" } else { "Call-ID: 1\r\n" };
    format!(
        "REGISTER sip:contoso.localhost SIP/2.0\r\nVia: SIP/2.0/WSS x.invalid;branch=z9hG4bK1\r\n\
         From: <sip:al@contoso.localhost>;tag=1\r\nTo: <sip:al@contoso.localhost>\r\n{call_id}{text}\r\n\r\n"
    )
}

fn register(text: &str) -> Message {
    Message::parse(Bytes::from(whole(text))).unwrap()
}

fn flow(connection: u64) -> Flow {
    let remote: SocketAddr = "192.0.2.9:40000".parse().unwrap();
    let local: SocketAddr = "203.0.113.1:8443".parse().unwrap();
    Flow { transport: Transport::Wss, local, remote, connection: Some(ConnectionId(connection)) }
}

fn contact_of(reply: &Reply) -> Vec<String> {
    let name = trunkline_sip::header::Name::Contact;
    reply.headers.values(name).map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}
