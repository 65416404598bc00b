//! A gateway between the sandbox's carriers and customers' own systems, all of them real programs.

use super::wire::{Connection, Request, Resource, Trust};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use trunkline_tests::peers::{Addresses, PATIENCE, Process, binary, free_port, wait_for};

/// The version of the API for numbers.
const VERSION: &str = "api-version=2022-12-01";

/// The account of customers' systems.
pub(crate) const ACCOUNT: (&str, &str) = ("acme", "secret");

/// The port of SMPP.
const SMPP: u16 = 2775;

/// A gateway with a carrier, a resource with a toll-free number, and an account that sends from it.
pub(crate) struct Scene {
    pub(crate) number: String,
    gateway: Option<Process>,
    sandbox: Option<Process>,
    resource: Option<Resource>,
    https: u16,
    starts: u32,
    folder: TempDir,
    addresses: Addresses,
}

impl Scene {
    /// Starts the sandbox, and a gateway whose carrier it is over SMPP.
    pub(crate) fn over_smpp() -> Self {
        Self::over_smpp_and(|_| String::new())
    }

    /// The same, with more sections of configuration, which may name files in the folder.
    pub(crate) fn over_smpp_and(more: impl FnOnce(&Path) -> String) -> Self {
        let mut scene = Self::prepare();
        scene.start_sandbox();
        let carrier = scene.smpp_carrier("trunkline", "sandbox");
        let more = more(scene.folder());
        scene.open(&format!("{carrier}{more}"));
        scene
    }

    /// Starts the sandbox, and a gateway whose carrier it is over HTTP.
    pub(crate) fn over_http() -> Self {
        let mut scene = Self::prepare();
        scene.start_sandbox();
        let carrier = format!(
            "[[sms.carrier]]\nname = \"web\"\n[sms.carrier.http]\npreset = \"sandbox\"\n\
             private_addresses = [\"127.0.0.0/8\"]\nresponse_secs = 5\n\
             variables = {{ url = \"http://{}:2776\", key = \"sandbox\" }}\n",
            scene.carrier()
        );
        scene.open(&carrier);
        scene
    }

    /// Claims addresses, and starts nothing.
    pub(crate) fn prepare() -> Self {
        Self {
            number: String::new(),
            gateway: None,
            sandbox: None,
            resource: None,
            https: free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            starts: 0,
            folder: tempfile::tempdir().expect("a folder"),
            addresses: Addresses::claim(),
        }
    }

    /// Returns the address of the carrier.
    pub(crate) fn carrier(&self) -> IpAddr {
        self.addresses.carrier(0)
    }

    /// Returns the address of the gateway, where it takes SMPP.
    pub(crate) fn gateway(&self) -> IpAddr {
        self.addresses.trunkline()
    }

    /// Returns the folder of everything that is written.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns what the clients of the resource are given.
    pub(crate) fn connection(&self) -> &str {
        &self.resource.as_ref().expect("a resource").connection
    }

    /// Returns the certificate that clients have to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.path("tls/ca.pem")
    }

    /// Returns what the gateway has logged since it was last started.
    pub(crate) fn log(&self) -> String {
        self.gateway.as_ref().map(Process::errors).unwrap_or_default()
    }

    /// Returns the configuration of a carrier over SMPP at the carrier's address.
    pub(crate) fn smpp_carrier(&self, system_id: &str, password: &str) -> String {
        format!(
            "[[sms.carrier]]\nname = \"smsc\"\n[sms.carrier.smpp]\nhost = \"{}\"\nport = {SMPP}\n\
             system_id = \"{system_id}\"\npassword = \"{password}\"\nresponse_secs = 5\n",
            self.carrier()
        )
    }

    /// Starts a carrier of `tests/sms/esme`, in Python, at this address.
    pub(crate) fn start_peer(&self, name: &str, host: &str) -> Process {
        let mut command = Command::new(python());
        command.arg(script_path(&format!("{name}_smsc.py"))).arg(host).arg(SMPP.to_string());
        self.start(name, &mut command)
    }

    fn start_sandbox(&mut self) {
        let mut command = Command::new(binary());
        command.args(["sandbox", "--ready-json", "--listen", &format!("{}:5060", self.carrier())]);
        command.arg("--hook-ca").arg(self.path("tls/ca.pem"));
        self.sandbox = Some(self.start("sandbox", &mut command));
    }

    /// Starts the gateway with these carriers, makes the resource and buys its number.
    pub(crate) fn open(&mut self, carriers: &str) {
        let ip = self.gateway();
        let configuration = format!(
            "[log]\nfilter = \"info\"\n\
             [sip]\nudp = [\"{ip}:5060\"]\ntcp = [\"{ip}:5060\"]\n\
             [rtp]\nipv4 = \"{ip}\"\n\
             [metrics]\nlisten = \"{ip}:9464\"\n\
             [storage]\ndata_dir = \"{folder}\"\nurl = \"sqlite:{folder}/trunkline.db\"\n\
             [shutdown]\ndrain_secs = 1\n\
             [http]\nlisten = [\"127.0.0.1:{https}\"]\n\
             [numbers]\nfictional = true\n\
             [[trunk]]\nname = \"carrier\"\nsources = [\"{carrier}\"]\n\
             [sms]\nregistration = \"assumed\"\n\
             {carriers}\
             [sms.server]\nlisten = [\"{ip}:{SMPP}\"]\n\
             [[sms.account]]\nname = \"acme\"\nsystem_id = \"{id}\"\npassword = \"{password}\"\n\
             resource = \"contoso\"\nwindow = 100\n",
            folder = self.folder.path().display(),
            https = self.https,
            carrier = self.carrier(),
            id = ACCOUNT.0,
            password = ACCOUNT.1,
        );
        std::fs::write(self.path("trunkline.toml"), configuration).expect("a configuration file");
        let numbers = "number,trunk,type,calling,sms,country\n\
                       +18335550100,carrier,tollFree,inbound+outbound,inbound+outbound,US\n";
        std::fs::write(self.path("numbers.csv"), numbers).expect("a file of numbers");
        self.command(&["number", "import", &self.path("numbers.csv").display().to_string()]);
        let create = ["resource", "create", "--name", "contoso", "--host", "localhost"];
        let said = self.command(&[&create[..], &["--billing-country", "US", "--class", "paid"]].concat());
        let line = said.lines().find(|line| line.contains("accesskey=")).expect("a connection string");
        self.resource = Some(Resource::parse(line));
        self.serve();
        self.buy();
    }

    /// Starts the gateway, and returns when it is ready.
    pub(crate) fn serve(&mut self) {
        self.starts += 1;
        let mut command = Command::new(binary());
        command.args(["serve", "--ready-json", "--config"]).arg(self.path("trunkline.toml"));
        let name = format!("trunkline-{}", self.starts);
        self.gateway = Some(self.start(&name, &mut command));
    }

    /// Kills the gateway as a power cut would.
    pub(crate) fn signal_kill(&self) {
        self.gateway.as_ref().expect("a running gateway").signal(Signal::KILL);
    }

    /// Kills the gateway, unless that was done, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let mut process = self.gateway.take().expect("a running gateway");
        process.signal(Signal::KILL);
        process.wait(PATIENCE);
    }

    fn start(&self, name: &str, command: &mut Command) -> Process {
        command.current_dir(self.folder.path());
        let mut process = Process::start(name, command, self.folder.path(), Stdio::null());
        wait_for(&format!("{name} to be ready"), || {
            assert!(process.ended().is_none(), "{name} ended: {}", process.errors());
            process.output().contains('\n').then_some(())
        });
        process
    }

    /// Buys the toll-free number, as an app does.
    fn buy(&mut self) {
        let body = json!({
            "phoneNumberType": "tollFree", "assignmentType": "application", "quantity": 1,
            "capabilities": { "calling": "inbound+outbound", "sms": "inbound+outbound" },
        });
        let found =
            self.ask(&Request::post(format!("/availablePhoneNumbers/countries/US/:search?{VERSION}"), &body));
        let result = self.ask(&Request::get(found.header("location"))).json();
        self.number = result["phoneNumbers"][0].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
        let body = json!({ "searchId": found.header("search-id"), "agreeToNotResell": false });
        let bought = self.ask(&Request::post(format!("/availablePhoneNumbers/:purchase?{VERSION}"), &body));
        let operation = self.ask(&Request::get(bought.header("operation-location"))).json();
        assert_eq!(operation["status"], "succeeded", "{operation}");
    }

    /// Asks the REST API.
    pub(crate) fn ask(&self, request: &Request) -> super::wire::Answer {
        let resource = self.resource.as_ref().expect("a resource");
        let trust = Trust::read(&self.path("tls/ca.pem"));
        let mut connection = Connection::open(self.https, &trust).expect("a connection");
        let answer = connection.exchange(&resource.sign(request)).expect("an answer");
        assert!(answer.status < 300, "{answer:?}");
        answer
    }

    /// Posts octets to the HTTPS listener, unsigned; returns the status.
    pub(crate) fn post(&self, path: &str, headers: &str, body: &[u8]) -> u16 {
        let trust = Trust::read(&self.path("tls/ca.pem"));
        let mut connection = Connection::open(self.https, &trust).expect("a connection");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost:{}\r\n{headers}content-length: {}\r\n\r\n",
            self.https,
            body.len()
        );
        connection.exchange(&[head.as_bytes(), body].concat()).expect("an answer").status
    }

    /// Sends a text by the REST API; returns its id.
    pub(crate) fn send(&self, to: &str, text: &str) -> String {
        let body = json!({
            "from": self.number, "message": text, "smsRecipients": [{ "to": to }],
            "smsSendOptions": { "enableDeliveryReport": true },
        });
        let answer = self.ask(&Request::post("/sms?api-version=2021-03-07", &body)).json();
        answer["value"][0]["messageId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Runs a command of the operator's, and returns what it says.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        self.run(arguments, &["--config", &self.path("trunkline.toml").display().to_string()])
    }

    /// Runs a command of the operator's that may end in failure, and returns what it says.
    pub(crate) fn attempt(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.output(arguments).stdout).into_owned()
    }

    /// Runs a command of the operator's that is refused, and returns why.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(!output.status.success(), "trunkline {} was not refused", arguments.join(" "));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn output(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(self.path("trunkline.toml"));
        command.current_dir(self.folder.path()).output().expect("the binary runs")
    }

    fn run(&self, arguments: &[&str], more: &[&str]) -> String {
        let output = Command::new(binary())
            .args(arguments)
            .args(more)
            .current_dir(self.folder.path())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "trunkline {}: {said}{errors}", arguments.join(" "));
        said
    }

    /// Texts in from a handset, by `trunkline sandbox text`.
    pub(crate) fn text_in(&self, over: &str, from: &str, text: &str) {
        let at = format!("{}:2776", self.carrier());
        let number = self.number.clone();
        self.run(
            &["sandbox", "text", "--from", from, "--to", &number, "--over", over],
            &["--sandbox", &at, text],
        );
    }

    /// Returns what the sandbox has received, by `trunkline sandbox received`.
    pub(crate) fn received(&self, over: &str) -> Vec<Value> {
        let at = format!("{}:2776", self.carrier());
        let said = self.run(&["sandbox", "received", "--over", over], &["--sandbox", &at]);
        serde_json::from_str(&said).expect("JSON")
    }

    /// Runs a customer's system to its end: what it prints is JSON.
    pub(crate) fn esme(&self, esme: Esme, plan: &Value) -> Value {
        let mut plan = plan.clone();
        plan["host"] = json!(self.gateway().to_string());
        plan["port"] = json!(SMPP);
        plan["system_id"] = plan.get("system_id").cloned().unwrap_or_else(|| json!(ACCOUNT.0));
        plan["password"] = plan.get("password").cloned().unwrap_or_else(|| json!(ACCOUNT.1));
        plan["patience"] = json!(PATIENCE.as_secs() * 3);
        let output = esme.command().arg(plan.to_string()).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}\n{}", self.log()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Foreign libraries that customers' systems are made with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Esme {
    /// `smpplib` of PyPI.
    Smpplib,
    /// `smpp34` of PyPI.
    Smpp34,
    /// `smpp` of npm.
    Smpp,
    /// The same, going through a list of commands.
    SmppCommands,
}

impl Esme {
    fn command(self) -> Command {
        let (program, script) = match self {
            Self::Smpplib => (python(), "smpplib_esme.py"),
            Self::Smpp34 => (python(), "smpp34_esme.py"),
            Self::Smpp => (PathBuf::from("node"), "smpp_esme.cjs"),
            Self::SmppCommands => (PathBuf::from("node"), "smpp_commands.cjs"),
        };
        let mut command = Command::new(program);
        // Modules are looked for beside the script, or where this says.
        command.env("NODE_PATH", packages().join("esme-javascript/node_modules"));
        command.arg(script_path(script));
        command
    }
}

/// Returns the Python of the packages that `cargo xtask test` installs.
pub(crate) fn python() -> PathBuf {
    packages().join("esme-python/bin/python")
}

/// Returns the path of a script of `tests/sms/esme`.
pub(crate) fn script_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sms/esme").join(name)
}

fn packages() -> PathBuf {
    let folder = std::env::var_os("TRUNKLINE_PACKAGES");
    folder
        .map(PathBuf::from)
        .expect("TRUNKLINE_PACKAGES: cargo xtask test installs the packages and says where")
}
