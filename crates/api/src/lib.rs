//! The REST plane: identity, phone numbers, SIP routing and texts, in the shapes that the clients of Azure
//! Communication Services send and expect.
//!
//! [`router`] makes an [`axum::Router`] and knows nothing of sockets or TLS. A request goes straight through:
//! `path` finds its operation on the raw path, `auth` its tenant, `version` checks `api-version`, and the
//! operation's handler gets all of it as one `call::Call`. Every refusal is an [`ApiError`].

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic))]

mod auth;
mod call;
mod console;
mod dispatch;
mod error;
mod event_subscriptions;
mod headers;
mod identity;
pub mod keys;
mod limits;
mod openapi;
mod openid;
mod operation;
mod page;
mod path;
mod phone_numbers;
mod relay;
pub mod sip_routing;
mod sms;
mod state;
mod tenants;
mod timestamp;
pub mod token;
mod version;

pub use auth::profile;
pub use console::{LiveCall, LiveCalls};
pub use dispatch::{OperationId, router};
pub use error::ApiError;
pub use event_subscriptions::validation_url;
pub use identity::{Caller, new_caller};
pub use limits::{Rate, Rates};
pub use phone_numbers::Upkeep;
pub use relay::RelaySettings;
pub use sms::SmsSettings;
pub use state::{Clock, Environment, Settings, State};
pub use timestamp::iso8601;
