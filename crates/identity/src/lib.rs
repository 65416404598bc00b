//! Who is asking: resources, access keys, request signatures, user tokens, relay credentials.
//!
//! Pure functions over values. The time is an argument (seconds since the Unix epoch), and so is randomness
//! where a value must be repeatable; keys are drawn from the operating system.
//!
//! - [`signature`] verifies the HMAC-SHA256 request signature of the ACS clients, in every canonical form
//!   that a shipped client signs.
//! - [`token`] issues and verifies user access tokens (JWT, ES256) and prints the key set document.
//! - [`resource`] holds a tenant's id, its access keys and its connection string.
//! - [`user`] is the raw id of a communication user, `8:acs:{resource}_{user}`.
//! - [`relay`] makes the expiring credentials of a TURN server.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic))]

pub mod relay;
pub mod resource;
pub mod signature;
pub mod token;
pub mod user;

pub use relay::RelayCredential;
pub use resource::{AccessKey, ConnectionString, ResourceId};
pub use signature::{Refusal, SignedRequest};
pub use token::{Claims, DIGEST_REALM, DigestSecrets, InvalidToken, Scope, SigningKey, VerifyingKey};
pub use user::{InvalidUserId, UserId};
