//! What the sandbox sells: fictional numbers of every area code, and the resource that may buy them.

use crate::shell::{root, say};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The resource that `config/sandbox.toml` gives every request to.
const RESOURCE: &str = "sandbox";

/// Numbers of each area code: ten times 359 is a few thousand.
const LINES: std::ops::Range<u16> = 100..110;

/// The sandbox carrier answers here itself, and what it answers is dialled, not sold.
const CARRIER_AREA: &str = "425";

/// Cities of a few area codes, so that searches by place find something too.
const CITIES: [(&str, &str); 23] = [
    ("202", "Washington"),
    ("206", "Seattle"),
    ("212", "New York City"),
    ("213", "Los Angeles"),
    ("214", "Dallas"),
    ("215", "Philadelphia"),
    ("303", "Denver"),
    ("305", "Miami"),
    ("312", "Chicago"),
    ("313", "Detroit"),
    ("404", "Atlanta"),
    ("415", "San Francisco"),
    ("503", "Portland"),
    ("504", "New Orleans"),
    ("512", "Austin"),
    ("602", "Phoenix"),
    ("615", "Nashville"),
    ("617", "Boston"),
    ("619", "San Diego"),
    ("702", "Las Vegas"),
    ("713", "Houston"),
    ("808", "Honolulu"),
    ("907", "Anchorage"),
];

/// The number that the phone of the console shows, and that rings there.
pub(crate) const PHONE_NUMBER: &str = "+14155550100";

/// Makes a user of the resource, at whom the number of the phone rings from then on, and returns its access token.
pub(crate) fn user(binary: &Path, config: &Path) -> Result<String> {
    let mine = json(&run(binary, config, &["number", "list", "--resource", RESOURCE, "--limit", "1"])?)?;
    if mine["numbers"].as_array().is_some_and(Vec::is_empty) {
        json(&run(binary, config, &["number", "give", PHONE_NUMBER, "--resource", RESOURCE])?)?;
    }
    let user = json(&run(binary, config, &["resource", "user", RESOURCE])?)?;
    let id = user["user"].as_str().context("the user has no id")?;
    json(&run(binary, config, &["number", "assign", "--number", PHONE_NUMBER, "--user", id])?)?;
    Ok(user["token"].as_str().context("the user has no token")?.to_owned())
}

/// Fills the database of a configuration, unless it is filled, and returns the resource's connection string.
pub(crate) fn ensure(binary: &Path, config: &Path) -> Result<String> {
    let listed = json(&run(binary, config, &["number", "list", "--limit", "1"])?)?;
    if listed["numbers"].as_array().is_some_and(Vec::is_empty) {
        say("filling the inventory with fictional numbers");
        let file = root().join("target/sandbox-numbers.csv");
        fs::write(&file, numbers()?).with_context(|| format!("could not write {}", file.display()))?;
        json(&run(binary, config, &["number", "import", &file.display().to_string()])?)?;
    }
    let shown = run(binary, config, &["resource", "show", RESOURCE, "--keys"])?;
    let shown = if shown.status.success() {
        shown
    } else {
        run(binary, config, &["resource", "create", "--name", RESOURCE, "--billing-country", "US"])?
    };
    let resource = json(&shown)?;
    let string = resource["connectionString"].as_str().context("the resource has no connection string")?;
    Ok(string.to_owned())
}

fn run(binary: &Path, config: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary);
    command.args(arguments).arg("--config").arg(config).arg("--json").current_dir(root());
    command.output().with_context(|| format!("could not run {}", binary.display()))
}

fn json(output: &Output) -> Result<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}", said.trim());
    serde_json::from_slice(&output.stdout).context("the command did not print JSON")
}

/// Returns the numbers as `trunkline number import` reads them (NUM-10): 555-01XX of every geographic area code, and
/// 555-0199 of every toll-free one.
fn numbers() -> Result<String> {
    let table = fs::read_to_string(root().join("crates/numbers/data/npa.csv"))?;
    let mut text = "number,trunk,type,calling,sms,country,region,city,monthly_cost\n".to_owned();
    for row in table.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let [area, country, kind, region, ..] = fields[..] else { continue };
        let city = CITIES.iter().find(|(known, _)| *known == area).map_or("", |(_, city)| city);
        let mut add = |line: u16, kind: &str| {
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "+1{area}555{line:04},sandbox,{kind},inbound+outbound,inbound+outbound,{country},{region},{city},0.40"
            );
        };
        match kind {
            "geographic" if area != CARRIER_AREA => LINES.for_each(|line| add(line, "geographic")),
            "toll_free" => add(199, "tollFree"),
            _ => {}
        }
    }
    Ok(text)
}
