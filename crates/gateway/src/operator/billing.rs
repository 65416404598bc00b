//! `trunkline billing`: what a resource owes.

use super::{csv, find, on_database, print_json};
use crate::cli::{BillingCommand, StatementFormat};
use crate::config::Config;
use serde_json::json;
use std::collections::BTreeMap;
use trunkline_storage::Store;
use trunkline_storage::ledger::{self, Kept, Month};
use trunkline_storage::resources::Resource;

/// Carries out a command.
///
/// # Errors
/// There is no such resource, or the database failed.
pub fn billing(config: &Config, command: BillingCommand) -> anyhow::Result<()> {
    let BillingCommand::Statement { resource, month, format, .. } = command;
    on_database(config, async |store| statement(store, &resource, month, format).await)
}

async fn statement(store: &Store, name: &str, month: Month, format: StatementFormat) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let resource = find(&mut db, name).await?;
    let rows = ledger::statement(&mut db, resource.id, month).await?;
    match format {
        StatementFormat::Text => print!("{}", text(&resource, month, &rows)),
        StatementFormat::Csv => print!("{}", comma_separated(&rows)),
        StatementFormat::Json => print_json(&document(&resource, month, &rows)),
    }
    Ok(())
}

/// What the rows come to, by currency.
fn totals(rows: &[Kept]) -> BTreeMap<&str, i64> {
    let mut totals = BTreeMap::new();
    for row in rows {
        *totals.entry(row.currency.as_str()).or_default() += row.amount_minor;
    }
    totals
}

fn text(resource: &Resource, month: Month, rows: &[Kept]) -> String {
    let mut lines = vec![format!("statement of {} for {month} (UTC)", resource.name)];
    for row in rows {
        let number = row.number.map_or(String::new(), |number| number.to_string());
        lines.push(format!(
            "  {}  {:<10}  {number:<16}  {:>10} {}  {}",
            trunkline_api::iso8601(row.at_unix_ms),
            row.kind.as_str(),
            amount(row.amount_minor),
            row.currency,
            row.note
        ));
    }
    if rows.is_empty() {
        lines.push("  nothing".to_owned());
    }
    for (currency, total) in totals(rows) {
        lines.push(format!("total {} {currency}", amount(total)));
    }
    lines.join("\n") + "\n"
}

fn comma_separated(rows: &[Kept]) -> String {
    let mut text = csv::write(&["id", "at", "kind", "number", "assignment", "amount", "currency", "note"]);
    for row in rows {
        text += &csv::write(&[
            &row.id.to_string(),
            &trunkline_api::iso8601(row.at_unix_ms),
            row.kind.as_str(),
            &row.number.map_or(String::new(), |number| number.to_string()),
            &row.assignment.map_or(String::new(), |assignment| assignment.to_string()),
            &amount(row.amount_minor),
            &row.currency,
            &row.note,
        ]);
    }
    text
}

fn document(resource: &Resource, month: Month, rows: &[Kept]) -> serde_json::Value {
    let shown = rows.iter().map(|row| {
        json!({
            "id": row.id,
            "at": trunkline_api::iso8601(row.at_unix_ms),
            "kind": row.kind,
            "number": row.number,
            "assignment": row.assignment,
            "amountMinor": row.amount_minor,
            "currency": row.currency,
            "note": row.note,
        })
    });
    json!({
        "resource": { "id": resource.id, "name": resource.name },
        "month": month.to_string(),
        "rows": shown.collect::<Vec<_>>(),
        "totalsMinor": totals(rows),
    })
}

/// Writes minor units as people do.
fn amount(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let minor = minor.unsigned_abs();
    format!("{sign}{}.{:02}", minor / 100, minor % 100)
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn credits_below_one_keep_their_sign() {
        assert_eq!([0, 5, 100, 12_345].map(amount), ["0.00", "0.05", "1.00", "123.45"]);
        assert_eq!([-5, -250].map(amount), ["-0.05", "-2.50"]);
    }
}
