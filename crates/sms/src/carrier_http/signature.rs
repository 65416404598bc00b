//! Whether a webhook was sent by the carrier.

use super::describe::{Algorithm, Encoding, InvalidDescription, Signature};
use super::hook::{HookError, Received};
use super::template::constant;
use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::collections::BTreeMap;

/// How far the time of a webhook may be off (security.md §4 asks for five minutes).
const SKEW_SECS_MAX: u64 = 300;

/// A [`Signature`] with its key. It has no `Debug`.
#[derive(Clone)]
pub(super) enum Check {
    /// The whole Authorization header.
    Authorization(Vec<u8>),
    Twilio(hmac::Key),
    Hmac {
        header: String,
        key: hmac::Key,
        encoding: Encoding,
        prefix: String,
        signed: Signed,
    },
    Ed25519 {
        header: String,
        key: Vec<u8>,
        signed: Signed,
    },
}

/// What is signed.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pieces: Vec<Piece>,
    timestamp: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Body,
    Timestamp,
    Url,
}

impl Check {
    pub(super) fn new(
        description: &Signature,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidDescription> {
        let secret = |text: &String| match constant(text, variables) {
            Ok(text) if text.is_empty() => Err(InvalidDescription::Key),
            read => read,
        };
        Ok(match description {
            Signature::Basic { user, password } => {
                let pair = format!("{}:{}", secret(user)?, secret(password)?);
                Self::Authorization(format!("Basic {}", BASE64.encode(pair)).into_bytes())
            }
            Signature::Bearer { token } => {
                Self::Authorization(format!("Bearer {}", secret(token)?).into_bytes())
            }
            Signature::Twilio { key } => {
                Self::Twilio(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret(key)?.as_bytes()))
            }
            Signature::Hmac { header, key, algorithm, encoding, prefix, signed, timestamp } => {
                let algorithm = match algorithm {
                    Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    Algorithm::Sha256 => hmac::HMAC_SHA256,
                };
                Self::Hmac {
                    header: header.clone(),
                    key: hmac::Key::new(algorithm, secret(key)?.as_bytes()),
                    encoding: *encoding,
                    prefix: prefix.clone(),
                    signed: Signed::parse(signed, timestamp.clone())?,
                }
            }
            Signature::Ed25519 { header, key, signed, timestamp } => {
                let key = BASE64.decode(secret(key)?).map_err(|_| InvalidDescription::Key)?;
                if key.len() != signature::ED25519_PUBLIC_KEY_LEN {
                    return Err(InvalidDescription::Key);
                }
                Self::Ed25519 {
                    header: header.clone(),
                    key,
                    signed: Signed::parse(signed, timestamp.clone())?,
                }
            }
        })
    }

    /// Whether it only covers forms.
    pub(super) fn needs_form(&self) -> bool {
        matches!(self, Self::Twilio(_))
    }

    /// Finds whether the carrier sent it. All comparisons take the same time wherever they fail.
    pub(super) fn verify(&self, received: &Received<'_>) -> Result<(), HookError> {
        match self {
            Self::Authorization(expected) => {
                let given = received.header("Authorization").ok_or(HookError::Unsigned)?;
                // By a key of no meaning, for its comparison takes the same time whatever is compared.
                let key = hmac::Key::new(hmac::HMAC_SHA256, b"comparison");
                let tag = hmac::sign(&key, given.as_bytes());
                hmac::verify(&key, expected, tag.as_ref()).map_err(|_| HookError::Forged)
            }
            Self::Twilio(key) => {
                let given = received.header("X-Twilio-Signature").ok_or(HookError::Unsigned)?;
                let tag = BASE64.decode(given).map_err(|_| HookError::Forged)?;
                hmac::verify(key, &twilio_signed(received), &tag).map_err(|_| HookError::Forged)
            }
            Self::Hmac { header, key, encoding, prefix, signed } => {
                let given = received.header(header).ok_or(HookError::Unsigned)?;
                let given = given.strip_prefix(prefix.as_str()).ok_or(HookError::Forged)?;
                let tag = match encoding {
                    Encoding::Hex => unhex(given),
                    Encoding::Base64 => BASE64.decode(given).ok(),
                };
                let tag = tag.ok_or(HookError::Forged)?;
                hmac::verify(key, &signed.octets(received)?, &tag).map_err(|_| HookError::Forged)
            }
            Self::Ed25519 { header, key, signed } => {
                let given = received.header(header).ok_or(HookError::Unsigned)?;
                let given = BASE64.decode(given).map_err(|_| HookError::Forged)?;
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, key);
                key.verify(&signed.octets(received)?, &given).map_err(|_| HookError::Forged)
            }
        }
    }
}

impl Signed {
    fn parse(text: &str, timestamp: Option<String>) -> Result<Self, InvalidDescription> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) =
                behind.split_once('}').ok_or_else(|| InvalidDescription::UnpairedBrace(text.to_owned()))?;
            pieces.push(Piece::Literal(before.to_owned()));
            pieces.push(match name {
                "body" => Piece::Body,
                "timestamp" if timestamp.is_some() => Piece::Timestamp,
                "url" => Piece::Url,
                _ => return Err(InvalidDescription::UnknownName(name.to_owned())),
            });
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        // What is not signed may be said by anyone.
        if !pieces.contains(&Piece::Body) {
            return Err(InvalidDescription::Key);
        }
        Ok(Self { pieces, timestamp })
    }

    fn octets(&self, received: &Received<'_>) -> Result<Vec<u8>, HookError> {
        let timestamp = match &self.timestamp {
            Some(header) => {
                let text = received.header(header).ok_or(HookError::Unsigned)?;
                let unix: i64 = text.parse().map_err(|_| HookError::Forged)?;
                if unix.abs_diff(received.now_unix) > SKEW_SECS_MAX {
                    return Err(HookError::Stale);
                }
                text
            }
            None => "",
        };
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => text.as_bytes(),
            Piece::Body => received.body,
            Piece::Timestamp => timestamp.as_bytes(),
            Piece::Url => received.url.as_bytes(),
        });
        Ok(pieces.collect::<Vec<_>>().concat())
    }
}

/// The URL, and each field of the form with its value, in the order of their names.
fn twilio_signed(received: &Received<'_>) -> Vec<u8> {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(received.body).into_owned().collect();
    pairs.sort();
    let mut signed = received.url.to_owned();
    for (key, value) in pairs {
        signed.push_str(&key);
        signed.push_str(&value);
    }
    signed.into_bytes()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let octets = text.as_bytes().chunks_exact(2).map(|pair| {
        let [high, low] = pair else { return None };
        let digit = |b: &u8| char::from(*b).to_digit(16);
        u8::try_from(digit(high)? * 16 + digit(low)?).ok()
    });
    octets.collect()
}
