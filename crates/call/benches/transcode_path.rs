//! `transcode`: calls between browsers and a trunk through real sockets: ICE, DTLS-SRTP and Opus on one side, G.711 over
//! RTP on the other, both ways, with recorded speech.
//!
//! One thread does what a media worker does, on a core of its own; browsers (str0m's, with full ICE) and the trunk are on
//! another. CPU is that of the first thread alone. The encoder and the decoder alone are measured on the same thread after
//! it. One JSON object a line.

use rustix::event::epoll;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use str0m::change::SdpOffer;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc, RtcConfig};
use trunkline_call::{Bridge, BridgeCommand, BridgeConfig, Gate, Side};
use trunkline_media::opus::{Decoder, Encoder, PACKET_BYTES_MAX, PACKET_SAMPLES_MAX, Settings};
use trunkline_media::rtp::{self, Packet};
use trunkline_media::{
    BROWSER, Channel, ClockRate, Direction, DtlsEnd, DtlsTransport, Law, Local, MediaSession, Negotiated,
    Payload, PayloadMap, Wish, g711,
};
use trunkline_model::{Codec, MediaPolicy, OpusPolicy};
use trunkline_webrtc::{Certificate, Hub, HubConfig};

/// Calls at once: a third of what a core can carry, so that figures are those of a worker that keeps up.
const CALLS: usize = 80;

const COMPLEXITY: u8 = 5;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = 160;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);

/// A browser that takes longer to connect will not.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Shortest time between two timeouts of a browser, or they would be all that the generator does.
const WAKE_MIN: Duration = Duration::from_millis(5);

/// Frames of the floor: all of the speech, some times.
const FLOOR_FRAMES: usize = 360;

/// What the worker is to do.
const RUN: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

fn main() {
    pin(1);
    let certificate = Certificate::generate().expect("a certificate");
    let hub_socket = bind();
    let hub_address = hub_socket.local_addr().expect("it is bound");
    let trunk = bind();
    let calls: Vec<UdpSocket> = (0..CALLS).map(|_| bind()).collect();
    let ports: Vec<SocketAddr> =
        calls.iter().map(|socket| socket.local_addr().expect("it is bound")).collect();
    let mut browsers: Vec<Browser> =
        (0..CALLS).map(|call| Browser::new(call, &certificate, hub_address)).collect();
    let legs = browsers.iter().map(|browser| (browser.transport.clone(), browser.negotiated)).collect();
    let phase = Arc::new(AtomicU8::new(RUN));
    let worker = {
        let (phase, trunk) = (Arc::clone(&phase), trunk.local_addr().expect("it is bound"));
        std::thread::spawn(move || Worker::new(hub_socket, certificate, calls, trunk, legs).run(&phase))
    };

    let speech = Speech::new();
    connect(&mut browsers);
    let mut ends = Ends { trunk, ports, browsers, frame: 0, flow: Flow::default() };
    ends.talk(&speech, WARM_UP);
    ends.flow = Flow::default();
    phase.store(MEASURE, Ordering::SeqCst);
    let began = Instant::now();
    ends.talk(&speech, MEASURED);
    let took = began.elapsed();
    phase.store(STOP, Ordering::SeqCst);
    let (cpu, floor) = worker.join().expect("the worker ran to its end");
    report(&mut ends.flow, cpu, floor, took);
}

fn report(flow: &mut Flow, cpu: f64, floor: f64, took: Duration) {
    // A worker that loses packets would look cheap.
    assert!(
        flow.received * 1000 >= flow.sent * 995,
        "{} of {} packets came through",
        flow.received,
        flow.sent
    );
    let calls_per_core = took.as_secs_f64() * CALLS as f64 / cpu;
    let print = |metric: &str, ours: f64, unit: &str, peer: &str| {
        println!(r#"{{"bench":"transcode","metric":"{metric}","ours":{ours:.2},"unit":"{unit}"{peer}}}"#);
    };
    let peer =
        format!(r#","peer":"libopus alone","peer_value":{floor:.1},"ratio":{:.3}"#, calls_per_core / floor);
    print(&format!("calls_per_core_complexity_{COMPLEXITY}"), calls_per_core, "calls", &peer);
    for (name, late) in [("to_opus", &mut flow.to_browser), ("to_g711", &mut flow.to_trunk)] {
        late.sort_unstable();
        let at = |share: f64| {
            late.get((late.len() as f64 * share) as usize).map_or(0.0, |us| f64::from(*us) / 1000.0)
        };
        print(&format!("latency_p50_{name}"), at(0.5), "ms", "");
        print(&format!("latency_p99_{name}"), at(0.99), "ms", "");
    }
}

/// What both sides say, in packets of 20 ms.
struct Speech {
    plain: Vec<Vec<u8>>,
    samples: Vec<Vec<i16>>,
    /// As a browser that was told of 8 kHz codes it: complexity 9, with copies.
    opus: Vec<Vec<u8>>,
}

impl Speech {
    fn new() -> Self {
        let expand =
            |coded: &[u8]| coded.iter().map(|&coded| g711::expand(Law::Mu, coded)).collect::<Vec<i16>>();
        let caller = include_bytes!("../../../fixtures/audio/caller.pcmu");
        let callee = include_bytes!("../../../fixtures/audio/callee.pcmu");
        let settings = Settings { complexity: 9, loss_percent: 5, ..Settings::default() };
        let mut encoder = Encoder::new(settings).expect("there is memory");
        let mut packet = [0; PACKET_BYTES_MAX];
        let mut code = |frame: &[u8]| {
            let bytes = encoder.encode(&expand(frame), &mut packet).expect("20 ms are a frame");
            packet[..bytes].to_vec()
        };
        Self {
            plain: caller.chunks_exact(FRAME_SAMPLES).map(<[u8]>::to_vec).collect(),
            samples: caller.chunks_exact(FRAME_SAMPLES).map(expand).collect(),
            opus: callee.chunks_exact(FRAME_SAMPLES).map(&mut code).collect(),
        }
    }
}

/// The thread that does what a media worker does.
struct Worker {
    hub: Hub<usize>,
    hub_socket: UdpSocket,
    calls: Vec<(UdpSocket, Bridge)>,
    poll: rustix::fd::OwnedFd,
}

impl Worker {
    fn new(
        hub_socket: UdpSocket,
        certificate: Certificate,
        sockets: Vec<UdpSocket>,
        trunk: SocketAddr,
        legs: Vec<(DtlsTransport, Negotiated)>,
    ) -> Self {
        pin(0);
        let now = Instant::now();
        let address = hub_socket.local_addr().expect("it is bound");
        let mut hub = Hub::new(HubConfig::new(certificate, vec![address]));
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        let watch = |socket: &UdpSocket, mark: usize| {
            let mark = epoll::EventData::new_u64(mark as u64);
            epoll::add(&poll, socket, mark, epoll::EventFlags::IN).expect("a socket can be watched");
        };
        watch(&hub_socket, CALLS);
        let mut calls = Vec::new();
        for (call, (socket, (transport, opus))) in sockets.into_iter().zip(legs).enumerate() {
            watch(&socket, call);
            hub.agree(now, call, &transport).expect("there is room");
            let mut bridge = Bridge::new(BridgeConfig { seed: call as u64, ..BridgeConfig::default() });
            let negotiated = plain(trunk);
            bridge.apply(now, BridgeCommand::Negotiated { side: Side::Caller, negotiated });
            bridge.apply(now, BridgeCommand::Negotiated { side: Side::Callee, negotiated: opus });
            bridge.apply(now, BridgeCommand::Gate(Gate::Open));
            calls.push((socket, bridge));
        }
        Self { hub, hub_socket, calls, poll }
    }

    /// Works until it is told to stop. Returns the CPU seconds of the measured phase, and calls per core of the floor.
    fn run(mut self, phase: &AtomicU8) -> (f64, f64) {
        let mut ready = Vec::with_capacity(128);
        let mut packet = [0; 2048];
        let mut measured_from = None;
        loop {
            match phase.load(Ordering::Relaxed) {
                MEASURE => {
                    measured_from.get_or_insert_with(cpu_secs);
                }
                STOP => break,
                _ => {}
            }
            ready.clear();
            let wait = self.wait();
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut ready), Some(&wait)).expect("epoll");
            let now = Instant::now();
            for mark in ready.iter().map(|event: &epoll::Event| event.data.u64() as usize) {
                self.readable(now, mark, &mut packet);
            }
            self.fire(now);
        }
        (cpu_secs() - measured_from.unwrap_or(0.0), floor())
    }

    fn wait(&self) -> rustix::time::Timespec {
        let now = Instant::now();
        let bridges = self.calls.iter().filter_map(|(_, bridge)| bridge.poll_timeout()).map(|(due, _)| due);
        let due = bridges.chain(self.hub.poll_timeout()).min();
        let wait = due.map_or(FRAME, |due| due.saturating_duration_since(now).min(FRAME));
        wait.try_into().expect("20 ms at most")
    }

    fn readable(&mut self, now: Instant, mark: usize, packet: &mut [u8]) {
        match self.calls.get_mut(mark) {
            Some((socket, bridge)) => {
                let Ok((length, source)) = socket.recv_from(packet) else { return };
                bridge.handle_datagram(now, Side::Caller, Channel::Rtp, source, &packet[..length]);
                self.drain(now, mark);
            }
            None => {
                let Ok((length, source)) = self.hub_socket.recv_from(packet) else { return };
                // What is dropped shows as a packet that does not come through.
                let _ = self.hub.handle_datagram(now, source, &packet[..length]);
                while let Some((call, packet)) = self.hub.poll_rtp() {
                    let (_, bridge) = &mut self.calls[call];
                    bridge.handle_datagram(now, Side::Callee, Channel::Rtp, BROWSER, packet);
                    self.drain(now, call);
                }
            }
        }
        self.transmit();
    }

    fn fire(&mut self, now: Instant) {
        for call in 0..self.calls.len() {
            let (_, bridge) = &mut self.calls[call];
            if bridge.poll_timeout().is_some_and(|(due, _)| due <= now) {
                bridge.handle_timeout(now);
                self.drain(now, call);
            }
        }
        if self.hub.poll_timeout().is_some_and(|due| due <= now) {
            self.hub.handle_timeout(now);
        }
        self.transmit();
    }

    fn drain(&mut self, now: Instant, call: usize) {
        let (socket, bridge) = &mut self.calls[call];
        while let Some((side, transmit)) = bridge.poll_transmit() {
            match side {
                // A full socket shows as a packet that does not come through.
                Side::Caller => drop(socket.send_to(transmit.bytes, transmit.remote)),
                Side::Callee if rtp::is_rtcp(transmit.bytes) => {}
                Side::Callee => self.hub.send_rtp(now, call, transmit.bytes),
            }
        }
        while bridge.poll_event().is_some() {}
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.hub.poll_transmit() {
            let _ = self.hub_socket.send_to(transmit.bytes, transmit.remote);
        }
        while self.hub.poll_event().is_some() {}
    }
}

/// An encoder and a decoder for each call, and nothing else: calls per core.
fn floor() -> f64 {
    let speech = Speech::new();
    let settings = Settings { complexity: COMPLEXITY, ..Settings::default() };
    let codec = || Some((Encoder::new(settings).ok()?, Decoder::new().ok()?));
    let mut codecs: Vec<_> = (0..CALLS).map(|_| codec().expect("there is memory")).collect();
    let before = cpu_secs();
    for frame in 0..FLOOR_FRAMES {
        for (encoder, decoder) in &mut codecs {
            let (mut packet, mut samples) = ([0; PACKET_BYTES_MAX], [0; PACKET_SAMPLES_MAX]);
            let said = &speech.samples[frame % speech.samples.len()];
            black_box(encoder.encode(black_box(said), &mut packet)).expect("20 ms are a frame");
            let heard = &speech.opus[frame % speech.opus.len()];
            black_box(decoder.decode(black_box(heard), &mut samples)).expect("a packet");
        }
    }
    FRAME.as_secs_f64() * (FLOOR_FRAMES * CALLS) as f64 / (cpu_secs() - before)
}

/// A browser on a socket of its own.
struct Browser {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    mid: Mid,
    transport: DtlsTransport,
    negotiated: Negotiated,
    connected: bool,
    wake_at: Instant,
    /// When frames were sent to us by the trunk, that have not come yet.
    heard: Vec<Instant>,
}

impl Browser {
    fn new(call: usize, certificate: &Certificate, hub: SocketAddr) -> Self {
        let now = Instant::now();
        let socket = bind();
        let address = socket.local_addr().expect("it is bound");
        let config = RtcConfig::new().clear_codecs().enable_opus(true, false).set_rtp_mode(true);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("a loopback address"));
        let opus = OpusPolicy { complexity: COMPLEXITY, ..OpusPolicy::default() };
        let policy = MediaPolicy { codecs: vec![Codec::Opus, Codec::Pcmu], opus, ..MediaPolicy::default() };
        let local = Local::new(hub.ip(), hub.port(), &policy);
        let end = DtlsEnd { fingerprint: certificate.fingerprint(), others: Vec::new() };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&call.to_le_bytes());
        let mut session = MediaSession::with_browser(local, end, seed);
        let wish = Wish { prefer: Some(Codec::Pcmu), ..Wish::default() };
        let offer = String::from_utf8(session.offer(wish).to_vec()).expect("descriptions are text");
        let offer = SdpOffer::from_sdp_string(&offer).expect("our offer is read");
        let answer = rtc.sdp_api().accept_offer(offer).expect("it is accepted").to_sdp_string();
        session.accept_answer(answer.as_bytes()).expect("its answer is read");
        let negotiated = *session.negotiated().expect("it was answered");
        assert_eq!(negotiated.send.audio().map(|(_, codec)| codec), Some(Codec::Opus));
        Self {
            rtc,
            socket,
            address,
            mid: "0".into(),
            transport: session.dtls().expect("a browser has it").clone(),
            negotiated,
            connected: false,
            wake_at: now,
            heard: Vec::new(),
        }
    }

    /// Takes what has come and does what is due. Returns how late each packet of speech was, in microseconds.
    fn work(&mut self, now: Instant, late: &mut Vec<u32>) -> u64 {
        let mut buffer = [0; 2048];
        let mut received = 0;
        while let Ok((length, source)) = self.socket.recv_from(&mut buffer) {
            let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, &buffer[..length]) else {
                continue;
            };
            self.rtc.handle_input(Input::Receive(now, receive)).expect("a browser takes what comes");
            received += self.drain(now, late);
        }
        if self.wake_at <= now {
            self.rtc.handle_input(Input::Timeout(now)).expect("a browser lives on");
            received += self.drain(now, late);
        }
        received
    }

    fn say(&mut self, now: Instant, frame: u32, payload: &[u8]) {
        let number = self.negotiated.send.audio().map_or(111, |(number, _)| number);
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(self.mid, None).expect("a browser has something to send with");
        let sequence = u64::from(frame);
        stream.write_rtp(RtpWrite::new(
            number.into(),
            sequence.into(),
            frame.wrapping_mul(960),
            now,
            payload,
        ));
        self.rtc.handle_input(Input::Timeout(now)).expect("a browser lives on");
        self.drain(now, &mut Vec::new());
    }

    fn drain(&mut self, now: Instant, late: &mut Vec<u32>) -> u64 {
        let mut received = 0;
        loop {
            match self.rtc.poll_output().expect("a browser lives on") {
                Output::Timeout(at) => {
                    // str0m asks for the past now and then; nothing that it does then is so urgent.
                    self.wake_at = at.max(now + WAKE_MIN);
                    return received;
                }
                Output::Transmit(transmit) => {
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(str0m::Event::RtpPacket(_)) => {
                    received += 1;
                    if !self.heard.is_empty() {
                        late.push(now.duration_since(self.heard.remove(0)).as_micros() as u32);
                    }
                }
                Output::Event(str0m::Event::Connected) => self.connected = true,
                Output::Event(_) => {}
            }
        }
    }
}

/// Waits until all browsers are connected.
fn connect(browsers: &mut [Browser]) {
    let deadline = Instant::now() + CONNECT_MAX;
    while browsers.iter().any(|browser| !browser.connected) {
        let now = Instant::now();
        assert!(now < deadline, "not all browsers connect");
        for browser in browsers.iter_mut() {
            browser.work(now, &mut Vec::new());
        }
    }
}

/// The browsers and the trunk.
struct Ends {
    trunk: UdpSocket,
    /// Where the worker takes RTP of the trunk, by call.
    ports: Vec<SocketAddr>,
    browsers: Vec<Browser>,
    frame: u32,
    flow: Flow,
}

/// What was sent, and how it came.
#[derive(Default)]
struct Flow {
    sent: u64,
    received: u64,
    /// How late packets came, in microseconds.
    to_browser: Vec<u32>,
    to_trunk: Vec<u32>,
}

impl Ends {
    /// Both sides of all calls talk for a while, calls spread over each 20 ms.
    fn talk(&mut self, speech: &Speech, time: Duration) {
        let began = Instant::now();
        let slots = (time.as_nanos() / FRAME.as_nanos()) as usize * CALLS;
        let gap = FRAME / CALLS as u32;
        let mut spoken: Vec<Vec<Instant>> = vec![Vec::new(); CALLS];
        for slot in 0..slots {
            let due = began + gap * slot as u32;
            // At least once: a generator that is late would not hear what comes.
            self.listen(&mut spoken);
            while Instant::now() < due {
                self.listen(&mut spoken);
            }
            let call = slot % CALLS;
            if call == 0 {
                self.frame += 1;
            }
            let frame = self.frame;
            let plain = &speech.plain[frame as usize % speech.plain.len()];
            let header = rtp::header(&Packet {
                payload_type: 0,
                marker: false,
                sequence: frame as u16,
                timestamp: frame.wrapping_mul(FRAME_SAMPLES as u32),
                ssrc: 7,
                payload: plain,
            });
            let now = Instant::now();
            let sent = self.trunk.send_to(&[&header[..], plain].concat(), self.ports[call]).is_ok();
            self.browsers[call].heard.push(now);
            let now = Instant::now();
            spoken[call].push(now);
            self.browsers[call].say(now, frame, &speech.opus[frame as usize % speech.opus.len()]);
            self.flow.sent += 1 + u64::from(sent);
        }
        let last = Instant::now();
        while last.elapsed() < Duration::from_millis(100) {
            self.listen(&mut spoken);
        }
        for browser in &mut self.browsers {
            browser.heard.clear();
        }
    }

    /// Takes what has come for both sides.
    fn listen(&mut self, spoken: &mut [Vec<Instant>]) {
        let mut buffer = [0; 2048];
        while let Ok((length, source)) = self.trunk.recv_from(&mut buffer) {
            if rtp::is_rtcp(&buffer[..length]) {
                continue;
            }
            self.flow.received += 1;
            let call = self.ports.iter().position(|port| *port == source);
            if let Some(spoken) =
                call.and_then(|call| spoken.get_mut(call)).filter(|spoken| !spoken.is_empty())
            {
                self.flow.to_trunk.push(spoken.remove(0).elapsed().as_micros() as u32);
            }
        }
        for browser in &mut self.browsers {
            self.flow.received += browser.work(Instant::now(), &mut self.flow.to_browser);
        }
    }
}

/// What the trunk agreed on.
fn plain(trunk: SocketAddr) -> Negotiated {
    let mut map = PayloadMap::new(20);
    map.push(0, Payload::Audio(Codec::Pcmu));
    map.push(101, Payload::TelephoneEvent(ClockRate::Hz8000));
    Negotiated {
        remote_rtp: trunk,
        remote_rtcp: SocketAddr::new(trunk.ip(), trunk.port().wrapping_add(1).max(1)),
        // So that no report goes to a port that is somebody else's.
        rtcp_mux: true,
        send: map,
        receive: map,
        direction: Direction::SendRecv,
        opus: Settings::default(),
    }
}

fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
    socket.set_nonblocking(true).expect("a socket that does not block");
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 1 << 20).expect("a buffer");
    socket
}

/// Keeps this thread on one core, where there is more than one.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // A machine with one core measures all the same, only with less peace.
    let _ = sched_setaffinity(None, &cores);
}

/// CPU time of this thread.
fn cpu_secs() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
