//! A million broken RTP packets and a million broken RTCP ones: nothing panics, nothing allocates much, nothing moves
//! the leg.
//!
//! `TRUNKLINE_MUTATIONS` sets how many instead; the seed is fixed, so that a failure repeats.

mod world;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};
use trunkline_media::dtmf::EventPayload;
use trunkline_media::opus::{self, Encoder, PACKET_BYTES_MAX, Settings};
use trunkline_media::{Event, Law, Recorder, RtpLeg, g711, rtcp, rtp};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;
use world::{LEFT, Peer, RIGHT, address, leg, negotiated};

const BYTES_MAX: u64 = 4 * 1024 * 1024;

fn mutations() -> u32 {
    std::env::var("TRUNKLINE_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

fn rtp_corpus() -> Vec<Vec<u8>> {
    let mut peer = Peer::new(LEFT);
    let event = EventPayload { event: Event(5), end: true, volume: 10, duration: 800 };
    let mut extended =
        vec![0xb1, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 1, 2, 3, 4];
    extended.extend([0x7f; 160]);
    extended.extend([0, 0, 0, 4]);
    vec![
        peer.audio(0, &[0xff; 160]),
        peer.audio(8, &[0xd5; 1600]),
        peer.packet(13, false, 0, &[60]),
        peer.packet(101, true, 1000, &event.to_bytes()),
        extended,
    ]
}

/// Speech with and without copies, in frames of every length and several to a packet, silence, comfort noise and events.
fn opus_corpus() -> Vec<Vec<u8>> {
    let mut peer = Peer::new(LEFT);
    let mut packets = vec![opus::SILENCE.to_vec(), vec![8], vec![0x0b, 0x83, 2, 2, 1, 2, 3, 4, 5, 6]];
    let coded = include_bytes!("../../../fixtures/audio/callee.pcmu");
    let said: Vec<i16> = coded.iter().map(|&coded| g711::expand(Law::Mu, coded)).collect();
    for frame in [80, 160, 320, 480] {
        let settings = Settings { loss_percent: 20, ..Settings::default() };
        let mut encoder = Encoder::new(settings).expect("there is memory");
        for samples in said[4000..6000].chunks_exact(frame) {
            let mut packet = [0; 3 * PACKET_BYTES_MAX];
            let length = encoder.encode(samples, &mut packet).expect("a frame of a length that there is");
            packets.push(packet[..length].to_vec());
        }
    }
    let event = EventPayload { event: Event(5), end: true, volume: 10, duration: 4800 };
    let mut corpus = vec![peer.packet(101, true, 1000, &event.to_bytes()), peer.packet(13, false, 0, &[60])];
    for packet in packets {
        corpus.push(peer.packet(111, false, peer.timestamp, &packet));
        peer.timestamp = peer.timestamp.wrapping_add(960);
    }
    corpus
}

fn rtcp_corpus() -> Vec<Vec<u8>> {
    let now = first_instant();
    let mut leg = leg(negotiated(LEFT, Codec::Pcmu, 20, None), &[], 1, now);
    let datagram = Peer::new(LEFT).audio(0, &[0; 160]);
    leg.handle_rtp(now, address(LEFT), &datagram);
    let mut corpus = Vec::new();
    for _ in 0..2 {
        if let Some(frame) = leg.poll_frame(now) {
            assert_eq!(frame.duration(), 160);
        }
        leg.close(now);
        while let Some(transmit) = leg.poll_transmit() {
            corpus.push(transmit.bytes.to_vec());
        }
    }
    let mut sender = vec![0x81, 200, 0, 12];
    sender.extend([3; 48]);
    corpus.extend([
        sender,
        vec![0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4],
        vec![0x80, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e'],
    ]);
    corpus
}

/// Changes, cuts, repeats or adds a few bytes.
fn mutate(random: &mut ChaCha8Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..random.random_range(0..5) {
        if bytes.is_empty() {
            break;
        }
        let place = random.random_range(0..bytes.len());
        // Most of what can break is in the first bytes.
        let place = if random.random_bool(0.7) { place % 24 % bytes.len() } else { place };
        match random.random_range(0..5) {
            0 => bytes[place] = random.random(),
            1 => bytes[place] ^= 1 << random.random_range(0..8),
            2 => bytes.truncate(place),
            3 => bytes.insert(place, random.random()),
            _ => {
                let other = &corpus[random.random_range(0..corpus.len())];
                bytes.extend_from_slice(&other[..random.random_range(0..=other.len())]);
            }
        }
    }
    if random.random_bool(0.02) {
        bytes = vec![0; random.random_range(0..2000)];
        random.fill_bytes(&mut bytes);
    }
    bytes
}

#[test]
fn no_broken_packet_harms_a_leg() {
    let start = first_instant();
    let near = leg(negotiated(LEFT, Codec::Pcmu, 20, Some(101)), &["10.0.0.0/8"], 1, start);
    let far = leg(negotiated(RIGHT, Codec::Pcma, 10, Some(96)), &[], 2, start);
    withstand(start, near, far, rtp_corpus(), mutations());
}

#[test]
fn no_broken_packet_of_opus_harms_a_leg() {
    let start = first_instant();
    let near = leg(negotiated(LEFT, Codec::Opus, 20, Some(101)), &["10.0.0.0/8"], 1, start);
    let far = leg(negotiated(RIGHT, Codec::Pcma, 10, Some(96)), &[], 2, start);
    // An inner codec is a hundred times the work of a packet of G.711.
    withstand(start, near, far, opus_corpus(), mutations() / 20);
}

fn withstand(start: Instant, mut near: RtpLeg, mut far: RtpLeg, rtp_corpus: Vec<Vec<u8>>, mutations: u32) {
    let mut recorder = Recorder::new(Duration::from_secs(60));
    let mut random = ChaCha8Rng::seed_from_u64(20_261_124);
    let rtcp_corpus = rtcp_corpus();
    let mut now = start;
    let mut sequence = None;
    for n in 0..mutations {
        now += Duration::from_millis(random.random_range(0..40));
        let rtp_bytes = mutate(&mut random, &rtp_corpus);
        let rtcp_bytes = mutate(&mut random, &rtcp_corpus);
        let counted = allocation_counter::measure(|| {
            near.handle_timeout(now);
            far.handle_timeout(now);
            near.handle_rtp(now, address(LEFT), &rtp_bytes);
            near.handle_rtcp(now, address("192.0.2.1:10001"), &rtcp_bytes);
            far.handle_rtp(now, address(RIGHT), &rtcp_bytes);
            while far.poll_frame(now).is_some() {}
            while let Some(frame) = near.poll_frame(now) {
                recorder.handle_frame(now, &frame);
                far.send(now, &frame);
            }
            while near.poll_transmit().is_some() {}
            while let Some(transmit) = far.poll_transmit() {
                if rtp::is_rtcp(transmit.bytes) {
                    assert!(rtcp::parse(transmit.bytes).is_ok(), "what we write is well formed");
                    continue;
                }
                let packet = rtp::parse(transmit.bytes).expect("what we write is well formed");
                assert_eq!(sequence.unwrap_or(packet.sequence), packet.sequence, "no gap after input {n}");
                sequence = Some(packet.sequence.wrapping_add(1));
                assert_eq!(transmit.remote, address(RIGHT));
            }
        });
        assert!(counted.bytes_max < BYTES_MAX, "input {n}: {counted:?}");
    }
    assert_eq!((near.remote(), far.remote()), (Some(address(LEFT)), Some(address(RIGHT))));
    assert!(near.stats().malformed > 0 && near.stats().received > u64::from(mutations) / 10);
}
