//! `sip-calls`: whole calls (INVITE 180 200 ACK BYE 200) a second through the gateway on one core, with a load
//! generator on the other, and through Kamailio as a stateful proxy for scale.
//!
//! The rate rises in steps of five seconds until a call fails.

#[allow(dead_code, unreachable_pub, missing_docs, clippy::disallowed_methods)]
mod load;

use anyhow::{Context as _, Result, bail};
use load::calls::{Load, Tally};
use load::process::{Server, free_port, installed, on_server_core};
use load::report::Figure;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const RATES: &[f64] = &[
    250.0, 500.0, 750.0, 1000.0, 1250.0, 1500.0, 1750.0, 2000.0, 2250.0, 2500.0, 3000.0, 3500.0, 4000.0,
    5000.0,
];

const STEP_SECS: f64 = 5.0;

/// The best step of one server.
struct Best {
    calls_per_sec: f64,
    cpu_us_per_call: f64,
    setup_ms_p50: f64,
    setup_ms_p99: f64,
}

fn main() -> Result<()> {
    let as_json = std::env::args().any(|argument| argument == "--json");
    load::pin_generator()?;
    let directory = tempfile::tempdir()?;
    let ours = climb(|load| {
        let (caller, callee) = load.addresses();
        Server::gateway(directory.path(), caller, callee)
    })?;
    let kamailio = match installed("kamailio") {
        Some(program) => Some(climb(|load| kamailio(&program, directory.path(), load.addresses().1))?),
        None => {
            eprintln!("sip-calls: Kamailio is not installed (apt-get install kamailio); no figure for scale");
            None
        }
    };
    let figure = |metric, ours, unit, theirs: Option<f64>, more_is_better| Figure {
        bench: "sip-calls",
        metric,
        ours,
        unit,
        peer: theirs.map(|value| ("kamailio stateful proxy", value)),
        more_is_better,
    };
    let peer = kamailio.as_ref();
    figure("calls_per_s", ours.calls_per_sec, "1/s", peer.map(|k| k.calls_per_sec), true).print(as_json);
    figure("cpu_per_call", ours.cpu_us_per_call, "us", peer.map(|k| k.cpu_us_per_call), false).print(as_json);
    figure("invite_to_200_p50", ours.setup_ms_p50, "ms", peer.map(|k| k.setup_ms_p50), false).print(as_json);
    figure("invite_to_200_p99", ours.setup_ms_p99, "ms", peer.map(|k| k.setup_ms_p99), false).print(as_json);
    Ok(())
}

/// Raises the rate until a call fails; returns the last step without a failure.
fn climb(start: impl FnOnce(&Load) -> Result<Server>) -> Result<Best> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut load = Load::bind(nowhere, nowhere)?;
    let mut server = start(&load)?;
    load.set_server(server.address);
    let warm_up = load.run(50.0, 50).context("the warm-up failed")?;
    if warm_up.failed > 0 || !server.is_running() {
        bail!("{} of the first 50 calls failed; what the server said is above", warm_up.failed);
    }
    let mut best = None;
    for &rate in RATES {
        let before = server.cpu()?;
        let calls = (rate * STEP_SECS) as usize;
        let tally: Tally = load.run(rate, calls)?;
        let cpu = server.cpu()? - before;
        if !server.is_running() {
            bail!("the server ended during the test");
        }
        let cpu_us_per_call = cpu.as_secs_f64() * 1e6 / calls as f64;
        eprintln!(
            "sip-calls: {rate:>6} calls/s: {} failed, {} repeated messages, {cpu_us_per_call:.0} us CPU a call",
            tally.failed, tally.repeated
        );
        if tally.failed > 0 {
            break;
        }
        best = Some(Best {
            calls_per_sec: rate,
            cpu_us_per_call,
            setup_ms_p50: tally.setup_ms(50.0),
            setup_ms_p99: tally.setup_ms(99.0),
        });
    }
    best.context("calls failed at the lowest rate")
}

/// Starts Kamailio as a stateful, record-routing proxy with one worker.
fn kamailio(program: &str, directory: &Path, callee: SocketAddr) -> Result<Server> {
    let address = free_port("127.0.0.1")?;
    let config = directory.join("kamailio.cfg");
    std::fs::write(
        &config,
        format!(
            r#"#!KAMAILIO
debug=0
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:{address}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
request_route {{
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK") && t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    record_route();
    $du = "sip:{callee}";
    t_relay();
}}
"#
        ),
    )?;
    let mut command = on_server_core(program);
    command.args(["-D", "-E", "-m", "512", "-f"]).arg(&config).arg("-Y").arg(directory);
    let server = Server::other(command, address)?;
    // It binds its port within this time or the warm-up repeats its INVITEs until it has.
    std::thread::sleep(Duration::from_secs(1));
    Ok(server)
}
