//! Finding out where a host is: a question to the world, and its answer, as values.
//!
//! How much of RFC 3263 is done is up to who answers. The question says what rules SRV and NAPTR records out; an answer
//! from address records alone is as good.

use trunkline_model::Transport;

use crate::transport::Target;

/// A look-up that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(crate) u64);

/// Where a request is to go, before names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To this address.
    Target(Target),
    /// To the servers of a host, tried in the order of the answer (RFC 3263 §4.3).
    Host {
        /// The name.
        host: String,
        /// The port, which rules SRV out.
        port: Option<u16>,
        /// The transport, which rules NAPTR out.
        transport: Option<Transport>,
    },
}

/// Why a look-up found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// No server answered in time.
    #[error("the look-up timed out")]
    Timeout,
}
