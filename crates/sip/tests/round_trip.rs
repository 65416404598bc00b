//! What is built is read as it was meant.

use bytes::Bytes;
use proptest::prelude::*;
use trunkline_sip::header::Name;
use trunkline_sip::message::{Message, MessageBuilder};
use trunkline_sip::method::Method;
use trunkline_sip::uri::{Uri, escape_user, unescape};

proptest! {
    #[test]
    fn a_built_message_is_read_back(
        fields in prop::collection::vec(("X-[A-Za-z0-9!%*_+`'~.-]{1,20}", "[ -~\u{a1}-\u{2000}]{0,60}"), 0..20),
        subject in "[ -~]{0,60}", cseq in 0_u32..1 << 31, body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut builder = MessageBuilder::request(Method::Info, "sip:+12125550100@gw.example.net")
            .header(Name::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
            .header(Name::From, "<sip:a@example.com>;tag=1")
            .header(Name::To, "<sip:b@example.com>;tag=2")
            .header(Name::CallId, "c1")
            .header(Name::CSeq, format!("{cseq} INFO"))
            .header(Name::Subject, &subject);
        for (name, value) in &fields {
            builder = builder.extension(name, value);
        }
        let built = builder.body("application/octet-stream", body.clone()).finish().unwrap();
        let read = Message::parse(built.bytes().clone()).unwrap();

        prop_assert!(built.raw_headers().eq(read.raw_headers()));
        prop_assert_eq!(built.start(), read.start());
        prop_assert_eq!(&read.body()[..], &body[..]);
        prop_assert_eq!(read.header(Name::Subject).unwrap(), subject.trim_matches(' '));
        prop_assert_eq!(read.cseq().unwrap().number, cseq);
        for (name, value) in &fields {
            let expected = value.trim_matches(' ').as_bytes();
            let mut found = read.raw_headers().filter(|(_, text, _)| text.eq_ignore_ascii_case(name));
            prop_assert!(found.any(|(_, _, found)| found == expected));
        }
    }

    #[test]
    fn any_bytes_in_a_value_are_refused_or_read_back(value in prop::collection::vec(any::<u8>(), 0..40)) {
        let built = MessageBuilder::response(200, "OK")
            .header(Name::Via, "SIP/2.0/UDP 192.0.2.1")
            .header(Name::From, "<sip:a@example.com>;tag=1")
            .header(Name::To, "<sip:b@example.com>;tag=2")
            .header(Name::CallId, "c1")
            .header(Name::CSeq, "1 INVITE")
            .extension("X-Any", &value)
            .header(Name::Subject, "after")
            .finish();
        let Ok(built) = built else { return Ok(()) };
        let read = Message::parse(built.bytes().clone()).unwrap();
        prop_assert_eq!(read.extension("X-Any").unwrap(), value.trim_ascii());
        prop_assert_eq!(read.header(Name::Subject), Some("after"));
        prop_assert_eq!(read.raw_headers().count(), 8);
    }

    #[test]
    fn a_user_is_escaped_so_that_it_comes_back(user in "\\PC{1,20}") {
        let escaped = escape_user(&user);
        prop_assert_eq!(unescape(&escaped), user.as_str());
        let text = format!("sip:{escaped}@example.com");
        let uri = Uri::parse(&text).unwrap();
        prop_assert_eq!(uri.user().unwrap(), user.as_str());
    }

    #[test]
    fn the_parser_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::parse(Bytes::from(bytes));
    }
}
