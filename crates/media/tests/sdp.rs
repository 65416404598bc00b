//! The description parser against a corpus, a foreign parser, its own printer, and noise.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::path::Path;
use trunkline_media::negotiated::Direction;
use trunkline_media::sdp::{
    Address, FORMATS_MAX, LINE_BYTES_MAX, LINES_MAX, MEDIA_MAX, ParseError, Reason, SDP_BYTES_MAX, Sdp,
};
use webrtc_sdp::attribute_type::{SdpAttribute, SdpAttributeType};
use webrtc_sdp::media_type::{SdpFormatList, SdpMedia};

#[test]
fn every_description_of_the_corpus_is_read() {
    for (name, bytes) in corpus() {
        let sdp = Sdp::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!sdp.media().is_empty(), "{name}");
    }
}

#[test]
fn a_carrier_offer_is_read_field_by_field() {
    let bytes = fixture("carrier_offer");
    let sdp = Sdp::parse(&bytes).unwrap();

    assert_eq!(sdp.origin().username, b"CARRIER");
    assert_eq!((sdp.origin().session_id, sdp.origin().version), ("1747311", "8921"));
    assert_eq!(sdp.name(), b"sip call");
    let audio = &sdp.media()[0];
    assert_eq!((audio.kind(), audio.port(), audio.protocol()), ("audio", 36580, "RTP/AVP"));
    assert_eq!(audio.formats().collect::<Vec<_>>(), ["0", "8", "18", "101"]);
    assert_eq!(sdp.connection_of(audio).unwrap().address, Address::Ip("198.51.100.21".parse().unwrap()));
    assert_eq!(
        audio.rtpmaps().map(|map| map.encoding).collect::<Vec<_>>(),
        ["PCMU", "PCMA", "G729", "telephone-event"]
    );
    assert_eq!(audio.fmtp(101), Some(b"0-15".as_slice()));
    assert_eq!(audio.fmtp(18), Some(b"annexb=no".as_slice()));
    assert_eq!((audio.ptime_ms(), audio.maxptime_ms()), (Some(20), Some(40)));
    assert_eq!(sdp.direction_of(audio), Direction::SendRecv);
}

#[test]
fn lines_that_end_in_lf_alone_mean_the_same() {
    let (crlf, lf) = (fixture("carrier_offer"), fixture("lf_only"));
    assert!(!lf.contains(&b'\r'));
    assert_eq!(Sdp::parse(&lf), Sdp::parse(&crlf));
}

#[test]
fn what_is_missing_in_the_media_comes_from_the_session() {
    let bytes = fixture("session_direction");
    let sdp = Sdp::parse(&bytes).unwrap();
    assert_eq!(sdp.direction_of(&sdp.media()[0]), Direction::Inactive);
    assert!(sdp.media()[0].connection().is_none() && sdp.connection_of(&sdp.media()[0]).is_some());

    let bytes = fixture("browser_offer");
    let sdp = Sdp::parse(&bytes).unwrap();
    assert!(sdp.connection().is_none());
    assert_eq!(
        sdp.connection_of(&sdp.media()[0]).unwrap().address,
        Address::Ip("203.0.113.40".parse().unwrap())
    );
}

#[test]
fn hold_by_address_is_seen_in_every_spelling() {
    for (line, held) in [
        ("IN IP4 0.0.0.0", true),
        ("IN IP6 ::", true),
        ("IN IP6 held.invalid", true),
        ("IN IP4 HELD.INVALID.", true),
        ("IN IP4 invalid.example.com", false),
        ("IN IP4 192.0.2.1", false),
    ] {
        let text = format!("v=0\r\no=- 1 1 IN IP4 x\r\nc={line}\r\nm=audio 6000 RTP/AVP 0\r\n");
        assert_eq!(Sdp::parse(text.as_bytes()).unwrap().connection().unwrap().is_hold(), held, "{line}");
    }
}

#[test]
fn keys_rtcp_and_counts_are_kept() {
    let bytes = fixture("hold_sendonly_crypto");
    let sdp = Sdp::parse(&bytes).unwrap();
    assert!(sdp.media()[0].cryptos().next().unwrap().starts_with(b"1 AES_CM_128_HMAC_SHA1_80 inline:"));
    assert_eq!(sdp.direction_of(&sdp.media()[0]), Direction::SendOnly);

    let bytes = fixture("ipv6");
    let sdp = Sdp::parse(&bytes).unwrap();
    let rtcp = sdp.media()[0].rtcp().unwrap();
    assert_eq!((rtcp.port, rtcp.address), (53020, Some(Address::Ip("2001:db8::4".parse().unwrap()))));

    let bytes = fixture("port_count");
    assert_eq!(Sdp::parse(&bytes).unwrap().media()[0].port_count(), 2);

    let bytes = fixture("avpf_mux");
    assert!(Sdp::parse(&bytes).unwrap().media()[0].rtcp_mux());
}

#[test]
fn senseless_attributes_are_as_good_as_unknown_ones() {
    let bytes = fixture("sloppy_attributes");
    let sdp = Sdp::parse(&bytes).unwrap();
    let audio = &sdp.media()[0];
    assert_eq!(audio.rtpmaps().count(), 0);
    assert_eq!(audio.ptime_ms(), Some(20));
    assert_eq!(audio.rtcp(), None);
    assert_eq!(audio.fmtp(101), None);
}

#[test]
fn a_refusal_names_line_and_reason() {
    let session = "v=0\no=- 1 1 IN IP4 x\ns=-\n";
    let cases: &[(&str, usize, Reason)] = &[
        ("", 1, Reason::NoVersion),
        ("\r\n\r\n", 2, Reason::NoVersion),
        ("o=- 1 1 IN IP4 x\n", 1, Reason::NoVersion),
        ("m=audio 1 RTP/AVP 0\n", 1, Reason::NoVersion),
        ("v=1\n", 1, Reason::Version),
        ("v=\n", 1, Reason::Version),
        ("v=0\nv=0\n", 2, Reason::Repeated),
        ("v=0\ns=-\n", 2, Reason::NoOrigin),
        ("v=0\no=- 1 IN IP4 x\n", 2, Reason::Origin),
        ("v=0\no=1 1 IN IP4 x\n", 2, Reason::Origin),
        ("v=0\no=\n", 2, Reason::Origin),
        ("{}o=- 1 1 IN IP4 x\n", 4, Reason::Repeated),
        ("{}s=again\n", 4, Reason::Repeated),
        ("{}t=0\n", 4, Reason::Timing),
        ("{}t=0 0 0\n", 4, Reason::Timing),
        ("{}t=0 99999999999999999999\n", 4, Reason::Timing),
        ("{}t=0 -1\n", 4, Reason::Timing),
        ("{}c=IN IP4\n", 4, Reason::Address),
        ("{}c=IN IP4 256.1.1.1\n", 4, Reason::Address),
        ("{}c=IN IP4 ::1\n", 4, Reason::Address),
        ("{}c=IN IP6 192.0.2.1\n", 4, Reason::Address),
        ("{}c=IN IP4 a$b\n", 4, Reason::Address),
        ("{}c=ATM NSAP 47.0\n", 4, Reason::Network),
        ("{}c=IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\n", 5, Reason::Repeated),
        ("{}m=audio\n", 4, Reason::Media),
        ("{}m=audio 5000\n", 4, Reason::Media),
        ("{}m=audio 5000 RTP/AVP\n", 4, Reason::Media),
        ("{}m=audio 65536 RTP/AVP 0\n", 4, Reason::Port),
        ("{}m=audio -1 RTP/AVP 0\n", 4, Reason::Port),
        ("{}m=audio +1 RTP/AVP 0\n", 4, Reason::Port),
        ("{}m=audio 5000/0 RTP/AVP 0\n", 4, Reason::Port),
        ("{}m=audio 5000/99999 RTP/AVP 0\n", 4, Reason::Port),
        ("{}m=audio 5000 RTP/AVP 0\t8\n", 4, Reason::Media),
        ("{}m=audio 5000 RTP/AVP 0\ns=late\n", 5, Reason::OutOfPlace),
        ("{}m=audio 5000 RTP/AVP 0\nt=0 0\n", 5, Reason::OutOfPlace),
        ("{}y=0\n", 4, Reason::UnknownType),
        ("{}a sendrecv\n", 4, Reason::Form),
        ("{}a\n", 4, Reason::Form),
        ("{}=x\n", 4, Reason::Form),
        ("{}\u{0}\n", 4, Reason::ForbiddenByte),
        ("{}a=x\u{0}y\n", 4, Reason::ForbiddenByte),
        ("{}a=x\ry\n", 4, Reason::ForbiddenByte),
    ];
    for (text, line, reason) in cases {
        let text = text.replace("{}", session);
        assert_eq!(Sdp::parse(text.as_bytes()), Err(ParseError { line: *line, reason: *reason }), "{text:?}");
    }
}

#[test]
fn limits_hold_and_are_reached() {
    let session = "v=0\no=- 1 1 IN IP4 x\n";
    let check = |text: String, expected: Result<(), Reason>| {
        assert_eq!(Sdp::parse(text.as_bytes()).map(|_| ()).map_err(|error| error.reason), expected);
    };
    let media = |count| format!("{session}{}", "m=audio 5000 RTP/AVP 0\n".repeat(count));
    check(media(MEDIA_MAX), Ok(()));
    check(media(MEDIA_MAX + 1), Err(Reason::TooManyMedia));
    let lines = |count| format!("{session}{}", "a=x\n".repeat(count - 2));
    check(lines(LINES_MAX), Ok(()));
    check(lines(LINES_MAX + 1), Err(Reason::TooManyLines));
    let line = |length| format!("{session}a={}\n", "x".repeat(length - 2));
    check(line(LINE_BYTES_MAX), Ok(()));
    check(line(LINE_BYTES_MAX + 1), Err(Reason::LineTooLong));
    let formats = |count| format!("{session}m=audio 5000 RTP/AVP{}\n", " 0".repeat(count));
    check(formats(FORMATS_MAX), Ok(()));
    check(formats(FORMATS_MAX + 1), Err(Reason::TooManyFormats));
    let mut whole = format!("{session}{}", format!("a={}\n", "x".repeat(1021)).repeat(15));
    whole.push_str(&format!("a={}\n", "x".repeat(SDP_BYTES_MAX - whole.len() - 3)));
    check(whole.clone(), Ok(()));
    check(whole + "\n", Err(Reason::TooLong));
}

#[test]
fn warnings_carry_the_codes_of_rfc_3261() {
    let warning = |reason| ParseError { line: 1, reason }.warning().0;
    assert_eq!(warning(Reason::Network), 300);
    assert_eq!(warning(Reason::Address), 301);
    assert_eq!(warning(Reason::Media), 307);
    assert_eq!(warning(Reason::TooManyMedia), 399);
}

#[test]
fn parsing_allocates_only_the_list_of_media_lines() {
    let one = fixture("carrier_offer");
    let info = allocation_counter::measure(|| {
        Sdp::parse(&one).unwrap();
    });
    assert_eq!(info.count_total, 1);
    let most = format!("v=0\no=- 1 1 IN IP4 x\n{}", "m=audio 5000 RTP/AVP 0\na=x\n".repeat(MEDIA_MAX));
    let info = allocation_counter::measure(|| {
        Sdp::parse(most.as_bytes()).unwrap();
    });
    assert!(info.bytes_max <= 4096, "{} bytes", info.bytes_max);
}

#[test]
fn printing_is_strict_whatever_was_read() {
    for (name, bytes) in corpus() {
        let printed = Sdp::parse(&bytes).unwrap().print();
        let again = Sdp::parse(&printed).unwrap();
        // Printing adds what the standard demands, so that the second round changes nothing.
        assert_eq!(again.print(), printed, "{name}");
        assert_eq!(again.media(), Sdp::parse(&bytes).unwrap().media(), "{name}");
        let text = String::from_utf8_lossy(&printed).into_owned();
        assert!(text.ends_with("\r\n") && !text.contains("\r\n\r\n"), "{name}");
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{name}");
        assert!(text.contains("\r\ns=") && text.contains("\r\nt="), "{name}");
    }
}

/// Descriptions that the foreign parser refuses though ours must not, and why.
///
/// It leaves out image media, refuses `p=`, empty attributes and missing mandatory lines, and takes only UTF-8.
const FOREIGN_REFUSES: [&str; 6] = [
    "audio_and_t38",
    "sloppy_attributes",
    "sloppy_missing_lines",
    "sloppy_origin",
    "t38",
    "unknown_attributes",
];

#[test]
fn a_foreign_parser_reads_the_same_from_text_and_from_our_print() {
    let mut refused = Vec::new();
    for (name, bytes) in corpus() {
        let ours = Sdp::parse(&bytes).unwrap();
        let theirs =
            std::str::from_utf8(&bytes).ok().and_then(|text| webrtc_sdp::parse_sdp(text, false).ok());
        // In its lenient mode it leaves out media lines that it does not know.
        let theirs = theirs.filter(|theirs| theirs.media.len() == ours.media().len());
        let Some(theirs) = theirs else {
            refused.push(name);
            continue;
        };
        compare(&name, &ours, &theirs);
        let printed = ours.print();
        let printed = std::str::from_utf8(&printed).unwrap();
        compare(&name, &ours, &webrtc_sdp::parse_sdp(printed, false).unwrap());
    }
    assert_eq!(refused, FOREIGN_REFUSES);
}

fn compare(name: &str, ours: &Sdp<'_>, theirs: &webrtc_sdp::SdpSession) {
    assert_eq!(ours.origin().session_id, theirs.origin.session_id.to_string(), "{name}");
    assert_eq!(ours.origin().version, theirs.origin.session_version.to_string(), "{name}");
    let address = |address: &webrtc_sdp::address::ExplicitlyTypedAddress| address.to_string();
    let own = |address: Address<'_>| match address {
        Address::Ip(ip) => format!("IN IP{} {ip}", if ip.is_ipv4() { 4 } else { 6 }),
        Address::Name { name, ipv6 } => format!("IN IP{} {name}", if ipv6 { 6 } else { 4 }),
    };
    let session = theirs.connection.as_ref().map(|connection| address(&connection.address));
    assert_eq!(ours.connection().map(|connection| own(connection.address)), session, "{name}");
    assert_eq!(ours.media().len(), theirs.media.len(), "{name}");
    for (ours, theirs) in ours.media().iter().zip(&theirs.media) {
        assert_eq!(ours.kind(), theirs.get_type().to_string(), "{name}");
        assert_eq!(u32::from(ours.port()), theirs.get_port(), "{name}");
        assert_eq!(ours.protocol(), theirs.get_proto().to_string(), "{name}");
        let formats: Vec<String> = match theirs.get_formats() {
            SdpFormatList::Integers(numbers) => numbers.iter().map(u32::to_string).collect(),
            SdpFormatList::Strings(names) => names.clone(),
            SdpFormatList::Unknown(text) => text.split(' ').map(str::to_owned).collect(),
        };
        assert_eq!(ours.formats().collect::<Vec<_>>(), formats, "{name}");
        let media = theirs.get_connection().as_ref().map(|connection| address(&connection.address));
        assert_eq!(ours.connection().map(|connection| own(connection.address)), media, "{name}");
        compare_attributes(name, ours, theirs);
    }
}

fn compare_attributes(name: &str, ours: &trunkline_media::sdp::Media<'_>, theirs: &SdpMedia) {
    let rtpmaps: Vec<_> = theirs
        .get_attributes_of_type(SdpAttributeType::Rtpmap)
        .into_iter()
        .filter_map(|attribute| match attribute {
            SdpAttribute::Rtpmap(map) => {
                Some((map.payload_type, map.codec_name.clone(), map.frequency, map.channels.unwrap_or(1)))
            }
            _ => None,
        })
        .collect();
    let own: Vec<_> = ours
        .rtpmaps()
        .map(|map| (map.number, map.encoding.to_owned(), map.clock, u32::from(map.channels)))
        .collect();
    assert_eq!(own, rtpmaps, "{name}");
    let ptime = match theirs.get_attribute(SdpAttributeType::Ptime) {
        Some(SdpAttribute::Ptime(ms)) => Some(*ms),
        _ => None,
    };
    assert_eq!(ours.ptime_ms().map(u64::from), ptime, "{name}");
    let direction = [
        (SdpAttributeType::Sendrecv, Direction::SendRecv),
        (SdpAttributeType::Sendonly, Direction::SendOnly),
        (SdpAttributeType::Recvonly, Direction::RecvOnly),
        (SdpAttributeType::Inactive, Direction::Inactive),
    ]
    .into_iter()
    .find_map(|(attribute, direction)| theirs.get_attribute(attribute).map(|_| direction));
    assert_eq!(ours.direction(), direction, "{name}");
    assert_eq!(ours.rtcp_mux(), theirs.get_attribute(SdpAttributeType::RtcpMux).is_some(), "{name}");
}

#[test]
fn mutated_descriptions_never_panic_and_what_is_read_prints_and_reads_the_same() {
    let corpus = corpus();
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    let mut accepted = 0_u64;
    let rounds = mutations();
    for _ in 0..rounds {
        let (_, seed) = &corpus[rng.random_range(0..corpus.len())];
        let (_, other) = &corpus[rng.random_range(0..corpus.len())];
        let mut bytes = seed.clone();
        for _ in 0..rng.random_range(1..=6) {
            mutate(&mut rng, &mut bytes, other);
        }
        let info = allocation_counter::measure(|| accepted += u64::from(read_and_print(&bytes)));
        assert!(info.bytes_max <= ALLOCATED_MAX, "{} bytes for {bytes:?}", info.bytes_max);
    }
    assert!(accepted > rounds / 20, "mutations that break everything test nothing: {accepted} of {rounds}");
}

/// Reads a description; one that is read prints as it was read. Says whether it was.
fn read_and_print(bytes: &[u8]) -> bool {
    let Ok(sdp) = Sdp::parse(bytes) else { return false };
    touch(&sdp);
    let printed = sdp.print();
    // What the standard demands may push a text at the limit over it.
    if printed.len() + 16 < SDP_BYTES_MAX {
        let again = Sdp::parse(&printed).unwrap_or_else(|error| panic!("{error} in {bytes:?}"));
        assert_eq!(again.origin(), sdp.origin());
        assert_eq!(again.connection(), sdp.connection());
        assert_eq!(again.attributes(), sdp.attributes());
        assert_eq!(again.media().len(), sdp.media().len());
    }
    true
}

/// No input may make us allocate more than this at once.
const ALLOCATED_MAX: u64 = 4 * 1024 * 1024;

/// Asks for everything that is read from the text only when asked for.
fn touch(sdp: &Sdp<'_>) {
    for media in sdp.media() {
        let _ = (sdp.direction_of(media), sdp.connection_of(media).map(|connection| connection.is_hold()));
        let _ =
            (media.ptime_ms(), media.maxptime_ms(), media.rtcp(), media.rtcp_mux(), media.cryptos().count());
        for format in media.formats() {
            let _ = media.fmtp(format.parse().unwrap_or(0));
        }
        assert!(media.rtpmaps().all(|map| map.number < 128));
    }
}

fn mutate(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    if bytes.is_empty() {
        bytes.push(b'v');
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..8) {
        0 => bytes[at] = rng.random(),
        1 => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, b" \r\n=:/09am-\0\xff"[rng.random_range(0..13)]),
        4 => bytes.truncate(at),
        5 => {
            // A line of another description, at a line's start.
            let lines: Vec<&[u8]> = other.split_inclusive(|&byte| byte == b'\n').collect();
            let line = lines[rng.random_range(0..lines.len())].to_vec();
            let start = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            bytes.splice(start..start, line);
        }
        6 => {
            let end = (at + rng.random_range(1..40)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let copies = rng.random_range(1..4);
            bytes.splice(at..at, piece.repeat(copies));
        }
        _ => {
            let number: &[u8] =
                [b"0".as_slice(), b"65535", b"65536", b"4294967296", b"-1", b"18446744073709551616"]
                    [rng.random_range(0..6)];
            if let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) {
                let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(start..start + digits, number.iter().copied());
            }
        }
    }
}

/// How many mutations to try: a million, unless `TRUNKLINE_MUTATIONS` says otherwise.
fn mutations() -> u64 {
    std::env::var("TRUNKLINE_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

proptest! {
    #![proptest_config(fixed(1000))]

    #[test]
    fn print_then_parse_is_identity(text in description()) {
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        let printed = sdp.print();
        prop_assert_eq!(std::str::from_utf8(&printed).unwrap(), &text);
        prop_assert_eq!(Sdp::parse(&printed).unwrap(), sdp);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Sdp::parse(&bytes);
        let mut framed = b"v=0\r\no=- 1 1 IN IP4 x\r\nm=audio 1 RTP/AVP 0\r\na=".to_vec();
        framed.extend_from_slice(&bytes);
        if let Ok(sdp) = Sdp::parse(&framed) {
            touch(&sdp);
        }
    }
}

/// Descriptions in the printer's own form.
fn description() -> impl Strategy<Value = String> {
    let origin = "[-a-zA-Z0-9]{1,12}( [a-z]{1,8})? [0-9]{1,18} [0-9]{1,18} IN IP4 [a-z0-9.]{1,20}";
    let connection = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| format!("c=IN IP4 {ip}\r\n")),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("c=IN IP6 {ip}\r\n")),
        "[a-z][a-z0-9-]{0,20}\\.invalid".prop_map(|name| format!("c=IN IP4 {name}\r\n")),
        Just(String::new()),
    ];
    let attribute = prop_oneof![
        "[a-z0-9-]{1,12}",
        "[a-z0-9-]{1,12}:[ -~]{0,30}",
        "rtpmap:[0-9]{1,3} [A-Za-z0-9-]{1,16}/[0-9]{4,5}(/[12])?",
        "fmtp:[0-9]{1,3} [ -~]{0,20}",
        "(sendrecv|sendonly|recvonly|inactive)",
        "(ptime|maxptime):[0-9]{1,3}",
    ]
    .prop_map(|attribute| format!("a={attribute}\r\n"));
    let attributes = prop::collection::vec(attribute, 0..8).prop_map(|lines| lines.concat());
    let media = (
        "(audio|video|image|application)",
        any::<u16>(),
        prop::option::of(2_u16..9),
        "(RTP/AVP|RTP/SAVP|udptl|UDP/TLS/RTP/SAVPF)",
        prop::collection::vec(0_u8..128, 1..10),
        connection.clone(),
        attributes.clone(),
    )
        .prop_map(|(kind, port, count, protocol, formats, connection, attributes)| {
            let count = count.map(|count| format!("/{count}")).unwrap_or_default();
            let formats: String = formats.iter().map(|format| format!(" {format}")).collect();
            format!("m={kind} {port}{count} {protocol}{formats}\r\n{connection}{attributes}")
        });
    (origin, "[ -~]{1,20}", connection, any::<(u64, u64)>(), attributes, prop::collection::vec(media, 0..5))
        .prop_map(|(origin, name, connection, (start, stop), attributes, media)| {
            format!(
                "v=0\r\no={origin}\r\ns={name}\r\n{connection}t={start} {stop}\r\n{attributes}{}",
                media.concat()
            )
        })
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(directory().join(format!("{name}.sdp"))).unwrap()
}

/// Returns the corpus by name, in order.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    all.sort();
    all
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/sdp"))
}

/// The same cases on every run.
fn fixed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
