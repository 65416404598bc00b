//! G.711 on one side and Opus on the other: what each side gets.

mod world;

use trunkline_media::opus::{self, Decoder, Encoder, PACKET_BYTES_MAX, PACKET_SAMPLES_MAX, Settings};
use trunkline_media::{
    ClockRate, Direction, Event, Law, Negotiated, Payload, PayloadMap, dtmf::EventPayload, g711, rtcp,
};
use trunkline_model::Codec;
use world::{Got, LEFT, Peer, RIGHT, World, negotiated};

/// Recorded speech, 2.4 s.
fn speech() -> Vec<i16> {
    let coded = include_bytes!("../../../fixtures/audio/caller.pcmu");
    coded.iter().map(|&coded| g711::expand(Law::Mu, coded)).collect()
}

fn coded(settings: Settings, speech: &[i16], frame: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(settings).unwrap();
    let mut packet = [0; PACKET_BYTES_MAX * 3];
    let mut code = |frame: &[i16]| {
        let length = encoder.encode(frame, &mut packet).unwrap();
        packet[..length].to_vec()
    };
    speech.chunks_exact(frame).map(&mut code).collect()
}

fn decoded(packets: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<i16> {
    let mut decoder = Decoder::new().unwrap();
    let mut heard = Vec::new();
    for packet in packets {
        let mut samples = [0; PACKET_SAMPLES_MAX];
        let count = decoder.decode(packet.as_ref(), &mut samples).unwrap();
        heard.extend_from_slice(&samples[..count]);
    }
    heard
}

fn expanded(got: &[Got]) -> Vec<i16> {
    got.iter().flat_map(|got| &got.payload).map(|&coded| g711::expand(Law::Mu, coded)).collect()
}

/// Opus on the left, and on the right PCMU without comfort noise.
fn opus_to_pcmu() -> World {
    World::new(negotiated(LEFT, Codec::Opus, 20, Some(110)), without_noise(RIGHT))
}

fn pcmu_to_opus() -> World {
    World::new(negotiated(LEFT, Codec::Pcmu, 20, Some(101)), negotiated(RIGHT, Codec::Opus, 20, Some(110)))
}

fn without_noise(remote: &str) -> Negotiated {
    let mut map = PayloadMap::new(20);
    map.push(0, Payload::Audio(Codec::Pcmu));
    map.push(101, Payload::TelephoneEvent(ClockRate::Hz8000));
    Negotiated { send: map, receive: map, ..negotiated(remote, Codec::Pcmu, 20, Some(101)) }
}

/// A packet of Opus arrives, and its time passes.
fn opus_arrives(world: &mut World, peer: &mut Peer, packet: &[u8]) {
    let datagram = opus_packet(peer, packet);
    world.arrives(peer.from, &datagram);
    world.wait(u64::from(opus::samples(packet).unwrap() / 8));
}

fn opus_packet(peer: &mut Peer, packet: &[u8]) -> Vec<u8> {
    let datagram = peer.packet(111, false, peer.timestamp, packet);
    peer.timestamp = peer.timestamp.wrapping_add(opus::samples(packet).unwrap() * 6);
    datagram
}

fn assert_steps(got: &[Got], ticks: u32) {
    for pair in got.windows(2) {
        assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), ticks, "{:?}", pair[1].at_ms);
    }
}

fn level_db(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    10.0 * (power / samples.len() as f64).log10()
}

/// Returns how far what was said stands above what was changed of it, in dB, with the delay that fits best.
fn signal_to_noise_db(said: &[i16], heard: &[i16]) -> (f64, usize) {
    let at = |delay: usize| {
        let pairs = said.iter().zip(&heard[delay..]);
        let (signal, noise) = pairs.fold((0.0, 1.0), |(signal, noise), (&said, &heard)| {
            let (said, heard) = (f64::from(said), f64::from(heard));
            (signal + said * said, noise + (said - heard).powi(2))
        });
        (10.0 * (signal / noise).log10(), delay)
    };
    (0..160).map(at).max_by(|one, other| one.0.total_cmp(&other.0)).unwrap()
}

#[test]
fn speech_in_opus_becomes_g711_packet_for_packet() {
    let packets = coded(Settings::default(), &speech(), 160);
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    for (place, packet) in packets.iter().enumerate() {
        opus_arrives(&mut world, &mut peer, packet);
        assert_eq!(world.got.len(), place + 1, "each packet goes on when it comes");
    }
    world.assert_continuous();
    assert_steps(&world.got, 160);
    assert!(world.got.iter().all(|got| got.payload_type == 0 && got.payload.len() == 160));
    let direct: Vec<i16> = decoded(&packets)
        .iter()
        .map(|&sample| g711::expand(Law::Mu, g711::compress(Law::Mu, sample)))
        .collect();
    assert_eq!(expanded(&world.got), direct, "nothing is added to what libopus makes of it");
    assert_eq!(world.right.stats().concealed_ms, 0);
}

#[test]
fn speech_in_g711_becomes_opus_packet_for_packet_at_its_level() {
    let said = speech();
    let mut world = pcmu_to_opus();
    let mut peer = Peer::new(LEFT);
    for frame in said.chunks_exact(160) {
        let coded: Vec<u8> = frame.iter().map(|&sample| g711::compress(Law::Mu, sample)).collect();
        let datagram = peer.audio(0, &coded);
        world.arrives(peer.from, &datagram);
        world.wait(20);
    }
    world.assert_continuous();
    assert_eq!(world.got.len(), said.len() / 160);
    assert_steps(&world.got, 960);
    assert!(world.got.iter().all(|got| got.payload_type == 111 && opus::samples(&got.payload) == Some(160)));
    let bytes: usize = world.got.iter().map(|got| got.payload.len()).sum();
    let rate_bps = bytes * 8 * 8000 / said.len();
    assert!((12_000..28_000).contains(&rate_bps), "{rate_bps} bit/s");

    let heard = decoded(world.got.iter().map(|got| &got.payload));
    let (noise_db, delay) = signal_to_noise_db(&said[..said.len() - 160], &heard);
    assert!(noise_db > 8.0, "{noise_db} dB with {delay} samples of delay");
    assert!((40..=60).contains(&delay), "lookahead of libopus and nothing more: {delay} samples");
    let change_db = level_db(&heard) - level_db(&said);
    assert!(change_db.abs() < 0.25, "{change_db} dB");
}

#[test]
fn packets_of_every_length_become_packets_of_20_ms() {
    for frame in [80, 160, 320, 480] {
        let said = speech();
        let mut world = opus_to_pcmu();
        let mut peer = Peer::new(LEFT);
        for packet in coded(Settings::default(), &said, frame) {
            opus_arrives(&mut world, &mut peer, &packet);
        }
        world.assert_continuous();
        assert_steps(&world.got, 160);
        assert_eq!(world.got.len(), said.len() / 160, "{frame} samples");
        assert!(world.got.iter().all(|got| got.payload.len() == 160));
    }
    for frame in [80, 240, 480] {
        let mut world = pcmu_to_opus();
        let mut peer = Peer::new(LEFT);
        for said in speech().chunks_exact(frame) {
            let coded: Vec<u8> = said.iter().map(|&sample| g711::compress(Law::Mu, sample)).collect();
            let datagram = peer.audio(0, &coded);
            world.arrives(peer.from, &datagram);
            world.wait(frame as u64 / 8);
        }
        world.assert_continuous();
        assert_steps(&world.got, 960);
        assert_eq!(world.got.len(), speech().len() / 160, "{frame} samples");
    }
}

#[test]
fn lost_opus_is_recovered_from_the_next_packet_and_goes_on_without_a_gap() {
    let settings = Settings { loss_percent: 20, ..Settings::default() };
    let packets = coded(settings, &speech(), 160);
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    let mut lost = 0;
    for (place, packet) in packets.iter().enumerate() {
        let datagram = opus_packet(&mut peer, packet);
        if place % 10 == 7 {
            lost += 1;
        } else {
            world.arrives(peer.from, &datagram);
        }
        world.wait(20);
    }
    world.wait(100);
    world.assert_continuous();
    assert_steps(&world.got, 160);
    assert_eq!(world.got.len(), packets.len());
    let stats = world.right.stats();
    assert_eq!(stats.recovered_ms + stats.concealed_ms, 20 * lost);
    assert!(stats.recovered_ms * 10 >= 20 * lost * 7, "{} of {} ms", stats.recovered_ms, 20 * lost);

    let whole = decoded(&packets);
    let heard = expanded(&world.got);
    let (noise_db, _) = signal_to_noise_db(&whole[..whole.len() - 160], &heard);
    assert!(noise_db > 8.0, "{noise_db} dB below what would have come without loss");
}

#[test]
fn of_three_lost_packets_the_last_is_recovered() {
    let settings = Settings { loss_percent: 20, ..Settings::default() };
    let packets = coded(settings, &speech(), 160);
    let after = (60..).find(|&place| opus::has_copy(&packets[place])).unwrap();
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    for (place, packet) in packets.iter().enumerate().take(after + 5) {
        let datagram = opus_packet(&mut peer, packet);
        if !(after - 3..after).contains(&place) {
            world.arrives(peer.from, &datagram);
        }
        world.wait(20);
    }
    world.assert_continuous();
    assert_steps(&world.got, 160);
    let stats = world.right.stats();
    assert_eq!((stats.recovered_ms, stats.concealed_ms), (20, 40));
}

#[test]
fn lost_g711_is_made_up_before_it_is_coded() {
    let mut world = pcmu_to_opus();
    let mut peer = Peer::new(LEFT);
    let said = speech();
    let mut lost = 0;
    for (place, frame) in said.chunks_exact(160).enumerate() {
        let coded: Vec<u8> = frame.iter().map(|&sample| g711::compress(Law::Mu, sample)).collect();
        let datagram = peer.audio(0, &coded);
        if place % 10 == 7 {
            lost += 1;
        } else {
            world.arrives(peer.from, &datagram);
        }
        world.wait(20);
    }
    world.wait(100);
    world.assert_continuous();
    assert_steps(&world.got, 960);
    assert_eq!(world.got.len(), said.len() / 160);
    assert_eq!(world.right.stats().concealed_ms, 20 * lost);
    let heard = decoded(world.got.iter().map(|got| &got.payload));
    let change_db = level_db(&heard) - level_db(&said);
    assert!(change_db.abs() < 0.5, "{change_db} dB");
}

#[test]
fn a_long_loss_is_not_made_up_in_a_burst() {
    let packets = coded(Settings::default(), &speech(), 160);
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    for (place, packet) in packets.iter().enumerate().take(60) {
        let datagram = opus_packet(&mut peer, packet);
        if !(20..35).contains(&place) {
            world.arrives(peer.from, &datagram);
        }
        world.wait(20);
    }
    world.wait(100);
    world.assert_continuous();
    assert_eq!(world.got.len(), 45 + 3, "60 ms are made up of 300");
    let first = world.got[0].timestamp;
    let last = world.got.last().unwrap().timestamp;
    assert_eq!(last.wrapping_sub(first), 59 * 160, "time has passed all the same");
}

#[test]
fn silence_that_opus_does_not_send_is_filled_for_a_peer_without_comfort_noise() {
    let mut said = speech()[..8000].to_vec();
    said.extend([0; 16_000]);
    said.extend(&speech()[..8000]);
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    let (mut told, mut sent) = (false, 0);
    for packet in coded(Settings { dtx: true, ..Settings::default() }, &said, 160) {
        // As browsers do it: the first silent packet is sent, those after it are not.
        let is_silent = opus::is_silent(&packet);
        let datagram = peer.packet(111, false, peer.timestamp, &packet);
        peer.timestamp = peer.timestamp.wrapping_add(960);
        if is_silent && told {
            peer.sequence = peer.sequence.wrapping_sub(1);
        } else {
            sent += 1;
            world.arrives(peer.from, &datagram);
        }
        told = is_silent;
        world.wait(20);
    }
    assert!(sent < 150, "most of the silence was not sent: {sent} of 200 packets were");
    world.assert_continuous();
    assert_steps(&world.got, 160);
    assert_eq!(world.got.len(), 200);
    assert_eq!(world.left.stats().lost, 0);
    assert_eq!(world.right.stats().concealed_ms, 0, "a pause is no loss");
}

#[test]
fn a_pause_whose_source_is_gone_ends() {
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    opus_arrives(&mut world, &mut peer, &[8]);
    world.wait(60_000);
    let seconds = world.got.len() as u64 / 50;
    assert!((1..=2).contains(&seconds), "{} packets", world.got.len());
}

#[test]
fn silence_that_opus_does_not_send_is_comfort_noise_for_a_peer_that_takes_it() {
    let mut world = World::new(
        negotiated(LEFT, Codec::Opus, 20, Some(110)),
        negotiated(RIGHT, Codec::Pcmu, 20, Some(101)),
    );
    let mut peer = Peer::new(LEFT);
    for packet in coded(Settings::default(), &speech()[..3200], 160) {
        opus_arrives(&mut world, &mut peer, &packet);
    }
    opus_arrives(&mut world, &mut peer, &[8]);
    world.wait(500);
    let noise = world.got_of(13);
    assert_eq!(noise.len(), 1);
    assert_eq!(world.got.len(), 21, "and nothing else");
    assert!((30..=127).contains(&noise[0].payload[0]), "{:?}", noise[0].payload);
    peer.timestamp = peer.timestamp.wrapping_add(24 * 960);
    opus_arrives(&mut world, &mut peer, &coded(Settings::default(), &speech()[..160], 160)[0]);
    let last = world.got.last().unwrap();
    assert!(last.marker, "a talk spurt begins");
    assert_eq!(last.timestamp.wrapping_sub(noise[0].timestamp), 25 * 160);
}

#[test]
fn comfort_noise_becomes_noise_in_opus_until_speech_comes_back() {
    let mut world = pcmu_to_opus();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 200);
    let noise = peer.packet(13, false, peer.timestamp, &[50]);
    world.arrives(peer.from, &noise);
    peer.timestamp = peer.timestamp.wrapping_add(8000);
    world.wait(1000);
    peer.talks(&mut world, 200);
    world.assert_continuous();
    assert!((68..=70).contains(&world.got.len()), "{}", world.got.len());
    let heard = decoded(world.got.iter().skip(30).take(20).map(|got| &got.payload));
    let level_dbov = level_db(&heard) - 20.0 * 32_768f64.log10();
    assert!((-60.0..-45.0).contains(&level_dbov), "{level_dbov} dBov");
}

#[test]
fn keys_pass_beside_the_codec_on_the_clock_of_each_side() {
    let event = |end, duration| EventPayload { event: Event(7), end, volume: 10, duration };
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    let packets = coded(Settings::default(), &speech(), 160);
    for packet in &packets[..10] {
        opus_arrives(&mut world, &mut peer, packet);
    }
    let began = peer.timestamp;
    for step in 1..=5 {
        let payload = event(step == 5, step * 960).to_bytes();
        let datagram = peer.packet(110, step == 1, began, &payload);
        world.arrives(peer.from, &datagram);
        world.wait(20);
    }
    world.wait(100);
    let heard: Vec<EventPayload> =
        world.got_of(101).iter().map(|got| EventPayload::parse(&got.payload).unwrap()).collect();
    let wanted = [160, 320, 480, 640, 800, 800, 800].map(|duration| event(duration == 800, duration));
    assert_eq!(heard, wanted);
    let stamps: Vec<u32> = world.got_of(101).iter().map(|got| got.timestamp).collect();
    assert!(stamps.iter().all(|&stamp| stamp == world.got[9].timestamp.wrapping_add(160)));
    world.assert_continuous();

    let mut world = pcmu_to_opus();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 200);
    let began = peer.timestamp;
    for step in 1..=5 {
        let payload = event(step == 5, step * 160).to_bytes();
        let datagram = peer.packet(101, step == 1, began, &payload);
        world.arrives(peer.from, &datagram);
        world.wait(20);
    }
    world.wait(100);
    let heard: Vec<EventPayload> =
        world.got_of(110).iter().map(|got| EventPayload::parse(&got.payload).unwrap()).collect();
    let wanted = [960, 1920, 2880, 3840, 4800, 4800, 4800].map(|duration| event(duration == 4800, duration));
    assert_eq!(heard, wanted);
    let stamps: Vec<u32> = world.got_of(110).iter().map(|got| got.timestamp).collect();
    assert!(stamps.iter().all(|&stamp| stamp == world.got[9].timestamp.wrapping_add(960)));
    world.assert_continuous();
}

#[test]
fn opus_to_opus_is_untouched_and_shows_what_is_missing() {
    let packets = coded(Settings::default(), &speech(), 320);
    let mut world = World::new(
        negotiated(LEFT, Codec::Opus, 20, Some(110)),
        negotiated(RIGHT, Codec::Opus, 20, Some(110)),
    );
    let mut peer = Peer::new(LEFT);
    for (place, packet) in packets.iter().enumerate() {
        let datagram = opus_packet(&mut peer, packet);
        if place != 5 {
            world.arrives(peer.from, &datagram);
        }
        world.wait(40);
    }
    let payloads: Vec<&Vec<u8>> = world.got.iter().map(|got| &got.payload).collect();
    let sent: Vec<&Vec<u8>> =
        packets.iter().enumerate().filter(|&(place, _)| place != 5).map(|(_, packet)| packet).collect();
    assert_eq!(payloads, sent);
    for got in &world.got {
        let packets = got.sequence.wrapping_sub(world.got[0].sequence);
        let ticks = got.timestamp.wrapping_sub(world.got[0].timestamp);
        assert_eq!(ticks, u32::from(packets) * 1920);
    }
}

#[test]
fn a_source_that_changes_and_a_codec_that_changes_leave_no_gap() {
    let packets = coded(Settings::default(), &speech(), 160);
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    for packet in &packets[..20] {
        opus_arrives(&mut world, &mut peer, packet);
    }
    let mut other = Peer { ssrc: 9, sequence: 7, timestamp: 1234, ..Peer::new(LEFT) };
    for packet in &packets[..20] {
        opus_arrives(&mut world, &mut other, packet);
    }
    // The left peer falls back to PCMU in mid-stream, which it may do at any time.
    other.talks(&mut world, 400);
    world.assert_continuous();
    assert_steps(&world.got, 160);
    assert_eq!(world.got.len(), 60);

    // And the right one agrees on Opus, then on PCMU again.
    world.right.update(world.now, negotiated(RIGHT, Codec::Opus, 20, Some(110)));
    other.talks(&mut world, 400);
    world.right.update(world.now, without_noise(RIGHT));
    other.talks(&mut world, 400);
    world.assert_continuous();
    assert_steps(&world.got[..60], 160);
    assert_steps(&world.got[60..80], 960);
    assert_steps(&world.got[80..], 160);
    assert!(world.got[60].marker && world.got[80].marker, "what comes in another codec begins a talk spurt");
    assert_eq!(world.got[80].timestamp.wrapping_sub(world.got[79].timestamp), 960);
    assert_eq!(world.got[60].timestamp.wrapping_sub(world.got[59].timestamp), 160);
}

#[test]
fn reordered_opus_is_decoded_in_order() {
    let packets = coded(Settings::default(), &speech(), 160);
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    let mut datagrams: Vec<Vec<u8>> = packets.iter().map(|packet| opus_packet(&mut peer, packet)).collect();
    for pair in datagrams.chunks_exact_mut(2).skip(1).step_by(3) {
        pair.swap(0, 1);
    }
    for datagram in &datagrams {
        world.arrives(peer.from, datagram);
        world.wait(20);
    }
    let direct: Vec<i16> = decoded(&packets)
        .iter()
        .map(|&sample| g711::expand(Law::Mu, g711::compress(Law::Mu, sample)))
        .collect();
    assert_eq!(expanded(&world.got), direct);
}

#[test]
fn copies_are_coded_once_the_peer_reports_loss() {
    let talks = |world: &mut World, peer: &mut Peer, from: usize| {
        for frame in speech()[from..from + 8000].chunks_exact(160) {
            let coded: Vec<u8> = frame.iter().map(|&sample| g711::compress(Law::Mu, sample)).collect();
            let datagram = peer.audio(0, &coded);
            world.arrives(peer.from, &datagram);
            world.wait(20);
        }
    };
    let copies = |got: &[Got]| got.iter().filter(|got| opus::has_copy(&got.payload)).count();
    let mut world = pcmu_to_opus();
    let mut peer = Peer::new(LEFT);
    talks(&mut world, &mut peer, 0);
    assert_eq!(copies(&world.got), 0, "nobody has asked for them");
    let ours = world.got[0].ssrc;
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    report.extend(ours.to_be_bytes());
    report.extend([51, 0, 0, 10]);
    report.extend([0; 16]);
    assert!(rtcp::parse(&report).is_ok());
    let before = world.got.len();
    world.right.handle_rtcp(world.now, world::address("198.51.100.1:20001"), &report);
    talks(&mut world, &mut peer, 8000);
    assert!(copies(&world.got[before..]) > 25, "{} of 50", copies(&world.got[before..]));
}

#[test]
fn less_effort_is_spent_when_told_so() {
    let said = |complexity| {
        let mut world = pcmu_to_opus();
        if let Some(complexity) = complexity {
            world.right.set_complexity_max(complexity);
        }
        let mut peer = Peer::new(LEFT);
        for frame in speech().chunks_exact(160) {
            let coded: Vec<u8> = frame.iter().map(|&sample| g711::compress(Law::Mu, sample)).collect();
            let datagram = peer.audio(0, &coded);
            world.arrives(peer.from, &datagram);
            world.wait(20);
        }
        world.got.into_iter().map(|got| got.payload).collect::<Vec<_>>()
    };
    assert_eq!(said(None), said(Some(9)), "the policy says 5");
    assert_ne!(said(None), said(Some(1)));
}

#[test]
fn nothing_is_sent_while_the_peer_holds_and_speech_begins_anew_after_it() {
    let packets = coded(Settings::default(), &speech(), 160);
    let mut world = opus_to_pcmu();
    let mut peer = Peer::new(LEFT);
    for packet in &packets[..20] {
        opus_arrives(&mut world, &mut peer, packet);
    }
    let held = Negotiated { direction: Direction::RecvOnly, ..without_noise(RIGHT) };
    world.right.update(world.now, held);
    for packet in &packets[20..40] {
        opus_arrives(&mut world, &mut peer, packet);
    }
    assert_eq!(world.got.len(), 20);
    world.right.update(world.now, without_noise(RIGHT));
    for packet in &packets[40..60] {
        opus_arrives(&mut world, &mut peer, packet);
    }
    world.assert_continuous();
    assert_eq!(world.got.len(), 40);
    assert!(world.got[20].marker);
    assert_eq!(world.got[20].timestamp.wrapping_sub(world.got[19].timestamp), 21 * 160);
    assert_eq!(world.right.stats().concealed_ms, 0, "what was held back was not lost");
}
