//! `cargo xtask fuzz`: the targets of crates/fuzz under libFuzzer.

use crate::install::{self, BUILD, CXX_COMPILER};
use crate::shell::{cargo, root, run as run_command, say, succeeds};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::Command;

/// Options of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct Options {
    /// Which target; lists them when left out.
    target: Option<String>,
    /// How long to fuzz.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
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
    install::ensure(&[CXX_COMPILER])?;
    ensure_cargo_fuzz()?;
    // libFuzzer writes what it finds into the first folder, and only reads the others.
    let corpus = folder().join("corpus").join(target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("could not create {}", corpus.display()))?;
    let mut command = cargo_fuzz();
    // By itself it looks for a folder `fuzz` in the root.
    command.args(["run", "--fuzz-dir"]).arg(folder()).arg(target).arg(&corpus).args(seeds(target)).arg("--");
    command.arg(format!("-max_total_time={}", options.seconds));
    // No input may make anything allocate more at once; limits of messages and queues are far below.
    command.arg("-malloc_limit_mb=4");
    run_command(&mut command)
}

fn ensure_cargo_fuzz() -> Result<()> {
    if succeeds(cargo_fuzz().arg("--version")) {
        return Ok(());
    }
    say("cargo-fuzz is missing (it builds the targets for libFuzzer); installing it takes a few minutes");
    run_command(&mut cargo(["install", "--locked", "cargo-fuzz"]))
}

fn cargo_fuzz() -> Command {
    let mut command = cargo(["fuzz"]);
    // The sanitizer flags are unstable; with this the installed stable compiler takes them.
    command.current_dir(folder()).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Returns the folders of saved inputs that a target starts from; those without grow their own.
fn seeds(target: &str) -> Vec<PathBuf> {
    let folders: &[&str] = match target {
        "sip_message" | "sip_stream" => &["sip/invite", "sip/rfc4475", "sip/rfc5118"],
        "sdp" | "offer_answer" => &["sdp"],
        "sms_pdu" | "sms_session" => &["smpp"],
        _ => &[],
    };
    folders.iter().map(|folder| root().join("fixtures").join(folder)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_of_seeds_is_there_and_holds_some() {
        let targets = targets().unwrap();
        assert!(targets.iter().any(|target| target == "b2bua_model"));
        for seeds in targets.iter().flat_map(|target| seeds(target)) {
            assert!(std::fs::read_dir(&seeds).unwrap().count() > 0, "{}", seeds.display());
        }
    }
}
