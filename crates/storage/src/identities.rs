//! Communication users and the keys that sign their tokens.

use crate::db::{Connection, Row, Topic, statements, values};
use crate::error::Error;
use crate::resources::Secret;
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO identities (resource, id, created_ms, tokens_valid_from_ms) VALUES ($1, $2, $3, $3)";
    TOKENS_VALID_FROM = "SELECT tokens_valid_from_ms FROM identities WHERE resource = $1 AND id = $2";
    // Never backwards, or an older request that comes late would bring revoked tokens back.
    REVOKE = "UPDATE identities SET tokens_valid_from_ms = $3 \
        WHERE resource = $1 AND id = $2 AND tokens_valid_from_ms <= $3";
    DELETE = "DELETE FROM identities WHERE resource = $1 AND id = $2";
    INSERT_KEY = "INSERT INTO signing_keys (id, algorithm, private_key, created_ms) VALUES ($1, $2, $3, $4)";
    KEYS = "SELECT * FROM signing_keys ORDER BY created_ms DESC, id";
    RETIRE_KEY = "UPDATE signing_keys SET retired_ms = $2 WHERE id = $1 AND retired_ms IS NULL";
    DELETE_KEY = "DELETE FROM signing_keys WHERE id = $1 AND retired_ms IS NOT NULL";
}

/// A key that signs user access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name in tokens and in the key set.
    pub id: String,
    /// `ES256`, `RS256`.
    pub algorithm: String,
    /// The private key as its algorithm writes it.
    pub private_key: Secret,
    /// When it was made.
    pub created_unix_ms: i64,
    /// Since when it signs no more.
    pub retired_unix_ms: Option<i64>,
}

/// Keeps a new user, whose tokens are valid from now on.
///
/// # Errors
/// [`Error::Duplicate`] when there is one with this id.
pub async fn insert(db: &mut Connection, resource: Uuid, id: Uuid, now_unix_ms: i64) -> Result<(), Error> {
    db.execute(INSERT, values![resource, id, now_unix_ms]).await.map(drop)
}

/// Returns since when a user's tokens are valid: those issued before are revoked. None when there is no such
/// user, whose tokens are all revoked.
///
/// # Errors
/// Those of a statement.
pub async fn tokens_valid_from(db: &mut Connection, resource: Uuid, id: Uuid) -> Result<Option<i64>, Error> {
    let row = db.fetch_optional(TOKENS_VALID_FROM, values![resource, id]).await?;
    row.map(|row| row.read("tokens_valid_from_ms")).transpose()
}

/// Revokes the tokens issued before a time. Returns false when there is no such user, or its tokens are valid
/// only from a later time already.
///
/// # Errors
/// Those of a statement.
pub async fn revoke(
    db: &mut Connection,
    resource: Uuid,
    id: Uuid,
    valid_from_unix_ms: i64,
) -> Result<bool, Error> {
    db.notify(Topic::Resources);
    Ok(db.execute(REVOKE, values![resource, id, valid_from_unix_ms]).await? == 1)
}

/// Removes a user. Returns false when there is no such user.
///
/// # Errors
/// Those of a statement.
pub async fn delete(db: &mut Connection, resource: Uuid, id: Uuid) -> Result<bool, Error> {
    db.notify(Topic::Resources);
    Ok(db.execute(DELETE, values![resource, id]).await? == 1)
}

/// Keeps a new signing key.
///
/// # Errors
/// [`Error::Duplicate`] when there is one with this id.
pub async fn insert_key(db: &mut Connection, key: &StoredKey) -> Result<(), Error> {
    let private = key.private_key.0.as_slice();
    db.notify(Topic::Resources);
    let values = values![key.id.as_str(), key.algorithm.as_str(), private, key.created_unix_ms];
    db.execute(INSERT_KEY, values).await.map(drop)
}

/// Returns every signing key, the newest first: the first that is not retired signs.
///
/// # Errors
/// Those of a statement.
pub async fn keys(db: &mut Connection) -> Result<Vec<StoredKey>, Error> {
    db.fetch_all(KEYS, values![]).await?.iter().map(read_key).collect()
}

/// Lets a key sign no more; what it signed stays valid. Returns false when there is no such key in use.
///
/// # Errors
/// Those of a statement.
pub async fn retire_key(db: &mut Connection, id: &str, now_unix_ms: i64) -> Result<bool, Error> {
    db.notify(Topic::Resources);
    Ok(db.execute(RETIRE_KEY, values![id, now_unix_ms]).await? == 1)
}

/// Removes a retired key, and with it the validity of what it signed. Returns false when there is none.
///
/// # Errors
/// Those of a statement.
pub async fn delete_key(db: &mut Connection, id: &str) -> Result<bool, Error> {
    db.notify(Topic::Resources);
    Ok(db.execute(DELETE_KEY, values![id]).await? == 1)
}

fn read_key(row: &Row) -> Result<StoredKey, Error> {
    Ok(StoredKey {
        id: row.read("id")?,
        algorithm: row.read("algorithm")?,
        private_key: Secret(row.read("private_key")?),
        created_unix_ms: row.read("created_ms")?,
        retired_unix_ms: row.read("retired_ms")?,
    })
}
