//! The SIP routing configuration of each resource: its own trunks and the routes to them.
//!
//! It is one document, as the API reads and patches it, and changes by compare-and-set on its version: a
//! patch that was merged with an older version is refused, and merged again by whoever sent it.

use crate::db::{Connection, Row, Topic, Value, statements, values};
use crate::error::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

statements! {
    BY_RESOURCE = "SELECT * FROM sip_routing WHERE resource = $1";
    LIST = "SELECT s.* FROM sip_routing s JOIN resources r ON r.id = s.resource \
        WHERE r.deleted_ms IS NULL ORDER BY s.resource";
    INSERT = "INSERT INTO sip_routing (resource, version, changed_ms, configuration) VALUES ($1, 1, $2, $3) \
        ON CONFLICT (resource) DO NOTHING";
    UPDATE = "UPDATE sip_routing SET version = version + 1, changed_ms = $2, configuration = $3 \
        WHERE resource = $1 AND version = $4";
}

/// A configuration and the version it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The configuration.
    pub configuration: T,
    /// Its version, to be given back when it is replaced. 0 before it was first written.
    pub version: i64,
}

/// Returns the configuration of a resource; the default one when it was never written.
///
/// # Errors
/// [`Error::Unreadable`] when it is not of the type asked for.
pub async fn configuration<T: DeserializeOwned + Default>(
    db: &mut Connection,
    resource: Uuid,
) -> Result<Versioned<T>, Error> {
    match db.fetch_optional(BY_RESOURCE, values![resource]).await? {
        Some(row) => read(&row),
        None => Ok(Versioned { configuration: T::default(), version: 0 }),
    }
}

/// Returns the configurations of all resources, for the routing table.
///
/// # Errors
/// [`Error::Unreadable`] when one is not of the type asked for.
pub async fn list<T: DeserializeOwned + Default>(db: &mut Connection) -> Result<Vec<(Uuid, T)>, Error> {
    let rows = db.fetch_all(LIST, values![]).await?;
    rows.iter().map(|row| Ok((row.read("resource")?, read(row)?.configuration))).collect()
}

/// Replaces the configuration that has this version. Returns false when it has another by now.
///
/// # Errors
/// Those of a statement.
pub async fn replace<T: Serialize>(
    db: &mut Connection,
    resource: Uuid,
    replaced_version: i64,
    configuration: &T,
    now_unix_ms: i64,
) -> Result<bool, Error> {
    let configuration = Value::json(Some(configuration));
    let changed = if replaced_version == 0 {
        db.execute(INSERT, values![resource, now_unix_ms, configuration]).await?
    } else {
        db.execute(UPDATE, values![resource, now_unix_ms, configuration, replaced_version]).await?
    };
    db.notify(Topic::Routing);
    Ok(changed == 1)
}

fn read<T: DeserializeOwned + Default>(row: &Row) -> Result<Versioned<T>, Error> {
    Ok(Versioned {
        configuration: row.read_json("configuration")?.unwrap_or_default(),
        version: row.read("version")?,
    })
}
