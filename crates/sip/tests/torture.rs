//! The torture messages of RFC 4475 and RFC 5118, each with what it must lead to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use trunkline_sip::body;
use trunkline_sip::header::Name;
use trunkline_sip::message::{Message, ParseError};
use trunkline_sip::method::Method;
use trunkline_sip::uri::{Host, Scheme};

/// What a message leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is read, and nothing about it is wrong for a user agent.
    Read,
    /// It is read, and the user agent above answers with this status.
    UserAgentAnswers(u16),
    /// It is read, and the user agent above discards it.
    UserAgentDrops,
    /// It is refused by the message layer, which builds this answer.
    Answered(u16),
    /// It is refused and cannot or must not be answered.
    Dropped,
}

use Verdict::{Answered, Dropped, Read, UserAgentAnswers, UserAgentDrops};

/// RFC 4475 §3, in its order.
const RFC_4475: [(&str, Verdict); 49] = [
    ("wsinv", Read),
    // Valid by RFC 3261, and refused on purpose: its To holds NUL, BEL and DEL behind backslashes. Control characters
    // end strings early elsewhere (CVE-2025-47779), so none gets past the parser, and none is echoed in an answer.
    ("intmeth", Dropped),
    ("esc01", Read),
    ("escnull", Read),
    ("esc02", UserAgentAnswers(501)),
    ("lwsdisp", Read),
    ("longreq", Read),
    ("dblreq", Read),
    ("semiuri", Read),
    ("transports", Read),
    ("mpart01", Read),
    ("unreason", Read),
    ("noreason", Read),
    ("badinv01", Answered(400)),
    ("clerr", Answered(400)),
    ("ncl", Answered(400)),
    ("scalar02", Answered(400)),
    ("scalarlg", Dropped),
    ("quotbal", Answered(400)),
    ("ltgtruri", Answered(400)),
    ("lwsruri", Answered(400)),
    ("lwsstart", Answered(400)),
    ("trws", Answered(400)),
    ("escruri", Answered(400)),
    ("baddate", Read),
    ("regbadct", Answered(400)),
    ("badaspec", Read),
    // The file of the archive also lacks the empty line after its header.
    ("baddn", Answered(400)),
    ("badvers", Answered(505)),
    ("mismatch01", Answered(400)),
    ("mismatch02", Answered(501)),
    ("bigcode", Dropped),
    // The branch names no transaction, so the transaction layer matches by RFC 2543 rules.
    ("badbranch", Read),
    // An answer would have to copy From, To and Call-ID, which are not there.
    ("insuf", Dropped),
    ("unkscm", UserAgentAnswers(416)),
    ("novelsc", UserAgentAnswers(416)),
    ("unksm2", UserAgentAnswers(405)),
    ("bext01", UserAgentAnswers(420)),
    ("invut", UserAgentAnswers(415)),
    ("regaut01", UserAgentAnswers(405)),
    ("multi01", Answered(400)),
    ("mcl01", Answered(400)),
    ("bcast", UserAgentDrops),
    ("zeromf", Read),
    ("cparam01", UserAgentAnswers(405)),
    ("cparam02", UserAgentAnswers(405)),
    ("regescrt", UserAgentAnswers(405)),
    ("sdp01", UserAgentAnswers(406)),
    ("inv2543", Read),
];

/// RFC 5118 §4, in its order.
const RFC_5118: [(&str, Verdict); 12] = [
    ("ipv6-good", Read),
    ("ipv6-bad", Answered(400)),
    ("port-ambiguous", Read),
    ("port-unambiguous", Read),
    ("via-received-param-with-delim", Read),
    ("via-received-param-no-delim", Read),
    ("ipv6-in-sdp", Read),
    ("mult-ip-in-header", Read),
    ("mult-ip-in-sdp", Read),
    ("ipv4-mapped-ipv6", Read),
    ("ipv6-bug-abnf-3-colons", Read),
    ("ipv6-correct-abnf-2-colons", Read),
];

#[test]
fn every_torture_message_gets_its_verdict() {
    for (folder, table) in [("rfc4475", &RFC_4475[..]), ("rfc5118", &RFC_5118[..])] {
        for (name, verdict) in table {
            match (verdict, parse(folder, name)) {
                (Read | UserAgentAnswers(_) | UserAgentDrops, Ok(_)) => {}
                (Answered(status), Err(error)) => assert_answer(name, &load(folder, name), &error, *status),
                (Dropped, Err(error)) => assert!(error.response(source(), "t1").is_none(), "{name}: {error}"),
                (_, outcome) => panic!("{folder}/{name}: {verdict:?}, but {outcome:?}"),
            }
        }
    }
}

#[test]
fn every_torture_file_is_in_the_tables() {
    for (folder, table) in [("rfc4475", &RFC_4475[..]), ("rfc5118", &RFC_5118[..])] {
        let listed: BTreeSet<String> = table.iter().map(|(name, _)| format!("{name}.dat")).collect();
        let there: BTreeSet<String> = std::fs::read_dir(path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(listed, there);
    }
}

#[test]
fn what_is_read_is_written_back_unchanged() {
    for (folder, table) in [("rfc4475", &RFC_4475[..]), ("rfc5118", &RFC_5118[..])] {
        for (name, _) in table {
            let Ok(read) = parse(folder, name) else { continue };
            let copy = read.builder().copy_where(&read, |_, _| true);
            let copy = match read.raw(Name::ContentType) {
                Some(content_type) => copy.body(content_type, read.body().clone()),
                None => copy,
            };
            let written = Message::parse(copy.finish().unwrap().bytes().clone()).unwrap();
            let fields = |message: &Message| -> Vec<(String, Vec<u8>)> {
                let kept = |known| !matches!(known, Some(Name::ContentLength | Name::ContentType));
                let fields = message.raw_headers().filter(|(known, _, _)| kept(*known));
                fields.map(|(_, name, value)| (name.to_owned(), value.to_vec())).collect()
            };
            assert_eq!(fields(&read), fields(&written), "{name}");
            assert_eq!(read.start(), written.start(), "{name}");
            assert_eq!(read.body(), written.body(), "{name}");
        }
    }
}

/// An answer can be read by its receiver, and tells what it answers.
fn assert_answer(name: &str, request: &[u8], error: &ParseError, status: u16) {
    let answer = error.response(source(), "t1").unwrap_or_else(|| panic!("{name}: no answer to {error}"));
    assert_eq!(answer.status(), Some(status), "{name}: {error}");
    assert!(answer.to().map_or(true, |to| to.tag().is_some()), "{name}");
    assert_eq!(answer.top_via().unwrap().received(), Some(source().ip()), "{name}");
    let lines = String::from_utf8_lossy(request).to_ascii_lowercase();
    assert!(lines.contains(&answer.call_id().to_ascii_lowercase()), "{name}");
    assert_eq!(answer.body().len(), 0);
}

#[test]
fn wsinv_is_read_through_its_folds_and_spaces() {
    let invite = read("rfc4475", "wsinv");
    assert_eq!(invite.uri().unwrap().params().value("unknownparam"), Some(""));
    assert_eq!(invite.to().unwrap().tag(), Some("1918181833n"));
    let from = invite.from().unwrap();
    assert_eq!(from.display(), "J Rosenberg \\\"");
    assert_eq!((from.uri_text(), from.tag()), ("sip:jdrosen@example.com", Some("98asjd8")));
    assert_eq!(invite.max_forwards(), Some(68));
    assert_eq!(invite.cseq().unwrap().number, 9);
    assert_eq!(invite.header(Name::Subject), Some(""));
    assert_eq!(
        invite.extension("NewFangledHeader"),
        Some(&b"newfangled value   continued newfangled value"[..])
    );
    assert_eq!(invite.extension("unknownheaderwithunusualvalue"), Some(&b";;,,;;,;"[..]));
    let vias: Vec<_> = invite.vias().map(|via| via.unwrap()).collect();
    let hops: Vec<_> =
        vias.iter().map(|via| (via.transport(), via.host().to_string(), via.branch())).collect();
    assert_eq!(
        hops,
        [
            ("UDP", "192.0.2.2".to_owned(), Some("390skdjuw")),
            ("TCP", "spindle.example.com".to_owned(), Some("z9hG4bK9ikj8")),
            ("UDP", "192.168.255.111".to_owned(), Some("z9hG4bK30239")),
        ]
    );
    let route = invite.addresses(Name::Route).next().unwrap().unwrap();
    assert!(route.uri().unwrap().is_loose_router());
    assert_eq!(route.uri().unwrap().params().value("unknown-no-value"), Some(""));
    let contact = invite.addresses(Name::Contact).next().unwrap().unwrap();
    assert_eq!(contact.display(), "Quoted string \"\"");
    assert_eq!(contact.params().value("newparam"), Some("newvalue"));
    assert_eq!(contact.params().value("secondparam"), Some(""));
    assert_eq!(contact.params().value("q"), Some("0.33"));
    assert_eq!(invite.body().len(), 150);
}

#[test]
fn intmeth_is_read_once_its_control_characters_are_gone() {
    let text = String::from_utf8(load("rfc4475", "intmeth")).unwrap();
    let text = ["\\\u{7}", "\\\0", "\\\u{7f}"].iter().fold(text, |text, escape| text.replace(escape, ""));
    let request = Message::parse(text.into()).unwrap();
    assert_eq!(request.to().unwrap().display(), "BEL: NUL: DEL:");
    assert_eq!(request.method().unwrap().as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    let uri = request.uri().unwrap();
    assert_eq!(uri.user_raw(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(uri.password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    assert_eq!(uri.host(), Some(Host::Name("example.com")));
    assert_eq!(request.top_via().unwrap().branch(), Some("z9hG4bK-.!%66*_+`'~"));
    let from = request.from().unwrap();
    assert_eq!(from.display(), "token1~` token2'+_ token3*%!.-");
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(from.params().value("fromParam''~+*_!.-%"), Some("\"работающий\""));
    assert_eq!(request.call_id(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
    assert_eq!(request.extension("extensionHeader-!.%*+_`'~"), Some("\u{feff}大停電".as_bytes()));
}

#[test]
fn escapes_are_read_once_and_only_where_they_are_escapes() {
    let invite = read("rfc4475", "esc01");
    assert_eq!(invite.uri().unwrap().user().unwrap(), "sips:user@example.com");
    assert_eq!(invite.to().unwrap().uri().unwrap().user().unwrap(), "user");
    assert_eq!(invite.from().unwrap().uri().unwrap().user().unwrap(), "I have spaces");
    let contact = invite.addresses(Name::Contact).next().unwrap().unwrap().uri().unwrap();
    assert_eq!(contact.user().unwrap(), "caller");
    assert!(contact.is_loose_router());
    assert_eq!(contact.param("name").unwrap(), "value%41");

    let register = read("rfc4475", "escnull");
    assert_eq!(register.to().unwrap().uri().unwrap().user().unwrap(), "null-\0-null");
    let users: Vec<_> = register
        .addresses(Name::Contact)
        .map(|contact| contact.unwrap().uri().unwrap().user().unwrap().into_owned())
        .collect();
    assert_eq!(users, ["\0", "\0\0"]);

    let request = read("rfc4475", "esc02");
    assert_eq!(request.method(), Some(&Method::Extension("RE%47IST%45R".into())));
    assert_eq!(request.from().unwrap().display(), "%Z%45");
    assert_eq!(request.headers(Name::Contact).count(), 2);
    assert_eq!(request.extension("C%6Fntact"), Some(&b"<sip:alias2@host2.example.com>"[..]));
}

#[test]
fn long_and_odd_values_are_read_whole() {
    let options = read("rfc4475", "lwsdisp");
    assert_eq!(options.from().unwrap().display(), "caller");
    assert_eq!(options.from().unwrap().uri_text(), "sip:caller@example.com");

    let invite = read("rfc4475", "longreq");
    assert_eq!(invite.vias().count(), 34);
    assert_eq!(invite.vias().last().unwrap().unwrap().received(), Some("192.0.2.5".parse().unwrap()));
    assert_eq!(invite.from().unwrap().tag().unwrap(), format!("12{}424", "982".repeat(50)));
    assert_eq!(invite.to().unwrap().uri().unwrap().port(), Some(6000));
    assert_eq!(invite.call_id(), format!("longreq.one{}longcallid", "really".repeat(20)));
    let long = format!("unknown-{}-name", "long".repeat(20));
    assert!(invite.extension(&long).unwrap().starts_with(b"unknown-longlong"));

    let options = read("rfc4475", "semiuri");
    assert_eq!(options.uri().unwrap().user().unwrap(), "user;par=u@example.net");
    assert_eq!(options.uri().unwrap().host(), Some(Host::Name("example.com")));
    assert_eq!(options.list(Name::Accept).last(), Some("message/sipfrag"));
    assert_eq!(options.list(Name::Accept).count(), 6);

    let options = read("rfc4475", "transports");
    let transports: Vec<_> = options.vias().map(|via| via.unwrap().transport().to_owned()).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

#[test]
fn octets_after_the_body_are_cut() {
    let register = read("rfc4475", "dblreq");
    assert_eq!(register.method(), Some(&Method::Register));
    assert!(register.body().is_empty());
    assert!(!register.bytes().windows(6).any(|window| window == b"INVITE"));
}

#[test]
fn binary_parts_come_out_as_they_went_in() {
    let message = read("rfc4475", "mpart01");
    assert_eq!(message.body().len(), 553);
    let parts = body::parts(&message);
    let types: Vec<_> = parts.iter().map(|part| part.media_type.as_str()).collect();
    assert_eq!(types, ["text/plain", "application/octet-stream"]);
    assert_eq!(&parts[0].content[..], b"Hello");
    assert_eq!(parts[1].content.len(), 342);
    assert!(parts[1].content.starts_with(&[0x30, 0x82, 0x01, 0x52]));
    assert!(parts[1].content.ends_with(&[0xbc, 0x99, 0xd0, 0x05]));
}

#[test]
fn reason_phrases_are_kept() {
    assert_eq!(read("rfc4475", "unreason").reason(), "= 2**3 * 5**2 но сто девяносто девять - простое");
    let response = read("rfc4475", "noreason");
    assert_eq!((response.status(), response.reason()), (Some(100), ""));
}

#[test]
fn sloppy_addresses_are_read_by_their_evident_meaning() {
    let options = read("rfc4475", "badaspec");
    assert_eq!(options.to().unwrap().uri_text(), "sip:t.watson@example.org");
    assert_eq!(options.to().unwrap().display(), "Watson, Thomas");
    let whole = [&load("rfc4475", "baddn")[..], b"\r\n"].concat();
    let options = Message::parse(whole.into()).unwrap();
    assert_eq!(options.from().unwrap().display(), "Bell, Alexander");
    assert_eq!(read("rfc4475", "baddate").header(Name::Date), Some("Fri, 01 Jan 2010 16:00:00 EST"));
}

#[test]
fn the_user_agent_can_see_what_it_must_refuse() {
    assert_eq!(read("rfc4475", "unkscm").uri().unwrap().scheme(), Scheme::Other);
    assert_eq!(read("rfc4475", "novelsc").uri_text(), "soap.beep://192.0.2.103:3002");
    assert_eq!(read("rfc4475", "unksm2").to().unwrap().uri_text(), "isbn:2983792873");
    let required: Vec<_> = {
        let options = read("rfc4475", "bext01");
        options.list(Name::Require).map(str::to_owned).collect()
    };
    assert_eq!(required, ["nothingSupportsThis", "nothingSupportsThisEither"]);
    assert_eq!(read("rfc4475", "invut").content_type(), Some("application/unknownformat"));
    assert_eq!(read("rfc4475", "sdp01").header(Name::Accept), Some("text/nobodyKnowsThis"));
    assert_eq!(read("rfc4475", "bcast").vias().count(), 2);
    assert_eq!(read("rfc4475", "zeromf").max_forwards(), Some(0));
    assert_eq!(read("rfc4475", "badbranch").top_via().unwrap().branch(), Some("z9hG4bK"));
    let authorization = read("rfc4475", "regaut01");
    assert_eq!(authorization.header(Name::Authorization), Some("NoOneKnowsThisScheme opaque-data=here"));
}

#[test]
fn parameters_belong_to_the_header_or_to_the_uri() {
    let outside = read("rfc4475", "cparam01");
    let contact = outside.addresses(Name::Contact).next().unwrap().unwrap();
    assert!(contact.params().has("unknownparam") && !contact.uri().unwrap().params().has("unknownparam"));
    let inside = read("rfc4475", "cparam02");
    let contact = inside.addresses(Name::Contact).next().unwrap().unwrap();
    assert!(!contact.params().has("unknownparam") && contact.uri().unwrap().params().has("unknownparam"));
    let escaped = read("rfc4475", "regescrt");
    let contact = escaped.addresses(Name::Contact).next().unwrap().unwrap();
    assert_eq!(contact.uri().unwrap().headers(), "Route=%3Csip:sip.example.com%3E");
}

#[test]
fn an_invite_of_rfc_2543_is_read() {
    let invite = read("rfc4475", "inv2543");
    assert_eq!(invite.top_via().unwrap().branch(), None);
    assert_eq!(invite.from().unwrap().tag(), None);
    assert_eq!(invite.max_forwards(), None);
    assert!(invite.body().starts_with(b"v=0\r\n") && invite.body().ends_with(b"RTP/AVP 0\r\n"));
    // Without brackets, parameters are those of the header.
    assert_eq!(invite.to().unwrap().params().value("user"), Some("phone"));
    assert_eq!(invite.from().unwrap().uri().unwrap().params().value("user"), Some("phone"));
}

#[test]
fn ipv6_addresses_and_ports_are_told_apart() {
    let host = |name: &str| {
        let message = read("rfc5118", name);
        let uri = message.uri().unwrap();
        (uri.host().unwrap().to_string(), uri.port())
    };
    assert_eq!(host("ipv6-good"), ("[2001:db8::10]".to_owned(), None));
    assert_eq!(host("port-ambiguous"), ("[2001:db8::10:5070]".to_owned(), None));
    assert_eq!(host("port-unambiguous"), ("[2001:db8::10]".to_owned(), Some(5070)));
    assert_eq!(host("ipv6-bug-abnf-3-colons"), host("ipv6-correct-abnf-2-colons"));
    let mapped = read("rfc5118", "ipv4-mapped-ipv6");
    let via = mapped.top_via().unwrap();
    assert_eq!((via.host(), via.port()), (Host::Ip("::ffff:192.0.2.10".parse().unwrap()), Some(19823)));
}

#[test]
fn received_is_read_with_and_without_brackets() {
    for name in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        let message = read("rfc5118", name);
        assert_eq!(message.top_via().unwrap().received(), Some("2001:db8::9:255".parse().unwrap()));
        assert_eq!(message.top_via().unwrap().host().to_string(), "[2001:db8::9:1]");
    }
    let bye = read("rfc5118", "mult-ip-in-header");
    let last = bye.vias().last().unwrap().unwrap();
    assert_eq!(last.host().to_string(), "[2001:db8::9:255]");
    assert_eq!(last.received(), Some("192.0.2.200".parse().unwrap()));
    assert_eq!(bye.top_via().unwrap().port(), Some(6050));
}

fn read(folder: &str, name: &str) -> Message {
    parse(folder, name).unwrap_or_else(|error| panic!("{folder}/{name}: {error}"))
}

fn parse(folder: &str, name: &str) -> Result<Message, ParseError> {
    Message::parse(Bytes::from(load(folder, name)))
}

fn load(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(path(folder).join(format!("{name}.dat"))).unwrap()
}

fn path(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sip").join(folder)
}

fn source() -> SocketAddr {
    "198.51.100.7:5099".parse().unwrap()
}
