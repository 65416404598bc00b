//! `transcode-core`: what a call between Opus and G.711 costs inside a bridge, both ways, without sockets, beside the
//! encoder and the decoder alone on the same speech in the same run.
//!
//! One JSON object a line. Frames of both alternate, so that whatever else the machine does slows both alike.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_call::{Bridge, BridgeCommand, BridgeConfig, Gate, Side};
use trunkline_media::opus::{self, Decoder, Encoder, PACKET_BYTES_MAX, PACKET_SAMPLES_MAX, Settings};
use trunkline_media::rtp::{self, Packet};
use trunkline_media::{Channel, ClockRate, Direction, Law, Negotiated, Payload, PayloadMap, g711};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;

/// Calls at once: their states outgrow the nearest caches, as on a worker.
const CALLS: usize = 100;

/// Frames of 20 ms in a round: all of the speech once.
const FRAMES: usize = 120;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = 160;
const ROUNDS: usize = 10;

/// The default, and the least.
const COMPLEXITIES: [u8; 2] = [5, 0];

const CALLER: ([u8; 4], u16) = ([192, 0, 2, 10], 4000);
const CALLEE: ([u8; 4], u16) = ([198, 51, 100, 1], 6000);

fn main() {
    let speech = Speech::new();
    for complexity in COMPLEXITIES {
        let settings = Settings { complexity, ..Settings::default() };
        let mut floor = Floor::new(settings);
        let resident = resident_bytes();
        let mut bridges = Bridges::new(settings);
        let (mut bare, mut ours) = (0.0, 0.0);
        // The first round warms up.
        for frame in 0..FRAMES * (1 + ROUNDS) {
            let times = (floor.frame(&speech, frame), bridges.frame(&speech, frame));
            if frame >= FRAMES {
                bare += times.0;
                ours += times.1;
            }
        }
        let bytes_per_call = resident_bytes().saturating_sub(resident) as f64 / CALLS as f64;
        let seconds = FRAME.as_secs_f64() * (FRAMES * ROUNDS * CALLS) as f64;
        let (bare, ours) = (seconds / bare, seconds / ours);
        print(
            &format!("calls_per_core_complexity_{complexity}"),
            ours,
            "calls",
            Some(("libopus alone", bare)),
        );
        // Later bridges take the memory of earlier ones.
        if complexity == COMPLEXITIES[0] {
            print("kilobytes_per_call", bytes_per_call / 1024.0, "KiB", None);
        }
        let heard = bridges.heard();
        print(&format!("rate_complexity_{complexity}"), heard.rate_bps / 1000.0, "kbit/s", None);
        print(&format!("level_to_opus_complexity_{complexity}"), heard.level_to_opus_db, "dB", None);
        print(&format!("snr_to_opus_complexity_{complexity}"), heard.snr_to_opus_db, "dB", None);
    }
}

fn print(metric: &str, ours: f64, unit: &str, peer: Option<(&str, f64)>) {
    let peer = peer.map_or(String::new(), |(name, value)| {
        format!(r#","peer":"{name}","peer_value":{value:.1},"ratio":{:.3}"#, ours / value)
    });
    println!(r#"{{"bench":"transcode-core","metric":"{metric}","ours":{ours:.2},"unit":"{unit}"{peer}}}"#);
}

/// What both sides say.
struct Speech {
    /// Of the caller, in µ-law.
    plain: Vec<u8>,
    samples: Vec<i16>,
    /// Of the callee, in Opus as a browser that was told of 8 kHz codes it: complexity 9, with copies.
    opus: Vec<Vec<u8>>,
}

impl Speech {
    fn new() -> Self {
        let plain = include_bytes!("../../../fixtures/audio/caller.pcmu").to_vec();
        let callee = include_bytes!("../../../fixtures/audio/callee.pcmu");
        let said: Vec<i16> = callee.iter().map(|&coded| g711::expand(Law::Mu, coded)).collect();
        let settings = Settings { complexity: 9, loss_percent: 5, ..Settings::default() };
        let opus = coded(settings, &said);
        let samples = plain.iter().map(|&coded| g711::expand(Law::Mu, coded)).collect();
        assert!(opus.len() >= FRAMES && plain.len() >= FRAMES * FRAME_SAMPLES, "2.4 s of speech");
        Self { plain, samples, opus }
    }

    fn plain(&self, frame: usize) -> &[u8] {
        let frame = frame % FRAMES;
        &self.plain[frame * FRAME_SAMPLES..][..FRAME_SAMPLES]
    }

    fn samples(&self, frame: usize) -> &[i16] {
        let frame = frame % FRAMES;
        &self.samples[frame * FRAME_SAMPLES..][..FRAME_SAMPLES]
    }

    fn opus(&self, frame: usize) -> &[u8] {
        &self.opus[frame % FRAMES]
    }
}

fn coded(settings: Settings, said: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(settings).expect("there is memory");
    let mut packet = [0; PACKET_BYTES_MAX];
    let mut code = |frame: &[i16]| {
        let bytes = encoder.encode(frame, &mut packet).expect("20 ms are a frame");
        packet[..bytes].to_vec()
    };
    said.chunks_exact(FRAME_SAMPLES).map(&mut code).collect()
}

/// An encoder and a decoder for each call, and nothing else.
struct Floor {
    codecs: Vec<(Encoder, Decoder)>,
}

impl Floor {
    fn new(settings: Settings) -> Self {
        let codec = || Some((Encoder::new(settings).ok()?, Decoder::new().ok()?));
        Self { codecs: (0..CALLS).map(|_| codec().expect("there is memory")).collect() }
    }

    /// Returns the seconds of CPU that a frame of all calls takes.
    fn frame(&mut self, speech: &Speech, frame: usize) -> f64 {
        let before = cpu_secs();
        for (encoder, decoder) in &mut self.codecs {
            let (mut packet, mut samples) = ([0; PACKET_BYTES_MAX], [0; PACKET_SAMPLES_MAX]);
            black_box(encoder.encode(black_box(speech.samples(frame)), &mut packet)).expect("a frame");
            black_box(decoder.decode(black_box(speech.opus(frame)), &mut samples)).expect("a packet");
        }
        cpu_secs() - before
    }
}

/// Bridges with PCMU on the caller's side and Opus on the callee's.
struct Bridges {
    bridges: Vec<Bridge>,
    now: Instant,
    /// What the callee of the first call was sent since all speech was last heard.
    sent: Vec<Vec<u8>>,
}

/// What the callee hears of the caller.
struct Heard {
    rate_bps: f64,
    level_to_opus_db: f64,
    snr_to_opus_db: f64,
}

impl Bridges {
    fn new(settings: Settings) -> Self {
        let now = first_instant();
        let bridge = |seed| {
            let mut bridge = Bridge::new(BridgeConfig { seed, ..BridgeConfig::default() });
            let plain = negotiated(CALLER, (0, Codec::Pcmu), (101, ClockRate::Hz8000), settings);
            let opus = negotiated(CALLEE, (111, Codec::Opus), (110, ClockRate::Hz48000), settings);
            bridge.apply(now, BridgeCommand::Negotiated { side: Side::Caller, negotiated: plain });
            bridge.apply(now, BridgeCommand::Negotiated { side: Side::Callee, negotiated: opus });
            bridge.apply(now, BridgeCommand::Gate(Gate::Open));
            bridge
        };
        Self { bridges: (0..CALLS as u64).map(bridge).collect(), now, sent: Vec::new() }
    }

    /// Returns the seconds of CPU that a frame of all calls takes.
    fn frame(&mut self, speech: &Speech, frame: usize) -> f64 {
        if frame.is_multiple_of(FRAMES) {
            self.sent.clear();
        }
        let plain = datagram(0, frame, 160, speech.plain(frame));
        let opus = datagram(111, frame, 960, speech.opus(frame));
        let mut packets = 0;
        let before = cpu_secs();
        for (call, bridge) in self.bridges.iter_mut().enumerate() {
            for (side, from, datagram) in [(Side::Caller, CALLER, &plain), (Side::Callee, CALLEE, &opus)] {
                let from = SocketAddr::from(from);
                bridge.handle_datagram(self.now, side, Channel::Rtp, from, black_box(datagram));
                while let Some((to, transmit)) = bridge.poll_transmit() {
                    packets += usize::from(transmit.channel == Channel::Rtp);
                    if call == 0 && to == Side::Callee && transmit.channel == Channel::Rtp {
                        self.sent.push(transmit.bytes.to_vec());
                    }
                }
                while bridge.poll_event().is_some() {}
            }
            if bridge.poll_timeout().is_some_and(|(due, _)| due <= self.now) {
                bridge.handle_timeout(self.now);
            }
        }
        let spent = cpu_secs() - before;
        assert_eq!(packets, 2 * CALLS, "each packet goes on as one");
        self.now += FRAME;
        spent
    }

    /// Decodes what the callee of the first call was sent.
    fn heard(&self) -> Heard {
        let speech = Speech::new();
        let mut decoder = Decoder::new().expect("there is memory");
        let (mut heard, mut bytes) = (Vec::new(), 0);
        for datagram in &self.sent {
            let packet = rtp::parse(datagram).expect("what we send is RTP");
            let mut samples = [0; PACKET_SAMPLES_MAX];
            let count = decoder.decode(packet.payload, &mut samples).expect("what we send is Opus");
            assert_eq!(opus::samples(packet.payload), Some(FRAME_SAMPLES as u32));
            heard.extend_from_slice(&samples[..count]);
            bytes += packet.payload.len();
        }
        let said = &speech.samples[..heard.len()];
        let power = |samples: &[i16]| samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
        let snr_db = |delay: usize| {
            let pairs = said.iter().zip(&heard[delay..]);
            let noise: f64 = pairs.map(|(&said, &heard)| (f64::from(said) - f64::from(heard)).powi(2)).sum();
            10.0 * (power(&said[..said.len() - delay]) / noise).log10()
        };
        Heard {
            rate_bps: bytes as f64 * 8.0 / (heard.len() as f64 / 8000.0),
            level_to_opus_db: 10.0 * (power(&heard) / power(said)).log10(),
            snr_to_opus_db: (0..FRAME_SAMPLES).map(snr_db).fold(f64::MIN, f64::max),
        }
    }
}

fn negotiated(
    peer: ([u8; 4], u16),
    (number, codec): (u8, Codec),
    (event, clock): (u8, ClockRate),
    opus: Settings,
) -> Negotiated {
    let mut map = PayloadMap::new(20);
    map.push(number, Payload::Audio(codec));
    map.push(event, Payload::TelephoneEvent(clock));
    Negotiated {
        remote_rtp: SocketAddr::from(peer),
        remote_rtcp: SocketAddr::from((peer.0, peer.1 + 1)),
        rtcp_mux: false,
        send: map,
        receive: map,
        direction: Direction::SendRecv,
        opus,
    }
}

fn datagram(payload_type: u8, frame: usize, step: u32, payload: &[u8]) -> Vec<u8> {
    let sequence = frame as u16;
    let timestamp = (frame as u32).wrapping_mul(step);
    let header = rtp::header(&Packet { payload_type, marker: false, sequence, timestamp, ssrc: 7, payload });
    [&header[..], payload].concat()
}

/// CPU time of this thread: what others do on the machine is not ours.
fn cpu_secs() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}
