//! What a bridge on a media worker may be told.

use crate::event::Side;
use trunkline_media::Negotiated;

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
    /// What may cross.
    Gate(Gate),
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
