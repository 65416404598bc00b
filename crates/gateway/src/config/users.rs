//! `[users]`: who registers and calls over secure WebSocket, and the users that numbers ring at.

use super::reader::Section;
use super::{positive, routes, seconds};
use std::time::Duration;
use trunkline_call::USERS;
use trunkline_model::{
    Codec, MediaPolicy, Reliability, Ring, RingOrder, SessionTimerPolicy, Trunk, TrunkId, TrunkMatch,
    UserAddress,
};
use trunkline_sip::registrar::Limits;

/// `[users]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Users {
    /// The trunk that stands for all users: caps, codecs, timers. None where users may not register.
    pub trunk: Option<Trunk>,
    /// Origins of pages that may connect, besides those served here.
    pub origins: Vec<String>,
    /// Whether who names no origin may connect; none for whether the certificate is the development CA's.
    pub without_origin: Option<bool>,
    /// Most WebSocket connections at once.
    pub connections_max: u32,
    /// Most WebSocket connections at once from one address.
    pub per_source_max: u32,
    /// Limits of registrations.
    pub registrations: Limits,
}

/// How long users ring for a number unless the file says otherwise: five rings or so.
const RING_SECS: u32 = 30;

pub(super) fn users(mut section: Section<'_, '_>) -> Users {
    let enabled = section.value("enabled").unwrap_or(true);
    let origins: Vec<String> = section.list("origins").unwrap_or_default();
    if origins.iter().any(|origin| !is_origin(origin)) {
        section.problem(
            "origins",
            "are each a scheme and a host, such as https://app.example.com, without a path",
        );
    }
    let without_origin = section.value("without_origin");
    let connections_max = positive(&mut section, "connections_max", 10_000);
    let per_source_max = positive(&mut section, "per_source_max", 500);
    let default = Limits::default();
    let brief = default.expires_min.as_secs() as u32;
    let registrations = Limits {
        contacts_per_user: positive(&mut section, "contacts_per_user", 10) as usize,
        expires_min: seconds(&mut section, "registration_secs_min", brief),
        expires_max: seconds(&mut section, "registration_secs_max", default.expires_max.as_secs() as u32),
        ..default
    };
    if registrations.expires_max < registrations.expires_min {
        section.problem("registration_secs_max", "is at least registration_secs_min");
    }
    let registrations = Limits {
        expires_default: default
            .expires_default
            .clamp(registrations.expires_min, registrations.expires_max.max(registrations.expires_min)),
        ..registrations
    };
    let calls_max = routes::limit(&mut section, "calls_max");
    let calls_per_sec_max = routes::limit(&mut section, "calls_per_sec_max");
    let media = routes::media(section.section("media"), media());
    section.close();
    // The name is one.
    let id = TrunkId::parse(USERS).ok().filter(|_| enabled);
    let trunk = id.map(|id| trunk(id, (calls_max, calls_per_sec_max), media));
    Users { trunk, origins, without_origin, connections_max, per_source_max, registrations }
}

fn trunk(
    id: TrunkId,
    (calls_max, calls_per_sec_max): (Option<u32>, Option<u32>),
    media: MediaPolicy,
) -> Trunk {
    Trunk {
        id,
        inbound: TrunkMatch::default(),
        gateways: Vec::new(),
        calls_max,
        calls_per_sec_max,
        advertised: None,
        advertised_port: None,
        domain: None,
        media,
        failover_statuses: Default::default(),
        health: None,
        reliability: Reliability::default(),
        session_timer: SessionTimerPolicy::default(),
        // Each step of a route has its own.
        ring_max: Duration::from_secs(RING_SECS.into()),
        trusted_identity: false,
        follow_source: true,
    }
}

/// What browsers speak best comes first; what carriers speak is there for when they are to be passed through.
fn media() -> MediaPolicy {
    MediaPolicy { codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma], ..MediaPolicy::default() }
}

/// Reads the users of a number, if it has any.
pub(super) fn ring(section: &mut Section<'_, '_>) -> Option<Ring> {
    let users: Vec<UserAddress> = section.list("users").unwrap_or_default();
    let order = match section.value::<String>("order").as_deref() {
        None | Some("together") => RingOrder::Together,
        Some("in_order") => RingOrder::InOrder,
        Some(_) => {
            section.problem("order", "is together or in_order");
            RingOrder::Together
        }
    };
    let secs = section.value::<u32>("ring_secs").unwrap_or(RING_SECS);
    if !(1..=300).contains(&secs) {
        section.problem("ring_secs", "is 1 to 300");
    }
    let overflow = section.value("overflow_user");
    if users.is_empty() {
        for key in ["order", "ring_secs", "overflow_user"] {
            if section.has(key) {
                section.problem(key, "is for a number with users");
            }
        }
        return None;
    }
    if users.len() > USERS_MAX {
        section.problem("users", format!("are at most {USERS_MAX}"));
    }
    Some(Ring { users, order, ring_max: Duration::from_secs(secs.into()), overflow })
}

/// Most users of one number: more are a call centre, which is an application's business.
pub(crate) const USERS_MAX: usize = 10;

fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme && !authority.is_empty() && !authority.contains(['/', '?', '#', ' ', '@'])
}
