//! Sans-IO audio: RTP and RTCP, G.711 and Opus, telephone events, SDP and offer/answer.
//!
//! # Session descriptions
//!
//! A leg has one [`MediaSession`]: it makes offers, answers them and reads answers (RFC 3264), and says in
//! [`Negotiated`] what its RTP leg then sends, takes, and whereto.
//!
//! ```
//! use trunkline_media::{Direction, Local, MediaSession, Wish};
//! use trunkline_model::{Codec, MediaPolicy};
//!
//! let policy = MediaPolicy::default();
//! let mut caller = MediaSession::new(Local::new("192.0.2.1".parse().unwrap(), 20000, &policy), 1);
//! let mut callee = MediaSession::new(Local::new("192.0.2.2".parse().unwrap(), 30000, &policy), 2);
//!
//! let offer = caller.offer(Wish::default());
//! let answer = callee.answer_to(&offer, Wish { prefer: Some(Codec::Pcma), ..Wish::default() }).unwrap();
//! caller.accept_answer(&answer).unwrap();
//! assert_eq!(caller.negotiated().unwrap().send.audio(), Some((8, Codec::Pcma)));
//!
//! let hold = caller.offer(Wish { direction: Direction::SendOnly, prefer: None });
//! callee.answer_to(&hold, Wish::default()).unwrap();
//! assert_eq!(callee.negotiated().unwrap().direction, Direction::RecvOnly);
//! ```
//!
//! | what happens in SIP | what to call |
//! |---|---|
//! | INVITE, re-INVITE or UPDATE goes out | [`offer`](MediaSession::offer); its answer to [`accept_answer`](MediaSession::accept_answer) |
//! | an offer comes in | [`answer_to`](MediaSession::answer_to), after [`read_offer`](MediaSession::read_offer) if another leg is to be asked first |
//! | an INVITE or re-INVITE without an offer comes in | [`offer`](MediaSession::offer) for the 200 or reliable 18x; the answer is in the ACK or PRACK |
//! | the 200 after a 183 that held our answer | [`standing`](MediaSession::standing): the same bytes |
//! | a session refresh (RFC 4028) goes out | [`refresh`](MediaSession::refresh) |
//! | our offer got a final response that is no 2xx | [`rollback`](MediaSession::rollback) |
//! | a response comes from another fork | a clone of the session as it was when the offer was made |
//! | an offer cannot be used | [`offer::Error::status`] and [`offer::Error::warning`] |
//!
//! Hold goes through a bridge by [`peer_direction`](MediaSession::peer_direction): what one leg's peer wants, the
//! other leg wishes for.

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
pub mod opus;
pub mod play;
pub mod record;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod shed;
pub mod stats;
pub mod tone;
mod transcode;
pub mod wav;

pub use dtmf::{DigitTiming, DigitsRefused, Event, EventPhase, EventUpdate};
pub use frame::{ClockRate, Frame, FrameBody, StreamId};
pub use g711::Law;
pub use leg::{Channel, LegConfig, LegTimer, RtpLeg, Transmit};
pub use negotiated::{Direction, Negotiated, Payload, PayloadMap};
pub use offer::{Accepted, Local, MediaSession, OfferView, Wish};
pub use offer::{BROWSER, DtlsEnd, DtlsRole, DtlsTransport, Fingerprint, IceCredentials, LOCAL_UFRAG_CHARS};
pub use play::{Player, Sound};
pub use record::Recorder;
pub use sdp::Sdp;
pub use shed::ComplexityGovernor;
pub use stats::LegStats;
