//! Turns and leases.
//!
//! A message that is queued stands in a lane of its tenant, in the order of when it is due. The lane named `""` is for
//! those whose turn it is; the engine moves a message into a lane that it names after what the message waits for, such
//! as a trunk that is down, and claims from there when that is ready. So a million messages for one blocked carrier
//! cost the others nothing.

use super::Message;
use crate::db::{Connection, statements, values};
use crate::error::Error;
use std::fmt;
use uuid::Uuid;

statements! {
    // Skips from the first message of one lane to that of the next: nothing else is read.
    LANES = "WITH RECURSIVE lanes (resource, lane, due_ms) AS ( \
        SELECT resource, lane, due_ms FROM (SELECT resource, lane, due_ms FROM messages \
            WHERE state = 'queued' AND due_ms IS NOT NULL AND (resource, lane) > ($1, $2) \
            ORDER BY resource, lane, due_ms LIMIT 1) AS first \
        UNION ALL \
        SELECT m.resource, m.lane, m.due_ms FROM lanes AS l JOIN messages AS m ON m.seq = COALESCE( \
            (SELECT n.seq FROM messages AS n WHERE n.state = 'queued' AND n.due_ms IS NOT NULL \
            AND n.resource = l.resource AND n.lane > l.lane ORDER BY n.lane, n.due_ms, n.seq LIMIT 1), \
            (SELECT n.seq FROM messages AS n WHERE n.state = 'queued' AND n.due_ms IS NOT NULL \
            AND n.resource > l.resource ORDER BY n.resource, n.lane, n.due_ms, n.seq LIMIT 1)) \
        ) SELECT resource, lane, due_ms FROM lanes LIMIT $3";
    CLAIM = sqlite "UPDATE messages SET state = 'sending', due_ms = $5, claims = claims + 1, node = $6 \
        WHERE seq IN (SELECT seq FROM messages WHERE state = 'queued' AND resource = $1 AND lane = $2 AND due_ms <= $3 \
        ORDER BY due_ms, seq LIMIT $4) RETURNING *"
        postgres "UPDATE messages SET state = 'sending', due_ms = $5, claims = claims + 1, node = $6 \
        WHERE seq IN (SELECT seq FROM messages WHERE state = 'queued' AND resource = $1 AND lane = $2 AND due_ms <= $3 \
        ORDER BY due_ms, seq LIMIT $4 FOR UPDATE SKIP LOCKED) RETURNING *";
    EXTEND = "UPDATE messages SET due_ms = $2 WHERE state = 'sending' AND due_ms IS NOT NULL AND node = $1";
    RECOVER_OWN = "UPDATE messages SET state = 'queued', lane = '', due_ms = $2, possible_duplicate = 1 \
        WHERE seq IN (SELECT seq FROM messages \
        WHERE state = 'sending' AND due_ms IS NOT NULL AND node = $1 LIMIT $3)";
    RECOVER_LOST = sqlite "UPDATE messages SET state = 'queued', lane = '', due_ms = $1, possible_duplicate = 1 \
        WHERE seq IN (SELECT seq FROM messages WHERE state = 'sending' AND due_ms <= $1 LIMIT $2)"
        postgres "UPDATE messages SET state = 'queued', lane = '', due_ms = $1, possible_duplicate = 1 \
        WHERE seq IN (SELECT seq FROM messages WHERE state = 'sending' AND due_ms <= $1 LIMIT $2 \
        FOR UPDATE SKIP LOCKED)";
    RELEASE = "UPDATE messages SET state = 'queued', lane = '', due_ms = $2 \
        WHERE id = $1 AND state = 'quarantined'";
}

/// Messages of one tenant that wait for the same thing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Whose.
    pub resource: Uuid,
    /// What they wait for; empty if only for their turn.
    pub name: String,
}

impl Lane {
    /// Before every lane.
    pub const BEFORE_ALL: Self = Self { resource: Uuid::nil(), name: String::new() };
}

impl fmt::Debug for Lane {
    /// A lane may be named after a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({})", self.resource)
    }
}

/// Under which conditions messages are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The node that claims.
    pub node: &'a str,
    /// The time.
    pub now_unix_ms: i64,
    /// When the lease ends; then they count as lost with their node.
    pub lease_until_unix_ms: i64,
}

/// Returns up to `limit` lanes behind `after` that hold messages, in order, each with when its first one is due.
///
/// # Errors
/// Those of a statement.
pub async fn lanes(db: &mut Connection, after: &Lane, limit: u16) -> Result<Vec<(Lane, i64)>, Error> {
    let rows = db.fetch_all(LANES, values![after.resource, after.name.as_str(), i64::from(limit)]).await?;
    let lane = |row: &crate::db::Row| {
        Ok((Lane { resource: row.read("resource")?, name: row.read("lane")? }, row.read("due_ms")?))
    };
    rows.iter().map(lane).collect()
}

/// Claims up to `limit` messages of a lane that are due, in their order. No two claims get the same message.
///
/// # Errors
/// Those of a statement.
pub async fn claim(
    db: &mut Connection,
    lane: &Lane,
    terms: Terms<'_>,
    limit: u16,
) -> Result<Vec<Message>, Error> {
    let values = values![
        lane.resource,
        lane.name.as_str(),
        terms.now_unix_ms,
        i64::from(limit),
        terms.lease_until_unix_ms,
        terms.node,
    ];
    let rows = db.fetch_all(CLAIM, values).await?;
    let messages: Result<Vec<Message>, Error> = rows.iter().map(Message::read).collect();
    // RETURNING promises no order; among messages of one lane that of acceptance is as good as that of the due times.
    messages.map(|mut messages| {
        messages.sort_by_key(|message| message.seq);
        messages
    })
}

/// Keeps everything that a node has claimed until a later time; returns how many messages that are.
///
/// # Errors
/// Those of a statement.
pub async fn extend(db: &mut Connection, node: &str, until_unix_ms: i64) -> Result<u64, Error> {
    db.execute(EXTEND, values![node, until_unix_ms]).await
}

/// Queues up to `limit` messages again that a node had claimed when it ended, and returns how many; to be called until
/// there are none, before that node claims anything.
///
/// Each may have been on its way, so it is marked as a possible duplicate (rules SMS-03).
///
/// # Errors
/// Those of a statement.
pub async fn recover_own(
    db: &mut Connection,
    node: &str,
    now_unix_ms: i64,
    limit: u16,
) -> Result<u64, Error> {
    db.execute(RECOVER_OWN, values![node, now_unix_ms, i64::from(limit)]).await
}

/// Does the same for messages of any node whose lease is over.
///
/// # Errors
/// Those of a statement.
pub async fn recover_lost(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(RECOVER_LOST, values![now_unix_ms, i64::from(limit)]).await
}

/// Lets a message out of quarantine. Returns false if it is not in there.
///
/// # Errors
/// Those of a statement.
pub async fn release(db: &mut Connection, id: super::MessageId, now_unix_ms: i64) -> Result<bool, Error> {
    db.notify(crate::Topic::Messages);
    Ok(db.execute(RELEASE, values![id.uuid(), now_unix_ms]).await? == 1)
}
