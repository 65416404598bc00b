//! Sans-IO audio: RTP and RTCP, G.711, telephone events, SDP and offer/answer.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod negotiated;
pub mod offer;
pub mod sdp;

pub use negotiated::{Direction, Negotiated, Payload, PayloadMap};
pub use offer::{Accepted, Local, MediaSession, OfferView, Wish};
pub use sdp::Sdp;
