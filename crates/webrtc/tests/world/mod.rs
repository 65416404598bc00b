//! A hub and browsers on a bad network, in virtual time. The browsers are str0m's: full ICE, the offer in their words.
#![allow(dead_code, reason = "each test file uses its own part")]

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m::change::{SdpAnswer, SdpApi, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc, RtcConfig};
use trunkline_media::rtp::{self, Packet};
use trunkline_media::{DtlsEnd, DtlsTransport, Local, MediaSession, Wish};
use trunkline_model::MediaPolicy;
use trunkline_model::clock::first_instant;
use trunkline_webrtc::{Certificate, Dropped, Event, Hub, HubConfig};

pub(crate) const SERVER: &str = "198.51.100.1:40000";

/// What the network does to a datagram.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Network {
    /// How many times each datagram of a handshake is lost. Not at random: the timers of handshakes are so themselves, and
    /// no seed would make a test repeat itself.
    pub(crate) handshake_losses: usize,
    /// How much later than the 10 ms of the way they may come; more than their distance reorders them.
    pub(crate) jitter_ms: u64,
}

/// When a datagram arrives, which it is, from where, to where, and what it holds.
type Flying = (Instant, u64, SocketAddr, SocketAddr, Vec<u8>);

pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) hub: Hub<usize>,
    pub(crate) browsers: Vec<Browser>,
    pub(crate) network: Network,
    /// What happened to legs, in milliseconds since the start.
    pub(crate) events: Vec<(u64, usize, Event)>,
    /// RTP that the hub handed out.
    pub(crate) heard: Vec<(usize, Vec<u8>)>,
    /// Datagrams that reached the hub, with their sources, for attackers to use.
    pub(crate) seen: Vec<(SocketAddr, Vec<u8>)>,
    dropped: BTreeMap<Dropped, u64>,
    certificate: Certificate,
    random: ChaCha8Rng,
    flying: BinaryHeap<Reverse<Flying>>,
    flown: u64,
    /// How often a datagram of a handshake was sent, by its sender, content type and message type.
    lost: HashMap<(SocketAddr, u8, Option<u8>), usize>,
}

pub(crate) struct Browser {
    pub(crate) rtc: Rtc,
    /// Where it is seen to be.
    pub(crate) address: SocketAddr,
    /// Where it believes to be: behind a NAT that address stays.
    inside: SocketAddr,
    /// Our side of offer and answer with it.
    pub(crate) session: MediaSession,
    pub(crate) mid: Mid,
    /// RTP that it got.
    pub(crate) got: Vec<(u16, Vec<u8>)>,
    pub(crate) connected: bool,
    /// Whether its datagrams reach the network, and the other way round.
    pub(crate) online: bool,
    wake_at: Instant,
    sequence: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let certificate = Certificate::generate().unwrap();
        let config = HubConfig::new(certificate.clone(), vec![SERVER.parse().unwrap()]);
        Self::with(seed, config)
    }

    pub(crate) fn with(seed: u64, config: HubConfig) -> Self {
        let now = first_instant();
        Self {
            start: now,
            now,
            certificate: config.certificate.clone(),
            hub: Hub::new(config),
            dropped: BTreeMap::new(),
            browsers: Vec::new(),
            network: Network::default(),
            events: Vec::new(),
            heard: Vec::new(),
            seen: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            flying: BinaryHeap::new(),
            flown: 0,
            lost: HashMap::new(),
        }
    }

    /// A browser that calls us: its offer is answered and its leg opened.
    pub(crate) fn caller(&mut self, address: &str) -> usize {
        let key = self.browser(address);
        self.renegotiate(key, |_| {});
        key
    }

    /// A browser that has made no offer.
    pub(crate) fn browser(&mut self, address: &str) -> usize {
        let address: SocketAddr = address.parse().unwrap();
        let mut rtc = RtcConfig::new()
            .clear_codecs()
            .enable_pcmu(true, false)
            .enable_opus(true, false)
            .set_rtp_mode(true)
            .build(self.now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        let server: SocketAddr = SERVER.parse().unwrap();
        let local = Local::new(server.ip(), server.port(), &MediaPolicy::default());
        let end = DtlsEnd { fingerprint: self.certificate.fingerprint(), others: Vec::new() };
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        self.browsers.push(Browser {
            rtc,
            address,
            inside: address,
            session: MediaSession::with_browser(local, end, seed),
            mid: "0".into(),
            got: Vec::new(),
            connected: false,
            online: true,
            wake_at: self.now,
            sequence: 0,
        });
        self.browsers.len() - 1
    }

    /// The browser offers, after some change; we answer.
    pub(crate) fn renegotiate(&mut self, key: usize, change: impl FnOnce(&mut SdpApi<'_>)) {
        self.agree(key, change, |_| {});
    }

    /// The browser offers, and we understand something else.
    pub(crate) fn renegotiate_as(&mut self, key: usize, twist: impl FnOnce(&mut DtlsTransport)) {
        self.agree(key, |_| {}, twist);
    }

    fn agree(
        &mut self,
        key: usize,
        change: impl FnOnce(&mut SdpApi<'_>),
        twist: impl FnOnce(&mut DtlsTransport),
    ) {
        let browser = &mut self.browsers[key];
        let (offer, pending) = browser.offer(change);
        let answer = browser.session.answer_to(offer.to_sdp_string().as_bytes(), Wish::default()).unwrap();
        let mut transport = browser.session.dtls().unwrap().clone();
        twist(&mut transport);
        self.hub.agree(self.now, key, &transport).unwrap();
        let browser = &mut self.browsers[key];
        let answer = SdpAnswer::from_sdp_string(std::str::from_utf8(&answer).unwrap()).unwrap();
        browser.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        self.drain_browser(key);
        self.drain_hub();
    }

    /// We offer, the browser answers: a call comes in for it.
    pub(crate) fn callee(&mut self, address: &str) -> usize {
        let key = self.browser(address);
        let browser = &mut self.browsers[key];
        let offer = browser.session.offer(Wish::default());
        let offer = SdpOffer::from_sdp_string(std::str::from_utf8(&offer).unwrap()).unwrap();
        let answer = browser.rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string();
        browser.session.accept_answer(answer.as_bytes()).unwrap();
        let transport = browser.session.dtls().unwrap().clone();
        self.hub.agree(self.now, key, &transport).unwrap();
        self.drain_browser(key);
        self.drain_hub();
        key
    }

    pub(crate) fn transport(&self, key: usize) -> DtlsTransport {
        self.browsers[key].session.dtls().unwrap().clone()
    }

    /// The browser goes on from another address, without telling.
    pub(crate) fn move_to(&mut self, key: usize, address: &str) {
        self.browsers[key].address = address.parse().unwrap();
    }

    /// Puts a datagram before the hub as if it came from there.
    pub(crate) fn inject(&mut self, source: &str, datagram: &[u8]) {
        self.receive(source.parse().unwrap(), datagram);
    }

    /// The browser says something.
    pub(crate) fn speak(&mut self, key: usize, payload: &[u8]) {
        let browser = &mut self.browsers[key];
        browser.sequence += 1;
        let (sequence, mid) = (browser.sequence, browser.mid);
        let mut api = browser.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).expect("the browser has nothing to send with");
        let timestamp = u32::try_from(sequence * 160).unwrap();
        stream.write_rtp(RtpWrite::new(0.into(), sequence.into(), timestamp, self.now, payload));
        browser.rtc.handle_input(Input::Timeout(self.now)).unwrap();
        self.drain_browser(key);
    }

    /// We say something to the browser.
    pub(crate) fn say(&mut self, key: usize, sequence: u16, payload: &[u8]) {
        let timestamp = u32::from(sequence).wrapping_mul(160);
        let packet = Packet { payload_type: 0, marker: false, sequence, timestamp, ssrc: 5, payload };
        let mut bytes = rtp::header(&packet).to_vec();
        bytes.extend_from_slice(payload);
        self.hub.send_rtp(self.now, key, &bytes);
        self.drain_hub();
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let soonest = [
                self.flying.peek().map(|Reverse((at, ..))| *at),
                self.hub.poll_timeout(),
                self.browsers.iter().map(|browser| browser.wake_at).min(),
            ];
            let next = soonest.into_iter().flatten().min().unwrap_or(end).max(self.now);
            if next > end {
                break;
            }
            // A machine that wants to be woken at once again and again would hang the test.
            self.now = next.max(self.now);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        while let Some(Reverse((at, ..))) = self.flying.peek() {
            if *at > self.now {
                break;
            }
            let Some(Reverse((_, _, source, target, datagram))) = self.flying.pop() else { break };
            self.deliver(source, target, &datagram);
        }
        if self.hub.poll_timeout().is_some_and(|at| at <= self.now) {
            self.hub.handle_timeout(self.now);
            self.drain_hub();
        }
        for key in 0..self.browsers.len() {
            if self.browsers[key].wake_at <= self.now {
                self.browsers[key].rtc.handle_input(Input::Timeout(self.now)).unwrap();
                self.drain_browser(key);
            }
        }
    }

    fn deliver(&mut self, source: SocketAddr, target: SocketAddr, datagram: &[u8]) {
        if target == SERVER.parse().unwrap() {
            self.seen.push((source, datagram.to_vec()));
            return self.receive(source, datagram);
        }
        let reached = |browser: &Browser| browser.address == target && browser.online;
        let Some(key) = self.browsers.iter().position(reached) else { return };
        let inside = self.browsers[key].inside;
        let receive = Receive::new(Protocol::Udp, source, inside, datagram).unwrap();
        self.browsers[key].rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
        self.drain_browser(key);
    }

    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) {
        if let Err(reason) = self.hub.handle_datagram(self.now, source, datagram) {
            *self.dropped.entry(reason).or_insert(0) += 1;
        }
        self.drain_hub();
    }

    fn drain_browser(&mut self, key: usize) {
        loop {
            let browser = &mut self.browsers[key];
            // Its handshake may run out of time; what it says then, nobody hears.
            let output = browser.rtc.poll_output();
            match output.unwrap_or(Output::Timeout(self.now + Duration::from_secs(3600))) {
                Output::Timeout(at) => {
                    browser.wake_at = at.max(self.now + Duration::from_millis(1));
                    return;
                }
                Output::Transmit(transmit) => {
                    let (source, online) = (browser.address, browser.online);
                    if online {
                        self.fly(source, transmit.destination, transmit.contents.to_vec());
                    }
                }
                Output::Event(str0m::Event::RtpPacket(packet)) => {
                    browser.got.push((packet.header.sequence_number, packet.payload.to_vec()));
                }
                Output::Event(str0m::Event::Connected) => browser.connected = true,
                Output::Event(_) => {}
            }
        }
    }

    pub(crate) fn drain_hub(&mut self) {
        while let Some((key, packet)) = self.hub.poll_rtp() {
            let packet = packet.to_vec();
            self.heard.push((key, packet));
        }
        while let Some((key, event)) = self.hub.poll_event() {
            let at = u64::try_from((self.now - self.start).as_millis()).unwrap();
            if !matches!(event, Event::Reported(_)) {
                self.events.push((at, key, event));
            }
        }
        let mut sent = Vec::new();
        while let Some(transmit) = self.hub.poll_transmit() {
            sent.push((transmit.remote, transmit.bytes.to_vec()));
        }
        for (target, datagram) in sent {
            self.fly(SERVER.parse().unwrap(), target, datagram);
        }
    }

    fn fly(&mut self, source: SocketAddr, target: SocketAddr, datagram: Vec<u8>) {
        if (20..64).contains(&datagram[0]) && datagram[4] == 0 {
            let times = self.lost.entry((source, datagram[0], datagram.get(13).copied())).or_insert(0);
            *times += 1;
            if *times <= self.network.handshake_losses {
                return;
            }
        }
        let jitter =
            if self.network.jitter_ms == 0 { 0 } else { self.random.random_range(0..self.network.jitter_ms) };
        let at = self.now + Duration::from_millis(10 + jitter);
        self.flown += 1;
        self.flying.push(Reverse((at, self.flown, source, target, datagram)));
    }

    pub(crate) fn events_of(&self, key: usize) -> Vec<Event> {
        self.events.iter().filter(|(_, of, _)| *of == key).map(|(_, _, event)| *event).collect()
    }

    pub(crate) fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or_default()
    }

    /// The payloads that the hub handed out of a browser.
    pub(crate) fn heard_of(&self, key: usize) -> Vec<Vec<u8>> {
        let of = self.heard.iter().filter(|(of, _)| *of == key);
        of.map(|(_, packet)| rtp::parse(packet).unwrap().payload.to_vec()).collect()
    }
}

impl Browser {
    fn offer(&mut self, change: impl FnOnce(&mut SdpApi<'_>)) -> (SdpOffer, SdpPendingOffer) {
        let mut api = self.rtc.sdp_api();
        change(&mut api);
        if !api.has_changes() {
            self.mid = api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        }
        api.apply().expect("the browser has nothing to offer")
    }
}
