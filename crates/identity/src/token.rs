//! User access tokens: JWTs signed with ES256 (RFC 7519, RFC 7518 §3.4).
//!
//! Claims are unreadable before the signature is verified: [`VerifyingKey`] is the only way to [`Claims`].
//! The algorithm belongs to the key, never to the token, and every time claim is required.

use crate::user::UserId;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use sha2::Sha256;

/// What a token lets its bearer do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything in chat.
    Chat,
    /// Everything in calling.
    Voip,
    /// Join a chat.
    ChatJoin,
    /// Join a chat without managing it.
    ChatJoinLimited,
    /// Join a call that exists.
    VoipJoin,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it: the URL under which the keys are found (OpenID Connect Discovery 1.0 §4).
    pub issuer: String,
    /// The user.
    pub user: UserId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was issued, in seconds since the Unix epoch. A token issued before its user's tokens were
    /// revoked is refused by whoever knows that moment.
    pub issued: i64,
    /// When it ends, in seconds since the Unix epoch.
    pub expires: i64,
    /// Where the resource keeps its data.
    pub location: String,
}

/// A private key, and the name that tokens call it by.
pub struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

/// A public key and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    /// The `kid` that tokens name it by.
    pub id: String,
    /// The uncompressed point: 0x04, x, y.
    pub point: Vec<u8>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// Not three parts of base64url, or too long, or not JSON.
    #[error("the token cannot be read")]
    Malformed,
    /// Another algorithm than that of our keys.
    #[error("the token is not signed with ES256")]
    Algorithm,
    /// A key that we do not have.
    #[error("the token names a key that is not ours")]
    UnknownKey,
    /// Not signed by that key.
    #[error("the token's signature does not verify")]
    Signature,
    /// A claim that must be there is missing or of another type.
    #[error("the token lacks the claim {0}")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the token expired {0} s ago")]
    Expired(i64),
    /// Issued in the future.
    #[error("the token was issued {0} s in the future")]
    NotYet(i64),
}

/// The realm of digests with a token as the password. It never changes: the secrets that are kept depend on it.
pub const DIGEST_REALM: &str = "trunkline";

/// What a token is as the password of a SIP digest (RFC 3261 §22.4, RFC 8760): the hashes of `user:realm:token`, which
/// whoever verifies a digest needs and whoever has them can answer for the user. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestSecrets {
    /// By MD5.
    pub md5: [u8; 16],
    /// By SHA-256.
    pub sha256: [u8; 32],
}

impl DigestSecrets {
    /// Hashes a token of a user. The name that goes with it is the user's raw id.
    pub fn of(user: &UserId, token: &str) -> Self {
        let text = format!("{user}:{DIGEST_REALM}:{token}");
        Self { md5: Md5::digest(&text).into(), sha256: Sha256::digest(&text).into() }
    }
}

impl std::fmt::Debug for DigestSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestSecrets(…)")
    }
}

/// Longest token read. Ours are below 1 KiB; a header line of a request is held to 8 KiB anyway.
const TOKEN_BYTES_MAX: usize = 4096;

/// How far another node's clock may be ahead of ours.
const CLOCK_SKEW_SECS: i64 = 60;

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::Chat, Self::Voip, Self::ChatJoin, Self::ChatJoinLimited, Self::VoipJoin];

    /// Returns the word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Voip => "voip",
            Self::ChatJoin => "chat.join",
            Self::ChatJoinLimited => "chat.join.limited",
            Self::VoipJoin => "voip.join",
        }
    }

    /// Returns the scope that a word of the API stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl SigningKey {
    /// Draws a fresh key pair.
    pub fn generate(id: impl Into<String>) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .expect("the operating system gives random bytes");
        Self::from_pkcs8(id, pkcs8.as_ref()).expect("the library reads what it wrote")
    }

    /// Reads a key pair that was kept.
    ///
    /// # Errors
    /// [`InvalidToken::Malformed`] when the bytes are not a P-256 key in PKCS #8.
    pub fn from_pkcs8(id: impl Into<String>, pkcs8: &[u8]) -> Result<Self, InvalidToken> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| InvalidToken::Malformed)?;
        Ok(Self { id: id.into(), pair, pkcs8: pkcs8.to_vec() })
    }

    /// Returns the form in which the pair is kept. It is a secret.
    pub fn to_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Returns the public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { id: self.id.clone(), point: self.pair.public_key().as_ref().to_vec() }
    }

    /// Returns a signed token with these claims.
    pub fn issue(&self, claims: &Claims) -> String {
        let header = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"});
        let body = claims.to_json();
        let mut token = format!("{}.{}", encode(&header), encode(&body));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .expect("signing fails only without random bytes");
        token.push('.');
        BASE64URL.encode_string(signature.as_ref(), &mut token);
        token
    }
}

impl VerifyingKey {
    /// Returns the claims of a token that one of the keys signed and whose time is not over.
    ///
    /// # Errors
    /// See [`InvalidToken`].
    pub fn verify(keys: &[Self], token: &str, now_unix: i64) -> Result<Claims, InvalidToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(InvalidToken::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(InvalidToken::Malformed)?;
        let header = decode(header)?;
        if header.get("alg").and_then(Value::as_str) != Some("ES256") {
            return Err(InvalidToken::Algorithm);
        }
        let id = header.get("kid").and_then(Value::as_str).ok_or(InvalidToken::UnknownKey)?;
        let key = keys.iter().find(|key| key.id == id).ok_or(InvalidToken::UnknownKey)?;
        let signature = BASE64URL.decode(signature).map_err(|_| InvalidToken::Malformed)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.point)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| InvalidToken::Signature)?;
        Claims::from_json(&decode(body)?, now_unix)
    }

    /// Returns the key as a JSON Web Key (RFC 7517, RFC 7518 §6.2).
    pub fn to_jwk(&self) -> Value {
        let coordinate = |range| BASE64URL.encode(self.point.get(range).unwrap_or_default());
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id,
            "x": coordinate(1..33), "y": coordinate(33..65),
        })
    }
}

impl Claims {
    fn to_json(&self) -> Value {
        let scopes: Vec<_> = self.scopes.iter().map(|scope| scope.as_str()).collect();
        json!({
            "iss": self.issuer,
            "skypeid": self.user.skype_id(),
            // The bits of the public service for a user of its own kind; clients do not look at them.
            "scp": 1792,
            "csi": self.issued.to_string(),
            "exp": self.expires,
            "rgn": self.location,
            "acsScope": scopes.join(","),
            "resourceId": self.user.resource.to_string(),
            "resourceLocation": self.location,
            "iat": self.issued,
        })
    }

    fn from_json(body: &Value, now_unix: i64) -> Result<Self, InvalidToken> {
        let text = |name| body.get(name).and_then(Value::as_str).ok_or(InvalidToken::Claim(name));
        let time = |name| body.get(name).and_then(Value::as_i64).ok_or(InvalidToken::Claim(name));
        let (issued, expires) = (time("iat")?, time("exp")?);
        if expires <= now_unix {
            return Err(InvalidToken::Expired(now_unix.saturating_sub(expires)));
        }
        if issued > now_unix.saturating_add(CLOCK_SKEW_SECS) {
            return Err(InvalidToken::NotYet(issued.saturating_sub(now_unix)));
        }
        let user = format!("8:{}", text("skypeid")?);
        let user: UserId = user.parse().map_err(|_| InvalidToken::Claim("skypeid"))?;
        if text("resourceId")? != user.resource.to_string() {
            return Err(InvalidToken::Claim("resourceId"));
        }
        let scopes = text("acsScope")?
            .split(',')
            .map(|word| Scope::parse(word).ok_or(InvalidToken::Claim("acsScope")));
        Ok(Self {
            issuer: text("iss")?.to_owned(),
            user,
            scopes: scopes.collect::<Result<_, _>>()?,
            issued,
            expires,
            location: text("resourceLocation")?.to_owned(),
        })
    }
}

fn encode(value: &Value) -> String {
    BASE64URL.encode(value.to_string())
}

fn decode(part: &str) -> Result<Value, InvalidToken> {
    let bytes = BASE64URL.decode(part).map_err(|_| InvalidToken::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| InvalidToken::Malformed)
}
