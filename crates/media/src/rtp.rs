//! RTP packets (RFC 3550 §5.1). The door to `rtp_rs`.

use crate::error::Malformed;
use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};

/// A parsed packet; the payload is lent by the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What the payload is, as numbered by offer and answer.
    pub payload_type: u8,
    /// Start of a talk spurt, or of an event.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Media time of the first sample.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    /// The payload without padding.
    pub payload: &'a [u8],
}

/// Bytes of a header without contributing sources and extension, as we write it.
pub const HEADER_BYTES: usize = RtpReader::MIN_HEADER_LEN;

/// Reads a packet. Contributing sources, header extensions and padding are skipped.
pub fn parse(datagram: &[u8]) -> Result<Packet<'_>, Malformed> {
    let reader = RtpReader::new(datagram).map_err(|_| Malformed::Rtp)?;
    Ok(Packet {
        payload_type: reader.payload_type(),
        marker: reader.mark(),
        sequence: reader.sequence_number().into(),
        timestamp: reader.timestamp(),
        ssrc: reader.ssrc(),
        payload: reader.payload(),
    })
}

/// Writes the header that goes before the payload of a packet.
///
/// The payload type is cut to seven bits.
pub fn header(packet: &Packet<'_>) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let built = RtpPacketBuilder::new()
        .payload_type(packet.payload_type & 0x7f)
        .marked(packet.marker)
        .sequence(Seq::from(packet.sequence))
        .timestamp(packet.timestamp)
        .ssrc(packet.ssrc)
        .build_into(&mut bytes);
    debug_assert!(matches!(built, Ok(HEADER_BYTES)), "a header of 12 bytes fits into 12 bytes");
    bytes
}

/// Whether a datagram on a port shared by RTP and RTCP is RTCP (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let packet = Packet {
            payload_type: 101,
            marker: true,
            sequence: 65535,
            timestamp: 0xdead_beef,
            ssrc: 7,
            payload: &[1, 2],
        };
        let mut bytes = header(&packet).to_vec();
        bytes.extend_from_slice(packet.payload);
        assert_eq!(parse(&bytes), Ok(packet));
    }

    #[test]
    fn header_extension_contributing_sources_and_padding_are_skipped() {
        let mut bytes = vec![0xb1, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([9; 4]);
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend([42, 43, 0, 0, 3]);
        assert_eq!(parse(&bytes).map(|packet| packet.payload), Ok(&[42, 43][..]));
    }

    #[test]
    fn short_or_lying_packets_are_refused() {
        assert_eq!(parse(&[]), Err(Malformed::Rtp));
        assert_eq!(parse(&[0x80; 11]), Err(Malformed::Rtp));
        assert_eq!(parse(&[0x00; 12]), Err(Malformed::Rtp));
        assert_eq!(parse(&[0x8f; 12]), Err(Malformed::Rtp));
        let mut padded = [0; 13];
        padded[0] = 0xa0;
        padded[12] = 200;
        assert_eq!(parse(&padded), Err(Malformed::Rtp));
    }

    #[test]
    fn rtcp_is_told_from_rtp_on_a_shared_port() {
        assert!(is_rtcp(&[0x80, 200]));
        assert!(is_rtcp(&[0x81, 201]));
        assert!(!is_rtcp(&[0x80, 0]));
        assert!(!is_rtcp(&[0x80, 0x80 | 101]));
        assert!(!is_rtcp(&[0x80]));
    }
}
