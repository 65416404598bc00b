//! The RTP stream that a browser is sent.

use std::time::Instant;
use str0m::Rtc;
use str0m::rtp::{RtpWrite, SeqNo};
use trunkline_media::rtp::Packet;

/// Gives packets the index that SRTP counts by (RFC 3711 §3.3.1).
#[derive(Debug)]
pub(super) struct Outgoing {
    ssrc: u32,
    /// The sequence number that came last, and the index it was given.
    last: Option<(u16, u64)>,
}

impl Outgoing {
    pub(super) fn new(ssrc: u32) -> Self {
        Self { ssrc, last: None }
    }

    /// Writes a packet into str0m.
    pub(super) fn write(&mut self, now: Instant, rtc: &mut Rtc, packet: &Packet<'_>) {
        let index = self.index(packet.sequence);
        let mut api = rtc.direct_api();
        let Some(stream) = api.stream_tx(&self.ssrc.into()) else { return };
        let (number, index) = (packet.payload_type.into(), SeqNo::from(index));
        let write = RtpWrite::new(number, index, packet.timestamp, now, packet.payload);
        stream.write_rtp(write.marker(packet.marker));
    }

    /// Returns an index that was never given before: two packets under one index would give their difference away.
    fn index(&mut self, sequence: u16) -> u64 {
        let index = match self.last {
            None => u64::from(sequence),
            Some((last, index)) => match sequence.wrapping_sub(last) {
                // One that comes again, or from before: another source has taken over, and counts anew.
                0 | 0x8000.. => index + 1,
                ahead => index + u64::from(ahead),
            },
        };
        self.last = Some((sequence, index));
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_only_grows() {
        let mut outgoing = Outgoing::new(1);
        assert_eq!(outgoing.index(65_534), 65_534);
        assert_eq!(outgoing.index(65_535), 65_535);
        assert_eq!(outgoing.index(0), 65_536);
        assert_eq!(outgoing.index(10), 65_546);
        assert_eq!(outgoing.index(9), 65_547, "another source");
        assert_eq!(outgoing.index(10), 65_548);
        assert_eq!(outgoing.index(10), 65_549);
    }
}
