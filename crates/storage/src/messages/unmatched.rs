//! Receipts that speak of no segment that is known: kept for a person to look at.

use crate::db::{Connection, Row, statements, values};
use crate::error::Error;
use serde_json::{Value as Json, json};
use trunkline_model::TrunkId;

statements! {
    INSERT = sqlite "INSERT INTO unmatched_receipts (trunk, received_ms, source, destination, carrier_id, receipt) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->'$[5]' FROM json_each($1) RETURNING id"
        postgres "INSERT INTO unmatched_receipts (trunk, received_ms, source, destination, carrier_id, receipt) \
        SELECT value->>0, CAST(value->>1 AS BIGINT), value->>2, value->>3, value->>4, value->5 \
        FROM jsonb_array_elements($1) WITH ORDINALITY AS receipt (value, position) ORDER BY position RETURNING id";
    REMOVE = sqlite "DELETE FROM unmatched_receipts WHERE id IN (SELECT value FROM json_each($1))"
        postgres "DELETE FROM unmatched_receipts \
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text($1) AS gone (value))";
    LIST = "SELECT * FROM unmatched_receipts WHERE id < $1 ORDER BY id DESC LIMIT $2";
    PRUNE = "DELETE FROM unmatched_receipts WHERE id IN (SELECT id FROM unmatched_receipts \
        WHERE received_ms <= $1 ORDER BY received_ms LIMIT $2)";
}

/// How long they are kept (rules D.5, field R13).
pub const KEPT_MS: i64 = 72 * 3_600_000;

/// A receipt that matched nothing. `Debug` hides the numbers.
#[derive(Clone, PartialEq)]
pub struct Unmatched {
    /// Its number in the list.
    pub id: i64,
    /// The carrier it came from.
    pub trunk: TrunkId,
    /// When.
    pub received_unix_ms: i64,
    /// source_addr: the recipient of the message, if the carrier follows the standard.
    pub source: String,
    /// destination_addr.
    pub destination: String,
    /// The carrier's id of the message, if one could be read.
    pub carrier_id: Option<String>,
    /// What it says, as its writer understands it.
    pub receipt: Json,
}

impl std::fmt::Debug for Unmatched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unmatched({} of {}, id {:?})", self.id, self.trunk, self.carrier_id)
    }
}

/// Keeps receipts, with one statement; their [`Unmatched::id`] is not looked at. Returns their numbers, in order.
///
/// # Errors
/// Those of a statement.
pub async fn insert(db: &mut Connection, receipts: &[Unmatched]) -> Result<Vec<i64>, Error> {
    if receipts.is_empty() {
        return Ok(Vec::new());
    }
    let row = |receipt: &Unmatched| {
        json!([
            receipt.trunk.as_str(),
            receipt.received_unix_ms,
            receipt.source,
            receipt.destination,
            receipt.carrier_id,
            receipt.receipt,
        ])
    };
    let rows = db.fetch_all(INSERT, values![receipts.iter().map(row).collect::<Json>()]).await?;
    let ids: Result<Vec<i64>, Error> = rows.iter().map(|row| row.read("id")).collect();
    // RETURNING promises no order; numbers grow in that of the array.
    ids.map(|mut ids| {
        ids.sort_unstable();
        ids
    })
}

/// Removes receipts that were matched after all.
///
/// # Errors
/// Those of a statement.
pub async fn remove(db: &mut Connection, ids: &[i64]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    db.execute(REMOVE, values![json!(ids)]).await.map(drop)
}

/// Returns up to `limit` receipts with a number below `before`, latest first.
///
/// # Errors
/// Those of a statement.
pub async fn list(db: &mut Connection, before: Option<i64>, limit: u16) -> Result<Vec<Unmatched>, Error> {
    let rows = db.fetch_all(LIST, values![before.unwrap_or(i64::MAX), i64::from(limit)]).await?;
    rows.iter().map(read).collect()
}

/// Removes up to `limit` receipts that were kept long enough, and returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn prune(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(PRUNE, values![now_unix_ms - KEPT_MS, i64::from(limit)]).await
}

fn read(row: &Row) -> Result<Unmatched, Error> {
    Ok(Unmatched {
        id: row.read("id")?,
        trunk: row.parse("trunk")?,
        received_unix_ms: row.read("received_ms")?,
        source: row.read("source")?,
        destination: row.read("destination")?,
        carrier_id: row.read("carrier_id")?,
        receipt: row.read_json("receipt")?.unwrap_or_default(),
    })
}
