//! Call records (CDRs): written once, behind the call.

use crate::db::{Connection, Row, statements, values};
use crate::error::Error;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use trunkline_model::{CallId, CallRecord, Cause, LegQuality, Party, Q850, Stage};

statements! {
    // One trip for a whole batch: an array of records, each an array in the order of the columns.
    INSERT = sqlite "INSERT INTO calls (id, started_ms, from_user, to_user, trunk_in, trunk_out, attempts, rang_ms, \
        answered_ms, ended_ms, sip, q850, ended_by, stage, ended_trunk, detail, caller_media, \
        callee_media, signalling) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
        value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, \
        value->>15, value->>16, value->>17, value->>18 \
        FROM json_each($1) WHERE TRUE ON CONFLICT (id) DO NOTHING"
        postgres "INSERT INTO calls (id, started_ms, from_user, to_user, trunk_in, trunk_out, attempts, rang_ms, \
        answered_ms, ended_ms, sip, q850, ended_by, stage, ended_trunk, detail, caller_media, \
        callee_media, signalling) \
        SELECT value->>0, CAST(value->>1 AS BIGINT), value->>2, value->>3, value->>4, value->>5, \
        CAST(value->>6 AS BIGINT), CAST(value->>7 AS BIGINT), CAST(value->>8 AS BIGINT), \
        CAST(value->>9 AS BIGINT), CAST(value->>10 AS BIGINT), CAST(value->>11 AS BIGINT), \
        value->>12, value->>13, value->>14, value->>15, NULLIF(value->16, 'null'), \
        NULLIF(value->17, 'null'), NULLIF(value->18, 'null') \
        FROM jsonb_array_elements($1) AS record (value) ON CONFLICT (id) DO NOTHING";
    BY_ID = "SELECT * FROM calls WHERE id = $1";
    LIST = "SELECT * FROM calls \
        WHERE started_ms >= $1 AND started_ms < $2 AND (started_ms, id) < ($3, $4) \
        AND ($5 = '' OR trunk_in = $5 OR trunk_out = $5) \
        ORDER BY started_ms DESC, id DESC LIMIT $6";
}

/// Which calls to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Calls that started at this time or later.
    pub from_unix_ms: Option<i64>,
    /// Calls that started before this time.
    pub until_unix_ms: Option<i64>,
    /// Calls in or out over this trunk.
    pub trunk: Option<trunkline_model::TrunkId>,
}

/// Where a page ended: the next one goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// When the last call of the page started.
    pub started_unix_ms: i64,
    /// That call.
    pub call: CallId,
}

/// Keeps the records. A record of a call that has one already changes nothing, so that a batch whose fate
/// is not known may be written again.
///
/// Durations are kept to the millisecond.
///
/// # Errors
/// Those of a statement.
pub async fn insert(db: &mut Connection, records: &[CallRecord]) -> Result<(), Error> {
    let batch: serde_json::Value = records.iter().map(columns).collect();
    db.execute(INSERT, values![batch]).await.map(drop)
}

/// Returns the record of a call.
///
/// # Errors
/// Those of a statement.
pub async fn by_id(db: &mut Connection, call: CallId) -> Result<Option<CallRecord>, Error> {
    let row = db.fetch_optional(BY_ID, values![call.to_string()]).await?;
    row.as_ref().map(read).transpose()
}

/// Returns up to `limit` records, the latest first, and the position behind the last one when there may be
/// more.
///
/// # Errors
/// Those of a statement.
pub async fn list(
    db: &mut Connection,
    filter: &Filter,
    after: Option<&Position>,
    limit: u16,
) -> Result<(Vec<CallRecord>, Option<Position>), Error> {
    // Behind every call: no id begins with a tilde.
    let (before_ms, before_id) =
        after.map_or((i64::MAX, "~".to_owned()), |after| (after.started_unix_ms, after.call.to_string()));
    let values = values![
        filter.from_unix_ms.unwrap_or(i64::MIN),
        filter.until_unix_ms.unwrap_or(i64::MAX),
        before_ms,
        before_id,
        filter.trunk.as_ref().map_or("", |trunk| trunk.as_str()),
        i64::from(limit),
    ];
    let rows = db.fetch_all(LIST, values).await?;
    let records = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let last = records.last().filter(|_| records.len() == usize::from(limit));
    let next = last.map(|last| Position { started_unix_ms: last.started_unix_ms, call: last.call });
    Ok((records, next))
}

/// Returns a record as an array in the order of the columns of [`INSERT`].
fn columns(record: &CallRecord) -> serde_json::Value {
    let cause = &record.cause;
    json!([
        record.call.to_string(),
        record.started_unix_ms,
        record.from,
        record.to,
        record.trunk_in,
        record.trunk_out,
        record.attempts,
        record.rang_after.map(whole_ms),
        record.answered_after.map(whole_ms),
        whole_ms(record.ended_after),
        cause.sip,
        cause.q850,
        cause.ended_by,
        cause.stage,
        cause.trunk,
        cause.detail,
        record.caller_media.as_ref().map(Media::from),
        record.callee_media.as_ref().map(Media::from),
        record.signalling,
    ])
}

fn read(row: &Row) -> Result<CallRecord, Error> {
    Ok(CallRecord {
        call: row.parse("id")?,
        from: row.read("from_user")?,
        to: row.read("to_user")?,
        trunk_in: row.parse_optional("trunk_in")?,
        trunk_out: row.parse_optional("trunk_out")?,
        // Records of older versions have none.
        signalling: row.read_json("signalling")?.unwrap_or_default(),
        attempts: row.narrow("attempts")?,
        started_unix_ms: row.read("started_ms")?,
        rang_after: row.read::<Option<i64>>("rang_ms")?.map(duration),
        answered_after: row.read::<Option<i64>>("answered_ms")?.map(duration),
        ended_after: duration(row.read("ended_ms")?),
        cause: Cause {
            sip: row.narrow("sip")?,
            q850: Q850(row.narrow("q850")?),
            ended_by: row.read_name::<Party>("ended_by")?,
            stage: row.read_name::<Stage>("stage")?,
            trunk: row.parse_optional("ended_trunk")?,
            detail: row.read("detail")?,
        },
        caller_media: row.read_json::<Media>("caller_media")?.map(LegQuality::from),
        callee_media: row.read_json::<Media>("callee_media")?.map(LegQuality::from),
    })
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration(whole_ms: i64) -> Duration {
    Duration::from_millis(whole_ms.max(0).unsigned_abs())
}

/// [`LegQuality`] as it is kept.
#[derive(Serialize, Deserialize)]
struct Media {
    codec: String,
    packets_received: u64,
    packets_sent: u64,
    packets_lost: u64,
    packets_refused: u64,
    jitter_ms_max: f32,
    mos: Option<f32>,
}

impl From<&LegQuality> for Media {
    fn from(quality: &LegQuality) -> Self {
        // JSON knows no NaN and no infinity.
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        Self {
            codec: quality.codec.clone(),
            packets_received: quality.packets_received,
            packets_sent: quality.packets_sent,
            packets_lost: quality.packets_lost,
            packets_refused: quality.packets_refused,
            jitter_ms_max: finite(quality.jitter_ms_max),
            mos: quality.mos.map(finite),
        }
    }
}

impl From<Media> for LegQuality {
    fn from(media: Media) -> Self {
        Self {
            codec: media.codec,
            packets_received: media.packets_received,
            packets_sent: media.packets_sent,
            packets_lost: media.packets_lost,
            packets_refused: media.packets_refused,
            jitter_ms_max: media.jitter_ms_max,
            mos: media.mos,
        }
    }
}
