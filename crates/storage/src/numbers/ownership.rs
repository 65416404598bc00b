//! Who owns a number, from when to when, and what that costs.

use super::{Act, Number, Place, by_e164, transition};
use crate::db::{Connection, Row, Topic, statements, values};
use crate::error::Error;
use crate::ledger;
use std::collections::HashSet;
use trunkline_model::{AssignmentType, Capability, E164, NumberState, NumberType, TrunkId};
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO assignments (id, e164, resource, reservation, assignment_type, calling, sms, \
        monthly_cost_minor, currency, started_ms, renews_ms, ends_ms) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    LIVE = "SELECT * FROM assignments WHERE e164 = $1 AND ended_ms IS NULL";
    OF_RESERVATION = "SELECT * FROM assignments WHERE resource = $1 AND reservation = $2 ORDER BY e164";
    OF_NUMBER = "SELECT * FROM assignments WHERE e164 = $1 ORDER BY started_ms, id";
    OVER = "SELECT * FROM assignments WHERE ended_ms IS NULL AND ends_ms <= $1 ORDER BY ends_ms LIMIT $2";
    END = "UPDATE assignments SET ended_ms = $2 WHERE id = $1 AND ended_ms IS NULL";
    SET_CAPABILITIES = "UPDATE assignments SET calling = $2, sms = $3 WHERE id = $1 AND ended_ms IS NULL";
    OWNED = "SELECT a.*, n.trunk, n.country, n.number_type, n.region, n.city \
        FROM assignments a JOIN numbers n ON n.e164 = a.e164 \
        WHERE a.resource = $1 AND a.ended_ms IS NULL ORDER BY a.e164 LIMIT $3 OFFSET $2";
    OWNED_COUNT = "SELECT COUNT(*) AS count FROM assignments WHERE resource = $1 AND ended_ms IS NULL";
    OWNED_NUMBER = "SELECT a.*, n.trunk, n.country, n.number_type, n.region, n.city \
        FROM assignments a JOIN numbers n ON n.e164 = a.e164 \
        WHERE a.resource = $1 AND a.e164 = $2 AND a.ended_ms IS NULL";
    OWNED_AMONG = sqlite "SELECT e164 FROM assignments WHERE resource = $1 AND ended_ms IS NULL \
        AND e164 IN (SELECT value FROM json_each($2))"
        postgres "SELECT e164 FROM assignments WHERE resource = $1 AND ended_ms IS NULL \
        AND e164 IN (SELECT value FROM jsonb_array_elements_text($2) AS number (value))";
    OWNED_IN_TRUNKS = "SELECT a.*, n.trunk, n.country, n.number_type, n.region, n.city \
        FROM assignments a JOIN numbers n ON n.e164 = a.e164 WHERE a.ended_ms IS NULL ORDER BY a.e164";
}

/// What a number is bought under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whom it is for.
    pub assignment_type: AssignmentType,
    /// What it may do for calls.
    pub calling: Capability,
    /// What it may do for messages.
    pub sms: Capability,
    /// What a month costs, in minor units.
    pub monthly_cost_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// One ownership of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its id, which every charge for it names (INV-2).
    pub id: Uuid,
    /// The number.
    pub number: E164,
    /// The owner.
    pub resource: Uuid,
    /// What it was bought under, and may do now.
    pub terms: Terms,
    /// When it began.
    pub started_unix_ms: i64,
    /// When its next month begins.
    pub renews_unix_ms: i64,
    /// When it ends by itself, for a number that was bought for a time.
    pub ends_unix_ms: Option<i64>,
    /// When it ended.
    pub ended_unix_ms: Option<i64>,
}

/// An owned number with what the inventory knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The ownership.
    pub assignment: Assignment,
    /// The trunk that the number comes in on.
    pub trunk: TrunkId,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Kind of number.
    pub number_type: NumberType,
    /// State or province, abbreviated.
    pub region: String,
    /// City.
    pub city: String,
}

/// How long a number rests that was given back, before the quarantine that comes then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Until the month ends that was paid for.
    EndOfCycle,
    /// Not at all.
    None,
}

/// What became of a wish to release a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// It is given back; the ownership that ended.
    Done(Assignment),
    /// The resource does not own it.
    NotOwned,
}

/// Makes a resource the owner of a number it has ordered, and charges the first month.
pub(crate) async fn assign(
    db: &mut Connection,
    ordered: &Number,
    resource: Uuid,
    terms: Terms,
    ends_unix_ms: Option<i64>,
    act: Act<'_>,
) -> Result<Assignment, Error> {
    let number = ordered.imported.number;
    let place = Place { owner: Some(resource), ..Place::default() };
    transition(db, ordered, NumberState::Assigned, place, "assign", act).await?;
    let assignment = Assignment {
        id: Uuid::now_v7(),
        number,
        resource,
        terms,
        started_unix_ms: act.now_unix_ms,
        renews_unix_ms: ledger::cycle::renewal(act.now_unix_ms, 1),
        ends_unix_ms,
        ended_unix_ms: None,
    };
    let terms = &assignment.terms;
    let values = values![
        assignment.id,
        number.to_string(),
        resource,
        ordered.reservation,
        terms.assignment_type.as_str(),
        terms.calling.as_str(),
        terms.sms.as_str(),
        terms.monthly_cost_minor,
        terms.currency.as_str(),
        act.now_unix_ms,
        assignment.renews_unix_ms,
        ends_unix_ms,
    ];
    db.execute_later(INSERT, values).await?;
    let charge = ledger::Entry {
        resource,
        at_unix_ms: act.now_unix_ms,
        kind: ledger::Kind::Purchase,
        number: Some(number),
        assignment: Some(assignment.id),
        amount_minor: terms.monthly_cost_minor,
        currency: &terms.currency,
        note: "first month",
    };
    ledger::append(db, &charge).await?;
    db.notify(Topic::Routing);
    Ok(assignment)
}

/// Returns what a reservation was turned into.
pub(crate) async fn of_reservation(
    db: &mut Connection,
    resource: Uuid,
    reservation: Uuid,
) -> Result<Vec<Assignment>, Error> {
    db.fetch_all(OF_RESERVATION, values![resource, reservation]).await?.iter().map(read).collect()
}

/// Returns every ownership that a number has had, oldest first.
///
/// # Errors
/// Those of a statement.
pub async fn assignments_of(db: &mut Connection, number: E164) -> Result<Vec<Assignment>, Error> {
    db.fetch_all(OF_NUMBER, values![number.to_string()]).await?.iter().map(read).collect()
}

/// Gives a number back: its ownership ends at once, the months that have begun are charged, and it is not sold again
/// before its rest and the quarantine behind that. `credit_minor` is what the owner gets back.
///
/// # Errors
/// [`Error::Contended`] when the number changed at the same moment.
pub async fn release(
    db: &mut Connection,
    number: E164,
    resource: Uuid,
    rest: Rest,
    credit_minor: i64,
    act: Act<'_>,
) -> Result<Released, Error> {
    let Some(owned) = assigned_to(db, number, resource).await? else { return Ok(Released::NotOwned) };
    let Some(assignment) = end(db, number, credit_minor, "released", act).await? else {
        return Ok(Released::NotOwned);
    };
    let rests_until = match rest {
        Rest::EndOfCycle => assignment.renews_unix_ms.max(act.now_unix_ms),
        Rest::None => act.now_unix_ms,
    };
    let place = Place { rests_until: Some(rests_until), ..Place::default() };
    transition(db, &owned, NumberState::Releasing, place, "release", act).await?;
    db.notify(Topic::Routing);
    Ok(Released::Done(assignment))
}

/// Returns up to `limit` ownerships of numbers bought for a time that is over.
///
/// # Errors
/// Those of a statement.
pub async fn over(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<Vec<Assignment>, Error> {
    db.fetch_all(OVER, values![now_unix_ms, i64::from(limit)]).await?.iter().map(read).collect()
}

/// Changes what an owned number may do. Returns the ownership as it then is, or none when the resource does not
/// own the number. Whether the number can do it, and whether it may, is for the caller to check.
///
/// # Errors
/// [`Error::Contended`] when the number changed at the same moment.
pub async fn set_capabilities(
    db: &mut Connection,
    number: E164,
    resource: Uuid,
    calling: Capability,
    sms: Capability,
    act: Act<'_>,
) -> Result<Option<Assignment>, Error> {
    let Some(owned) = assigned_to(db, number, resource).await? else { return Ok(None) };
    let Some(mut assignment) = live(db, number).await? else { return Ok(None) };
    let place = Place { owner: Some(resource), ..Place::default() };
    transition(db, &owned, NumberState::Assigned, place, "set capabilities", act).await?;
    db.execute_later(SET_CAPABILITIES, values![assignment.id, calling.as_str(), sms.as_str()]).await?;
    db.notify(Topic::Routing);
    assignment.terms.calling = calling;
    assignment.terms.sms = sms;
    Ok(Some(assignment))
}

/// Ends the ownership of a number, if it has one: charges the months that have begun, and writes the end in the ledger.
pub(crate) async fn end(
    db: &mut Connection,
    number: E164,
    credit_minor: i64,
    note: &str,
    act: Act<'_>,
) -> Result<Option<Assignment>, Error> {
    let Some(mut assignment) = live(db, number).await? else { return Ok(None) };
    ledger::charge_begun(db, &mut assignment, act.now_unix_ms).await?;
    db.execute_later(END, values![assignment.id, act.now_unix_ms]).await?;
    let row = ledger::Entry {
        resource: assignment.resource,
        at_unix_ms: act.now_unix_ms,
        kind: ledger::Kind::Release,
        number: Some(number),
        assignment: Some(assignment.id),
        amount_minor: credit_minor.saturating_neg(),
        currency: &assignment.terms.currency,
        note,
    };
    ledger::append(db, &row).await?;
    Ok(Some(Assignment { ended_unix_ms: Some(act.now_unix_ms), ..assignment }))
}

/// Returns up to `limit` numbers of a resource behind the first `skip`, in their order.
///
/// # Errors
/// Those of a statement.
pub async fn owned(db: &mut Connection, resource: Uuid, skip: u32, limit: u16) -> Result<Vec<Owned>, Error> {
    let rows = db.fetch_all(OWNED, values![resource, i64::from(skip), i64::from(limit)]).await?;
    rows.iter().map(read_owned).collect()
}

/// Counts the numbers of a resource.
///
/// # Errors
/// Those of a statement.
pub async fn owned_count(db: &mut Connection, resource: Uuid) -> Result<u64, Error> {
    db.fetch_one(OWNED_COUNT, values![resource]).await?.narrow("count")
}

/// Returns a number of a resource, or none when it does not own it.
///
/// # Errors
/// Those of a statement.
pub async fn owned_number(db: &mut Connection, resource: Uuid, number: E164) -> Result<Option<Owned>, Error> {
    let row = db.fetch_optional(OWNED_NUMBER, values![resource, number.to_string()]).await?;
    row.as_ref().map(read_owned).transpose()
}

/// Returns which of some numbers a resource owns.
///
/// # Errors
/// Those of a statement.
pub async fn owned_among(
    db: &mut Connection,
    resource: Uuid,
    numbers: &[E164],
) -> Result<HashSet<E164>, Error> {
    let numbers: serde_json::Value = numbers.iter().map(E164::to_string).collect();
    db.fetch_all(OWNED_AMONG, values![resource, numbers]).await?.iter().map(|row| row.parse("e164")).collect()
}

/// Returns every owned number, for the routing table.
///
/// # Errors
/// Those of a statement.
pub async fn owned_in_trunks(db: &mut Connection) -> Result<Vec<Owned>, Error> {
    db.fetch_all(OWNED_IN_TRUNKS, values![]).await?.iter().map(read_owned).collect()
}

async fn assigned_to(db: &mut Connection, number: E164, resource: Uuid) -> Result<Option<Number>, Error> {
    let found = by_e164(db, number).await?;
    Ok(found.filter(|number| number.state == NumberState::Assigned && number.owner == Some(resource)))
}

async fn live(db: &mut Connection, number: E164) -> Result<Option<Assignment>, Error> {
    db.fetch_optional(LIVE, values![number.to_string()]).await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Assignment, Error> {
    Ok(Assignment {
        id: row.read("id")?,
        number: row.parse("e164")?,
        resource: row.read("resource")?,
        terms: read_terms(row)?,
        started_unix_ms: row.read("started_ms")?,
        renews_unix_ms: row.read("renews_ms")?,
        ends_unix_ms: row.read("ends_ms")?,
        ended_unix_ms: row.read("ended_ms")?,
    })
}

pub(crate) fn read_terms(row: &Row) -> Result<Terms, Error> {
    Ok(Terms {
        assignment_type: row.parse("assignment_type")?,
        calling: row.parse("calling")?,
        sms: row.parse("sms")?,
        monthly_cost_minor: row.read("monthly_cost_minor")?,
        currency: row.read("currency")?,
    })
}

fn read_owned(row: &Row) -> Result<Owned, Error> {
    Ok(Owned {
        assignment: read(row)?,
        trunk: row.parse("trunk")?,
        country: row.read("country")?,
        number_type: row.parse("number_type")?,
        region: row.read("region")?,
        city: row.read("city")?,
    })
}
