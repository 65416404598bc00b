//! The ledger: what each resource owes, in rows written with the change that caused them.

pub mod cycle;

mod month;

pub use month::Month;

use crate::db::{Connection, Row, Value, statements, values};
use crate::error::Error;
use crate::numbers::Assignment;
use trunkline_model::E164;
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO ledger (resource, at_ms, month, kind, e164, assignment, amount_minor, currency, note) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    STATEMENT = "SELECT * FROM ledger WHERE resource = $1 AND month = $2 ORDER BY id";
    DUE = "SELECT * FROM assignments WHERE ended_ms IS NULL AND renews_ms <= $1 \
        AND (ends_ms IS NULL OR ends_ms > renews_ms) ORDER BY renews_ms LIMIT $2";
    RENEW = "UPDATE assignments SET renews_ms = $3 WHERE id = $1 AND renews_ms = $2 AND ended_ms IS NULL";
}

/// What a row of the ledger is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first month of a number.
    Purchase,
    /// A further month of a number.
    Renewal,
    /// The end of an ownership: zero, or a credit.
    Release,
    /// What the operator put right by hand.
    Adjustment,
}

impl Kind {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Renewal => "renewal",
            Self::Release => "release",
            Self::Adjustment => "adjustment",
        }
    }
}

/// A row to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Who owes.
    pub resource: Uuid,
    /// When; its UTC month is the month of the statement it appears in.
    pub at_unix_ms: i64,
    /// What for.
    pub kind: Kind,
    /// For which number.
    pub number: Option<E164>,
    /// For which ownership of it.
    pub assignment: Option<Uuid>,
    /// In minor units: above zero a charge, below zero a credit.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: &'a str,
    /// For the reader of the statement.
    pub note: &'a str,
}

/// A row as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// Its place in the ledger.
    pub id: i64,
    /// When.
    pub at_unix_ms: i64,
    /// What for.
    pub kind: Kind,
    /// For which number.
    pub number: Option<E164>,
    /// For which ownership of it.
    pub assignment: Option<Uuid>,
    /// In minor units: above zero a charge, below zero a credit.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// For the reader of the statement.
    pub note: String,
}

/// An ownership whose next month has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The ownership.
    pub assignment: Uuid,
    /// Of which number.
    pub number: E164,
    /// By whom.
    pub resource: Uuid,
    /// When the ownership began.
    pub started_unix_ms: i64,
    /// When its next month began.
    pub renews_unix_ms: i64,
    /// What a month costs, in minor units.
    pub monthly_cost_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Appends a row.
///
/// # Errors
/// [`Error::Duplicate`] when the ownership has a row of this kind for this month (INV-2).
pub(crate) async fn append(db: &mut Connection, entry: &Entry<'_>) -> Result<(), Error> {
    let values = values![
        entry.resource,
        entry.at_unix_ms,
        Month::of_unix_ms(entry.at_unix_ms).to_string(),
        entry.kind.as_str(),
        Value::display(entry.number),
        entry.assignment,
        entry.amount_minor,
        entry.currency,
        entry.note,
    ];
    db.execute_later(INSERT, values).await
}

/// Returns the rows of a resource for a month, in their order.
///
/// # Errors
/// Those of a statement.
pub async fn statement(db: &mut Connection, resource: Uuid, month: Month) -> Result<Vec<Kept>, Error> {
    db.fetch_all(STATEMENT, values![resource, month.to_string()]).await?.iter().map(read).collect()
}

/// Returns up to `limit` ownerships whose next month has begun.
///
/// # Errors
/// Those of a statement.
pub async fn due_renewals(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<Vec<Due>, Error> {
    db.fetch_all(DUE, values![now_unix_ms, i64::from(limit)]).await?.iter().map(read_due).collect()
}

/// Charges the months of an ownership that have begun, for a unit that ends it: whoever gives a number back before
/// its renewal was noticed owes that month all the same.
///
/// # Errors
/// [`Error::Contended`] when a month was charged at the same moment.
pub(crate) async fn charge_begun(
    db: &mut Connection,
    assignment: &mut Assignment,
    now_unix_ms: i64,
) -> Result<(), Error> {
    let last_unix_ms = assignment.ends_unix_ms.map_or(now_unix_ms, |ends| now_unix_ms.min(ends - 1));
    while assignment.renews_unix_ms <= last_unix_ms {
        let due = Due {
            assignment: assignment.id,
            number: assignment.number,
            resource: assignment.resource,
            started_unix_ms: assignment.started_unix_ms,
            renews_unix_ms: assignment.renews_unix_ms,
            monthly_cost_minor: assignment.terms.monthly_cost_minor,
            currency: assignment.terms.currency.clone(),
        };
        if !renew(db, &due).await? {
            return Err(Error::Contended { statement: RENEW.name });
        }
        let next_unix_ms = cycle::renewal_after(due.started_unix_ms, due.renews_unix_ms);
        if next_unix_ms <= due.renews_unix_ms {
            break;
        }
        assignment.renews_unix_ms = next_unix_ms;
    }
    Ok(())
}

/// Charges the month that has begun, and sets when the next one does. Returns false, and charges nothing, when
/// the number was released or the month charged in between.
///
/// # Errors
/// Those of a statement.
pub async fn renew(db: &mut Connection, due: &Due) -> Result<bool, Error> {
    let next_unix_ms = cycle::renewal_after(due.started_unix_ms, due.renews_unix_ms);
    let values = values![due.assignment, due.renews_unix_ms, next_unix_ms];
    if db.execute(RENEW, values).await? == 0 {
        return Ok(false);
    }
    let entry = Entry {
        resource: due.resource,
        at_unix_ms: due.renews_unix_ms,
        kind: Kind::Renewal,
        number: Some(due.number),
        assignment: Some(due.assignment),
        amount_minor: due.monthly_cost_minor,
        currency: &due.currency,
        note: "monthly renewal",
    };
    append(db, &entry).await?;
    Ok(true)
}

fn read(row: &Row) -> Result<Kept, Error> {
    Ok(Kept {
        id: row.read("id")?,
        at_unix_ms: row.read("at_ms")?,
        kind: row.read_name("kind")?,
        number: row.parse_optional("e164")?,
        assignment: row.read("assignment")?,
        amount_minor: row.read("amount_minor")?,
        currency: row.read("currency")?,
        note: row.read("note")?,
    })
}

fn read_due(row: &Row) -> Result<Due, Error> {
    Ok(Due {
        assignment: row.read("id")?,
        number: row.parse("e164")?,
        resource: row.read("resource")?,
        started_unix_ms: row.read("started_ms")?,
        renews_unix_ms: row.read("renews_ms")?,
        monthly_cost_minor: row.read("monthly_cost_minor")?,
        currency: row.read("currency")?,
    })
}
