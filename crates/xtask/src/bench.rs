//! `cargo xtask bench`: the benches of all crates, under one name each.

use crate::install::{self, BUILD, KAMAILIO, Need, POSTGRESQL, RTPENGINE};
use crate::shell::{cargo, say};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// A bench: its name, where it is, and what it is compared with.
struct Bench {
    name: &'static str,
    package: &'static str,
    target: &'static str,
    measures: &'static str,
    peers: &'static [Need],
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "sip-parse",
        package: "trunkline-sip",
        target: "parse",
        measures: "parsing of SIP messages, beside rsip and rsipstack on the same corpus",
        peers: &[],
    },
    Bench {
        name: "sip-calls",
        package: "trunkline-gateway",
        target: "sip_calls",
        measures: "whole calls a second on one core, beside Kamailio as a stateful proxy",
        peers: &[KAMAILIO],
    },
    Bench {
        name: "rtp-relay",
        package: "trunkline-gateway",
        target: "rtp_relay",
        measures: "CPU of a relayed packet, beside a bare receive-and-send loop and rtpengine",
        peers: &[RTPENGINE],
    },
    Bench {
        name: "rtp-leg",
        package: "trunkline-media",
        target: "leg",
        measures: "a packet from one leg to the other without sockets, beside copying it twice",
        peers: &[],
    },
    Bench {
        name: "b2bua-calls",
        package: "trunkline-call",
        target: "calls",
        measures: "whole calls a second without sockets, beside nothing but parsing their messages",
        peers: &[],
    },
    Bench {
        name: "smpp-pdu",
        package: "trunkline-sms",
        target: "pdu",
        measures: "reading and writing of a PDU, beside the bare codec",
        peers: &[],
    },
    Bench {
        name: "storage",
        package: "trunkline-storage",
        target: "write",
        measures: "units of work a second that reach the disk, beside a bare fdatasync each",
        peers: &[],
    },
    Bench {
        name: "transcode-core",
        package: "trunkline-call",
        target: "transcode",
        measures: "calls between Opus and G.711 on one core, inside a bridge, beside libopus alone",
        peers: &[],
    },
    Bench {
        name: "rest",
        package: "trunkline-api",
        target: "rest",
        measures: "requests a second on SQLite and PostgreSQL, beside a bare axum handler",
        peers: &[POSTGRESQL],
    },
];

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Which one; all when left out.
    name: Option<String>,
    /// Print nothing but one JSON object a line on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the benches one after the other: two at once would measure each other.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen: Vec<&Bench> = BENCHES
        .iter()
        .filter(|bench| options.name.as_deref().is_none_or(|name| name == bench.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        bail!("there is no such bench; there are: {}", names.join(", "));
    }
    install::ensure(BUILD)?;
    for bench in chosen {
        measure(bench, options.json).with_context(|| format!("bench {}", bench.name))?;
    }
    Ok(())
}

fn measure(bench: &Bench, json: bool) -> Result<()> {
    say(format!("{}: {}", bench.name, bench.measures));
    if let Err(error) = install::ensure(bench.peers) {
        // Ours is measured all the same; only the comparison is missing.
        say(format!("{error:#}"));
    }
    let mut command = cargo(["bench", "--quiet", "--package", bench.package, "--bench", bench.target, "--"]);
    if json {
        command.arg("--json");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("could not start cargo bench")?;
    let output = child.stdout.take().context("the child has no output")?;
    let mut results = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let is_result = is_result(&line);
        results += u32::from(is_result);
        if is_result || !json {
            println!("{line}");
        } else {
            eprintln!("{line}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("failed: {status}");
    }
    if json && results == 0 {
        bail!("it printed no result");
    }
    Ok(())
}

/// Whether the line is a measurement, in the shape that readers of `--json` rely on.
fn is_result(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|value| {
        ["bench", "metric", "unit"].iter().all(|key| value[key].is_string()) && value["ours"].is_number()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_measurements_reach_standard_output_as_json() {
        assert!(is_result(r#"{"bench":"sip-parse","metric":"invite","ours":1.1,"unit":"us"}"#));
        assert!(!is_result("running 1 test"));
        assert!(!is_result(r#"{"bench":"sip-parse"}"#));
        assert!(!is_result("7"));
    }
}
