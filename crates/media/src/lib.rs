//! Sans-IO audio: RTP and RTCP, G.711, telephone events, SDP and offer/answer.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod dtmf;
pub mod error;
pub mod frame;
pub mod g711;
mod jitter;
pub mod leg;
pub mod negotiated;
pub mod offer;
pub mod play;
pub mod record;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod stats;
pub mod tone;
pub mod transcode;
pub mod wav;

pub use dtmf::{DigitTiming, DigitsRefused, Event, EventPhase, EventUpdate};
pub use frame::{Frame, FrameBody, StreamId};
pub use leg::{Channel, LegConfig, LegTimer, RtpLeg, Transmit};
pub use negotiated::{Direction, Negotiated, Payload, PayloadMap};
pub use offer::{Accepted, Local, MediaSession, OfferView, Wish};
pub use play::{Player, Sound};
pub use record::Recorder;
pub use sdp::Sdp;
pub use stats::LegStats;
