//! How much memory reading takes.

use bytes::Bytes;
use trunkline_sip::framing::Framer;
use trunkline_sip::message::Message;

#[test]
fn a_carrier_invite_is_read_in_three_allocations() {
    let bytes = include_bytes!("../../../fixtures/sip/invite/carrier.dat");
    let received = Bytes::copy_from_slice(bytes);
    let mut message = None;
    let info = allocation_counter::measure(|| message = Some(Message::parse(received)));
    assert_eq!(message.unwrap().unwrap().raw_headers().count(), 24);
    assert!(info.count_total <= 3, "{info:?}");
}

#[test]
fn looking_at_a_message_allocates_nothing() {
    let message =
        Message::parse(Bytes::from_static(include_bytes!("../../../fixtures/sip/invite/carrier.dat")));
    let message = message.unwrap();
    let info = allocation_counter::measure(|| {
        assert!(message.top_via().unwrap().branch().is_some());
        assert_eq!(message.from().unwrap().tag(), Some("gK0c8a11f2"));
        assert_eq!(message.to().unwrap().uri().unwrap().user().unwrap(), "+12125550100");
        assert_eq!(message.cseq().unwrap().number, 28461);
        assert_eq!(message.vias().count(), 2);
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_stream_never_holds_more_than_was_received_and_four_kibibytes() {
    // GHSA-pg59-5vwg-4jxq: a Content-Length is a claim, not a reason to reserve memory.
    let head = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 65000\r\n\r\n";
    let mut framer = Framer::new();
    let mut received = 0_u64;
    let mut held = 0_i64;
    for piece in std::iter::once(&head[..]).chain(std::iter::repeat_n(&[b'x'; 500][..], 100)) {
        received += piece.len() as u64;
        let info = allocation_counter::measure(|| {
            framer.push(piece);
            assert_eq!(framer.poll_frame(), Ok(None));
        });
        held += info.bytes_current;
        assert!(held as u64 <= received + 4096, "{held} held of {received} received");
    }
}
