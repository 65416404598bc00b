//! What all calls share: the user agent, trunks, ports, bridges, timers, and the outputs to be polled.

use super::user_request::Text;
use super::{Config, MediaInterface, MediaSocket, OpenBridge, Output, Users};
use crate::bridge::{Bridge, BridgeConfig};
use crate::command::BridgeCommand;
use crate::event::{CallEvent, Side, Totals};
use crate::port::PortPool;
use crate::trunk::{HealthChange, Trunks};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;
use trunkline_media::{Local, MediaSession};
use trunkline_model::{BridgeId, CallId, Gateway, Host, Transport, Trunk, TrunkId};
use trunkline_sip::UserAgent;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::{Advertised, Flow, Target};
use trunkline_sip::user_agent::{Profile, RequestId, SessionId};
use trunkline_webrtc::Site;

pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) ua: UserAgent,
    pub(crate) trunks: Trunks,
    pub(crate) ports: PortPool,
    pub(crate) timers: Timers,
    pub(crate) outputs: VecDeque<Output>,
    /// Every INVITE session that is not over, and whose it is.
    pub(crate) sessions: HashMap<SessionId, Owner>,
    /// Every bridge that a worker has.
    pub(crate) bridges: HashMap<BridgeId, Opened>,
    /// Our own requests that wait for a response.
    pub(crate) requests: HashMap<RequestId, Purpose>,
    /// Texts of users that contacts have not answered.
    pub(crate) texts: HashMap<RequestId, Text>,
    /// Who is registered, and whose connections there are.
    pub(crate) users: Users,
    /// Where browsers have their media.
    pub(crate) browsers: Option<Site>,
    pub(crate) totals: Totals,
    pub(crate) draining: bool,
    /// An instant, and the same moment in milliseconds of the Unix epoch.
    pub(crate) clock: (Instant, i64),
    rng: ChaCha8Rng,
    calls_begun: u64,
    bridges_begun: u64,
}

/// Whose a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The call's serial.
    pub(crate) call: u64,
    pub(crate) side: Side,
}

/// A bridge that a worker has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) call: u64,
    pub(crate) ports: [Option<u16>; 2],
}

/// Where one side's media is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On ports of its own.
    Interface(MediaInterface),
    /// On the socket for all browsers of the bridge's worker.
    Browsers,
}

/// What a request of ours is for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// Is the gateway there?
    Probe(TrunkId, Gateway),
    /// It carries on a request of the other side, which waits for the outcome.
    Relay(RequestId),
    /// It carries on a text to one of several contacts.
    Text(RequestId),
}

/// What a call can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallTimer {
    /// A gateway has said nothing at all.
    Response,
    /// The callee does not answer.
    Ring,
    /// The call has lasted as long as it may.
    Duration,
    /// The media worker has not told the statistics of a call that is over.
    Record,
}

/// The deadlines of all calls, soonest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    soonest: BTreeSet<(Instant, u64, CallTimer)>,
    by_call: HashMap<(u64, CallTimer), Instant>,
}

impl Timers {
    pub(crate) fn set(&mut self, call: u64, timer: CallTimer, at: Instant) {
        self.stop(call, timer);
        self.by_call.insert((call, timer), at);
        self.soonest.insert((at, call, timer));
    }

    pub(crate) fn stop(&mut self, call: u64, timer: CallTimer) {
        if let Some(at) = self.by_call.remove(&(call, timer)) {
            self.soonest.remove(&(at, call, timer));
        }
    }

    pub(crate) fn stop_all(&mut self, call: u64) {
        for timer in [CallTimer::Response, CallTimer::Ring, CallTimer::Duration, CallTimer::Record] {
            self.stop(call, timer);
        }
    }

    pub(crate) fn soonest(&self) -> Option<(Instant, CallTimer)> {
        self.soonest.first().map(|(at, _, timer)| (*at, *timer))
    }

    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(u64, CallTimer)> {
        let (at, call, timer) = *self.soonest.first()?;
        if at > now {
            return None;
        }
        self.stop(call, timer);
        Some((call, timer))
    }
}

impl Core {
    pub(crate) fn new(
        config: Config,
        ua: UserAgent,
        trunks: Trunks,
        ports: PortPool,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        Self {
            users: Users::new(Default::default(), key, now),
            clock: config.anchor,
            config,
            ua,
            trunks,
            ports,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            sessions: HashMap::new(),
            bridges: HashMap::new(),
            requests: HashMap::new(),
            texts: HashMap::new(),
            browsers: None,
            totals: Totals::default(),
            draining: false,
            rng,
            calls_begun: 0,
            bridges_begun: 0,
        }
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Returns an id that no other call of this node has, before or after a restart.
    ///
    /// Milliseconds of the Unix epoch leave 2^20 serials each; calls advance by 256, which makes room for
    /// shards: a node would need four million calls a second to catch up with its own next start.
    pub(crate) fn new_call(&mut self) -> CallId {
        let epoch = u64::try_from(self.config.anchor.1).unwrap_or_default() << 20;
        let serial = epoch + (self.calls_begun << 8) + u64::from(self.config.shard);
        self.calls_begun += 1;
        CallId { node: self.config.node, serial }
    }

    /// Returns a moment in milliseconds of the Unix epoch.
    pub(crate) fn unix_ms(&self, at: Instant) -> i64 {
        let (anchor, unix_ms) = self.clock;
        let whole_ms = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let (after, before) = (at.saturating_duration_since(anchor), anchor.saturating_duration_since(at));
        unix_ms.saturating_add(whole_ms(after)).saturating_sub(whole_ms(before))
    }

    pub(crate) fn event(&mut self, event: CallEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn health(&mut self, change: Option<HealthChange>) {
        let Some(HealthChange { trunk, gateway, up, up_left }) = change else { return };
        self.event(if up {
            CallEvent::GatewayUp { trunk, gateway, up_left }
        } else {
            CallEvent::GatewayDown { trunk, gateway, up_left }
        });
    }

    /// Gives a new bridge to a media worker; none when no ports are left.
    pub(crate) fn open_bridge(
        &mut self,
        call: CallId,
        places: [Place; 2],
        config: BridgeConfig,
    ) -> Option<(BridgeId, [u16; 2])> {
        let wanted = places.map(|place| matches!(place, Place::Interface(_)));
        let ports = self.ports.take(wanted)?;
        let bridge = BridgeId((self.bridges_begun << 8) + u64::from(self.config.shard));
        self.bridges_begun += 1;
        self.bridges.insert(bridge, Opened { call: call.serial, ports });
        let socket = |place, port: Option<u16>| match (place, port) {
            (Place::Interface(MediaInterface { bind, .. }), Some(rtp_port)) => {
                MediaSocket::Rtp { bind, rtp_port }
            }
            (Place::Interface(_), None) | (Place::Browsers, _) => MediaSocket::Browsers,
        };
        let ([caller, callee], [caller_port, callee_port]) = (places, ports);
        self.outputs.push_back(Output::OpenBridge(OpenBridge {
            bridge,
            call,
            caller: socket(caller, caller_port),
            callee: socket(callee, callee_port),
            state: Box::new(Bridge::new(config)),
        }));
        Some((bridge, ports.map(Option::unwrap_or_default)))
    }

    pub(crate) fn update_bridge(&mut self, bridge: BridgeId, command: BridgeCommand) {
        self.outputs.push_back(Output::UpdateBridge { bridge, command });
    }

    pub(crate) fn close_bridge(&mut self, bridge: BridgeId) {
        self.outputs.push_back(Output::CloseBridge { bridge });
    }

    /// Returns the interface for media of the family of that address.
    pub(crate) fn media_interface(&self, like: IpAddr) -> Option<MediaInterface> {
        let family = like.to_canonical().is_ipv4();
        self.config.media.iter().find(|interface| interface.bind.is_ipv4() == family).copied()
    }

    /// Returns the address that a trunk's peers are told for media on an interface: the trunk's own, if that is of
    /// the interface's family.
    pub(crate) fn media_address(trunk: &Trunk, interface: MediaInterface) -> IpAddr {
        let own = trunk.advertised.filter(|own| own.is_ipv4() == interface.bind.is_ipv4());
        own.unwrap_or(interface.advertised)
    }

    /// Returns our end towards the peers of a trunk at a place. The port of a place of its own, and the worker of the
    /// others, are known once there is a bridge.
    pub(crate) fn local(&self, trunk: &Trunk, place: Place, bridge: Option<(BridgeId, u16)>) -> Local {
        let policy = &trunk.media;
        match (place, &self.browsers) {
            (Place::Interface(interface), _) => {
                Local::new(Self::media_address(trunk, interface), bridge.map_or(0, |(_, port)| port), policy)
            }
            (Place::Browsers, Some(site)) => {
                site.local(bridge.map_or(BridgeId(0), |(bridge, _)| bridge), policy)
            }
            // Only where there are browsers is their place chosen.
            (Place::Browsers, None) => Local::new(Ipv4Addr::UNSPECIFIED.into(), 0, policy),
        }
    }

    /// Returns where the media of a user is received that is reached by that path: what a WebSocket leads to is a
    /// browser.
    pub(crate) fn place_of_user(&self, flow: Flow) -> Option<Place> {
        match (flow.transport, &self.browsers) {
            (Transport::Wss, Some(_)) => Some(Place::Browsers),
            (Transport::Wss, None) | (Transport::Tls | Transport::Tcp | Transport::Udp, _) => {
                self.media_interface(flow.remote.ip()).map(Place::Interface)
            }
        }
    }

    /// Returns a session with a peer at a place, without offer or answer.
    pub(crate) fn media_at(&self, local: Local, place: Place, seed: [u8; 32]) -> MediaSession {
        match (place, &self.browsers) {
            (Place::Browsers, Some(site)) => MediaSession::with_browser(local, site.end.clone(), seed),
            (Place::Browsers, None) | (Place::Interface(_), _) => {
                let [a, b, c, d, e, f, g, h, ..] = seed;
                MediaSession::new(local, u64::from_le_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }

    /// Returns what nobody can guess.
    pub(crate) fn random_key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        key
    }

    /// Returns the interface for media to a gateway. A name that is not looked up yet gets the first interface.
    pub(crate) fn media_towards(&self, host: &Host) -> Option<MediaInterface> {
        match host {
            Host::Ip(ip) => self.media_interface(*ip),
            Host::Name(_) => self.config.media.first().copied(),
        }
    }

    /// Returns how sessions of a trunk behave.
    pub(crate) fn profile(&self, trunk: &Trunk, transport: Transport) -> Profile {
        let listener = || {
            let listeners = &self.config.user_agent.listeners;
            listeners.iter().find(|listener| listener.transport == transport).map(|held| &held.advertised)
        };
        let advertised = match (trunk.advertised, trunk.advertised_port) {
            (None, None) => None,
            (Some(ip), port) => Some(Advertised {
                host: Host::Ip(ip),
                port: port.or_else(|| listener().and_then(|held| held.port)),
            }),
            (None, Some(port)) => {
                listener().map(|held| Advertised { host: held.host.clone(), port: Some(port) })
            }
        };
        Profile {
            advertised,
            reliability: trunk.reliability,
            session_timer: trunk.session_timer,
            follow_source: trunk.follow_source,
        }
    }
}

/// Returns where a gateway is, for the user agent.
pub(crate) fn destination(gateway: &Gateway) -> Destination {
    match &gateway.host {
        Host::Ip(ip) => {
            let port = gateway.port.unwrap_or(gateway.transport.default_port());
            Destination::Target(Target::new(gateway.transport, (*ip, port).into()))
        }
        Host::Name(name) => {
            Destination::Host { host: name.clone(), port: gateway.port, transport: Some(gateway.transport) }
        }
    }
}

/// Returns the domain that stands in URIs for a trunk, and the host and port for the Request-URI.
pub(crate) fn domains(trunk: &Trunk, gateway: &Gateway) -> (String, String) {
    let domain = trunk.domain.clone().unwrap_or_else(|| gateway.host.to_string());
    let authority = match (&trunk.domain, gateway.port) {
        (Some(domain), _) => domain.clone(),
        (None, Some(port)) => format!("{}:{port}", gateway.host),
        (None, None) => gateway.host.to_string(),
    };
    (domain, authority)
}
