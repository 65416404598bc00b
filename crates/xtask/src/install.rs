//! Installing what is missing, with the system's own package tool.

use crate::shell::{in_path, run, say, succeeds};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Something outside this repository that a command needs.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    /// The Debian package that has it.
    package: &'static str,
    /// What it is for, as said to the person who waits.
    purpose: &'static str,
    present: fn() -> bool,
}

/// A C compiler: the bundled SQLite is C.
pub(crate) const C_COMPILER: Need =
    Need { package: "gcc", purpose: "a C compiler for the bundled SQLite", present: || in_path("cc") };

/// A C++ compiler: libFuzzer is C++.
pub(crate) const CXX_COMPILER: Need =
    Need { package: "g++", purpose: "a C++ compiler for libFuzzer", present: || in_path("c++") };

/// The C library's headers, which `gcc` alone does not bring.
pub(crate) const C_HEADERS: Need = Need {
    package: "libc6-dev",
    purpose: "the C library's headers",
    present: || Path::new("/usr/include/stdio.h").exists(),
};

/// cmake: C libraries build with it.
pub(crate) const CMAKE: Need =
    Need { package: "cmake", purpose: "builds of C libraries", present: || in_path("cmake") };

/// SIPp, the carrier in the process tests.
pub(crate) const SIPP: Need =
    Need { package: "sip-tester", purpose: "SIPp, the carrier in the tests", present: || in_path("sipp") };

/// baresip, a user agent that is not ours.
pub(crate) const BARESIP: Need = Need {
    package: "baresip-core",
    purpose: "baresip, a foreign user agent",
    present: || in_path("baresip"),
};

/// Chromium, a browser, without a window.
pub(crate) const CHROMIUM: Need =
    Need { package: "chromium", purpose: "a browser that calls", present: || in_path("chromium") };

/// coturn, which takes credentials that the API issues.
pub(crate) const COTURN: Need =
    Need { package: "coturn", purpose: "coturn, a TURN server", present: || in_path("turnserver") };

/// Kannel, a customer's SMPP system that is not ours.
pub(crate) const KANNEL: Need =
    Need { package: "kannel", purpose: "Kannel, a foreign SMS gateway", present: || in_path("bearerbox") };

/// Kannel's own message centre, which its authors test it with.
pub(crate) const KANNEL_EXTRAS: Need = Need {
    package: "kannel-extras",
    purpose: "Kannel's fake message centre",
    present: || Path::new("/usr/lib/kannel/test/drive_smpp").exists(),
};

/// PostgreSQL, for the storage tests.
pub(crate) const POSTGRESQL: Need =
    Need { package: "postgresql", purpose: "the storage tests run on it too", present: has_postgres };

/// Python with its own environments, which Debian keeps in a package of their own.
pub(crate) const PYTHON: Need =
    Need { package: "python3-venv", purpose: "the Python clients in the tests", present: has_venv };

/// Node.js, for the JavaScript clients.
pub(crate) const NODE: Need =
    Need { package: "nodejs", purpose: "the JavaScript clients in the tests", present: || in_path("node") };

/// npm, which installs the JavaScript clients.
pub(crate) const NPM: Need =
    Need { package: "npm", purpose: "installing the JavaScript clients", present: || in_path("npm") };

/// Kamailio, for scale in the bench of calls.
pub(crate) const KAMAILIO: Need =
    Need { package: "kamailio", purpose: "Kamailio, to measure beside", present: || in_path("kamailio") };

/// rtpengine, for scale in the bench of media.
pub(crate) const RTPENGINE: Need = Need {
    package: "rtpengine-daemon",
    purpose: "rtpengine, to measure beside",
    present: || in_path("rtpengine"),
};

/// What a build needs.
pub(crate) const BUILD: &[Need] = &[C_COMPILER, C_HEADERS, CMAKE];

/// Installs what is not there yet.
///
/// # Errors
/// When something is missing and there is no way to install it here.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    for need in &missing {
        say(format!("{} is missing ({})", need.package, need.purpose));
    }
    if !in_path("apt-get") {
        bail!("there is no apt-get here: install these yourself, then try again: {}", packages.join(" "));
    }
    say("updating the package lists (apt-get update)");
    run(apt_get()?.args(["update", "-qq"]))?;
    say(format!("installing {} (apt-get install)", packages.join(" ")));
    run(apt_get()?.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages))?;
    match missing.iter().find(|need| !(need.present)()) {
        Some(need) => {
            bail!("{} was installed, but what it is for is still missing: {}", need.package, need.purpose)
        }
        None => Ok(()),
    }
}

/// Returns apt-get as root: directly, or through a sudo that does not ask.
fn apt_get() -> Result<Command> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else if in_path("sudo") {
        let mut sudo = Command::new("sudo");
        sudo.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        return Ok(sudo);
    } else {
        bail!("installing packages needs root: run this as root, or install sudo");
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

/// Returns the system's Python: a first one in PATH may be a wrapper that needs a set-up of its own.
pub(crate) fn python() -> &'static str {
    const SYSTEM: &str = "/usr/bin/python3";
    if Path::new(SYSTEM).exists() { SYSTEM } else { "python3" }
}

fn has_venv() -> bool {
    succeeds(Command::new(python()).args(["-c", "import ensurepip, venv"]))
}

/// Whether a PostgreSQL server is installed; Debian keeps it out of PATH.
fn has_postgres() -> bool {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return in_path("postgres") };
    versions.flatten().any(|version| version.path().join("bin/postgres").is_file())
}
