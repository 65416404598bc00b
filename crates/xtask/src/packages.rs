//! Packages of other languages that the tests talk to, from PyPI and npm: the official clients and Schemathesis, and
//! the libraries that customers' SMPP systems are made with.
//!
//! Their versions, and those of all that they need, are locked beside the tests; they go under the target folder, each
//! into a place of its own, and are installed again when a lock changes.

use crate::install::{self, NODE, NPM, PYTHON};
use crate::shell::{root, run, say};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A place of packages: what locks them, and how they are installed.
struct Place {
    name: &'static str,
    folder: &'static str,
    locks: &'static [&'static str],
    install: fn(locks: &Path, place: &Path) -> Result<()>,
}

const PLACES: &[Place] = &[
    Place { name: "python", folder: ACS, locks: &["requirements.txt"], install: python },
    Place { name: "javascript", folder: ACS, locks: JAVASCRIPT, install: javascript },
    Place { name: "users-javascript", folder: USERS, locks: JAVASCRIPT, install: javascript },
    Place { name: "browser-javascript", folder: BROWSER, locks: JAVASCRIPT, install: javascript },
    Place { name: "sms-python", folder: SMS, locks: &["requirements.txt"], install: python },
    Place { name: "sms-javascript", folder: SMS, locks: JAVASCRIPT, install: javascript },
    Place { name: "esme-python", folder: ESME, locks: &["requirements.txt"], install: python },
    Place { name: "esme-javascript", folder: ESME, locks: JAVASCRIPT, install: javascript },
    Place { name: "webrtc-python", folder: WEBRTC, locks: &["requirements.txt"], install: python },
];

const ACS: &str = "tests/acs";
const BROWSER: &str = "tests/browser/javascript";
const USERS: &str = "tests/users/javascript";
const SMS: &str = "tests/sms/clients";
const ESME: &str = "tests/sms/esme";
const WEBRTC: &str = "tests/webrtc";
const JAVASCRIPT: &[&str] = &["package.json", "package-lock.json"];

/// Installs what is not there yet, and returns the folder of all places.
///
/// # Errors
/// When a registry cannot be reached, or gives other bytes than the locked ones.
pub(crate) fn ensure(target_directory: &Path) -> Result<PathBuf> {
    install::ensure(&[PYTHON, NODE, NPM])?;
    let packages = target_directory.join("packages");
    for place in PLACES {
        let locks = root().join(place.folder);
        let folder = packages.join(place.name);
        let stamp = folder.join("installed");
        let wanted = place
            .locks
            .iter()
            .map(|lock| {
                std::fs::read_to_string(locks.join(lock)).with_context(|| format!("{}/{lock}", place.folder))
            })
            .collect::<Result<String>>()?;
        if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            continue;
        }
        say(format!("installing the {} packages of the tests", place.name));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("packages of another lock")?;
        }
        std::fs::create_dir_all(&folder)?;
        (place.install)(&locks, &folder)?;
        // Last, so that what was interrupted is begun again.
        std::fs::write(&stamp, wanted)?;
    }
    Ok(packages)
}

fn python(locks: &Path, place: &Path) -> Result<()> {
    run(Command::new(install::python()).args(["-m", "venv"]).arg(place))?;
    run(Command::new(place.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--only-binary=:all:", "--require-hashes", "--no-deps", "--requirement"])
        .arg(locks.join("requirements.txt")))
}

fn javascript(locks: &Path, place: &Path) -> Result<()> {
    for file in JAVASCRIPT {
        std::fs::copy(locks.join(file), place.join(file))?;
    }
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(place))
}
