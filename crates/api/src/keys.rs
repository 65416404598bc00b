//! The keys that sign user tokens: kept in storage, shared by every program on it, rotated by the operator.

use crate::state::State;
use std::sync::Arc;
use trunkline_identity::{SigningKey, VerifyingKey};
use trunkline_storage::identities::{self, StoredKey};
use trunkline_storage::resources::Secret;
use trunkline_storage::{Connection, Error, Store};
use uuid::Uuid;

/// The keys as they were last read.
pub(crate) struct KeySet {
    /// Signs.
    pub(crate) signing: SigningKey,
    /// Verify: the one that signs, and those that signed what may still be valid.
    pub(crate) verifying: Vec<VerifyingKey>,
    read_unix_ms: i64,
}

/// How long the keys are used as they were last read: after a rotation the old one signs for so long.
const KEYS_FRESH_MS: i64 = 5_000;

/// How long a retired key is kept: longer than the longest token lives (24 h).
const RETIRED_KEPT_MS: i64 = 25 * 3_600_000;

/// Returns the keys, after making one if there is none yet.
///
/// # Errors
/// Those of a unit.
pub(crate) async fn current(state: &State) -> Result<Arc<KeySet>, Error> {
    let now_unix_ms = state.now_unix_ms();
    if let Some(keys) = state.keys.load_full()
        && (now_unix_ms - keys.read_unix_ms).abs() < KEYS_FRESH_MS
    {
        return Ok(keys);
    }
    refresh(state).await
}

/// Reads the keys again, for a token that names one not known.
///
/// # Errors
/// Those of a unit.
pub(crate) async fn refresh(state: &State) -> Result<Arc<KeySet>, Error> {
    let now_unix_ms = state.now_unix_ms();
    let mut db = state.store.read().await?;
    let stored = identities::keys(&mut db).await?;
    drop(db);
    let keys = match KeySet::of(&stored, now_unix_ms) {
        Some(keys) => keys,
        None => {
            let made = state.store.write(move |db| Box::pin(first(db, now_unix_ms))).await?;
            KeySet::of(&made, now_unix_ms).ok_or(Error::Undone)?
        }
    };
    let keys = Arc::new(keys);
    state.keys.store(Some(keys.clone()));
    Ok(keys)
}

/// Makes a new key that signs from now on. What the old ones signed stays valid until it expires.
///
/// # Errors
/// Those of a unit.
pub async fn rotate(store: &Store, now_unix_ms: i64) -> Result<String, Error> {
    store
        .write(move |db| {
            Box::pin(async move {
                for key in identities::keys(db).await? {
                    match key.retired_unix_ms {
                        None => drop(identities::retire_key(db, &key.id, now_unix_ms).await?),
                        Some(retired) if now_unix_ms - retired > RETIRED_KEPT_MS => {
                            identities::delete_key(db, &key.id).await?;
                        }
                        Some(_) => {}
                    }
                }
                insert(db, now_unix_ms).await
            })
        })
        .await
}

/// Makes the first key, unless another program just did.
async fn first(db: &mut Connection, now_unix_ms: i64) -> Result<Vec<StoredKey>, Error> {
    if identities::keys(db).await?.iter().all(|key| key.retired_unix_ms.is_some()) {
        insert(db, now_unix_ms).await?;
    }
    identities::keys(db).await
}

async fn insert(db: &mut Connection, now_unix_ms: i64) -> Result<String, Error> {
    let id = Uuid::new_v4().simple().to_string();
    let key = StoredKey {
        id: id.clone(),
        algorithm: ES256.to_owned(),
        private_key: Secret(SigningKey::generate(id.clone()).to_pkcs8().to_vec()),
        created_unix_ms: now_unix_ms,
        retired_unix_ms: None,
    };
    identities::insert_key(db, &key).await?;
    Ok(id)
}

impl KeySet {
    /// Reads the keys of storage, newest first; none when there is none that signs.
    fn of(stored: &[StoredKey], read_unix_ms: i64) -> Option<Self> {
        let mut signing = None;
        let mut verifying = Vec::new();
        for key in stored.iter().filter(|key| key.algorithm == ES256) {
            let Ok(pair) = SigningKey::from_pkcs8(key.id.clone(), &key.private_key.0) else {
                tracing::error!(key = %key.id, "a signing key cannot be read");
                continue;
            };
            verifying.push(pair.verifying_key());
            if key.retired_unix_ms.is_none() && signing.is_none() {
                signing = Some(pair);
            }
        }
        Some(Self { signing: signing?, verifying, read_unix_ms })
    }
}

const ES256: &str = "ES256";
