//! `cargo xtask run`: the gateway, a carrier to talk to, and how to place the first call.

use crate::child::Running;
use crate::install::{self, BUILD};
use crate::shell::{cargo, root, run as run_command, say};
use anyhow::{Context, Result};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Something to say in the first call.
const GREETING: &str = "fixtures/audio/greeting.wav";

/// Options of `cargo xtask run`.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's configuration.
    #[arg(long, default_value = "config/sandbox.toml")]
    config: PathBuf,
}

/// Runs gateway and sandbox until Ctrl-C.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Before anything is started, so that a signal in between still stops what was.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("could not watch for Ctrl-C")?;
    install::ensure(BUILD)?;
    say("building the release binary (the first time takes some minutes)");
    run_command(&mut cargo(["build", "--release", "--package", "trunkline-gateway"]))?;
    let binary = release_binary()?;

    say("starting the sandbox, a carrier with magic numbers");
    let mut sandbox = Command::new(&binary);
    sandbox.args(["sandbox", "--ready-json"]).current_dir(root());
    let (mut sandbox, sandbox_ready) = Running::start("sandbox", &mut sandbox)?;
    say(format!("starting the gateway with {}", options.config.display()));
    let mut gateway = Command::new(&binary);
    gateway.args(["serve", "--ready-json", "--config"]).arg(&options.config).current_dir(root());
    let (mut gateway, gateway_ready) = Running::start("gateway", &mut gateway)?;

    println!("\ngateway: {}\nsandbox: {}", gateway_ready.trim(), sandbox_ready.trim());
    println!("\nPlace the first call, in another terminal of this folder. It is echoed, and recorded:");
    println!("  {} call +14255550100 --play {GREETING} --record echo.wav", shown(&binary));
    println!("\nOther numbers, such as a digit menu: {} sandbox --help", shown(&binary));
    println!("Call records: .data/trunkline.db. Ctrl-C stops both.");

    loop {
        if signals.pending().next().is_some() {
            gateway.stop();
            sandbox.stop();
            return Ok(());
        }
        for child in [&mut gateway, &mut sandbox] {
            if let Some(status) = child.ended()? {
                anyhow::bail!("a program that should keep running has ended: {status}");
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Returns a path as one would type it in the root of the workspace.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Returns the path of the release binary.
fn release_binary() -> Result<PathBuf> {
    Ok(crate::test::metadata()?.target_directory.join("release/trunkline"))
}
