//! `[webrtc]`: the sockets that browsers have their media on, and `[relay]`: the servers that help them reach those.

use super::check;
use super::reader::Section;
use std::net::IpAddr;
use std::path::PathBuf;
use std::{fmt, io};
use trunkline_api::RelaySettings;

/// `[webrtc]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webrtc {
    /// Whether browsers have media here. Without it they can talk with each other only.
    pub off: bool,
    /// The UDP port of the first media worker; each further worker has the next. 0 for any free ones.
    pub port: u16,
    /// The address that browsers are told; that of `[rtp]` when none.
    pub advertised: Option<IpAddr>,
    /// Further addresses of the same sockets that browsers are told, such as one of the other family.
    pub others: Vec<IpAddr>,
}

/// `[relay]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// `stun:` and `turn:` URIs.
    pub urls: Vec<String>,
    secret: RelaySecret,
}

/// What is shared with the TURN servers.
#[derive(Clone, PartialEq, Eq)]
enum RelaySecret {
    /// Nothing: there is no TURN server.
    None,
    /// As given.
    Given(String),
    /// What a file holds.
    File(PathBuf),
}

impl Relay {
    /// Returns what clients are told, the secret read from its file.
    pub(crate) fn settings(&self) -> io::Result<RelaySettings> {
        let secret = match &self.secret {
            RelaySecret::None => String::new(),
            RelaySecret::Given(secret) => secret.clone(),
            RelaySecret::File(path) => std::fs::read_to_string(path)?.trim_end().to_owned(),
        };
        Ok(RelaySettings { urls: self.urls.clone(), secret })
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// Reads the section.
pub(super) fn relay(mut section: Section<'_, '_>) -> Relay {
    let urls: Vec<String> = section.list("urls").unwrap_or_default();
    if urls.len() > URLS_MAX || urls.iter().any(|url| !is_relay_url(url)) {
        let rule = "are at most 8 URIs such as stun:turn.example.com:3478 or turn:turn.example.com:3478?transport=udp";
        section.problem("urls", rule);
    }
    let given = section.value::<String>("secret").filter(|text| !text.is_empty());
    let file = section.value::<String>("secret_file").filter(|text| !text.is_empty());
    let secret = match (given, file) {
        (Some(_), Some(_)) => {
            section.problem("secret_file", "stands beside secret: one of them is enough");
            RelaySecret::None
        }
        (Some(secret), None) => RelaySecret::Given(secret),
        (None, Some(path)) => RelaySecret::File(path.into()),
        (None, None) => RelaySecret::None,
    };
    if secret == RelaySecret::None && urls.iter().any(|url| url.starts_with("turn")) {
        section.problem("secret", "is needed for TURN servers: the one that they are configured with");
    }
    section.close();
    Relay { urls, secret }
}

fn is_relay_url(url: &str) -> bool {
    let rest = ["stun:", "stuns:", "turn:", "turns:"].iter().find_map(|scheme| url.strip_prefix(scheme));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// Most servers: browsers warn when there are five and more.
const URLS_MAX: usize = 8;

/// The port of the first worker unless the file says otherwise.
const PORT: u16 = 40_000;

/// Most further addresses: more would only be more checks for every browser.
const OTHERS_MAX: usize = 4;

/// Reads the section. Where RTP takes any free ports, so do browsers unless a port is named.
pub(super) fn webrtc(mut section: Section<'_, '_>, takes_free_ports: bool, workers: usize) -> Webrtc {
    let off = section.value("off").unwrap_or(false);
    let default = if takes_free_ports { 0 } else { PORT };
    let port: u16 = section.value("port").unwrap_or(default);
    let last = usize::from(port) + workers.saturating_sub(1);
    if port != 0 && (port < 1024 || last > usize::from(u16::MAX)) {
        let workers = format!("is 0 or at least 1024, with room for {workers} media workers above it");
        section.problem("port", workers);
    }
    let advertised = section.value("advertised");
    check::advertised(&section, "advertised", advertised);
    let others: Vec<IpAddr> = section.list("advertised_others").unwrap_or_default();
    if others.len() > OTHERS_MAX {
        section.problem("advertised_others", format!("are at most {OTHERS_MAX}"));
    }
    for other in &others {
        check::advertised(&section, "advertised_others", Some(*other));
    }
    section.close();
    Webrtc { off, port, advertised, others }
}
