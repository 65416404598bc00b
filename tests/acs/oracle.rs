//! Who may provision which number, decided by us and by an oracle that was written from the rules alone, in another
//! language (`oracle/eligibility.py`): cell by cell, the same verdict.

use super::clients::python;
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use trunkline_model::{AssignmentType, Capability, NumberType, SubscriptionClass};
use trunkline_numbers::RuleBook;
use trunkline_numbers::eligibility::{Profile, Request};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/numbers/data/rules.toml");
const ORACLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/acs/oracle/eligibility.py");

/// 250 billing countries (one of them none), 3 classes, 5 countries, 4 types, 2 assignments, 4 by 4 capabilities.
const CELLS: usize = 250 * 3 * 5 * 4 * 2 * 4 * 4;

#[test]
fn every_cell_of_the_cross_product_is_decided_as_the_oracle_decides_it() {
    let verdicts = compare("us-ca-preview", CELLS);
    assert_eq!(verdicts.values().sum::<usize>(), CELLS);
    // To two billing countries: geographic numbers for persons and applications, with calling of any kind and no
    // messages; toll-free ones for applications, with all but nothing.
    assert_eq!(
        (verdicts["OK 100 USD"], verdicts["OK 200 USD"]),
        (2 * 2 * 3, 2 * (4 * 4 - 1)),
        "{verdicts:?}"
    );
}

#[test]
fn every_cell_is_decided_as_the_oracle_decides_it_under_the_other_tables_too() {
    for table in ["acs-2020-10", "acs-ga", "trial"] {
        let verdicts = compare(table, CELLS);
        assert!(verdicts.keys().any(|verdict| verdict.starts_with("OK ")), "{table}: {verdicts:?}");
    }
}

#[test]
fn every_row_of_the_eligibility_table_gives_what_it_states() {
    // 22 rows without state, some of them of several cases, and those under the other tables.
    compare("rows", 37);
}

#[test]
fn every_area_code_is_of_the_country_and_type_that_the_oracle_says() {
    compare("area-codes", 1000 * 2 * 2);
}

#[test]
fn the_table_of_area_codes_is_what_the_metadata_says() {
    let numbers = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/numbers");
    let output = Command::new(python())
        .args([
            "-B",
            &format!("{numbers}/scripts/derive_npa.py"),
            "--check",
            &format!("{numbers}/data/npa.csv"),
        ])
        .output()
        .expect("the derivation starts (cargo xtask test installs what it needs)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Asks the oracle, decides each of its cells, and returns how often each verdict was given.
fn compare(what: &str, expected: usize) -> BTreeMap<String, usize> {
    let mut oracle = Command::new(python())
        .args([ORACLE, RULES, what])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts (cargo xtask test installs it)");
    let lines = BufReader::new(oracle.stdout.take().expect("its output")).lines();
    let mut judge = Judge::new();
    let mut cells = HashSet::new();
    let mut verdicts = BTreeMap::new();
    let mut differences = Vec::new();
    for line in lines {
        let line = line.expect("a line of text");
        let (cell, theirs) = line.rsplit_once('\t').expect("a cell and its verdict");
        let ours = judge.decide(cell);
        if ours != theirs {
            differences.push(format!("{cell}: we say {ours}, the oracle says {theirs}"));
        }
        *verdicts.entry(ours).or_default() += 1;
        cells.insert(cell.to_owned());
    }
    assert!(oracle.wait().expect("the oracle ends").success(), "the oracle failed");
    let shown = differences.len().min(20);
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences[..shown].join("\n")
    );
    assert_eq!(cells.len(), expected, "the oracle left cells out, or said some twice");
    verdicts
}

/// Our side: the rule books by table and alias of Puerto Rico, read once.
struct Judge {
    text: String,
    books: BTreeMap<(String, String), RuleBook>,
}

impl Judge {
    fn new() -> Self {
        Self { text: std::fs::read_to_string(RULES).expect("the rules"), books: BTreeMap::new() }
    }

    /// Decides a line of the oracle, without its verdict.
    fn decide(&mut self, cell: &str) -> String {
        let fields: Vec<&str> = cell.split('\t').collect();
        let [table, alias, billing, class, country, kind, assignment, calling, sms, area, emergency] =
            fields[..]
        else {
            panic!("the oracle says what is no cell: {cell}")
        };
        let something = |text: &str| (text != "-").then(|| text.to_owned());
        let profile = Profile {
            active: true,
            billing_country: something(billing),
            billing_verified: true,
            class: SubscriptionClass::parse(class).expect("a class"),
            data_location: "US".to_owned(),
            emergency_address: emergency == "yes",
        };
        let request = Request {
            number_country: country.to_owned(),
            number_type: NumberType::parse(kind).expect("a type"),
            assignment: AssignmentType::parse(assignment).expect("an assignment"),
            calling: Capability::parse(calling).expect("a capability"),
            sms: Capability::parse(sms).expect("a capability"),
            area_code: something(area).map(|area| area.parse().expect("an area code")),
        };
        match self.book(table, alias).decide(&profile, &request).outcome {
            Ok(granted) => format!("OK {} {}", granted.monthly_cost_minor, granted.currency),
            Err(denial) => denial.code().to_owned(),
        }
    }

    fn book(&mut self, table: &str, alias: &str) -> &RuleBook {
        let text = &self.text;
        self.books.entry((table.to_owned(), alias.to_owned())).or_insert_with(|| {
            let section = "[tables.us-ca-preview.billing_aliases]";
            let text = match alias {
                "-" => text.clone(),
                _ => text.replacen(section, &format!("{section}\nPR = \"{alias}\"\n"), 1),
            };
            RuleBook::parse(&text).expect("the rules are valid").with_active(table).expect("a table")
        })
    }
}
