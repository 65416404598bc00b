//! The pages of the console: built with npm into crates/api/console/dist, from where the crate takes them in.

use crate::install::{self, NODE, NPM};
use crate::shell::{root, run, say};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// Where the pages are written, under the root of the project.
const FOLDER: &str = "crates/api/console";

/// What is not source: made by npm and by the build.
const MADE: &[&str] = &["node_modules", "dist"];

/// Builds the pages if a source of theirs changed since they were built.
///
/// # Errors
/// When npm cannot install what they are built with, or a page does not compile.
pub(crate) fn ensure() -> Result<()> {
    let folder = root().join(FOLDER);
    let stamp = folder.join("node_modules/.console");
    let wanted = sources(&folder).context("cannot read the sources of the console")?;
    if folder.join("dist/index.html").is_file()
        && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted)
    {
        return Ok(());
    }
    install::ensure(&[NODE, NPM])?;
    say("building the console (npm)");
    npm(&folder, &["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
    npm(&folder, &["run", "--silent", "build", "--", "--logLevel", "warn"])?;
    // Last, so that what was interrupted is begun again.
    fs::write(&stamp, wanted).context("cannot note that the console was built")
}

/// Runs the tests of the pages' own code.
///
/// # Errors
/// When one fails.
pub(crate) fn test() -> Result<()> {
    ensure()?;
    npm(&root().join(FOLDER), &["run", "--silent", "test", "--", "--reporter", "dot"])
}

fn npm(folder: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new("npm").args(arguments).current_dir(folder))
}

/// Every source with its text, so that whichever changes is seen, whatever the clock says.
fn sources(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut all = String::new();
    for file in files {
        // Writing to a String cannot fail.
        let _ = writeln!(all, "{}\n{}", file.display(), fs::read_to_string(&file)?);
    }
    Ok(all)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if MADE.iter().any(|made| entry.file_name() == *made) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
