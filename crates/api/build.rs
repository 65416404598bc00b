//! Puts the pages of the console, as `cargo xtask` built them, into the crate.
//!
//! A plain `cargo build` of a fresh clone finds none: then the crate holds one page that says how to build them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let built = PathBuf::from("console/dist");
    println!("cargo::rerun-if-changed={}", built.display());
    let mut files = Vec::new();
    if built.is_dir() {
        collect(&built, &mut files)?;
    }
    files.sort();
    let mut source = String::from("pub(super) static FILES: &[File] = &[\n");
    for file in &files {
        let path = file.strip_prefix(&built).map_err(io::Error::other)?;
        // From the crate's folder as it is at each build: a checkout may be moved.
        let bytes = format!("/{}", file.display());
        writeln!(
            source,
            "    File {{ path: {path:?}, bytes: include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {bytes:?})) }},"
        )
        .map_err(io::Error::other)?;
    }
    if files.is_empty() {
        source += "    File { path: \"index.html\", bytes: include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \
                   \"/console/not-built.html\")) },\n";
    }
    source += "];\n";
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("console_files.rs"), source)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
