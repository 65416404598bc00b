//! What can be wrong with what this crate is given.

use trunkline_model::{E164, TrunkId};

/// Why a B2BUA can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The range of RTP ports holds no even port followed by an odd one.
    #[error("the RTP port range {0}-{1} holds no pair of an even port and the odd one after it")]
    PortRange(u16, u16),
    /// No address to receive media on.
    #[error("no address to receive media on: at least one of IPv4 and IPv6 is needed")]
    NoMediaAddress,
}

/// One thing wrong with a routing table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteProblem {
    /// Two trunks of one name.
    #[error("trunk {0} is configured twice")]
    TrunkTwice(TrunkId),
    /// A trunk that can neither send nor receive.
    #[error("trunk {0} has neither sources to receive calls from nor gateways to send calls to")]
    UselessTrunk(TrunkId),
    /// Two routes of one number.
    #[error("DID {0} is routed twice")]
    DidTwice(E164),
    /// A prefix that is not digits, with or without `+`.
    #[error("{0:?} is not a prefix: digits, with or without '+'")]
    BadPrefix(String),
    /// Two patterns for the same prefix and the same trunk.
    #[error("prefix {0} is routed twice for the same trunk")]
    PatternTwice(String),
    /// A route over a trunk that doesn't exist.
    #[error("route {0} names trunk {1}, which is not configured")]
    UnknownTrunk(String, TrunkId),
    /// A route over a trunk that takes no calls.
    #[error("route {0} goes over trunk {1}, which has no gateways")]
    NoGateways(String, TrunkId),
    /// Calls from one trunk belong to two resources.
    #[error("calls from trunk {0} belong to two resources")]
    TwoResources(TrunkId),
    /// A route over no trunk.
    #[error("route {0} names no trunk")]
    NoTrunks(String),
    /// Dialled text that may not stand in a SIP user part.
    #[error("{0:?} can't be dialled: up to 64 letters, digits and +-_.!~*'()&=$,;?/")]
    BadDial(String),
}
