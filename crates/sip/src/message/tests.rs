//! Tests of reading and writing ordinary messages.

use super::*;

const INVITE: &str = "INVITE sip:+12125550100@gw.example.net;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds;rport\r\n\
    v: SIP/2.0/TCP [2001:db8::1]:5062;branch=z9hG4bKold, SIP/2.0/TLS proxy.example.com;branch=z9hG4bKolder\r\n\
    Max-Forwards: 70\r\n\
    f: \"Caller \\\"Bob\\\" <x>\" <sip:john.doe@example.com>;tag=1928301774\r\n\
    To: <tel:+12125550100>\r\n\
    i: a84b4c76e66710@pc33.example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:john.doe@192.0.2.10>\r\n\
    Subject: one\r\n  two\r\n\
    X-Note: caf\u{e9}\r\n\
    Content-Type: application/sdp\r\n\
    l: 4\r\n\r\nv=0\nextra";

fn invite() -> Message {
    Message::parse(Bytes::from_static(INVITE.as_bytes())).unwrap()
}

#[test]
fn an_ordinary_invite_is_read() {
    let invite = invite();
    assert_eq!(invite.method(), Some(&Method::Invite));
    assert_eq!(invite.uri().unwrap().user().unwrap(), "+12125550100");
    let from = invite.from().unwrap();
    assert_eq!(from.display(), "Caller \"Bob\" <x>");
    assert_eq!(from.uri().unwrap().user().unwrap(), "john.doe");
    assert_eq!(from.tag(), Some("1928301774"));
    assert_eq!(invite.to().unwrap().uri().unwrap().scheme(), crate::uri::Scheme::Tel);
    assert_eq!(invite.call_id(), "a84b4c76e66710@pc33.example.com");
    assert_eq!(invite.cseq().unwrap(), CSeq { number: 314_159, method: Method::Invite });
    let hosts: Vec<String> = invite.vias().map(|via| via.unwrap().host().to_string()).collect();
    assert_eq!(hosts, ["192.0.2.10", "[2001:db8::1]", "proxy.example.com"]);
    assert_eq!(invite.header(Name::Subject), Some("one    two"));
    assert_eq!(invite.extension("x-note"), Some("caf\u{e9}".as_bytes()));
    assert_eq!(&invite.body()[..], b"v=0\n");
}

#[test]
fn a_response_goes_back_the_way_the_request_came() {
    let source = "192.0.2.77:40000".parse().unwrap();
    let request = invite().received_from(source).unwrap();
    let response = response_to(&request, 180, "Ringing", Some("xyz")).finish().unwrap();
    let response = Message::parse(response.bytes().clone()).unwrap();
    let via = response.top_via().unwrap();
    assert_eq!(via.received(), Some("192.0.2.77".parse().unwrap()));
    assert_eq!(via.rport(), Some(40000));
    assert_eq!(response.vias().count(), 3);
    assert_eq!(response.to().unwrap().tag(), Some("xyz"));
    assert_eq!(response.status(), Some(180));
    assert_eq!(response.reason(), "Ringing");
}

#[test]
fn a_line_break_in_a_value_is_refused() {
    let forged = MessageBuilder::response(200, "OK").header(Name::Subject, "x\r\nFrom: <sip:a@b>").finish();
    assert_eq!(forged.unwrap_err(), BuildError::ControlCharacter);
}
