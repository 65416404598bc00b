//! Sans-IO SIP user agent: message layer, transactions, dialogs, INVITE sessions.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

// The message layer.
pub mod body;
pub mod framing;
#[doc(hidden)]
pub mod fuzzing;
pub mod header;
pub mod message;
pub mod method;
pub mod status;
pub mod uri;

// The user agent.
pub mod error;
pub mod resolve;
pub mod timer;
pub mod transport;
pub mod user_agent;

mod dialog;
mod invite;
mod transaction;

pub use error::Error;
pub use timer::{Timer, TimerValues};
pub use user_agent::UserAgent;
