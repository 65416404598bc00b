//! `[http]` and `[numbers]`: where the REST API is served, to whom and how much of it.

use super::reader::Section;
use super::{Config, check, positive, seconds};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use trunkline_api::sip_routing::Reach;
use trunkline_api::{Environment, Rate, Rates};
use trunkline_model::{Transport, TrunkId};

/// Where the REST API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// HTTPS listeners; port 0 takes any free one. None of them: no API.
    pub listen: Vec<SocketAddr>,
    /// The certificate to show; none for one by our own development CA.
    pub certificate: Option<CertificateFiles>,
    /// The host of the default resource; other resources get a name below it.
    pub public_host: String,
    /// The port that clients connect to; none for that of the first listener.
    pub public_port: Option<u16>,
    /// The resource that gets every request whose host belongs to no other.
    pub default_resource: Option<String>,
    /// What one peer, and all together, may take.
    pub limits: HttpLimits,
    /// How much each resource may ask for in a time.
    pub rates: Rates,
}

/// A certificate chain and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What HTTPS peers may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Most connections at once.
    pub connections_max: u32,
    /// Most connections at once from one address.
    pub per_source_max: u32,
    /// Most requests in progress at once, not counting those whose body is still on its way.
    pub requests_max: u32,
    /// Most requests in progress on one connection of HTTP/2.
    pub streams_max: u32,
    /// Largest header of a request.
    pub header_bytes_max: u32,
    /// Largest body of a request.
    pub body_bytes_max: u32,
    /// A TLS handshake must be through within this time.
    pub handshake: Duration,
    /// The header of a request must be whole within this time; also how long a connection may be idle.
    pub header: Duration,
    /// The body of a request must be whole within this time.
    pub body: Duration,
    /// A peer must take what we write within this time.
    pub write: Duration,
}

/// `[numbers]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// The file of rule tables; none for those built in.
    pub rules: Option<PathBuf>,
    /// The table that decides instead of the file's active one.
    pub table: Option<String>,
    /// The trunks that calls for numbers of resources go to, in the order they are tried; none leaves them to the
    /// routes of the file.
    pub inbound: Vec<TrunkId>,
    /// Whether the fictional numbers 555-0100 to 555-0199 may be sold (NUM-10).
    pub environment: Environment,
}

impl Http {
    /// Returns the authority that clients of a resource connect to, with its port unless that is 443. `bound` is
    /// the first listener as it was bound.
    pub fn authority(&self, host: &str, bound: Option<SocketAddr>) -> String {
        let port = self.public_port.or(bound.or(self.listen.first().copied()).map(|listen| listen.port()));
        match port {
            None | Some(443) => host.to_owned(),
            Some(port) => format!("{host}:{port}"),
        }
    }

    /// Returns the URL of this service, which is the issuer of user tokens. `bound` is as for [`authority`](Self::authority).
    pub fn issuer(&self, bound: Option<SocketAddr>) -> String {
        format!("https://{}", self.authority(&self.public_host, bound))
    }

    /// Returns the host that a resource of this name gets.
    pub fn host_of(&self, resource: &str) -> String {
        if self.default_resource.as_deref() == Some(resource) {
            self.public_host.clone()
        } else {
            format!("{resource}.{}", self.public_host)
        }
    }
}

pub(super) fn http(mut section: Section<'_, '_>) -> Http {
    let listen: Option<Vec<SocketAddr>> = section.list("listen");
    let listen = listen.unwrap_or_else(|| vec![SocketAddr::from(([127, 0, 0, 1], 8443))]);
    check::listeners(&section, "listen", &listen);
    let certificate = certificate(&mut section);
    let public_host = section.value("public_host").unwrap_or_else(|| "localhost".to_owned());
    if !check::is_host(&public_host) || public_host.bytes().any(|b| b.is_ascii_uppercase()) {
        section.problem("public_host", "is a host name in lower case, without scheme and port");
    }
    let public_port = section.value::<u16>("public_port").filter(|port| *port != 0);
    let default_resource = text(&mut section, "default_resource");
    let limits = limits(section.section("limits"));
    let rates = rates(section.section("rates"));
    section.close();
    Http { listen, certificate, public_host, public_port, default_resource, limits, rates }
}

pub(super) fn certificate(section: &mut Section<'_, '_>) -> Option<CertificateFiles> {
    match (text(section, "certificate"), text(section, "key")) {
        (Some(chain), Some(key)) => Some(CertificateFiles { chain: chain.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) => {
            section.problem("certificate", "needs key beside it");
            None
        }
        (None, Some(_)) => {
            section.problem("key", "needs certificate beside it");
            None
        }
    }
}

fn limits(mut section: Section<'_, '_>) -> HttpLimits {
    let header_bytes_max = positive(&mut section, "header_bytes_max", 16 * 1024);
    if !(8 * 1024..=256 * 1024).contains(&header_bytes_max) {
        section.problem("header_bytes_max", "is 8192 to 262144");
    }
    let body_bytes_max = positive(&mut section, "body_bytes_max", 1024 * 1024);
    if body_bytes_max > BODY_BYTES_MAX {
        section.problem("body_bytes_max", format!("is at most {BODY_BYTES_MAX}"));
    }
    let limits = HttpLimits {
        connections_max: positive(&mut section, "connections_max", 1_000),
        per_source_max: positive(&mut section, "per_source_max", 250),
        requests_max: positive(&mut section, "requests_max", 512),
        streams_max: positive(&mut section, "streams_max", 100),
        header_bytes_max,
        body_bytes_max,
        handshake: seconds(&mut section, "handshake_secs", 10),
        header: seconds(&mut section, "header_secs", 20),
        body: seconds(&mut section, "body_secs", 20),
        write: seconds(&mut section, "write_secs", 20),
    };
    section.close();
    limits
}

fn rates(mut section: Section<'_, '_>) -> Rates {
    let default = Rates::default();
    let window_secs = positive(&mut section, "window_secs", default.all.window_secs);
    if window_secs > 3_600 {
        section.problem("window_secs", "is at most 3600");
    }
    let mut rate =
        |key, default: Rate| Rate { requests: positive(&mut section, key, default.requests), window_secs };
    let rates = Rates {
        all: rate("requests_max", default.all),
        issue: rate("issue_max", default.issue),
        revoke: rate("revoke_max", default.revoke),
        write: rate("write_max", default.write),
    };
    section.close();
    rates
}

pub(super) fn numbers(mut section: Section<'_, '_>) -> Numbers {
    let rules = text(&mut section, "rules").map(PathBuf::from);
    let table = text(&mut section, "table");
    let inbound = section.list("inbound").unwrap_or_default();
    let fictional = section.value("fictional").unwrap_or(false);
    section.close();
    let environment = if fictional { Environment::Test } else { Environment::Live };
    Numbers { rules, table, inbound, environment }
}

/// How the trunks are reached that resources set by `PATCH /sip`, where no field says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipRouting {
    /// The transport.
    pub transport: Transport,
    /// Whether they may be at private addresses and at our own.
    pub private_addresses: bool,
}

impl Config {
    /// Returns where the trunks of resources may be.
    pub(crate) fn reach(&self) -> Reach {
        let of_trunks = self.trunks.iter().map(|trunk| trunk.advertised);
        let ours = [self.sip.advertised, self.rtp.advertised].into_iter().chain(of_trunks).flatten();
        Reach { anywhere: self.sip_routing.private_addresses, ours: ours.collect() }
    }
}

pub(super) fn sip_routing(mut section: Section<'_, '_>) -> SipRouting {
    let transport = section.value("transport").unwrap_or(Transport::Udp);
    let private_addresses = section.value("private_addresses").unwrap_or(false);
    section.close();
    SipRouting { transport, private_addresses }
}

/// Reads a text that may be empty, which says the same as leaving it out.
fn text(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    section.value::<String>(key).filter(|text| !text.is_empty())
}

/// Largest body that can be allowed: all of it is held in memory.
const BODY_BYTES_MAX: u32 = 16 * 1024 * 1024;
