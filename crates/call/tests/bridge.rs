//! The data plane alone: datagrams in at one side, out at the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_call::{Bridge, BridgeCommand, BridgeConfig, BridgeEvent, BridgeTimer, Gate, Side};
use trunkline_media::dtmf::EventPayload;
use trunkline_media::opus::{self, Encoder, PACKET_BYTES_MAX, Settings};
use trunkline_media::rtp::{self, Packet};
use trunkline_media::{Channel, ClockRate, Direction, Event, Law, Negotiated, Payload, PayloadMap, g711};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;

const CALLER: ([u8; 4], u16) = ([192, 0, 2, 10], 4000);
const CALLEE: ([u8; 4], u16) = ([198, 51, 100, 1], 6000);

struct Talk {
    bridge: Bridge,
    now: Instant,
    sequence: u16,
    timestamp: u32,
}

type Sent = (Side, SocketAddr, u8, Vec<u8>);

fn negotiated(peer: ([u8; 4], u16), codec: Codec, ptime_ms: u16, direction: Direction) -> Negotiated {
    let mut map = PayloadMap::new(ptime_ms);
    let number = match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::Opus => 111,
    };
    map.push(number, Payload::Audio(codec));
    map.push(101, Payload::TelephoneEvent(ClockRate::Hz8000));
    map.push(13, Payload::ComfortNoise);
    let remote_rtp = SocketAddr::from(peer);
    let remote_rtcp = SocketAddr::from((peer.0, peer.1 + 1));
    Negotiated {
        remote_rtp,
        remote_rtcp,
        rtcp_mux: false,
        send: map,
        receive: map,
        direction,
        opus: Settings::default(),
    }
}

impl Talk {
    fn closed() -> Self {
        let now = first_instant();
        let bridge = Bridge::new(BridgeConfig { seed: 7, ..BridgeConfig::default() });
        Self { bridge, now, sequence: 100, timestamp: 8000 }
    }

    fn open(caller: (Codec, u16), callee: (Codec, u16)) -> Self {
        let mut talk = Self::closed();
        talk.agree(Side::Caller, negotiated(CALLER, caller.0, caller.1, Direction::SendRecv));
        talk.agree(Side::Callee, negotiated(CALLEE, callee.0, callee.1, Direction::SendRecv));
        talk.bridge.apply(talk.now, BridgeCommand::Gate(Gate::Open));
        talk
    }

    fn agree(&mut self, side: Side, negotiated: Negotiated) {
        self.bridge.apply(self.now, BridgeCommand::Negotiated { side, negotiated });
    }

    fn say(&mut self, side: Side, payload_type: u8, payload: &[u8]) -> Vec<Sent> {
        let source = SocketAddr::from(if side == Side::Caller { CALLER } else { CALLEE });
        self.say_from(side, source, payload_type, payload)
    }

    fn say_from(&mut self, side: Side, source: SocketAddr, payload_type: u8, payload: &[u8]) -> Vec<Sent> {
        self.sequence = self.sequence.wrapping_add(1);
        let packet = Packet {
            payload_type,
            marker: false,
            sequence: self.sequence,
            // The clock of Opus is six times as fast.
            timestamp: self.timestamp.wrapping_mul(if payload_type == 111 { 6 } else { 1 }),
            ssrc: 42,
            payload,
        };
        let mut bytes = rtp::header(&packet).to_vec();
        bytes.extend_from_slice(payload);
        self.bridge.handle_datagram(self.now, side, Channel::Rtp, source, &bytes);
        self.sent()
    }

    fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some((side, transmit)) = self.bridge.poll_transmit() {
            if transmit.channel == Channel::Rtp {
                let packet = rtp::parse(transmit.bytes).unwrap();
                sent.push((side, transmit.remote, packet.payload_type, packet.payload.to_vec()));
            }
        }
        sent
    }

    fn wait(&mut self, millis: u64) -> Vec<Sent> {
        self.now += Duration::from_millis(millis);
        self.timestamp = self.timestamp.wrapping_add(millis as u32 * 8);
        let mut sent = Vec::new();
        while self.bridge.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.bridge.handle_timeout(self.now);
            sent.extend(self.sent());
        }
        sent
    }

    fn events(&mut self) -> Vec<BridgeEvent> {
        std::iter::from_fn(|| self.bridge.poll_event()).collect()
    }
}

#[test]
fn audio_crosses_in_the_law_of_the_side_it_goes_to() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcma, 20));
    let speech: Vec<u8> = (0..160).map(|n| n as u8).collect();
    let sent = talk.say(Side::Caller, 0, &speech);
    let converted: Vec<u8> = speech.iter().map(|&byte| g711::convert(Law::Mu, Law::A, byte)).collect();
    assert_eq!(sent, [(Side::Callee, SocketAddr::from(CALLEE), 8, converted)]);

    let sent = talk.say(Side::Callee, 8, &speech);
    assert_eq!((sent[0].0, sent[0].2), (Side::Caller, 0));
    assert_ne!(sent[0].3, speech);
}

#[test]
fn audio_of_one_law_crosses_untouched() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    let speech: Vec<u8> = (0..160).map(|n| (n * 7) as u8).collect();
    assert_eq!(talk.say(Side::Caller, 0, &speech)[0].3, speech);
}

#[test]
fn thirty_milliseconds_become_packets_of_twenty() {
    let mut talk = Talk::open((Codec::Pcmu, 30), (Codec::Pcmu, 20));
    let mut lengths = Vec::new();
    for _ in 0..4 {
        lengths.extend(talk.say(Side::Caller, 0, &[1; 240]).iter().map(|sent| sent.3.len()));
        lengths.extend(talk.wait(30).iter().map(|sent| sent.3.len()));
    }
    assert_eq!(lengths, [160; 6]);
}

#[test]
fn a_digit_crosses_between_laws() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcma, 20));
    talk.say(Side::Caller, 0, &[0xff; 160]);
    talk.wait(20);
    let mut events = Vec::new();
    for step in 1..=8_u16 {
        let end = step >= 6;
        let payload =
            EventPayload { event: Event(5), end, volume: 10, duration: step.min(6) * 160 }.to_bytes();
        events.extend(talk.say(Side::Caller, 101, &payload));
        // Events keep the timestamp of their beginning.
        talk.now += Duration::from_millis(20);
    }
    assert!(!events.is_empty());
    assert!(
        events.iter().all(|sent| sent.0 == Side::Callee && sent.2 == 101 && sent.3[0] == 5),
        "{events:?}"
    );
    let ends = events.iter().filter(|sent| sent.3[1] & 0x80 != 0).count();
    assert!((1..=3).contains(&ends), "the end is told up to three times, in {ends} packets");
}

#[test]
fn before_the_answer_only_the_callee_is_heard() {
    let mut talk = Talk::closed();
    talk.agree(Side::Callee, negotiated(CALLEE, Codec::Pcmu, 20, Direction::SendRecv));
    assert!(talk.say(Side::Callee, 0, &[1; 160]).is_empty(), "the caller has not agreed to anything yet");
    talk.agree(Side::Caller, negotiated(CALLER, Codec::Pcmu, 20, Direction::SendRecv));
    talk.bridge.apply(talk.now, BridgeCommand::Gate(Gate::Early));
    talk.wait(20);
    assert_eq!(talk.say(Side::Callee, 0, &[1; 160]).len(), 1);
    assert!(talk.say(Side::Caller, 0, &[1; 160]).is_empty());
    talk.bridge.apply(talk.now, BridgeCommand::Gate(Gate::Open));
    talk.wait(20);
    assert_eq!(talk.say(Side::Caller, 0, &[1; 160]).len(), 1);
}

#[test]
fn a_side_that_only_sends_is_sent_nothing() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    talk.agree(Side::Caller, negotiated(CALLER, Codec::Pcmu, 20, Direction::RecvOnly));
    talk.agree(Side::Callee, negotiated(CALLEE, Codec::Pcmu, 20, Direction::SendOnly));
    assert!(talk.say(Side::Callee, 0, &[1; 160]).is_empty());
    assert_eq!(talk.say(Side::Caller, 0, &[1; 160]).len(), 1);
}

#[test]
fn packets_of_strangers_cross_nowhere_and_are_counted() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    let stranger = "203.0.113.66:4000".parse().unwrap();
    assert!(talk.say_from(Side::Caller, stranger, 0, &[1; 160]).is_empty());
    assert_eq!(talk.bridge.stats().caller.unwrap().packets_refused, 1);
    talk.wait(20);
    assert_eq!(talk.say(Side::Callee, 0, &[1; 160])[0].1, SocketAddr::from(CALLER));
}

#[test]
fn the_first_packet_of_each_side_is_told_once() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    for _ in 0..3 {
        talk.say(Side::Callee, 0, &[1; 160]);
        talk.wait(20);
    }
    assert_eq!(talk.events(), [BridgeEvent::FirstRtp(Side::Callee)]);
    talk.say(Side::Caller, 0, &[1; 160]);
    assert_eq!(talk.events(), [BridgeEvent::FirstRtp(Side::Caller)]);
}

#[test]
fn silence_is_told_when_nobody_has_spoken_for_the_whole_time() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    talk.bridge.apply(talk.now, BridgeCommand::SilenceMax(Some(Duration::from_secs(10))));
    talk.wait(9000);
    talk.say(Side::Callee, 0, &[1; 160]);
    talk.events();
    talk.wait(9000);
    assert_eq!(talk.events(), []);
    talk.wait(1000);
    assert_eq!(talk.events(), [BridgeEvent::Silent]);
    talk.wait(60_000);
    assert_eq!(talk.events(), [], "once is enough");
}

#[test]
fn nobody_has_to_speak_on_hold() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    talk.bridge.apply(talk.now, BridgeCommand::SilenceMax(Some(Duration::from_secs(10))));
    talk.wait(5000);
    talk.agree(Side::Caller, negotiated(CALLER, Codec::Pcmu, 20, Direction::Inactive));
    talk.wait(3_600_000);
    assert_eq!(talk.events(), []);
    talk.agree(Side::Caller, negotiated(CALLER, Codec::Pcmu, 20, Direction::SendRecv));
    talk.wait(9999);
    assert_eq!(talk.events(), []);
    talk.wait(1);
    assert_eq!(talk.events(), [BridgeEvent::Silent]);
}

#[test]
fn another_gateway_s_media_is_a_new_leg() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    talk.say(Side::Callee, 0, &[1; 160]);
    talk.bridge.apply(talk.now, BridgeCommand::NewLeg { side: Side::Callee, latch: vec![] });
    talk.wait(20);
    assert!(talk.say(Side::Callee, 0, &[1; 160]).is_empty(), "the one before is no longer heard");
    assert_eq!(talk.bridge.stats().callee, None);
}

#[test]
fn relaying_allocates_nothing_in_steady_state() {
    let mut talk = Talk::open((Codec::Pcmu, 30), (Codec::Pcma, 20));
    talk.bridge.apply(talk.now, BridgeCommand::SilenceMax(Some(Duration::from_secs(10))));
    let mut datagram = [0x55_u8; rtp::HEADER_BYTES + 240];
    let mut packets = 0;
    let mut speak = |talk: &mut Talk, count: u32| {
        for _ in 0..count {
            talk.sequence = talk.sequence.wrapping_add(1);
            talk.timestamp = talk.timestamp.wrapping_add(240);
            talk.now += Duration::from_millis(30);
            for (side, source, payload_type) in [(Side::Caller, CALLER, 0), (Side::Callee, CALLEE, 8)] {
                let packet = Packet {
                    payload_type,
                    marker: false,
                    sequence: talk.sequence,
                    timestamp: talk.timestamp,
                    ssrc: 7,
                    payload: &[],
                };
                datagram[..rtp::HEADER_BYTES].copy_from_slice(&rtp::header(&packet));
                talk.bridge.handle_datagram(talk.now, side, Channel::Rtp, source.into(), &datagram);
                talk.bridge.handle_timeout(talk.now);
                while talk.bridge.poll_transmit().is_some() {
                    packets += 1;
                }
            }
            while talk.bridge.poll_event().is_some() {}
        }
    };
    // A minute and a half, in which reports of RTCP have met packets of every kind in the queues.
    speak(&mut talk, 3000);
    let measured = allocation_counter::measure(|| speak(&mut talk, 2000));
    assert_eq!(measured.count_total, 0);
    assert!(packets > 6000, "{packets} packets went out");
}

#[test]
fn a_bridge_says_goodbye_by_rtcp_and_knows_what_it_saw() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    for _ in 0..10 {
        talk.say(Side::Caller, 0, &[1; 160]);
        talk.wait(20);
    }
    talk.bridge.close(talk.now);
    let mut goodbyes = Vec::new();
    while let Some((side, transmit)) = talk.bridge.poll_transmit() {
        // 203 is BYE (RFC 3550 §12.1).
        if transmit.channel == Channel::Rtcp && transmit.bytes.windows(2).any(|pair| pair == [0x81, 203]) {
            goodbyes.push(side);
        }
    }
    assert_eq!(goodbyes, Side::BOTH);
    assert_ne!(talk.bridge.poll_timeout().map(|(_, timer)| timer), Some(BridgeTimer::Silence));
    let stats = talk.bridge.stats();
    assert_eq!(stats.caller.unwrap().packets_received, 10);
    assert_eq!(stats.callee.unwrap().packets_sent, 10);
}

const SILENCE: [u8; 160] = [0xff; 160];

fn keep_alive(side: Side) -> Sent {
    (side, SocketAddr::from(if side == Side::Caller { CALLER } else { CALLEE }), 0, SILENCE.to_vec())
}

#[test]
fn a_callee_that_may_not_be_heard_from_yet_learns_where_to_send_early_media() {
    let mut talk = Talk::closed();
    talk.agree(Side::Callee, negotiated(CALLEE, Codec::Pcmu, 20, Direction::SendRecv));
    assert_eq!(talk.wait(199), []);
    assert_eq!(talk.wait(1), [keep_alive(Side::Callee)]);
    assert_eq!(talk.wait(14_999), []);
    assert_eq!(talk.wait(1), [keep_alive(Side::Callee)]);
}

#[test]
fn a_leg_that_is_sent_to_is_kept_open_only_when_that_ends() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    for _ in 0..1000 {
        talk.wait(20);
        let to_callee: Vec<_> = talk.say(Side::Caller, 0, &[0x55; 160]);
        assert_eq!(to_callee.len(), 1);
    }
    // The callee has been silent: the caller is kept open meanwhile. Now the caller falls silent too.
    let later = talk.wait(14_990);
    assert!(later.iter().all(|(side, ..)| *side == Side::Caller), "{later:?}");
    assert!(talk.wait(20).contains(&keep_alive(Side::Callee)));
    let sent = talk.bridge.stats().callee.unwrap().packets_sent;
    assert_eq!(sent, 1000, "what only keeps a path open is not counted as audio");
}

#[test]
fn nothing_is_sent_to_a_leg_on_hold() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Pcmu, 20));
    for side in Side::BOTH {
        let peer = if side == Side::Caller { CALLER } else { CALLEE };
        talk.agree(side, negotiated(peer, Codec::Pcmu, 20, Direction::RecvOnly));
    }
    assert_eq!(talk.wait(60_000), []);
}

/// Speech of the caller in µ-law, in frames of 20 ms.
fn speech() -> Vec<Vec<u8>> {
    include_bytes!("../../../fixtures/audio/caller.pcmu").chunks_exact(160).map(<[u8]>::to_vec).collect()
}

fn coded(speech: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Settings::default()).unwrap();
    let mut packet = [0; PACKET_BYTES_MAX];
    let mut code = |frame: &Vec<u8>| {
        let samples: Vec<i16> = frame.iter().map(|&coded| g711::expand(Law::Mu, coded)).collect();
        let bytes = encoder.encode(&samples, &mut packet).unwrap();
        packet[..bytes].to_vec()
    };
    speech.iter().map(&mut code).collect()
}

#[test]
fn speech_crosses_between_g711_and_opus_packet_for_packet() {
    let mut talk = Talk::open((Codec::Pcmu, 20), (Codec::Opus, 20));
    let (plain, packets) = (speech(), coded(&speech()));
    for frame in &plain {
        talk.wait(20);
        let sent = talk.say(Side::Caller, 0, frame);
        assert_eq!((sent.len(), sent[0].0, sent[0].2), (1, Side::Callee, 111));
        assert!(sent[0].3.len() < 160, "it is coded: {} bytes", sent[0].3.len());
    }
    for packet in &packets {
        talk.wait(20);
        let sent = talk.say(Side::Callee, 111, packet);
        assert_eq!((sent.len(), sent[0].0, sent[0].2, sent[0].3.len()), (1, Side::Caller, 0, 160));
    }
    let stats = talk.bridge.stats();
    let codec = |leg: Option<trunkline_model::LegQuality>| leg.map(|leg| leg.codec);
    assert_eq!(codec(stats.caller).as_deref(), Some("PCMU"));
    assert_eq!(codec(stats.callee).as_deref(), Some("opus"));
}

#[test]
fn a_callee_that_is_only_listened_to_gets_silence_in_opus() {
    let mut talk = Talk::closed();
    talk.agree(Side::Callee, negotiated(CALLEE, Codec::Opus, 20, Direction::SendRecv));
    talk.bridge.apply(talk.now, BridgeCommand::Gate(Gate::Early));
    let sent = talk.wait(300);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0, sent[0].2, sent[0].3.as_slice()), (Side::Callee, 111, &opus::SILENCE[..]));
}

#[test]
fn load_is_shed_on_legs_that_are_there_and_on_those_that_come() {
    let said = |complexity_first: bool, complexity: Option<u8>| {
        let mut talk = Talk::closed();
        let shed = |talk: &mut Talk| {
            if let Some(complexity) = complexity {
                talk.bridge.set_complexity_max(complexity);
            }
        };
        if complexity_first {
            shed(&mut talk);
        }
        talk.agree(Side::Caller, negotiated(CALLER, Codec::Pcmu, 20, Direction::SendRecv));
        talk.agree(Side::Callee, negotiated(CALLEE, Codec::Opus, 20, Direction::SendRecv));
        talk.bridge.apply(talk.now, BridgeCommand::Gate(Gate::Open));
        shed(&mut talk);
        let mut packets = Vec::new();
        for frame in speech() {
            talk.wait(20);
            packets.extend(talk.say(Side::Caller, 0, &frame).into_iter().map(|sent| sent.3));
        }
        packets
    };
    let full = said(false, None);
    assert_eq!(said(false, Some(10)), full);
    let low = said(false, Some(1));
    assert_ne!(low, full);
    assert_eq!(said(true, Some(1)), low);
}
