//! A gateway with a resource, its users and their tokens, a number that it owns, and a carrier.

use crate::wire::{Answer, Connection, Request, Resource, Trust};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use trunkline_tests::peers::{Addresses, Carrier, Process, Stage, binary, free_port, wait_for};

/// The number that the resource owns.
pub(crate) const NUMBER: &str = "+14255550100";

/// A number at the carrier.
pub(crate) const OUTSIDE: &str = "+12065550111";

/// A user and a token of it.
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// A running `trunkline serve` and who uses it.
pub(crate) struct Place {
    _process: Process,
    pub(crate) stage: Stage,
    pub(crate) carrier: Carrier,
    port: u16,
    contoso: Resource,
    pub(crate) users: Vec<User>,
    tokens: Value,
}

/// A check that runs in Node.
pub(crate) struct Check {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

const VERSION: &str = "api-version=2022-12-01";
const IDENTITY: &str = "api-version=2023-10-01";

impl Place {
    pub(crate) fn new() -> Self {
        let stage = Stage::new();
        let carrier = stage.carrier(0, "carrier");
        let folder = stage.folder();
        let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let path = |name: &str| folder.join(name);
        let text = configuration(stage.addresses(), port, &folder.display().to_string());
        std::fs::write(path("trunkline.toml"), text).expect("a configuration file");
        let numbers = format!("number,trunk,calling\n{NUMBER},carrier,inbound+outbound\n");
        std::fs::write(path("numbers.csv"), numbers).expect("a file of numbers");
        command(folder, &["number", "import", &path("numbers.csv").display().to_string()]);
        let contoso = resource(folder, "contoso", "localhost");
        let fabrikam = resource(folder, "fabrikam", "127.0.0.1");
        let process = serve(folder);
        let (users, tokens) = (Vec::new(), Value::Null);
        let mut place = Self { _process: process, stage, carrier, port, contoso, users, tokens };
        place.buy();
        place.populate(&fabrikam);
        place
    }

    fn exchange(&self, resource: &Resource, request: &Request) -> Answer {
        let mut connection =
            Connection::open(self.port, &Trust::read(&self.authority())).expect("a connection");
        connection.exchange(&resource.sign(request)).expect("an answer")
    }

    /// Buys the only number that there is.
    fn buy(&self) {
        let wish = json!({
            "phoneNumberType": "geographic", "assignmentType": "application",
            "capabilities": { "calling": "inbound+outbound", "sms": "none" }, "quantity": 1,
        });
        let search = Request::post(format!("/availablePhoneNumbers/countries/US/:search?{VERSION}"), &wish);
        let found = self.exchange(&self.contoso, &search);
        let id = found.header("search-id").to_owned();
        assert!(!id.is_empty(), "{}: {}", found.status, found.json());
        let wish = json!({ "searchId": id });
        let purchase = Request::post(format!("/availablePhoneNumbers/:purchase?{VERSION}"), &wish);
        let bought = self.exchange(&self.contoso, &purchase);
        assert_eq!(bought.status, 202, "{}", bought.json());
        wait_for("the number to be owned", || {
            let owned = self.exchange(&self.contoso, &Request::get(format!("/phoneNumbers?{VERSION}")));
            (owned.json()["phoneNumbers"][0]["phoneNumber"] == NUMBER).then_some(())
        });
    }

    /// Makes two users, and tokens that are no good.
    fn populate(&mut self, fabrikam: &Resource) {
        self.users = vec![self.user(&self.contoso, &["voip"]), self.user(&self.contoso, &["voip"])];
        let foreign = self.user(fabrikam, &["voip"]).token;
        let chat = self.issue(&self.users[0].id, &["chat"]);
        let gone = self.user(&self.contoso, &["voip"]);
        self.revoke(&gone.id);
        self.tokens = json!({ "foreign": foreign, "chat": chat, "revoked": gone.token });
    }

    fn user(&self, resource: &Resource, scopes: &[&str]) -> User {
        let body = json!({ "createTokenWithScopes": scopes });
        let made = self.exchange(resource, &Request::post(format!("/identities?{IDENTITY}"), &body)).json();
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        User { id: text(&made["identity"]["id"]), token: text(&made["accessToken"]["token"]) }
    }

    fn issue(&self, user: &str, scopes: &[&str]) -> String {
        let target = format!("/identities/{user}/:issueAccessToken?{IDENTITY}");
        let issued =
            self.exchange(&self.contoso, &Request::post(target, &json!({ "scopes": scopes }))).json();
        issued["token"].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned()
    }

    /// Revokes the tokens of a user.
    pub(crate) fn revoke(&self, user: &str) {
        let target = format!("/identities/{user}/:revokeAccessTokens?{IDENTITY}");
        let answer = self.exchange(&self.contoso, &Request::post(target, &json!({})));
        assert_eq!(answer.status, 204, "{}", answer.json());
    }

    /// Has calls to the number ring at users.
    pub(crate) fn assign(&self, users: &[usize]) {
        let mut arguments = vec!["number", "assign", "--number", NUMBER];
        for user in users {
            arguments.extend(["--user", &self.users[*user].id]);
        }
        command(self.stage.folder(), &arguments);
    }

    pub(crate) fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.stage.addresses().trunkline(), 5060)
    }

    fn authority(&self) -> PathBuf {
        self.stage.folder().join("tls/ca.pem")
    }

    /// Starts a check in Node.
    pub(crate) fn start(&self, name: &str) -> Check {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("users/javascript/main.cjs");
        self.drive(&driver, "users-javascript", &[name])
    }

    /// Starts a driver with a place of packages, told where everything is.
    pub(crate) fn drive(&self, driver: &Path, place: &str, arguments: &[&str]) -> Check {
        let users: Vec<Value> =
            self.users.iter().map(|user| json!({ "id": user.id, "token": user.token })).collect();
        let mut child = Command::new("node")
            .arg(driver)
            .args(arguments)
            .env("NODE_PATH", packages(place))
            .env("CA_FILE", self.authority())
            .env("URL_SIP", format!("wss://localhost:{}/sip", self.port))
            .env("HOST_SIP", "localhost")
            .env("ORIGIN", format!("https://localhost:{}", self.port))
            .env("OUTSIDE", OUTSIDE)
            .env("USERS", Value::from(users).to_string())
            .env("TOKENS", self.tokens.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Node.js starts (cargo xtask test installs it)");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Check { child, input, output: BufReader::new(output) }
    }

    /// Runs a check that needs nobody else.
    pub(crate) fn check(&self, name: &str) {
        self.start(name).passes();
    }
}

impl Check {
    /// Waits until it says so much.
    pub(crate) fn says(&mut self, wanted: &str) {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("its output") > 0 {
            if line.trim() == wanted {
                return;
            }
            line.clear();
        }
        self.ended_without(wanted)
    }

    /// Returns what it says behind a word.
    pub(crate) fn tells(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("its output") > 0 {
            if let Some(told) = line.trim().strip_prefix(word) {
                return told.trim().to_owned();
            }
            line.clear();
        }
        self.ended_without(word)
    }

    fn ended_without(&mut self, wanted: &str) -> ! {
        let mut errors = String::new();
        let _ = self.child.stderr.take().expect("a pipe").read_to_string(&mut errors);
        panic!("it ended without {wanted:?}:\n{errors}");
    }

    /// Tells it to go on.
    pub(crate) fn go_on(&mut self) {
        self.input.write_all(b"go on\n").expect("its input");
    }

    /// Waits until it has gone well.
    pub(crate) fn passes(mut self) {
        self.says("passed");
        assert!(self.child.wait().expect("its end").success());
    }
}

fn configuration(addresses: &Addresses, port: u16, folder: &str) -> String {
    format!(
        "[log]\nfilter = \"info\"\n\
        [sip]\nudp = [\"{ip}:5060\"]\ntcp = []\n\
        [rtp]\nipv4 = \"{ip}\"\n\
        [metrics]\nlisten = \"{ip}:9464\"\n\
        [storage]\ndata_dir = \"{folder}\"\nurl = \"sqlite:{folder}/trunkline.db\"\n\
        [shutdown]\ndrain_secs = 1\n\
        [http]\nlisten = [\"127.0.0.1:{port}\"]\n\
        [numbers]\nfictional = true\n\
        [[trunk]]\nname = \"carrier\"\nsources = [\"{carrier}\"]\n\
        [[trunk.gateway]]\nhost = \"{carrier}\"\n\
        [[route]]\nprefix = \"+1\"\nfrom = [\"users\"]\ntrunks = [\"carrier\"]\n",
        ip = addresses.trunkline(),
        carrier = addresses.carrier(0),
    )
}

fn resource(folder: &Path, name: &str, host: &str) -> Resource {
    let billing = ["--billing-country", "US", "--class", "paid"];
    let said =
        command(folder, &[&["resource", "create", "--name", name, "--host", host][..], &billing].concat());
    let line = said.lines().find(|line| line.contains("accesskey=")).expect("a connection string");
    Resource::parse(line)
}

/// Runs a command of the operator's, and returns what it says.
fn command(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(binary())
        .args(arguments)
        .arg("--config")
        .arg(folder.join("trunkline.toml"))
        .current_dir(folder)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "trunkline {}: {said}{errors}", arguments.join(" "));
    said
}

fn serve(folder: &Path) -> Process {
    let mut command = Command::new(binary());
    command.args(["serve", "--ready-json", "--config"]).arg(folder.join("trunkline.toml"));
    command.current_dir(folder);
    let mut process = Process::start("trunkline", &mut command, folder, Stdio::null());
    wait_for("trunkline to be ready", || {
        assert!(process.ended().is_none(), "trunkline ended: {}", process.errors());
        process.output().contains('\n').then_some(())
    });
    process
}

/// Returns the folder into which `cargo xtask test` installs a place of packages.
fn packages(place: &str) -> PathBuf {
    let packages = match std::env::var_os("TRUNKLINE_PACKAGES") {
        Some(path) => PathBuf::from(path),
        None => {
            // target/<profile>/deps/<test>: the packages are beside the profiles.
            let test = std::env::current_exe().expect("the path of this test");
            test.ancestors().nth(3).expect("a target folder").join("packages")
        }
    };
    let modules = packages.join(place).join("node_modules");
    assert!(modules.is_dir(), "{} is missing: cargo xtask test installs it", modules.display());
    modules
}
