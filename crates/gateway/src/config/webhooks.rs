//! `[webhooks]`: how endpoints that customers name are told of events.

use super::reader::Section;
use super::{Config, positive, seconds};
use crate::http_client::Guard;
use ipnet::IpNet;
use std::path::PathBuf;
use std::time::Duration;
use trunkline_api::sip_routing::Reach;

/// How endpoints that customers name are told of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhooks {
    /// Networks in which endpoints may be although they are private, or this machine's.
    pub networks: Vec<IpNet>,
    /// A file of certificates that are trusted besides those of the system.
    pub authorities: Option<PathBuf>,
    /// How long an endpoint may take to answer.
    pub answer: Duration,
    /// Requests under way to one endpoint at once.
    pub concurrency: u16,
    /// The pause after the first attempt; it doubles with each.
    pub retry_first: Duration,
    /// The longest pause.
    pub retry_max: Duration,
    /// Events that one endpoint may leave undelivered before it is sent no new ones.
    pub waiting_max: u32,
}

pub(super) fn webhooks(mut section: Section<'_, '_>) -> Webhooks {
    let networks = section.list("private_addresses").unwrap_or_default();
    let authorities = section.value::<String>("ca").filter(|path| !path.is_empty()).map(PathBuf::from);
    let concurrency = positive(&mut section, "concurrency", 64);
    if concurrency > CONCURRENCY_MAX {
        section.problem("concurrency", format!("is at most {CONCURRENCY_MAX}"));
    }
    let answer = seconds(&mut section, "answer_secs", 10);
    if answer > ANSWER_MAX {
        section.problem("answer_secs", "is at most 30");
    }
    let webhooks = Webhooks {
        networks,
        authorities,
        answer,
        concurrency: u16::try_from(concurrency).unwrap_or(u16::MAX),
        retry_first: seconds(&mut section, "retry_first_secs", 10),
        retry_max: seconds(&mut section, "retry_secs_max", 3_600),
        waiting_max: positive(&mut section, "waiting_max", 1_000_000),
    };
    section.close();
    webhooks
}

/// Each is a request and an event in memory.
const CONCURRENCY_MAX: u32 = 1_024;

/// Leases of deliveries are longer than this, so that none is made twice while one is under way.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Config {
    /// Returns where endpoints may be that customers name.
    pub(crate) fn guard(&self) -> Guard {
        let reach = Reach { anywhere: false, ..self.reach() };
        Guard { networks: self.webhooks.networks.clone(), reach }
    }
}
