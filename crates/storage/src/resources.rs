//! Resources: the tenants, the hosts they answer to, and their access keys.
//!
//! Access keys are kept in the clear, because a request signature (HMAC) is verified with the key's own
//! bytes. The database file is readable by its owner alone; encrypting the column with a key kept beside the
//! file would protect a copy of one without the other and nothing more. Back-ups are as secret as the keys.

use crate::audit;
use crate::db::{Connection, Row, Topic, statements, values};
use crate::error::Error;
use crate::numbers::Act;
use serde_json::json;
use std::fmt;
use trunkline_model::SubscriptionClass;
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO resources (id, name, created_ms, data_location, primary_key, secondary_key, \
        billing_country, billing_verified_ms, emergency_address_ms, subscription_class) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    INSERT_HOST = "INSERT INTO resource_hosts (host, resource) VALUES ($1, $2)";
    DELETE_HOST = "DELETE FROM resource_hosts WHERE host = $1 AND resource = $2";
    DELETE_HOSTS = "DELETE FROM resource_hosts WHERE resource = $1";
    HOSTS = "SELECT host FROM resource_hosts WHERE resource = $1 ORDER BY host";
    BY_ID = "SELECT * FROM resources WHERE id = $1 AND deleted_ms IS NULL";
    // Shared by those who act on the record, against those who change or delete it.
    BY_ID_STEADY = sqlite "SELECT * FROM resources WHERE id = $1 AND deleted_ms IS NULL"
        postgres "SELECT * FROM resources WHERE id = $1 AND deleted_ms IS NULL FOR SHARE";
    // Held by one unit at a time.
    BY_ID_ALONE = sqlite "SELECT * FROM resources WHERE id = $1 AND deleted_ms IS NULL"
        postgres "SELECT * FROM resources WHERE id = $1 AND deleted_ms IS NULL FOR UPDATE";
    BY_ID_TO_DELETE = sqlite "SELECT * FROM resources WHERE id = $1 AND deleted_ms IS NULL"
        postgres "SELECT * FROM resources WHERE id = $1 AND deleted_ms IS NULL FOR UPDATE";
    BY_NAME = "SELECT * FROM resources WHERE name = $1 AND deleted_ms IS NULL";
    // With its port, without it, and the one that claims every other.
    BY_HOST = "SELECT r.* FROM resource_hosts h JOIN resources r ON r.id = h.resource \
        WHERE h.host IN ($1, $2, '*') AND r.deleted_ms IS NULL \
        ORDER BY CASE WHEN h.host = $1 THEN 0 WHEN h.host = $2 THEN 1 ELSE 2 END LIMIT 1";
    ALL_HOSTS = "SELECT h.host FROM resource_hosts h JOIN resources r ON r.id = h.resource \
        WHERE r.deleted_ms IS NULL ORDER BY r.created_ms, h.host";
    LIST = "SELECT * FROM resources WHERE deleted_ms IS NULL ORDER BY name";
    SET_BILLING = "UPDATE resources SET billing_country = $2, billing_verified_ms = $3, \
        emergency_address_ms = $4, subscription_class = $5 WHERE id = $1 AND deleted_ms IS NULL";
    SET_PRIMARY = "UPDATE resources SET primary_key = $2 WHERE id = $1 AND deleted_ms IS NULL";
    SET_SECONDARY = "UPDATE resources SET secondary_key = $2 WHERE id = $1 AND deleted_ms IS NULL";
    SET_SUSPENDED = "UPDATE resources SET suspended_ms = $2 WHERE id = $1 AND deleted_ms IS NULL";
    OWNS_NUMBERS = "SELECT id FROM assignments WHERE resource = $1 AND ended_ms IS NULL LIMIT 1";
    DELETE = "UPDATE resources SET deleted_ms = $2, primary_key = $3, secondary_key = $3 \
        WHERE id = $1 AND deleted_ms IS NULL";
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its id, part of every id of its users.
    pub id: Uuid,
    /// The operator's name for it, unique among the resources that exist.
    pub name: String,
    /// When it was made.
    pub created_unix_ms: i64,
    /// Where it keeps its data, ISO 3166-1 alpha-2.
    pub data_location: String,
    /// The first access key.
    pub primary_key: Secret,
    /// The second.
    pub secondary_key: Secret,
    /// Who pays, and how.
    pub billing: Billing,
    /// Since when it may not act.
    pub suspended_unix_ms: Option<i64>,
}

/// The billing record of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billing {
    /// The country of the billing address, as recorded.
    pub country: Option<String>,
    /// When that address was verified; none when it was not.
    pub verified_unix_ms: Option<i64>,
    /// Since when an emergency address is on file; none when there is none.
    pub emergency_address_unix_ms: Option<i64>,
    /// How it pays.
    pub class: SubscriptionClass,
}

/// Bytes that must not appear in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

/// What became of a wish to delete a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone; its ledger and audit log remain.
    Done,
    /// It still owns numbers, which have to be released first.
    OwnsNumbers,
    /// There is none.
    Unknown,
}

/// The host that stands for every host which no resource names.
pub const ANY_HOST: &str = "*";

/// Keeps a new resource with its hosts: lower case, without port for any port of it, or [`ANY_HOST`].
///
/// # Errors
/// [`Error::Duplicate`] when its name or a host is taken.
pub async fn insert(
    db: &mut Connection,
    resource: &Resource,
    hosts: &[String],
    act: Act<'_>,
) -> Result<(), Error> {
    let billing = &resource.billing;
    let values = values![
        resource.id,
        resource.name.as_str(),
        resource.created_unix_ms,
        resource.data_location.as_str(),
        resource.primary_key.0.as_slice(),
        resource.secondary_key.0.as_slice(),
        billing.country.as_deref(),
        billing.verified_unix_ms,
        billing.emergency_address_unix_ms,
        billing.class.as_str(),
    ];
    db.execute(INSERT, values).await?;
    for host in hosts {
        insert_host(db, resource.id, host).await?;
    }
    db.notify(Topic::Resources);
    let detail = json!({ "billing": shown(billing), "hosts": hosts });
    note(db, resource.id, "create resource", Some(detail), act).await
}

/// Gives a resource another host.
///
/// # Errors
/// [`Error::Duplicate`] when it is taken.
pub async fn insert_host(db: &mut Connection, resource: Uuid, host: &str) -> Result<(), Error> {
    db.notify(Topic::Resources);
    db.execute(INSERT_HOST, values![host, resource]).await.map(drop)
}

/// Takes a host from a resource. Returns false when it did not have it.
///
/// # Errors
/// Those of a statement.
pub async fn delete_host(db: &mut Connection, resource: Uuid, host: &str) -> Result<bool, Error> {
    db.notify(Topic::Resources);
    Ok(db.execute(DELETE_HOST, values![host, resource]).await? == 1)
}

/// Returns the hosts of a resource.
///
/// # Errors
/// Those of a statement.
pub async fn hosts(db: &mut Connection, resource: Uuid) -> Result<Vec<String>, Error> {
    db.fetch_all(HOSTS, values![resource]).await?.iter().map(|row| row.read("host")).collect()
}

/// Returns the hosts of all resources, those of the oldest first.
///
/// # Errors
/// Those of a statement.
pub async fn all_hosts(db: &mut Connection) -> Result<Vec<String>, Error> {
    db.fetch_all(ALL_HOSTS, values![]).await?.iter().map(|row| row.read("host")).collect()
}

/// Returns a resource.
///
/// # Errors
/// Those of a statement.
pub async fn by_id(db: &mut Connection, id: Uuid) -> Result<Option<Resource>, Error> {
    db.fetch_optional(BY_ID, values![id]).await?.as_ref().map(read).transpose()
}

/// Returns a resource for a unit that acts on what its record says, such as a purchase on the billing country
/// (PROV-20): the record does not change before the unit ends.
///
/// # Errors
/// Those of a statement.
pub async fn by_id_steady(db: &mut Connection, id: Uuid) -> Result<Option<Resource>, Error> {
    db.fetch_optional(BY_ID_STEADY, values![id]).await?.as_ref().map(read).transpose()
}

/// Returns a resource for a unit that must not run beside another of the same resource, such as one that counts
/// against a quota and then adds to the count.
///
/// # Errors
/// Those of a statement.
pub async fn by_id_alone(db: &mut Connection, id: Uuid) -> Result<Option<Resource>, Error> {
    db.fetch_optional(BY_ID_ALONE, values![id]).await?.as_ref().map(read).transpose()
}

/// Returns the resource with a name.
///
/// # Errors
/// Those of a statement.
pub async fn by_name(db: &mut Connection, name: &str) -> Result<Option<Resource>, Error> {
    db.fetch_optional(BY_NAME, values![name]).await?.as_ref().map(read).transpose()
}

/// Returns the resource that a host (in lower case, with or without port) belongs to, or the one that claims every
/// host.
///
/// # Errors
/// Those of a statement.
pub async fn by_host(db: &mut Connection, host: &str) -> Result<Option<Resource>, Error> {
    db.fetch_optional(BY_HOST, values![host, bare_host(host)]).await?.as_ref().map(read).transpose()
}

/// Returns a host without its port.
pub fn bare_host(host: &str) -> &str {
    // The port of `[::1]:8443` comes after the last colon, and `[::1]` has none.
    match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        Some(_) | None => host,
    }
}

/// Returns every resource, by name.
///
/// # Errors
/// Those of a statement.
pub async fn list(db: &mut Connection) -> Result<Vec<Resource>, Error> {
    db.fetch_all(LIST, values![]).await?.iter().map(read).collect()
}

/// Replaces the billing record, and writes both down (PROV-21): numbers already owned stay. Returns false when there is
/// no such resource.
///
/// # Errors
/// Those of a statement.
pub async fn set_billing(
    db: &mut Connection,
    id: Uuid,
    billing: &Billing,
    act: Act<'_>,
) -> Result<bool, Error> {
    let Some(before) = by_id_alone(db, id).await? else { return Ok(false) };
    let values = values![
        id,
        billing.country.as_deref(),
        billing.verified_unix_ms,
        billing.emergency_address_unix_ms,
        billing.class.as_str(),
    ];
    db.execute(SET_BILLING, values).await?;
    db.notify(Topic::Resources);
    let detail = json!({ "from": shown(&before.billing), "to": shown(billing) });
    note(db, id, "set billing profile", Some(detail), act).await?;
    Ok(true)
}

/// Replaces one access key. Returns false when there is no such resource.
///
/// # Errors
/// Those of a statement.
pub async fn set_key(
    db: &mut Connection,
    id: Uuid,
    which: Which,
    key: &Secret,
    act: Act<'_>,
) -> Result<bool, Error> {
    let (statement, name) = match which {
        Which::Primary => (SET_PRIMARY, "primary"),
        Which::Secondary => (SET_SECONDARY, "secondary"),
    };
    if db.execute(statement, values![id, key.0.as_slice()]).await? == 0 {
        return Ok(false);
    }
    db.notify(Topic::Resources);
    note(db, id, "rotate key", Some(json!({ "key": name })), act).await?;
    Ok(true)
}

/// Suspends a resource since a time, or lets it act again. Returns false when there is no such resource.
///
/// # Errors
/// Those of a statement.
pub async fn set_suspended(
    db: &mut Connection,
    id: Uuid,
    since_unix_ms: Option<i64>,
    act: Act<'_>,
) -> Result<bool, Error> {
    if db.execute(SET_SUSPENDED, values![id, since_unix_ms]).await? == 0 {
        return Ok(false);
    }
    db.notify(Topic::Resources);
    let action = if since_unix_ms.is_some() { "suspend resource" } else { "resume resource" };
    note(db, id, action, None, act).await?;
    Ok(true)
}

/// Deletes a resource that owns no numbers, with its hosts and keys.
///
/// # Errors
/// Those of a statement.
pub async fn delete(db: &mut Connection, id: Uuid, act: Act<'_>) -> Result<Deleted, Error> {
    if db.fetch_optional(BY_ID_TO_DELETE, values![id]).await?.is_none() {
        return Ok(Deleted::Unknown);
    }
    if db.fetch_optional(OWNS_NUMBERS, values![id]).await?.is_some() {
        return Ok(Deleted::OwnsNumbers);
    }
    db.execute(DELETE_HOSTS, values![id]).await?;
    let forgotten: &[u8] = &[];
    db.execute(DELETE, values![id, act.now_unix_ms, forgotten]).await?;
    db.notify(Topic::Resources);
    note(db, id, "delete resource", None, act).await?;
    Ok(Deleted::Done)
}

/// Writes a change of a resource into the audit log.
async fn note(
    db: &mut Connection,
    resource: Uuid,
    action: &str,
    detail: Option<serde_json::Value>,
    act: Act<'_>,
) -> Result<(), Error> {
    let entry = audit::Entry {
        at_unix_ms: act.now_unix_ms,
        actor: act.actor,
        action,
        number: None,
        resource: Some(resource),
        transition: None,
        detail,
    };
    audit::append(db, &entry).await
}

/// A billing record for the audit log.
fn shown(billing: &Billing) -> serde_json::Value {
    json!({
        "country": billing.country,
        "verified": billing.verified_unix_ms.is_some(),
        "emergencyAddress": billing.emergency_address_unix_ms.is_some(),
        "class": billing.class.as_str(),
    })
}

fn read(row: &Row) -> Result<Resource, Error> {
    Ok(Resource {
        id: row.read("id")?,
        name: row.read("name")?,
        created_unix_ms: row.read("created_ms")?,
        data_location: row.read("data_location")?,
        primary_key: Secret(row.read("primary_key")?),
        secondary_key: Secret(row.read("secondary_key")?),
        billing: Billing {
            country: row.read("billing_country")?,
            verified_unix_ms: row.read("billing_verified_ms")?,
            emergency_address_unix_ms: row.read("emergency_address_ms")?,
            class: row.parse("subscription_class")?,
        },
        suspended_unix_ms: row.read("suspended_ms")?,
    })
}
