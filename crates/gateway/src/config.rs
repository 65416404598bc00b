//! The configuration file: read whole, checked whole, every problem reported before any port is bound.

mod advertise;
mod check;
mod http;
mod reader;
mod routes;
mod sms;
mod users;
mod webhooks;
mod webrtc;

pub use advertise::{Warning, WarningCode};
pub use http::{CertificateFiles, Http, HttpLimits, Numbers, SipRouting};
pub use reader::Problem;
pub use sms::{
    Binds as SmsBinds, Campaign as SmsCampaign, CarrierReach, HttpCarrier, Receipts as SmsReceipts,
    Registration as SmsRegistration, Senders as SmsSenders, SmppCarrier, Sms, SmsAccount, SmsCarrier,
    SmsServer, Tls as SmsTls,
};
pub(crate) use users::USERS_MAX;
pub use users::Users;
pub use webhooks::Webhooks;
pub use webrtc::{Relay, Webrtc};

use reader::{Findings, Section};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeTable;
use trunkline_call::{Limits, UnknownSources};
use trunkline_model::{DidRoute, E164, NodeId, PatternRoute, Ring, Trunk, TrunkId};

/// The file that `trunkline sandbox` and `cargo xtask run` use when none is given.
pub const SANDBOX: &str = include_str!("../../../config/sandbox.toml");

/// Everything that `trunkline serve` is told by its file and its environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The number of this node in a cluster; part of every call id.
    pub node: NodeId,
    /// Log output.
    pub log: Log,
    /// SIP listeners and limits.
    pub sip: Sip,
    /// RTP addresses, ports and workers.
    pub rtp: Rtp,
    /// Where `/metrics` and `/health` are served; none for nowhere.
    pub metrics: Option<SocketAddr>,
    /// The database.
    pub storage: Storage,
    /// The REST API.
    pub http: Http,
    /// Which numbers may be sold to whom.
    pub numbers: Numbers,
    /// How the trunks of resources are reached.
    pub sip_routing: SipRouting,
    /// Texts.
    pub sms: Sms,
    /// How endpoints are told of events.
    pub webhooks: Webhooks,
    /// How long a stopping gateway waits for its calls to end before it ends them.
    pub drain: Duration,
    /// Trunks, in the order of the file: the first that accepts a request owns it.
    pub trunks: Vec<Trunk>,
    /// The resources (by name) that calls from some of them belong to.
    pub trunk_resources: BTreeMap<TrunkId, String>,
    /// Who registers and calls over secure WebSocket.
    pub users: Users,
    /// Where browsers have their media.
    pub webrtc: Webrtc,
    /// The STUN and TURN servers that clients are told of.
    pub relay: Relay,
    /// Numbers that are ours. Those in `rings` may be without trunks.
    pub dids: Vec<DidRoute>,
    /// The users that some of them ring at, before any trunk.
    pub rings: BTreeMap<E164, Ring>,
    /// Numbers by prefix.
    pub routes: Vec<PatternRoute>,
}

/// Log output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level or a filter as `tracing` knows it.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// SIP listeners and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    /// UDP listeners; port 0 takes any free one.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners; port 0 takes any free one.
    pub tcp: Vec<SocketAddr>,
    /// The address written into Via and Contact where a trunk has none of its own.
    pub advertised: Option<IpAddr>,
    /// The text of User-Agent and Server.
    pub user_agent: String,
    /// What becomes of requests that belong to no trunk.
    pub unknown_sources: UnknownSources,
    /// Whether a request over UDP that is larger than 1300 bytes goes over TCP (RFC 3261 §18.1.1).
    pub large_over_tcp: bool,
    /// What the node takes.
    pub limits: Limits,
    /// Limits of TCP connections.
    pub streams: StreamLimits,
}

/// Limits of SIP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Most connections at once, both directions. Three quarters may come from peers, one quarter from sources of no
    /// trunk.
    pub connections_max: u32,
    /// Most connections at once from one address.
    pub per_source_max: u32,
    /// A connection that carried nothing for this long is closed.
    pub idle: Duration,
    /// A message that has begun to arrive must be whole within this time, and so must the first one of a peer that has
    /// connected.
    pub message: Duration,
    /// A connection we open must stand within this time.
    pub connect: Duration,
    /// A peer must take what we write within this time.
    pub write: Duration,
}

/// RTP addresses, ports and workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtp {
    /// Local IPv4 address of media sockets.
    pub ipv4: Option<IpAddr>,
    /// Local IPv6 address of media sockets.
    pub ipv6: Option<IpAddr>,
    /// The address written into SDP where a trunk has none of its own.
    pub advertised: Option<IpAddr>,
    /// Ports of media sockets.
    pub ports: RtpPorts,
    /// Media worker threads.
    pub workers: usize,
}

/// Ports of media sockets: RTP on the even ones, RTCP on the odd one above each (RFC 3550 §11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RtpPorts {
    /// Exactly these.
    Range(RangeInclusive<u16>),
    /// That many, wherever a free range is found.
    Free(u16),
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// `sqlite:PATH` or `postgres://…`; it may hold a password and is never logged.
    pub url: String,
    /// Directory of the database and of records that could not be stored yet.
    pub data_dir: PathBuf,
    /// Most records that wait for storage before they are written to the spill file instead.
    pub queue_max: usize,
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file has problems; all of them are listed.
    #[error("{0}")]
    Invalid(Invalid),
}

/// The problems of one file.
#[derive(Debug)]
pub struct Invalid {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

/// A usable configuration, and what is doubtful about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Settings that are allowed and probably do not work.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The file cannot be read, or has problems.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        let mut loaded = Self::parse(path, &text)?;
        // Beside the file that names it, wherever the program was started.
        if let (Some(rules), Some(folder)) = (&mut loaded.config.numbers.rules, path.parent()) {
            *rules = folder.join(&*rules);
        }
        Ok(loaded)
    }

    /// Checks the text of a file; the path is for messages only.
    ///
    /// # Errors
    /// The text has problems.
    pub fn parse(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
        let (read, mut problems, _) = read(text);
        if let Some(config) = read.as_ref().filter(|_| problems.is_empty()) {
            problems.extend(check::routing(config));
        }
        match read {
            Some(mut config) if problems.is_empty() => {
                config.overlay(|name| std::env::var(name).ok());
                let warnings = advertise::warnings(&config);
                Ok(Loaded { config, warnings })
            }
            Some(_) | None => Err(ConfigError::Invalid(Invalid { path: path.to_owned(), problems })),
        }
    }

    /// Takes what may not stand in a file from the environment: a storage URL may hold a password.
    fn overlay(&mut self, variable: impl Fn(&str) -> Option<String>) {
        if let Some(url) = variable("TRUNKLINE_STORAGE_URL") {
            self.storage.url = url;
        }
        if let Some(filter) = variable("TRUNKLINE_LOG") {
            self.log.filter = filter;
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{} has {count} {noun}", self.path.display())?;
        for problem in &self.problems {
            write!(f, "\n  {}:{problem}", self.path.display())?;
        }
        Ok(())
    }
}

type Known = std::collections::BTreeSet<String>;

/// Reads everything that can be read; the configuration is only fit for use when no problem came with it.
fn read(text: &str) -> (Option<Config>, Vec<Problem>, Known) {
    let findings = Findings::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        findings.add(error.span().unwrap_or_default(), String::new(), error.message());
    }
    // What a recovering parser made of a broken file would only add false problems.
    if !errors.is_empty() {
        let (problems, known) = findings.finish();
        return (None, problems, known);
    }
    let mut root = Section::root(&findings, &table);
    let (trunks, trunk_resources) = routes::trunks(root.sections("trunk"));
    let (dids, rings) = routes::dids(root.sections("did"));
    let rtp = rtp(root.section("rtp"));
    let free_ports = matches!(rtp.ports, RtpPorts::Free(_));
    let config = Config {
        node: NodeId(root.value("node").unwrap_or_default()),
        log: log(root.section("log")),
        sip: sip(root.section("sip")),
        relay: webrtc::relay(root.section("relay")),
        webrtc: webrtc::webrtc(root.section("webrtc"), free_ports, rtp.workers),
        rtp,
        metrics: metrics(root.section("metrics")),
        storage: storage(root.section("storage")),
        http: http::http(root.section("http")),
        numbers: http::numbers(root.section("numbers")),
        sip_routing: http::sip_routing(root.section("sip_routing")),
        sms: sms::sms(root.section("sms")),
        webhooks: webhooks::webhooks(root.section("webhooks")),
        drain: shutdown(root.section("shutdown")),
        trunks,
        trunk_resources,
        users: users::users(root.section("users")),
        dids,
        rings,
        routes: routes::patterns(root.sections("route")),
    };
    check::whole(&config, &mut root);
    root.close();
    let (problems, known) = findings.finish();
    (Some(config), problems, known)
}

fn log(mut section: Section<'_, '_>) -> Log {
    let format = match section.value::<String>("format").as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(_) => {
            section.problem("format", "is text or json");
            LogFormat::Text
        }
    };
    let filter = section.value("filter").unwrap_or_else(|| "info".to_owned());
    if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
        section.problem(
            "filter",
            "is neither a level (error, warn, info, debug, trace) nor a list of target=level",
        );
    }
    section.close();
    Log { filter, format }
}

fn sip(mut section: Section<'_, '_>) -> Sip {
    let udp: Option<Vec<SocketAddr>> = section.list("udp");
    let tcp: Option<Vec<SocketAddr>> = section.list("tcp");
    let default = || vec![SocketAddr::from(([0, 0, 0, 0], 5060))];
    let advertised = section.value("advertised");
    check::advertised(&section, "advertised", advertised);
    let sip = Sip {
        udp: udp.unwrap_or_else(default),
        tcp: tcp.unwrap_or_else(default),
        advertised,
        user_agent: section.value("user_agent").unwrap_or_else(|| "Trunkline".to_owned()),
        unknown_sources: unknown_sources(&mut section),
        large_over_tcp: section.value("large_over_tcp").unwrap_or(false),
        limits: limits(&mut section),
        streams: streams(section.section("streams")),
    };
    if sip.udp.is_empty() && sip.tcp.is_empty() {
        section.problem("udp", "udp and tcp are both empty: no SIP could come in");
    }
    check::listeners(&section, "udp", &sip.udp);
    check::listeners(&section, "tcp", &sip.tcp);
    section.close();
    sip
}

fn unknown_sources(section: &mut Section<'_, '_>) -> UnknownSources {
    match section.value::<String>("unknown_sources").as_deref() {
        None | Some("forbid") => UnknownSources::Forbid,
        Some("ignore") => UnknownSources::Ignore,
        Some(_) => {
            section.problem("unknown_sources", "is forbid (answer 403) or ignore (do not answer)");
            UnknownSources::Forbid
        }
    }
}

fn limits(section: &mut Section<'_, '_>) -> Limits {
    let default = Limits::default();
    let calls_max = positive(section, "calls_max", u32::try_from(default.calls_max).unwrap_or(u32::MAX));
    let hops_max = positive(section, "hops_max", u32::try_from(default.hops_max).unwrap_or(u32::MAX));
    let attempts_max = section.value("attempts_max").unwrap_or(default.attempts_max);
    if attempts_max == 0 {
        section.problem("attempts_max", "is at least 1");
    }
    let call_secs = section.value::<u32>("call_secs_max").unwrap_or(0);
    Limits {
        calls_max: calls_max as usize,
        response_max: seconds(section, "response_secs_max", default.response_max.as_secs() as u32),
        duration_max: (call_secs > 0).then(|| Duration::from_secs(call_secs.into())),
        hops_max: hops_max as usize,
        attempts_max,
    }
}

fn streams(mut section: Section<'_, '_>) -> StreamLimits {
    let limits = StreamLimits {
        connections_max: positive(&mut section, "connections_max", 1_000),
        per_source_max: positive(&mut section, "per_source_max", 100),
        idle: seconds(&mut section, "idle_secs", 2000),
        message: seconds(&mut section, "message_secs", 10),
        connect: seconds(&mut section, "connect_secs", 4),
        write: seconds(&mut section, "write_secs", 10),
    };
    section.close();
    limits
}

fn rtp(mut section: Section<'_, '_>) -> Rtp {
    let ipv4 = section.value("ipv4").unwrap_or_else(|| "0.0.0.0".to_owned());
    let ipv6: String = section.value("ipv6").unwrap_or_default();
    let ipv4 = check::family(&section, "ipv4", &ipv4, IpAddr::is_ipv4);
    let ipv6 = check::family(&section, "ipv6", &ipv6, IpAddr::is_ipv6);
    if ipv4.is_none() && ipv6.is_none() {
        section.problem("ipv4", "ipv4 and ipv6 are both empty: no media could flow");
    }
    let advertised = section.value("advertised");
    check::advertised(&section, "advertised", advertised);
    let (first, last) = (section.value("first_port"), section.value("last_port"));
    let first = first.unwrap_or(RTP_PORTS.0);
    let free = section.value("free_ports");
    let last = last.unwrap_or(RTP_PORTS.1.max(first));
    if first == 0 && free.is_none() && section.has("first_port") {
        section.problem("first_port", "0 takes any free range: say how many ports with free_ports");
    }
    if let Some(count) = free
        && !(4..=20_000).contains(&count)
    {
        section.problem("free_ports", "is 4 to 20000: each leg of a call takes two ports");
    }
    if free.is_none() && first != 0 && (first < 1024 || first % 2 != 0 || last < first.saturating_add(3)) {
        let rule = "first_port is even and at least 1024, and last_port at least three above it";
        section.problem("first_port", rule);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = match section.value::<u16>("workers").map(usize::from) {
        None | Some(0) => cores,
        Some(workers) if workers <= WORKERS_MAX => workers,
        Some(_) => {
            section.problem("workers", format!("is 0 (one for each core) to {WORKERS_MAX}"));
            cores
        }
    };
    section.close();
    let ports = free.map_or(RtpPorts::Range(first..=last), RtpPorts::Free);
    Rtp { ipv4, ipv6, advertised, ports, workers }
}

fn metrics(mut section: Section<'_, '_>) -> Option<SocketAddr> {
    let listen = section.value("listen");
    let off = section.value("off").unwrap_or(false);
    section.close();
    (!off).then(|| listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9464))))
}

fn storage(mut section: Section<'_, '_>) -> Storage {
    let data_dir = PathBuf::from(section.value("data_dir").unwrap_or_else(|| ".data".to_owned()));
    let default = || format!("sqlite:{}", data_dir.join("trunkline.db").display());
    let url = section.value("url").unwrap_or_else(default);
    if !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme)) {
        section.problem("url", "starts with sqlite: or postgres:");
    }
    let queue_max = positive(&mut section, "queue_max", 100_000) as usize;
    section.close();
    Storage { url, data_dir, queue_max }
}

fn shutdown(mut section: Section<'_, '_>) -> Duration {
    let drain = section.value::<u32>("drain_secs").unwrap_or(30);
    section.close();
    Duration::from_secs(drain.into())
}

/// Reads a number of at least one.
fn positive(section: &mut Section<'_, '_>, key: &'static str, default: u32) -> u32 {
    let value = section.value(key).unwrap_or(default);
    if value == 0 {
        section.problem(key, "is at least 1");
    }
    value
}

/// Reads a time of at least one second.
fn seconds(section: &mut Section<'_, '_>, key: &'static str, default: u32) -> Duration {
    Duration::from_secs(positive(section, key, default).into())
}

/// The default port range; it lies below the ephemeral ports of Linux, so that nothing else is given them.
const RTP_PORTS: (u16, u16) = (20_000, 29_999);

/// Most media workers. More threads than cores only add switches; machines with more cores run several nodes.
const WORKERS_MAX: usize = 128;

#[cfg(test)]
mod tests;
