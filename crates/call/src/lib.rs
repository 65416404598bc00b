//! The heart of Trunkline: calls, as a sans-IO back-to-back user agent, and the audio bridge that joins them.
//!
//! Nothing on the call path waits for a database: an immutable [`RoutingTable`] says where calls go, and
//! records of calls are events that the shell writes behind.
//!
//! [`B2bua`] is driven by one task: hand in what came from the network or from a media worker, drain, sleep:
//!
//! ```
//! # use std::time::Instant;
//! # use trunkline_call::{B2bua, Input, Output};
//! # fn act(_: Output) {}
//! fn step(b2bua: &mut B2bua, now: Instant, input: Option<Input>) -> Option<Instant> {
//!     match input {
//!         Some(input) => b2bua.handle_input(now, input),
//!         None => b2bua.handle_timeout(now),
//!     }
//!     while let Some(output) = b2bua.poll_output() {
//!         act(output);
//!     }
//!     b2bua.poll_timeout().map(|(at, _timer)| at)
//! }
//! ```
//!
//! [`Bridge`] is given away to a media worker by [`Output::OpenBridge`] and driven there in the same way.
//!
//! | what | module |
//! |---|---|
//! | the root: user agent, calls, trunks, routes | `b2bua` |
//! | users: who sends what comes by WebSocket, registrations, texts | `b2bua::users`, `user_call`, `user_request` |
//! | one call: attempts, users that ring, answer, changes, end | `call` |
//! | one leg's session and media | `leg` |
//! | the data plane | `bridge` |
//! | where calls go | `route` |
//! | caps and health of trunks | `trunk` |
//! | why a call is let in or not | `explain` |
//! | limits of the node | `limit` |
//! | RTP ports | `port` |
//! | what is told, and what a bridge is told | `event`, `command` |

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
    B2bua, CallTimer, Config, Finding, Granted, Input, MediaInterface, MediaSocket, OpenBridge, Output,
    Question, QuestionId, REALM, Timer, UnknownSources,
};
pub use bridge::{Bridge, BridgeConfig, BridgeTimer};
pub use command::{BridgeCommand, Gate};
pub use error::{ConfigError, RouteProblem};
pub use event::{BridgeEvent, BridgeStats, CallEvent, Counts, Side, Totals};
pub use explain::{Admitted, Asked, Criterion, Explain, Refusal, Verdict, decide, explain};
pub use limit::Limits;
pub use route::{
    Called, Dialled, Identity, NoRoute, NumberRoute, ResourceRoutes, RingStep, Route, RoutingTable, Rule,
    Tenant, USERS,
};
pub use trunk::{TrunkLoad, Trunks};
