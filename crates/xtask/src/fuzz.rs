//! `cargo xtask fuzz`: the targets of crates/fuzz under libFuzzer.

use crate::install::{self, BUILD};
use crate::shell::{cargo, root, run as run_command, succeeds};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;

/// Options of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct Options {
    /// Which target; lists them when left out.
    target: Option<String>,
    /// How long to fuzz.
    #[arg(long, default_value_t = 60)]
    secs: u32,
}

/// Fuzzes one target, or lists them.
pub(crate) fn run(options: &Options) -> Result<()> {
    let targets = targets()?;
    let Some(target) = &options.target else {
        for target in targets {
            println!("{target}");
        }
        return Ok(());
    };
    if !targets.contains(target) {
        bail!("there is no target {target}; there are: {}", targets.join(", "));
    }
    install::ensure(BUILD)?;
    if !succeeds(&mut cargo(["fuzz", "--version"])) {
        bail!("cargo-fuzz is missing; `cargo install --locked cargo-fuzz` installs it in a few minutes");
    }
    let mut command = cargo(["fuzz", "run", target, "--"]);
    command.arg(format!("-max_total_time={}", options.secs)).current_dir(folder());
    // The sanitizer flags are unstable; with this the installed stable compiler takes them.
    command.env("RUSTC_BOOTSTRAP", "1");
    run_command(&mut command)
}

fn folder() -> PathBuf {
    root().join("crates/fuzz")
}

fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let files =
        std::fs::read_dir(&folder).with_context(|| format!("no fuzz targets in {}", folder.display()))?;
    let mut names: Vec<String> = files
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}
