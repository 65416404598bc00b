//! rsip, which we did not write, as a second opinion on the part of SIP that it reads right.
//!
//! It has no `tel:`, IPv6, compact names, folding or binary bodies, and loses dots in users, so none occur here.

use bytes::Bytes;
use proptest::prelude::*;
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
use trunkline_sip::message::Message;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rsip_and_we_read_the_same(
        method in prop::sample::select(vec!["INVITE", "ACK", "BYE", "OPTIONS", "UPDATE", "PRACK", "INFO"]),
        user in "[a-z0-9]{1,12}", host in "[a-z]{1,10}\\.(com|net)", port in prop::option::of(1_u16..),
        display in prop::option::of("[A-Za-z][A-Za-z ]{0,20}[A-Za-z]"), tag in "[a-z0-9]{1,20}",
        branch in "[A-Za-z0-9]{1,30}", cseq in 0_u32..1 << 31, call_id in "[A-Za-z0-9.-]{1,30}(@[a-z.]{1,10})?",
        body in "[ -~]{0,80}",
    ) {
        let port_text = port.map_or(String::new(), |port| format!(":{port}"));
        let from = display.as_ref().map_or(String::new(), |display| format!("\"{display}\" "));
        let text = format!(
            "{method} sip:{user}@{host}{port_text} SIP/2.0\r\nVia: SIP/2.0/UDP {host}{port_text};branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: {from}<sip:{user}@{host}{port_text}>;tag={tag}\r\nTo: <sip:{user}@{host}>\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContent-Length: {}\r\n\r\n{body}", body.len(),
        );
        let ours = Message::parse(Bytes::from(text.clone())).unwrap();
        let theirs = rsip::Request::try_from(text.as_bytes()).unwrap();

        prop_assert_eq!(ours.method().unwrap().as_str(), theirs.method.to_string());
        prop_assert_eq!(ours.uri_text(), theirs.uri.to_string());
        prop_assert_eq!(ours.call_id(), theirs.call_id_header().unwrap().value());
        prop_assert_eq!(ours.cseq().unwrap().number, theirs.cseq_header().unwrap().typed().unwrap().seq);
        prop_assert_eq!(&ours.body()[..], &theirs.body[..]);

        let via = theirs.via_header().unwrap().typed().unwrap();
        let our_via = ours.top_via().unwrap();
        prop_assert_eq!(our_via.branch(), via.branch().map(|branch| branch.value()));
        prop_assert_eq!(our_via.host().to_string(), via.uri.host_with_port.host.to_string());
        prop_assert_eq!(our_via.port(), via.uri.host_with_port.port.map(u16::from));

        let their_from = theirs.from_header().unwrap().typed().unwrap();
        let our_from = ours.from().unwrap();
        prop_assert_eq!(our_from.tag(), their_from.tag().map(|tag| tag.value()));
        prop_assert_eq!(our_from.uri_text(), their_from.uri.to_string());
        let their_display = their_from.display_name.as_deref().unwrap_or_default();
        prop_assert_eq!(&our_from.display(), their_display.trim_matches('"'));
    }
}
