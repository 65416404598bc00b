//! Many jobs in few statements: a trip to the database costs more than a row.

use super::{Lease, NewJob};
use crate::db::{Connection, Row, Topic, statements, values};
use crate::error::Error;
use serde_json::{Value, json};

statements! {
    // $1 holds jobs, each an array that begins with queue and key. In order, or two units may hold each other up.
    LOCK_KEYS = sqlite "SELECT $1"
        postgres "SELECT CAST(pg_advisory_xact_lock(hash) AS TEXT) FROM (SELECT DISTINCT \
        hashtextextended((value->>0) || ' ' || (value->>1), 0) AS hash \
        FROM jsonb_array_elements($1) AS job (value) WHERE value->>1 IS NOT NULL ORDER BY hash) AS keys";
    INSERT_ALL = sqlite "INSERT INTO jobs \
        (queue, ordering_key, payload, created_ms, due_ms, not_before_ms, expires_ms, attempts_max) \
        SELECT value->>0, value->>1, value->>2, $2, \
        CASE WHEN value->>1 IS NULL OR (ROW_NUMBER() OVER (PARTITION BY value->>0, value->>1 ORDER BY key) = 1 \
        AND NOT EXISTS (SELECT 1 FROM jobs live WHERE live.queue = value->>0 AND live.ordering_key = value->>1 \
        AND live.dead_ms IS NULL)) THEN value->>3 END, \
        value->>3, value->>4, value->>5 FROM json_each($1) ORDER BY key"
        postgres "INSERT INTO jobs \
        (queue, ordering_key, payload, created_ms, due_ms, not_before_ms, expires_ms, attempts_max) \
        SELECT value->>0, value->>1, value->2, $2, \
        CASE WHEN value->>1 IS NULL OR (ROW_NUMBER() OVER (PARTITION BY value->>0, value->>1 ORDER BY place) = 1 \
        AND NOT EXISTS (SELECT 1 FROM jobs live WHERE live.queue = value->>0 AND live.ordering_key = value->>1 \
        AND live.dead_ms IS NULL)) THEN CAST(value->>3 AS BIGINT) END, \
        CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT) \
        FROM jsonb_array_elements($1) WITH ORDINALITY AS job (value, place) ORDER BY place";
    FINISH_ALL = sqlite "DELETE FROM jobs WHERE id IN (SELECT live.id FROM json_each($1) lease \
        CROSS JOIN jobs live ON live.id = value->>2 AND live.claims = value->>3 AND live.due_ms IS NOT NULL) \
        RETURNING id"
        postgres "DELETE FROM jobs USING jsonb_array_elements($1) AS lease (value) \
        WHERE id = CAST(value->>2 AS BIGINT) AND claims = CAST(value->>3 AS BIGINT) AND due_ms IS NOT NULL \
        RETURNING id";
    PROMOTE_ALL = sqlite "UPDATE jobs SET due_ms = MAX(not_before_ms, $2) WHERE due_ms IS NULL AND id IN \
        (SELECT (SELECT MIN(id) FROM jobs next WHERE next.queue = value->>0 AND next.ordering_key = value->>1 \
        AND next.dead_ms IS NULL) FROM json_each($1))"
        postgres "UPDATE jobs SET due_ms = GREATEST(not_before_ms, $2) WHERE due_ms IS NULL AND id IN \
        (SELECT (SELECT MIN(id) FROM jobs next WHERE next.queue = value->>0 AND next.ordering_key = value->>1 \
        AND next.dead_ms IS NULL) FROM jsonb_array_elements($1) AS lease (value))";
    EXPIRED = "SELECT id, claims, queue, ordering_key FROM jobs \
        WHERE queue = $1 AND due_ms <= $2 AND expires_ms <= $2 ORDER BY due_ms, id LIMIT $3";
    BURY_ALL = sqlite "UPDATE jobs SET due_ms = NULL, dead_ms = $2, last_error = COALESCE(last_error, $3) \
        WHERE id IN (SELECT live.id FROM json_each($1) lease \
        CROSS JOIN jobs live ON live.id = value->>2 AND live.claims = value->>3 AND live.due_ms IS NOT NULL)"
        postgres "UPDATE jobs SET due_ms = NULL, dead_ms = $2, last_error = COALESCE(last_error, $3) \
        FROM jsonb_array_elements($1) AS lease (value) \
        WHERE id = CAST(value->>2 AS BIGINT) AND claims = CAST(value->>3 AS BIGINT) AND due_ms IS NOT NULL";
    PURGE = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE queue = $1 LIMIT $2)";
    DISCARD_OLD = "DELETE FROM jobs WHERE id IN \
        (SELECT id FROM jobs WHERE dead_ms IS NOT NULL AND queue = $1 AND dead_ms < $2 ORDER BY id LIMIT $3)";
    NEXT_DUES = sqlite "SELECT q.value AS queue, (SELECT due_ms FROM jobs WHERE queue = q.value \
        AND due_ms IS NOT NULL ORDER BY due_ms LIMIT 1) AS due_ms FROM json_each($1) q"
        postgres "SELECT queue, (SELECT due_ms FROM jobs WHERE jobs.queue = q.queue \
        AND due_ms IS NOT NULL ORDER BY due_ms LIMIT 1) AS due_ms FROM jsonb_array_elements_text($1) AS q (queue)";
}

/// Inserts jobs in the order given, in the transaction of the change that caused them.
///
/// A transaction that calls this twice with keys may be held up by another one ([`Error::Contended`]): once is enough.
///
/// # Errors
/// Those of a statement.
pub async fn insert_all(db: &mut Connection, jobs: Vec<NewJob<'_>>, now_unix_ms: i64) -> Result<(), Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let keyed = jobs.iter().any(|job| job.ordering_key.is_some());
    let rows: Value = jobs.into_iter().map(columns).collect();
    if keyed {
        db.fetch_all(LOCK_KEYS, values![rows.clone()]).await?;
    }
    db.notify(Topic::Jobs);
    db.execute(INSERT_ALL, values![rows, now_unix_ms]).await.map(drop)
}

/// Removes jobs that are done and returns how many of their leases were still held.
///
/// # Errors
/// Those of a statement.
pub async fn finish_all(db: &mut Connection, done: &[Lease], now_unix_ms: i64) -> Result<u64, Error> {
    if done.is_empty() {
        return Ok(0);
    }
    let leases: Value = done.iter().map(lease).collect();
    lock(db, &leases, done).await?;
    let finished = db.fetch_all(FINISH_ALL, values![leases.clone()]).await?.len() as u64;
    promote_all(db, leases, done, now_unix_ms).await?;
    Ok(finished)
}

/// Buries up to `limit` jobs of a queue that are due, under no lease, and past their expiry, and returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn expire(db: &mut Connection, queue: &str, now_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    let rows = db.fetch_all(EXPIRED, values![queue, now_unix_ms, i64::from(limit)]).await?;
    let expired = rows.iter().map(read_lease).collect::<Result<Vec<_>, _>>()?;
    if expired.is_empty() {
        return Ok(0);
    }
    let leases: Value = expired.iter().map(lease).collect();
    lock(db, &leases, &expired).await?;
    let values = values![leases.clone(), now_unix_ms, "it expired before it could be done"];
    let buried = db.execute(BURY_ALL, values).await?;
    promote_all(db, leases, &expired, now_unix_ms).await?;
    Ok(buried)
}

/// Returns when the next job of each of these queues is due, for those that hold one.
///
/// # Errors
/// Those of a statement.
pub async fn next_dues(db: &mut Connection, queues: &[&str]) -> Result<Vec<(String, i64)>, Error> {
    let rows = db.fetch_all(NEXT_DUES, values![json!(queues)]).await?;
    let mut dues = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(due) = row.read::<Option<i64>>("due_ms")? {
            dues.push((row.read("queue")?, due));
        }
    }
    Ok(dues)
}

/// Removes up to `limit` jobs of a queue that nobody serves any more, and returns how many there were.
///
/// # Errors
/// Those of a statement.
pub async fn purge(db: &mut Connection, queue: &str, limit: u16) -> Result<u64, Error> {
    db.execute(PURGE, values![queue, i64::from(limit)]).await
}

/// Removes up to `limit` jobs of a queue that were given up before a time, and returns how many.
///
/// # Errors
/// Those of a statement.
pub async fn discard_older(
    db: &mut Connection,
    queue: &str,
    dead_before_unix_ms: i64,
    limit: u16,
) -> Result<u64, Error> {
    db.execute(DISCARD_OLD, values![queue, dead_before_unix_ms, i64::from(limit)]).await
}

async fn lock(db: &mut Connection, leases: &Value, of: &[Lease]) -> Result<(), Error> {
    if of.iter().any(|lease| lease.ordering_key.is_some()) {
        db.fetch_all(LOCK_KEYS, values![leases.clone()]).await?;
    }
    Ok(())
}

/// Lets the next job of each key go, after those in front left.
async fn promote_all(
    db: &mut Connection,
    leases: Value,
    of: &[Lease],
    now_unix_ms: i64,
) -> Result<(), Error> {
    let keyed = of.iter().any(|lease| lease.ordering_key.is_some());
    if keyed && db.execute(PROMOTE_ALL, values![leases, now_unix_ms]).await? > 0 {
        db.notify(Topic::Jobs);
    }
    Ok(())
}

/// Returns a job as an array in the order that [`INSERT_ALL`] reads.
fn columns(job: NewJob<'_>) -> Value {
    json!([
        job.queue,
        job.ordering_key,
        job.payload,
        job.not_before_unix_ms,
        job.expires_unix_ms,
        job.attempts_max.max(1),
    ])
}

/// Returns a lease as an array: queue, key, id, claims.
fn lease(lease: &Lease) -> Value {
    json!([lease.queue, lease.ordering_key, lease.id, lease.claims])
}

fn read_lease(row: &Row) -> Result<Lease, Error> {
    Ok(Lease {
        id: row.read("id")?,
        claims: row.read("claims")?,
        queue: row.read("queue")?,
        ordering_key: row.read("ordering_key")?,
        attempts: 0,
        attempts_max: 0,
        expires_ms: None,
    })
}
