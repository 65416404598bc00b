//! Answers that are given again when a request comes again.
//!
//! The answer is inserted in the transaction of the request's effect. When the same request comes twice at
//! once, the second insert finds the first ([`Error::Duplicate`]), its unit is undone with its effect, and
//! [`find`] then gives the answer.

use crate::db::{Connection, Value, statements, values};
use crate::error::Error;
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO repeatability (resource, operation, request, fingerprint, created_ms, expires_ms, status, \
        headers, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    FIND = "SELECT * FROM repeatability WHERE resource = $1 AND operation = $2 AND request = $3 AND expires_ms > $4";
    FORGET_EXPIRED = "DELETE FROM repeatability \
        WHERE resource = $1 AND operation = $2 AND request = $3 AND expires_ms <= $4";
    PRUNE = "DELETE FROM repeatability WHERE (resource, operation, request) IN (SELECT resource, operation, request \
        FROM repeatability WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)";
}

/// Names a request that may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// Whose.
    pub resource: Uuid,
    /// Which operation: the same id under another is another request.
    pub operation: &'a str,
    /// The id that the client gave it.
    pub request: &'a str,
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header fields, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It has not come before.
    New,
    /// It came, and was answered so.
    Answered(Answer),
    /// Another request came under this id.
    Different,
}

/// Says whether a request came before. The fingerprint is a digest of what it asks for.
///
/// # Errors
/// Those of a statement.
pub async fn find(
    db: &mut Connection,
    key: Key<'_>,
    fingerprint: &[u8],
    now_unix_ms: i64,
) -> Result<Found, Error> {
    let values = values![key.resource, key.operation, key.request, now_unix_ms];
    let Some(row) = db.fetch_optional(FIND, values).await? else { return Ok(Found::New) };
    if row.read::<Vec<u8>>("fingerprint")? != fingerprint {
        return Ok(Found::Different);
    }
    Ok(Found::Answered(Answer {
        status: row.narrow("status")?,
        headers: row.read_json("headers")?.unwrap_or_default(),
        body: row.read("body")?,
    }))
}

/// Keeps the answer to a request until a time.
///
/// # Errors
/// [`Error::Duplicate`] when the request was answered in between.
pub async fn insert(
    db: &mut Connection,
    key: Key<'_>,
    fingerprint: &[u8],
    answer: &Answer,
    now_unix_ms: i64,
    expires_unix_ms: i64,
) -> Result<(), Error> {
    db.execute_later(FORGET_EXPIRED, values![key.resource, key.operation, key.request, now_unix_ms]).await?;
    let values: &[Value<'_>] = values![
        key.resource,
        key.operation,
        key.request,
        fingerprint,
        now_unix_ms,
        expires_unix_ms,
        i64::from(answer.status),
        Value::json(Some(&answer.headers)),
        answer.body.as_slice(),
    ];
    db.execute_later(INSERT, values).await
}

/// Removes up to `limit` answers that have expired, and returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn prune(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(PRUNE, values![now_unix_ms, i64::from(limit)]).await
}
