//! Trunks, numbers and routes of the configuration file.

use super::reader::Section;
use super::{check, positive, seconds, users};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_model::{
    Codec, DidRoute, E164, Gateway, HealthPolicy, Host, MediaPolicy, OpusPolicy, PatternRoute, Reliability,
    Ring, SessionTimerPolicy, Transport, Trunk, TrunkId, TrunkMatch,
};

/// Reads the trunks, and which resources calls from them belong to.
pub(super) fn trunks(sections: Vec<Section<'_, '_>>) -> (Vec<Trunk>, BTreeMap<TrunkId, String>) {
    let mut resources = BTreeMap::new();
    let read = |mut section: Section<'_, '_>| {
        let resource = section.value::<String>("resource").filter(|name| !name.is_empty());
        let trunk = trunk(section)?;
        if let Some(resource) = resource {
            resources.insert(trunk.id.clone(), resource);
        }
        Some(trunk)
    };
    let trunks = sections.into_iter().filter_map(read).collect();
    (trunks, resources)
}

fn trunk(mut section: Section<'_, '_>) -> Option<Trunk> {
    let id = section.required::<TrunkId>("name");
    let inbound = TrunkMatch {
        sources: section.list("sources").unwrap_or_default(),
        transports: section.list("transports").unwrap_or_default(),
    };
    let gateways: Vec<Gateway> = section.sections("gateway").into_iter().filter_map(gateway).collect();
    let advertised = section.value("advertised");
    check::advertised(&section, "advertised", advertised);
    let advertised_port = section.value::<u16>("advertised_port");
    if advertised_port == Some(0) {
        section.problem("advertised_port", "is 1 to 65535");
    }
    let domain = section.value::<String>("domain");
    if domain.as_deref().is_some_and(|domain| !check::is_host(domain)) {
        section.problem("domain", "is neither a DNS name nor an address");
    }
    let calls_max = limit(&mut section, "calls_max");
    let calls_per_sec_max = limit(&mut section, "calls_per_sec_max");
    let trunk = Trunk {
        inbound,
        gateways,
        calls_max,
        calls_per_sec_max,
        advertised,
        advertised_port,
        domain,
        media: media(section.section("media"), MediaPolicy::default()),
        failover_statuses: failover_statuses(&mut section),
        health: health(&mut section),
        reliability: reliability(&mut section),
        session_timer: session_timer(section.section("session_timer")),
        ring_max: ring_max(&mut section),
        trusted_identity: section.value("trusted_identity").unwrap_or(false),
        follow_source: section.value("follow_source").unwrap_or(true),
        // A trunk without a name is a problem already noted; the rest of it is read for its own problems.
        id: id?,
    };
    section.close();
    Some(trunk)
}

fn gateway(mut section: Section<'_, '_>) -> Option<Gateway> {
    let host = match section.required("host") {
        // Names with a dot at their end are those of resources.
        Some(Host::Name(name)) => Some(Host::Name(name.trim_end_matches('.').to_owned())),
        other => other,
    };
    let port = section.value::<u16>("port");
    if port == Some(0) {
        section.problem("port", "is 1 to 65535");
    }
    let transport = section.value("transport").unwrap_or(Transport::Udp);
    let priority = section.value("priority").unwrap_or(10);
    let weight = section.value("weight").unwrap_or(10);
    section.close();
    Some(Gateway { host: host?, port, transport, priority, weight })
}

pub(super) fn media(mut section: Section<'_, '_>, default: MediaPolicy) -> MediaPolicy {
    let codecs = section.list::<Codec>("codecs").unwrap_or(default.codecs);
    if codecs.is_empty() || codecs.iter().collect::<BTreeSet<_>>().len() != codecs.len() {
        section.problem("codecs", "names at least one codec, and each once");
    }
    let ptime_ms = section.value("ptime_ms").unwrap_or(default.ptime_ms);
    if !matches!(ptime_ms, 10 | 20 | 30) {
        section.problem("ptime_ms", "is 10, 20 or 30");
    }
    let silence = section.value::<u32>("silence_secs_max").unwrap_or(0);
    let media = MediaPolicy {
        codecs,
        ptime_ms,
        telephone_event: section.value("telephone_event").unwrap_or(default.telephone_event),
        comfort_noise: section.value("comfort_noise").unwrap_or(default.comfort_noise),
        latch: section.list("latch").unwrap_or_default(),
        silence_max: (silence > 0).then(|| Duration::from_secs(silence.into())),
        prefer: section.value("prefer").unwrap_or(default.prefer),
        opus: opus(section.section("opus")),
    };
    section.close();
    media
}

fn opus(mut section: Section<'_, '_>) -> OpusPolicy {
    let default = OpusPolicy::default();
    let policy = OpusPolicy {
        complexity: section.value("complexity").unwrap_or(default.complexity),
        bitrate_bps: section.value("bitrate_bps").unwrap_or(default.bitrate_bps),
        fec: section.value("fec").unwrap_or(default.fec),
        dtx: section.value("dtx").unwrap_or(default.dtx),
    };
    if policy.complexity > 10 {
        section.problem("complexity", "is 0 to 10");
    }
    if !(6000..=128_000).contains(&policy.bitrate_bps) {
        section.problem("bitrate_bps", "is 6000 to 128000");
    }
    section.close();
    policy
}

fn failover_statuses(section: &mut Section<'_, '_>) -> BTreeSet<u16> {
    let statuses: BTreeSet<u16> = section.list("failover_statuses").unwrap_or_default().into_iter().collect();
    for status in &statuses {
        // R10: these speak for the person who was called; another gateway would only ring them again.
        if matches!(status, 486 | 487 | 600 | 603) || !(300..=699).contains(status) {
            section
                .problem("failover_statuses", format!("{status} cannot move a call on to another gateway"));
        }
    }
    statuses
}

fn health(section: &mut Section<'_, '_>) -> Option<HealthPolicy> {
    if !section.has("health") {
        // Asked for all the same, so that it counts as known.
        section.section("health").close();
        return None;
    }
    let mut section = section.section("health");
    let default = HealthPolicy::default();
    let policy = HealthPolicy {
        interval: seconds(&mut section, "interval_secs", default.interval.as_secs() as u32),
        down_after: positive(&mut section, "down_after", default.down_after),
        up_after: positive(&mut section, "up_after", default.up_after),
    };
    section.close();
    Some(policy)
}

fn reliability(section: &mut Section<'_, '_>) -> Reliability {
    match section.value::<String>("reliable_responses").as_deref() {
        None | Some("supported") => Reliability::Supported,
        Some("off") => Reliability::Off,
        Some("required") => Reliability::Required,
        Some(_) => {
            section.problem("reliable_responses", "is off, supported or required");
            Reliability::Supported
        }
    }
}

fn session_timer(mut section: Section<'_, '_>) -> SessionTimerPolicy {
    let default = SessionTimerPolicy::default();
    let expires =
        section.value::<u32>("expires_secs").map_or(default.expires, |secs| Duration::from_secs(secs.into()));
    let min = section.value::<u32>("min_secs").map_or(default.min, |secs| Duration::from_secs(secs.into()));
    if min < SESSION_TIMER_MIN {
        section.problem("min_secs", "is at least 90 (RFC 4028 §4)");
    }
    if !expires.is_zero() && expires < min {
        section.problem("expires_secs", "is 0 for no session timer, or at least min_secs");
    }
    section.close();
    SessionTimerPolicy { expires, min }
}

fn ring_max(section: &mut Section<'_, '_>) -> Duration {
    let secs = section.value::<u32>("ring_secs_max").unwrap_or(RING_SECS);
    if !(1..=RING_SECS_MAX).contains(&secs) {
        section.problem("ring_secs_max", format!("is 1 to {RING_SECS_MAX}"));
    }
    Duration::from_secs(secs.into())
}

/// Reads the numbers, and which of them ring at users.
pub(super) fn dids(sections: Vec<Section<'_, '_>>) -> (Vec<DidRoute>, BTreeMap<E164, Ring>) {
    let mut rings = BTreeMap::new();
    let read = |mut section: Section<'_, '_>| {
        let did = section.required("number");
        let ring = users::ring(&mut section);
        // Nobody has to stand behind users.
        let trunks = match &ring {
            Some(_) => section.list("trunks").unwrap_or_default(),
            None => targets(&mut section),
        };
        rings.extend(did.zip(ring));
        let dial = section.value::<String>("dial");
        if dial.as_deref().is_some_and(|dial| !check::is_dialable(dial)) {
            section.problem("dial", "is 1 to 32 of + 0-9 * # a-z A-Z . _ -");
        }
        section.close();
        Some(DidRoute { did: did?, trunks, dial })
    };
    let dids = sections.into_iter().filter_map(read).collect();
    (dids, rings)
}

pub(super) fn patterns(sections: Vec<Section<'_, '_>>) -> Vec<PatternRoute> {
    let read = |mut section: Section<'_, '_>| {
        let prefix = section.required::<String>("prefix");
        if prefix.as_deref().is_some_and(|prefix| !check::is_prefix(prefix)) {
            section.problem(
                "prefix",
                "is up to 15 digits, with a + before them for numbers in international form",
            );
        }
        let from = section.list("from").unwrap_or_default();
        let trunks = targets(&mut section);
        let strip = section.value("strip").unwrap_or(0);
        let prepend = section.value::<String>("prepend").unwrap_or_default();
        if !prepend.is_empty() && !check::is_dialable(&prepend) {
            section.problem("prepend", "is up to 32 of + 0-9 * # a-z A-Z . _ -");
        }
        section.close();
        Some(PatternRoute { prefix: prefix?, from, trunks, strip, prepend })
    };
    sections.into_iter().filter_map(read).collect()
}

fn targets(section: &mut Section<'_, '_>) -> Vec<TrunkId> {
    let trunks: Vec<TrunkId> = section.list("trunks").unwrap_or_default();
    if trunks.is_empty() {
        section.problem("trunks", "names at least one trunk");
    }
    trunks
}

/// Reads a limit that may be absent, but not zero.
pub(super) fn limit(section: &mut Section<'_, '_>, key: &'static str) -> Option<u32> {
    let value = section.value(key);
    if value == Some(0) {
        section.problem(key, "is at least 1; leave it out for no limit");
    }
    value
}

/// Smallest session timer (RFC 4028 §4).
const SESSION_TIMER_MIN: Duration = Duration::from_secs(90);

/// How long a phone rings unless the file says otherwise: long enough for a voice mail to pick up first.
const RING_SECS: u32 = 120;

/// Longest ringing. Timer C of proxies on the way is at least three minutes (RFC 3261 §16.6), and carriers
/// clear what rings longer.
const RING_SECS_MAX: u32 = 300;
