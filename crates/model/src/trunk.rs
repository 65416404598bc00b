//! Trunks, their gateways, and the routes that use them.

use crate::e164::E164;
use crate::id::TrunkId;
use crate::user::UserAddress;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How SIP messages travel (RFC 3261 §18; RFC 7118 for WebSocket).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// Streams under TLS.
    Tls,
    /// Secure WebSocket.
    Wss,
}

/// Where a gateway is: an address, or a name that has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A DNS name.
    Name(String),
}

/// A carrier, or anything else that we exchange calls with over SIP.
#[derive(Debug, Clone, PartialEq)]
pub struct Trunk {
    /// The operator's name for it.
    pub id: TrunkId,
    /// Which requests come from it.
    pub inbound: TrunkMatch,
    /// Where calls to it go.
    pub gateways: Vec<Gateway>,
    /// Most calls at once, both directions; none for no limit of its own.
    pub calls_max: Option<u32>,
    /// Most new calls a second, both directions; none for no limit of its own.
    pub calls_per_sec_max: Option<u32>,
    /// The address written into Via, Contact and SDP towards this trunk instead of the socket's own.
    pub advertised: Option<IpAddr>,
    /// The port written into Via and Contact towards this trunk instead of the socket's own.
    pub advertised_port: Option<u16>,
    /// The domain put into From, To and the request URI; the gateway's host when none.
    pub domain: Option<String>,
    /// Audio.
    pub media: MediaPolicy,
    /// Statuses that move on to the next gateway besides 408, 500, 503 and 504 (field.md R10).
    pub failover_statuses: BTreeSet<u16>,
    /// Probing with OPTIONS; none for no probing.
    pub health: Option<HealthPolicy>,
    /// Reliable provisional responses (RFC 3262).
    pub reliability: Reliability,
    /// Session timers (RFC 4028).
    pub session_timer: SessionTimerPolicy,
    /// How long a callee may ring before the call is cancelled.
    pub ring_max: Duration,
    /// Whether the P-Asserted-Identity of this trunk is believed and passed on (RFC 3325).
    pub trusted_identity: bool,
    /// Whether a peer whose Contact names a private address is reached where its messages come from: it is behind
    /// NAT. Over UDP; only if its messages come from a public address.
    pub follow_source: bool,
}

/// Which requests belong to a trunk: any of the sources, over any of the transports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrunkMatch {
    /// Networks that requests may come from.
    pub sources: Vec<IpNet>,
    /// Transports that requests may come over; empty for any.
    pub transports: Vec<Transport>,
}

/// One place that calls to a trunk may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Address or name.
    pub host: Host,
    /// Port; none for the default of the transport.
    pub port: Option<u16>,
    /// How to reach it.
    pub transport: Transport,
    /// Lower is tried first (RFC 2782).
    pub priority: u16,
    /// Share among gateways of one priority (RFC 2782).
    pub weight: u16,
}

/// What audio a trunk takes and from where.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaPolicy {
    /// Codecs, best first.
    pub codecs: Vec<Codec>,
    /// Packet time we ask for, in milliseconds: 10, 20 or 30.
    pub ptime_ms: u16,
    /// Whether telephone events (RFC 4733) are offered.
    pub telephone_event: bool,
    /// Whether comfort noise (RFC 3389) is offered.
    pub comfort_noise: bool,
    /// Networks that one RTP source may be latched from; empty for the SDP address only (security.md rows 1, 2).
    pub latch: Vec<IpNet>,
    /// A call without any RTP for this long is ended, unless it is on hold; none for never.
    pub silence_max: Option<Duration>,
    /// Which codec is used where the peer has several.
    pub prefer: Prefer,
    /// How we code Opus.
    pub opus: OpusPolicy,
}

/// Which of several codecs that a peer has is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// Opus, where the peer has it: it stands loss.
    #[default]
    Quality,
    /// That of the other leg: its packets then pass untouched, which costs next to nothing.
    Passthrough,
}

/// How we code Opus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusPolicy {
    /// Effort, 0 to 10; less under load.
    pub complexity: u8,
    /// Bits a second; less where the peer asks for less.
    pub bitrate_bps: u32,
    /// Whether packets carry a copy of the one before where the peer makes use of it and reports loss.
    pub fec: bool,
    /// Whether silence is not sent where the peer prefers that.
    pub dtx: bool,
}

/// An audio codec that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Codec {
    /// G.711 µ-law, static payload type 0.
    #[serde(rename = "PCMU")]
    Pcmu,
    /// G.711 A-law, static payload type 8.
    #[serde(rename = "PCMA")]
    Pcma,
    /// Opus (RFC 6716, RFC 7587).
    #[serde(rename = "OPUS")]
    Opus,
}

/// When a gateway counts as down, and as up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Time between two OPTIONS.
    pub interval: Duration,
    /// That many failures in a row take it down.
    pub down_after: u32,
    /// That many successes in a row bring it back.
    pub up_after: u32,
}

/// Whether provisional responses are sent reliably (RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reliability {
    /// Never offered; a peer that requires it gets 420.
    Off,
    /// Offered, and used where the peer supports it and it matters (a 18x with SDP) or is required.
    #[default]
    Supported,
    /// Required of the peer.
    Required,
}

/// Session timers (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimerPolicy {
    /// The interval we ask for; zero turns timers off.
    pub expires: Duration,
    /// The smallest interval we accept, at least 90 s (RFC 4028 §4).
    pub min: Duration,
}

/// A number that is ours, and where calls for it go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidRoute {
    /// The number.
    pub did: E164,
    /// Trunks, in the order they are tried.
    pub trunks: Vec<TrunkId>,
    /// What is dialled there; the DID itself when none.
    pub dial: Option<String>,
}

/// A number of ours whose calls ring at users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRoute {
    /// The number.
    pub did: E164,
    /// Who is called.
    pub ring: Ring,
    /// Trunks that take the call when no user does, in the order they are tried; may be none.
    pub trunks: Vec<TrunkId>,
    /// What is dialled there; the number itself when none.
    pub dial: Option<String>,
}

/// Users that are called, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// The users.
    pub users: Vec<UserAddress>,
    /// Which of them are called at once.
    pub order: RingOrder,
    /// How long each of them, or all together, may ring.
    pub ring_max: Duration,
    /// Who is called when none of them takes the call, before any trunk.
    pub overflow: Option<UserAddress>,
}

/// Which users ring at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RingOrder {
    /// All of them; the first who answers has the call.
    #[default]
    Together,
    /// One after the other.
    InOrder,
}

/// Numbers by their first digits, and where calls for them go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternRoute {
    /// Leading digits in E.164 form with the `+`; the longest match wins.
    pub prefix: String,
    /// Only calls that came in over one of these trunks; empty for any.
    pub from: Vec<TrunkId>,
    /// Trunks, in the order they are tried.
    pub trunks: Vec<TrunkId>,
    /// How many leading characters are removed before dialling.
    pub strip: u8,
    /// What is put in front after that.
    pub prepend: String,
}

impl Codec {
    /// Returns the encoding name of SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::Opus => "opus",
        }
    }
}

impl Transport {
    /// Returns the name used in configuration and in `transport=` parameters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Wss => "wss",
        }
    }

    /// Whether messages travel in a stream and must carry Content-Length, and are never retransmitted.
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls | Self::Wss => true,
        }
    }

    /// Returns the port that an address without one means (RFC 3261 §19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Wss => 443,
        }
    }
}

impl TrunkMatch {
    /// Whether a request from this source over this transport belongs to the trunk.
    pub fn accepts(&self, source: SocketAddr, transport: Transport) -> bool {
        self.accepts_transport(transport) && self.accepts_source(source.ip())
    }

    /// Whether requests may come over this transport. Where none are named, all but secure WebSocket: users come by that.
    pub fn accepts_transport(&self, transport: Transport) -> bool {
        if self.transports.is_empty() {
            transport != Transport::Wss
        } else {
            self.transports.contains(&transport)
        }
    }

    /// Whether requests may come from this address. A v4-mapped IPv6 address counts as the IPv4 address.
    pub fn accepts_source(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.sources.iter().any(|net| net.contains(&source))
    }
}

impl Default for MediaPolicy {
    fn default() -> Self {
        Self {
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            ptime_ms: 20,
            telephone_event: true,
            comfort_noise: true,
            latch: Vec::new(),
            silence_max: None,
            prefer: Prefer::default(),
            opus: OpusPolicy::default(),
        }
    }
}

impl Default for OpusPolicy {
    fn default() -> Self {
        // Above 24 kb/s nothing is gained at 8 kHz; above complexity 5 little.
        Self { complexity: 5, bitrate_bps: 24_000, fec: true, dtx: true }
    }
}

impl Default for SessionTimerPolicy {
    fn default() -> Self {
        Self { expires: Duration::from_secs(1800), min: Duration::from_secs(90) }
    }
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self { interval: Duration::from_secs(15), down_after: 3, up_after: 2 }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Gateway {
    /// Writes `host:port/transport`, without the port where none is given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.transport)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_must_be_in_the_network_and_on_the_transport() {
        let inbound =
            TrunkMatch { sources: vec!["192.0.2.0/24".parse().unwrap()], transports: vec![Transport::Udp] };
        assert!(inbound.accepts("192.0.2.7:5060".parse().unwrap(), Transport::Udp));
        assert!(inbound.accepts("[::ffff:192.0.2.7]:5060".parse().unwrap(), Transport::Udp));
        assert!(!inbound.accepts("192.0.2.7:5060".parse().unwrap(), Transport::Tcp));
        assert!(!inbound.accepts("192.0.3.7:5060".parse().unwrap(), Transport::Udp));
    }

    #[test]
    fn a_trunk_without_sources_matches_nothing() {
        assert!(!TrunkMatch::default().accepts("127.0.0.1:5060".parse().unwrap(), Transport::Udp));
    }
}
