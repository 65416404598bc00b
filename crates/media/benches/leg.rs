//! What relaying one packet costs inside the process: in at one leg, out at the other. No sockets.
//!
//! One JSON object a line. The floor is copying the same datagram into a buffer and out again.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_media::opus::Settings;
use trunkline_media::rtp::{self, Packet};
use trunkline_media::{ClockRate, Direction, LegConfig, Negotiated, Payload, PayloadMap, RtpLeg};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;

const PACKETS: u32 = 2_000_000;
const ROUNDS: usize = 5;

fn main() {
    let floor = best_of(copy);
    for (metric, near, far) in [
        ("relay_same_codec", (Codec::Pcmu, 20), (Codec::Pcmu, 20)),
        ("relay_convert", (Codec::Pcmu, 20), (Codec::Pcma, 20)),
        ("relay_convert_30_to_20", (Codec::Pcmu, 30), (Codec::Pcma, 20)),
    ] {
        let ours = best_of(|| relay(near, far));
        println!(
            r#"{{"bench":"rtp-leg","metric":"{metric}","ours":{ours:.1},"unit":"ns","peer":"copy-twice","peer_value":{floor:.1},"ratio":{:.3}}}"#,
            floor / ours
        );
    }
}

/// Returns nanoseconds a packet in the quickest of several rounds.
fn best_of(mut round: impl FnMut() -> Duration) -> f64 {
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    best.as_nanos() as f64 / f64::from(PACKETS)
}

fn copy() -> Duration {
    let datagram = [0x80u8; 172];
    let mut buffer = Vec::with_capacity(2048);
    let mut out = Vec::with_capacity(2048);
    let began = first_instant();
    for _ in 0..PACKETS {
        buffer.clear();
        buffer.extend_from_slice(black_box(&datagram));
        out.clear();
        out.extend_from_slice(black_box(&buffer));
        black_box(&out);
    }
    first_instant() - began
}

fn relay((near_codec, near_ms): (Codec, u16), (far_codec, far_ms): (Codec, u16)) -> Duration {
    let source: SocketAddr = SocketAddr::from(([192, 0, 2, 1], 10_000));
    let started = first_instant();
    let mut near = leg(source, near_codec, near_ms, 1, started);
    let mut far = leg(SocketAddr::from(([198, 51, 100, 1], 20_000)), far_codec, far_ms, 2, started);
    let payload = vec![0x55; usize::from(near_ms) * 8];
    let mut datagram = vec![0; rtp::HEADER_BYTES + payload.len()];
    let (head, body) = datagram.split_at_mut(rtp::HEADER_BYTES);
    body.copy_from_slice(&payload);
    let mut packet = Packet {
        payload_type: number(near_codec),
        marker: false,
        sequence: 0,
        timestamp: 0,
        ssrc: 7,
        payload: &[],
    };
    head.copy_from_slice(&rtp::header(&packet));
    let mut now = started;
    let mut bytes = 0;
    let began = first_instant();
    for _ in 0..PACKETS {
        packet.sequence = packet.sequence.wrapping_add(1);
        packet.timestamp = packet.timestamp.wrapping_add(u32::from(near_ms) * 8);
        if let Some(head) = datagram.first_chunk_mut() {
            *head = rtp::header(&packet);
        }
        now += Duration::from_millis(u64::from(near_ms));
        bytes += relay_one(&mut near, &mut far, now, source, &datagram);
    }
    let took = first_instant() - began;
    assert!(black_box(bytes) >= u64::from(PACKETS) * 172);
    took
}

fn relay_one(near: &mut RtpLeg, far: &mut RtpLeg, now: Instant, source: SocketAddr, datagram: &[u8]) -> u64 {
    let mut bytes = 0;
    near.handle_rtp(now, source, black_box(datagram));
    while let Some(frame) = near.poll_frame(now) {
        far.send(now, &frame);
    }
    while let Some(transmit) = far.poll_transmit() {
        bytes += black_box(transmit.bytes).len() as u64;
    }
    black_box((near.poll_timeout(), far.poll_timeout()));
    bytes
}

fn leg(remote_rtp: SocketAddr, codec: Codec, ptime_ms: u16, seed: u64, now: Instant) -> RtpLeg {
    let mut payloads = PayloadMap::new(ptime_ms);
    payloads.push(number(codec), Payload::Audio(codec));
    payloads.push(101, Payload::TelephoneEvent(ClockRate::Hz8000));
    let remote_rtcp = SocketAddr::new(remote_rtp.ip(), remote_rtp.port() + 1);
    let negotiated = Negotiated {
        remote_rtp,
        remote_rtcp,
        rtcp_mux: false,
        send: payloads,
        receive: payloads,
        direction: Direction::SendRecv,
        opus: Settings::default(),
    };
    RtpLeg::new(LegConfig { negotiated: Some(negotiated), latch: Vec::new(), seed }, now)
}

fn number(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::Opus => 111,
    }
}
