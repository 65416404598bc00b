//! Whose user token it is, and whether it still counts.

use crate::keys;
use crate::state::State;
use trunkline_identity::{Claims, InvalidToken, VerifyingKey};
use trunkline_storage::{Error, identities, resources};

/// Why a user token does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefused {
    /// It cannot be read, is not ours, or its time is over.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// It was issued before the user's tokens were revoked, or the user was deleted.
    #[error("the token was revoked")]
    Revoked,
    /// The resource of the user is suspended or gone.
    #[error("the resource of the user may not act")]
    ResourceInactive,
    /// Nobody can say.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Returns what a user token says, if one of our keys signed it, its time is not over, and neither it nor its
/// user nor their resource was called back since.
///
/// # Errors
/// See [`TokenRefused`].
pub async fn verify(state: &State, token: &str) -> Result<Claims, TokenRefused> {
    let now = state.now_unix_ms().div_euclid(1000);
    let keys = keys::current(state).await?;
    let claims = match VerifyingKey::verify(&keys.verifying, token, now) {
        // Another program may have made the key since.
        Err(InvalidToken::UnknownKey) => {
            VerifyingKey::verify(&keys::refresh(state).await?.verifying, token, now)?
        }
        result => result?,
    };
    let mut db = state.store.read().await?;
    let resource = claims.user.resource.0;
    let record = resources::by_id(&mut db, resource).await?;
    if record.is_none_or(|record| record.suspended_unix_ms.is_some()) {
        return Err(TokenRefused::ResourceInactive);
    }
    let valid_from = identities::tokens_valid_from(&mut db, resource, claims.user.user).await?;
    match valid_from {
        Some(valid_from) if claims.issued.saturating_mul(1000) >= valid_from => Ok(claims),
        Some(_) | None => Err(TokenRefused::Revoked),
    }
}
