//! The HMAC-SHA256 signature that ACS clients put on every request.
//!
//! ```text
//! StringToSign  = VERB "\n" TARGET "\n" x-ms-date ";" HOST ";" x-ms-content-sha256
//! Authorization = HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=base64(...)
//! ```
//!
//! The target is not canonical: shipped clients sign up to four forms of the same request line, and one more
//! form of the host. A request is good when any of them verifies under either key.

use crate::resource::AccessKey;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

/// What of a request is signed, as it was on the wire.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// Path and query exactly as received.
    pub target: &'a str,
    /// The Host header, with its port.
    pub host: &'a str,
    /// The `x-ms-host` header, which some clients sign instead.
    pub ms_host: Option<&'a str>,
    /// The `x-ms-date` header.
    pub date: Option<&'a str>,
    /// The `x-ms-content-sha256` header.
    pub content_sha256: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
}

/// Why a request is not let in. Customers see one answer for all of them; operators see which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No signature at all.
    #[error("the request is not signed")]
    Unsigned,
    /// The Authorization header is not of the expected form.
    #[error("the Authorization header cannot be read")]
    Malformed,
    /// A header that must be signed is missing, from the request or from the list.
    #[error("x-ms-date, host and x-ms-content-sha256 must be present and signed")]
    HeaderMissing,
    /// The date cannot be read.
    #[error("x-ms-date is not an RFC 1123 date")]
    BadDate,
    /// The date is more than 15 minutes off.
    #[error("x-ms-date is {0} s away from our clock")]
    Skew(i64),
    /// The body does not have the hash that was signed.
    #[error("the body does not match x-ms-content-sha256")]
    BodyMismatch,
    /// No form of the request verifies under either key.
    #[error("the signature does not verify under either access key")]
    WrongSignature,
}

/// Largest difference between a request's date and ours, in seconds.
///
/// One client sends the same date again on every retry, so the window must exceed the delays we ask for.
const SKEW_SECS_MAX: i64 = 15 * 60;

/// Returns the index of the key that signed the head of a request. The body is as signed when [`verify_body`] says so:
/// it need not be read for a request that is refused here.
///
/// # Errors
/// The first check that fails; see [`Refusal`].
pub fn verify(request: &SignedRequest<'_>, keys: &[AccessKey], now_unix: i64) -> Result<usize, Refusal> {
    let (signed, signature) = parse_authorization(request.authorization.ok_or(Refusal::Unsigned)?)?;
    let date = request.date.ok_or(Refusal::HeaderMissing)?;
    check_date(date, now_unix)?;
    let hosts = hosts(request, &signed)?;
    for target in targets(request.target) {
        for host in &hosts {
            let text = string_to_sign(request, &signed, &target, host)?;
            let verifies = |key: &AccessKey| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
                hmac::verify(&key, text.as_bytes(), &signature).is_ok()
            };
            if let Some(index) = keys.iter().position(verifies) {
                return Ok(index);
            }
        }
    }
    Err(Refusal::WrongSignature)
}

/// Names of the headers in the order in which their values are signed, and the signature.
fn parse_authorization(header: &str) -> Result<(Vec<String>, Vec<u8>), Refusal> {
    let rest = header.strip_prefix("HMAC-SHA256 ").ok_or(Refusal::Malformed)?;
    let (names, signature) = rest.split_once('&').ok_or(Refusal::Malformed)?;
    let names = names.trim().strip_prefix("SignedHeaders=").ok_or(Refusal::Malformed)?;
    let signature = signature.trim().strip_prefix("Signature=").ok_or(Refusal::Malformed)?;
    let signature = BASE64.decode(signature).map_err(|_| Refusal::Malformed)?;
    let names: Vec<String> = names.split(';').map(|name| name.trim().to_ascii_lowercase()).collect();
    let host = names.iter().any(|name| name == "host" || name == "x-ms-host");
    let listed = |wanted: &str| names.iter().filter(|name| *name == wanted).count() == 1;
    if names.len() == 3 && host && listed("x-ms-date") && listed("x-ms-content-sha256") {
        Ok((names, signature))
    } else {
        Err(Refusal::HeaderMissing)
    }
}

fn check_date(date: &str, now_unix: i64) -> Result<(), Refusal> {
    let signed = httpdate::parse_http_date(date).map_err(|_| Refusal::BadDate)?;
    let signed = signed.duration_since(UNIX_EPOCH).map_err(|_| Refusal::BadDate)?.as_secs();
    let skew = i64::try_from(signed).map_err(|_| Refusal::BadDate)?.saturating_sub(now_unix);
    if skew.abs() > SKEW_SECS_MAX { Err(Refusal::Skew(skew)) } else { Ok(()) }
}

/// Holds a body against the `x-ms-content-sha256` header that was signed.
///
/// # Errors
/// [`Refusal::HeaderMissing`], [`Refusal::BodyMismatch`].
pub fn verify_body(content_sha256: Option<&str>, body: &[u8]) -> Result<(), Refusal> {
    let claimed = content_sha256.ok_or(Refusal::HeaderMissing)?;
    let claimed = BASE64.decode(claimed).map_err(|_| Refusal::BodyMismatch)?;
    let actual = digest::digest(&digest::SHA256, body);
    aws_lc_rs::constant_time::verify_slices_are_equal(actual.as_ref(), &claimed)
        .map_err(|_| Refusal::BodyMismatch)
}

/// The forms of the host that clients sign: as sent, and with a slash when they were built from a URL.
fn hosts(request: &SignedRequest<'_>, signed: &[String]) -> Result<Vec<String>, Refusal> {
    let host = if signed.iter().any(|name| name == "x-ms-host") {
        request.ms_host.ok_or(Refusal::HeaderMissing)?
    } else {
        request.host
    };
    Ok(vec![host.to_owned(), format!("{host}/")])
}

fn string_to_sign(
    request: &SignedRequest<'_>,
    signed: &[String],
    target: &str,
    host: &str,
) -> Result<String, Refusal> {
    let mut text = format!("{}\n{target}\n", request.method);
    for (index, name) in signed.iter().enumerate() {
        if index > 0 {
            text.push(';');
        }
        text.push_str(match name.as_str() {
            "x-ms-date" => request.date.ok_or(Refusal::HeaderMissing)?,
            "x-ms-content-sha256" => request.content_sha256.ok_or(Refusal::HeaderMissing)?,
            _ => host,
        });
    }
    Ok(text)
}

/// The forms of the target that clients sign, each once: as on the wire; with the query written anew as a form
/// (JavaScript); with the path segments encoded strictly (Python, asynchronous); wholly decoded (older Python).
fn targets(wire: &str) -> Vec<Cow<'_, str>> {
    let (path, query) = match wire.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (wire, None),
    };
    let join = |path: &str, query: Option<&str>| match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let form = query.map(form_query);
    let mut forms = vec![Cow::Borrowed(wire)];
    for candidate in
        [join(path, form.as_deref()), join(&strict_path(path), query), percent_decode(wire, false)]
    {
        if !forms.iter().any(|known| *known == candidate) {
            forms.push(Cow::Owned(candidate));
        }
    }
    forms
}

fn form_query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        encode(&percent_decode(name, true), b"*-._", true, &mut out);
        out.push('=');
        encode(&percent_decode(value, true), b"*-._", true, &mut out);
    }
    out
}

fn strict_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        encode(&percent_decode(segment, false), b"-._~", false, &mut out);
    }
    out
}

fn encode(text: &str, unreserved: &[u8], space_is_plus: bool, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || unreserved.contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b' ' && space_is_plus {
            out.push('+');
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Decodes `%XX`, leaving what is not a valid escape as it is.
fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let escape = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None if byte == b'+' && plus_is_space => out.push(b' '),
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
