//! What the resource owes for a month.

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::timestamp::iso8601;
use axum::http::StatusCode;
use axum::response::Response;
use std::collections::BTreeMap;
use trunkline_storage::ledger::{self, Kept, Month};

/// Answers with the rows of a month's statement; of this month when none is named.
pub(super) async fn statement(call: Call) -> Result<Response, ApiError> {
    let resource = call.tenant()?.resource.id;
    let asked: Option<Month> = call.query.parsed("month")?;
    let month = asked.unwrap_or_else(|| Month::of_unix_ms(call.state.now_unix_ms()));
    let mut db = call.state.store.read().await?;
    let rows = ledger::statement(&mut db, resource, month).await?;
    let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
    for row in &rows {
        *totals.entry(&row.currency).or_default() += row.amount_minor;
    }
    let shown: Vec<_> = rows.iter().map(shown).collect();
    let body = serde_json::json!({ "month": month.to_string(), "rows": shown, "totalsMinor": totals });
    Ok(json(StatusCode::OK, &body))
}

fn shown(row: &Kept) -> serde_json::Value {
    serde_json::json!({
        "id": row.id,
        "at": iso8601(row.at_unix_ms),
        "kind": row.kind,
        "number": row.number,
        "amountMinor": row.amount_minor,
        "currency": row.currency,
        "note": row.note,
    })
}
