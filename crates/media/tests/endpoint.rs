//! Two ends that play and record, with two legs between them: what was played is what is heard.

mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_media::tone::{self, Tone, ToneGenerator};
use trunkline_media::{Channel, DigitTiming, FrameBody, Law, Player, Recorder, RtpLeg, Sound, StreamId, wav};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;
use world::{address, leg, negotiated};

const CALLER: &str = "192.0.2.1:4000";
const NEAR: &str = "192.0.2.9:10000";
const FAR: &str = "192.0.2.9:20000";
const CALLEE: &str = "198.51.100.1:6000";

/// A caller, two legs of ours, a callee.
struct Call {
    now: Instant,
    caller: End,
    near: RtpLeg,
    far: RtpLeg,
    callee: End,
}

struct End {
    leg: RtpLeg,
    player: Player,
    recorder: Recorder,
    keys: String,
    codec: Codec,
    /// Drops every so many-th packet that it gets.
    loses: Option<usize>,
    got: usize,
}

impl End {
    fn new(ours: &str, codec: Codec, ptime_ms: u16, number: u8, seed: u64, now: Instant) -> Self {
        Self {
            leg: leg(negotiated(ours, codec, ptime_ms, Some(number)), &[], seed, now),
            player: Player::new(now, StreamId(seed)),
            recorder: Recorder::new(Duration::from_secs(60)),
            keys: String::new(),
            codec,
            loses: None,
            got: 0,
        }
    }

    fn works(&mut self, now: Instant) {
        self.leg.handle_timeout(now);
        while let Some(frame) = self.player.poll_frame(now, self.codec) {
            self.leg.send(now, &frame);
        }
    }

    fn gets(&mut self, now: Instant, from: SocketAddr, channel: Channel, datagram: &[u8]) {
        self.got += 1;
        match channel {
            Channel::Rtp if self.loses.is_some_and(|nth| self.got.is_multiple_of(nth)) => {}
            Channel::Rtp => self.leg.handle_rtp(now, from, datagram),
            Channel::Rtcp => self.leg.handle_rtcp(now, SocketAddr::new(from.ip(), from.port() + 1), datagram),
        }
        while let Some(frame) = self.leg.poll_frame(now) {
            self.recorder.handle_frame(now, &frame);
            if let FrameBody::Event(update) = frame.body {
                self.keys.extend(update.pressed());
            }
        }
    }
}

impl Call {
    fn new((caller, caller_ms): (Codec, u16), (callee, callee_ms): (Codec, u16)) -> Self {
        let now = first_instant();
        Self {
            now,
            caller: End::new(NEAR, caller, caller_ms, 101, 1, now),
            near: leg(negotiated(CALLER, caller, caller_ms, Some(101)), &[], 2, now),
            far: leg(negotiated(CALLEE, callee, callee_ms, Some(96)), &[], 3, now),
            callee: End::new(FAR, callee, callee_ms, 96, 4, now),
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            let now = self.now;
            self.caller.works(now);
            self.callee.works(now);
            self.near.handle_timeout(now);
            self.far.handle_timeout(now);
            while let Some(transmit) = self.caller.leg.poll_transmit() {
                deliver(&mut self.near, now, address(CALLER), transmit.channel, transmit.bytes);
            }
            while let Some(transmit) = self.callee.leg.poll_transmit() {
                deliver(&mut self.far, now, address(CALLEE), transmit.channel, transmit.bytes);
            }
            while let Some(frame) = self.near.poll_frame(now) {
                self.far.send(now, &frame);
            }
            while let Some(frame) = self.far.poll_frame(now) {
                self.near.send(now, &frame);
            }
            while let Some(transmit) = self.near.poll_transmit() {
                self.caller.gets(now, address(NEAR), transmit.channel, transmit.bytes);
            }
            while let Some(transmit) = self.far.poll_transmit() {
                self.callee.gets(now, address(FAR), transmit.channel, transmit.bytes);
            }
            self.now += Duration::from_millis(10);
        }
    }
}

fn deliver(leg: &mut RtpLeg, now: Instant, from: SocketAddr, channel: Channel, datagram: &[u8]) {
    match channel {
        Channel::Rtp => leg.handle_rtp(now, from, datagram),
        Channel::Rtcp => leg.handle_rtcp(now, SocketAddr::new(from.ip(), from.port() + 1), datagram),
    }
}

#[test]
fn a_tone_crosses_every_codec_and_packet_time_both_ways() {
    let sides = [Codec::Pcmu, Codec::Pcma].into_iter().flat_map(|codec| [10, 20, 30].map(|ms| (codec, ms)));
    let sides: Vec<(Codec, u16)> = sides.collect();
    for &caller in &sides {
        for &callee in &sides {
            let mut call = Call::new(caller, callee);
            call.caller.player.push(Sound::Tone(Tone::sine(1000.0, 8000.0), 16_000)).unwrap();
            call.callee.player.push(Sound::Tone(Tone::sine(600.0, 8000.0), 16_000)).unwrap();
            call.run(2500);
            for (end, frequency_hz) in [(&call.callee, 1000.0), (&call.caller, 600.0)] {
                let heard = end.recorder.samples();
                assert!(heard.len() > 19_000, "{caller:?} to {callee:?}: {} samples", heard.len());
                let noise = tone::signal_to_noise_db(&heard[800..15_200], frequency_hz);
                assert!(noise > 30.0, "{caller:?} to {callee:?}: {noise} dB");
            }
        }
    }
}

#[test]
fn what_is_lost_is_heard_as_silence_in_its_place() {
    let mut call = Call::new((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    call.callee.loses = Some(10);
    call.caller.player.push(Sound::Tone(Tone::sine(1000.0, 8000.0), 16_000)).unwrap();
    call.run(2000);
    let heard = call.callee.recorder.samples();
    let silent =
        heard[..15_000].chunks_exact(160).filter(|block| block.iter().all(|&sample| sample == 0)).count();
    assert!((8..=11).contains(&silent), "{silent} blocks of 94");
    let stats = call.callee.leg.stats();
    assert!((9..=11).contains(&stats.lost), "{}", stats.lost);
    assert!(stats.mos().unwrap() < call.caller.leg.stats().mos().unwrap());
}

#[test]
fn a_recording_is_the_file_that_was_played() {
    let mut speech = vec![0i16; 8000];
    ToneGenerator::new(Tone::RINGBACK).fill(&mut speech);
    let file = wav::write(&speech).unwrap();
    let mut call = Call::new((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    call.caller.player.push(Sound::Samples(Arc::from(wav::read(&file[..]).unwrap()))).unwrap();
    call.run(1500);
    let heard = wav::read(&wav::write(call.callee.recorder.samples()).unwrap()[..]).unwrap();
    let through_g711 = |&sample: &i16| {
        let coded = trunkline_media::g711::compress(Law::Mu, sample);
        trunkline_media::g711::expand(Law::Mu, coded)
    };
    assert_eq!(heard[..8000], speech.iter().map(through_g711).collect::<Vec<_>>());
}

#[test]
fn keys_pressed_at_one_end_are_heard_at_the_other_while_both_play() {
    let mut call = Call::new((Codec::Pcmu, 20), (Codec::Pcma, 30));
    call.callee.loses = Some(7);
    call.caller.player.push(Sound::Tone(Tone::MILLIWATT, 80_000)).unwrap();
    call.run(500);
    call.caller.leg.send_digits(call.now, "0042*#AD", DigitTiming::default()).unwrap();
    call.callee.leg.send_digits(call.now, "9", DigitTiming::default()).unwrap();
    call.run(3000);
    assert_eq!((call.callee.keys.as_str(), call.caller.keys.as_str()), ("0042*#AD", "9"));
}

#[test]
fn each_end_learns_the_round_trip_and_reports_no_loss() {
    let mut call = Call::new((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    call.run(30_000);
    for stats in [call.near.stats(), call.far.stats(), call.caller.leg.stats(), call.callee.leg.stats()] {
        assert_eq!(
            (stats.lost, stats.late, stats.duplicate, stats.refused, stats.malformed),
            (0, 0, 0, 0, 0)
        );
        assert_eq!(stats.remote_fraction_lost, Some(0));
        assert!(
            stats.round_trip.is_some_and(|trip| trip < Duration::from_millis(20)),
            "{:?}",
            stats.round_trip
        );
        assert!(stats.mos().is_some_and(|mos| mos > 4.3));
    }
}
