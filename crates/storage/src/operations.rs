//! Long-running operations of the API.

use crate::db::{Connection, Row, Value, statements, values};
use crate::error::Error;
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO operations (resource, id, kind, state, created_ms, changed_ms, subject, error_code, \
        error_message) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)";
    INSERT_ONCE = "INSERT INTO operations (resource, id, kind, state, created_ms, changed_ms, subject, error_code, \
        error_message) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8) ON CONFLICT (resource, id) DO NOTHING";
    BY_ID = "SELECT * FROM operations WHERE resource = $1 AND id = $2";
    // What has ended stays as it is.
    ADVANCE = "UPDATE operations SET state = $3, changed_ms = $4, error_code = $5, error_message = $6 \
        WHERE resource = $1 AND id = $2 AND state IN ('notStarted', 'running')";
    DELETE = "DELETE FROM operations WHERE resource = $1 AND id = $2";
    PRUNE = "DELETE FROM operations WHERE (resource, id) IN (SELECT resource, id FROM operations \
        WHERE changed_ms < $1 AND state IN ('succeeded', 'failed') ORDER BY changed_ms LIMIT $2)";
}

/// A long-running operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Whose.
    pub resource: Uuid,
    /// Its id, as in its URL.
    pub id: String,
    /// Its type in the API: `search`, `purchase`, `releasePhoneNumber`…
    pub kind: String,
    /// How far it has come.
    pub state: State,
    /// When it began.
    pub created_unix_ms: i64,
    /// When it last changed.
    pub changed_unix_ms: i64,
    /// What it is about: the id of a search or reservation, or a number.
    pub subject: String,
}

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not begun.
    NotStarted,
    /// Under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed {
        /// The stable code.
        code: String,
        /// For people.
        message: String,
    },
}

impl State {
    /// Returns the word for it in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotStarted => "notStarted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
        }
    }

    fn error(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::NotStarted | Self::Running | Self::Succeeded => (None, None),
            Self::Failed { code, message } => (Some(code), Some(message)),
        }
    }
}

/// Keeps a new operation, in whatever state it begins.
///
/// # Errors
/// [`Error::Duplicate`] when the resource has one with this id.
pub async fn insert(db: &mut Connection, operation: &Operation) -> Result<(), Error> {
    db.execute_later(INSERT, &columns(operation)).await
}

/// Keeps a new operation, unless the resource has one with this id: then that one stands.
///
/// # Errors
/// Those of a statement.
pub async fn insert_once(db: &mut Connection, operation: &Operation) -> Result<(), Error> {
    db.execute_later(INSERT_ONCE, &columns(operation)).await
}

fn columns(operation: &Operation) -> [Value<'_>; 8] {
    let (code, message) = operation.state.error();
    [
        operation.resource.into(),
        operation.id.as_str().into(),
        operation.kind.as_str().into(),
        operation.state.as_str().into(),
        operation.created_unix_ms.into(),
        operation.subject.as_str().into(),
        code.into(),
        message.into(),
    ]
}

/// Returns an operation of a resource.
///
/// # Errors
/// Those of a statement.
pub async fn by_id(db: &mut Connection, resource: Uuid, id: &str) -> Result<Option<Operation>, Error> {
    db.fetch_optional(BY_ID, values![resource, id]).await?.as_ref().map(read).transpose()
}

/// Brings an operation further. Returns false when it has ended already, or was deleted.
///
/// # Errors
/// Those of a statement.
pub async fn advance(
    db: &mut Connection,
    resource: Uuid,
    id: &str,
    state: &State,
    now_unix_ms: i64,
) -> Result<bool, Error> {
    let (code, message) = state.error();
    let values = values![resource, id, state.as_str(), now_unix_ms, code, message];
    Ok(db.execute(ADVANCE, values).await? == 1)
}

/// Removes an operation. Returns false when there is none.
///
/// # Errors
/// Those of a statement.
pub async fn delete(db: &mut Connection, resource: Uuid, id: &str) -> Result<bool, Error> {
    Ok(db.execute(DELETE, values![resource, id]).await? == 1)
}

/// Removes up to `limit` operations that ended before a time, and returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn prune(db: &mut Connection, before_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(PRUNE, values![before_unix_ms, i64::from(limit)]).await
}

fn read(row: &Row) -> Result<Operation, Error> {
    let state: String = row.read("state")?;
    let state = match state.as_str() {
        "notStarted" => State::NotStarted,
        "running" => State::Running,
        "succeeded" => State::Succeeded,
        "failed" => State::Failed {
            code: row.read::<Option<String>>("error_code")?.unwrap_or_default(),
            message: row.read::<Option<String>>("error_message")?.unwrap_or_default(),
        },
        _ => return Err(Error::Unreadable { column: "state", source: "no state of an operation".into() }),
    };
    Ok(Operation {
        resource: row.read("resource")?,
        id: row.read("id")?,
        kind: row.read("kind")?,
        state,
        created_unix_ms: row.read("created_ms")?,
        changed_unix_ms: row.read("changed_ms")?,
        subject: row.read("subject")?,
    })
}
