//! `cargo xtask test`: installs the peers that the tests talk to, builds, and runs the tests.

use crate::console;
use crate::install::{self, BARESIP, BUILD, CHROMIUM, COTURN, KANNEL, KANNEL_EXTRAS, Need, POSTGRESQL, SIPP};
use crate::packages;
use crate::shell::{cargo, output, run as run_command, say, succeeds};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The package of tests that start the real binary and real peers.
const PROCESS_TESTS: &str = "trunkline-tests";

/// The crates whose own tests run on PostgreSQL too.
const ON_POSTGRESQL: &[&str] = &["trunkline-storage", "trunkline-api"];

/// Every program that tests talk to.
const ALL_PEERS: &[Need] = &[SIPP, BARESIP, CHROMIUM, COTURN, KANNEL, KANNEL_EXTRAS, POSTGRESQL];

/// The crate that the console is part of.
const CONSOLE: &str = "trunkline-api";

/// Options of `cargo xtask test`.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// A crate (`sip`), a file of tests/ (`sipp`), or a part of a test's name; everything when left out.
    filter: Option<String>,
}

/// What the filter means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Selection {
    All,
    /// All tests of one package.
    Package(String),
    /// All tests of one file of tests/.
    File(String),
    /// Tests whose name contains the text.
    Name(String),
}

/// What `cargo metadata` says that the commands here need.
pub(crate) struct Metadata {
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
    packages: Vec<String>,
    test_files: Vec<String>,
}

/// Installs, builds, tests.
pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = metadata()?;
    let selection = Selection::read(options.filter.as_deref(), &metadata);
    install::ensure(BUILD)?;
    install::ensure(selection.peers())?;
    let binary = metadata.target_directory.join("release/trunkline");
    if selection.starts_the_binary() {
        console::ensure()?;
        say("building the release binary: SIPp and baresip talk to what is shipped");
        run_command(&mut cargo(["build", "--release", "--package", "trunkline-gateway"]))?;
    }
    let mut command = runner(&selection)?;
    command.env("TRUNKLINE_BIN", binary);
    if selection.runs_clients() {
        command.env("TRUNKLINE_PACKAGES", packages::ensure(&metadata.target_directory)?);
    }
    if selection.tests_the_console() {
        console::test()?;
    }
    run_command(&mut command)
}

/// Returns the command that runs the tests: nextest where it is installed, else cargo's own.
///
/// nextest is not installed when it is missing: building it takes longer than the tests, and `cargo test` runs them
/// all. Doc tests, which nextest leaves out, run before, so that its closing line is the last.
fn runner(selection: &Selection) -> Result<Command> {
    if !succeeds(&mut cargo(["nextest", "--version"])) {
        say("cargo-nextest is not installed; using cargo test");
        let mut command = cargo(["test", "--no-fail-fast"]);
        command.args(selection.packages()).args(selection.cargo_test_names());
        return Ok(command);
    }
    if matches!(selection, Selection::All) {
        run_command(cargo(["test", "--doc", "--quiet"]).args(selection.packages()))?;
    }
    let mut command = cargo(["nextest", "run", "--no-fail-fast"]);
    command.args(selection.packages()).args(selection.nextest_names());
    Ok(command)
}

impl Selection {
    fn read(filter: Option<&str>, metadata: &Metadata) -> Self {
        let Some(filter) = filter else { return Self::All };
        let package = format!("trunkline-{filter}");
        if metadata.test_files.iter().any(|file| file == filter) {
            Self::File(filter.to_owned())
        } else if metadata.packages.contains(&package) {
            Self::Package(package)
        } else {
            Self::Name(filter.to_owned())
        }
    }

    /// The programs its tests talk to.
    fn peers(&self) -> &'static [Need] {
        match self {
            Self::All | Self::Name(_) => ALL_PEERS,
            Self::Package(name) if name == PROCESS_TESTS => ALL_PEERS,
            Self::Package(name) if ON_POSTGRESQL.contains(&name.as_str()) => &[POSTGRESQL],
            Self::Package(_) => &[],
            Self::File(name) if name == "sipp" || name == "users" => &[SIPP],
            Self::File(name) if name == "browser" => &[SIPP, CHROMIUM],
            Self::File(name) if name == "baresip" => &[BARESIP],
            Self::File(name) if name == "acs" => &[POSTGRESQL],
            Self::File(name) if name == "webrtc" => &[COTURN],
            Self::File(name) if name == "sms" => &[KANNEL, KANNEL_EXTRAS, POSTGRESQL],
            Self::File(_) => &[],
        }
    }

    /// Whether some of its tests may start `trunkline`.
    fn starts_the_binary(&self) -> bool {
        match self {
            Self::All | Self::Name(_) | Self::File(_) => true,
            Self::Package(name) => name == PROCESS_TESTS,
        }
    }

    /// Whether some of its tests may run the official clients.
    fn runs_clients(&self) -> bool {
        match self {
            Self::All | Self::Name(_) => true,
            Self::Package(name) => name == PROCESS_TESTS,
            Self::File(name) => ["acs", "sms", "users", "browser", "webrtc"].contains(&name.as_str()),
        }
    }

    /// Whether the console's own tests, which run in Node, are among them.
    fn tests_the_console(&self) -> bool {
        match self {
            Self::All => true,
            Self::Package(name) => name == CONSOLE,
            Self::Name(_) | Self::File(_) => false,
        }
    }

    fn packages(&self) -> Vec<&str> {
        match self {
            Self::All | Self::Name(_) => vec!["--workspace"],
            Self::Package(name) => vec!["--package", name],
            Self::File(name) => vec!["--package", PROCESS_TESTS, "--test", name],
        }
    }

    fn nextest_names(&self) -> Vec<&str> {
        match self {
            Self::Name(text) => vec![text],
            Self::All | Self::Package(_) | Self::File(_) => vec![],
        }
    }

    fn cargo_test_names(&self) -> Vec<&str> {
        match self {
            // Unlike nextest, cargo test would run real peers beside each other without knowing which test must be
            // alone on the machine, and those keep time.
            Self::All | Self::Package(_) | Self::File(_) => vec!["--", "--test-threads=1"],
            Self::Name(text) => vec![text, "--", "--test-threads=1"],
        }
    }
}

/// Asks cargo about the workspace.
pub(crate) fn metadata() -> Result<Metadata> {
    let text = output(&mut cargo(["metadata", "--format-version=1", "--no-deps"]))?;
    read_metadata(&serde_json::from_str(&text)?).context("cargo metadata has changed its shape")
}

fn read_metadata(value: &Value) -> Option<Metadata> {
    let packages = value["packages"].as_array()?;
    let name = |value: &Value| value["name"].as_str().map(str::to_owned);
    let test_files = packages
        .iter()
        .filter(|package| package["name"] == PROCESS_TESTS)
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .filter(|target| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "test"))
        })
        .filter_map(name)
        .collect();
    Some(Metadata {
        target_directory: value["target_directory"].as_str()?.into(),
        packages: packages.iter().filter_map(name).collect(),
        test_files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            target_directory: "target".into(),
            packages: vec!["trunkline-sip".into(), PROCESS_TESTS.into()],
            test_files: vec!["sipp".into(), "acs".into()],
        }
    }

    #[test]
    fn a_filter_is_a_file_of_tests_then_a_crate_then_a_part_of_a_name() {
        let read = |filter| Selection::read(filter, &metadata());
        assert_eq!(read(None), Selection::All);
        assert_eq!(read(Some("sipp")), Selection::File("sipp".into()));
        assert_eq!(read(Some("sip")), Selection::Package("trunkline-sip".into()));
        assert_eq!(read(Some("glare")), Selection::Name("glare".into()));
    }

    #[test]
    fn a_crate_without_processes_neither_builds_the_release_binary_nor_installs_peers() {
        let sip = Selection::read(Some("sip"), &metadata());
        assert!(!sip.starts_the_binary());
        assert!(sip.peers().is_empty());
    }

    #[test]
    fn the_clients_are_installed_for_the_tests_that_run_them() {
        let runs = |filter| Selection::read(filter, &metadata()).runs_clients();
        assert!(runs(None) && runs(Some("acs")) && runs(Some("tests")));
        assert!(!runs(Some("sipp")) && !runs(Some("sip")));
    }
}
