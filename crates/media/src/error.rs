//! Why bytes from the network were not taken.

/// A packet that is not what its port is for. It is counted and dropped; it never ends anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not an RTP packet (RFC 3550 §5.1).
    #[error("not an RTP packet")]
    Rtp,
    /// Not an RTCP compound packet (RFC 3550 §6.1).
    #[error("not an RTCP compound packet")]
    Rtcp,
    /// Not a telephone event (RFC 4733 §2.3).
    #[error("not a telephone event")]
    TelephoneEvent,
}
