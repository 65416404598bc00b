//! Why an offer or an answer cannot be used, and what to tell the peer.

use crate::sdp::ParseError;

/// Why an offer or an answer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no session description.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// It has no audio line.
    #[error("no audio line")]
    NoAudio,
    /// Its audio has port 0.
    #[error("audio is refused with port 0")]
    Refused,
    /// Its audio has a transport that we do not do on this leg, such as SRTP or DTLS.
    #[error("audio transport is not supported")]
    Transport,
    /// Its audio has no ICE credentials.
    #[error("no ICE credentials")]
    Ice,
    /// Its audio has no fingerprint of a certificate that we can check: SHA-256.
    #[error("no SHA-256 fingerprint")]
    Fingerprint,
    /// Its audio wants a second port for RTCP.
    #[error("RTCP is not multiplexed")]
    RtcpMux,
    /// Its audio has no address that we can send to from ours: other family, a name, or none.
    #[error("media address cannot be used")]
    Address,
    /// Its audio goes to a multicast or broadcast address.
    #[error("media address is not unicast")]
    Multicast,
    /// No codec of it is allowed on this leg.
    #[error("no common codec")]
    NoCodec,
    /// An answer without as many media lines as the offer.
    #[error("answer has {answered} media lines, offer has {offered}")]
    LineCount {
        /// How many were offered.
        offered: usize,
        /// How many were answered.
        answered: usize,
    },
    /// An answer whose media line is of another type than the offer's.
    #[error("answer changes the type of a media line")]
    LineMismatch,
    /// An answer came, but we made no offer.
    #[error("answer without an offer")]
    NoOffer,
    /// An offer came while ours waits for its answer.
    #[error("an offer of ours is pending")]
    OfferPending,
}

impl Error {
    /// Returns the status that refuses an offer for this reason.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            // RFC 3261 §14.2.
            Self::OfferPending => 491,
            // RFC 3261 §13.3.1.3.
            Self::NoAudio
            | Self::Refused
            | Self::Transport
            | Self::Ice
            | Self::Fingerprint
            | Self::RtcpMux
            | Self::Address
            | Self::Multicast
            | Self::NoCodec
            | Self::LineCount { .. }
            | Self::LineMismatch
            | Self::NoOffer => 488,
        }
    }

    /// Returns the code and text of the Warning to send along (RFC 3261 §20.43).
    pub fn warning(&self) -> (u16, &'static str) {
        match self {
            Self::Malformed(error) => error.warning(),
            Self::NoAudio | Self::Refused => (304, "Media type not available"),
            Self::Transport | Self::Ice | Self::Fingerprint | Self::RtcpMux => {
                (302, "Incompatible transport protocol")
            }
            Self::Address => (301, "Incompatible network address formats"),
            Self::Multicast => (330, "Multicast not available"),
            Self::NoCodec => (305, "Incompatible media format"),
            Self::LineCount { .. } | Self::LineMismatch => (399, "Answer does not match the offer"),
            Self::NoOffer => (399, "Answer without an offer"),
            Self::OfferPending => (399, "Another offer is pending"),
        }
    }
}
