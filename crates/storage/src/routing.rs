//! What the routing table is made of, besides [owned numbers](crate::numbers::owned_in_trunks) and the
//! [trunks of resources](crate::trunks): the numbers that nobody owns, and whether anything changed.

use crate::db::{Connection, statements, values};
use crate::error::Error;
use trunkline_model::E164;

statements! {
    // The audit log has an entry for every transition of a number and every change of a resource. PostgreSQL may
    // commit a lower id after a higher one, and gives word of what matters alone: there, no stamp is like another.
    STAMP = sqlite "SELECT COALESCE((SELECT MAX(id) FROM audit), 0) AS audited, \
        COALESCE((SELECT SUM(version) FROM sip_routing), 0) AS routed"
        postgres "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS audited, \
        CAST(0 AS BIGINT) AS routed";
    UNOWNED = "SELECT e164 FROM numbers WHERE state NOT IN ('assigned', 'retired', 'ported_out') \
        ORDER BY e164";
}

/// What tells one state of numbers, resources and routes from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([i64; 2]);

/// Returns the stamp of what the routing table is made of. Two that are equal say that nothing has changed; two that
/// differ do not say that something has.
///
/// # Errors
/// Those of a statement.
pub async fn stamp(db: &mut Connection) -> Result<Stamp, Error> {
    let row = db.fetch_one(STAMP, values![]).await?;
    Ok(Stamp([row.read("audited")?, row.read("routed")?]))
}

/// Returns every number of the inventory that nobody owns, in their order. What was retired or ported out may be anyone's by now.
///
/// # Errors
/// Those of a statement.
pub async fn unowned(db: &mut Connection) -> Result<Vec<E164>, Error> {
    db.fetch_all(UNOWNED, values![]).await?.iter().map(|row| row.parse("e164")).collect()
}
