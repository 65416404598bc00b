//! Settings that are allowed and probably do not work.

use super::Config;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use trunkline_model::{Host, Transport, Trunk, TrunkId};

/// A setting that is allowed and probably does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which kind.
    pub code: WarningCode,
    /// The trunk it is about, where it is about one.
    pub trunk: Option<TrunkId>,
    /// What to look at.
    pub message: String,
}

/// The kinds of warnings, each with a name to search for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningCode {
    /// No advertised address is configured and the listener is unspecified: the address is the one that
    /// the system routes by, which a NAT in front makes wrong.
    AdvertisedGuessed,
    /// A private address is advertised to a gateway on the public Internet.
    AdvertisedPrivate,
    /// A loopback address is advertised to a gateway that is not on this machine.
    AdvertisedLoopback,
    /// An IPv4 address is advertised to an IPv6 gateway, or the other way round.
    AdvertisedFamily,
    /// Two trunks accept the same source; the one that names the smaller network gets its calls.
    TrunkOverlap,
    /// A TCP connection is closed as idle before the session timer of a call on it is refreshed (RFC 4028 §10).
    IdleConnections,
    /// No route or number sends calls anywhere.
    NoRoutes,
}

impl WarningCode {
    /// Returns the name that messages carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdvertisedGuessed => "advertised-guessed",
            Self::AdvertisedPrivate => "advertised-private",
            Self::AdvertisedLoopback => "advertised-loopback",
            Self::AdvertisedFamily => "advertised-family",
            Self::TrunkOverlap => "trunk-overlap",
            Self::IdleConnections => "idle-connections",
            Self::NoRoutes => "no-routes",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code.as_str())?;
        if let Some(trunk) = &self.trunk {
            write!(f, "trunk {trunk}: ")?;
        }
        f.write_str(&self.message)
    }
}

pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for trunk in &config.trunks {
        advertised(config, trunk, &mut warnings);
        warnings.extend(idle_connections(config, trunk));
    }
    overlaps(config, &mut warnings);
    if config.dids.is_empty() && config.routes.is_empty() {
        let message = "there is neither a [[did]] nor a [[route]]: every call will be refused".to_owned();
        warnings.push(Warning { code: WarningCode::NoRoutes, trunk: None, message });
    }
    warnings
}

fn idle_connections(config: &Config, trunk: &Trunk) -> Option<Warning> {
    let (idle, expires) = (config.sip.streams.idle, trunk.session_timer.expires);
    let over_tcp = trunk.inbound.accepts_transport(Transport::Tcp)
        || trunk.gateways.iter().any(|gateway| gateway.transport == Transport::Tcp);
    if config.sip.tcp.is_empty() || !over_tcp || idle >= expires / 2 {
        return None;
    }
    let message = format!(
        "sip.streams.idle_secs = {} is below half of session_timer.expires_secs = {}: a connection over TCP would be \
         closed before its calls are refreshed",
        idle.as_secs(),
        expires.as_secs()
    );
    Some(Warning { code: WarningCode::IdleConnections, trunk: Some(trunk.id.clone()), message })
}

fn advertised(config: &Config, trunk: &Trunk, warnings: &mut Vec<Warning>) {
    let mut warn = |code, message| warnings.push(Warning { code, trunk: Some(trunk.id.clone()), message });
    let peers = trunk.gateways.iter().filter_map(|gateway| match gateway.host {
        Host::Ip(ip) => Some(ip),
        Host::Name(_) => None,
    });
    let peers: Vec<IpAddr> = peers.collect();
    for (what, shared, bound) in [
        ("sip", config.sip.advertised, config.sip.udp.first().map(|listener| listener.ip())),
        ("rtp", config.rtp.advertised, config.rtp.ipv4.or(config.rtp.ipv6)),
    ] {
        let configured = trunk.advertised.or(shared);
        let Some(address) = configured.or_else(|| bound.filter(|ip| !ip.is_unspecified())) else {
            // A peer on the same machine or link sees the address that the system routes by.
            if peers.is_empty() || peers.iter().any(|peer| is_public(*peer)) {
                let message = format!(
                    "no advertised address for {what} and the socket is not bound to one: the address of the \
                     outgoing interface is used; set `advertised` if a NAT stands in front"
                );
                warn(WarningCode::AdvertisedGuessed, message);
            }
            continue;
        };
        for peer in &peers {
            if address.is_loopback() && !peer.is_loopback() {
                let message =
                    format!("{what} tells {peer} to answer to {address}, which is this machine only");
                warn(WarningCode::AdvertisedLoopback, message);
            } else if is_public(*peer) && !is_public(address) {
                let message = format!("{what} tells public gateway {peer} to answer to private {address}");
                warn(WarningCode::AdvertisedPrivate, message);
            } else if configured.is_some() && address.is_ipv4() != peer.is_ipv4() {
                let message = format!("{what} tells {peer} to answer to {address}: not the same IP version");
                warn(WarningCode::AdvertisedFamily, message);
            }
        }
    }
}

fn overlaps(config: &Config, warnings: &mut Vec<Warning>) {
    for (index, trunk) in config.trunks.iter().enumerate() {
        for other in config.trunks.iter().take(index) {
            let (ours, theirs) = (&trunk.inbound, &other.inbound);
            let transports = ours.transports.is_empty()
                || theirs.transports.is_empty()
                || ours.transports.iter().any(|transport| theirs.transports.contains(transport));
            let sources = ours
                .sources
                .iter()
                .any(|a| theirs.sources.iter().any(|b| a.contains(&b.network()) || b.contains(&a.network())));
            if transports && sources {
                let message = format!(
                    "accepts sources that {} accepts too; the smaller network wins, then the first in the file",
                    other.id
                );
                let trunk = Some(trunk.id.clone());
                warnings.push(Warning { code: WarningCode::TrunkOverlap, trunk, message });
            }
        }
    }
}

/// Whether an address is reached over the public Internet.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = Ipv4Addr::new(100, 64, 0, 0);
            let carrier_nat = u32::from(ip) & 0xffc0_0000 == u32::from(shared);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || carrier_nat)
        }
        IpAddr::V6(ip) => {
            let [first, ..] = ip.segments();
            let unique_local = first & 0xfe00 == 0xfc00;
            let link_local = first & 0xffc0 == 0xfe80;
            !(ip.is_loopback() || ip.is_unspecified() || unique_local || link_local)
        }
    }
}
