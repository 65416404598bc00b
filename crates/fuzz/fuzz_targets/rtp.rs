//! A call's RTP: packets of any content at any time go in, and what goes on to the other leg is well formed.
//!
//! Each packet is a byte of waiting time in milliseconds, a length byte, and that many bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_media::frame::PAYLOAD_BYTES_MAX;
use trunkline_media::leg::{Channel, LegConfig, RtpLeg};
use trunkline_media::opus::Settings;
use trunkline_media::{ClockRate, Direction, FrameBody, Negotiated, Payload, PayloadMap, rtp};
use trunkline_model::{Codec, clock};

fuzz_target!(|data: &[u8]| {
    for (receiving, sending) in [
        ((Codec::Pcmu, 0), (Codec::Pcma, 8)),
        ((Codec::Opus, 111), (Codec::Pcma, 8)),
        ((Codec::Pcmu, 0), (Codec::Opus, 111)),
    ] {
        exchange(data, receiving, sending);
    }
});

fn exchange(data: &[u8], receiving: (Codec, u8), sending: (Codec, u8)) {
    let mut now = clock::first_instant();
    let near = SocketAddr::from(([192, 0, 2, 1], 4000));
    let far = SocketAddr::from(([192, 0, 2, 2], 4000));
    let mut receiving = leg(near, receiving, now);
    let mut sending = leg(far, sending, now);
    let mut sequence = None;
    let mut rest = data;
    while let [wait, length, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        now += Duration::from_millis(u64::from(*wait));
        let _ = rtp::parse(datagram);
        receiving.handle_rtp(now, near, datagram);
        for leg in [&mut receiving, &mut sending] {
            if leg.poll_timeout().is_some_and(|(due, _)| due <= now) {
                leg.handle_timeout(now);
            }
        }
        relay(&mut receiving, &mut sending, now);
        drain(&mut sending, far, &mut sequence);
        while receiving.poll_transmit().is_some() {}
    }
    let _ = (receiving.quality(), sending.quality());
}

fn leg(remote: SocketAddr, (codec, number): (Codec, u8), now: Instant) -> RtpLeg {
    let mut map = PayloadMap::new(20);
    map.push(number, Payload::Audio(codec));
    map.push(101, Payload::TelephoneEvent(ClockRate::Hz8000));
    map.push(13, Payload::ComfortNoise);
    let negotiated = Negotiated {
        remote_rtp: remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
        rtcp_mux: false,
        send: map,
        receive: map,
        direction: Direction::SendRecv,
        opus: Settings::default(),
    };
    RtpLeg::new(LegConfig { negotiated: Some(negotiated), latch: Vec::new(), seed: 7 }, now)
}

fn relay(from: &mut RtpLeg, to: &mut RtpLeg, now: Instant) {
    // One datagram releases at most what waited for it.
    for _ in 0..1000 {
        let Some(frame) = from.poll_frame(now) else { return };
        if let FrameBody::Audio { payload, .. } = frame.body {
            assert!(payload.len() <= PAYLOAD_BYTES_MAX);
        }
        to.send(now, &frame);
    }
    panic!("frames without end");
}

fn drain(leg: &mut RtpLeg, remote: SocketAddr, sequence: &mut Option<u16>) {
    while let Some(transmit) = leg.poll_transmit() {
        if transmit.channel == Channel::Rtp {
            assert_eq!(transmit.remote, remote);
            let packet = rtp::parse(transmit.bytes).expect("our own packet is read");
            assert!(
                sequence.is_none_or(|before| packet.sequence == before.wrapping_add(1)),
                "a gap of our making"
            );
            *sequence = Some(packet.sequence);
        }
    }
}
