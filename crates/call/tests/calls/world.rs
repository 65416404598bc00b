//! The simulated world: a B2BUA, ends that are user agents, wires with a delay, and a media worker.

use bytes::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_call::{
    B2bua, Bridge, BridgeEvent, CallEvent, Config, Input, Limits, MediaInterface, MediaSocket, Output,
    RoutingTable, Side, UnknownSources,
};
use trunkline_media::{Channel, rtp};
use trunkline_model::clock::first_instant;
use trunkline_model::{
    BridgeId, CallRecord, DidRoute, Gateway, Host, MediaPolicy, NodeId, PatternRoute, Reliability,
    SessionTimerPolicy, Transport, Trunk, TrunkId, TrunkMatch,
};
use trunkline_sip::UserAgent;
use trunkline_sip::header::Name;
use trunkline_sip::message::{Message, response_to};
use trunkline_sip::method::Method;
use trunkline_sip::resolve::{Destination, ResolveError};
use trunkline_sip::transport::{Advertised, Flow, Listener, Target};
use trunkline_sip::user_agent::{self, Event, Headers, InviteParams, Profile, Reply, RequestId, SessionId};

/// The caller's carrier.
pub(crate) const CALLER: usize = 0;
/// The first gateway of the carrier that is called.
pub(crate) const CALLEE: usize = 1;
/// Its second gateway.
pub(crate) const SECOND: usize = 2;
/// A host that belongs to no trunk.
pub(crate) const STRANGER: usize = 3;

/// What everyone dials.
pub(crate) const NUMBER: &str = "+14255550100";

const HERE: &str = "203.0.113.1";
const ENDS: [&str; 4] = ["192.0.2.10", "198.51.100.1", "198.51.100.2", "203.0.113.66"];
const WIRE: Duration = Duration::from_millis(5);

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) b2bua: B2bua,
    pub(crate) ends: Vec<End>,
    pub(crate) events: Vec<CallEvent>,
    /// Hosts that nothing reaches, without a word.
    pub(crate) dead: HashSet<IpAddr>,
    /// Hosts whose sockets are closed: sending there fails.
    pub(crate) closed: HashSet<IpAddr>,
    /// What names stand for.
    pub(crate) names: HashMap<String, Vec<IpAddr>>,
    /// Whether the media worker answers a close.
    pub(crate) worker_is_stuck: bool,
    /// How many more times the media worker finds its ports taken.
    pub(crate) ports_taken: u32,
    /// How many datagrams of media went out to each address.
    pub(crate) media: HashMap<SocketAddr, Vec<Vec<u8>>>,
    /// How many RTP packets each port of an end has sent.
    spoken: HashMap<(usize, u16), u16>,
    wires: VecDeque<(Instant, Datagram)>,
    bridges: HashMap<BridgeId, Opened>,
}

struct Opened {
    bridge: Box<Bridge>,
    ports: [u16; 2],
}

#[derive(Debug, Clone)]
enum Datagram {
    Sip { from: SocketAddr, to: SocketAddr, bytes: Bytes },
    Media { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
}

pub(crate) struct End {
    pub(crate) at: SocketAddr,
    pub(crate) ua: UserAgent,
    pub(crate) events: VecDeque<Event>,
    /// Every SIP message that came, in order.
    pub(crate) received: Vec<Message>,
}

/// What a world is made of; change it before [`World::of`].
pub(crate) struct Setup {
    pub(crate) caller_trunk: Trunk,
    pub(crate) callee_trunk: Trunk,
    pub(crate) more_trunks: Vec<Trunk>,
    pub(crate) routes: Vec<DidRoute>,
    pub(crate) patterns: Vec<PatternRoute>,
    pub(crate) limits: Limits,
    pub(crate) unknown_sources: UnknownSources,
    pub(crate) end_profile: Profile,
    /// Methods that the ends take besides those of calls.
    pub(crate) end_methods: Vec<Method>,
    pub(crate) last_port: u16,
    /// The tables of the B2BUA's user agent.
    pub(crate) sip_limits: user_agent::Limits,
}

impl Default for Setup {
    fn default() -> Self {
        let did = DidRoute { did: NUMBER.parse().unwrap(), trunks: vec![id("west")], dial: None };
        Self {
            caller_trunk: trunk("east", &["192.0.2.0/24"], &[]),
            callee_trunk: trunk("west", &["198.51.100.0/24"], &[ENDS[CALLEE]]),
            more_trunks: Vec::new(),
            routes: vec![did],
            patterns: Vec::new(),
            limits: Limits::default(),
            unknown_sources: UnknownSources::Forbid,
            end_profile: Profile {
                reliability: Reliability::Off,
                session_timer: no_timer(),
                advertised: None,
                follow_source: true,
            },
            end_methods: vec![Method::Info],
            last_port: 20_099,
            sip_limits: user_agent::Limits::default(),
        }
    }
}

impl Setup {
    /// Gives the callee's trunk both gateways, the first before the second.
    pub(crate) fn two_gateways() -> Self {
        let mut setup = Self::default();
        let second = Gateway { priority: 2, ..gateway(ENDS[SECOND]) };
        setup.callee_trunk.gateways.push(second);
        setup
    }

    pub(crate) fn table(&self) -> Arc<RoutingTable> {
        let mut trunks = vec![self.caller_trunk.clone(), self.callee_trunk.clone()];
        trunks.extend(self.more_trunks.iter().cloned());
        Arc::new(RoutingTable::new(trunks, self.routes.clone(), self.patterns.clone()).unwrap())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Setup::default())
    }

    pub(crate) fn of(setup: Setup) -> Self {
        let now = first_instant();
        let here: IpAddr = HERE.parse().unwrap();
        let config = Config {
            node: NodeId(1),
            shard: 0,
            user_agent: user_agent::Config {
                listeners: vec![listener((here, 5060).into())],
                limits: setup.sip_limits,
                ..user_agent::Config::default()
            },
            media: vec![MediaInterface { bind: here, advertised: here }],
            ports: 20_000..=setup.last_port,
            limits: setup.limits.clone(),
            unknown_sources: setup.unknown_sources,
            anchor: (now, 1_800_000_000_000),
        };
        let b2bua = B2bua::new(config, setup.table(), 7, now).unwrap();
        let end = |(seed, ip): (u64, &&str)| {
            let at = SocketAddr::new(ip.parse().unwrap(), 5060);
            let config = user_agent::Config {
                listeners: vec![listener(at)],
                profile: setup.end_profile.clone(),
                methods: setup.end_methods.clone(),
                ..user_agent::Config::default()
            };
            End {
                at,
                ua: UserAgent::new(config, 100 + seed, now),
                events: VecDeque::new(),
                received: Vec::new(),
            }
        };
        Self {
            now,
            b2bua,
            ends: (0..).zip(&ENDS).map(end).collect(),
            events: Vec::new(),
            dead: HashSet::new(),
            closed: HashSet::new(),
            names: HashMap::new(),
            worker_is_stuck: false,
            ports_taken: 0,
            media: HashMap::new(),
            spoken: HashMap::new(),
            wires: VecDeque::new(),
            bridges: HashMap::new(),
        }
    }

    /// Dials from an end, with ordinary audio.
    pub(crate) fn dial(&mut self, end: usize) -> SessionId {
        let offer = self.sdp(end, 4000, "0 8 101", "sendrecv");
        self.dial_with(end, |params| params.offer = Some(offer))
    }

    pub(crate) fn dial_with(&mut self, end: usize, change: impl FnOnce(&mut InviteParams)) -> SessionId {
        let here: SocketAddr = format!("{HERE}:5060").parse().unwrap();
        let profile = self.ends[end].ua.config().profile.clone();
        let mut params = InviteParams {
            destination: Destination::Target(Target::new(Transport::Udp, here)),
            uri: format!("sip:{NUMBER}@{HERE}"),
            from: "\"Ann\" <sip:+12065550111@carrier.example>".to_owned(),
            to: format!("<sip:{NUMBER}@{HERE}>"),
            contact_user: None,
            call_id: None,
            max_forwards: 70,
            routes: Vec::new(),
            headers: Headers::new(),
            offer: None,
            profile,
        };
        change(&mut params);
        let now = self.now;
        let session = self.ends[end].ua.invite(now, params).unwrap();
        self.drain();
        session
    }

    /// Does something with an end's user agent.
    pub(crate) fn with<T>(&mut self, end: usize, act: impl FnOnce(&mut UserAgent, Instant) -> T) -> T {
        let outcome = act(&mut self.ends[end].ua, self.now);
        self.drain();
        outcome
    }

    pub(crate) fn ring(&mut self, end: usize, session: SessionId, status: u16) {
        self.with(end, |ua, now| ua.progress(now, session, Reply::new(status))).unwrap();
    }

    pub(crate) fn ring_with(&mut self, end: usize, session: SessionId, status: u16, sdp: Bytes) {
        self.with(end, |ua, now| ua.progress(now, session, Reply::new(status).with_sdp(sdp))).unwrap();
    }

    pub(crate) fn answer(&mut self, end: usize, session: SessionId, sdp: Bytes) {
        self.with(end, |ua, now| ua.accept(now, session, Headers::new(), Some(sdp))).unwrap();
    }

    pub(crate) fn reject(&mut self, end: usize, session: SessionId, status: u16) {
        self.with(end, |ua, now| ua.reject(now, session, Reply::new(status))).unwrap();
    }

    pub(crate) fn hang_up(&mut self, end: usize, session: SessionId) {
        self.with(end, |ua, now| ua.hangup(now, session, Headers::new())).unwrap();
    }

    /// Takes the INVITE that an end has got.
    pub(crate) fn incoming(&mut self, end: usize) -> SessionId {
        match self.next(end) {
            Event::Incoming { session, .. } => session,
            other => panic!("not an INVITE: {other:?}"),
        }
    }

    /// Takes the next event of an end, which there must be.
    pub(crate) fn next(&mut self, end: usize) -> Event {
        self.ends[end].events.pop_front().unwrap_or_else(|| panic!("end {end} has no event"))
    }

    /// Sets up a whole call and returns both ends' sessions.
    pub(crate) fn talk(&mut self) -> (SessionId, SessionId) {
        let caller = self.dial(CALLER);
        self.run_ms(50);
        let callee = self.incoming(CALLEE);
        self.ring(CALLEE, callee, 180);
        self.run_ms(50);
        let answer = self.sdp(CALLEE, 6000, "0 101", "sendrecv");
        self.answer(CALLEE, callee, answer);
        self.run_ms(50);
        self.ends[CALLER].events.clear();
        self.ends[CALLEE].events.clear();
        (caller, callee)
    }

    /// Returns a description of audio at an end.
    pub(crate) fn sdp(&self, end: usize, port: u16, formats: &str, direction: &str) -> Bytes {
        sdp_at(self.ends[end].at.ip(), port, formats, direction, 1)
    }

    /// Sends RTP from an end's port to wherever that packet is told to go.
    pub(crate) fn send_rtp(&mut self, end: usize, port: u16, to: SocketAddr, packet: &rtp::Packet<'_>) {
        let mut bytes = rtp::header(packet).to_vec();
        bytes.extend_from_slice(packet.payload);
        let from = SocketAddr::new(self.ends[end].at.ip(), port);
        self.wires.push_back((self.now + WIRE, Datagram::Media { from, to, bytes }));
    }

    /// Sends 20 ms packets of PCMU silence for a while, from both ends' ports to each other's relay.
    pub(crate) fn talk_for(&mut self, packets: u16, streams: &[(usize, u16, SocketAddr, u8)]) {
        for n in 0..packets {
            for (end, port, to, payload_type) in streams {
                let spoken = self.spoken.entry((*end, *port)).or_default();
                let sequence = *spoken;
                *spoken += 1;
                let packet = rtp::Packet {
                    payload_type: *payload_type,
                    marker: n == 0,
                    sequence,
                    timestamp: u32::from(sequence) * 160,
                    ssrc: u32::from(*port),
                    payload: &[n as u8; 160],
                };
                self.send_rtp(*end, *port, *to, &packet);
            }
            self.run_ms(20);
        }
    }

    /// Returns the RTP packets that came to an end's port: payload type, sequence, timestamp, first byte, length.
    /// Those that only keep the path open are left out.
    pub(crate) fn heard(&self, end: usize, port: u16) -> Vec<(u8, u16, u32, u8, usize)> {
        let packets = self.rtp(end, port).filter(|packet| !is_silent(packet));
        packets
            .map(|packet| {
                let first = packet.payload.first().copied().unwrap_or_default();
                (packet.payload_type, packet.sequence, packet.timestamp, first, packet.payload.len())
            })
            .collect()
    }

    /// Returns how many packets came to an end's port that only keep the path open.
    pub(crate) fn kept_alive(&self, end: usize, port: u16) -> usize {
        self.rtp(end, port).filter(is_silent).count()
    }

    fn rtp(&self, end: usize, port: u16) -> impl Iterator<Item = rtp::Packet<'_>> {
        let at = SocketAddr::new(self.ends[end].at.ip(), port);
        let packets = self.media.get(&at).into_iter().flatten();
        packets.filter(|bytes| !rtp::is_rtcp(bytes)).map(|bytes| rtp::parse(bytes).unwrap())
    }

    pub(crate) fn run_ms(&mut self, millis: u64) {
        self.run_for(Duration::from_millis(millis));
    }

    /// Lets time go by.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    fn next_at(&self) -> Option<Instant> {
        let wire = self.wires.front().map(|(at, _)| *at);
        let b2bua = self.b2bua.poll_timeout().map(|(at, _)| at);
        let ends = self.ends.iter().filter_map(|end| end.ua.poll_timeout().map(|(at, _)| at)).min();
        let bridges =
            self.bridges.values().filter_map(|held| held.bridge.poll_timeout().map(|(at, _)| at)).min();
        [wire, b2bua, ends, bridges].into_iter().flatten().min()
    }

    fn step(&mut self) {
        while self.wires.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, datagram) = self.wires.pop_front().unwrap();
            self.deliver(datagram);
        }
        if self.b2bua.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.b2bua.handle_timeout(self.now);
        }
        for end in &mut self.ends {
            if end.ua.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                end.ua.handle_timeout(self.now);
            }
        }
        for held in self.bridges.values_mut() {
            if held.bridge.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                held.bridge.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn deliver(&mut self, datagram: Datagram) {
        match datagram {
            Datagram::Sip { from, to, bytes } => self.deliver_sip(from, to, bytes),
            Datagram::Media { from, to, bytes } => {
                let owner = self.bridges.values_mut().find_map(|held| {
                    let near = to.ip() == HERE.parse::<IpAddr>().unwrap();
                    let at = held.ports.iter().position(|port| near && to.port() & !1 == *port)?;
                    Some((held, Side::BOTH[at]))
                });
                let channel = if to.port() % 2 == 0 { Channel::Rtp } else { Channel::Rtcp };
                match owner {
                    Some((held, side)) => {
                        held.bridge.handle_datagram(self.now, side, channel, from, &bytes);
                    }
                    None => self.media.entry(to).or_default().push(bytes),
                }
            }
        }
        self.drain();
    }

    fn deliver_sip(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        if self.dead.contains(&to.ip()) || self.dead.contains(&from.ip()) {
            return;
        }
        let flow = Flow { transport: Transport::Udp, local: to, remote: from, connection: None };
        let input = user_agent::Input::Received { flow, bytes: bytes.clone() };
        match self.ends.iter_mut().find(|end| end.at == to) {
            Some(end) => {
                match Message::parse(bytes.clone()) {
                    Ok(message) => end.received.push(message),
                    // It echoes the headers of the request that it refuses.
                    Err(_) if bytes.starts_with(b"SIP/2.0 400") || bytes.starts_with(b"SIP/2.0 505") => {}
                    Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&bytes)),
                }
                end.ua.handle_input(self.now, input);
            }
            None => {
                self.b2bua.handle_input(self.now, Input::Sip(input));
                self.act_bridges_first();
            }
        }
    }

    /// Acts on what came of one message. A peer may send media at once when it has our ACK or 200, so no bridge may
    /// be told of it behind that.
    fn act_bridges_first(&mut self) {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.b2bua.poll_output()).collect();
        let mut sent = false;
        for output in &outputs {
            sent |= matches!(output, Output::Transmit(_));
            let tells_bridge = matches!(output, Output::OpenBridge(_) | Output::UpdateBridge { .. });
            assert!(!(sent && tells_bridge), "a bridge is told behind a message: {outputs:?}");
        }
        for output in outputs {
            self.act(output);
        }
    }

    /// Carries everything that anyone has to say onto the wires.
    pub(crate) fn drain(&mut self) {
        loop {
            let mut quiet = true;
            for at in 0..self.ends.len() {
                while let Some(output) = self.ends[at].ua.poll_output() {
                    quiet = false;
                    match output {
                        user_agent::Output::Transmit(transmit) => {
                            let from = self.ends[at].at;
                            self.send_sip(from, transmit.target.remote, transmit.bytes);
                        }
                        user_agent::Output::Resolve { .. } => panic!("no names here"),
                        // Every INVITE has its 100; tests ask for what comes after it.
                        user_agent::Output::Event(Event::Trying { .. }) => {}
                        user_agent::Output::Event(event) => self.ends[at].events.push_back(event),
                    }
                }
            }
            while let Some(output) = self.b2bua.poll_output() {
                quiet = false;
                self.act(output);
            }
            quiet &= !self.drain_bridges();
            if quiet {
                return;
            }
        }
    }

    fn drain_bridges(&mut self) -> bool {
        let mut news = Vec::new();
        let mut busy = false;
        for (id, held) in &mut self.bridges {
            let here: IpAddr = HERE.parse().unwrap();
            while let Some((side, transmit)) = held.bridge.poll_transmit() {
                busy = true;
                let port = held.ports[side as usize] + u16::from(transmit.channel == Channel::Rtcp);
                let datagram = Datagram::Media {
                    from: SocketAddr::new(here, port),
                    to: transmit.remote,
                    bytes: transmit.bytes.to_vec(),
                };
                self.wires.push_back((self.now + WIRE, datagram));
            }
            while let Some(event) = held.bridge.poll_event() {
                news.push((*id, event));
            }
        }
        for (bridge, event) in news {
            busy = true;
            self.b2bua.handle_input(self.now, Input::Bridge { bridge, event });
        }
        busy
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Transmit(transmit) => {
                let from: SocketAddr = format!("{HERE}:5060").parse().unwrap();
                self.send_sip(from, transmit.target.remote, transmit.bytes);
            }
            Output::Resolve { query, host, port, transport } => {
                let transport = transport.unwrap_or(Transport::Udp);
                let target = |ip: &IpAddr| Target::new(transport, (*ip, port.unwrap_or(5060)).into());
                let targets = match self.names.get(&host) {
                    Some(ips) => Ok(ips.iter().map(target).collect()),
                    None => Err(ResolveError::NotFound),
                };
                let input = user_agent::Input::Resolved { query, targets };
                self.b2bua.handle_input(self.now, Input::Sip(input));
            }
            Output::Authenticate { .. } => panic!("trunks are known by their addresses"),
            Output::OpenBridge(open) => {
                if self.ports_taken > 0 {
                    self.ports_taken -= 1;
                    let event = BridgeEvent::Failed;
                    self.b2bua.handle_input(self.now, Input::Bridge { bridge: open.bridge, event });
                    return;
                }
                let ports = [open.caller, open.callee].map(|socket| match socket {
                    MediaSocket::Rtp { rtp_port, .. } => rtp_port,
                    MediaSocket::Browsers => panic!("there are no browsers"),
                });
                assert!(
                    self.bridges.values().all(|held| held.ports.iter().all(|port| !ports.contains(port)))
                );
                self.bridges.insert(open.bridge, Opened { bridge: open.state, ports });
            }
            Output::UpdateBridge { bridge, command } => {
                if let Some(held) = self.bridges.get_mut(&bridge) {
                    held.bridge.apply(self.now, command);
                }
            }
            Output::CloseBridge { bridge } => {
                if self.worker_is_stuck {
                    return;
                }
                if let Some(mut held) = self.bridges.remove(&bridge) {
                    held.bridge.close(self.now);
                    let event = BridgeEvent::Closed(held.bridge.stats());
                    self.b2bua.handle_input(self.now, Input::Bridge { bridge, event });
                }
            }
            Output::Event(event) => self.events.push(event),
        }
    }

    fn send_sip(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        if self.closed.contains(&to.ip()) {
            let input = user_agent::Input::TransportFailed {
                transport: Transport::Udp,
                remote: to,
                connection: None,
                quoted: Some(bytes),
            };
            self.b2bua.handle_input(self.now, Input::Sip(input));
            return;
        }
        self.wires.push_back((self.now + WIRE, Datagram::Sip { from, to, bytes }));
    }

    /// Sends bytes from an end past its user agent.
    pub(crate) fn inject(&mut self, end: usize, bytes: Bytes) {
        let from = self.ends[end].at;
        let to: SocketAddr = format!("{HERE}:5060").parse().unwrap();
        self.wires.push_back((self.now + WIRE, Datagram::Sip { from, to, bytes }));
    }

    /// Answers a request from an end past its user agent, under any tag.
    pub(crate) fn inject_response(
        &mut self,
        end: usize,
        request: &Message,
        status: u16,
        tag: &str,
        sdp: &Bytes,
    ) {
        let contact = format!("<sip:{tag}@{}>", self.ends[end].at);
        let builder = response_to(request, status, "", Some(tag)).header(Name::Contact, contact);
        let builder = if sdp.is_empty() { builder } else { builder.body("application/sdp", sdp.clone()) };
        let bytes = builder.finish().unwrap().bytes().clone();
        self.inject(end, bytes);
    }

    /// Returns the statuses of the responses to its INVITEs that an end has got, 100 left out.
    pub(crate) fn statuses(&self, end: usize) -> Vec<u16> {
        let responses = self.ends[end].received.iter().filter(|message| !message.is_request());
        let to_invite = |message: &&Message| message.cseq().unwrap().method == Method::Invite;
        responses.filter(to_invite).filter_map(Message::status).filter(|status| *status != 100).collect()
    }

    /// Returns the requests of a method that an end has got.
    pub(crate) fn requests(&self, end: usize, method: Method) -> Vec<Message> {
        let all = self.ends[end].received.iter();
        all.filter(|message| message.method() == Some(&method)).cloned().collect()
    }

    /// Returns the newest message with a session description that an end has got.
    pub(crate) fn newest_sdp(&self, end: usize) -> String {
        let with_body = self.ends[end].received.iter().rev().find(|message| !message.body().is_empty());
        String::from_utf8(with_body.expect("no description came").body().to_vec()).unwrap()
    }

    /// Returns the RTP address in the newest description that an end has got.
    pub(crate) fn relay(&self, end: usize) -> SocketAddr {
        rtp_of(&self.newest_sdp(end))
    }

    pub(crate) fn records(&self) -> Vec<CallRecord> {
        let of = |event: &CallEvent| match event {
            CallEvent::Ended { record } => Some((**record).clone()),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    /// Returns the one record that there must be.
    pub(crate) fn record(&self) -> CallRecord {
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records[0].clone()
    }

    /// Runs until every timer of SIP is through, and checks that nothing is left of any call.
    pub(crate) fn settle(&mut self) {
        self.run_for(Duration::from_secs(70));
        let counts = self.b2bua.counts();
        assert_eq!(counts, trunkline_call::Counts::default());
        let sip = self.b2bua.sip_counts();
        let left = (sip.client_transactions, sip.server_transactions, sip.sessions, sip.requests);
        assert_eq!(left, (0, 0, 0, 0));
        assert!(self.b2bua.trunk_load().iter().all(|load| load.calls == 0));
        assert_eq!(self.bridges.len(), 0);
    }

    /// Answers a request that an end was asked.
    pub(crate) fn respond(&mut self, end: usize, request: RequestId, status: u16) {
        self.with(end, |ua, now| ua.respond(now, request, Reply::new(status))).unwrap();
    }
}

pub(crate) fn id(name: &str) -> TrunkId {
    TrunkId::parse(name).unwrap()
}

pub(crate) fn gateway(ip: &str) -> Gateway {
    Gateway {
        host: Host::Ip(ip.parse().unwrap()),
        port: Some(5060),
        transport: Transport::Udp,
        priority: 1,
        weight: 1,
    }
}

pub(crate) fn trunk(name: &str, sources: &[&str], gateways: &[&str]) -> Trunk {
    Trunk {
        id: id(name),
        inbound: TrunkMatch {
            sources: sources.iter().map(|net| net.parse().unwrap()).collect(),
            transports: vec![],
        },
        gateways: gateways.iter().map(|ip| gateway(ip)).collect(),
        calls_max: None,
        calls_per_sec_max: None,
        advertised: None,
        advertised_port: None,
        domain: None,
        media: MediaPolicy::default(),
        failover_statuses: [].into(),
        health: None,
        reliability: Reliability::Supported,
        session_timer: no_timer(),
        ring_max: Duration::from_secs(60),
        trusted_identity: false,
        follow_source: true,
    }
}

pub(crate) fn no_timer() -> SessionTimerPolicy {
    SessionTimerPolicy { expires: Duration::ZERO, ..SessionTimerPolicy::default() }
}

pub(crate) fn sdp_at(ip: IpAddr, port: u16, formats: &str, direction: &str, version: u32) -> Bytes {
    let event = if formats.contains("101") { "a=rtpmap:101 telephone-event/8000\r\n" } else { "" };
    format!(
        "v=0\r\no=- 9 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\n{event}a=ptime:20\r\na={direction}\r\n"
    )
    .into()
}

/// Returns the RTP address of a description.
pub(crate) fn rtp_of(sdp: &str) -> SocketAddr {
    let line = |start: &str| sdp.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    let port: u16 = line("m=audio ").split(' ').next().unwrap().parse().unwrap();
    let ip: IpAddr = line("c=IN IP4 ").parse().unwrap();
    SocketAddr::new(ip, port)
}

/// Whether a packet is nothing but silence, which no end of these tests sends.
fn is_silent(packet: &rtp::Packet<'_>) -> bool {
    let silence = match packet.payload_type {
        0 => 0xff,
        8 => 0xd5,
        _ => return false,
    };
    packet.payload.iter().all(|byte| *byte == silence)
}

/// Returns the direction of a description.
pub(crate) fn direction_of(sdp: &str) -> &str {
    let known = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let found = sdp.lines().filter_map(|line| line.strip_prefix("a=")).find(|name| known.contains(name));
    found.unwrap_or("sendrecv")
}

/// Returns the first header of that name.
pub(crate) fn header(message: &Message, name: Name) -> &str {
    message.header(name).unwrap_or_default()
}

fn listener(at: SocketAddr) -> Listener {
    Listener { transport: Transport::Udp, local: at, advertised: Advertised::of(at) }
}
