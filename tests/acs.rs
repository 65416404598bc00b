//! The REST plane as apps use it: the official Python and JavaScript clients, unmodified, against the shipped binary
//! over HTTPS; its rules against an independent oracle; its purchases through crashes; its signatures bit by bit.

#[path = "acs/buyers.rs"]
mod buyers;
#[path = "acs/clients.rs"]
mod clients;
#[path = "../crates/storage/tests/store/database.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests of storage use all of it")]
mod database;
#[path = "acs/edge.rs"]
mod edge;
#[path = "acs/openapi.rs"]
mod openapi;
#[path = "acs/oracle.rs"]
mod oracle;
#[path = "acs/signatures.rs"]
mod signatures;
#[path = "acs/wire.rs"]
mod wire;
