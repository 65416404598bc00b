//! The official clients for texts, as processes: each sends to the sandbox through a gateway of its own.

use super::scene::Scene;
use super::subscriber::{packages, python};
use std::path::Path;
use std::process::Command;

/// What each client is checked for.
const SENDING: &[&str] = &[
    "send_to_one",
    "send_to_many_with_options",
    "send_to_a_hundred",
    "a_request_that_comes_twice_is_one_message",
    "a_sender_of_nobody_is_401",
    "another_key_is_401",
    "what_is_no_request_is_400",
];

/// What the beta of the JavaScript client is checked for besides.
const OPT_OUTS: &[&str] = &[
    "opt_outs_are_added_checked_and_removed",
    "opt_outs_of_a_sender_of_nobody_are_401",
    "messaging_connect_is_refused",
];

#[test]
fn the_python_client_sends() {
    checks(&mut Client::Python("sync").command(), SENDING);
}

#[test]
fn the_asynchronous_python_client_sends() {
    checks(&mut Client::Python("aio").command(), SENDING);
}

#[test]
fn the_javascript_client_sends() {
    let expected: Vec<&str> = SENDING.iter().copied().filter(|name| *name != "another_key_is_401").collect();
    checks(&mut Client::JavaScript("ga").command(), &expected);
}

#[test]
fn the_beta_of_the_javascript_client_sends_and_keeps_opt_outs() {
    let sending = SENDING.iter().copied().filter(|name| *name != "another_key_is_401");
    let expected: Vec<&str> = sending.chain(OPT_OUTS.iter().copied()).collect();
    checks(&mut Client::JavaScript("beta").command(), &expected);
}

enum Client {
    Python(&'static str),
    JavaScript(&'static str),
}

impl Client {
    fn command(&self) -> Command {
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("sms/clients");
        match self {
            Self::Python(mode) => {
                let mut command = Command::new(python());
                // Nothing is left beside the sources.
                command.arg("-B").arg(drivers.join("python/driver.py")).arg(mode);
                command
            }
            Self::JavaScript(release) => {
                let mut command = Command::new("node");
                command.arg(drivers.join("javascript/driver.cjs")).arg(release);
                command.env("NODE_PATH", packages().join("sms-javascript/node_modules"));
                command
            }
        }
    }
}

/// Runs a client's checks, and asserts that each was made and went well.
fn checks(command: &mut Command, expected: &[&str]) {
    let scene = Scene::over_smpp();
    let output = command
        .env("TRUNKLINE_CONNECTION", scene.connection())
        .env("TRUNKLINE_NUMBER", &scene.number)
        // The one thing that clients are told besides the connection string: whom to trust.
        .env("REQUESTS_CA_BUNDLE", scene.authority())
        .env("SSL_CERT_FILE", scene.authority())
        .env("NODE_EXTRA_CA_CERTS", scene.authority())
        .output()
        .expect("the client starts (cargo xtask test installs it)");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let explained = String::from_utf8_lossy(&output.stderr).into_owned();
    let made: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    assert!(output.status.success(), "{said}\n{explained}\n{}", scene.log());
    assert_eq!(made, expected, "the driver's checks are not those that are listed here\n{explained}");
}
