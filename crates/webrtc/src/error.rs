//! Why a leg cannot be.

/// Why a leg cannot be, or a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cryptography of this build fails its own test.
    #[error("the cryptography for DTLS does not work")]
    Cryptography,
    /// So many legs wait for their browser that no more are taken.
    #[error("too many browsers have not connected yet")]
    HalfOpen,
    /// There are as many legs as there may be.
    #[error("too many browsers")]
    Full,
}
