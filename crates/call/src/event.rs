//! What this crate tells: about calls, trunks and bridges.

use crate::explain::{Explain, Hidden};
use std::fmt;
use trunkline_media::Direction;
use trunkline_model::{CallId, CallRecord, Gateway, LegQuality, TrunkId};

/// One of the two sides of a call and of its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The side that placed the call.
    Caller,
    /// The side that is called.
    Callee,
}

impl Side {
    /// Both, the caller first.
    pub const BOTH: [Self; 2] = [Self::Caller, Self::Callee];

    /// Returns the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// Something happened that an operator, a customer or a record should know of. `Debug` hides the numbers.
#[derive(Clone, PartialEq)]
pub enum CallEvent {
    /// A call was let in.
    Started {
        /// The call.
        call: CallId,
        /// The trunk it came from.
        trunk: TrunkId,
        /// The user part of From, as received.
        from: String,
        /// The user part of the request URI, as received.
        to: String,
    },
    /// A call was not let in; its [`Ended`](Self::Ended) follows.
    Refused {
        /// The call.
        call: CallId,
        /// Every trunk and the first criterion it failed.
        explain: Box<Explain>,
        /// The status it was refused with.
        status: u16,
    },
    /// An INVITE goes out to a gateway.
    Attempt {
        /// The call.
        call: CallId,
        /// The trunk it goes out on.
        trunk: TrunkId,
        /// The gateway.
        gateway: Gateway,
        /// 1 for the first gateway tried, and so on.
        attempt: u16,
    },
    /// A gateway did not take the call.
    AttemptFailed {
        /// The call.
        call: CallId,
        /// The trunk it went out on.
        trunk: TrunkId,
        /// The gateway.
        gateway: Gateway,
        /// The status it answered, or that its silence or the broken transport stands for (408, 503).
        status: u16,
        /// Whether another gateway is tried.
        moves_on: bool,
    },
    /// The callee is being alerted.
    Ringing {
        /// The call.
        call: CallId,
        /// Whether the caller hears the callee's early media.
        early_media: bool,
    },
    /// The callee has answered.
    Answered {
        /// The call.
        call: CallId,
    },
    /// The first RTP packet of a side has come.
    MediaStarted {
        /// The call.
        call: CallId,
        /// The side that sent it.
        side: Side,
    },
    /// A side has put the other on hold, or taken it back.
    DirectionChanged {
        /// The call.
        call: CallId,
        /// The side that asked.
        side: Side,
        /// What that side does now.
        direction: Direction,
    },
    /// A call is over. Exactly one for every [`Started`](Self::Started) and every [`Refused`](Self::Refused).
    Ended {
        /// What is kept about it.
        record: Box<CallRecord>,
    },
    /// A gateway is taken out of use.
    GatewayDown {
        /// Its trunk.
        trunk: TrunkId,
        /// The gateway.
        gateway: Gateway,
        /// How many gateways of the trunk are left.
        up_left: usize,
    },
    /// A gateway is back in use.
    GatewayUp {
        /// Its trunk.
        trunk: TrunkId,
        /// The gateway.
        gateway: Gateway,
        /// How many gateways of the trunk are up now.
        up_left: usize,
    },
}

impl fmt::Debug for CallEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct(self.name());
        if let Some(call) = self.call() {
            fields.field("call", &call);
        }
        match self {
            Self::Started { trunk, from, to, .. } => {
                fields.field("trunk", trunk).field("from", &Hidden(from)).field("to", &Hidden(to))
            }
            Self::Refused { explain, status, .. } => fields.field("status", status).field("explain", explain),
            Self::Attempt { trunk, gateway, attempt, .. } => {
                fields.field("trunk", trunk).field("gateway", gateway).field("attempt", attempt)
            }
            Self::AttemptFailed { trunk, gateway, status, moves_on, .. } => fields
                .field("trunk", trunk)
                .field("gateway", gateway)
                .field("status", status)
                .field("moves_on", moves_on),
            Self::Ringing { early_media, .. } => fields.field("early_media", early_media),
            Self::Answered { .. } => &mut fields,
            Self::MediaStarted { side, .. } => fields.field("side", side),
            Self::DirectionChanged { side, direction, .. } => {
                fields.field("side", side).field("direction", direction)
            }
            Self::Ended { record } => fields
                .field("from", &Hidden(&record.from))
                .field("to", &Hidden(&record.to))
                .field("trunk_in", &record.trunk_in)
                .field("trunk_out", &record.trunk_out)
                .field("cause", &record.cause),
            Self::GatewayDown { trunk, gateway, up_left } | Self::GatewayUp { trunk, gateway, up_left } => {
                fields.field("trunk", trunk).field("gateway", gateway).field("up_left", up_left)
            }
        }
        .finish()
    }
}

impl CallEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "Started",
            Self::Refused { .. } => "Refused",
            Self::Attempt { .. } => "Attempt",
            Self::AttemptFailed { .. } => "AttemptFailed",
            Self::Ringing { .. } => "Ringing",
            Self::Answered { .. } => "Answered",
            Self::MediaStarted { .. } => "MediaStarted",
            Self::DirectionChanged { .. } => "DirectionChanged",
            Self::Ended { .. } => "Ended",
            Self::GatewayDown { .. } => "GatewayDown",
            Self::GatewayUp { .. } => "GatewayUp",
        }
    }

    fn call(&self) -> Option<CallId> {
        match self {
            Self::Started { call, .. }
            | Self::Refused { call, .. }
            | Self::Attempt { call, .. }
            | Self::AttemptFailed { call, .. }
            | Self::Ringing { call, .. }
            | Self::Answered { call }
            | Self::MediaStarted { call, .. }
            | Self::DirectionChanged { call, .. } => Some(*call),
            Self::Ended { record } => Some(record.call),
            Self::GatewayDown { .. } | Self::GatewayUp { .. } => None,
        }
    }
}

/// What the media worker tells about a bridge.
#[derive(Debug, Clone, PartialEq)]
pub enum BridgeEvent {
    /// Its sockets could not be bound. The worker has dropped it: no [`Closed`](Self::Closed) follows.
    Failed,
    /// The first RTP packet of that side was accepted.
    FirstRtp(Side),
    /// Something became of the path to a side that is a browser.
    Browser(Side, trunkline_webrtc::Event),
    /// No RTP has come from either side for longer than the trunks allow, and nobody is on hold.
    Silent,
    /// Its sockets are closed, and its ports may be used again. The last event of a bridge that was opened.
    Closed(BridgeStats),
}

/// What a bridge saw in its life.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BridgeStats {
    /// The caller's leg, where media was ever agreed there.
    pub caller: Option<LegQuality>,
    /// The callee's leg, where media was ever agreed there.
    pub callee: Option<LegQuality>,
}

/// How much of everything is in use. All zero after the last call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls, from the INVITE to the record.
    pub calls: usize,
    /// Signalling legs that are not over.
    pub legs: usize,
    /// Bridges that a media worker has.
    pub bridges: usize,
    /// RTP ports taken; each has an RTCP port beside it.
    pub ports: usize,
}

/// What has been counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// INVITEs that asked for a new call.
    pub offered: u64,
    /// Calls refused before any gateway was tried.
    pub refused: u64,
    /// Refused calls of unknown sources without an event of their own, for there were too many.
    pub refused_unreported: u64,
    /// Requests of unknown sources answered 403.
    pub turned_away: u64,
    /// Requests of unknown sources dropped without an answer.
    pub ignored: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls over, whatever their end.
    pub ended: u64,
}
