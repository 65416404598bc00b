//! Sans-IO SMS: alphabets, segments, receipts, SMPP 3.4 sessions of both roles, router, opt-outs.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod bucket;
pub mod civil;
pub mod frame;
pub mod gate;
pub mod inbound;
pub mod opt_out;
pub mod party;
pub mod pdu;
pub mod queue;
pub mod quiet;
pub mod receipt;
pub mod retry;
pub mod router;
pub mod segment;
pub mod session;
pub mod status;
pub mod text;
