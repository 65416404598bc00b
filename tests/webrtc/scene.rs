//! A gateway between the sandbox's carrier and a user of a resource, all of them real programs.

use super::wire::{Answer, Connection, Request, Resource, Trust};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use trunkline_tests::peers::{Addresses, Process, binary, free_port, wait_for};

/// The version of the API for numbers.
const NUMBERS: &str = "api-version=2022-12-01";

/// The version of the API for users.
const IDENTITY: &str = "api-version=2023-10-01";

/// The number at which the sandbox says back what it hears.
const ECHO: &str = "+14255550100";

/// How long aiortc listens.
const SECONDS: f64 = 6.0;

/// A gateway with a carrier, and a resource with a number and a user.
pub(crate) struct Scene {
    user: String,
    token: String,
    resource: Resource,
    https: u16,
    gateway: Process,
    _sandbox: Process,
    folder: TempDir,
    addresses: Addresses,
}

impl Scene {
    /// Starts the programs, with more sections of configuration, and makes the resource with its number and user.
    pub(crate) fn open(more: &str) -> Self {
        let addresses = Addresses::claim();
        let folder = tempfile::tempdir().expect("a folder");
        let https = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (ip, carrier) = (addresses.trunkline(), addresses.carrier(0));
        let configuration = format!(
            "[log]\nfilter = \"info\"\n\
             [sip]\nudp = [\"{ip}:5060\"]\ntcp = []\n\
             [rtp]\nipv4 = \"{ip}\"\nworkers = 1\n\
             [metrics]\nlisten = \"{ip}:9464\"\n\
             [storage]\ndata_dir = \"{folder}\"\nurl = \"sqlite:{folder}/trunkline.db\"\n\
             [shutdown]\ndrain_secs = 1\n\
             [http]\nlisten = [\"127.0.0.1:{https}\"]\n\
             [numbers]\nfictional = true\n\
             [[trunk]]\nname = \"carrier\"\nsources = [\"{carrier}\"]\n\
             [[trunk.gateway]]\nhost = \"{carrier}\"\n\
             [[route]]\nprefix = \"+1\"\ntrunks = [\"carrier\"]\n\
             {more}",
            folder = folder.path().display(),
        );
        std::fs::write(folder.path().join("trunkline.toml"), configuration).expect("a configuration file");
        let start = |name: &str, arguments: &[&str]| start(name, arguments, folder.path());
        let sandbox = start("sandbox", &["sandbox", "--ready-json", "--listen", &format!("{carrier}:5060")]);
        let numbers = "number,trunk,type,calling,sms,country\n\
                       +18335550100,carrier,tollFree,inbound+outbound,inbound+outbound,US\n";
        let list = folder.path().join("numbers.csv");
        std::fs::write(&list, numbers).expect("a file of numbers");
        run(&["number", "import", &list.display().to_string()], folder.path());
        let create = ["resource", "create", "--name", "contoso", "--host", "localhost"];
        let said =
            run(&[&create[..], &["--billing-country", "US", "--class", "paid"]].concat(), folder.path());
        let line = said.lines().find(|line| line.contains("accesskey=")).expect("a connection string");
        let resource = Resource::parse(line);
        let gateway = start("trunkline", &["serve", "--ready-json", "--config", "trunkline.toml"]);
        let (user, token) = (String::new(), String::new());
        let mut scene = Self { user, token, resource, https, gateway, _sandbox: sandbox, folder, addresses };
        scene.buy();
        let body = json!({ "createTokenWithScopes": ["voip"] });
        let created = scene.ask(&Request::post(format!("/identities?{IDENTITY}"), &body)).json();
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{created}")).to_owned();
        scene.user = text(&created["identity"]["id"]);
        scene.token = text(&created["accessToken"]["token"]);
        scene
    }

    /// Lets aiortc call the number that echoes, and returns what it heard.
    pub(crate) fn calls_the_echo(&self, tone_hz: f64) -> Value {
        let output = Command::new(packages().join("webrtc-python/bin/python"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("webrtc/peer.py"))
            .args(["localhost", &self.https.to_string()])
            .arg(self.authority())
            .args([self.user.strip_prefix("8:acs:").unwrap_or(&self.user), &self.token, ECHO])
            .args([tone_hz.to_string(), SECONDS.to_string()])
            .output()
            .expect("Python runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}\n{}", self.log()))
    }

    /// Asks the REST API.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        let trust = Trust::read(&self.authority());
        let mut connection = Connection::open(self.https, &trust).expect("a connection");
        let answer = connection.exchange(&self.resource.sign(request)).expect("an answer");
        assert!(answer.status < 300, "{answer:?}");
        answer
    }

    /// Returns what the gateway has logged.
    pub(crate) fn log(&self) -> String {
        self.gateway.errors()
    }

    /// Returns the figures once no browser has a leg.
    pub(crate) fn metrics_at_rest(&self) -> String {
        wait_for("the end of all legs", || {
            self.metrics().contains("trunkline_browsers{worker=\"0\"} 0\n").then_some(())
        });
        self.metrics()
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect((self.addresses.trunkline(), 9464)).expect("the metrics port");
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the metrics");
        text
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("tls/ca.pem")
    }

    /// Buys the toll-free number, as an app does: a user shows it when it calls.
    fn buy(&self) {
        let body = json!({
            "phoneNumberType": "tollFree", "assignmentType": "application", "quantity": 1,
            "capabilities": { "calling": "inbound+outbound", "sms": "inbound+outbound" },
        });
        let search = format!("/availablePhoneNumbers/countries/US/:search?{NUMBERS}");
        let found = self.ask(&Request::post(search, &body));
        let body = json!({ "searchId": found.header("search-id"), "agreeToNotResell": false });
        let bought = self.ask(&Request::post(format!("/availablePhoneNumbers/:purchase?{NUMBERS}"), &body));
        let operation = self.ask(&Request::get(bought.header("operation-location"))).json();
        assert_eq!(operation["status"], "succeeded", "{operation}");
    }
}

fn start(name: &str, arguments: &[&str], folder: &Path) -> Process {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder);
    let mut process = Process::start(name, &mut command, folder, Stdio::null());
    wait_for(&format!("{name} to be ready"), || {
        assert!(process.ended().is_none(), "{name} ended: {}", process.errors());
        process.output().contains('\n').then_some(())
    });
    process
}

fn run(arguments: &[&str], folder: &Path) -> String {
    let mut command = Command::new(binary());
    command.args(arguments).args(["--config", "trunkline.toml"]).current_dir(folder);
    let output = command.output().expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "trunkline {}: {errors}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the folder of the packages that `cargo xtask test` installs.
fn packages() -> PathBuf {
    let folder = std::env::var_os("TRUNKLINE_PACKAGES");
    folder
        .map(PathBuf::from)
        .expect("TRUNKLINE_PACKAGES: cargo xtask test installs the packages and says where")
}
