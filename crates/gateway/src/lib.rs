//! The binary: sockets, tasks, configuration and command line.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod app;
mod authenticator;
mod call;
pub mod cli;
pub mod config;
mod dns;
mod endpoint;
mod events;
mod http_client;
mod https;
mod journal;
mod live;
pub mod log;
mod media_worker;
pub mod metrics;
mod net;
mod operator;
mod routing;
mod rules;
mod sandbox;
mod signalling;
mod sms;
mod trunk_list;
mod trunk_match;

pub use call::call;
pub use operator::{billing, events, number, resource, sms};
pub use sandbox::sandbox;
pub use trunk_list::trunk_list;
pub use trunk_match::trunk_match;
