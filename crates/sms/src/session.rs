//! SMPP 3.4 sessions, sans-IO: ours at a carrier ([`Client`]) and a customer's at ours ([`Server`]).

pub mod accounts;
pub mod backoff;
pub mod client;
pub mod deliver;
mod link;
pub mod server;
pub mod submit;
pub mod time;

pub use client::{Client, ClientConfig};
pub use link::{Counters, End, Timers};
pub use server::{Server, ServerConfig};

/// Names a request of the peer's until it is answered; it is of no use after the session that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckToken {
    session: u64,
    serial: u64,
}
