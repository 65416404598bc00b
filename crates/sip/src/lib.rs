//! Sans-IO SIP user agent: message layer, transactions, dialogs, INVITE sessions.
//!
//! A [`UserAgent`] owns no socket and no clock. Its owner hands in what came ([`Input`]), the time, and commands;
//! then polls what to do ([`Output`]) until there is nothing, and reads when to call again:
//!
//! ```
//! use std::time::Instant;
//! use trunkline_sip::user_agent::{Config, Event, Headers, Input, Output, Reply};
//! use trunkline_sip::{UserAgent, transport::Flow};
//!
//! /// Answers every call with one description.
//! fn receive(ua: &mut UserAgent, now: Instant, flow: Flow, bytes: bytes::Bytes, sdp: &bytes::Bytes) {
//!     ua.handle_input(now, Input::Received { flow, bytes });
//!     while let Some(output) = ua.poll_output() {
//!         match output {
//!             Output::Transmit(transmit) => println!("send {} bytes to {:?}", transmit.bytes.len(), transmit.target),
//!             Output::Resolve { host, .. } => println!("look up {host}, then hand in Input::Resolved"),
//!             Output::Event(Event::Incoming { session, .. }) => {
//!                 // 100 has been sent already.
//!                 let _ = ua.progress(now, session, Reply::new(180));
//!                 let _ = ua.accept(now, session, Headers::new(), Some(sdp.clone()));
//!             }
//!             Output::Event(event) => println!("{event:?}"),
//!         }
//!     }
//!     if let Some((at, timer)) = ua.poll_timeout() {
//!         println!("call handle_timeout in {:?} for timer {timer:?}", at - now);
//!     }
//! }
//! ```
//!
//! What the owner can rely on:
//!
//! - A session ([`SessionId`]) is one INVITE of ours with all its forks, or one of a peer's. It ends with exactly one
//!   [`Event::Failed`] or [`Event::Ended`]; after that its id is dead, and what the peer still has to be told (CANCEL
//!   held back, ACK and BYE of a 2xx that crossed, retransmissions) is done in silence. `hangup` and `reject` bring
//!   `Ended` at once.
//! - Session descriptions are opaque. The user agent says which role one has ([`Body`]) and refuses what RFC 3261 §14,
//!   3262, 3264 and 3311 do not allow; what stands in it is the owner's business.
//! - Whether a 18x is sent reliably follows from the [`Profile`] and from what the peer supports: with
//!   `Reliability::Supported` it is if it holds a description, or if the peer requires it.
//! - `reinvite` and `update` wait by themselves for an ACK or for a change of the peer's. 491 is tried again after the
//!   waits of RFC 3261 §14.1, unless the peer changed the session meanwhile: then [`Failure::Superseded`] says that
//!   the offer is out of date.
//! - No change lasts for ever: a `reinvite` that gets a provisional response and no final one within 64·T1 is
//!   cancelled, and has failed after as long again; a change of the peer's that the owner does not answer gets 504
//!   in time and [`Event::ChangeCancelled`].
//! - Requests of methods that [`Config`] does not list get 405, those of methods that no standard here names 501.
//!   OPTIONS that it does not list gets 200.
//! - Every new INVITE that is answered brings [`Event::Incoming`] or, if it is refused before, [`Event::Refused`]. What
//!   cannot be answered is counted and dropped.
//!
//! | concern | module |
//! |---|---|
//! | requests and responses over one `Bytes` | [`message`], [`header`], [`uri`], [`body`] |
//! | messages out of a byte stream | [`framing`] |
//! | the root machine, its configuration, inputs, outputs and commands | [`user_agent`] |
//! | INVITE sessions | `invite` |
//! | dialogs | `dialog` |
//! | transactions (RFC 3261 §17, RFC 6026) | `transaction` |
//! | timers by their letter | [`timer`] |
//! | the way of messages and the way back of responses | [`transport`] |
//! | RFC 3263 as question and answer | [`resolve`] |
//! | where users can be reached (RFC 3261 §10, RFC 5626) | [`registrar`] |
//! | challenges and credentials | [`auth`] |
//!
//! [`Input`]: user_agent::Input
//! [`Output`]: user_agent::Output
//! [`SessionId`]: user_agent::SessionId
//! [`Event::Failed`]: user_agent::Event::Failed
//! [`Event::Ended`]: user_agent::Event::Ended
//! [`Event::Incoming`]: user_agent::Event::Incoming
//! [`Event::Refused`]: user_agent::Event::Refused
//! [`Event::ChangeCancelled`]: user_agent::Event::ChangeCancelled
//! [`Body`]: user_agent::Body
//! [`Profile`]: user_agent::Profile
//! [`Failure::Superseded`]: user_agent::Failure::Superseded
//! [`Config`]: user_agent::Config
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

// The message layer.
pub mod body;
pub mod framing;
#[doc(hidden)]
pub mod fuzzing;
pub mod header;
pub mod message;
pub mod method;
pub mod status;
pub mod uri;

// The user agent.
pub mod auth;
pub mod error;
pub mod registrar;
pub mod resolve;
pub mod timer;
pub mod transport;
pub mod user_agent;

mod dialog;
mod invite;
mod scan;
mod transaction;

pub use error::Error;
pub use timer::{Timer, TimerValues};
pub use user_agent::UserAgent;
