//! The job queue, which is also the outbox: work is a row written together with the change that caused it.
//!
//! A job is claimed under a lease, then finished, retried or buried. A lease that runs out makes the job
//! due again, so a job may run twice and must not mind. Jobs of one ordering key run one after the other.

mod backoff;
pub(crate) mod batch;

pub use backoff::Backoff;
pub use batch::{discard_older, expire, finish_all, insert_all, next_dues, purge};

use crate::db::{Connection, Row, Topic, statements, values};
use crate::error::Error;

statements! {
    // Holds back other transactions that touch the key, until this one ends. SQLite has one writer anyway.
    LOCK_KEY = sqlite "SELECT $1, $2"
        postgres "SELECT CAST(pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0)) AS TEXT)";
    HAS_LIVE = "SELECT id FROM jobs WHERE queue = $1 AND ordering_key = $2 AND dead_ms IS NULL LIMIT 1";
    INSERT = "INSERT INTO jobs \
        (queue, ordering_key, payload, created_ms, due_ms, not_before_ms, expires_ms, attempts_max) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    CLAIM = sqlite "UPDATE jobs SET due_ms = $3, claims = claims + 1, attempts = attempts + 1 \
        WHERE id IN (SELECT id FROM jobs WHERE queue = $1 AND due_ms <= $2 ORDER BY due_ms, id LIMIT $4) \
        RETURNING *"
        postgres "UPDATE jobs SET due_ms = $3, claims = claims + 1, attempts = attempts + 1 \
        WHERE id IN (SELECT id FROM jobs WHERE queue = $1 AND due_ms <= $2 ORDER BY due_ms, id LIMIT $4 \
        FOR UPDATE SKIP LOCKED) RETURNING *";
    NEXT_DUE = "SELECT due_ms FROM jobs WHERE queue = $1 AND due_ms IS NOT NULL ORDER BY due_ms LIMIT 1";
    FINISH = "DELETE FROM jobs WHERE id = $1 AND claims = $2 AND due_ms IS NOT NULL";
    POSTPONE = "UPDATE jobs SET due_ms = $3, claims = claims + 1, attempts = attempts - 1 \
        WHERE id = $1 AND claims = $2 AND due_ms IS NOT NULL";
    EXTEND = "UPDATE jobs SET due_ms = $3 WHERE id = $1 AND claims = $2 AND due_ms IS NOT NULL";
    RETRY = "UPDATE jobs SET due_ms = $3, claims = claims + 1, last_error = $4 \
        WHERE id = $1 AND claims = $2 AND due_ms IS NOT NULL";
    BURY = "UPDATE jobs SET due_ms = NULL, dead_ms = $3, last_error = $4 \
        WHERE id = $1 AND claims = $2 AND due_ms IS NOT NULL";
    PROMOTE = "UPDATE jobs SET due_ms = CASE WHEN not_before_ms > $3 THEN not_before_ms ELSE $3 END \
        WHERE id = (SELECT MIN(id) FROM jobs WHERE queue = $1 AND ordering_key = $2 AND dead_ms IS NULL) \
        AND due_ms IS NULL";
    DEAD = "SELECT * FROM jobs WHERE dead_ms IS NOT NULL AND queue = $1 AND id > $2 ORDER BY id LIMIT $3";
    DEAD_BY_ID = sqlite "SELECT * FROM jobs WHERE id = $1 AND dead_ms IS NOT NULL"
        postgres "SELECT * FROM jobs WHERE id = $1 AND dead_ms IS NOT NULL FOR UPDATE";
    REVIVE = "UPDATE jobs SET dead_ms = NULL, due_ms = $2, not_before_ms = $3, expires_ms = NULL, attempts = 0 \
        WHERE id = $1 AND dead_ms IS NOT NULL";
    DISCARD = "DELETE FROM jobs WHERE id = $1 AND dead_ms IS NOT NULL";
    COUNT = "SELECT COUNT(due_ms) AS ready, COUNT(dead_ms) AS dead, COUNT(*) AS total FROM jobs WHERE queue = $1";
}

/// Longest text kept of why a job failed: enough for a status line and the start of an answer.
const ERROR_CHARS_MAX: usize = 500;

/// A job to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob<'a> {
    /// Which workers it is for.
    pub queue: &'a str,
    /// Jobs of the queue with the same key run one after the other, in the order they were inserted.
    pub ordering_key: Option<&'a str>,
    /// What to do, as the worker understands it.
    pub payload: serde_json::Value,
    /// The time not to start before.
    pub not_before_unix_ms: i64,
    /// The time after which it is not retried any more.
    pub expires_unix_ms: Option<i64>,
    /// How often it is tried, counting attempts that ended with a crash.
    pub attempts_max: u16,
}

/// A job under lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The lease, to be handed back when finishing, retrying or burying.
    pub lease: Lease,
    /// What to do.
    pub payload: serde_json::Value,
    /// Which attempt this is, from 1.
    pub attempt: u16,
    /// When it was inserted.
    pub created_unix_ms: i64,
}

/// The right to work on a job until a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    id: i64,
    claims: i64,
    queue: String,
    ordering_key: Option<String>,
    attempts: i64,
    attempts_max: i64,
    expires_ms: Option<i64>,
}

impl Lease {
    /// Returns the key whose jobs wait for this one.
    pub fn ordering_key(&self) -> Option<&str> {
        self.ordering_key.as_deref()
    }
}

/// What became of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It is due again at this time.
    RetryAt(i64),
    /// It was tried often enough, or for long enough, and was buried.
    Dead,
    /// The lease had run out; someone else works on it, or did.
    LeaseLost,
}

/// A job that was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadJob {
    /// Its number.
    pub id: i64,
    /// What was to be done.
    pub payload: serde_json::Value,
    /// How often it was tried.
    pub attempts: u16,
    /// When it was inserted.
    pub created_unix_ms: i64,
    /// When it was given up.
    pub dead_unix_ms: i64,
    /// Why, as the worker said it.
    pub last_error: Option<String>,
}

/// How many jobs a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Due now or later, or under lease.
    pub ready: u64,
    /// Behind another job of their key.
    pub waiting: u64,
    /// Given up.
    pub dead: u64,
}

/// Inserts a job in the transaction of the change that caused it, and returns its number.
///
/// A transaction that inserts under several ordering keys does so in the order of the keys, or two such
/// transactions may hold each other up ([`Error::Contended`]).
///
/// # Errors
/// Those of a statement.
pub async fn insert(db: &mut Connection, job: NewJob<'_>, now_unix_ms: i64) -> Result<i64, Error> {
    let due = match job.ordering_key {
        Some(key) if has_predecessor(db, job.queue, key).await? => None,
        Some(_) | None => Some(job.not_before_unix_ms),
    };
    let values = values![
        job.queue,
        job.ordering_key,
        job.payload,
        now_unix_ms,
        due,
        job.not_before_unix_ms,
        job.expires_unix_ms,
        i64::from(job.attempts_max.max(1)),
    ];
    db.notify(Topic::Jobs);
    db.fetch_one(INSERT, values).await?.read("id")
}

/// Claims up to `limit` due jobs until `lease_until_unix_ms`. No two claims get the same job.
///
/// Jobs that were tried often enough, and whose last lease ran out because the worker died, are buried
/// on the way.
///
/// # Errors
/// Those of a statement.
pub async fn claim(
    db: &mut Connection,
    queue: &str,
    now_unix_ms: i64,
    lease_until_unix_ms: i64,
    limit: u16,
) -> Result<Vec<Job>, Error> {
    let values = values![queue, now_unix_ms, lease_until_unix_ms, i64::from(limit)];
    let rows = db.fetch_all(CLAIM, values).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let job = read_job(&row)?;
        if job.lease.attempts > job.lease.attempts_max {
            bury(db, &job.lease, "the worker ended without an answer", now_unix_ms).await?;
        } else {
            jobs.push(job);
        }
    }
    // RETURNING promises no order.
    jobs.sort_by_key(|job| job.lease.id);
    Ok(jobs)
}

/// Returns when the next job of the queue is due, which may be in the past; none when it holds none.
///
/// # Errors
/// Those of a statement.
pub async fn next_due(db: &mut Connection, queue: &str) -> Result<Option<i64>, Error> {
    let row = db.fetch_optional(NEXT_DUE, values![queue]).await?;
    row.map(|row| row.read("due_ms")).transpose()
}

/// Removes a job that is done. Returns false when the lease was lost before.
///
/// # Errors
/// Those of a statement.
pub async fn finish(db: &mut Connection, lease: &Lease, now_unix_ms: i64) -> Result<bool, Error> {
    lock_key(db, lease).await?;
    let held = db.execute(FINISH, values![lease.id, lease.claims]).await? == 1;
    if held {
        promote(db, lease, now_unix_ms).await?;
    }
    Ok(held)
}

/// Says that an attempt failed: the job is due again after a pause, or buried.
///
/// # Errors
/// Those of a statement.
pub async fn fail(
    db: &mut Connection,
    lease: &Lease,
    why: &str,
    backoff: &Backoff,
    seed: u64,
    now_unix_ms: i64,
) -> Result<Failed, Error> {
    let attempt = u32::try_from(lease.attempts).unwrap_or(u32::MAX);
    let due = now_unix_ms.saturating_add(backoff.pause_ms(attempt, seed ^ lease.id.unsigned_abs()));
    if lease.attempts >= lease.attempts_max || lease.expires_ms.is_some_and(|expires| due > expires) {
        let buried = bury(db, lease, why, now_unix_ms).await?;
        return Ok(if buried { Failed::Dead } else { Failed::LeaseLost });
    }
    let values = values![lease.id, lease.claims, due, shortened(why)];
    let held = db.execute(RETRY, values).await? == 1;
    Ok(if held { Failed::RetryAt(due) } else { Failed::LeaseLost })
}

/// Gives a job back untried until a time, without counting the attempt. Returns false when the lease was
/// lost before.
///
/// # Errors
/// Those of a statement.
pub async fn postpone(db: &mut Connection, lease: &Lease, until_unix_ms: i64) -> Result<bool, Error> {
    Ok(db.execute(POSTPONE, values![lease.id, lease.claims, until_unix_ms]).await? == 1)
}

/// Keeps a job longer. Returns false when the lease was lost before.
///
/// # Errors
/// Those of a statement.
pub async fn extend(db: &mut Connection, lease: &Lease, until_unix_ms: i64) -> Result<bool, Error> {
    Ok(db.execute(EXTEND, values![lease.id, lease.claims, until_unix_ms]).await? == 1)
}

/// Gives a job up at once: no further attempt can help. Returns false when the lease was lost before.
///
/// # Errors
/// Those of a statement.
pub async fn bury(db: &mut Connection, lease: &Lease, why: &str, now_unix_ms: i64) -> Result<bool, Error> {
    lock_key(db, lease).await?;
    let values = values![lease.id, lease.claims, now_unix_ms, shortened(why)];
    let held = db.execute(BURY, values).await? == 1;
    if held {
        promote(db, lease, now_unix_ms).await?;
    }
    Ok(held)
}

/// Returns up to `limit` dead jobs with a number above `after`, in that order.
///
/// # Errors
/// Those of a statement.
pub async fn list_dead(
    db: &mut Connection,
    queue: &str,
    after: i64,
    limit: u16,
) -> Result<Vec<DeadJob>, Error> {
    let rows = db.fetch_all(DEAD, values![queue, after, i64::from(limit)]).await?;
    rows.iter().map(read_dead).collect()
}

/// Brings a dead job back with all its attempts. Returns false when there is no such dead job.
///
/// # Errors
/// Those of a statement.
pub async fn replay(db: &mut Connection, id: i64, now_unix_ms: i64) -> Result<bool, Error> {
    let Some(row) = db.fetch_optional(DEAD_BY_ID, values![id]).await? else { return Ok(false) };
    let (queue, key): (String, Option<String>) = (row.read("queue")?, row.read("ordering_key")?);
    let due = match &key {
        Some(key) if has_predecessor(db, &queue, key).await? => None,
        Some(_) | None => Some(now_unix_ms),
    };
    db.notify(Topic::Jobs);
    Ok(db.execute(REVIVE, values![id, due, now_unix_ms]).await? == 1)
}

/// Removes a dead job. Returns false when there is no such dead job.
///
/// # Errors
/// Those of a statement.
pub async fn discard(db: &mut Connection, id: i64) -> Result<bool, Error> {
    Ok(db.execute(DISCARD, values![id]).await? == 1)
}

/// Counts the jobs of a queue, one by one: for a person's question, not for every tick.
///
/// # Errors
/// Those of a statement.
pub async fn depth(db: &mut Connection, queue: &str) -> Result<Depth, Error> {
    let row = db.fetch_one(COUNT, values![queue]).await?;
    let (ready, dead, total): (u64, u64, u64) =
        (row.narrow("ready")?, row.narrow("dead")?, row.narrow("total")?);
    Ok(Depth { ready, dead, waiting: total.saturating_sub(ready + dead) })
}

async fn lock_key(db: &mut Connection, lease: &Lease) -> Result<(), Error> {
    match &lease.ordering_key {
        Some(key) => db.fetch_all(LOCK_KEY, values![lease.queue.as_str(), key.as_str()]).await.map(drop),
        None => Ok(()),
    }
}

/// Locks the key, so that the answer stays true until the transaction ends.
async fn has_predecessor(db: &mut Connection, queue: &str, key: &str) -> Result<bool, Error> {
    db.fetch_all(LOCK_KEY, values![queue, key]).await?;
    Ok(db.fetch_optional(HAS_LIVE, values![queue, key]).await?.is_some())
}

/// Lets the next job of the key go, after one left.
async fn promote(db: &mut Connection, lease: &Lease, now_unix_ms: i64) -> Result<(), Error> {
    let Some(key) = &lease.ordering_key else { return Ok(()) };
    if db.execute(PROMOTE, values![lease.queue.as_str(), key.as_str(), now_unix_ms]).await? > 0 {
        db.notify(Topic::Jobs);
    }
    Ok(())
}

fn shortened(why: &str) -> String {
    why.chars().take(ERROR_CHARS_MAX).collect()
}

fn read_job(row: &Row) -> Result<Job, Error> {
    let attempts: i64 = row.read("attempts")?;
    Ok(Job {
        lease: Lease {
            id: row.read("id")?,
            claims: row.read("claims")?,
            queue: row.read("queue")?,
            ordering_key: row.read("ordering_key")?,
            attempts,
            attempts_max: row.read("attempts_max")?,
            expires_ms: row.read("expires_ms")?,
        },
        payload: row.read_json("payload")?.unwrap_or_default(),
        attempt: u16::try_from(attempts).unwrap_or(u16::MAX),
        created_unix_ms: row.read("created_ms")?,
    })
}

fn read_dead(row: &Row) -> Result<DeadJob, Error> {
    Ok(DeadJob {
        id: row.read("id")?,
        payload: row.read_json("payload")?.unwrap_or_default(),
        attempts: row.narrow("attempts")?,
        created_unix_ms: row.read("created_ms")?,
        dead_unix_ms: row.read("dead_ms")?,
        last_error: row.read("last_error")?,
    })
}
