//! `cargo xtask ci`: every check, the cheap ones first, then `cargo xtask test`.

mod architecture;
mod source;

use crate::console;
use crate::install::{self, BUILD};
use crate::shell::{cargo, run as run_command, say, succeeds};
use crate::test;
use anyhow::{Result, bail};

/// Runs all checks and then all tests.
pub(crate) fn run() -> Result<()> {
    install::ensure(BUILD)?;
    // Fails where Cargo.lock is not what the manifests ask for; all that follows is then of the committed versions.
    run_command(&mut cargo(["fetch", "--locked"]))?;
    run_command(&mut cargo(["fmt", "--all", "--check"]))?;
    structure()?;
    dependencies()?;
    // Before anything is compiled, as the pages become part of a crate.
    console::ensure()?;
    run_command(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    say("all checks passed; now the tests");
    test::run(&test::Options::default())
}

/// Checks the architecture, and says everything that is wrong at once.
fn structure() -> Result<()> {
    say("checking the architecture");
    let mut faults = architecture::faults()?;
    faults.extend(source::faults()?);
    for fault in &faults {
        say(fault);
    }
    if faults.is_empty() { Ok(()) } else { bail!("the architecture check found {} faults", faults.len()) }
}

/// Checks licences, sources and bans of everything we depend on.
///
/// cargo-deny takes longer to build than all the rest of CI, so it is used where it is installed and not demanded. The
/// advisory database is not looked at: it is fetched by git at each run, and CI must not depend on a server.
fn dependencies() -> Result<()> {
    if !succeeds(&mut cargo(["deny", "--version"])) {
        say("cargo-deny is not installed; only the licences and sources are checked");
        return run_licences();
    }
    run_command(&mut cargo(["deny", "--offline", "check", "bans", "licenses", "sources"]))
}

fn run_licences() -> Result<()> {
    let faults = architecture::licence_faults()?;
    for fault in &faults {
        say(fault);
    }
    if faults.is_empty() { Ok(()) } else { bail!("{} dependencies may not be used", faults.len()) }
}
