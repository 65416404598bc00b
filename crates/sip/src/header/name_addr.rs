//! The address headers: From, To, Contact, Route, Record-Route, P-Asserted-Identity… (RFC 3261 §20.10).

use std::borrow::Cow;

use super::params::{Params, split_params};
use crate::scan::{find, split_once};
use crate::uri::{InvalidUri, Uri};

/// A display name, a URI and header parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    display: &'a [u8],
    uri: &'a str,
    params: Params<'a>,
}

/// Why a value is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNameAddr {
    /// There is nothing where the URI should be.
    #[error("address has no URI")]
    NoUri,
    /// A quoted display name does not end.
    #[error("display name has no closing quote")]
    OpenQuote,
    /// A `<` without its `>`.
    #[error("address has no closing >")]
    OpenAngle,
    /// A URI with a question mark or comma outside `<>` (RFC 3261 §20.10).
    #[error("URI with headers is not enclosed in <>")]
    BareUri,
    /// Something other than a parameter follows the URI.
    #[error("text after the address is not a parameter")]
    Trailing,
    /// The URI is not one.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// URI or parameters are not UTF-8.
    #[error("address is not UTF-8")]
    NotText,
}

impl<'a> NameAddr<'a> {
    /// Reads one address, either `"name" <uri>;params` or `uri;params`.
    pub fn parse(value: &'a [u8]) -> Result<Self, InvalidNameAddr> {
        let value = value.trim_ascii();
        match find_angle(value)? {
            Some(open) => Self::parse_enclosed(value, open),
            None => Self::parse_bare(value),
        }
    }

    fn parse_enclosed(value: &'a [u8], open: usize) -> Result<Self, InvalidNameAddr> {
        let (display, rest) = value.split_at_checked(open).ok_or(InvalidNameAddr::NoUri)?;
        let rest = rest.strip_prefix(b"<").ok_or(InvalidNameAddr::NoUri)?;
        let (uri, params) = split_once(text(rest)?, b'>').ok_or(InvalidNameAddr::OpenAngle)?;
        let params = params.trim_ascii();
        if !params.is_empty() && !params.starts_with(';') {
            return Err(InvalidNameAddr::Trailing);
        }
        // RFC 4475 §3.1.2.14 has space inside <>, an error that peers are asked to be liberal about.
        Self::checked(display.trim_ascii(), uri.trim_ascii(), params)
    }

    fn parse_bare(value: &'a [u8]) -> Result<Self, InvalidNameAddr> {
        let value = text(value)?;
        let (uri, params) = split_params(value);
        if uri.bytes().any(|byte| matches!(byte, b'?' | b',')) {
            return Err(InvalidNameAddr::BareUri);
        }
        Self::checked(b"", uri.trim_ascii(), params)
    }

    fn checked(display: &'a [u8], uri: &'a str, params: &'a str) -> Result<Self, InvalidNameAddr> {
        if uri.is_empty() {
            return Err(InvalidNameAddr::NoUri);
        }
        Uri::parse(uri)?;
        Ok(Self { display, uri, params: Params::new(params) })
    }

    /// Returns the display name without its quotes and escapes; bytes that are not UTF-8 are replaced.
    pub fn display(&self) -> Cow<'a, str> {
        let Some(quoted) = self.display.strip_prefix(b"\"") else {
            return String::from_utf8_lossy(self.display);
        };
        let inner = quoted.strip_suffix(b"\"").unwrap_or(quoted);
        if memchr::memchr(b'\\', inner).is_none() {
            return String::from_utf8_lossy(inner);
        }
        let mut plain = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'\\' => plain.extend(bytes.next()),
                _ => plain.push(byte),
            }
        }
        Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
    }

    /// Returns the display name as it stands, quotes and escapes included.
    pub fn display_raw(&self) -> &'a [u8] {
        self.display
    }

    /// Returns the text of the URI.
    pub fn uri_text(&self) -> &'a str {
        self.uri
    }

    /// Returns the URI.
    pub fn uri(&self) -> Result<Uri<'a>, InvalidUri> {
        Uri::parse(self.uri)
    }

    /// Returns the parameters of the header, which are not those of the URI.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// Returns the dialog tag, if there is one.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

/// Finds the `<` that starts the URI, past a quoted display name.
fn find_angle(value: &[u8]) -> Result<Option<usize>, InvalidNameAddr> {
    if !value.starts_with(b"\"") {
        return Ok(find(value, b'<'));
    }
    let mut escaped = false;
    for (at, &byte) in value.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let rest = value.get(at + 1..).unwrap_or_default();
                return match rest.iter().position(|&byte| byte == b'<') {
                    Some(angle) => Ok(Some(at + 1 + angle)),
                    None => Err(InvalidNameAddr::NoUri),
                };
            }
            _ => {}
        }
    }
    Err(InvalidNameAddr::OpenQuote)
}

fn text(bytes: &[u8]) -> Result<&str, InvalidNameAddr> {
    std::str::from_utf8(bytes).map_err(|_| InvalidNameAddr::NotText)
}
