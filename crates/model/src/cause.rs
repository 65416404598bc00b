//! Why a call ended, and whose fault.

use crate::id::TrunkId;
use std::fmt;

/// The one reason a call ended or was refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cause {
    /// The final SIP status of the call: 200 for a call that was answered and then hung up.
    pub sip: u16,
    /// The cause value of ITU-T Q.850 that belongs to it.
    pub q850: Q850,
    /// Who ended it.
    pub ended_by: Party,
    /// How far the call had come.
    pub stage: Stage,
    /// The trunk on whose side it ended, where one was involved.
    pub trunk: Option<TrunkId>,
    /// A short text for operators: never bytes of a peer that were not checked.
    pub detail: String,
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The side that placed the call.
    Caller,
    /// The side that was called.
    Callee,
    /// Trunkline itself: a limit, a rule, a timer, a shutdown.
    Trunkline,
}

/// How far a call had come when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before any leg towards a callee was made: no trunk matched, a limit, no route.
    Admission,
    /// An INVITE was sent on and nothing but 100 came back.
    Routing,
    /// A 18x had come.
    Ringing,
    /// Answered.
    Answered,
}

/// A cause value of ITU-T Q.850, 1 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Q850(pub u8);

impl Q850 {
    /// Normal call clearing.
    pub const NORMAL_CLEARING: Self = Self(16);
    /// User busy.
    pub const USER_BUSY: Self = Self(17);
    /// No answer from user (user alerted).
    pub const NO_ANSWER: Self = Self(19);
    /// Call rejected.
    pub const REJECTED: Self = Self(21);
    /// Normal, unspecified.
    pub const NORMAL_UNSPECIFIED: Self = Self(31);
    /// Recovery on timer expiry.
    pub const TIMER_EXPIRY: Self = Self(102);
    /// Interworking, unspecified.
    pub const INTERWORKING: Self = Self(127);

    /// Returns the cause that belongs to a final SIP status (RFC 3398 §8.2.6.1).
    pub fn from_sip(status: u16) -> Self {
        Self(match status {
            200..=299 => 16,
            400 | 401 | 402 | 403 | 407 | 603 | 607 | 608 => 21,
            404 | 485 | 604 => 1,
            405 => 63,
            406 | 415 | 416 | 420 | 488 | 606 => 79,
            408 | 504 => 102,
            410 => 22,
            413 | 414 | 421 | 423 | 505 | 513 => 127,
            480 => 18,
            481 | 500 => 41,
            482 | 483 => 25,
            484 => 28,
            486 | 600 => 17,
            487 => 16,
            501 => 79,
            502 => 38,
            503 => 34,
            _ => 31,
        })
    }

    /// Returns the final SIP status that belongs to the cause (RFC 3398 §7.2.4.1).
    pub fn to_sip(self) -> u16 {
        match self.0 {
            1..=3 => 404,
            16 | 31 => 480,
            17 => 486,
            18 => 408,
            19 | 20 => 480,
            21 => 403,
            22 => 410,
            27 | 38 | 41 | 42 | 34 | 47 => 503,
            28 => 484,
            29 => 501,
            55 | 57 => 403,
            58 | 65 | 70 => 488,
            63 | 79 => 501,
            102 => 504,
            _ => 500,
        }
    }
}

impl fmt::Display for Q850 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} q850={} by {} while {}", self.sip, self.q850, self.ended_by, self.stage)?;
        if let Some(trunk) = &self.trunk {
            write!(f, " on {trunk}")?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl Party {
    /// Returns the name used in records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::Trunkline => "trunkline",
        }
    }
}

impl Stage {
    /// Returns the name used in records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Routing => "routing",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
