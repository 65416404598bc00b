//! Sans-IO SIP user agent: message layer, transactions, dialogs, INVITE sessions.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

// The message layer.
pub mod body;
pub mod framing;
pub mod header;
pub mod message;
pub mod method;
pub mod status;
pub mod uri;
