//! Signatures of deliveries, as Standard Webhooks 1.0 has them, for which there are verifiers in many languages.
//!
//! `webhook-id` is the event's id, `webhook-timestamp` the time of the attempt in seconds since the Unix epoch, and
//! `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`. A receiver refuses
//! timestamps that are five minutes off, and ids that it has seen.

use anyhow::Context;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub(super) const ID: &str = "webhook-id";
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
pub(super) const SIGNATURE: &str = "webhook-signature";

/// Returns the value of `webhook-signature`.
pub(super) fn sign(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign()))
}

/// Returns the key of a secret as operators write it: `whsec_` and base64, or a text that is taken as it is.
///
/// # Errors
/// It is too short to be one, or no base64.
pub(crate) fn secret_of(text: &str) -> anyhow::Result<Vec<u8>> {
    let key = match text.strip_prefix(PREFIX) {
        Some(encoded) => BASE64.decode(encoded).context("behind whsec_ there must be base64")?,
        None => text.as_bytes().to_vec(),
    };
    anyhow::ensure!(
        key.len() >= SECRET_BYTES_MIN && key.len() <= SECRET_BYTES_MAX,
        "a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"
    );
    Ok(key)
}

const PREFIX: &str = "whsec_";

/// Standard Webhooks asks for 24 to 64 random bytes; texts have less in each byte, so they may be longer.
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_has_its_signature() {
        // From the test vectors of the reference libraries.
        let secret = secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn short_secrets_are_refused() {
        assert!(secret_of("secret").is_err());
        assert!(secret_of("whsec_c2VjcmV0").is_err());
        assert!(secret_of("whsec_!").is_err());
        assert_eq!(secret_of("a passphrase of enough length").unwrap().len(), 29);
    }
}
