//! What carriers did with messages: segments taken, receipts, and the one end of each.

use super::{Delivery, Message, Outcome};
use crate::db::{Connection, Row, Topic, statements, values};
use crate::error::Error;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use trunkline_model::{E164, TrunkId};

statements! {
    // A message moves on only for whoever holds its lease, and never after its end.
    SETTLE = sqlite "UPDATE messages SET state = v.state, lane = v.lane, due_ms = v.due_ms, \
        deadline_ms = CASE v.state WHEN 'sent' THEN report_by_ms WHEN 'ended' THEN NULL ELSE deadline_ms END, \
        trunk = v.trunk, segments = v.segments, refusals = v.refusals, \
        in_doubt = v.in_doubt, possible_duplicate = v.possible_duplicate, avoided = v.avoided, \
        outcome = v.outcome, code = v.code, detail = v.detail, ended_ms = v.ended_ms \
        FROM (SELECT value->>0 AS seq, value->>1 AS claims, value->>2 AS state, value->>3 AS lane, \
        value->>4 AS due_ms, value->>5 AS trunk, value->>6 AS segments, \
        value->>7 AS refusals, value->>8 AS in_doubt, value->>9 AS possible_duplicate, value->>10 AS avoided, \
        value->>11 AS outcome, value->>12 AS code, value->>13 AS detail, value->>14 AS ended_ms \
        FROM json_each($1)) AS v \
        WHERE messages.seq = v.seq AND messages.claims = v.claims AND messages.state <> 'ended' \
        RETURNING messages.seq AS seq"
        postgres "UPDATE messages SET state = v.state, lane = v.lane, due_ms = v.due_ms, \
        deadline_ms = CASE v.state WHEN 'sent' THEN report_by_ms WHEN 'ended' THEN NULL ELSE deadline_ms END, \
        trunk = v.trunk, segments = v.segments, refusals = v.refusals, \
        in_doubt = v.in_doubt, possible_duplicate = v.possible_duplicate, avoided = v.avoided, \
        outcome = v.outcome, code = v.code, detail = v.detail, ended_ms = v.ended_ms \
        FROM (SELECT CAST(value->>0 AS BIGINT) AS seq, CAST(value->>1 AS BIGINT) AS claims, value->>2 AS state, \
        value->>3 AS lane, CAST(value->>4 AS BIGINT) AS due_ms, value->>5 AS trunk, \
        CAST(value->>6 AS BIGINT) AS segments, \
        CAST(value->>7 AS BIGINT) AS refusals, CAST(value->>8 AS BIGINT) AS in_doubt, \
        CAST(value->>9 AS BIGINT) AS possible_duplicate, value->>10 AS avoided, value->>11 AS outcome, \
        CAST(value->>12 AS BIGINT) AS code, value->>13 AS detail, CAST(value->>14 AS BIGINT) AS ended_ms \
        FROM jsonb_array_elements($1) AS settled (value)) AS v \
        WHERE messages.seq = v.seq AND messages.claims = v.claims AND messages.state <> 'ended' \
        RETURNING messages.seq AS seq";
    // A segment that was sent again has the id of the later answer, and no receipt yet.
    TAKE = sqlite "INSERT INTO message_segments (message, segment, total, reference, trunk, carrier_id, bare_id) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each($1) WHERE TRUE \
        ON CONFLICT (message, segment) DO UPDATE SET total = excluded.total, \
        reference = excluded.reference, trunk = excluded.trunk, carrier_id = excluded.carrier_id, \
        bare_id = excluded.bare_id, state = 0, error = NULL"
        postgres "INSERT INTO message_segments (message, segment, total, reference, trunk, carrier_id, bare_id) \
        SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
        CAST(value->>3 AS BIGINT), value->>4, value->>5, value->>6 \
        FROM jsonb_array_elements($1) AS segment (value) \
        ON CONFLICT (message, segment) DO UPDATE SET total = excluded.total, \
        reference = excluded.reference, trunk = excluded.trunk, carrier_id = excluded.carrier_id, \
        bare_id = excluded.bare_id, state = 0, error = NULL";
    // 2, 3, 4, 5 and 8 are ends (rules D.5): state only moves forward.
    REPORT = sqlite "UPDATE message_segments SET state = v.state, error = v.error \
        FROM (SELECT value->>0 AS message, value->>1 AS segment, value->>2 AS state, value->>3 AS error \
        FROM json_each($1)) AS v \
        WHERE message_segments.message = v.message AND message_segments.segment = v.segment \
        AND message_segments.state NOT IN (2, 3, 4, 5, 8)"
        postgres "UPDATE message_segments SET state = v.state, error = v.error \
        FROM (SELECT CAST(value->>0 AS BIGINT) AS message, CAST(value->>1 AS BIGINT) AS segment, \
        CAST(value->>2 AS BIGINT) AS state, value->>3 AS error FROM jsonb_array_elements($1) AS report (value)) AS v \
        WHERE message_segments.message = v.message AND message_segments.segment = v.segment \
        AND message_segments.state NOT IN (2, 3, 4, 5, 8)";
    LOAD = sqlite "SELECT m.* FROM json_each($1) AS wanted JOIN messages AS m ON m.seq = wanted.value"
        postgres "SELECT m.* FROM messages AS m \
        WHERE m.seq IN (SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text($1) AS wanted (value)) \
        ORDER BY m.seq FOR UPDATE";
    SEGMENTS = sqlite "SELECT s.* FROM json_each($1) AS wanted JOIN message_segments AS s ON s.message = wanted.value \
        ORDER BY s.message, s.segment"
        postgres "SELECT s.* FROM message_segments AS s \
        WHERE s.message IN (SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text($1) AS wanted (value)) \
        ORDER BY s.message, s.segment";
    BY_CARRIER_ID = sqlite "SELECT s.*, m.recipient FROM json_each($2) AS wanted \
        JOIN message_segments AS s ON s.trunk = $1 AND s.carrier_id = wanted.value \
        JOIN messages AS m ON m.seq = s.message LIMIT $3"
        postgres "SELECT s.*, m.recipient FROM jsonb_array_elements_text($2) AS wanted (value) \
        JOIN message_segments AS s ON s.trunk = $1 AND s.carrier_id = wanted.value \
        JOIN messages AS m ON m.seq = s.message LIMIT $3";
    BY_BARE_ID = sqlite "SELECT s.*, m.recipient FROM json_each($2) AS wanted \
        JOIN message_segments AS s ON s.trunk = $1 AND s.bare_id = wanted.value \
        JOIN messages AS m ON m.seq = s.message LIMIT $3"
        postgres "SELECT s.*, m.recipient FROM jsonb_array_elements_text($2) AS wanted (value) \
        JOIN message_segments AS s ON s.trunk = $1 AND s.bare_id = wanted.value \
        JOIN messages AS m ON m.seq = s.message LIMIT $3";
    OVERDUE = sqlite "SELECT * FROM messages WHERE deadline_ms <= $1 AND state <> 'sending' \
        ORDER BY deadline_ms LIMIT $2"
        postgres "SELECT * FROM messages WHERE deadline_ms <= $1 AND state <> 'sending' \
        ORDER BY deadline_ms LIMIT $2 FOR UPDATE SKIP LOCKED";
    NEXT_DEADLINE = "SELECT deadline_ms FROM messages WHERE deadline_ms IS NOT NULL ORDER BY deadline_ms LIMIT 1";
}

/// What becomes of a message that was claimed or loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Which: [`Message::seq`].
    pub seq: i64,
    /// [`Message::claims`] as it was read: if someone else has claimed the message since, nothing happens.
    pub claims: i64,
    /// What it has been through.
    pub delivery: Delivery,
    /// Where it goes.
    pub next: Next,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Back into the queue.
    Queued {
        /// What it waits for; empty for its turn alone.
        lane: String,
        /// When it may be claimed again.
        due_unix_ms: i64,
    },
    /// A carrier has it, or may have it and it is not sent again; the report is awaited.
    Sent,
    /// It is set aside until its validity ends or a person lets it go.
    Quarantined,
    /// It has ended.
    Ended(Outcome),
}

/// Settles messages with one statement; returns those that were: the others have ended or were claimed by someone else.
///
/// # Errors
/// Those of a statement.
pub async fn settle(db: &mut Connection, settled: &[Settled]) -> Result<HashSet<i64>, Error> {
    if settled.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Json = settled.iter().map(columns).collect();
    if settled.iter().any(|settled| matches!(settled.next, Next::Queued { .. })) {
        db.notify(Topic::Messages);
    }
    db.fetch_all(SETTLE, values![rows]).await?.iter().map(|row| row.read("seq")).collect()
}

/// A segment that a carrier took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Of which message.
    pub message: i64,
    /// Which segment, from 0.
    pub segment: u8,
    /// Of how many.
    pub total: u8,
    /// What marks it as a part of its message: the rest must be sent with the same.
    pub reference: u16,
    /// Which carrier.
    pub trunk: TrunkId,
    /// Its id there, in the one spelling that receipts are compared in.
    pub carrier_id: Option<String>,
    /// What of the id stands behind a prefix, if it has one.
    pub bare_id: Option<String>,
}

/// Keeps what carriers took, with one statement.
///
/// # Errors
/// Those of a statement.
pub async fn take(db: &mut Connection, taken: &[Taken]) -> Result<(), Error> {
    if taken.is_empty() {
        return Ok(());
    }
    let row = |taken: &Taken| {
        json!([
            taken.message,
            taken.segment,
            taken.total,
            taken.reference,
            taken.trunk.as_str(),
            taken.carrier_id,
            taken.bare_id,
        ])
    };
    db.execute(TAKE, values![taken.iter().map(row).collect::<Json>()]).await.map(drop)
}

/// What a receipt says of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Of which message.
    pub message: i64,
    /// Which segment, from 0.
    pub segment: u8,
    /// message_state (SMPP 3.4 §5.2.28).
    pub state: u8,
    /// The carrier's error code.
    pub error: Option<String>,
}

/// A segment with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What the carrier took.
    pub taken: Taken,
    /// message_state of the last receipt; 0 before the first.
    pub state: u8,
    /// The carrier's error code.
    pub error: Option<String>,
}

/// Keeps what receipts say, with one statement. A segment that has reached its end stays as it is.
///
/// Of two reports on one segment only the last may be given.
///
/// # Errors
/// Those of a statement.
pub async fn report(db: &mut Connection, reports: &[Report]) -> Result<(), Error> {
    if reports.is_empty() {
        return Ok(());
    }
    let row = |report: &Report| json!([report.message, report.segment, report.state, report.error]);
    db.execute(REPORT, values![reports.iter().map(row).collect::<Json>()]).await.map(drop)
}

/// Reads messages in a unit that will settle them: nobody else settles them before it ends.
///
/// # Errors
/// Those of a statement.
pub async fn load(db: &mut Connection, messages: &[i64]) -> Result<Vec<Message>, Error> {
    let wanted: Json = messages.iter().map(|seq| json!(seq)).collect();
    db.fetch_all(LOAD, values![wanted]).await?.iter().map(Message::read).collect()
}

/// Returns the segments of messages that carriers took, in order.
///
/// # Errors
/// Those of a statement.
pub async fn segments(db: &mut Connection, messages: &[i64]) -> Result<Vec<Segment>, Error> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Json = messages.iter().map(|seq| json!(seq)).collect();
    db.fetch_all(SEGMENTS, values![wanted]).await?.iter().map(read_segment).collect()
}

/// Returns segments that one carrier took under any of these ids, or of these behind a prefix, with their recipients.
///
/// # Errors
/// Those of a statement.
pub async fn by_carrier_id(
    db: &mut Connection,
    trunk: &TrunkId,
    ids: &[String],
    bare_ids: &[String],
) -> Result<Vec<(Segment, E164)>, Error> {
    let read = |row: &Row| Ok((read_segment(row)?, row.parse("recipient")?));
    let mut found = Vec::new();
    for (sql, ids) in [(BY_CARRIER_ID, ids), (BY_BARE_ID, bare_ids)] {
        if !ids.is_empty() {
            let rows = db.fetch_all(sql, values![trunk.as_str(), json!(ids), CANDIDATES_MAX]).await?;
            for row in &rows {
                found.push(read(row)?);
            }
        }
    }
    Ok(found)
}

/// Most segments looked at for a batch of receipts: carriers that use an id again have few of it at a time.
const CANDIDATES_MAX: i64 = 10_000;

/// Returns up to `limit` messages whose validity, or the time for their report, is over, for a unit that ends them.
///
/// # Errors
/// Those of a statement.
pub async fn overdue(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<Vec<Message>, Error> {
    let rows = db.fetch_all(OVERDUE, values![now_unix_ms, i64::from(limit)]).await?;
    rows.iter().map(Message::read).collect()
}

/// Returns the earliest time at which a message may be overdue.
///
/// # Errors
/// Those of a statement.
pub async fn next_deadline(db: &mut Connection) -> Result<Option<i64>, Error> {
    db.fetch_optional(NEXT_DEADLINE, &[]).await?.map(|row| row.read("deadline_ms")).transpose()
}

fn columns(settled: &Settled) -> Json {
    let delivery = &settled.delivery;
    let (state, lane, due_ms, outcome) = match &settled.next {
        Next::Queued { lane, due_unix_ms } => ("queued", lane.as_str(), Some(*due_unix_ms), None),
        Next::Sent => ("sent", "", None, None),
        Next::Quarantined => ("quarantined", "", None, None),
        Next::Ended(outcome) => ("ended", "", None, Some(outcome)),
    };
    json!([
        settled.seq,
        settled.claims,
        state,
        lane,
        due_ms,
        delivery.trunk.as_ref().map(TrunkId::as_str),
        delivery.segments,
        delivery.refusals,
        delivery.in_doubt,
        i64::from(delivery.possible_duplicate),
        delivery.avoided.as_ref().map(TrunkId::as_str),
        outcome.map(|outcome| outcome.status.as_str()),
        outcome.map(|outcome| outcome.code),
        outcome.map(|outcome| outcome.detail.chars().take(DETAIL_CHARS_MAX).collect::<String>()),
        outcome.map(|outcome| outcome.ended_unix_ms),
    ])
}

/// Longest text kept of why a message ended: a carrier's error code and a word of ours.
const DETAIL_CHARS_MAX: usize = 200;

fn read_segment(row: &Row) -> Result<Segment, Error> {
    let taken = Taken {
        message: row.read("message")?,
        segment: row.narrow("segment")?,
        total: row.narrow("total")?,
        reference: row.narrow("reference")?,
        trunk: row.parse("trunk")?,
        carrier_id: row.read("carrier_id")?,
        bare_id: row.read("bare_id")?,
    };
    Ok(Segment { taken, state: row.narrow("state")?, error: row.read("error")? })
}
