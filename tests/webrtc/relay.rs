//! Credentials of the API at coturn.

use super::scene::Scene;
use super::wire::Request;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use trunkline_tests::peers::{Process, free_port, wait_for};

const SECRET: &str = "north";

const ISSUE: &str = "/networkTraversal/:issueRelayConfiguration?api-version=2022-03-01-preview";

#[test]
fn coturn_takes_a_credential_until_it_expires_and_no_forged_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string();
    let mut command = Command::new("turnserver");
    command.args(["-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--allow-loopback-peers"]);
    command.args(["--no-tls", "--no-dtls", "--no-cli", "--realm=trunkline", "--use-auth-secret"]);
    command.args([format!("--listening-port={port}"), format!("--static-auth-secret={SECRET}")]);
    command.args(["--log-file=stdout", "--simple-log"]).current_dir(folder.path());
    for (option, file) in [("userdb", "turn.db"), ("pidfile", "turn.pid")] {
        command.arg(format!("--{option}={}", folder.path().join(file).display()));
    }
    let mut server = Process::start("turnserver", &mut command, folder.path(), Stdio::null());
    wait_for("coturn to listen", || {
        assert!(server.ended().is_none(), "coturn ended: {}{}", server.output(), server.errors());
        server.output().contains("SQLite DB connection success").then_some(())
    });

    let scene = Scene::open(&format!(
        "[relay]\nurls = [\"turn:127.0.0.1:{port}?transport=udp\"]\nsecret = \"{SECRET}\"\n"
    ));
    let issued = scene.ask(&Request::post(ISSUE, &json!({ "ttl": 600 }))).json();
    let server = &issued["iceServers"][0];
    let text = |name: &str| server[name].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned();
    let (username, credential) = (text("username"), text("credential"));
    assert!(relays(&port, &username, &credential), "coturn refuses what was issued");
    assert!(!relays(&port, &username, "bm9ydGg="), "coturn takes a forged credential");

    let expired = scene.ask(&Request::post(ISSUE, &json!({ "ttl": 0 }))).json();
    let server = &expired["iceServers"][0];
    let text = |name: &str| server[name].as_str().unwrap_or_else(|| panic!("{expired}")).to_owned();
    // It expires with the second that it was issued in.
    wait_for("the credential to expire", || {
        (!relays(&port, &text("username"), &text("credential"))).then_some(())
    });
}

/// Whether coturn's own client can relay a few packets with a credential.
fn relays(port: &str, username: &str, credential: &str) -> bool {
    let output = Command::new("turnutils_uclient")
        .args(["-y", "-n", "5", "-m", "1", "-p", port, "-u", username, "-w", credential, "127.0.0.1"])
        .output()
        .expect("turnutils_uclient runs");
    output.status.success()
}
