//! Texts: from the store to carriers and back.

mod accounts;
mod batch;
pub(crate) mod carrier;
mod ended;
pub(crate) mod engine;
pub(crate) mod explain;
mod housekeeping;
pub(crate) mod http_carrier;
mod law;
mod locality;
mod receive;
pub(crate) mod server;
mod smpp;
