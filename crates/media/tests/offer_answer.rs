//! Offer and answer as a peer sees them: what is on the wire, and what each side then does.

use std::net::SocketAddr;
use trunkline_media::offer::Error;
use trunkline_media::{Accepted, Direction, Local, MediaSession, Payload, Sdp, Wish};
use trunkline_model::{Codec, MediaPolicy};

#[test]
fn a_first_offer_is_what_carriers_expect() {
    let mut ours = session(20000);

    let offer = text(&ours.offer(Wish::default()));

    let lines: Vec<&str> = offer.split("\r\n").collect();
    assert_eq!(lines[0], "v=0");
    assert!(lines[1].starts_with("o=- ") && lines[1].ends_with(" 1 IN IP4 192.0.2.1"), "{}", lines[1]);
    assert_eq!(
        lines[2..],
        [
            "s=-",
            "c=IN IP4 192.0.2.1",
            "t=0 0",
            "m=audio 20000 RTP/AVP 0 8 101 13",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-16",
            "a=rtpmap:13 CN/8000",
            "a=ptime:20",
            "a=sendrecv",
            "",
        ]
    );
}

#[test]
fn both_sides_of_a_first_exchange_agree() {
    let (mut caller, mut callee) = (session(20000), session(30000));
    let offer = caller.offer(Wish::default());
    let answer = callee.answer_to(&offer, Wish { prefer: Some(Codec::Pcma), ..Wish::default() }).unwrap();
    assert_eq!(caller.accept_answer(&answer), Ok(Accepted::Changed));

    let (at_caller, at_callee) = (caller.negotiated().unwrap(), callee.negotiated().unwrap());
    assert_eq!(at_caller.send.audio(), Some((8, Codec::Pcma)));
    assert_eq!(at_callee.send.audio(), Some((8, Codec::Pcma)));
    assert_eq!(at_caller.remote_rtp, "192.0.2.1:30000".parse::<SocketAddr>().unwrap());
    assert_eq!(at_callee.remote_rtp, "192.0.2.1:20000".parse::<SocketAddr>().unwrap());
    assert_eq!(at_callee.remote_rtcp.port(), 20001);
    assert_eq!(at_caller.direction, Direction::SendRecv);
}

fn session(port: u16) -> MediaSession {
    MediaSession::new(
        Local::new("192.0.2.1".parse().unwrap(), port, &MediaPolicy::default()),
        u64::from(port),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
