//! Texts that came in, and parts of texts that are not whole yet.

use crate::db::{Connection, Row, statements, values};
use crate::error::Error;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::fmt;
use trunkline_model::TrunkId;
use uuid::Uuid;

statements! {
    INSERT = sqlite "INSERT INTO inbound_texts (id, resource, trunk, sender, recipient, body, received_ms, segments, \
        partial) SELECT unhex(value->>0), unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, \
        value->>7, value->>8 FROM json_each($1) WHERE TRUE ON CONFLICT (id) DO NOTHING RETURNING id"
        postgres "INSERT INTO inbound_texts (id, resource, trunk, sender, recipient, body, received_ms, segments, \
        partial) SELECT CAST(value->>0 AS UUID), CAST(value->>1 AS UUID), value->>2, value->>3, value->>4, value->>5, \
        CAST(value->>6 AS BIGINT), CAST(value->>7 AS BIGINT), CAST(value->>8 AS BIGINT) \
        FROM jsonb_array_elements($1) WITH ORDINALITY AS text (value, position) ORDER BY position \
        ON CONFLICT (id) DO NOTHING RETURNING id";
    LIST = "SELECT * FROM inbound_texts WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
    LIST_OF_RESOURCE = "SELECT * FROM inbound_texts WHERE resource = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
    WITH_SENDER = "SELECT * FROM inbound_texts WHERE sender = $1 AND seq < $2 AND ($3 = '' OR recipient = $3) \
        ORDER BY seq DESC LIMIT $4";
    PRUNE = "DELETE FROM inbound_texts WHERE seq IN (SELECT seq FROM inbound_texts \
        WHERE received_ms <= $1 ORDER BY received_ms LIMIT $2)";
    INSERT_PART = "INSERT INTO inbound_parts (trunk, sender, recipient, reference, total, part, octets, decoding, \
        received_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
    REMOVE_PARTS = sqlite "DELETE FROM inbound_parts WHERE id IN (SELECT value FROM json_each($1))"
        postgres "DELETE FROM inbound_parts \
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text($1) AS gone (value))";
    PARTS = "SELECT * FROM inbound_parts WHERE id > $1 ORDER BY id LIMIT $2";
}

/// A text that came in. `Debug` hides what it says and the numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundText {
    /// Its place in the order of arrival; given by the store.
    pub seq: i64,
    /// Its id.
    pub id: Uuid,
    /// Whose number it came to; none for a number that nobody owns.
    pub resource: Option<Uuid>,
    /// The carrier that brought it.
    pub trunk: TrunkId,
    /// Who sent it.
    pub from: String,
    /// To which number.
    pub to: String,
    /// What it says.
    pub body: String,
    /// When it came, or its last part did.
    pub received_unix_ms: i64,
    /// How many segments it came in.
    pub segments: u8,
    /// Whether parts of it never came.
    pub partial: bool,
}

impl fmt::Debug for InboundText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboundText({} over {}, {} octets)", self.id, self.trunk, self.body.len())
    }
}

/// The prefix of the id that customers know an inbound text by.
const PREFIX: &str = "Incoming_";

impl InboundText {
    /// Returns a new id of a text that comes now.
    pub fn new_id(now_unix_ms: i64) -> Uuid {
        super::id::uuid_at(now_unix_ms)
    }

    /// Returns the id that customers know it by.
    pub fn public_id(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }
}

/// A part of a longer text. `Debug` hides what it says and the numbers.
#[derive(Clone, PartialEq)]
pub struct Part {
    /// Given by the store.
    pub id: i64,
    /// The carrier that brought it.
    pub trunk: TrunkId,
    /// Who sent it.
    pub from: String,
    /// To which number.
    pub to: String,
    /// What all parts of the text have in common.
    pub reference: u16,
    /// How many parts there are.
    pub total: u8,
    /// Which this is, from 1.
    pub part: u8,
    /// Its octets, without the header.
    pub octets: Vec<u8>,
    /// How they are to be read, as its writer understands it.
    pub decoding: Json,
    /// When it came.
    pub received_unix_ms: i64,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({} of {} over {})", self.part, self.total, self.trunk)
    }
}

/// Keeps texts, in order, with one statement; their [`InboundText::seq`] is not looked at. Returns the ids of those that
/// were not there already.
///
/// # Errors
/// Those of a statement.
pub async fn insert(db: &mut Connection, texts: &[InboundText]) -> Result<HashSet<Uuid>, Error> {
    if texts.is_empty() {
        return Ok(HashSet::new());
    }
    let row = |text: &InboundText| {
        json!([
            text.id.simple().to_string(),
            text.resource.map(|resource| resource.simple().to_string()),
            text.trunk.as_str(),
            text.from,
            text.to,
            text.body,
            text.received_unix_ms,
            text.segments,
            i64::from(text.partial),
        ])
    };
    let rows = db.fetch_all(INSERT, values![texts.iter().map(row).collect::<Json>()]).await?;
    rows.iter().map(|row| row.read("id")).collect()
}

/// Returns up to `limit` texts before `before` (an [`InboundText::seq`]), latest first.
///
/// # Errors
/// Those of a statement.
pub async fn list(db: &mut Connection, before: Option<i64>, limit: u16) -> Result<Vec<InboundText>, Error> {
    let rows = db.fetch_all(LIST, values![before.unwrap_or(i64::MAX), i64::from(limit)]).await?;
    rows.iter().map(read).collect()
}

/// Returns up to `limit` texts to numbers of a resource before `before` (an [`InboundText::seq`]), latest first.
///
/// # Errors
/// Those of a statement.
pub async fn of_resource(
    db: &mut Connection,
    resource: Uuid,
    before: Option<i64>,
    limit: u16,
) -> Result<Vec<InboundText>, Error> {
    let values = values![resource, before.unwrap_or(i64::MAX), i64::from(limit)];
    db.fetch_all(LIST_OF_RESOURCE, values).await?.iter().map(read).collect()
}

/// Returns up to `limit` texts from a number, to one number or any, latest first.
///
/// # Errors
/// Those of a statement.
pub async fn with_sender(
    db: &mut Connection,
    sender: &str,
    recipient: Option<&str>,
    before: Option<i64>,
    limit: u16,
) -> Result<Vec<InboundText>, Error> {
    let values = values![sender, before.unwrap_or(i64::MAX), recipient.unwrap_or_default(), i64::from(limit)];
    db.fetch_all(WITH_SENDER, values).await?.iter().map(read).collect()
}

/// Removes up to `limit` texts that came by `until_unix_ms`, and returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn prune(db: &mut Connection, until_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(PRUNE, values![until_unix_ms, i64::from(limit)]).await
}

/// Keeps a part and returns its id; its own is not looked at.
///
/// # Errors
/// Those of a statement.
pub async fn insert_part(db: &mut Connection, part: &Part) -> Result<i64, Error> {
    let values = values![
        part.trunk.as_str(),
        part.from.as_str(),
        part.to.as_str(),
        i64::from(part.reference),
        i64::from(part.total),
        i64::from(part.part),
        part.octets.as_slice(),
        part.decoding.clone(),
        part.received_unix_ms,
    ];
    db.fetch_one(INSERT_PART, values).await?.read("id")
}

/// Removes the parts of a text that is whole or given up.
///
/// # Errors
/// Those of a statement.
pub async fn remove_parts(db: &mut Connection, ids: &[i64]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    db.execute(REMOVE_PARTS, values![json!(ids)]).await.map(drop)
}

/// Returns up to `limit` parts with an id above `after`, in order.
///
/// # Errors
/// Those of a statement.
pub async fn parts(db: &mut Connection, after: i64, limit: u16) -> Result<Vec<Part>, Error> {
    let rows = db.fetch_all(PARTS, values![after, i64::from(limit)]).await?;
    let part = |row: &Row| {
        Ok(Part {
            id: row.read("id")?,
            trunk: row.parse("trunk")?,
            from: row.read("sender")?,
            to: row.read("recipient")?,
            reference: row.narrow("reference")?,
            total: row.narrow("total")?,
            part: row.narrow("part")?,
            octets: row.read("octets")?,
            decoding: row.read_json("decoding")?.unwrap_or_default(),
            received_unix_ms: row.read("received_ms")?,
        })
    };
    rows.iter().map(part).collect()
}

fn read(row: &Row) -> Result<InboundText, Error> {
    Ok(InboundText {
        seq: row.read("seq")?,
        id: row.read("id")?,
        resource: row.read("resource")?,
        trunk: row.parse("trunk")?,
        from: row.read("sender")?,
        to: row.read("recipient")?,
        body: row.read("body")?,
        received_unix_ms: row.read("received_ms")?,
        segments: row.narrow("segments")?,
        partial: row.read::<i64>("partial")? != 0,
    })
}
