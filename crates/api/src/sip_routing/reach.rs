//! Where the trunks of resources may be: a customer must not have us send into the operator's own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Which addresses trunks of resources may have. Without more, public ones that are not ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whether every address will do, also a private one or our own.
    pub anywhere: bool,
    /// Addresses that lead to us without being this machine's, such as those in front of a NAT.
    pub ours: Vec<IpAddr>,
}

impl Reach {
    /// Says whether a trunk of a resource may be at this address.
    pub fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.anywhere || (is_public(ip) && !self.ours.contains(&ip) && !is_this_machine(ip))
    }
}

/// Says whether an address is one of the public internet (the special ones are in the IANA registries of RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    // RFC 5737's networks for documentation lead nowhere, and examples may name them.
    let [a, b, c, _] = ip.octets();
    let is_special = match a {
        0 | 10 | 127 => true,
        // Shared by carriers (RFC 6598).
        100 => (64..=127).contains(&b),
        169 => b == 254,
        172 => (16..=31).contains(&b),
        // 192.0.0.0/24 is of protocols, 192.88.99.0/24 of relays that lead into IPv6 (RFC 7526).
        192 => b == 168 || (b == 0 && c == 0) || (b == 88 && c == 99),
        // Benchmarks (RFC 2544).
        198 => b == 18 || b == 19,
        // Multicast, reserved and broadcast.
        224.. => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to the IPv4 address within.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => embedded(g, h),
        (0x2002, _) => embedded(b, c),
        // Teredo, benchmarks, ORCHID: what IANA set aside in 2001::/23 is no address of a trunk.
        (0x2001, 0..=0x1ff) => false,
        // Global unicast. The rest is unspecified, loopback, link-local, site-local, unique local or multicast.
        _ => a & 0xe000 == 0x2000,
    }
}

/// Says whether an address is one of this machine's: a packet to it would leave from it. None is sent.
fn is_this_machine(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = UdpSocket::bind(SocketAddr::new(any, 0))
        .and_then(|socket| socket.connect(SocketAddr::new(ip, DISCARD)).and_then(|()| socket.local_addr()));
    source.is_ok_and(|source| source.ip().to_canonical() == ip)
}

/// A port is needed to ask for a route (RFC 863).
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_that_are_not_ours_are_allowed() {
        let reach = Reach { anywhere: false, ours: vec!["198.51.100.10".parse().unwrap()] };
        let refused = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "198.51.100.10",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:198.51.100.10",
            "::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2002:a00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for ip in refused {
            assert!(!reach.allows(ip.parse().unwrap()), "{ip}");
        }
        let allowed = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.2.7",
            "203.0.113.7",
            "198.51.100.11",
            "64:ff9b::102:304",
            "2001:db8::1",
            "2002:102:304::",
            "2606:4700::1111",
        ];
        for ip in allowed {
            assert!(reach.allows(ip.parse().unwrap()), "{ip}");
        }
        let anywhere = Reach { anywhere: true, ..reach };
        assert!(refused.iter().all(|ip| anywhere.allows(ip.parse().unwrap())));
    }

    #[test]
    fn an_address_of_this_machine_is_told_from_others() {
        assert!(is_this_machine("127.0.0.1".parse().unwrap()));
        assert!(!is_this_machine("192.0.2.1".parse().unwrap()));
    }
}
