//! A gateway whose REST plane the tests use: its configuration, its stock of numbers, its resources, its crashes.

use super::wire::{Connection, Resource, Trust};
use rustix::process::Signal;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use trunkline_tests::peers::{Addresses, Metrics, PATIENCE, Process, binary, free_port, wait_for};

/// The rule tables and rates that a gateway starts with.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Lines of the built-in tables to replace.
    changes: &'static [(&'static str, &'static str)],
    /// Lines of `[http.rates]`.
    rates: &'static str,
}

/// A running `trunkline serve`, which can be killed and started again.
pub(crate) struct Edge {
    process: Option<Process>,
    folder: TempDir,
    addresses: Addresses,
    port: u16,
    rules: Rules,
    url: String,
    resources: Vec<Resource>,
    starts: u32,
}

/// A part of the stock: the fictional lines of an area code from one to another.
pub(crate) struct Stock {
    pub(crate) area: u16,
    pub(crate) kind: &'static str,
    pub(crate) region: &'static str,
    pub(crate) city: &'static str,
    pub(crate) lines: std::ops::Range<u16>,
}

impl Rules {
    /// As shipped, but for quotas that a test would meet by accident.
    pub(crate) const WIDE: Self = Self {
        changes: &[
            ("searches_per_tenant_per_week = 5", "searches_per_tenant_per_week = 100000"),
            ("purchase_requests_per_tenant = 1\n", "purchase_requests_per_tenant = 100\n"),
        ],
        rates: "",
    };

    /// As shipped.
    pub(crate) const SHIPPED: Self = Self { changes: &[], rates: "" };

    /// As shipped, and a rate that is soon reached and soon there again.
    pub(crate) const NARROW: Self = Self {
        changes: &[],
        rates: "requests_max = 20\nissue_max = 20\nrevoke_max = 20\nwindow_secs = 10\n",
    };

    /// As shipped, but what is held is held for seconds only.
    pub(crate) const SHORT: Self = Self { changes: &[("ttl_s = 900", "ttl_s = 3")], rates: "" };

    /// Wide, and what is held is held for seconds: what a killed gateway held is for sale again before the test ends.
    pub(crate) const FORGETFUL: Self = Self {
        changes: &[Self::WIDE.changes[0], Self::WIDE.changes[1], ("ttl_s = 900", "ttl_s = 4")],
        rates: "",
    };

    fn text(self) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/numbers/data/rules.toml");
        let mut text = std::fs::read_to_string(path).expect("the built-in rules");
        for (from, to) in self.changes {
            assert!(text.contains(from), "the built-in rules do not say {from}");
            text = text.replace(from, to);
        }
        text
    }
}

/// What the checks of the clients find for sale.
const STOCK: &[Stock] = &[
    Stock { area: 206, kind: "geographic", region: "WA", city: "Seattle", lines: 100..140 },
    Stock { area: 212, kind: "geographic", region: "NY", city: "New York City", lines: 100..110 },
    Stock { area: 332, kind: "geographic", region: "NY", city: "New York City", lines: 100..102 },
    Stock { area: 833, kind: "tollFree", region: "", city: "", lines: 100..110 },
];

impl Edge {
    /// Starts a gateway on a database of its own, with a few numbers to sell, a resource that may buy them, and one
    /// that may not.
    pub(crate) fn start(rules: Rules) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("trunkline.db").display());
        let mut edge = Self::prepare(folder, url, rules);
        edge.stock(STOCK);
        edge.add_resource("contoso", "localhost", "US");
        edge.add_resource("fabrikam", "127.0.0.1", "GB");
        edge.serve();
        edge
    }

    /// Prepares a gateway on a database, without starting it.
    pub(crate) fn prepare(folder: TempDir, url: String, rules: Rules) -> Self {
        let addresses = Addresses::claim();
        let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let edge =
            Self { process: None, folder, addresses, port, rules, url, resources: Vec::new(), starts: 0 };
        std::fs::write(edge.path("rules.toml"), rules.text()).expect("the rules");
        std::fs::write(edge.path("trunkline.toml"), edge.configuration()).expect("a configuration file");
        edge
    }

    fn configuration(&self) -> String {
        format!(
            "[log]\nfilter = \"info\"\n\
            [sip]\nudp = [\"{ip}:5060\"]\ntcp = [\"{ip}:5060\"]\n\
            [rtp]\nipv4 = \"{ip}\"\n\
            [metrics]\nlisten = \"{ip}:9464\"\n\
            [storage]\ndata_dir = \"{folder}\"\nurl = \"{url}\"\n\
            [shutdown]\ndrain_secs = 1\n\
            [http]\nlisten = [\"127.0.0.1:{port}\"]\n\
            [http.rates]\n{rates}\
            [numbers]\nrules = \"{folder}/rules.toml\"\nfictional = true\n\
            [[trunk]]\nname = \"carrier\"\nsources = [\"{carrier}\"]\n",
            ip = self.addresses.trunkline(),
            carrier = self.addresses.carrier(0),
            folder = self.folder.path().display(),
            url = self.url,
            port = self.port,
            rates = self.rules.rates,
        )
    }

    /// Imports numbers, as an operator does.
    pub(crate) fn stock(&self, stock: &[Stock]) {
        let mut text = "number,trunk,type,calling,sms,country,region,city,monthly_cost,currency\n".to_owned();
        for Stock { area, kind, region, city, lines } in stock {
            for line in lines.clone() {
                let _ = writeln!(
                    text,
                    "+1{area}5550{line},carrier,{kind},inbound+outbound,inbound+outbound,US,{region},{city},0.40,USD"
                );
            }
        }
        let file = self.path("numbers.csv");
        std::fs::write(&file, text).expect("a file of numbers");
        self.command(&["number", "import", &file.display().to_string()]);
    }

    /// Makes a resource that pays, as an operator does.
    pub(crate) fn add_resource(&mut self, name: &str, host: &str, country: &str) {
        let said = self.command(&[
            "resource",
            "create",
            "--name",
            name,
            "--host",
            host,
            "--billing-country",
            country,
            "--class",
            "paid",
        ]);
        let line = said.lines().find(|line| line.contains("accesskey=")).expect("a connection string");
        self.resources.push(Resource::parse(line));
    }

    /// Runs a command of the operator's, and returns what it says.
    fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(binary())
            .args(arguments)
            .arg("--config")
            .arg(self.path("trunkline.toml"))
            .current_dir(self.folder.path())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "trunkline {}: {said}{errors}", arguments.join(" "));
        said
    }

    /// Starts it, and returns when it is ready.
    pub(crate) fn serve(&mut self) {
        self.starts += 1;
        let mut command = Command::new(binary());
        command.args(["serve", "--ready-json", "--config"]).arg(self.path("trunkline.toml"));
        command.current_dir(self.folder.path());
        let name = format!("trunkline-{}", self.starts);
        let mut process = Process::start(&name, &mut command, self.folder.path(), Stdio::null());
        wait_for("trunkline to be ready", || {
            assert!(process.ended().is_none(), "trunkline ended: {}", process.errors());
            process.output().contains('\n').then_some(())
        });
        self.process = Some(process);
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("a running gateway");
        process.signal(Signal::KILL);
        process.wait(PATIENCE);
    }

    /// Returns the resource that may buy.
    pub(crate) fn eligible(&self) -> &Resource {
        &self.resources[0]
    }

    /// Returns the resource that may not buy, for its billing country.
    pub(crate) fn ineligible(&self) -> &Resource {
        &self.resources[1]
    }

    /// Returns all resources.
    pub(crate) fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Returns the file of an SQLite database.
    pub(crate) fn database_file(&self) -> PathBuf {
        self.path("trunkline.db")
    }

    /// Returns the certificate that clients have to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.path("tls/ca.pem")
    }

    /// Returns the port of HTTPS.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns whom to trust.
    pub(crate) fn trust(&self) -> Trust {
        Trust::read(&self.authority())
    }

    /// Connects to it.
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.port, &self.trust())
    }

    /// Returns what it has logged since it was last started.
    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(Process::errors).unwrap_or_default()
    }

    /// Returns how often it has answered 500 since it was last started.
    pub(crate) fn server_errors(&self) -> u64 {
        self.answers("status=\"500\"")
    }

    /// Returns how often it has answered to an operation since it was last started.
    pub(crate) fn answers_to(&self, operation: &str) -> u64 {
        self.answers(&format!("operation=\"{operation}\""))
    }

    fn answers(&self, label: &str) -> u64 {
        let metrics = Metrics::of(self.addresses.trunkline());
        metrics.sum_where("trunkline_http_requests_total", label) as u64
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
