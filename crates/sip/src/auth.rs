//! Who is asking: digest (RFC 3261 §22, RFC 8760) and bearer credentials (RFC 8898), as a server checks them.
//!
//! What a password or a token is worth is the owner's business: here are the challenge, the words of the answer, and
//! whether an answer fits a secret and is not a replay.

mod digest;
mod nonce;

pub use digest::{Algorithm, DigestResponse, InvalidDigest, Secret};
pub use nonce::{Freshness, Nonces};

use std::fmt::Write as _;

/// What an `Authorization` value says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential<'a> {
    /// A bearer token (RFC 6750 §2.1). It is a secret.
    Bearer(&'a str),
    /// A digest.
    Digest(DigestResponse<'a>),
}

/// Longest token read: a header field is held to 8 KiB in any case, and tokens have some hundred characters.
const TOKEN_BYTES_MAX: usize = 4096;

impl<'a> Credential<'a> {
    /// Reads one `Authorization` value; none for a scheme that is not known, or what cannot be read.
    pub fn parse(value: &'a str) -> Option<Self> {
        let value = value.trim_ascii();
        let (scheme, rest) = value.split_at_checked(value.find([' ', '\t'])?)?;
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case("Bearer") {
            // RFC 6750 §2.1: b64token.
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            let fits = !rest.is_empty() && rest.len() <= TOKEN_BYTES_MAX && rest.bytes().all(is_token);
            return fits.then_some(Self::Bearer(rest));
        }
        if scheme.eq_ignore_ascii_case("Digest") {
            return DigestResponse::parse(rest).ok().map(Self::Digest);
        }
        None
    }
}

/// Why a bearer token did not do (RFC 6750 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerError {
    /// It is no token of ours, or its time is over, or it was revoked.
    InvalidToken,
    /// It does not allow what was asked.
    InsufficientScope,
}

/// Returns the value of a `WWW-Authenticate` that asks for a bearer token (RFC 8898 §4).
pub fn bearer_challenge(realm: &str, scope: &str, error: Option<BearerError>) -> String {
    let mut text = format!("Bearer realm=\"{realm}\", scope=\"{scope}\"");
    let error = match error {
        None => return text,
        Some(BearerError::InvalidToken) => "invalid_token",
        Some(BearerError::InsufficientScope) => "insufficient_scope",
    };
    // Writing into a String does not fail.
    let _ = write!(text, ", error=\"{error}\"");
    text
}

/// Returns the value of a `WWW-Authenticate` that asks for a digest with a nonce.
///
/// `stale` tells a client whose nonce was too old that its password was not looked at, so that it tries again without
/// asking anybody (RFC 7616 §3.3).
pub fn digest_challenge(algorithm: Algorithm, realm: &str, nonce: &str, stale: bool) -> String {
    let stale = if stale { ", stale=true" } else { "" };
    format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        assert_eq!(Credential::parse("bearer  a.b-c_d=="), Some(Credential::Bearer("a.b-c_d==")));
        for bad in ["Bearer", "Bearer ", "Bearer a b", "Bearer \"a\"", "Basic YTpi", "", " "] {
            assert_eq!(Credential::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn challenges_say_what_is_wanted() {
        assert_eq!(bearer_challenge("r", "voip", None), "Bearer realm=\"r\", scope=\"voip\"");
        let refused = bearer_challenge("r", "voip", Some(BearerError::InvalidToken));
        assert!(refused.ends_with(", error=\"invalid_token\""), "{refused}");
        let stale = digest_challenge(Algorithm::Sha256, "r", "n", true);
        assert_eq!(stale, "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\", stale=true");
    }
}
