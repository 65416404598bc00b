//! Users as apps have them: JsSIP, unmodified, over secure WebSocket against the shipped binary; SIPp is the carrier.
//!
//! It runs in Node, so its media are words alone: what is agreed on, not what is heard.

#[path = "users/jssip.rs"]
mod jssip;
#[path = "users/place.rs"]
#[allow(dead_code, reason = "the tests of browsers use all of it")]
mod place;
#[path = "acs/wire.rs"]
#[allow(dead_code, reason = "the tests of the REST plane use all of it")]
mod wire;
