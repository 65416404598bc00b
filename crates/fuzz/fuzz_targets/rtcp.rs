//! RTCP: any datagram is read whole or refused, and changes nothing but statistics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::time::Duration;
use trunkline_media::leg::{LegConfig, RtpLeg};
use trunkline_media::opus::Settings;
use trunkline_media::rtcp::{self, Rtcp};
use trunkline_media::{Direction, Negotiated, Payload, PayloadMap};
use trunkline_model::{Codec, clock};

fuzz_target!(|data: &[u8]| {
    if let Ok(compound) = rtcp::parse(data) {
        for packet in compound {
            if let Rtcp::SenderReport { blocks, .. } | Rtcp::ReceiverReport { blocks, .. } = packet {
                assert!(blocks.iter().count() <= 31);
            }
        }
    }
    let now = clock::first_instant();
    let remote = SocketAddr::from(([192, 0, 2, 1], 4000));
    let mut map = PayloadMap::new(20);
    map.push(0, Payload::Audio(Codec::Pcmu));
    let negotiated = Negotiated {
        remote_rtp: remote,
        remote_rtcp: remote,
        rtcp_mux: true,
        send: map,
        receive: map,
        direction: Direction::SendRecv,
        opus: Settings::default(),
    };
    let mut leg = RtpLeg::new(LegConfig { negotiated: Some(negotiated), latch: Vec::new(), seed: 7 }, now);
    leg.handle_rtcp(now, remote, data);
    leg.handle_rtp(now, remote, data);
    leg.handle_timeout(now + Duration::from_secs(10));
    while let Some(transmit) = leg.poll_transmit() {
        assert!(rtcp::parse(transmit.bytes).is_ok(), "our own report is read");
    }
    assert_eq!(leg.remote(), Some(remote), "RTCP moves no media");
    let _ = leg.quality();
});
