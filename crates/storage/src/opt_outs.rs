//! Who wants no more texts from whom.
//!
//! Every opt-out is kept with the number it was said to and whose number that is. Which of them stop a message is for
//! the [`Scope`] to say, so that it can be changed without losing any.

use crate::db::{Connection, Row, statements, values};
use crate::error::Error;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use trunkline_model::E164;
use uuid::Uuid;

statements! {
    ADD = sqlite "INSERT INTO opt_outs (recipient, resource, sender, since_ms, origin) \
        SELECT value->>2, unhex(value->>0), value->>1, $2, $3 FROM json_each($1) WHERE TRUE \
        ON CONFLICT (recipient, resource, sender) DO NOTHING"
        postgres "INSERT INTO opt_outs (recipient, resource, sender, since_ms, origin) \
        SELECT value->>2, CAST(value->>0 AS UUID), value->>1, $2, $3 FROM jsonb_array_elements($1) AS pair (value) \
        ON CONFLICT (recipient, resource, sender) DO NOTHING";
    REMOVE = sqlite "DELETE FROM opt_outs WHERE (recipient, resource, sender) IN (SELECT o.recipient, o.resource, o.sender \
        FROM json_each($1) AS pair JOIN opt_outs AS o ON o.recipient = pair.value->>2 \
        AND ($2 = 'all' OR o.resource = unhex(pair.value->>0)) AND ($2 <> 'number' OR o.sender = pair.value->>1))"
        postgres "DELETE FROM opt_outs \
        WHERE (recipient, resource, sender) IN (SELECT o.recipient, o.resource, o.sender \
        FROM jsonb_array_elements($1) AS pair (value) JOIN opt_outs AS o ON o.recipient = pair.value->>2 \
        AND ($2 = 'all' OR o.resource = CAST(pair.value->>0 AS UUID)) \
        AND ($2 <> 'number' OR o.sender = pair.value->>1))";
    CHECK = sqlite "SELECT DISTINCT pair.key AS position FROM json_each($1) AS pair \
        JOIN opt_outs AS o ON o.recipient = pair.value->>2 \
        AND ($2 = 'all' OR o.resource = unhex(pair.value->>0)) AND ($2 <> 'number' OR o.sender = pair.value->>1)"
        postgres "SELECT DISTINCT pair.position - 1 AS position \
        FROM jsonb_array_elements($1) WITH ORDINALITY AS pair (value, position) \
        JOIN opt_outs AS o ON o.recipient = pair.value->>2 \
        AND ($2 = 'all' OR o.resource = CAST(pair.value->>0 AS UUID)) \
        AND ($2 <> 'number' OR o.sender = pair.value->>1)";
    LIST = "SELECT * FROM opt_outs WHERE (recipient, resource, sender) > ($1, $2, $3) \
        ORDER BY recipient, resource, sender LIMIT $4";
    OF_RECIPIENT = "SELECT * FROM opt_outs WHERE recipient = $1 ORDER BY resource, sender";
}

/// Which opt-outs stop a message (rules D.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those said to its sender.
    Number,
    /// Those said to any number of its resource.
    Tenant,
    /// All of its recipient's.
    All,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Tenant => "tenant",
            Self::All => "all",
        }
    }
}

/// A sender and someone who may not want its texts. `Debug` hides most of the numbers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Whose the sender is.
    pub resource: Uuid,
    /// The sender: a number with `+`, a short code or a name.
    pub sender: String,
    /// The recipient.
    pub recipient: E164,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pair({}, {})", self.resource, self.recipient.redacted())
    }
}

/// Where an opt-out comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A text of the recipient's.
    Keyword,
    /// The customer's application.
    Api,
    /// The operator.
    Operator,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Api => "api",
            Self::Operator => "operator",
        }
    }
}

/// An opt-out as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptOut {
    /// Between whom.
    pub pair: Pair,
    /// Since when.
    pub since_unix_ms: i64,
    /// Where it comes from: `keyword`, `api` or `operator`.
    pub origin: String,
}

/// Adds opt-outs, with one statement; those that are there stay as they are.
///
/// # Errors
/// Those of a statement.
pub async fn add(db: &mut Connection, pairs: &[Pair], origin: Origin, now_unix_ms: i64) -> Result<(), Error> {
    if pairs.is_empty() {
        return Ok(());
    }
    db.execute(ADD, values![array(pairs), now_unix_ms, origin.as_str()]).await.map(drop)
}

/// Removes every opt-out that stops these senders' messages under a scope, with one statement; returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn remove(db: &mut Connection, pairs: &[Pair], scope: Scope) -> Result<u64, Error> {
    if pairs.is_empty() {
        return Ok(0);
    }
    db.execute(REMOVE, values![array(pairs), scope.as_str()]).await
}

/// Says of each pair whether a message between them is stopped, with one statement.
///
/// # Errors
/// Those of a statement.
pub async fn check(db: &mut Connection, pairs: &[Pair], scope: Scope) -> Result<Vec<bool>, Error> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = db.fetch_all(CHECK, values![array(pairs), scope.as_str()]).await?;
    let stopped: HashSet<usize> =
        rows.iter().map(|row| row.narrow("position")).collect::<Result<_, Error>>()?;
    Ok((0..pairs.len()).map(|at| stopped.contains(&at)).collect())
}

/// Returns the opt-outs of a recipient.
///
/// # Errors
/// Those of a statement.
pub async fn of_recipient(db: &mut Connection, recipient: &E164) -> Result<Vec<OptOut>, Error> {
    db.fetch_all(OF_RECIPIENT, values![recipient.to_string()]).await?.iter().map(read).collect()
}

/// Returns up to `limit` opt-outs behind `after`, by recipient.
///
/// # Errors
/// Those of a statement.
pub async fn list(db: &mut Connection, after: Option<&Pair>, limit: u16) -> Result<Vec<OptOut>, Error> {
    let recipient = after.map(|pair| pair.recipient.to_string()).unwrap_or_default();
    let resource = after.map_or(Uuid::nil(), |pair| pair.resource);
    let sender = after.map_or("", |pair| pair.sender.as_str());
    let rows = db.fetch_all(LIST, values![recipient, resource, sender, i64::from(limit)]).await?;
    rows.iter().map(read).collect()
}

fn array(pairs: &[Pair]) -> Json {
    let row =
        |pair: &Pair| json!([pair.resource.simple().to_string(), pair.sender, pair.recipient.to_string()]);
    pairs.iter().map(row).collect()
}

fn read(row: &Row) -> Result<OptOut, Error> {
    let pair = Pair {
        resource: row.read("resource")?,
        sender: row.read("sender")?,
        recipient: row.parse("recipient")?,
    };
    Ok(OptOut { pair, since_unix_ms: row.read("since_ms")?, origin: row.read("origin")? })
}
