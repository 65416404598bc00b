//! A relayed packet costs no allocation once the buffers have grown.

mod world;

use std::time::Duration;
use trunkline_media::dtmf::EventPayload;
use trunkline_media::opus::{Encoder, PACKET_BYTES_MAX, Settings};
use trunkline_media::{Event, Law, RtpLeg, g711};
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

/// Ten seconds of speech in Opus: with loss, reordering, silence that is not sent, and a key press in each.
fn speech_in_opus(peer: &mut Peer) -> Vec<(u64, Vec<u8>)> {
    let coded = include_bytes!("../../../fixtures/audio/caller.pcmu");
    let said: Vec<i16> = coded.iter().map(|&coded| g711::expand(Law::Mu, coded)).collect();
    let settings = Settings { loss_percent: 20, dtx: true, ..Settings::default() };
    let mut encoder = Encoder::new(settings).unwrap();
    let mut frames = said.chunks_exact(160).cycle();
    let mut arrivals = Vec::new();
    for n in 0..500u64 {
        let silence = [0; 160];
        let frame = if n % 100 < 60 { frames.next().unwrap() } else { &silence };
        let mut packet = [0; PACKET_BYTES_MAX];
        let length = encoder.encode(frame, &mut packet).unwrap();
        let datagram = if n % 100 == 99 {
            let payload = EventPayload { event: Event(3), end: true, volume: 10, duration: 960 };
            peer.packet(110, true, peer.timestamp, &payload.to_bytes())
        } else {
            peer.packet(111, false, peer.timestamp, &packet[..length])
        };
        peer.timestamp = peer.timestamp.wrapping_add(960);
        if n % 10 != 7 {
            arrivals.push((n * 20 + if n % 10 == 3 { 25 } else { 0 }, datagram));
        }
    }
    arrivals.sort_by_key(|&(at, _)| at);
    arrivals
}

#[test]
fn a_transcoded_packet_allocates_nothing_in_steady_state() {
    let start = first_instant();
    let mut opus = leg(negotiated(LEFT, Codec::Opus, 20, Some(110)), &[], 1, start);
    let mut plain = leg(negotiated(RIGHT, Codec::Pcmu, 20, Some(96)), &[], 2, start);
    let mut peer = Peer::new(LEFT);
    let warm_up = speech_in_opus(&mut peer);
    let steady = speech_in_opus(&mut peer);
    relay(&mut opus, &mut plain, start, &warm_up);
    let later = start + Duration::from_secs(10);
    let mut relayed = (0, 0);
    let counted = allocation_counter::measure(|| relayed = relay(&mut opus, &mut plain, later, &steady));
    assert!(relayed.0 > 400, "the traffic was relayed: {relayed:?}");
    assert!(plain.stats().recovered_ms > 0 && plain.stats().concealed_ms > 0, "{:?}", plain.stats());
    assert_eq!(counted.count_total, 0, "to G.711: {counted:?}");

    let mut plain = leg(negotiated(LEFT, Codec::Pcma, 30, Some(101)), &[], 3, start);
    let mut opus = leg(negotiated(RIGHT, Codec::Opus, 20, Some(110)), &[], 4, start);
    let mut peer = Peer::new(LEFT);
    let warm_up = traffic(&mut peer);
    let steady = traffic(&mut peer);
    relay(&mut plain, &mut opus, start, &warm_up);
    let counted = allocation_counter::measure(|| relayed = relay(&mut plain, &mut opus, later, &steady));
    assert!(relayed.0 > 400, "the traffic was relayed: {relayed:?}");
    assert!(opus.stats().concealed_ms > 0);
    assert_eq!(counted.count_total, 0, "to Opus: {counted:?}");
}
