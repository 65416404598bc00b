//! Sans-IO browser legs: ICE-lite, DTLS and SRTP over str0m, many browsers on one UDP socket.
//!
//! Offers and answers are made by a [`trunkline_media::MediaSession`] that a [`Site`] makes; what they agree on comes here
//! as a [`DtlsTransport`](trunkline_media::DtlsTransport). A [`Hub`] owns the legs of one socket. What a browser says comes
//! out as plain RTP packets, and plain RTP packets go in: the codecs, reordering, telephone events and statistics are those
//! of a [`trunkline_media::RtpLeg`], which a browser's leg has like any other, with [`BROWSER`](trunkline_media::BROWSER)
//! in place of an address.
//!
//! ```text
//!   UDP socket ──► Hub::handle_datagram ──► poll_rtp ──► RtpLeg::handle_rtp(now, BROWSER, packet) ──► frames
//!              ◄── Hub::poll_transmit ◄── send_rtp ◄── RtpLeg::poll_transmit, RTCP included, which is left out ◄──
//! ```
//!
//! | what happens | what to call |
//! |---|---|
//! | offer and answer are done, for the first time or again | [`Hub::agree`], before the browser is told |
//! | the browser's candidates trickle in | nothing: ICE-lite waits for its checks, wherever they come from |
//! | the call is over | [`Hub::close`] |
//! | [`Event::Lost`] | wait for an ICE restart, which is a new offer of the browser's, or end the call |
//!
//! Nothing in a datagram counts before it is authenticated: checks by the password of the leg that they name, DTLS only from
//! an address that such a check came from, RTP and RTCP by SRTP. What is dropped, [`Hub::handle_datagram`] says
//! with the reason.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod dtls;
mod error;
mod event;
mod hub;
mod leg;
mod queue;
mod site;
mod stun;

pub use dtls::Certificate;
pub use error::Error;
pub use event::{Dropped, Event, Failure, PathQuality};
pub use hub::{Hub, HubConfig};
pub use leg::{CONNECT_MAX, CONSENT_MAX};
pub use queue::Transmit;
pub use site::Site;
