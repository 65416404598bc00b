//! Outgoing texts, from the moment they are accepted to their one end; texts that come in; what carriers said of both.
//!
//! A row of an outgoing text is its own queue entry. It waits in a *lane* of its tenant ([`queue`]), is claimed under a
//! lease, and moves on by [`settle`](delivery::settle). Everything here takes many at once: a whole batch of claims,
//! responses or receipts is one unit of work and a handful of statements.
//!
//! | concern | module |
//! |---|---|
//! | the id customers know a text by | [`id`] |
//! | turns, leases, recovery after a crash | [`queue`] |
//! | segments that carriers took, receipts, ends | [`delivery`] |
//! | lists for people, and what is kept how long | [`history`] |
//! | texts that come in, and their parts | [`inbound`] |
//! | receipts that match nothing | [`unmatched`] |
//! | what a 10DLC brand has sent today | [`brand_day`] |

pub mod brand_day;
pub mod delivery;
pub mod history;
pub mod id;
pub mod inbound;
pub mod queue;
mod row;
pub mod unmatched;

pub use id::{InvalidMessageId, MessageId};
pub use row::{Content, Counts, Delivery, Message, Outcome, Purpose, Source, State, Status};

use crate::db::{Connection, Topic, statements, values};
use crate::error::Error;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use trunkline_model::E164;
use uuid::Uuid;

statements! {
    // Many in one trip: an array of messages, each an array in the order of the columns.
    INSERT = sqlite "INSERT INTO messages (id, resource, source, sender, recipient, body, coding, purpose, wants_report, \
        tag, request, fingerprint, created_ms, expires_ms, report_by_ms, state, lane, due_ms, deadline_ms) \
        SELECT unhex(value->>0), unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
        value->>8, value->>9, value->>10, unhex(value->>11), value->>12, value->>13, value->>14, \
        'queued', '', value->>12, value->>15 \
        FROM json_each($1) WHERE TRUE \
        ON CONFLICT (resource, request, recipient, sender) WHERE request IS NOT NULL DO NOTHING RETURNING id"
        postgres "INSERT INTO messages (id, resource, source, sender, recipient, body, coding, purpose, wants_report, \
        tag, request, fingerprint, created_ms, expires_ms, report_by_ms, state, lane, due_ms, deadline_ms) \
        SELECT CAST(value->>0 AS UUID), CAST(value->>1 AS UUID), value->>2, value->>3, value->>4, value->>5, \
        CAST(value->>6 AS BIGINT), value->>7, CAST(value->>8 AS BIGINT), value->>9, value->>10, \
        decode(value->>11, 'hex'), CAST(value->>12 AS BIGINT), CAST(value->>13 AS BIGINT), \
        CAST(value->>14 AS BIGINT), 'queued', '', CAST(value->>12 AS BIGINT), CAST(value->>15 AS BIGINT) \
        FROM jsonb_array_elements($1) WITH ORDINALITY AS message (value, position) ORDER BY position \
        ON CONFLICT (resource, request, recipient, sender) WHERE request IS NOT NULL DO NOTHING RETURNING id";
    KNOWN = sqlite "SELECT m.id, m.fingerprint, m.resource, m.request, m.recipient, m.sender FROM json_each($1) AS key \
        JOIN messages AS m ON m.resource = unhex(key.value->>0) AND m.request = key.value->>1 \
        AND m.recipient = key.value->>2 AND m.sender = key.value->>3"
        postgres "SELECT m.id, m.fingerprint, m.resource, m.request, m.recipient, m.sender \
        FROM jsonb_array_elements($1) AS key (value) \
        JOIN messages AS m ON m.resource = CAST(key.value->>0 AS UUID) AND m.request = key.value->>1 \
        AND m.recipient = key.value->>2 AND m.sender = key.value->>3";
    FORGET_REQUESTS = "UPDATE messages SET request = NULL, fingerprint = NULL WHERE seq IN (SELECT seq FROM messages \
        WHERE request IS NOT NULL AND created_ms <= $1 ORDER BY created_ms LIMIT $2)";
}

/// A text to accept for one recipient. `Debug` hides what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Whose it is.
    pub resource: Uuid,
    /// Who handed it in.
    pub source: Source,
    /// The sender: a number with `+`, a short code or a name.
    pub from: String,
    /// The recipient.
    pub to: E164,
    /// What it says.
    pub content: Content,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether its source wants to be told how it ended.
    pub wants_report: bool,
    /// What the customer wrote on it.
    pub tag: Option<String>,
    /// What makes the same wish recognisable when it comes again.
    pub request: Option<Request>,
    /// When it stops being worth sending (rules SMS-08).
    pub expires_unix_ms: i64,
    /// When it has ended for lack of a report at the latest.
    pub report_by_unix_ms: i64,
}

/// A wish that may come again: the same one is accepted once (rules SMS-05).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What the client named it.
    pub id: String,
    /// A digest of all that was wished for.
    pub fingerprint: Vec<u8>,
}

/// What became of a [`NewMessage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is queued.
    New(MessageId),
    /// It had been accepted before, as this message.
    Again(MessageId),
    /// Another wish came under the same name.
    Conflict,
}

/// How long a wish is recognised (rules SMS-05).
pub const REQUEST_KEPT_MS: i64 = 24 * 3_600_000;

/// Accepts messages, in order, with one statement (and another if some had come before).
///
/// # Errors
/// Those of a statement.
pub async fn accept(
    db: &mut Connection,
    messages: &[NewMessage],
    now_unix_ms: i64,
) -> Result<Vec<Accepted>, Error> {
    let ids: Vec<MessageId> = messages.iter().map(|_| MessageId::new(now_unix_ms)).collect();
    let mut firsts = HashMap::new();
    for (at, message) in messages.iter().enumerate() {
        key(message).map(|key| firsts.entry(key).or_insert(at));
    }
    let is_first = |at: usize| key(&messages[at]).is_none_or(|key| firsts.get(&key) == Some(&at));
    let rows: Json = (0..messages.len())
        .filter(|at| is_first(*at))
        .map(|at| columns(&messages[at], ids[at], now_unix_ms))
        .collect();
    let wished = rows.as_array().map_or(0, Vec::len);
    let inserted = db.fetch_all(INSERT, values![rows]).await?;
    if !inserted.is_empty() {
        db.notify(Topic::Messages);
    }
    if inserted.len() == messages.len() {
        return Ok(ids.into_iter().map(Accepted::New).collect());
    }
    let before = if inserted.len() == wished { HashMap::new() } else { known(db, messages).await? };
    let answers = messages.iter().enumerate().map(|(at, message)| {
        let Some(key) = key(message) else { return Accepted::New(ids[at]) };
        let fingerprint = message.request.as_ref().map(|request| request.fingerprint.as_slice());
        match before.get(&key) {
            Some((id, _)) if *id == ids[at] => Accepted::New(ids[at]),
            Some((id, kept)) if Some(kept.as_slice()) == fingerprint => Accepted::Again(*id),
            Some(_) => Accepted::Conflict,
            // Its first is in this very batch, and is new.
            None => match firsts.get(&key) {
                Some(first) if *first != at => match messages[*first].request == message.request {
                    true => Accepted::Again(ids[*first]),
                    false => Accepted::Conflict,
                },
                _ => Accepted::New(ids[at]),
            },
        }
    });
    Ok(answers.collect())
}

/// Forgets up to `limit` wishes that are a day old; returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn forget_requests(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(FORGET_REQUESTS, values![now_unix_ms - REQUEST_KEPT_MS, i64::from(limit)]).await
}

/// Resource, name of the wish, recipient, sender.
type RequestKey = (Uuid, String, String, String);

fn key(message: &NewMessage) -> Option<RequestKey> {
    let request = message.request.as_ref()?;
    Some((message.resource, request.id.clone(), message.to.to_string(), message.from.clone()))
}

async fn known(
    db: &mut Connection,
    messages: &[NewMessage],
) -> Result<HashMap<RequestKey, (MessageId, Vec<u8>)>, Error> {
    let keys = messages.iter().filter_map(key);
    let keys: Json =
        keys.map(|(resource, id, to, from)| json!([resource.simple().to_string(), id, to, from])).collect();
    let rows = db.fetch_all(KNOWN, values![keys]).await?;
    let rows = rows.iter().map(|row| {
        let key = (row.read("resource")?, row.read("request")?, row.read("recipient")?, row.read("sender")?);
        Ok((key, (MessageId::from_uuid(row.read("id")?), row.read("fingerprint")?)))
    });
    rows.collect()
}

fn columns(message: &NewMessage, id: MessageId, now_unix_ms: i64) -> Json {
    let (body, coding) = message.content.columns();
    let request = message.request.as_ref();
    json!([
        id.uuid().simple().to_string(),
        message.resource.simple().to_string(),
        message.source.to_string(),
        message.from,
        message.to.to_string(),
        body,
        coding,
        message.purpose.as_str(),
        i64::from(message.wants_report),
        message.tag,
        request.map(|request| &request.id),
        request.map(|request| row::hex(&request.fingerprint)),
        now_unix_ms,
        message.expires_unix_ms,
        message.report_by_unix_ms,
        message.expires_unix_ms.min(message.report_by_unix_ms),
    ])
}
