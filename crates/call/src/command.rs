//! What a bridge on a media worker may be told.

use crate::event::Side;
use ipnet::IpNet;
use std::time::Duration;
use trunkline_media::{DigitTiming, DtlsTransport, Negotiated};

/// A change to a bridge that is running.
#[derive(Debug, Clone, PartialEq)]
pub enum BridgeCommand {
    /// Media of one side is agreed, or agreed anew.
    Negotiated {
        /// The side.
        side: Side,
        /// What was agreed with it.
        negotiated: Negotiated,
    },
    /// The path to a side that is a browser is agreed, or agreed anew. Comes before what is [`Negotiated`](Self::Negotiated)
    /// with it.
    Browser {
        /// The side.
        side: Side,
        /// What was agreed on.
        transport: Box<DtlsTransport>,
    },
    /// A side is to be spoken with anew, by another peer: another gateway was tried.
    NewLeg {
        /// The side.
        side: Side,
        /// Networks that its RTP source may be latched from.
        latch: Vec<IpNet>,
    },
    /// Digits are to be sent to a side, as telephone events or as tones: its other side said them by signalling.
    Digits {
        /// The side.
        side: Side,
        /// The digits.
        digits: String,
        /// How long each sounds.
        timing: DigitTiming,
    },
    /// What may cross.
    Gate(Gate),
    /// How long both sides may be silent while nobody is on hold; none for ever.
    SilenceMax(Option<Duration>),
}

/// What may cross a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Gate {
    /// Nothing.
    #[default]
    Closed,
    /// From the callee to the caller only: announcements and ringback before the answer.
    ///
    /// Nothing of the caller goes out before the answer: an unanswered call costs nothing, and must not be one.
    Early,
    /// Everything that the directions allow.
    Open,
}

impl Gate {
    /// Whether what comes from that side may cross.
    pub fn lets_through(self, from: Side) -> bool {
        match (self, from) {
            (Self::Closed, _) | (Self::Early, Side::Caller) => false,
            (Self::Early, Side::Callee) | (Self::Open, _) => true,
        }
    }
}
