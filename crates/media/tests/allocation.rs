//! A relayed packet costs no allocation once the buffers have grown.

mod world;

use std::time::Duration;
use trunkline_media::dtmf::EventPayload;
use trunkline_media::{Event, RtpLeg};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;
use world::{LEFT, Peer, RIGHT, leg, negotiated};

/// Ten seconds of everything: speech, loss, reordering, repetition, comfort noise and key presses, as (ms, datagram).
fn traffic(peer: &mut Peer) -> Vec<(u64, Vec<u8>)> {
    let mut arrivals = Vec::new();
    for n in 0..500u64 {
        let at = n * 20;
        if n % 100 < 90 {
            let datagram = peer.audio(8, &[n as u8; 240]);
            let late = if n % 10 == 3 { 25 } else { 0 };
            if n % 10 != 7 {
                arrivals.push((at + late, datagram.clone()));
            }
            if n % 10 == 5 {
                arrivals.push((at + 1, datagram));
            }
        } else {
            let step = (n % 100 - 89) as u16;
            let payload = EventPayload {
                event: Event(step as u8),
                end: step >= 8,
                volume: 10,
                duration: step.min(8) * 160,
            };
            arrivals.push((at, peer.packet(101, step == 1, peer.timestamp, &payload.to_bytes())));
            if step == 10 {
                peer.timestamp = peer.timestamp.wrapping_add(1600);
                arrivals.push((at, peer.packet(13, false, peer.timestamp, &[50])));
            }
        }
    }
    arrivals.sort_by_key(|&(at, _)| at);
    arrivals
}

fn relay(
    near: &mut RtpLeg,
    far: &mut RtpLeg,
    start: std::time::Instant,
    arrivals: &[(u64, Vec<u8>)],
) -> (u64, u64) {
    let source = world::address(LEFT);
    let (mut packets, mut bytes) = (0, 0);
    for (at, datagram) in arrivals {
        let now = start + Duration::from_millis(*at);
        near.handle_timeout(now);
        far.handle_timeout(now);
        near.handle_rtp(now, source, datagram);
        while let Some(frame) = near.poll_frame(now) {
            far.send(now, &frame);
        }
        for leg in [&mut *near, &mut *far] {
            while let Some(transmit) = leg.poll_transmit() {
                packets += 1;
                bytes += transmit.bytes.len() as u64;
            }
        }
    }
    (packets, bytes)
}

#[test]
fn a_relayed_packet_allocates_nothing_in_steady_state() {
    let start = first_instant();
    let mut near = leg(negotiated(LEFT, Codec::Pcma, 30, Some(101)), &[], 1, start);
    let mut far = leg(negotiated(RIGHT, Codec::Pcmu, 20, Some(96)), &[], 2, start);
    let mut peer = Peer::new(LEFT);
    let warm_up = traffic(&mut peer);
    let steady = traffic(&mut peer);
    relay(&mut near, &mut far, start, &warm_up);

    let mut relayed = (0, 0);
    let later = start + Duration::from_secs(10);
    let counted = allocation_counter::measure(|| relayed = relay(&mut near, &mut far, later, &steady));

    assert!(relayed.0 > 500, "the traffic was relayed: {relayed:?}");
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
