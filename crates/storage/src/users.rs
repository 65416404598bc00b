//! What calls need to know of users: which numbers ring at them, and what their tokens are as digest passwords.

use crate::audit;
use crate::db::{Connection, Row, Topic, Value, statements, values};
use crate::error::Error;
use crate::numbers::Act;
use serde::{Deserialize, Serialize};
use trunkline_model::{E164, RingOrder};
use uuid::Uuid;

statements! {
    SET_RING = "INSERT INTO number_users (e164, resource, ring) VALUES ($1, $2, $3) \
        ON CONFLICT (e164) DO UPDATE SET resource = excluded.resource, ring = excluded.ring";
    CLEAR_RING = "DELETE FROM number_users WHERE e164 = $1";
    RINGS = "SELECT u.* FROM number_users u \
        JOIN assignments a ON a.e164 = u.e164 AND a.resource = u.resource \
        WHERE a.ended_ms IS NULL ORDER BY u.e164";
    RINGS_OF = "SELECT u.* FROM number_users u \
        JOIN assignments a ON a.e164 = u.e164 AND a.resource = u.resource \
        WHERE a.resource = $1 AND a.ended_ms IS NULL ORDER BY u.e164";
    KEEP_SECRET = "INSERT INTO digest_secrets (resource, id, issued_s, expires_s, md5, sha256) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (resource, id, sha256) DO NOTHING";
    // What has expired, and all but the newest of one user.
    DROP_SECRETS = "DELETE FROM digest_secrets WHERE expires_s <= $1 OR (resource = $2 AND id = $3 AND sha256 NOT IN \
        (SELECT sha256 FROM digest_secrets WHERE resource = $2 AND id = $3 \
        ORDER BY issued_s DESC, expires_s DESC, sha256 LIMIT $4))";
    SECRETS = "SELECT s.issued_s, s.expires_s, s.md5, s.sha256 FROM digest_secrets s \
        JOIN identities i ON i.resource = s.resource AND i.id = s.id \
        WHERE s.resource = $1 AND s.id = $2 AND s.expires_s > $3 AND s.issued_s * 1000 >= i.tokens_valid_from_ms \
        ORDER BY s.issued_s DESC, s.sha256";
}

/// Whom a number rings at, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RingDocument {
    /// Raw ids of the users.
    pub users: Vec<String>,
    /// Which of them ring at once.
    #[serde(default)]
    pub order: RingOrder,
    /// How long each, or all together, may ring.
    pub ring_secs: u16,
    /// Who is called when none of them takes the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<String>,
}

/// What a token is as the password of a digest. It is as secret as the token; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestSecret {
    /// When the token was issued, in seconds of the Unix epoch.
    pub issued_unix_s: i64,
    /// When it ends.
    pub expires_unix_s: i64,
    /// The MD5 of `user:realm:token`.
    pub md5: Vec<u8>,
    /// The SHA-256 of the same.
    pub sha256: Vec<u8>,
}

impl std::fmt::Debug for DigestSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DigestSecret").field("expires_unix_s", &self.expires_unix_s).finish_non_exhaustive()
    }
}

/// Most tokens of a user that are good as passwords at once: a few for each of its devices. Older ones are good as
/// bearer tokens still.
pub const SECRETS_MAX: u16 = 20;

/// Has calls to a number of a resource ring at users; none of them to take that back.
///
/// # Errors
/// Those of a statement.
pub async fn set_ring(
    db: &mut Connection,
    number: E164,
    resource: Uuid,
    ring: Option<&RingDocument>,
    act: Act<'_>,
) -> Result<(), Error> {
    match ring {
        Some(ring) => {
            db.execute(SET_RING, values![number.to_string(), resource, Value::json(Some(ring))]).await?;
        }
        None => {
            db.execute(CLEAR_RING, values![number.to_string()]).await?;
        }
    }
    db.notify(Topic::Routing);
    let entry = audit::Entry {
        at_unix_ms: act.now_unix_ms,
        actor: act.actor,
        action: "assign users",
        number: Some(number),
        resource: Some(resource),
        transition: None,
        detail: None,
    };
    audit::append(db, &entry).await
}

/// Returns the numbers whose calls ring at users, with their owners, in their order.
///
/// # Errors
/// [`Error::Unreadable`] when a ring is not of the type asked for.
pub async fn rings(db: &mut Connection) -> Result<Vec<(E164, Uuid, RingDocument)>, Error> {
    read_rings(&db.fetch_all(RINGS, values![]).await?)
}

/// Returns the numbers of one resource whose calls ring at users, in their order.
///
/// # Errors
/// As [`rings`].
pub async fn rings_of(db: &mut Connection, resource: Uuid) -> Result<Vec<(E164, Uuid, RingDocument)>, Error> {
    read_rings(&db.fetch_all(RINGS_OF, values![resource]).await?)
}

fn read_rings(rows: &[Row]) -> Result<Vec<(E164, Uuid, RingDocument)>, Error> {
    let mut rings = Vec::new();
    for row in rows {
        // The column is never null.
        if let Some(ring) = row.read_json("ring")? {
            rings.push((row.parse("e164")?, row.read("resource")?, ring));
        }
    }
    Ok(rings)
}

/// Keeps what a new token of a user is as a password, and forgets what nobody can use any more.
///
/// # Errors
/// Those of a statement.
pub async fn keep_secret(
    db: &mut Connection,
    resource: Uuid,
    user: Uuid,
    secret: &DigestSecret,
) -> Result<(), Error> {
    let (md5, sha256) = (secret.md5.as_slice(), secret.sha256.as_slice());
    let values = values![resource, user, secret.issued_unix_s, secret.expires_unix_s, md5, sha256];
    db.execute(KEEP_SECRET, values).await?;
    let values = values![secret.issued_unix_s, resource, user, i64::from(SECRETS_MAX)];
    db.execute(DROP_SECRETS, values).await.map(drop)
}

/// Returns what the tokens of a user are as passwords that are good now, the newest first.
///
/// # Errors
/// Those of a statement.
pub async fn secrets(
    db: &mut Connection,
    resource: Uuid,
    user: Uuid,
    now_unix_s: i64,
) -> Result<Vec<DigestSecret>, Error> {
    db.fetch_all(SECRETS, values![resource, user, now_unix_s]).await?.iter().map(read_secret).collect()
}

fn read_secret(row: &Row) -> Result<DigestSecret, Error> {
    Ok(DigestSecret {
        issued_unix_s: row.read("issued_s")?,
        expires_unix_s: row.read("expires_s")?,
        md5: row.read("md5")?,
        sha256: row.read("sha256")?,
    })
}
