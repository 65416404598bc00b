//! `trunkline number import`: the numbers that carriers gave the operator, from a CSV file into the inventory.

use super::csv::{self, Record};
use super::{ACTOR, now_unix_ms, on_database, print_json};
use crate::cli::Database;
use crate::config::Config;
use anyhow::Context;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;
use trunkline_api::Environment;
use trunkline_model::{Capability, E164, NumberType, TrunkId};
use trunkline_numbers::nanp::{self, AreaKind};
use trunkline_storage::numbers::{self, Act, NewNumber};
use trunkline_storage::{Error, Store};

/// The columns that a file may have.
const COLUMNS: [&str; 10] =
    ["number", "trunk", "type", "calling", "sms", "country", "region", "city", "monthly_cost", "currency"];

/// Numbers between two reports of progress.
const BATCH: usize = 10_000;

/// Bad rows that are printed; the rest is counted.
const PRINTED_MAX: usize = 1_000;

/// Imports a file, all of it or nothing.
///
/// # Errors
/// The file cannot be read, has bad rows (each named with its line), or the database failed.
pub(super) fn import(config: &Config, file: &Path, dry_run: bool, database: &Database) -> anyhow::Result<()> {
    let text = text(file)?;
    let rows = rows(&text, config);
    let name = file.display();
    let new = match rows {
        Ok(new) => new,
        Err(problems) => anyhow::bail!("nothing was imported: {}", listed(&name.to_string(), &problems)),
    };
    eprintln!("{name}: {} rows, none of them bad", new.len());
    let count = new.len();
    if !dry_run {
        on_database(config, async |store| store_all(store, &name.to_string(), new).await)?;
    }
    if database.json {
        print_json(&json!({ "rows": count, "imported": if dry_run { 0 } else { count } }));
    } else if dry_run {
        println!("{count} numbers would be imported");
    } else {
        println!("{count} numbers were imported");
    }
    Ok(())
}

fn text(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A row that cannot be used.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    column: Option<&'static str>,
    message: String,
}

fn listed(file: &str, problems: &[Problem]) -> String {
    let count = problems.len();
    let mut text = format!("{count} {}", if count == 1 { "problem" } else { "problems" });
    for Problem { line, column, message } in problems.iter().take(PRINTED_MAX) {
        let column = column.map_or(String::new(), |column| format!("{column}: "));
        // Writing to a String does not fail.
        let _ = write!(text, "\n  {file}:{line}: {column}{message}");
    }
    if count > PRINTED_MAX {
        let _ = write!(text, "\n  and {} more", count - PRINTED_MAX);
    }
    text
}

/// A number and the line that it stands on.
struct Row {
    line: usize,
    number: NewNumber,
}

/// Reads all rows, or everything that is wrong with them.
fn rows(text: &str, config: &Config) -> Result<Vec<Row>, Vec<Problem>> {
    let mut records = csv::read(text).into_iter();
    let Some(head) = records.next() else {
        let message = "the file is empty; its first line names the columns".to_owned();
        return Err(vec![Problem { line: 1, column: None, message }]);
    };
    let columns = Columns::of(&head)?;
    let trunks: BTreeSet<&TrunkId> = config.trunks.iter().map(|trunk| &trunk.id).collect();
    let (mut rows, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
    for record in records {
        let mut reader = Reader { columns: &columns, record: &record, problems: Vec::new() };
        let number = reader.number(&trunks, config.numbers.environment);
        problems.append(&mut reader.problems);
        let Some(number) = number else { continue };
        if let Some(first) = seen.insert(number.number, record.line) {
            let message = format!("{} stands on line {first} too", number.number);
            problems.push(Problem { line: record.line, column: Some("number"), message });
        }
        rows.push(Row { line: record.line, number });
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

/// Where each column stands.
struct Columns(BTreeMap<&'static str, usize>, usize);

impl Columns {
    fn of(head: &Record) -> Result<Self, Vec<Problem>> {
        let (mut places, mut problems) = (BTreeMap::new(), Vec::new());
        let mut problem = |message| problems.push(Problem { line: head.line, column: None, message });
        for (place, name) in head.fields.iter().enumerate() {
            match COLUMNS.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                None => problem(format!("unknown column {name:?}; known are {}", COLUMNS.join(", "))),
                Some(known) if places.insert(*known, place).is_some() => {
                    problem(format!("column {known} stands there twice"));
                }
                Some(_) => {}
            }
        }
        for needed in ["number", "trunk"] {
            if !places.contains_key(needed) {
                problem(format!("column {needed} is missing"));
            }
        }
        if problems.is_empty() { Ok(Self(places, head.fields.len())) } else { Err(problems) }
    }
}

/// Reads one record and gathers what is wrong with it.
struct Reader<'a> {
    columns: &'a Columns,
    record: &'a Record,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn number(&mut self, trunks: &BTreeSet<&TrunkId>, environment: Environment) -> Option<NewNumber> {
        if self.record.fields.len() != self.columns.1 {
            let (has, needs) = (self.record.fields.len(), self.columns.1);
            return self.problem(None, format!("{has} fields, where the first line has {needs}"));
        }
        let number = self.required("number", E164::parse);
        let area = number.and_then(|number| self.area(&number, environment));
        let trunk = self.required("trunk", TrunkId::parse);
        if let Some(unknown) = trunk.as_ref().filter(|trunk| !trunks.contains(trunk)) {
            let _: Option<()> = self.problem(Some("trunk"), format!("no trunk is named {unknown}"));
        }
        let by_area = area.map_or(NumberType::Geographic, |area| match area.kind {
            AreaKind::TollFree => NumberType::TollFree,
            AreaKind::Geographic | AreaKind::Premium | AreaKind::NonGeographic => NumberType::Geographic,
        });
        let number_type =
            self.word::<NumberType>("type", NumberType::ALL, NumberType::as_str).unwrap_or(by_area);
        if area.is_some() && (number_type == NumberType::TollFree) != (by_area == NumberType::TollFree) {
            let _: Option<()> = self.problem(Some("type"), format!("the area code says {by_area}"));
        }
        let capability = |reader: &mut Self, column| {
            reader.word::<Capability>(column, Capability::ALL, Capability::as_str)
        };
        let calling = capability(self, "calling").unwrap_or(Capability::InboundOutbound);
        let sms = capability(self, "sms").unwrap_or(Capability::None);
        let country = self.country(area.map(|area| area.country), number_type);
        let region = self.field("region").map(str::to_owned);
        let region = region.or_else(|| area.and_then(|area| area.region).map(str::to_owned));
        let city = self.field("city").unwrap_or_default().to_owned();
        let monthly_cost_minor = self.parsed("monthly_cost", minor).unwrap_or_default();
        let currency = self.parsed("currency", currency).unwrap_or_else(|| "USD".to_owned());
        Some(NewNumber {
            number: number?,
            trunk: trunk?,
            country: country?,
            number_type,
            area_code: area.map(|area| area.npa.to_string()).unwrap_or_default(),
            region: region.unwrap_or_default(),
            city,
            calling,
            sms,
            monthly_cost_minor,
            currency,
        })
    }

    /// The area code of a number of country code 1, which has to be one that may be sold.
    fn area(&mut self, number: &E164, environment: Environment) -> Option<&'static nanp::AreaCode> {
        if !number.digits().starts_with('1') {
            return None;
        }
        // What the file says of its country and type is held against the area code afterwards.
        let sold = nanp::dialable(number).and_then(|area| {
            let number_type = match area.kind {
                AreaKind::TollFree => NumberType::TollFree,
                AreaKind::Geographic | AreaKind::Premium | AreaKind::NonGeographic => NumberType::Geographic,
            };
            nanp::provisionable(number, area.country, number_type, environment)
        });
        match sold {
            Ok(area) => Some(area),
            Err(violation) => self.problem(Some("number"), format!("{number}: {violation}")),
        }
    }

    /// The country by the file, or else by the area code. Toll-free codes belong to all countries of the plan, so
    /// theirs has to be said where it is not the US (NUM-12).
    fn country(&mut self, by_area: Option<&str>, number_type: NumberType) -> Option<String> {
        let Some(text) = self.field("country") else {
            return match by_area {
                Some(country) => Some(country.to_owned()),
                None => self.problem(Some("country"), "is needed for a number outside of country code 1"),
            };
        };
        let code = text.to_ascii_uppercase();
        if code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
            return self
                .problem(Some("country"), format!("{text:?} is not two letters (ISO 3166-1 alpha-2)"));
        }
        match by_area {
            Some(country) if country != code && number_type != NumberType::TollFree => {
                self.problem(Some("country"), format!("the area code is one of {country}, not of {code}"))
            }
            Some(_) | None => Some(code),
        }
    }

    /// A field that is there and not empty.
    fn field(&self, column: &'static str) -> Option<&str> {
        let place = *self.columns.0.get(column)?;
        self.record.fields.get(place).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn required<T, E: std::fmt::Display>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.field(column).is_none() {
            return self.problem(Some(column), "is empty");
        }
        self.parsed(column, parse)
    }

    fn parsed<T, E: std::fmt::Display>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.field(column)?.to_owned();
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => self.problem(Some(column), format!("{text:?}: {error}")),
        }
    }

    fn word<T: FromStr + Copy>(
        &mut self,
        column: &'static str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.field(column)?.to_owned();
        let found = all.iter().copied().find(|value| name(*value).eq_ignore_ascii_case(&text));
        let known: Vec<&str> = all.iter().copied().map(name).collect();
        found.or_else(|| self.problem(Some(column), format!("{text:?} is none of {}", known.join(", "))))
    }

    fn problem<T>(&mut self, column: Option<&'static str>, message: impl Into<String>) -> Option<T> {
        self.problems.push(Problem { line: self.record.line, column, message: message.into() });
        None
    }
}

/// Reads an amount such as 1.50 as minor units.
fn minor(text: &str) -> Result<i64, &'static str> {
    let wrong = "is not an amount such as 1.50";
    let (whole, cents) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(cents) || cents.len() > 2 || whole.len() > 9 {
        return Err(wrong);
    }
    let whole: i64 = whole.parse().map_err(|_| wrong)?;
    let cents: i64 = format!("{cents:0<2}").parse().map_err(|_| wrong)?;
    Ok(whole * 100 + cents)
}

fn currency(text: &str) -> Result<String, &'static str> {
    let code = text.to_ascii_uppercase();
    let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase());
    if is_code { Ok(code) } else { Err("is not three letters (ISO 4217)") }
}

/// Why nothing was stored.
#[derive(Debug)]
enum Undone {
    Store(Error),
    /// Numbers that are in the inventory already.
    Known(Vec<E164>),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Stores all numbers in one transaction, and tells how far it is.
async fn store_all(store: &Store, file: &str, rows: Vec<Row>) -> anyhow::Result<()> {
    let (lines, new): (Vec<(E164, usize)>, Vec<NewNumber>) =
        rows.into_iter().map(|row| ((row.number.number, row.line), row.number)).unzip();
    let total = new.len();
    let stored = store.write(move |db| {
        Box::pin(async move {
            let act = Act { actor: ACTOR, now_unix_ms: now_unix_ms() };
            let (mut done, mut known) = (0, Vec::new());
            for batch in new.chunks(BATCH) {
                known.extend(numbers::import(db, batch, act).await?);
                done += batch.len();
                eprintln!("{done} of {total} numbers");
            }
            if known.is_empty() { Ok(()) } else { Err(Undone::Known(known)) }
        })
    });
    match stored.await {
        Ok(()) => Ok(()),
        Err(Undone::Store(error)) => Err(error).context("nothing was imported"),
        Err(Undone::Known(known)) => {
            let known: BTreeSet<E164> = known.into_iter().collect();
            let problems: Vec<Problem> = lines
                .iter()
                .filter(|(number, _)| known.contains(number))
                .map(|(number, line)| {
                    let message = format!("{number} is in the inventory already");
                    Problem { line: *line, column: Some("number"), message }
                })
                .collect();
            anyhow::bail!("nothing was imported: {}", listed(file, &problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let trunk = "[[trunk]]\nname = \"carrier\"\nsources = [\"192.0.2.1\"]\n";
        Config::parse(Path::new("t.toml"), &format!("{text}{trunk}")).unwrap().config
    }

    fn problems(text: &str) -> Vec<String> {
        let Err(problems) = rows(text, &config("[numbers]\nfictional = true\n")) else { return Vec::new() };
        let shown = problems.iter().map(|problem| {
            format!("{} {}: {}", problem.line, problem.column.unwrap_or("-"), problem.message)
        });
        shown.collect()
    }

    #[test]
    fn what_a_row_leaves_out_follows_from_its_area_code() {
        let text = "number,trunk,monthly_cost\n+12065550100,carrier,0.4\n+18005550199,carrier,\n";
        let rows = rows(text, &config("[numbers]\nfictional = true\n")).ok().unwrap();
        let [seattle, toll_free] = &rows[..] else { panic!("two rows") };
        let seattle = &seattle.number;
        assert_eq!((seattle.number_type, seattle.country.as_str()), (NumberType::Geographic, "US"));
        assert_eq!((seattle.area_code.as_str(), seattle.region.as_str()), ("206", "WA"));
        assert_eq!((seattle.monthly_cost_minor, seattle.currency.as_str()), (40, "USD"));
        assert_eq!((seattle.calling, seattle.sms), (Capability::InboundOutbound, Capability::None));
        assert_eq!((toll_free.line, toll_free.number.number_type), (3, NumberType::TollFree));
    }

    #[test]
    fn every_bad_row_is_named_with_its_line() {
        let text = "number,trunk,type,country,monthly_cost\n\
                    2065550100,carrier,geographic,US,1\n\
                    +12065550101,nobody,geographic,US,1\n\
                    +12065550102,carrier,tollFree,US,1\n\
                    +12065550103,carrier,geographic,CA,1\n\
                    +12065550104,carrier,fixed,US,1.234\n\
                    +12065550105,carrier,geographic,US,1\n\
                    +12065550105,carrier,geographic,US,1\n\
                    +442079460000,carrier,geographic,,1\n\
                    +19005550100,carrier,geographic,US,1\n\
                    +12065550106,carrier\n";
        let expect = [
            "2 number: \"2065550100\": the number does not start with '+'",
            "3 trunk: no trunk is named nobody",
            "4 type: the area code says geographic",
            "5 country: the area code is one of US, not of CA",
            "6 type: \"fixed\" is none of",
            "6 monthly_cost: \"1.234\": is not an amount such as 1.50",
            "8 number: +12065550105 stands on line 7 too",
            "9 country: is needed for a number outside of country code 1",
            "10 number: +19005550100: premium-rate numbers are not sold (NUM-08)",
            "11 -: 2 fields, where the first line has 5",
        ];
        let found = problems(text);
        for expect in expect {
            assert!(found.iter().any(|found| found.starts_with(expect)), "{expect}\nin {found:#?}");
        }
        assert!(!found.iter().any(|found| found.starts_with("7 ")), "{found:#?}");
    }

    #[test]
    fn columns_have_to_be_known_and_those_needed_there() {
        assert_eq!(problems(""), ["1 -: the file is empty; its first line names the columns"]);
        let found = problems("number,colour\n");
        assert!(found[0].starts_with("1 -: unknown column \"colour\""), "{found:?}");
        assert_eq!(found[1], "1 -: column trunk is missing");
    }

    #[test]
    fn fictional_numbers_are_for_the_sandbox_only() {
        let text = "number,trunk\n+12065550100,carrier\n";
        assert!(rows(text, &config("")).is_err());
        assert_eq!(problems(text), Vec::<String>::new());
    }
}
