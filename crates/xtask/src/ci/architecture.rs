//! The arrows of the design, the ban on runtimes in sans-IO crates, and the licences, read off cargo.

use crate::shell::{cargo, output, root};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What may be depended on, by crate. Nothing points up.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sip", &["model"]),
    ("media", &["model"]),
    ("webrtc", &["model", "media"]),
    ("sms", &["model"]),
    ("numbers", &["model"]),
    ("identity", &["model"]),
    ("call", &["model", "sip", "media", "webrtc"]),
    ("storage", &["model"]),
    ("sandbox", &["model", "sip", "media", "sms"]),
    ("api", &["model", "numbers", "identity", "storage", "call"]),
    (
        "gateway",
        &[
            "model", "sip", "media", "webrtc", "call", "sms", "numbers", "identity", "storage", "api",
            "sandbox",
        ],
    ),
    ("xtask", &[]),
    // Tests look at every layer.
    (
        "tests",
        &[
            "model", "sip", "media", "webrtc", "call", "sms", "numbers", "identity", "storage", "api",
            "sandbox", "gateway",
        ],
    ),
];

/// Crates that take the place of foreign ones by `[patch.crates-io]`, under their names.
const STAND_INS: &[&str] = &["audiopus_sys"];

/// Crates without a clock, a task or a socket.
const SANS_IO: &[&str] = &["model", "sip", "media", "webrtc", "call", "sms", "numbers", "identity"];

/// What a sans-IO crate may not pull in, directly or through others.
const RUNTIMES: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "async-io",
    "polling",
    "mio",
    "socket2",
    "axum",
    "hyper",
    "reqwest",
    "sqlx",
    "sqlx-core",
    "rusqlite",
    "rustix",
    "nix",
    "signal-hook",
];

/// Where every dependency comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Returns what breaks the architecture, in words.
pub(crate) fn faults() -> Result<Vec<String>> {
    let packages = packages(&["--no-deps"])?;
    let ours = packages.iter().filter(|package| !STAND_INS.iter().any(|name| package["name"] == *name));
    let mut faults: Vec<String> = ours.flat_map(arrow_faults).collect();
    for name in packages.iter().filter_map(short_name).filter(|name| SANS_IO.contains(&name.as_str())) {
        let tree = output(&mut cargo([
            "tree",
            "--package",
            &format!("trunkline-{name}"),
            "--edges=normal",
            "--prefix=none",
            "--format={p}",
        ]))?;
        faults.extend(runtime_faults(&name, &tree));
        let lints = root().join("crates").join(&name).join("clippy.toml");
        if !lints.is_file() {
            faults.push(format!(
                "{name} is sans-IO and has no clippy.toml that forbids clocks, sleeps and spawns"
            ));
        }
    }
    Ok(faults)
}

/// Returns the dependencies whose licence or source is not allowed by deny.toml, in words.
pub(crate) fn licence_faults() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("deny.toml")).context("deny.toml")?;
    let rules: toml::Table = text.parse().context("deny.toml")?;
    let list = |value: Option<&toml::Value>| -> BTreeSet<String> {
        value
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    };
    let allowed = list(rules.get("licenses").and_then(|licenses| licenses.get("allow")));
    Ok(packages(&[])?.iter().filter_map(|package| dependency_fault(package, &allowed)).collect())
}

fn packages(options: &[&str]) -> Result<Vec<Value>> {
    let text = output(cargo(["metadata", "--format-version=1"]).args(options))?;
    let mut metadata: Value = serde_json::from_str(&text)?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => anyhow::bail!("cargo metadata has changed its shape"),
    }
}

/// Returns the name of a package of ours, as the tables have it.
fn short_name(package: &Value) -> Option<String> {
    Some(package["name"].as_str()?.strip_prefix("trunkline-")?.to_owned())
}

fn arrow_faults(package: &Value) -> Vec<String> {
    let Some(name) = short_name(package) else {
        return vec![format!("{} is not named trunkline-<folder>", package["name"])];
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(of, _)| *of == name) else {
        return vec![format!("{name} is new: say in the table of arrows what it may depend on")];
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    dependencies
        .filter_map(short_name)
        .filter(|dependency| !allowed.contains(&dependency.as_str()))
        .map(|dependency| format!("{name} depends on {dependency}, and that arrow does not exist"))
        .collect()
}

fn runtime_faults(name: &str, tree: &str) -> Vec<String> {
    let pulled: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    RUNTIMES
        .iter()
        .filter(|runtime| pulled.contains(*runtime))
        .map(|runtime| format!("{name} is sans-IO and pulls in {runtime}"))
        .collect()
}

fn dependency_fault(package: &Value, allowed: &BTreeSet<String>) -> Option<String> {
    let name = package["name"].as_str()?;
    // Our own packages have no source.
    let source = package["source"].as_str()?;
    if source != REGISTRY {
        return Some(format!("{name} comes from {source}, not from the registry"));
    }
    let licence = package["license"].as_str().or_else(|| licence_of_file(package)).unwrap_or("no licence");
    (!is_allowed(licence, allowed))
        .then(|| format!("{name} has the licence {licence}, which deny.toml does not allow"))
}

/// Returns the licence of a package that names none but brings its text, told by words that only that one has.
fn licence_of_file(package: &Value) -> Option<&'static str> {
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    let text = std::fs::read_to_string(folder.join(package["license_file"].as_str()?)).ok()?;
    known_licence(&text)
}

fn known_licence(text: &str) -> Option<&'static str> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mit = [
        "Permission is hereby granted, free of charge, to any person obtaining a copy of this software",
        "The above copyright notice and this permission notice shall be included in all copies",
    ];
    mit.iter().all(|sentence| words.contains(sentence)).then_some("MIT")
}

/// Whether an SPDX expression can be met with allowed licences. Within parentheses, too, AND binds tighter than OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // The old way to say OR.
    let expression = expression.replace('/', " OR ");
    if let Some(open) = expression.find('(') {
        let Some(close) = expression[open..].find(')').map(|length| open + length) else { return false };
        let inner = if is_allowed(&expression[open + 1..close], allowed) { ALWAYS } else { NEVER };
        return is_allowed(&format!("{}{inner}{}", &expression[..open], &expression[close + 1..]), allowed);
    }
    expression.split(" OR ").any(|choice| {
        choice.split(" AND ").map(str::trim).all(|licence| licence == ALWAYS || allowed.contains(licence))
    })
}

/// Stands for a part of an expression that is met.
const ALWAYS: &str = "met";

/// Stands for a part of an expression that is not met.
const NEVER: &str = "unmet";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[&str]) -> Value {
        let dependencies: Vec<Value> = dependencies.iter().map(|name| json!({ "name": name })).collect();
        json!({ "name": name, "dependencies": dependencies })
    }

    #[test]
    fn an_arrow_that_points_up_is_a_fault() {
        assert_eq!(arrow_faults(&package("trunkline-call", &["trunkline-sip", "bytes"])), [""; 0]);
        assert_eq!(
            arrow_faults(&package("trunkline-sip", &["trunkline-call"])),
            ["sip depends on call, and that arrow does not exist"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_a_fault() {
        assert_eq!(arrow_faults(&package("trunkline-fax", &[])).len(), 1);
        assert_eq!(arrow_faults(&package("fax", &[])).len(), 1);
    }

    #[test]
    fn no_row_allows_an_arrow_back() {
        for (name, allowed) in ARROWS {
            for dependency in *allowed {
                let back = ARROWS.iter().find(|(of, _)| of == dependency).map(|(_, allowed)| *allowed);
                assert!(
                    back.is_some_and(|back| !back.contains(name)),
                    "{name} and {dependency} point at each other"
                );
            }
        }
    }

    #[test]
    fn a_runtime_is_found_by_its_whole_name_at_any_depth() {
        let tree = "trunkline-sip v0.1.0 (/sip)\nbytes v1.12.0\nmio v1.0.0 (*)\ntokio-free v1.0.0\n";
        assert_eq!(runtime_faults("sip", tree), ["sip is sans-IO and pulls in mio"]);
    }

    #[test]
    fn a_licence_is_known_by_its_text() {
        let ours = std::fs::read_to_string(root().join("LICENSE-MIT")).unwrap();
        assert_eq!(known_licence(&ours), Some("MIT"));
        let apache = std::fs::read_to_string(root().join("LICENSE-APACHE")).unwrap();
        assert_eq!(known_licence(&apache), None);
    }

    #[test]
    fn licences_are_read_as_expressions() {
        let allowed: BTreeSet<String> = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned).into();
        for good in ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND Unicode-3.0"] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND ISC", "(MIT", "no licence"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn only_the_registry_is_a_source() {
        let allowed: BTreeSet<String> = ["MIT".to_owned()].into();
        let from = |source: Value| json!({ "name": "x", "license": "MIT", "source": source });
        assert_eq!(dependency_fault(&from(json!(REGISTRY)), &allowed), None);
        assert_eq!(dependency_fault(&from(Value::Null), &allowed), None);
        assert!(dependency_fault(&from(json!("git+https://example.org/x")), &allowed).is_some());
    }
}
