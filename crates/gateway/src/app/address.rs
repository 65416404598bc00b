//! Which addresses and ports are used, and which of them peers are told.

use crate::config::{Config, Rtp, RtpPorts};
use crate::media_worker::BrowserSocket;
use crate::net::source_towards;
use anyhow::Context;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use trunkline_call::MediaInterface;
use trunkline_model::{Host, Trunk};
use trunkline_sip::transport::Advertised;
use trunkline_webrtc::{Certificate, Site};

/// Gives each trunk that has no advertised address the one that the system sends from towards it, where nothing
/// else is configured or bound. Behind several interfaces each trunk sees its own.
pub(crate) fn complete_trunks(config: &mut Config) {
    let sip_known =
        config.sip.advertised.is_some() || config.sip.udp.iter().all(|local| !local.ip().is_unspecified());
    let rtp_known = config.rtp.advertised.is_some()
        || config.rtp.ipv4.or(config.rtp.ipv6).is_some_and(|ip| !ip.is_unspecified());
    if sip_known || rtp_known {
        return;
    }
    for trunk in &mut config.trunks {
        if trunk.advertised.is_none() {
            trunk.advertised = peer(trunk).and_then(source_towards);
        }
    }
}

/// Returns an address of the other side.
fn peer(trunk: &Trunk) -> Option<IpAddr> {
    let gateway = trunk.gateways.iter().find_map(|gateway| match gateway.host {
        Host::Ip(ip) => Some(ip),
        Host::Name(_) => None,
    });
    gateway.or_else(|| trunk.inbound.sources.first().map(ipnet::IpNet::addr))
}

/// Returns what a listener shows in Via and Contact.
pub(super) fn listener(config: &Config, local: SocketAddr) -> Advertised {
    let ip = shown(local.ip(), config.sip.advertised);
    Advertised { host: Host::Ip(ip), port: Some(local.port()) }
}

/// Returns where media is received.
pub(super) fn media(config: &Config) -> Vec<MediaInterface> {
    let configured = config.rtp.advertised.or(config.sip.advertised);
    let interfaces = [config.rtp.ipv4, config.rtp.ipv6].into_iter().flatten();
    interfaces.map(|bind| MediaInterface { bind, advertised: shown(bind, configured) }).collect()
}

/// Returns what peers are told of a local address: what is configured for its IP version, itself, or the address
/// that the system sends from.
fn shown(bind: IpAddr, configured: Option<IpAddr>) -> IpAddr {
    let configured = configured.filter(|ip| ip.is_ipv4() == bind.is_ipv4());
    let bound = Some(bind).filter(|ip| !ip.is_unspecified());
    // Documentation addresses take the default route (RFC 5737, RFC 3849); nothing is sent to them.
    let (outside, loopback): (IpAddr, IpAddr) = match bind {
        IpAddr::V4(_) => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into()),
    };
    configured.or(bound).or_else(|| source_towards(outside)).unwrap_or(loopback)
}

/// Binds the sockets that browsers have their media on, if users may register at all.
pub(super) fn browsers(config: &Config) -> anyhow::Result<Option<(Vec<BrowserSocket>, Site)>> {
    if config.webrtc.off || config.users.trunk.is_none() || config.http.listen.is_empty() {
        return Ok(None);
    }
    let certificate = Certificate::generate()?;
    let media = media(config);
    // A socket that is bound to no address of IPv6 has those of IPv4 too.
    let both = media.iter().all(|interface| interface.bind.is_unspecified());
    let preferred = media.iter().max_by_key(|interface| (both, interface.bind.is_ipv6()) == (true, true));
    let Some(bind) = preferred.map(|interface| interface.bind) else { return Ok(None) };
    let shown = media.iter().filter(|interface| both || interface.bind == bind);
    let mut shown = config.webrtc.advertised.into_iter().chain(shown.map(|interface| interface.advertised));
    let Some(address) = shown.next() else { return Ok(None) };
    let others = shown.filter(|_| config.webrtc.advertised.is_none());
    let others =
        others.chain(config.webrtc.others.iter().copied()).filter(|other| *other != address).collect();
    let (port, workers) = (config.webrtc.port, config.rtp.workers);
    let bound = BrowserSocket::bind_all(bind, port, workers, &certificate, (address, others));
    bound.map(Some).with_context(|| format!("cannot bind UDP ports of {bind} from {port} on for browsers"))
}

/// Returns how many media ports there are.
pub(super) fn port_count(rtp: &Rtp) -> u64 {
    match &rtp.ports {
        RtpPorts::Range(range) => range.len() as u64,
        RtpPorts::Free(count) => (*count).into(),
    }
}

/// Returns the media ports, looking for a free range where that is asked for.
pub(super) fn rtp_ports(rtp: &Rtp) -> anyhow::Result<RangeInclusive<u16>> {
    match &rtp.ports {
        RtpPorts::Range(range) => Ok(range.clone()),
        RtpPorts::Free(count) => {
            let bind = rtp.ipv4.or(rtp.ipv6).unwrap_or(Ipv4Addr::LOCALHOST.into());
            free_ports(bind, *count).with_context(|| format!("no {count} free UDP ports in a row were found"))
        }
    }
}

/// Finds ports in a row that are free, below the ones that the system hands out itself.
pub(crate) fn free_ports(bind: IpAddr, count: u16) -> Option<RangeInclusive<u16>> {
    let room = EPHEMERAL_FIRST.checked_sub(FREE_FIRST)?.checked_sub(count)?;
    for _ in 0..FREE_TRIES {
        let offset = u16::try_from(super::random() % (u64::from(room) + 1)).unwrap_or(0);
        let first = (FREE_FIRST + offset) & !1;
        let last = first + (count - 1);
        // Held until all are bound, so that the range is free as a whole.
        let sockets: Result<Vec<UdpSocket>, _> =
            (first..=last).map(|port| UdpSocket::bind((bind, port))).collect();
        if sockets.is_ok() {
            return Some(first..=last);
        }
    }
    None
}

/// Where the search begins; lower ports belong to services.
const FREE_FIRST: u16 = 10_000;

/// The first port that Linux hands out by itself (net.ipv4.ip_local_port_range).
const EPHEMERAL_FIRST: u16 = 32_768;

/// Ranges tried. Two tests that run at once rarely collide, and dozens of tries never all do.
const FREE_TRIES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_range_is_even_and_as_long_as_asked() {
        let range = free_ports(Ipv4Addr::LOCALHOST.into(), 40).unwrap();
        assert_eq!((range.start() % 2, range.len()), (0, 40));
        let _held = UdpSocket::bind((Ipv4Addr::LOCALHOST, *range.start())).unwrap();
    }

    #[test]
    fn peers_are_told_an_address_of_the_right_ip_version() {
        let ipv6 = "2001:db8::7".parse().unwrap();
        assert_eq!(shown(Ipv4Addr::LOCALHOST.into(), Some(ipv6)), IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_eq!(shown(Ipv6Addr::UNSPECIFIED.into(), Some(ipv6)), ipv6);
        assert!(!shown(Ipv4Addr::UNSPECIFIED.into(), None).is_unspecified());
    }
}
