//! Every magic number, dialled by an endpoint over a wire in memory, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_media::tone::{keys_in, signal_to_noise_db};
use trunkline_model::Transport;
use trunkline_model::clock::first_instant;
use trunkline_sandbox::{Config, Dial, Endpoint, Event, Input, LineId, Output, Plan};
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::{Advertised, Flow, Listener, Target};
use trunkline_sip::user_agent;

const CALLER: usize = 0;
const CARRIER: usize = 1;

#[test]
fn refusals_have_their_status() {
    for (ending, status) in [("0103", 486), ("0104", 603), ("0107", 404), ("0108", 503), ("0199", 404)] {
        let mut wire = Wire::new();
        wire.dial(ending, Plan::default());
        wire.run_for(secs(5));
        assert_eq!(wire.end_of(CALLER).unwrap().0, status, "{ending}");
        assert_eq!(wire.end_of(CARRIER).unwrap().0, status, "{ending}: the carrier says so too");
        wire.assert_idle();
    }
}

#[test]
fn what_is_said_to_the_echo_comes_back() {
    for ending in ["0100", "0111"] {
        let mut wire = Wire::new();
        let play = tone(1000.0, 8000);
        wire.dial(ending, Plan { play, record: true, ends_after_play: true, ..Plan::default() });
        wire.run_for(secs(10));
        let (status, recording) = wire.end_of(CALLER).unwrap();
        assert_eq!(status, 200, "{ending}");
        let middle = &recording[2400..4000];
        assert!(signal_to_noise_db(middle, 1000.0) > 30.0, "{ending}");
        wire.assert_idle();
    }
}

#[test]
fn the_announcement_is_heard_once_and_the_carrier_hangs_up() {
    let mut wire = Wire::new();
    wire.dial("0101", Plan { record: true, ..Plan::default() });
    wire.run_for(secs(20));
    let (status, recording) = wire.end_of(CALLER).unwrap();
    assert_eq!(status, 200);
    assert!(recording.len() > 8_000 && recording.iter().any(|sample| sample.abs() > 2_000));
    wire.assert_idle();
}

#[test]
fn the_menu_says_each_digit_back_and_ends_with_pound() {
    let mut wire = Wire::new();
    wire.dial("0102", Plan { digits: "147*5".into(), record: true, lasts: Some(secs(6)), ..Plan::default() });
    wire.run_for(secs(15));
    let heard: String = wire.events[CARRIER].iter().filter_map(digit).collect();
    assert_eq!(heard, "147*5");
    let (_, recording) = wire.end_of(CALLER).unwrap();
    let mut said: Vec<char> = keys_in(&recording).into_iter().filter_map(|event| event.digit()).collect();
    said.dedup();
    assert_eq!(said, ['1', '4', '7', '*', '5']);

    let mut wire = Wire::new();
    wire.dial("0102", Plan { digits: "#".into(), ..Plan::default() });
    wire.run_for(secs(10));
    assert_eq!(wire.end_of(CALLER).unwrap().0, 200, "the carrier hung up");
    wire.assert_idle();
}

#[test]
fn no_answer_rings_until_the_caller_gives_up() {
    let mut wire = Wire::new();
    let line = wire.dial("0105", Plan::default());
    wire.run_for(secs(50));
    assert_eq!(wire.progress(), [(180, false)]);
    assert!(wire.end_of(CALLER).is_none());
    wire.endpoints[CALLER].hang_up(wire.now, line);
    wire.run_for(secs(2));
    assert_eq!(wire.end_of(CARRIER).unwrap().0, 487);
    wire.assert_idle();
}

#[test]
fn the_late_183_brings_ringback_before_the_answer() {
    let mut wire = Wire::new();
    wire.dial("0106", Plan { record: true, lasts: Some(secs(2)), ..Plan::default() });
    wire.run_for(Duration::from_millis(1900));
    assert!(wire.progress().is_empty(), "nothing but 100 at first");
    wire.run_for(secs(8));
    assert_eq!(wire.progress(), [(183, true)]);
    let (status, recording) = wire.end_of(CALLER).unwrap();
    assert_eq!(status, 200);
    let ringback = &recording[1600..8000];
    assert!(ringback.iter().any(|sample| sample.abs() > 1_000), "early media was heard");
    wire.assert_idle();
}

#[test]
fn the_milliwatt_is_a_clean_tone() {
    let mut wire = Wire::new();
    wire.dial("0109", Plan { record: true, lasts: Some(secs(2)), ..Plan::default() });
    wire.run_for(secs(6));
    let (_, recording) = wire.end_of(CALLER).unwrap();
    assert!(signal_to_noise_db(&recording[1600..8000], 1000.0) > 30.0);
}

#[test]
fn a_call_ends_after_the_seconds_of_its_number() {
    let mut wire = Wire::new();
    wire.dial("0123", Plan::default());
    wire.run_for(Duration::from_millis(3900));
    assert!(wire.end_of(CALLER).is_none());
    wire.run_for(Duration::from_millis(300));
    assert_eq!(wire.end_of(CALLER).unwrap().0, 200);
}

#[test]
fn the_carrier_calls_back() {
    let mut wire = Wire::new();
    wire.config_of_caller_serves();
    wire.dial("0110", Plan::default());
    wire.run_for(secs(20));
    assert_eq!(wire.end_of(CALLER).unwrap().0, 480);
    let back = wire.events[CALLER].iter().find_map(|event| match event {
        Event::Incoming { from, to, .. } => Some((from.as_str(), to.as_str())),
        _ => None,
    });
    assert_eq!(back, Some(("+14255550110", "+14255550111")));
    wire.assert_idle();
}

/// Two endpoints and a wire of 1 ms between them.
struct Wire {
    now: Instant,
    endpoints: Vec<Endpoint>,
    events: [Vec<Event>; 2],
    queue: BTreeMap<(Instant, u64), Packet>,
    serial: u64,
    media: BTreeMap<SocketAddr, (usize, LineId)>,
}

struct Packet {
    to: usize,
    from: SocketAddr,
    at: SocketAddr,
    bytes: Vec<u8>,
}

impl Wire {
    fn new() -> Self {
        let now = first_instant();
        let endpoints =
            vec![Endpoint::new(config(CALLER, false), 1, now), Endpoint::new(config(CARRIER, true), 2, now)];
        let (queue, media) = (BTreeMap::new(), BTreeMap::new());
        Self { now, endpoints, events: [Vec::new(), Vec::new()], queue, serial: 0, media }
    }

    /// Lets the caller be called: by its own number it answers at once.
    fn config_of_caller_serves(&mut self) {
        self.endpoints[CALLER] = Endpoint::new(config(CALLER, true), 3, self.now);
    }

    fn dial(&mut self, ending: &str, plan: Plan) -> LineId {
        let to = sip(CARRIER);
        let dial = Dial {
            destination: Destination::Target(Target::new(Transport::Udp, to)),
            uri: format!("sip:+1425555{ending}@{to}"),
            from: "<sip:+14255550111@10.0.0.1>".into(),
            to: format!("<sip:+1425555{ending}@{to}>"),
            plan,
        };
        let line = self.endpoints[CALLER].dial(self.now, dial);
        self.settle();
        line
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.endpoints.iter().filter_map(Endpoint::poll_timeout);
            let next = timers.chain(self.queue.keys().map(|(at, _)| *at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
                let (_, packet) = self.queue.pop_first().unwrap();
                self.deliver(&packet);
            }
            for endpoint in &mut self.endpoints {
                if endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                    endpoint.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    fn deliver(&mut self, packet: &Packet) {
        let input = if packet.at == sip(packet.to) {
            let flow =
                Flow { transport: Transport::Udp, local: packet.at, remote: packet.from, connection: None };
            let bytes = packet.bytes.clone().into();
            Input::Sip(user_agent::Input::Received { flow, bytes })
        } else {
            let even = SocketAddr::new(packet.at.ip(), packet.at.port() & !1);
            let Some((_, line)) = self.media.get(&even).copied() else { return };
            let channel = if packet.at == even {
                trunkline_media::Channel::Rtp
            } else {
                trunkline_media::Channel::Rtcp
            };
            Input::Media { line, channel, source: packet.from, datagram: &packet.bytes }
        };
        self.endpoints[packet.to].handle_input(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        for end in [CALLER, CARRIER] {
            while let Some(output) = self.endpoints[end].poll_output() {
                match output {
                    Output::Transmit(transmit) => {
                        self.send(sip(end), transmit.target.remote, transmit.bytes.to_vec());
                    }
                    Output::OpenMedia { line } => {
                        let address = media(end, line);
                        self.media.insert(address, (end, line));
                        self.endpoints[end].handle_input(self.now, Input::MediaOpened { line, address });
                    }
                    Output::CloseMedia { line } => drop(self.media.remove(&media(end, line))),
                    Output::SendMedia { line, channel, remote, datagram } => {
                        let mut from = media(end, line);
                        if channel == trunkline_media::Channel::Rtcp {
                            from.set_port(from.port() + 1);
                        }
                        self.send(from, remote, datagram.to_vec());
                    }
                    Output::Event(event) => self.events[end].push(event),
                    Output::Resolve { .. } => panic!("addresses need no look-up"),
                }
            }
        }
    }

    fn send(&mut self, from: SocketAddr, at: SocketAddr, bytes: Vec<u8>) {
        self.serial += 1;
        let to = usize::from(at.ip() == sip(CARRIER).ip());
        self.queue.insert((self.now + Duration::from_millis(1), self.serial), Packet { to, from, at, bytes });
    }

    fn end_of(&self, end: usize) -> Option<(u16, Vec<i16>)> {
        self.events[end].iter().find_map(|event| match event {
            Event::Ended { status, heard, .. } => Some((*status, heard.recording.clone())),
            _ => None,
        })
    }

    fn progress(&self) -> Vec<(u16, bool)> {
        let progress = |event: &Event| match event {
            Event::Progress { status, early_media, .. } => Some((*status, *early_media)),
            _ => None,
        };
        self.events[CALLER].iter().filter_map(progress).collect()
    }

    /// Nothing may be left when a call is over and its timers have run out.
    fn assert_idle(&mut self) {
        self.run_for(secs(70));
        for endpoint in &self.endpoints {
            assert_eq!(endpoint.lines(), 0);
            assert!(endpoint.is_idle());
        }
        assert!(self.media.is_empty(), "all media ports are closed");
    }
}

fn config(end: usize, serves: bool) -> Config {
    let local = sip(end);
    let listener = Listener { transport: Transport::Udp, local, advertised: Advertised::of(local) };
    let mut config = Config { serves, ..Config::default() };
    config.user_agent.listeners = vec![listener];
    config
}

fn sip(end: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, end as u8 + 1], 5060))
}

fn media(end: usize, line: LineId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, end as u8 + 1], 30_000 + line.0 as u16 * 2))
}

fn tone(frequency_hz: f64, samples: usize) -> std::sync::Arc<[i16]> {
    let mut tone = vec![0; samples];
    let sine = trunkline_media::tone::Tone::sine(frequency_hz, 8_000.0);
    trunkline_media::tone::ToneGenerator::new(sine).fill(&mut tone);
    tone.into()
}

fn digit(event: &Event) -> Option<char> {
    match event {
        Event::Digit { digit, .. } => Some(*digit),
        _ => None,
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
