//! What a hub tells, and what it counts.

use std::time::Duration;

/// What became of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Media may flow.
    Connected,
    /// The browser goes on from another address.
    Moved,
    /// It did not connect in time. Nothing more comes of this leg.
    Failed(Failure),
    /// It has been silent for too long: nothing is sent to it any more (RFC 7675 §5.1). An ICE restart brings it back.
    Lost,
    /// It reported on what we send.
    Reported(PathQuality),
    /// It said goodbye. Nothing more comes of this leg. No call ends by it: that is for signalling to say.
    Closed,
}

/// What kept a browser from connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// None of its checks came through.
    Ice,
    /// Its handshake did not end, or its certificate was not the one that its description states.
    Dtls,
    /// There were too many browsers already.
    Full,
}

/// What a browser reports of what we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathQuality {
    /// Share of packets lost, of 256, since the report before.
    pub fraction_lost: Option<u8>,
    /// Round-trip time.
    pub rtt: Option<Duration>,
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// It is nothing that belongs here.
    Malformed,
    /// A check for no leg that there is.
    UnknownLeg,
    /// From an address that no authenticated check came from.
    UnknownAddress,
    /// A check that is not signed with the password of the leg that it names.
    Forged,
    /// A check of a leg that has come from too many addresses already.
    TooManyAddresses,
    /// DTLS, RTP or RTCP from an address whose checks are too old.
    NotValidated,
    /// DTLS that makes no sense here.
    Unreadable,
    /// RTP that is not authentic, or was there before.
    Unauthentic,
    /// For a leg that is over, or lost its browser.
    Gone,
}

impl Dropped {
    /// All of them, for tables.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::UnknownLeg,
        Self::UnknownAddress,
        Self::Forged,
        Self::TooManyAddresses,
        Self::NotValidated,
        Self::Unreadable,
        Self::Unauthentic,
        Self::Gone,
    ];

    /// Returns the name that metrics have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownLeg => "unknown_leg",
            Self::UnknownAddress => "unknown_address",
            Self::Forged => "forged",
            Self::TooManyAddresses => "too_many_addresses",
            Self::NotValidated => "not_validated",
            Self::Unreadable => "unreadable",
            Self::Unauthentic => "unauthentic",
            Self::Gone => "gone",
        }
    }
}
