//! The gateway, its phones and the network, on one virtual clock.

use super::net::{Net, Packet};
use super::phone::Phone;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_call::{
    B2bua, Bridge, BridgeEvent, CallEvent, Config, Input, Limits, MediaInterface, MediaSocket, Output,
    RoutingTable, Side, UnknownSources,
};
use trunkline_media::Channel;
use trunkline_model::clock::first_instant;
use trunkline_model::{
    BridgeId, CallRecord, DidRoute, E164, Gateway, Host, MediaPolicy, NodeId, Reliability,
    SessionTimerPolicy, Transport, Trunk, TrunkId, TrunkMatch,
};
use trunkline_sip::transport::{Advertised, Flow, Listener};
use trunkline_sip::user_agent::{self, Profile};

/// The phone that calls in, at 10.0.1.1.
pub const CARRIER: usize = 0;

/// The phone that calls for our number go to, at 10.0.2.1.
pub const CALLEE: usize = 1;

/// The phone that stands behind [`CALLEE`] in a world with a second gateway, at 10.0.3.1.
pub const SECOND: usize = 2;

/// The number that is ours.
const DID: &str = "+14255550100";

/// Ends of a call, as both phones and the record tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The final status of the record.
    pub status: u16,
    /// Who ended it, by the record.
    pub ended_by: trunkline_model::Party,
}

/// The real B2BUA between scripted phones.
pub struct World {
    /// The time.
    pub now: Instant,
    /// The network.
    pub net: Net,
    /// What is tested.
    pub gateway: B2bua,
    /// The phones: [`CARRIER`], [`CALLEE`], and any added later.
    pub phones: Vec<Phone>,
    /// Everything that the gateway told.
    pub events: Vec<CallEvent>,
    start: Instant,
    bridges: BTreeMap<BridgeId, OpenedBridge>,
    sip: SocketAddr,
}

struct OpenedBridge {
    bridge: Box<Bridge>,
    caller_port: u16,
    callee_port: u16,
}

const GATEWAY_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Most steps at one instant: a machine that asks for the same instant again and again is a bug, not a hang.
const STEPS_MAX: u32 = 10_000;

impl World {
    /// Returns a world with a carrier, a callee, and session timers as phones usually have them.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Profile::default(), |_| {})
    }

    /// Returns a world whose phones behave so, and whose trunks are changed by the test.
    pub fn with(seed: u64, profile: Profile, change: impl Fn(&mut Trunk)) -> Self {
        let start = first_instant();
        let phones = vec![
            Phone::new(ip(1), profile.clone(), seed ^ 1, start),
            Phone::new(ip(2), profile, seed ^ 2, start),
        ];
        let mut trunks = vec![trunk("carrier", ip(1)), trunk("callee", ip(2))];
        trunks.iter_mut().for_each(change);
        let dids = vec![DidRoute {
            did: E164::parse(DID).expect("a number"),
            trunks: vec![TrunkId::parse("callee").expect("a name")],
            dial: None,
        }];
        let table = Arc::new(RoutingTable::new(trunks, dids, Vec::new()).expect("a good table"));
        let gateway = B2bua::new(config(start), table, seed, start).expect("a good configuration");
        let sip = SocketAddr::new(GATEWAY_IP, 5060);
        Self {
            now: start,
            net: Net::new(seed ^ 3),
            gateway,
            phones,
            events: Vec::new(),
            start,
            bridges: BTreeMap::new(),
            sip,
        }
    }

    /// Returns a world where calls that the callee's phone does not take go to a second one, and where a phone may
    /// ring for as long as `ring_max`.
    pub fn with_second(seed: u64, ring_max: Duration) -> Self {
        let change = |trunk: &mut Trunk| {
            trunk.ring_max = ring_max;
            if trunk.id.as_str() == "callee" {
                trunk.inbound.sources.push(ip(3).into());
                let first = trunk.gateways[0].clone();
                trunk.gateways.push(Gateway { host: Host::Ip(ip(3)), priority: 2, ..first });
            }
        };
        let mut world = Self::with(seed, Profile::default(), change);
        world.phones.push(Phone::new(ip(3), Profile::default(), seed ^ 5, world.now));
        world
    }

    /// The address of the gateway's SIP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// How long the world has run.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The carrier calls our number.
    pub fn dial(&mut self) {
        let (now, sip) = (self.now, self.sip);
        self.phones[CARRIER].dial(now, sip, DID);
        self.settle();
    }

    /// The carrier calls our number and leaves the offer to the gateway.
    pub fn dial_without_offer(&mut self) {
        let (now, sip) = (self.now, self.sip);
        self.phones[CARRIER].dial_without_offer(now, sip, DID);
        self.settle();
    }

    /// Lets a phone do something.
    pub fn act(&mut self, phone: usize, act: impl FnOnce(&mut Phone, Instant)) {
        act(&mut self.phones[phone], self.now);
        self.settle();
    }

    /// The carrier calls, and the call is let come up.
    ///
    /// # Panics
    /// When it does not.
    pub fn talk(&mut self) {
        self.dial();
        self.run_until(Duration::from_secs(40), |world| {
            world.phones[CARRIER].is_up() && world.phones[CALLEE].is_up()
        });
        assert!(self.phones[CARRIER].is_up() && self.phones[CALLEE].is_up(), "{}", self.net.ladder());
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until something is so, at most so long.
    pub fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + time;
        let mut at_this_instant = 0;
        while !done(self) {
            let Some(at) = self.next_at().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            at_this_instant = if at > self.now { 0 } else { at_this_instant + 1 };
            assert!(
                at_this_instant < STEPS_MAX,
                "time stands still: {}\n{}",
                self.who(at),
                self.net.ladder()
            );
            self.now = self.now.max(at);
            self.step();
        }
    }

    /// Records of calls that are over.
    pub fn records(&self) -> Vec<&CallRecord> {
        let mut records = Vec::new();
        for event in &self.events {
            if let CallEvent::Ended { record } = event {
                records.push(record.as_ref());
            }
        }
        records
    }

    /// Ends every call from the carrier's side, lets every timer run out, and checks that nothing is left anywhere.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_nothing_left(&mut self) {
        self.net.weather = super::Weather::FAIR;
        for phone in 0..self.phones.len() {
            self.act(phone, Phone::hang_up);
        }
        self.run_for(Duration::from_secs(300));
        let ladder = self.net.ladder();
        let counts = self.gateway.counts();
        assert_eq!((counts.calls, counts.legs, counts.bridges, counts.ports), (0, 0, 0, 0), "{ladder}");
        let sip = self.gateway.sip_counts();
        let left = (sip.client_transactions, sip.server_transactions, sip.sessions, sip.requests);
        assert_eq!(left, (0, 0, 0, 0), "{ladder}");
        assert!(self.bridges.is_empty(), "{ladder}");
        for phone in &self.phones {
            assert_eq!(phone.agent().counts().sessions, 0, "{}: {ladder}", phone.sip());
        }
    }

    /// Names the machines that want to be woken at an instant.
    fn who(&self, at: Instant) -> String {
        let gateway = self.gateway.poll_timeout().filter(|(due, _)| *due <= at);
        let phones = self.phones.iter().filter(|phone| phone.poll_timeout().is_some_and(|due| due <= at));
        let phones: Vec<_> = phones.map(Phone::sip).collect();
        let bridges = self.bridges.values().filter_map(|open| open.bridge.poll_timeout());
        let bridges: Vec<_> = bridges.filter(|(due, _)| *due <= at).collect();
        format!("gateway {gateway:?}, phones {phones:?}, bridges {bridges:?}")
    }

    fn next_at(&self) -> Option<Instant> {
        let phones = self.phones.iter().filter_map(Phone::poll_timeout);
        let bridges = self.bridges.values().filter_map(|open| open.bridge.poll_timeout()).map(|(at, _)| at);
        let gateway = self.gateway.poll_timeout().map(|(at, _)| at);
        phones.chain(bridges).chain(gateway).chain(self.net.next_at()).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(packet) = self.net.take_arrived(now) {
            self.deliver(&packet);
        }
        if self.gateway.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.gateway.handle_timeout(now);
        }
        for phone in &mut self.phones {
            if phone.poll_timeout().is_some_and(|at| at <= now) {
                phone.handle_timeout(now);
            }
        }
        for open in self.bridges.values_mut() {
            if open.bridge.poll_timeout().is_some_and(|(at, _)| at <= now) {
                open.bridge.handle_timeout(now);
            }
        }
        self.settle();
    }

    fn deliver(&mut self, packet: &Packet) {
        let now = self.now;
        if packet.to == self.sip {
            let flow =
                Flow { transport: Transport::Udp, local: self.sip, remote: packet.from, connection: None };
            let received = user_agent::Input::Received { flow, bytes: packet.bytes.clone() };
            self.gateway.handle_input(now, Input::Sip(received));
        } else if packet.to.ip() == GATEWAY_IP {
            self.deliver_media(packet);
        } else {
            for phone in &mut self.phones {
                if phone.sip().ip() == packet.to.ip() {
                    phone.receive(now, packet.from, packet.to, &packet.bytes);
                }
            }
        }
        self.settle();
    }

    fn deliver_media(&mut self, packet: &Packet) {
        let port = packet.to.port() & !1;
        let channel = if packet.to.port().is_multiple_of(2) { Channel::Rtp } else { Channel::Rtcp };
        for open in self.bridges.values_mut() {
            let side = match port {
                port if port == open.caller_port => Side::Caller,
                port if port == open.callee_port => Side::Callee,
                _ => continue,
            };
            open.bridge.handle_datagram(self.now, side, channel, packet.from, &packet.bytes);
        }
    }

    /// Drains every machine until none has anything left.
    fn settle(&mut self) {
        self.drain_gateway();
        self.drain_bridges();
        for index in 0..self.phones.len() {
            for (from, to, bytes) in self.phones[index].drain(self.now) {
                self.send(from, to, bytes);
            }
        }
    }

    fn drain_gateway(&mut self) {
        while let Some(output) = self.gateway.poll_output() {
            match output {
                Output::Transmit(transmit) => self.send(self.sip, transmit.target.remote, transmit.bytes),
                Output::OpenBridge(open) => {
                    let port = |socket| match socket {
                        MediaSocket::Rtp { rtp_port, .. } => rtp_port,
                        MediaSocket::Browsers => panic!("there are no browsers"),
                    };
                    let (caller_port, callee_port) = (port(open.caller), port(open.callee));
                    let opened = OpenedBridge { bridge: open.state, caller_port, callee_port };
                    self.bridges.insert(open.bridge, opened);
                }
                Output::UpdateBridge { bridge, command } => {
                    if let Some(open) = self.bridges.get_mut(&bridge) {
                        open.bridge.apply(self.now, command);
                    }
                }
                Output::CloseBridge { bridge } => {
                    self.drain_bridges();
                    let Some(mut open) = self.bridges.remove(&bridge) else { continue };
                    open.bridge.close(self.now);
                    let event = BridgeEvent::Closed(open.bridge.stats());
                    self.gateway.handle_input(self.now, Input::Bridge { bridge, event });
                }
                Output::Event(event) => self.events.push(event),
                Output::Resolve { .. } => panic!("the gateway is given addresses only"),
                Output::Authenticate { .. } => panic!("trunks are known by their addresses"),
            }
        }
    }

    fn drain_bridges(&mut self) {
        let mut packets = Vec::new();
        let mut events = Vec::new();
        for (id, open) in &mut self.bridges {
            while let Some((side, transmit)) = open.bridge.poll_transmit() {
                let port = match side {
                    Side::Caller => open.caller_port,
                    Side::Callee => open.callee_port,
                };
                let port = match transmit.channel {
                    Channel::Rtp => port,
                    Channel::Rtcp => port + 1,
                };
                let from = SocketAddr::new(GATEWAY_IP, port);
                packets.push((from, transmit.remote, Bytes::copy_from_slice(transmit.bytes)));
            }
            while let Some(event) = open.bridge.poll_event() {
                events.push((*id, event));
            }
        }
        for (from, to, bytes) in packets {
            self.send(from, to, bytes);
        }
        for (bridge, event) in events {
            self.gateway.handle_input(self.now, Input::Bridge { bridge, event });
            self.drain_gateway();
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        self.net.send(self.now, self.start, Packet { from, to, bytes });
    }
}

/// Returns a trunk that is one phone.
pub fn trunk(name: &str, ip: IpAddr) -> Trunk {
    Trunk {
        id: TrunkId::parse(name).expect("a name"),
        inbound: TrunkMatch { sources: vec![ip.into()], transports: Vec::new() },
        gateways: vec![Gateway {
            host: Host::Ip(ip),
            port: Some(5060),
            transport: Transport::Udp,
            priority: 1,
            weight: 1,
        }],
        calls_max: None,
        calls_per_sec_max: None,
        advertised: None,
        advertised_port: None,
        domain: None,
        media: MediaPolicy::default(),
        failover_statuses: [].into(),
        health: None,
        reliability: Reliability::default(),
        session_timer: SessionTimerPolicy::default(),
        ring_max: Duration::from_secs(120),
        trusted_identity: false,
        follow_source: true,
    }
}

fn ip(phone: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, phone, 1))
}

fn config(start: Instant) -> Config {
    let sip = SocketAddr::new(GATEWAY_IP, 5060);
    let listener = Listener { transport: Transport::Udp, local: sip, advertised: Advertised::of(sip) };
    Config {
        node: NodeId(1),
        shard: 0,
        user_agent: user_agent::Config { listeners: vec![listener], ..user_agent::Config::default() },
        media: vec![MediaInterface { bind: GATEWAY_IP, advertised: GATEWAY_IP }],
        ports: 20_000..=20_399,
        limits: Limits::default(),
        unknown_sources: UnknownSources::default(),
        anchor: (start, 1_795_431_600_000),
    }
}
