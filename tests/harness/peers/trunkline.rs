//! Trunkline as a process: its configuration, its figures, and its call records.

use super::process::Process;
use super::stage::{Carrier, EAST_NUMBER};
use super::{PATIENCE, wait_for, wait_up_to};
use rustix::process::Signal;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use trunkline_model::CallRecord;
use trunkline_storage::{Store, calls};

/// Most calls of one test whose records are read: those of the load test are counted instead.
const RECORDS_MAX: u16 = 100;

/// A trunk of the configuration.
#[derive(Clone)]
pub struct Trunk {
    name: &'static str,
    sources: Vec<IpAddr>,
    gateways: Vec<(SocketAddr, &'static str)>,
    keys: String,
    media: String,
    session_timer: String,
}

/// A running `trunkline serve`.
pub struct Trunkline {
    process: Process,
    ip: IpAddr,
    port_v6: Option<u16>,
    database: PathBuf,
}

/// What `/metrics` says: names with their labels, and values.
pub struct Metrics(Vec<(String, f64)>);

impl Trunk {
    /// A trunk to and from a carrier, over UDP.
    #[must_use]
    pub fn to(carrier: &Carrier) -> Self {
        Self::named(carrier.name).from(carrier.address().ip()).gateway(carrier.address(), "udp")
    }

    /// A trunk to and from a carrier, over TCP.
    #[must_use]
    pub fn over_tcp(carrier: &Carrier) -> Self {
        Self::named(carrier.name).from(carrier.address().ip()).gateway(carrier.address(), "tcp")
    }

    /// A trunk without sources and gateways.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        Self {
            name,
            sources: Vec::new(),
            gateways: Vec::new(),
            keys: String::new(),
            media: String::new(),
            session_timer: String::new(),
        }
    }

    /// Takes requests from an address.
    #[must_use]
    pub fn from(mut self, source: IpAddr) -> Self {
        self.sources.push(source);
        self
    }

    /// Has one more gateway, tried after those before it.
    #[must_use]
    pub fn gateway(mut self, address: SocketAddr, transport: &'static str) -> Self {
        self.gateways.push((address, transport));
        self
    }

    /// Sets a key of the trunk, in TOML.
    #[must_use]
    pub fn key(mut self, line: &str) -> Self {
        self.keys += line;
        self.keys += "\n";
        self
    }

    /// Sets a key of its media, in TOML.
    #[must_use]
    pub fn media(mut self, line: &str) -> Self {
        self.media += line;
        self.media += "\n";
        self
    }

    /// Sets the session interval that Trunkline asks for; 0 for none.
    #[must_use]
    pub fn session_expires(mut self, secs: u32) -> Self {
        self.session_timer = format!("expires_secs = {secs}\n");
        self
    }

    fn toml(&self) -> String {
        let sources: Vec<String> = self.sources.iter().map(|ip| format!("\"{ip}\"")).collect();
        let mut text = format!("[[trunk]]\nname = \"{}\"\nsources = [{}]\n", self.name, sources.join(", "));
        text += &self.keys;
        for (number, (address, transport)) in self.gateways.iter().enumerate() {
            let _ = write!(
                text,
                "[[trunk.gateway]]\nhost = \"{}\"\nport = {}\ntransport = \"{transport}\"\npriority = {number}\n",
                address.ip(),
                address.port()
            );
        }
        let _ = write!(text, "[trunk.media]\n{}[trunk.session_timer]\n{}\n", self.media, self.session_timer);
        text
    }
}

impl Trunkline {
    /// Starts it on an address of its own, and returns when it is ready.
    pub(super) fn start(ip: IpAddr, port_v6: Option<u16>, trunks: &[Trunk], folder: &Path) -> Self {
        let configuration = folder.join("trunkline.toml");
        std::fs::write(&configuration, toml(ip, port_v6, trunks, folder)).expect("a configuration file");
        let mut command = Command::new(binary());
        command.args(["serve", "--ready-json", "--config"]).arg(&configuration).current_dir(folder);
        let mut process = Process::start("trunkline", &mut command, folder, Stdio::null());
        wait_for("trunkline to be ready", || {
            assert!(process.ended().is_none(), "trunkline ended: {}", process.errors());
            process.output().contains('\n').then_some(())
        });
        Self { process, ip, port_v6, database: folder.join("trunkline.db") }
    }

    /// Returns where its SIP is.
    #[must_use]
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 5060)
    }

    /// Returns where its SIP is on IPv6.
    ///
    /// # Panics
    /// When it was started without.
    #[must_use]
    pub fn sip_v6(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), self.port_v6.expect("a listener on IPv6"))
    }

    /// Returns what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.errors()
    }

    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns its figures.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::of(self.ip)
    }

    /// Waits until no call is in progress, and returns the figures then.
    #[must_use]
    pub fn metrics_at_rest(&self) -> Metrics {
        wait_for("the end of all calls and bridges", || {
            let metrics = self.metrics();
            Metrics::leftovers(&metrics).is_empty().then_some(())
        });
        self.metrics()
    }

    /// Ends it with SIGTERM, as an operator would, and returns the call records it has left.
    ///
    /// # Panics
    /// When it does not end well.
    #[must_use]
    pub fn stop(mut self) -> Vec<CallRecord> {
        self.process.signal(Signal::TERM);
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "trunkline ended with {status}");
        records(&self.database)
    }
}

impl Drop for Trunkline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- trunkline: log\n{}", lines[lines.len().saturating_sub(100)..].join("\n"));
        }
    }
}

impl Metrics {
    /// Asks the gateway at this address.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        let mut stream = TcpStream::connect((ip, 9464)).expect("the metrics port");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the metrics");
        Self::read(&text)
    }

    fn read(text: &str) -> Self {
        let samples = text.lines().filter(|line| line.starts_with("trunkline_"));
        Self(
            samples
                .filter_map(|line| {
                    let (name, value) = line.rsplit_once(' ')?;
                    Some((name.to_owned(), value.parse().ok()?))
                })
                .collect(),
        )
    }

    /// Returns the sum of a metric over its labels; 0 where there is none.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.0.iter().filter(|(full, _)| full.split('{').next() == Some(name)).map(|(_, value)| value).sum()
    }

    /// Returns the sum of a metric over those of its labels that say this.
    #[must_use]
    pub fn sum_where(&self, name: &str, label: &str) -> f64 {
        let fits = |full: &str| full.split('{').next() == Some(name) && full.contains(label);
        self.0.iter().filter(|(full, _)| fits(full)).map(|(_, value)| value).sum()
    }

    /// Returns what should be nothing when no call is in progress, and is not.
    #[must_use]
    pub fn leftovers(metrics: &Self) -> Vec<String> {
        // The first must be shown at all, or an empty answer would pass.
        assert!(
            metrics.0.iter().any(|(name, _)| name == "trunkline_calls_active"),
            "the figures of calls are missing"
        );
        [
            "trunkline_calls_active",
            "trunkline_bridges",
            "trunkline_rtp_ports_in_use",
            "trunkline_records_waiting",
            "trunkline_records_lost_total",
            "trunkline_panics_total",
            "trunkline_rtp_bind_failures_total",
        ]
        .into_iter()
        .filter(|name| metrics.sum(name) != 0.0)
        .map(|name| format!("{name} {}", metrics.sum(name)))
        .collect()
    }
}

/// Returns the whole configuration.
fn toml(ip: IpAddr, port_v6: Option<u16>, trunks: &[Trunk], folder: &Path) -> String {
    let v6 = port_v6.map_or(String::new(), |port| format!(", \"[::1]:{port}\""));
    let ipv6 = if port_v6.is_some() { "::1" } else { "" };
    let mut text = format!(
        "[log]\nfilter = \"{filter}\"\n\
        [sip]\nudp = [\"{ip}:5060\"{v6}]\ntcp = [\"{ip}:5060\"{v6}]\n\
        [rtp]\nipv4 = \"{ip}\"\nipv6 = \"{ipv6}\"\n\
        [metrics]\nlisten = \"{ip}:9464\"\n\
        [http]\nlisten = []\n\
        [storage]\ndata_dir = \"{folder}\"\nurl = \"sqlite:{folder}/trunkline.db\"\n\
        [shutdown]\ndrain_secs = 5\n",
        filter = std::env::var("TRUNKLINE_TEST_LOG").unwrap_or_else(|_| "info".to_owned()),
        folder = folder.display(),
    );
    for trunk in trunks {
        text += &trunk.toml();
    }
    let names = |wanted: fn(&str) -> bool| {
        let names =
            trunks.iter().filter(|trunk| wanted(trunk.name)).map(|trunk| format!("\"{}\"", trunk.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let _ =
        write!(text, "[[did]]\nnumber = \"{EAST_NUMBER}\"\ntrunks = [{}]\n", names(|name| name != "west"));
    let _ = write!(text, "[[route]]\nprefix = \"+1206\"\ntrunks = [{}]\n", names(|name| name == "west"));
    text
}

/// Returns the binary under test.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TRUNKLINE_BIN") {
        return path.into();
    }
    // target/<profile>/deps/<test>: the release binary is beside this profile.
    let mut path = std::env::current_exe().expect("the path of this test");
    path.pop();
    path.pop();
    path.pop();
    path.push("release/trunkline");
    assert!(
        path.is_file(),
        "there is no {}: run the tests by `cargo xtask test`, which builds it",
        path.display()
    );
    path
}

fn records(database: &Path) -> Vec<CallRecord> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(&format!("sqlite:{}", database.display())).await.expect("the database");
        let mut db = store.read().await.expect("a reader");
        let (mut records, _) =
            calls::list(&mut db, &calls::Filter::default(), None, RECORDS_MAX).await.expect("the records");
        records.reverse();
        records
    })
}

/// Returns how many ports of RTP are bound at the address, by the kernel's table rather than our own figures.
///
/// # Panics
/// When the system has no such table.
#[must_use]
pub fn udp_ports_of(ip: IpAddr) -> usize {
    let IpAddr::V4(ip) = ip else { return 0 };
    let ip = format!("{:08X}", u32::from_le_bytes(ip.octets()));
    let table = std::fs::read_to_string("/proc/net/udp").expect("the kernel's table of UDP sockets");
    let bound =
        table.lines().filter_map(|line| line.split_whitespace().nth(1)?.strip_prefix(&ip)?.strip_prefix(':'));
    bound.filter(|port| u16::from_str_radix(port, 16).is_ok_and(|port| port >= 20_000)).count()
}

/// Waits until no port of RTP is bound at the address.
pub fn wait_for_free_ports(ip: IpAddr) {
    wait_up_to(Duration::from_secs(5), "every port of RTP to be closed", || {
        (udp_ports_of(ip) == 0).then_some(())
    });
}
