//! The torture messages of RFC 4475 and RFC 5118 as datagrams to a user agent: what it answers, and what it tells.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use trunkline_model::Transport;
use trunkline_model::clock::first_instant;
use trunkline_sip::UserAgent;
use trunkline_sip::transport::{Advertised, Flow, Listener};
use trunkline_sip::user_agent::{Config, Event, Input, Output};

/// What a user agent makes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// A call comes in; 100 was sent.
    Call,
    /// It is answered with that status and phrase.
    Answer(u16, &'static str),
    /// The same, and it was a call, so that the owner is told.
    Refused(u16, &'static str),
    /// Nothing is sent, and a counter moves.
    Dropped,
}

use Outcome::{Answer, Call, Dropped, Refused};

/// RFC 4475 §3, in its order.
const RFC_4475: [(&str, Outcome); 49] = [
    // Its To has a tag, and nobody here knows the dialog.
    ("wsinv", Answer(481, "Call/Transaction Does Not Exist")),
    // Its To holds control characters behind backslashes, and an answer would have to repeat them.
    ("intmeth", Dropped),
    ("esc01", Call),
    ("escnull", Answer(405, "Method Not Allowed")),
    // RE%47IST%45R is no escaped REGISTER but a method that nobody knows.
    ("esc02", Answer(501, "Not Implemented")),
    ("lwsdisp", Answer(200, "OK")),
    ("longreq", Call),
    // This user agent is no registrar.
    ("dblreq", Answer(405, "Method Not Allowed")),
    ("semiuri", Answer(200, "OK")),
    ("transports", Answer(200, "OK")),
    ("mpart01", Answer(405, "Method Not Allowed")),
    // Responses to nothing that was asked.
    ("unreason", Dropped),
    ("noreason", Dropped),
    ("badinv01", Refused(400, "Malformed Via header")),
    ("clerr", Refused(400, "Body shorter than Content-Length")),
    ("ncl", Refused(400, "Malformed Content-Length header")),
    ("scalar02", Answer(400, "Malformed CSeq header")),
    // A response: nothing is answered to one.
    ("scalarlg", Dropped),
    ("quotbal", Refused(400, "Malformed To header")),
    ("ltgtruri", Refused(400, "Malformed Request-URI")),
    ("lwsruri", Answer(400, "Malformed Request-URI")),
    ("lwsstart", Refused(400, "Malformed Request-URI")),
    ("trws", Answer(400, "Malformed start line")),
    ("escruri", Refused(400, "Malformed Request-URI")),
    ("baddate", Call),
    ("regbadct", Answer(400, "Malformed Contact header")),
    ("badaspec", Answer(200, "OK")),
    ("baddn", Answer(400, "Header section does not end")),
    ("badvers", Answer(505, "Version not supported")),
    ("mismatch01", Answer(400, "CSeq method does not match")),
    ("mismatch02", Answer(501, "Unknown method, CSeq does not match")),
    ("bigcode", Dropped),
    ("badbranch", Answer(200, "OK")),
    // From, To and Call-ID, which an answer repeats, are not there.
    ("insuf", Dropped),
    ("unkscm", Answer(416, "Unsupported URI Scheme")),
    ("novelsc", Answer(416, "Unsupported URI Scheme")),
    ("unksm2", Answer(405, "Method Not Allowed")),
    ("bext01", Answer(420, "Bad Extension")),
    ("invut", Refused(415, "Unsupported Media Type")),
    ("regaut01", Answer(405, "Method Not Allowed")),
    ("multi01", Refused(400, "Repeated CSeq header")),
    ("mcl01", Answer(400, "Repeated Content-Length header")),
    // A response with a Via of somebody else.
    ("bcast", Dropped),
    ("zeromf", Answer(200, "OK")),
    ("cparam01", Answer(405, "Method Not Allowed")),
    ("cparam02", Answer(405, "Method Not Allowed")),
    ("regescrt", Answer(405, "Method Not Allowed")),
    // It takes no session description in the answer.
    ("sdp01", Refused(406, "Not Acceptable")),
    // It has no Contact: as in RFC 2543, From is where the callee sends its BYE.
    ("inv2543", Call),
];

/// RFC 5118 §4, in its order.
const RFC_5118: [(&str, Outcome); 12] = [
    ("ipv6-good", Answer(405, "Method Not Allowed")),
    ("ipv6-bad", Answer(400, "Malformed Request-URI")),
    ("port-ambiguous", Answer(405, "Method Not Allowed")),
    ("port-unambiguous", Answer(405, "Method Not Allowed")),
    ("via-received-param-with-delim", Answer(481, "Call/Transaction Does Not Exist")),
    ("via-received-param-no-delim", Answer(200, "OK")),
    ("ipv6-in-sdp", Call),
    ("mult-ip-in-header", Answer(481, "Call/Transaction Does Not Exist")),
    ("mult-ip-in-sdp", Call),
    ("ipv4-mapped-ipv6", Call),
    ("ipv6-bug-abnf-3-colons", Answer(200, "OK")),
    ("ipv6-correct-abnf-2-colons", Answer(200, "OK")),
];

#[test]
fn every_torture_message_is_answered_as_its_rfc_says() {
    for (folder, table) in [("rfc4475", &RFC_4475[..]), ("rfc5118", &RFC_5118[..])] {
        let wrong: Vec<_> = table
            .iter()
            .map(|(name, expected)| (name, expected, outcome(folder, name)))
            .filter(|(_, expected, real)| !matches(expected, real))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn every_torture_file_is_sent() {
    for (folder, table) in [("rfc4475", &RFC_4475[..]), ("rfc5118", &RFC_5118[..])] {
        for file in std::fs::read_dir(path(folder)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(table.iter().any(|(listed, _)| name == format!("{listed}.dat")), "{name}");
        }
    }
}

/// What really happened; phrases are owned.
type Real = (&'static str, u16, String);

fn matches(expected: &Outcome, (kind, status, phrase): &Real) -> bool {
    match expected {
        Call => *kind == "call",
        Dropped => *kind == "dropped",
        Answer(said, why) => *kind == "answer" && status == said && phrase == why,
        Refused(said, why) => *kind == "refused" && status == said && phrase == why,
    }
}

/// Sends a message to a fresh user agent.
fn outcome(folder: &str, name: &str) -> Real {
    let here: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let source: SocketAddr = "198.51.100.7:5099".parse().unwrap();
    let listener = Listener { transport: Transport::Udp, local: here, advertised: Advertised::of(here) };
    let config = Config { listeners: vec![listener], ..Config::default() };
    let now = first_instant();
    let mut ua = UserAgent::new(config, 1, now);
    let bytes = Bytes::from(std::fs::read(path(folder).join(format!("{name}.dat"))).unwrap());
    let flow = Flow { transport: Transport::Udp, local: here, remote: source, connection: None };
    ua.handle_input(now, Input::Received { flow, bytes });
    let mut said = None;
    let mut kind = "answer";
    while let Some(output) = ua.poll_output() {
        match output {
            Output::Transmit(transmit) => {
                assert_eq!(transmit.target.remote.ip(), source.ip(), "{name}: not where it came from");
                said = status_line(&transmit.bytes).filter(|(status, _)| *status >= 200).or(said);
            }
            Output::Event(Event::Incoming { .. }) => kind = "call",
            Output::Event(Event::Refused { .. }) => kind = "refused",
            Output::Event(event) => panic!("{name}: {event:?}"),
            Output::Resolve { .. } => panic!("{name}: nothing to look up"),
        }
    }
    let counts = ua.counts();
    if said.is_none() && kind == "answer" {
        assert_eq!(counts.malformed + counts.stray, 1, "{name} is counted");
        kind = "dropped";
    }
    let (status, phrase) = said.unwrap_or_default();
    (kind, status, phrase)
}

/// Reads the status line of a response. One that echoes what is malformed cannot be read as a message.
fn status_line(bytes: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next()?.strip_prefix("SIP/2.0 ")?;
    let (status, phrase) = line.split_once(' ')?;
    Some((status.parse().ok()?, phrase.to_owned()))
}

fn path(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sip").join(folder)
}
