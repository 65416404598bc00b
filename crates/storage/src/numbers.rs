//! The inventory: one row a number, and its way through the states of its life (A.6).
//!
//! Every transition is a compare-and-set on state, owner and version, made together with its entry in the audit
//! log and, where money moves, its row in the ledger:
//!
//! ```text
//! available → reserved → purchasing → assigned → releasing → quarantine → available
//! ```
//!
//! A hold ends by the clock: whoever asks for numbers sees those whose hold has run out, and whoever buys has
//! the time checked, whether or not [`sweep`] has been round.

pub(crate) mod catalogue;
pub(crate) mod ownership;

pub use catalogue::{Locality, Wanted, are_there, area_codes, browse, countries, localities};
pub use ownership::{
    Assignment, Owned, Released, Rest, Terms, assignments_of, over, owned, owned_among, owned_count,
    owned_in_trunks, owned_number, release, set_capabilities,
};

use crate::audit;
use crate::db::{Connection, Row, Topic, statements, values};
use crate::error::Error;
use serde_json::json;
use std::collections::BTreeSet;
use trunkline_model::{Capability, E164, NumberState, NumberType, TrunkId};
use uuid::Uuid;

statements! {
    // Many in one trip: an array of numbers, each an array in the order of the columns.
    INSERT = sqlite "INSERT INTO numbers (e164, trunk, country, number_type, area_code, region, city, \
        calling_offered, sms_offered, monthly_cost_minor, currency, state, version, free_from_ms, changed_ms) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
        value->>8, value->>9, value->>10, 'available', 1, 0, $2 \
        FROM json_each($1) WHERE TRUE ON CONFLICT (e164) DO NOTHING RETURNING e164"
        postgres "INSERT INTO numbers (e164, trunk, country, number_type, area_code, region, city, \
        calling_offered, sms_offered, monthly_cost_minor, currency, state, version, free_from_ms, changed_ms) \
        SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, \
        CAST(value->>7 AS BIGINT), CAST(value->>8 AS BIGINT), CAST(value->>9 AS BIGINT), value->>10, \
        'available', 1, 0, $2 \
        FROM jsonb_array_elements($1) AS number (value) ON CONFLICT (e164) DO NOTHING RETURNING e164";
    BY_E164 = "SELECT * FROM numbers WHERE e164 = $1";
    LIST = "SELECT * FROM numbers WHERE e164 > $1 AND ($2 = '' OR state = $2) ORDER BY e164 LIMIT $3";
    COUNT = "SELECT state, COUNT(*) AS count FROM numbers GROUP BY state ORDER BY state";
    // SQLite would plan a comparison of the bare state with a parameter anew for each value, because indexes are for one
    // state.
    TRANSITION = "UPDATE numbers SET state = $5, owner = $6, reservation = $7, free_from_ms = $8, \
        rests_until_ms = $9, changed_ms = $10, version = version + 1 \
        WHERE e164 = $1 AND COALESCE(state, '') = $2 AND owner IS NOT DISTINCT FROM $3 AND version = $4";
    RESTED = "SELECT * FROM numbers WHERE rests_until_ms <= $1 ORDER BY rests_until_ms LIMIT $2";
    HOLD_OVER = "SELECT * FROM numbers WHERE state = 'reserved' AND free_from_ms <= $1 ORDER BY free_from_ms LIMIT $2";
}

/// A number to import, as the carrier gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNumber {
    /// The number.
    pub number: E164,
    /// The trunk that it comes in on.
    pub trunk: TrunkId,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Kind of number.
    pub number_type: NumberType,
    /// Its area code, without country code.
    pub area_code: String,
    /// State or province, abbreviated; empty where there is none.
    pub region: String,
    /// City; empty where there is none.
    pub city: String,
    /// What it can do for calls.
    pub calling: Capability,
    /// What it can do for messages.
    pub sms: Capability,
    /// What the carrier takes a month, in minor units.
    pub monthly_cost_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A number of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// As it was imported.
    pub imported: NewNumber,
    /// Where it stands.
    pub state: NumberState,
    /// Who has it reserved, ordered or assigned.
    pub owner: Option<Uuid>,
    /// Counts its transitions.
    pub version: i64,
    /// The search or reservation that holds it.
    pub reservation: Option<Uuid>,
    /// From when on anyone may reserve it; none when nobody may.
    pub free_from_unix_ms: Option<i64>,
    /// When it leaves releasing or quarantine.
    pub rests_until_unix_ms: Option<i64>,
    /// When it came into this state.
    pub changed_unix_ms: i64,
}

/// Who makes a change, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act<'a> {
    /// For the audit log: `api`, `operator`, `sweeper`, a node.
    pub actor: &'a str,
    /// When.
    pub now_unix_ms: i64,
}

/// Numbers of one statement: some hundred kilobytes of text.
const IMPORT_BATCH: usize = 1_000;

/// What became of an operator's wish to move a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It is there.
    Done,
    /// From the state it is in, no way leads there.
    NotAllowed(NumberState),
    /// There is no such number.
    Unknown,
}

/// Takes numbers into the inventory, and returns those that were there already, which stay as they are.
///
/// # Errors
/// Those of a statement.
pub async fn import(db: &mut Connection, new: &[NewNumber], act: Act<'_>) -> Result<Vec<E164>, Error> {
    let mut known: BTreeSet<E164> = new.iter().map(|new| new.number).collect();
    for batch in new.chunks(IMPORT_BATCH) {
        let batch: serde_json::Value = batch.iter().map(columns).collect();
        let mut imported = Vec::new();
        for row in db.fetch_all(INSERT, values![batch, act.now_unix_ms]).await? {
            let number = row.parse("e164")?;
            known.remove(&number);
            imported.push(number);
        }
        audit::append_imports(db, &imported, act).await?;
    }
    db.notify(Topic::Routing);
    Ok(known.into_iter().collect())
}

/// Returns a number as an array in the order of the columns of [`INSERT`].
fn columns(new: &NewNumber) -> serde_json::Value {
    json!([
        new.number,
        new.trunk,
        new.country,
        new.number_type,
        new.area_code,
        new.region,
        new.city,
        bits(new.calling),
        bits(new.sms),
        new.monthly_cost_minor,
        new.currency,
    ])
}

/// Returns a number.
///
/// # Errors
/// Those of a statement.
pub async fn by_e164(db: &mut Connection, number: E164) -> Result<Option<Number>, Error> {
    db.fetch_optional(BY_E164, values![number.to_string()]).await?.as_ref().map(read).transpose()
}

/// Returns up to `limit` numbers behind `after`, in their order, all or those in one state.
///
/// # Errors
/// Those of a statement.
pub async fn list(
    db: &mut Connection,
    state: Option<NumberState>,
    after: Option<E164>,
    limit: u16,
) -> Result<Vec<Number>, Error> {
    let after = after.map(|number| number.to_string()).unwrap_or_default();
    let values = values![after, state.map_or("", NumberState::as_str), i64::from(limit)];
    db.fetch_all(LIST, values).await?.iter().map(read).collect()
}

/// Counts the numbers in each state that any is in.
///
/// # Errors
/// Those of a statement.
pub async fn count(db: &mut Connection) -> Result<Vec<(NumberState, u64)>, Error> {
    let rows = db.fetch_all(COUNT, values![]).await?;
    rows.iter().map(|row| Ok((row.parse("state")?, row.narrow("count")?))).collect()
}

/// Moves a number on the operator's word: into quarantine until a time, out of the inventory, back into it, or
/// to another carrier, which ends its ownership and charges the months of it that have begun.
///
/// # Errors
/// [`Error::Contended`] when it changed at the same moment.
pub async fn move_to(
    db: &mut Connection,
    number: E164,
    to: NumberState,
    rests_until_unix_ms: Option<i64>,
    act: Act<'_>,
) -> Result<Moved, Error> {
    let Some(found) = by_e164(db, number).await? else { return Ok(Moved::Unknown) };
    let by_operator = match to {
        NumberState::Quarantine | NumberState::Retired | NumberState::PortedOut => true,
        // What is held, ordered, owned or given back comes free on its own way, not by an operator's word.
        NumberState::Available => matches!(found.state, NumberState::Quarantine | NumberState::Retired),
        NumberState::Reserved | NumberState::Purchasing | NumberState::Assigned | NumberState::Releasing => {
            false
        }
    };
    if !by_operator || !found.state.may_become(to) {
        return Ok(Moved::NotAllowed(found.state));
    }
    if found.state == NumberState::Assigned {
        ownership::end(db, number, 0, "ported out", act).await?;
    }
    let place = match to {
        NumberState::Available => Place { free_from: Some(0), ..Place::default() },
        NumberState::Quarantine => Place { rests_until: rests_until_unix_ms, ..Place::default() },
        NumberState::Reserved
        | NumberState::Purchasing
        | NumberState::Assigned
        | NumberState::Releasing
        | NumberState::Retired
        | NumberState::PortedOut => Place::default(),
    };
    transition(db, &found, to, place, "move", act).await?;
    db.notify(Topic::Routing);
    Ok(Moved::Done)
}

/// Moves up to `limit` numbers on whose time has come: out of holds that ran out, out of releasing into
/// quarantine for `quarantine_ms`, and out of quarantine. Returns how many.
///
/// # Errors
/// [`Error::Contended`] when one changed at the same moment; nothing is moved then.
pub async fn sweep(
    db: &mut Connection,
    quarantine_ms: i64,
    limit: u16,
    act: Act<'_>,
) -> Result<usize, Error> {
    let now = act.now_unix_ms;
    let mut due = db.fetch_all(RESTED, values![now, i64::from(limit)]).await?;
    due.extend(db.fetch_all(HOLD_OVER, values![now, i64::from(limit)]).await?);
    let free = Place { free_from: Some(0), ..Place::default() };
    for row in &due {
        let number = read(row)?;
        let (to, place) = match number.state {
            NumberState::Releasing => {
                let rests_until = Some(now.saturating_add(quarantine_ms));
                (NumberState::Quarantine, Place { rests_until, ..Place::default() })
            }
            NumberState::Reserved
            | NumberState::Quarantine
            | NumberState::Available
            | NumberState::Purchasing
            | NumberState::Assigned
            | NumberState::Retired
            | NumberState::PortedOut => (NumberState::Available, free),
        };
        transition(db, &number, to, place, "sweep", act).await?;
    }
    Ok(due.len())
}

/// What a transition leaves beside the state.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) owner: Option<Uuid>,
    pub(crate) reservation: Option<Uuid>,
    pub(crate) free_from: Option<i64>,
    pub(crate) rests_until: Option<i64>,
}

/// Makes one transition by compare-and-set and writes it down.
///
/// # Errors
/// [`Error::Contended`] when the number is not any more as it was read, now or later in the unit, which is then undone.
pub(crate) async fn transition(
    db: &mut Connection,
    from: &Number,
    to: NumberState,
    place: Place,
    action: &str,
    act: Act<'_>,
) -> Result<Number, Error> {
    if !from.state.may_become(to) {
        return Err(Error::Contended { statement: TRANSITION.name });
    }
    let number = from.imported.number;
    let values = values![
        number.to_string(),
        from.state.as_str(),
        from.owner,
        from.version,
        to.as_str(),
        place.owner,
        place.reservation,
        place.free_from,
        place.rests_until,
        act.now_unix_ms,
    ];
    db.set_later(TRANSITION, values).await?;
    let entry = audit::Entry {
        at_unix_ms: act.now_unix_ms,
        actor: act.actor,
        action,
        number: Some(number),
        resource: place.owner.or(from.owner),
        transition: Some((Some(from.state), to, from.version + 1)),
        detail: None,
    };
    audit::append(db, &entry).await?;
    Ok(Number {
        imported: from.imported.clone(),
        state: to,
        owner: place.owner,
        version: from.version + 1,
        reservation: place.reservation,
        free_from_unix_ms: place.free_from,
        rests_until_unix_ms: place.rests_until,
        changed_unix_ms: act.now_unix_ms,
    })
}

/// The directions as they are kept: 1 receives, 2 sends.
fn bits(capability: Capability) -> i64 {
    i64::from(capability.is_inbound()) | i64::from(capability.is_outbound()) << 1
}

pub(crate) fn read(row: &Row) -> Result<Number, Error> {
    let offered = |column| {
        let bits: i64 = row.read(column)?;
        Ok::<_, Error>(Capability::from_directions(bits & 1 != 0, bits & 2 != 0))
    };
    Ok(Number {
        imported: NewNumber {
            number: row.parse("e164")?,
            trunk: row.parse("trunk")?,
            country: row.read("country")?,
            number_type: row.parse("number_type")?,
            area_code: row.read("area_code")?,
            region: row.read("region")?,
            city: row.read("city")?,
            calling: offered("calling_offered")?,
            sms: offered("sms_offered")?,
            monthly_cost_minor: row.read("monthly_cost_minor")?,
            currency: row.read("currency")?,
        },
        state: row.parse("state")?,
        owner: row.read("owner")?,
        version: row.read("version")?,
        reservation: row.read("reservation")?,
        free_from_unix_ms: row.read("free_from_ms")?,
        rests_until_unix_ms: row.read("rests_until_ms")?,
        changed_unix_ms: row.read("changed_ms")?,
    })
}
