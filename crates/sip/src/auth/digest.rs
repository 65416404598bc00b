//! Digest responses (RFC 7616 §3.4, RFC 8760): read, and held against a secret.

use std::fmt;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::header::Params;
use crate::uri::Uri;

/// A hash that digests are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// What every client speaks. Its weakness is in collisions, which do not help against a digest, and in speed, which
    /// does against short passwords.
    Md5,
    /// RFC 8760.
    Sha256,
}

/// The hash of `user:realm:password`, which is as good as the password within its realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// By MD5.
    pub md5: [u8; 16],
    /// By SHA-256.
    pub sha256: [u8; 32],
}

/// The parameters of a digest response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestResponse<'a> {
    /// Who says to be asking.
    pub user: String,
    /// The realm of the challenge.
    pub realm: &'a str,
    /// The nonce of the challenge.
    pub nonce: &'a str,
    /// The Request-URI, as the client saw it.
    pub uri: &'a str,
    /// The hash.
    pub algorithm: Algorithm,
    /// How often the nonce was used, this time included.
    pub count: u32,
    cnonce: &'a str,
    response: &'a str,
}

/// Why a digest response cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDigest {
    /// A parameter is missing, stands twice, or is not of its form.
    #[error("digest without a usable {0}")]
    Parameter(&'static str),
}

/// Longest user name read: raw ids have 79 characters.
const USER_BYTES_MAX: usize = 256;

impl<'a> DigestResponse<'a> {
    /// Reads what follows the word `Digest`.
    ///
    /// Only `qop=auth` is taken: without it a response could be replayed, and the body of `auth-int` is protected by
    /// the transport.
    ///
    /// # Errors
    /// See [`InvalidDigest`].
    pub fn parse(text: &'a str) -> Result<Self, InvalidDigest> {
        let of = |name: &'static str| parameter(text, name).ok_or(InvalidDigest::Parameter(name));
        let algorithm = match parameter(text, "algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return Err(InvalidDigest::Parameter("algorithm")),
        };
        if !of("qop")?.eq_ignore_ascii_case("auth") {
            return Err(InvalidDigest::Parameter("qop"));
        }
        let user = unquoted(of("username")?);
        if user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
            return Err(InvalidDigest::Parameter("username"));
        }
        let count_text = of("nc")?;
        // RFC 7616 §3.4: eight digits in lower case, which the response was made with.
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_count = count_text.len() == 8 && count_text.bytes().all(is_digit);
        let count = u32::from_str_radix(count_text, 16).ok().filter(|_| is_count);
        Ok(Self {
            user,
            realm: of("realm")?,
            nonce: of("nonce")?,
            uri: of("uri")?,
            algorithm,
            count: count.ok_or(InvalidDigest::Parameter("nc"))?,
            cnonce: of("cnonce")?,
            response: of("response")?,
        })
    }

    /// Whether the response was made for that Request-URI.
    pub fn is_for(&self, request_uri: &str) -> bool {
        self.uri == request_uri
            || matches!(
                (Uri::parse(self.uri), Uri::parse(request_uri)),
                (Ok(said), Ok(asked)) if said.is_equivalent(&asked)
            )
    }

    /// Whether who knows the secret made this response for a request of that method.
    pub fn fits(&self, secret: &Secret, method: &str) -> bool {
        let Self { algorithm, uri, nonce, count, cnonce, .. } = self;
        let expected = secret.response(*algorithm, method, uri, nonce, *count, cnonce);
        let said = self.response.to_ascii_lowercase();
        expected.as_bytes().ct_eq(said.as_bytes()).into()
    }
}

impl Secret {
    /// Hashes a user's password for a realm.
    pub fn of(user: &str, realm: &str, password: &str) -> Self {
        let text = format!("{user}:{realm}:{password}");
        Self { md5: Md5::digest(&text).into(), sha256: Sha256::digest(&text).into() }
    }

    /// Returns the response of who knows the secret to a nonce, for `qop=auth` (RFC 7616 §3.4.1).
    pub fn response(
        &self,
        algorithm: Algorithm,
        method: &str,
        uri: &str,
        nonce: &str,
        count: u32,
        cnonce: &str,
    ) -> String {
        let parts = (method, uri, format!("{nonce}:{count:08x}:{cnonce}:auth"));
        match algorithm {
            Algorithm::Md5 => respond::<Md5>(&self.md5, &parts),
            Algorithm::Sha256 => respond::<Sha256>(&self.sha256, &parts),
        }
    }
}

fn respond<H: md5::Digest>(secret: &[u8], (method, uri, middle): &(&str, &str, String)) -> String {
    let asked = hex(&H::digest(format!("{method}:{uri}")));
    hex(&H::digest(format!("{}:{middle}:{asked}", hex(secret))))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        })
    }
}

/// Returns the value of a parameter without its quotes; none if it is missing, empty, or stands twice: two readers that
/// pick different copies would disagree about who is asking.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = commas(text).filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = found.next()?;
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    (found.next().is_none() && !value.is_empty()).then_some(value)
}

fn commas(text: &str) -> impl Iterator<Item = (&str, &str)> {
    crate::header::items(text.as_bytes())
        .filter_map(|item| std::str::from_utf8(item).ok())
        .filter_map(|item| Params::new(item).iter().next())
        .map(|(name, value)| (name, value.unwrap_or_default()))
}

/// Takes the escapes out of what stood between quotes (RFC 3261 §25.1 quoted-pair).
fn unquoted(text: &str) -> String {
    let mut chars = text.chars();
    std::iter::from_fn(|| match chars.next()? {
        '\\' => chars.next(),
        plain => Some(plain),
    })
    .collect()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or_default());
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1, which has one example for both algorithms.
    fn rfc7616(algorithm: &str, response: &str) -> String {
        format!(
            "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    #[test]
    fn the_examples_of_rfc_7616_fit() {
        let secret = Secret::of("Mufasa", "http-auth@example.org", "Circle of Life");
        let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        for (algorithm, response) in [("MD5", "8ca523f5e9506fed4657c9700eebdbec"), ("SHA-256", sha256)] {
            let text = rfc7616(algorithm, response);
            let digest = DigestResponse::parse(&text).unwrap();
            assert!(digest.fits(&secret, "GET"), "{algorithm}");
            assert!(!digest.fits(&secret, "POST"), "{algorithm}");
            let other = Secret::of("Mufasa", "http-auth@example.org", "Circle of life");
            assert!(!digest.fits(&other, "GET"), "{algorithm}");
        }
    }

    #[test]
    fn what_leaves_room_for_doubt_is_not_read() {
        let good = rfc7616("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        assert!(DigestResponse::parse(&good).is_ok());
        for (was, is) in [
            ("qop=auth", "qop=auth-int"),
            ("qop=auth, ", ""),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=+0000001"),
            ("algorithm=MD5", "algorithm=MD5-sess"),
            ("username=\"Mufasa\"", "username=\"Mufasa\", username=\"Simba\""),
            ("username=\"Mufasa\"", "username=\"\""),
            ("realm=\"http-auth@example.org\", ", ""),
            ("uri=\"/dir/index.html\"", "uri=\"/dir/index.html"),
        ] {
            let bad = good.replacen(was, is, 1);
            assert_ne!(bad, good);
            assert!(DigestResponse::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_for_one_uri_in_any_spelling() {
        let text = rfc7616("MD5", "0").replace("/dir/index.html", "sip:Contoso.localhost");
        let digest = DigestResponse::parse(&text).unwrap();
        assert!(digest.is_for("sip:contoso.localhost"));
        assert!(!digest.is_for("sip:fabrikam.localhost"));
    }
}
