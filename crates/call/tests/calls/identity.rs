//! What the next trunk is told about the caller.

use crate::world::{CALLEE, CALLER, Setup, World, header};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::Headers;

/// Dials with headers and returns the INVITE that the callee gets.
fn invited(trusted: (bool, bool), headers: &[(&str, &str)]) -> Message {
    let mut setup = Setup::default();
    setup.caller_trunk.trusted_identity = trusted.0;
    setup.callee_trunk.trusted_identity = trusted.1;
    let mut world = World::of(setup);
    let offer = world.sdp(CALLER, 4000, "0", "sendrecv");
    world.dial_with(CALLER, |params| {
        params.offer = Some(offer);
        let mut all = Headers::new();
        for (name, value) in headers {
            all.push_text(name, value.as_bytes().to_vec());
        }
        params.headers = all;
    });
    world.run_ms(50);
    world.requests(CALLEE, Method::Invite)[0].clone()
}

#[test]
fn no_header_of_the_caller_is_copied() {
    let headers = [
        ("Identity", "eyJhbGciOiJFUzI1NiJ9..x;info=<https://x.example/c>"),
        ("Diversion", "<sip:+14255550133@x.example>;reason=unconditional"),
        ("History-Info", "<sip:+14255550133@x.example>;index=1"),
        ("P-Asserted-Identity", "<sip:+14255550133@x.example;verstat=TN-Validation-Passed>"),
        ("P-Preferred-Identity", "<sip:+14255550133@x.example>"),
        ("Remote-Party-ID", "<sip:+14255550133@x.example>"),
        ("Referred-By", "<sip:+14255550133@x.example>"),
        ("X-Evil", "+14255550133"),
        ("Proxy-Authorization", "Digest username=\"+14255550133\""),
        ("P-Charging-Vector", "icid-value=+14255550133"),
    ];
    for trusted in [(false, false), (false, true), (true, false)] {
        let invite = invited(trusted, &headers);
        let text = String::from_utf8_lossy(invite.bytes()).into_owned();
        assert!(!text.contains("4255550133"), "{trusted:?}: {text}");
        assert!(!text.contains("verstat") && !text.contains("Identity: ey"), "{text}");
    }
}

#[test]
fn between_trusted_trunks_the_asserted_number_is_passed_on_bare() {
    let headers = [("P-Asserted-Identity", "\"X\" <sip:4255550133@x.example;verstat=TN-Validation-Passed>")];
    let invite = invited((true, true), &headers);
    assert_eq!(header(&invite, Name::PAssertedIdentity), "<sip:+14255550133@198.51.100.1>");
    assert!(invite.header(Name::Privacy).is_none());
}

#[test]
fn a_caller_who_asks_for_privacy_is_anonymous() {
    let headers = [("Privacy", "id"), ("P-Asserted-Identity", "<sip:+14255550133@x.example>")];
    let trusted = invited((true, true), &headers);
    assert!(header(&trusted, Name::From).starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"));
    assert_eq!(header(&trusted, Name::PAssertedIdentity), "<sip:+14255550133@198.51.100.1>");
    assert_eq!(header(&trusted, Name::Privacy), "id");
    let untrusted = invited((true, false), &headers);
    assert!(!String::from_utf8_lossy(untrusted.bytes()).contains("5550133"));
    assert!(!String::from_utf8_lossy(untrusted.bytes()).contains("2065550111"), "nor the From");
}
