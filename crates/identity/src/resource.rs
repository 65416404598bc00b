//! A tenant: its id, its keys, and how its clients are told about both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The id of a resource (a tenant).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ResourceId(pub Uuid);

/// A key that signs requests of a resource. A resource has two, so that one can be replaced while the other
/// is in use.
///
/// `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey(Vec<u8>);

/// What a client is configured with: `endpoint=https://HOST[:PORT]/;accesskey=BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// Host and, where it is not 443, port.
    pub authority: String,
    /// The key.
    pub key: AccessKey,
}

/// Why a text is not an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an access key is 16 to 128 bytes in base64")]
pub struct InvalidKey;

/// Bytes of a fresh key: as long as the block of SHA-256, beyond which HMAC only hashes it down.
const KEY_BYTES: usize = 64;

impl AccessKey {
    /// Draws a fresh key from the operating system.
    pub fn generate() -> Self {
        let mut bytes = vec![0; KEY_BYTES];
        // The generator of the library fails only where the operating system has no entropy at all.
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(bytes)
    }

    /// Returns the key with these bytes, as they were kept.
    ///
    /// # Errors
    /// [`InvalidKey`] when there are too few or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        if (16..=128).contains(&bytes.len()) { Ok(Self(bytes.to_vec())) } else { Err(InvalidKey) }
    }

    /// Returns the bytes that sign.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the form that clients are configured with. It is a secret.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }
}

impl FromStr for AccessKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::from_bytes(&BASE64.decode(text.trim()).map_err(|_| InvalidKey)?)
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(…)")
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint=https://{}/;accesskey={}", self.authority, self.key.to_base64())
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for ResourceId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_what_the_clients_read() {
        let key = AccessKey::from_str("YWNzLWdvbGRlbi10ZXN0LWtleS0wMTIzNDU2Nzg5YWI=").unwrap();
        let text = ConnectionString { authority: "contoso.localhost:8443".into(), key }.to_string();
        assert_eq!(
            text,
            "endpoint=https://contoso.localhost:8443/;accesskey=YWNzLWdvbGRlbi10ZXN0LWtleS0wMTIzNDU2Nzg5YWI="
        );
    }

    #[test]
    fn keys_are_drawn_anew_and_never_shown() {
        let key = AccessKey::generate();
        assert_ne!(key, AccessKey::generate());
        assert_eq!(key.to_base64().parse(), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "AccessKey(…)");
        assert_eq!("c2hvcnQ=".parse::<AccessKey>(), Err(InvalidKey));
    }
}
