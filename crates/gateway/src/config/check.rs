//! Checks that need more than one key, and what single keys share.

use super::reader::{Problem, Section, Value};
use super::{Config, RtpPorts};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use trunkline_call::{RouteProblem, USERS};
use trunkline_model::{E164, Transport, TrunkId};

/// Checks what spans sections. `root` names the places.
pub(super) fn whole(config: &Config, root: &mut Section<'_, '_>) {
    // The name of what stands for all users is nobody else's.
    let mut names: BTreeSet<TrunkId> = TrunkId::parse(USERS).into_iter().collect();
    let listeners: [(Transport, bool); 2] =
        [(Transport::Udp, !config.sip.udp.is_empty()), (Transport::Tcp, !config.sip.tcp.is_empty())];
    for (section, trunk) in usable::<TrunkId>(root, "trunk", "name").iter().zip(&config.trunks) {
        if !names.insert(trunk.id.clone()) {
            section.problem("name", format!("{} is the name of another trunk too", trunk.id));
        }
        for gateway in &trunk.gateways {
            if listeners.contains(&(gateway.transport, false)) {
                let message =
                    format!("{} is reached over {0}, and sip.{0} listens nowhere", gateway.transport);
                section.problem("gateway", message);
            }
        }
        if !section.has("sources") && !section.has("gateway") {
            section.problem("name", "has neither sources nor a gateway: no call could use it");
        }
    }
    owned(config, root, &names, &listeners);
    numbers(config, root, &names);
    prefixes(config, root, &names);
    ports(config, root);
}

/// Checks where calls for the numbers of resources go, and how their trunks are reached.
fn owned(
    config: &Config,
    root: &mut Section<'_, '_>,
    names: &BTreeSet<TrunkId>,
    listeners: &[(Transport, bool); 2],
) {
    trunks_exist(config, &root.section("numbers"), "inbound", &config.numbers.inbound, names);
    let transport = config.sip_routing.transport;
    if !config.trunk_resources.is_empty() && listeners.contains(&(transport, false)) {
        root.section("sip_routing").problem("transport", format!("sip.{transport} listens nowhere"));
    }
}

fn numbers(config: &Config, root: &mut Section<'_, '_>, names: &BTreeSet<TrunkId>) {
    let mut seen = BTreeSet::new();
    for (section, did) in usable::<E164>(root, "did", "number").iter().zip(&config.dids) {
        if !seen.insert(did.did) {
            section.problem("number", format!("{} is routed twice", did.did));
        }
        trunks_exist(config, section, "trunks", &did.trunks, names);
    }
}

fn prefixes(config: &Config, root: &mut Section<'_, '_>, names: &BTreeSet<TrunkId>) {
    let mut seen: BTreeMap<&str, Vec<&[TrunkId]>> = BTreeMap::new();
    for (section, route) in usable::<String>(root, "route", "prefix").iter().zip(&config.routes) {
        trunks_exist(config, section, "trunks", &route.trunks, names);
        for trunk in route.from.iter().filter(|trunk| !names.contains(*trunk)) {
            section.problem("from", format!("no trunk is named {trunk}"));
        }
        let others = seen.entry(&route.prefix).or_default();
        let overlaps = |other: &&[TrunkId]| {
            (other.is_empty() && route.from.is_empty())
                || other.iter().any(|trunk| route.from.contains(trunk))
        };
        if others.iter().any(overlaps) {
            section.problem("prefix", format!("{} is routed twice for the same calls", route.prefix));
        }
        others.push(&route.from);
    }
}

fn trunks_exist(
    config: &Config,
    section: &Section<'_, '_>,
    key: &str,
    trunks: &[TrunkId],
    names: &BTreeSet<TrunkId>,
) {
    for name in trunks {
        if !names.contains(name) {
            section.problem(key, format!("no trunk is named {name}"));
        } else if name.as_str() == USERS {
            section.problem(key, "calls go to users by `users` of a number, not to all of them");
        } else if config.trunks.iter().any(|trunk| trunk.id == *name && trunk.gateways.is_empty()) {
            section.problem(key, format!("trunk {name} has no gateway to send calls to"));
        }
    }
    if trunks.iter().collect::<BTreeSet<_>>().len() != trunks.len() {
        section.problem(key, "names a trunk twice");
    }
}

/// Returns what the routing table itself objects to. Where it does, a check with a place is missing above.
pub(super) fn routing(config: &Config) -> Vec<Problem> {
    let refused = crate::routing::of_file(config.clone()).err().unwrap_or_default();
    let problem = |problem: RouteProblem| Problem {
        line: 1,
        column: 1,
        key: String::new(),
        message: problem.to_string(),
    };
    refused.into_iter().map(problem).collect()
}

/// Returns the sections that became a part of the configuration, in step with it: those whose name could be read.
fn usable<'a, 'i, T: Value>(
    root: &mut Section<'a, 'i>,
    key: &'static str,
    name: &'static str,
) -> Vec<Section<'a, 'i>> {
    let mut sections = root.sections(key);
    sections.retain(|section| section.is_usable::<T>(name));
    sections
}

/// Media ports may not be taken by a listener of the same protocol.
fn ports(config: &Config, root: &mut Section<'_, '_>) {
    let RtpPorts::Range(range) = &config.rtp.ports else { return };
    for listener in &config.sip.udp {
        if range.contains(&listener.port()) {
            let section = root.section("rtp");
            let message =
                format!("ports {} to {} overlap sip.udp listener {listener}", range.start(), range.end());
            section.problem("first_port", message);
        }
    }
}

/// Listeners may not repeat.
pub(super) fn listeners(section: &Section<'_, '_>, key: &str, listeners: &[SocketAddr]) {
    let mut seen: Vec<&SocketAddr> = Vec::new();
    for listener in listeners {
        let clashes = |other: &&SocketAddr| {
            listener.port() != 0
                && other.port() == listener.port()
                && other.is_ipv4() == listener.is_ipv4()
                && (other.ip() == listener.ip()
                    || other.ip().is_unspecified()
                    || listener.ip().is_unspecified())
        };
        if let Some(other) = seen.iter().copied().find(clashes) {
            section.problem(key, format!("{listener} and {other} want the same port"));
        }
        seen.push(listener);
    }
}

/// An address that peers are told must be one they can send to.
pub(super) fn advertised(section: &Section<'_, '_>, key: &str, address: Option<IpAddr>) {
    let Some(address) = address else { return };
    let broadcast = matches!(address, IpAddr::V4(ip) if ip.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        section.problem(key, format!("peers cannot send to {address}"));
    }
}

/// Reads a local address of one family; empty text is none.
pub(super) fn family(
    section: &Section<'_, '_>,
    key: &str,
    text: &str,
    fits: fn(&IpAddr) -> bool,
) -> Option<IpAddr> {
    if text.is_empty() {
        return None;
    }
    let address = text.parse().ok().filter(fits);
    if address.is_none() {
        section.problem(key, format!("{text:?} is not an address of this family"));
    }
    address
}

pub(super) fn is_host(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.len() <= 253 && text.bytes().all(name),
    }
}

/// What may stand in the user part of a SIP URI without escaping and is dialled by somebody.
pub(super) fn is_dialable(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'*' | b'#' | b'.' | b'_' | b'-');
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// The first digits of a number in international form, of which `+` alone means any, or of what is dialled
/// literally, such as `911`.
pub(super) fn is_prefix(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !text.is_empty() && digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit())
}
