//! What other SIP stacks got wrong, each as a test of this one.

use bytes::Bytes;
use trunkline_sip::body;
use trunkline_sip::framing::{Frame, FrameErrorKind, Framer};
use trunkline_sip::header::Name;
use trunkline_sip::message::{
    BuildError, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, MessageBuilder, ParseErrorKind, response_to,
};
use trunkline_sip::method::Method;
use trunkline_sip::uri::{Scheme, Uri, escape_user};

/// Writes an OPTIONS with more header lines, and a body.
fn options(lines: &str, body: &str) -> Bytes {
    let text = format!(
        "OPTIONS sip:+12125550100@gw.example.net SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKa1\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\n\
         {lines}\r\n{body}"
    );
    Bytes::from(text)
}

fn read(lines: &str) -> Message {
    Message::parse(options(lines, "")).unwrap()
}

/// Returns what is wrong and which status says so, if anything is sent.
fn refused(bytes: Bytes) -> (ParseErrorKind, Option<u16>) {
    let error = Message::parse(bytes).unwrap_err();
    let answer = error.response("192.0.2.1:5060".parse().unwrap(), "t");
    (error.kind(), answer.and_then(|answer| answer.status()))
}

#[test]
fn a_control_character_is_refused_wherever_it_stands_in_the_header() {
    for bad in ["\0", "\x01", "\x08", "\x0b", "\x0c", "\x1b", "\x7f", "\rX"] {
        let (kind, status) = refused(options(&format!("Subject: a{bad}b\r\n"), ""));
        assert_eq!((kind, status), (ParseErrorKind::ControlCharacter, Some(400)), "{bad:?}");
    }
    // In a header that an answer would copy, nothing is answered: the answer would carry it on.
    let bytes = options("", "").to_vec();
    let bytes =
        String::from_utf8(bytes).unwrap().replace("<sip:b@example.com>", "\"x\0y\" <sip:b@example.com>");
    assert_eq!(refused(bytes.into()), (ParseErrorKind::ControlCharacter, None));
    // A body may hold anything.
    let message = Message::parse(options("Content-Length: 3\r\n", "\0\x01\x7f")).unwrap();
    assert_eq!(&message.body()[..], b"\0\x01\x7f");
}

#[test]
fn only_space_and_tab_may_stand_before_the_colon() {
    assert_eq!(read("Subject \t : x\r\n").header(Name::Subject), Some("x"));
    for bad in
        ["Subject\x0b: x", "Subject\u{a0}: x", "Sub ject: x", ": x", "Subject", "Sub(ject: x", "\u{e9}: x"]
    {
        let error = Message::parse(options(&format!("{bad}\r\n"), "")).unwrap_err();

        assert_eq!(error.to_string(), "Malformed header field", "{bad:?}");
    }
}

#[test]
fn a_second_singleton_is_refused() {
    for line in ["From: <sip:x@example.com>;tag=2", "t: <sip:x@example.com>", "i: c2", "CSeq: 1 OPTIONS"] {
        let (kind, status) = refused(options(&format!("{line}\r\n"), ""));
        assert!(matches!(kind, ParseErrorKind::Repeated(_)), "{line}: {kind:?}");
        assert_eq!(status, Some(400));
    }
    let (kind, _) = refused(options("Max-Forwards: 70\r\nMax-Forwards: 7\r\n", ""));
    assert_eq!(kind, ParseErrorKind::Repeated(Name::MaxForwards));
}

#[test]
fn content_lengths_that_agree_are_one_and_others_are_refused() {
    let message = Message::parse(options("Content-Length: 3\r\nl: 003\r\n", "abcd")).unwrap();
    assert_eq!(&message.body()[..], b"abc");
    let repeated =
        [("l: 3\r\nl: 4\r\n", "abcd"), ("l: x\r\nl: x\r\n", "abcd"), ("l: 1\r\nl: -1\r\n", "abcd")];
    for (lines, body) in repeated {
        let (kind, status) = refused(options(lines, body));
        assert_eq!((kind, status), (ParseErrorKind::Repeated(Name::ContentLength), Some(400)), "{lines}");
    }
}

#[test]
fn a_content_length_neither_wraps_nor_lies() {
    // CVE-2026-23457: 2^32 + 32; CVE-2026-45103: sums that overflow.
    let malformed = [
        "4294967328",
        "18446744073709551648",
        "65537",
        "-1",
        "+3",
        "3a",
        "0x3",
        "",
        "00000000003",
        "3, 3",
        "3 3",
    ];
    for length in malformed {
        let (kind, status) = refused(options(&format!("Content-Length: {length}\r\n"), "abc"));
        assert_eq!((kind, status), (ParseErrorKind::Malformed(Name::ContentLength), Some(400)), "{length:?}");
        let mut framer = Framer::new();
        framer.push(&options(&format!("Content-Length: {length}\r\n"), "abc"));
        assert_eq!(framer.poll_frame().unwrap_err().kind, FrameErrorKind::ContentLength, "{length:?}");
    }
    assert_eq!(refused(options("Content-Length: 4\r\n", "abc")), (ParseErrorKind::BodyTruncated, Some(400)));
}

#[test]
fn limits_hold_and_what_is_within_them_passes() {
    let many = |count: usize| "X-A: 1\r\n".repeat(count);
    assert_eq!(read(&many(HEADERS_MAX - 5)).raw_headers().count(), HEADERS_MAX);
    assert_eq!(refused(options(&many(HEADERS_MAX - 4), "")), (ParseErrorKind::TooManyHeaders, Some(400)));

    let long = |len: usize| format!("X-A: {}\r\n", "a".repeat(len));
    assert_eq!(read(&long(8 * 1024 - 5)).extension("X-A").unwrap().len(), 8 * 1024 - 5);
    assert_eq!(refused(options(&long(8 * 1024 - 4), "")), (ParseErrorKind::HeaderTooLarge, Some(400)));
    let folded = format!("X-A: {}\r\n", "a\r\n ".repeat(3000));
    assert_eq!(refused(options(&folded, "")), (ParseErrorKind::HeaderTooLarge, Some(400)));

    let large = options("", &"x".repeat(MESSAGE_BYTES_MAX));
    assert_eq!(refused(large), (ParseErrorKind::MessageTooLarge, Some(513)));
}

#[test]
fn a_response_or_an_ack_is_never_answered() {
    let text = |start: &str, cseq: &str| {
        Bytes::from(format!(
            "{start}\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\n\
             CSeq: {cseq}\r\nMax-Forwards: x\r\n\r\n"
        ))
    };
    assert_eq!(refused(text("OPTIONS sip:a@b SIP/2.0", "1 OPTIONS")).1, Some(400));
    assert_eq!(refused(text("ACK sip:a@b SIP/2.0", "1 ACK")).1, None);
    assert_eq!(refused(text("SIP/2.0 200 OK", "1 OPTIONS")).1, None);
    assert_eq!(refused(Bytes::from_static(b"\r\n\r\n")), (ParseErrorKind::Empty, None));
}

#[test]
fn a_malformed_via_is_not_answered() {
    for via in
        ["SIP/2.0/UDP", "SIP/2.0/UDP :5060", "SIP/2.0/UDP [::1", "SIP/2.0/UDP a:99999", "HTTP/1.1 x", ";;;"]
    {
        let text = String::from_utf8(options("", "").to_vec()).unwrap();
        let bytes = text.replace("SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKa1", via);
        assert_eq!(refused(bytes.into()), (ParseErrorKind::Malformed(Name::Via), None), "{via}");
    }
}

#[test]
fn an_answer_cannot_be_made_to_carry_other_headers() {
    let request = read("");
    let answer = response_to(&request, 200, "OK\r\nX: y", Some("t")).finish();
    assert_eq!(answer.unwrap_err(), BuildError::ControlCharacter);
    for value in ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x0bb"] {
        let built = MessageBuilder::response(200, "OK").header(Name::Subject, value).finish();
        assert_eq!(built.unwrap_err(), BuildError::ControlCharacter, "{value:?}");
    }
    for name in ["", "a b", "a:", "a\r\n", "\u{e9}"] {
        let built = MessageBuilder::response(200, "OK").extension(name, "x").finish();
        assert_eq!(built.unwrap_err(), BuildError::Name, "{name:?}");
    }
    for uri in ["", "sip:a b", "sip:a\r\nVia: x", "sip:a\0"] {
        assert_eq!(MessageBuilder::request(Method::Bye, uri).finish().unwrap_err(), BuildError::RequestUri);
    }
    let built = MessageBuilder::response(200, "OK").extension("l", "5").finish();
    assert_eq!(built.unwrap_err(), BuildError::ContentLength);
}

#[test]
fn line_feeds_alone_end_lines_too() {
    let text =
        String::from_utf8(options("Subject: x\r\n y\r\nContent-Length: 2\r\n", "ab").to_vec()).unwrap();
    let message = Message::parse(text.replace("\r\n", "\n").into()).unwrap();
    assert_eq!(message.header(Name::Subject), Some("x  y"));
    assert_eq!(&message.body()[..], b"ab");
    let mut framer = Framer::new();
    framer.push(text.replace("\r\n", "\n").as_bytes());
    assert!(matches!(framer.poll_frame(), Ok(Some(Frame::Message(_)))));
}

#[test]
fn latin_1_in_a_header_leaves_it_and_the_later_ones_whole() {
    let mut bytes = options("X-City: Montr#al\r\nX-After: yes\r\n", "").to_vec();
    let at = bytes.iter().position(|byte| *byte == b'#').unwrap();
    bytes[at] = 0xe9;
    let message = Message::parse(bytes.into()).unwrap();
    assert_eq!(message.extension("X-City"), Some(&b"Montr\xe9al"[..]));
    assert_eq!(message.extension("X-After"), Some(&b"yes"[..]));
    let copy = MessageBuilder::response(200, "OK")
        .copy_where(&message, |_, name| name == "X-City")
        .finish()
        .unwrap();
    assert_eq!(copy.extension("x-city"), Some(&b"Montr\xe9al"[..]));
}

#[test]
fn a_latin_1_display_name_does_not_hide_the_caller() {
    let text = String::from_utf8(options("", "").to_vec()).unwrap();
    let text = text.replace("From: <sip:a@example.com>", "From: \"Ren#\" <sip:a@example.com>");
    let bytes: Vec<u8> = text.bytes().map(|byte| if byte == b'#' { 0xe9 } else { byte }).collect();
    let message = Message::parse(bytes.into()).unwrap();
    assert_eq!(message.from().unwrap().uri().unwrap().user().unwrap(), "a");
    assert_eq!(message.from().unwrap().display(), "Ren\u{fffd}");
}

#[test]
fn repeated_and_joined_headers_are_one_list() {
    let message = read(
        "Record-Route: <sip:p1;lr>, <sip:a,b@p2;lr>\r\nSubject: s\r\nRecord-Route: \"a, b\" <sip:p3;lr>\r\n\
         Supported: timer,100rel\r\nk: replaces\r\n",
    );
    let routes: Vec<_> =
        message.addresses(Name::RecordRoute).map(|route| route.unwrap().uri_text().to_owned()).collect();
    assert_eq!(routes.len(), 3);
    assert_eq!(routes[0], "sip:p1;lr");
    assert_eq!(routes[2], "sip:p3;lr");
    assert_eq!(message.list(Name::Supported).collect::<Vec<_>>(), ["timer", "100rel", "replaces"]);
    assert!(message.lists(Name::Supported, "Replaces"));
}

#[test]
fn an_instance_id_in_a_contact_list_is_read() {
    let message = read(
        "Contact: <sip:a@192.0.2.1;ob>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=1, \
         <sip:b@192.0.2.2>;q=0.5\r\n",
    );
    let contacts: Vec<_> = message.addresses(Name::Contact).map(|contact| contact.unwrap()).collect();
    assert_eq!(contacts.len(), 2);
    assert_eq!(
        contacts[0].params().value("+sip.instance"),
        Some("\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"")
    );
    assert_eq!(contacts[0].params().value("reg-id"), Some("1"));
    assert_eq!(contacts[1].uri_text(), "sip:b@192.0.2.2");
}

#[test]
fn telephone_uris_are_read_with_their_parameters() {
    let uri = Uri::parse("tel:+1-212-555-0100;npdi;rn=+12125550199;cic=+1-6789;phone-context=x").unwrap();
    assert_eq!(uri.scheme(), Scheme::Tel);
    assert_eq!(uri.user_raw(), Some("+1-212-555-0100"));
    assert!(uri.params().has("npdi"));
    assert_eq!(uri.params().value("rn"), Some("+12125550199"));
    let local = Uri::parse("tel:911;phone-context=+1").unwrap();
    assert_eq!((local.user_raw(), local.params().value("phone-context")), (Some("911"), Some("+1")));
    let pound = Uri::parse("tel:*67#;phone-context=+1").unwrap();
    assert_eq!(pound.user_raw(), Some("*67#"));
    for bad in ["tel:", "tel:+", "tel:---", "tel:+1*2", "tel:+1x", "tel:a;b@c z"] {
        assert!(Uri::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn users_with_dots_escapes_and_semicolons_are_kept() {
    let user = |text: &str| Uri::parse(text).unwrap().user().unwrap().into_owned();
    assert_eq!(user("sip:john.doe@example.com"), "john.doe");
    assert_eq!(
        user("sip:+12125550100;npdi;rn=+12125550199@example.com"),
        "+12125550100;npdi;rn=+12125550199"
    );
    assert_eq!(user("sip:a%20b%40c@example.com"), "a b@c");
    assert_eq!(user("sip:100%@example.com"), "100%");
    assert_eq!(user("sip:%e9@example.com"), "%e9");
    let uri = Uri::parse("sips:alice:secret@[2001:db8::1]:5061;transport=tls?Subject=x").unwrap();
    assert_eq!((uri.password(), uri.port(), uri.headers()), (Some("secret"), Some(5061), "Subject=x"));
    assert_eq!(escape_user("a b@c%"), "a%20b%40c%25");
    for bad in [
        "sip:",
        "sip:@x",
        "sip:a@",
        "sip:a@b@c:d",
        "sip:a@b:0",
        "sip:a@b:65536",
        "sip:a@b:",
        "sip:1.2.3.256",
        "sip:a..b",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn unknown_methods_and_reason_phrases_pass_through() {
    let text = String::from_utf8(options("", "").to_vec()).unwrap().replace("OPTIONS", "BREW");
    let message = Message::parse(text.into()).unwrap();
    assert_eq!(message.method(), Some(&Method::Extension("BREW".into())));
    let response = MessageBuilder::response(486, "Caller's busy, try later")
        .copy(&message, Name::Via)
        .copy(&message, Name::From)
        .copy(&message, Name::To)
        .copy(&message, Name::CallId)
        .copy(&message, Name::CSeq);
    let response = Message::parse(response.finish().unwrap().bytes().clone()).unwrap();
    assert_eq!((response.status(), response.reason()), (Some(486), "Caller's busy, try later"));
    assert_eq!(response.cseq().unwrap().method.as_str(), "BREW");
}

#[test]
fn rport_and_received_are_what_the_receiver_saw() {
    let text = String::from_utf8(options("", "").to_vec()).unwrap();
    let spoofed = text.replace(";branch", ";received=203.0.113.9;rport=1;branch");
    let request = Message::parse(spoofed.into()).unwrap();
    let request = request.received_from("[2001:db8::7]:40001".parse().unwrap()).unwrap();
    let via = request.top_via().unwrap();
    assert_eq!(via.received(), Some("2001:db8::7".parse().unwrap()));
    assert_eq!((via.rport(), via.branch()), (Some(40001), Some("z9hG4bKa1")));
    assert_eq!(via.params().iter().filter(|(name, _)| *name == "received").count(), 1);

    // RFC 3261 §18.2.1: nothing is added when the address is the one that the Via names.
    let plain = read("");
    let same = plain.received_from("192.0.2.1:5060".parse().unwrap()).unwrap();
    assert_eq!(same.bytes(), plain.bytes());
}

#[test]
fn a_stream_is_cut_at_any_place_its_bytes_arrive_in_pieces() {
    let first = options("Content-Length: 5\r\n", "hello");
    let second = options("l : 0\r\nSubject: two\r\n", "");
    let stream = [&b"\r\n\r\n"[..], &first, &second, b"\r\n\r\n"].concat();
    for piece in [1, 2, 3, 7, 64, stream.len()] {
        let mut framer = Framer::new();
        let mut frames = Vec::new();
        for bytes in stream.chunks(piece) {
            framer.push(bytes);
            while let Some(frame) = framer.poll_frame().unwrap() {
                frames.push(frame);
            }
        }
        let expected =
            [Frame::Ping, Frame::Message(first.clone()), Frame::Message(second.clone()), Frame::Ping];
        assert_eq!(frames, expected, "pieces of {piece}");
        assert_eq!(framer.buffered(), 0);
    }
}

#[test]
fn a_stream_that_lost_its_place_is_not_read_on() {
    let fails = |bytes: &[u8]| {
        let mut framer = Framer::new();
        framer.push(bytes);
        framer.poll_frame().unwrap_err()
    };
    let missing = fails(&options("", ""));
    assert_eq!(missing.kind, FrameErrorKind::NoContentLength);
    assert!(missing.head.is_some());
    assert_eq!(fails(&options("l: 1\r\nl: 2\r\n", "")).kind, FrameErrorKind::ContentLength);
    // A fold must not hide digits from one of two readers.
    assert_eq!(fails(&options("l: 1\r\n 2\r\n", "")).kind, FrameErrorKind::ContentLength);
    assert_eq!(fails(&options("l: 65536\r\n", "")).kind, FrameErrorKind::MessageTooLarge);
    assert_eq!(fails(&vec![b'a'; MESSAGE_BYTES_MAX + 1]).kind, FrameErrorKind::HeaderTooLarge);
    // The head tells the user agent what to answer before the connection closes.
    let head = fails(&options("l: 1\r\nl: 2\r\n", "")).head.unwrap();
    assert_eq!(refused(head).1, Some(400));
}

#[test]
fn a_multipart_body_yields_its_parts_and_nothing_of_its_frame() {
    let isup = "\x01\0\x49\0\0\x03\x02\0\x07\x04\x10\0";
    let text = format!(
        "preamble\r\n--b1\r\nContent-Type: application/SDP ; charset=x\r\n\r\nv=0\r\n\r\n--b1  \r\n\
         Content-Type: application/ISUP;version=nxv3\r\nContent-Disposition: signal;handling=optional\r\n\r\n{isup}\r\n\
         --b1\r\n\r\nplain --b1 inside\r\n--b1--\r\nepilogue"
    );
    let lines =
        format!("Content-Type: multipart/mixed; boundary=\"b1\"\r\nContent-Length: {}\r\n", text.len());
    let message = Message::parse(options(&lines, &text)).unwrap();
    let parts = body::parts(&message);
    let types: Vec<_> = parts.iter().map(|part| part.media_type.as_str()).collect();
    assert_eq!(types, ["application/sdp", "application/isup", "text/plain"]);
    assert_eq!(&parts[0].content[..], b"v=0\r\n");
    assert_eq!(parts[1].content, isup.as_bytes());
    assert_eq!(parts[1].disposition.as_deref(), Some("signal;handling=optional"));
    assert_eq!(&parts[2].content[..], b"plain --b1 inside");
    assert_eq!(body::part(&message, "application/sdp").as_deref(), Some(&b"v=0\r\n"[..]));
}

#[test]
fn parts_nest_only_so_deep_and_are_only_so_many() {
    let mut text = "deepest".to_owned();
    for level in 0..40 {
        text = format!(
            "--l{level}\r\nContent-Type: multipart/mixed;boundary=l{}\r\n\r\n{text}\r\n--l{level}--",
            level - 1
        );
    }
    let lines = format!("Content-Type: multipart/mixed;boundary=l39\r\nContent-Length: {}\r\n", text.len());
    assert!(body::parts(&Message::parse(options(&lines, &text)).unwrap()).is_empty());

    let text = "--b\r\n\r\nx\r\n".repeat(1000);
    let lines = format!("Content-Type: multipart/mixed;boundary=b\r\nContent-Length: {}\r\n", text.len());
    assert_eq!(body::parts(&Message::parse(options(&lines, &text)).unwrap()).len(), body::PARTS_MAX);
}
