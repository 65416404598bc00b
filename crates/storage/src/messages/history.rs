//! Messages for people and for reports: one by its id, lists, and what is kept for how long.

use super::{Message, MessageId, State};
use crate::db::{Connection, Row, statements, values};
use crate::error::Error;
use uuid::Uuid;

statements! {
    BY_ID = "SELECT * FROM messages WHERE id = $1";
    LIST = "SELECT * FROM messages WHERE seq < $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR trunk = $3) \
        ORDER BY seq DESC LIMIT $4";
    LIST_OF_RESOURCE = "SELECT * FROM messages WHERE seq < $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR trunk = $3) \
        AND resource = $5 ORDER BY seq DESC LIMIT $4";
    WITH_RECIPIENT = "SELECT * FROM messages WHERE recipient = $1 AND seq < $2 AND ($3 = '' OR sender = $3) \
        ORDER BY seq DESC LIMIT $4";
    COUNT = "SELECT state, COUNT(*) AS count FROM messages WHERE deadline_ms IS NOT NULL GROUP BY state ORDER BY state";
    // The segments go first: what they hang on says which they are.
    PRUNE_SEGMENTS = "DELETE FROM message_segments WHERE message IN (SELECT seq FROM messages \
        WHERE seq IN (SELECT seq FROM messages ORDER BY seq LIMIT $2) AND state = 'ended' AND created_ms <= $1)";
    PRUNE = "DELETE FROM messages \
        WHERE seq IN (SELECT seq FROM messages ORDER BY seq LIMIT $2) AND state = 'ended' AND created_ms <= $1";
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this resource.
    pub resource: Option<Uuid>,
    /// Those in this state.
    pub state: Option<State>,
    /// Those that this carrier has or had last.
    pub trunk: Option<trunkline_model::TrunkId>,
}

/// Returns a message.
///
/// # Errors
/// Those of a statement.
pub async fn by_id(db: &mut Connection, id: MessageId) -> Result<Option<Message>, Error> {
    db.fetch_optional(BY_ID, values![id.uuid()]).await?.as_ref().map(Message::read).transpose()
}

/// Returns up to `limit` messages before `before` (a [`Message::seq`]; none to begin with the latest), latest first.
///
/// # Errors
/// Those of a statement.
pub async fn list(
    db: &mut Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: u16,
) -> Result<Vec<Message>, Error> {
    let state = filter.state.map_or("", State::as_str);
    let trunk = filter.trunk.as_ref().map_or("", trunkline_model::TrunkId::as_str);
    let before = before.unwrap_or(i64::MAX);
    let rows = match filter.resource {
        Some(resource) => {
            let values = values![before, state, trunk, i64::from(limit), resource];
            db.fetch_all(LIST_OF_RESOURCE, values).await?
        }
        None => db.fetch_all(LIST, values![before, state, trunk, i64::from(limit)]).await?,
    };
    rows.iter().map(Message::read).collect()
}

/// Returns up to `limit` messages to a number, from one sender or any, latest first.
///
/// # Errors
/// Those of a statement.
pub async fn with_recipient(
    db: &mut Connection,
    recipient: &str,
    sender: Option<&str>,
    before: Option<i64>,
    limit: u16,
) -> Result<Vec<Message>, Error> {
    let values = values![recipient, before.unwrap_or(i64::MAX), sender.unwrap_or_default(), i64::from(limit)];
    db.fetch_all(WITH_RECIPIENT, values).await?.iter().map(Message::read).collect()
}

/// Counts the messages that have not ended, by state, one by one: for a person's question, not for every tick.
///
/// # Errors
/// Those of a statement.
pub async fn count(db: &mut Connection) -> Result<Vec<(State, u64)>, Error> {
    let read = |row: &Row| Ok((row.read_name("state")?, row.narrow("count")?));
    db.fetch_all(COUNT, &[]).await?.iter().map(read).collect()
}

/// Removes, of the `limit` oldest messages, those that have ended and were accepted by `until_unix_ms`; returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn prune(db: &mut Connection, until_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(PRUNE_SEGMENTS, values![until_unix_ms, i64::from(limit)]).await?;
    db.execute(PRUNE, values![until_unix_ms, i64::from(limit)]).await
}
