//! The audit log: who changed what, appended in the transaction of the change and never altered.

use crate::db::{Connection, Row, Value, statements, values};
use crate::error::Error;
use crate::numbers::Act;
use trunkline_model::{E164, NumberState};
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO audit \
        (at_ms, actor, action, e164, resource, from_state, to_state, version, detail) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    INSERT_IMPORTS = sqlite "INSERT INTO audit (at_ms, actor, action, e164, to_state, version) \
        SELECT $2, $3, 'import', value, 'available', 1 FROM json_each($1)"
        postgres "INSERT INTO audit (at_ms, actor, action, e164, to_state, version) \
        SELECT $2, $3, 'import', value, 'available', 1 FROM jsonb_array_elements_text($1) AS number (value)";
    LIST = "SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2";
    BY_NUMBER = "SELECT * FROM audit WHERE e164 = $1 AND id > $2 ORDER BY id LIMIT $3";
    BY_RESOURCE = "SELECT * FROM audit WHERE resource = $1 AND id > $2 ORDER BY id LIMIT $3";
}

/// One entry to append.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// When.
    pub at_unix_ms: i64,
    /// Who: `api`, `operator`, `sweeper`, a node.
    pub actor: &'a str,
    /// What was done, in one word or two: `purchase`, `release`, `rotate key`.
    pub action: &'a str,
    /// The number it was done to.
    pub number: Option<E164>,
    /// The resource it was done by or to.
    pub resource: Option<Uuid>,
    /// The states of the number before and after, and its version after.
    pub transition: Option<(Option<NumberState>, NumberState, i64)>,
    /// What else there is to know.
    pub detail: Option<serde_json::Value>,
}

/// An entry as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its place in the log.
    pub id: i64,
    /// When.
    pub at_unix_ms: i64,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// The number it was done to.
    pub number: Option<E164>,
    /// The resource it was done by or to.
    pub resource: Option<Uuid>,
    /// The state of the number before.
    pub from: Option<NumberState>,
    /// The state of the number after.
    pub to: Option<NumberState>,
    /// The version of the number after.
    pub version: Option<i64>,
    /// What else there is to know.
    pub detail: Option<serde_json::Value>,
}

/// Appends an entry.
///
/// # Errors
/// Those of a statement.
pub async fn append(db: &mut Connection, entry: &Entry<'_>) -> Result<(), Error> {
    let (from, to, version) = match entry.transition {
        Some((from, to, version)) => (from.map(NumberState::as_str), Some(to.as_str()), Some(version)),
        None => (None, None, None),
    };
    let values = values![
        entry.at_unix_ms,
        entry.actor,
        entry.action,
        Value::display(entry.number),
        entry.resource,
        from,
        to,
        version,
        Value::json(entry.detail.as_ref()),
    ];
    db.execute_later(INSERT, values).await
}

/// Appends an entry for each number that came into the inventory.
pub(crate) async fn append_imports(db: &mut Connection, numbers: &[E164], act: Act<'_>) -> Result<(), Error> {
    let values = values![Value::json(Some(&numbers)), act.now_unix_ms, act.actor];
    db.execute(INSERT_IMPORTS, values).await.map(drop)
}

/// Returns up to `limit` entries behind the entry `after`, oldest first.
///
/// # Errors
/// Those of a statement.
pub async fn list(db: &mut Connection, after: i64, limit: u16) -> Result<Vec<Kept>, Error> {
    db.fetch_all(LIST, values![after, i64::from(limit)]).await?.iter().map(read).collect()
}

/// Returns up to `limit` entries about a number behind the entry `after`, oldest first.
///
/// # Errors
/// Those of a statement.
pub async fn of_number(
    db: &mut Connection,
    number: E164,
    after: i64,
    limit: u16,
) -> Result<Vec<Kept>, Error> {
    let rows = db.fetch_all(BY_NUMBER, values![number.to_string(), after, i64::from(limit)]).await?;
    rows.iter().map(read).collect()
}

/// Returns up to `limit` entries about a resource behind the entry `after`, oldest first.
///
/// # Errors
/// Those of a statement.
pub async fn of_resource(
    db: &mut Connection,
    resource: Uuid,
    after: i64,
    limit: u16,
) -> Result<Vec<Kept>, Error> {
    let rows = db.fetch_all(BY_RESOURCE, values![resource, after, i64::from(limit)]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Kept, Error> {
    Ok(Kept {
        id: row.read("id")?,
        at_unix_ms: row.read("at_ms")?,
        actor: row.read("actor")?,
        action: row.read("action")?,
        number: row.parse_optional("e164")?,
        resource: row.read("resource")?,
        from: row.parse_optional("from_state")?,
        to: row.parse_optional("to_state")?,
        version: row.read("version")?,
        detail: row.read_json("detail")?,
    })
}
