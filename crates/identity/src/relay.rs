//! Expiring credentials for a TURN server that shares a secret with us (the "REST API" scheme of coturn).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What a client presents to the TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayCredential {
    /// `EXPIRY:USER`, the expiry in seconds since the Unix epoch.
    pub username: String,
    /// Base64 of HMAC-SHA1 of the user name under the shared secret.
    pub password: String,
}

impl RelayCredential {
    /// Makes a credential that the server accepts until `expires` (seconds since the Unix epoch).
    pub fn issue(secret: &[u8], user: &str, expires: i64) -> Self {
        let username = format!("{expires}:{user}");
        // SHA-1 is what the scheme and every TURN server that offers it prescribe.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        let password = BASE64.encode(hmac::sign(&key, username.as_bytes()));
        Self { username, password }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_what_coturn_computes() {
        // printf '1764000000:alice' | openssl dgst -sha1 -hmac north -binary | base64
        let credential = RelayCredential::issue(b"north", "alice", 1_764_000_000);
        assert_eq!(credential.username, "1764000000:alice");
        assert_eq!(credential.password, "9LAwaPnprPABVShse3H8XaVS8kE=");
    }
}
