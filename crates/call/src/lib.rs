//! The heart of Trunkline: calls, as a sans-IO back-to-back user agent, and the audio bridge that joins them.
//!
//! Nothing on the call path waits for a database: an immutable [`RoutingTable`] says where calls go, and
//! records of calls are events that the shell writes behind.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod b2bua;
mod bridge;
mod call;
mod command;
mod error;
mod event;
mod explain;
mod leg;
mod limit;
mod port;
mod route;
#[cfg(test)]
mod testing;
mod trunk;

pub use b2bua::{
    B2bua, CallTimer, Config, Input, MediaInterface, MediaSocket, OpenBridge, Output, Timer, UnknownSources,
};
pub use bridge::{Bridge, BridgeConfig, BridgeTimer};
pub use command::{BridgeCommand, Gate};
pub use error::{ConfigError, RouteProblem};
pub use event::{BridgeEvent, BridgeStats, CallEvent, Counts, Side, Totals};
pub use explain::{Admitted, Asked, Criterion, Explain, Refusal, Verdict, decide, explain};
pub use limit::{Limits, TokenBucket};
pub use port::PortPool;
pub use route::{Dialled, NoRoute, Route, RoutingTable, Rule};
pub use trunk::{Behaviour, Choice, HealthChange, TrunkLoad, Trunks};
