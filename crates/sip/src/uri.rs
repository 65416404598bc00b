//! `sip:`, `sips:` and `tel:` URIs (RFC 3261 §19.1, RFC 3966).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::header::{Params, split_params};
use crate::scan::{any, split_once};

mod compare;

/// A URI, read but not copied.
///
/// Schemes that signalling cannot route by are kept whole as [`Scheme::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    text: &'a str,
    scheme: Scheme,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: Option<Host<'a>>,
    port: Option<u16>,
    params: Params<'a>,
    headers: &'a str,
}

/// What a URI names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A SIP resource.
    Sip,
    /// A SIP resource that is reached over TLS only.
    Sips,
    /// A telephone number.
    Tel,
    /// Anything else; it has no user, host or parameters for us.
    Other,
}

/// The host of a URI or of a Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A literal address; IPv6 stands in brackets on the wire.
    Ip(IpAddr),
    /// A domain name.
    Name(&'a str),
}

/// Why text is not a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUri {
    /// No scheme before a colon.
    #[error("URI has no scheme")]
    Scheme,
    /// The user part has a byte that must be escaped, or is empty.
    #[error("URI has a malformed user part")]
    User,
    /// The host is neither a name nor an address.
    #[error("URI has a malformed host")]
    Host,
    /// The port is not 1 to 65535.
    #[error("URI has a malformed port")]
    Port,
    /// Space, a control character, `<`, `>` or `"` in the URI.
    #[error("URI holds a character that must be escaped")]
    Character,
    /// The telephone number has no digits, or other signs than RFC 3966 allows.
    #[error("tel URI has a malformed number")]
    Number,
}

impl<'a> Uri<'a> {
    /// Reads a URI.
    pub fn parse(text: &'a str) -> Result<Self, InvalidUri> {
        // Brackets differ in one bit.
        let is_strange = |byte: u8| (byte <= b' ') | (byte & !2 == b'<') | (byte == b'"') | (byte == 0x7f);
        if any(text.as_bytes(), is_strange) {
            return Err(InvalidUri::Character);
        }
        let (scheme, rest) = split_once(text, b':').ok_or(InvalidUri::Scheme)?;
        if scheme.eq_ignore_ascii_case("sip") {
            return Self::parse_sip(text, Scheme::Sip, rest);
        }
        if scheme.eq_ignore_ascii_case("sips") {
            return Self::parse_sip(text, Scheme::Sips, rest);
        }
        if scheme.eq_ignore_ascii_case("tel") {
            return Self::parse_tel(text, rest);
        }
        let mut letters = scheme.bytes();
        let starts_well = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !starts_well
            || !letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        {
            return Err(InvalidUri::Scheme);
        }
        let params = Params::default();
        Ok(Self {
            text,
            scheme: Scheme::Other,
            user: None,
            password: None,
            host: None,
            port: None,
            params,
            headers: "",
        })
    }

    fn parse_sip(text: &'a str, scheme: Scheme, rest: &'a str) -> Result<Self, InvalidUri> {
        // The user part may hold ; and ? unescaped but never @, so the @ is found first (RFC 3261 §25.1).
        let (userinfo, rest) = match split_once(rest, b'@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = match userinfo {
            Some(userinfo) => match split_once(userinfo, b':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(userinfo), None),
            },
            None => (None, None),
        };
        if user.is_some_and(|user| user.is_empty()) {
            return Err(InvalidUri::User);
        }
        let (host, rest) = Host::parse_prefix(rest).ok_or(InvalidUri::Host)?;
        let end_of_port = rest.bytes().position(|byte| matches!(byte, b';' | b'?')).unwrap_or(rest.len());
        let (port, rest) = rest.split_at(end_of_port);
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(crate::header::port(digits.as_bytes()).ok_or(InvalidUri::Port)?),
            None if port.is_empty() => None,
            None => return Err(InvalidUri::Host),
        };
        let (params, headers) = split_once(rest, b'?').unwrap_or((rest, ""));
        let params = Params::new(params);
        Ok(Self { text, scheme, user, password, host: Some(host), port, params, headers })
    }

    fn parse_tel(text: &'a str, rest: &'a str) -> Result<Self, InvalidUri> {
        let (number, params) = split_params(rest);
        let digits = number.strip_prefix('+').unwrap_or(number);
        let global = digits.len() < number.len();
        let sign = |byte: u8| match byte {
            b'0'..=b'9' | b'-' | b'.' | b'(' | b')' => true,
            b'*' | b'#' | b'a'..=b'f' | b'A'..=b'F' => !global,
            _ => false,
        };
        if !digits.bytes().all(sign)
            || !digits.bytes().any(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'#'))
        {
            return Err(InvalidUri::Number);
        }
        let params = Params::new(params);
        Ok(Self {
            text,
            scheme: Scheme::Tel,
            user: Some(number),
            password: None,
            host: None,
            port: None,
            params,
            headers: "",
        })
    }

    /// Returns the URI as it stands.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the user part without its escapes; of a `tel:` URI, the number.
    pub fn user(&self) -> Option<Cow<'a, str>> {
        self.user.map(unescape)
    }

    /// Returns the user part as it stands.
    pub fn user_raw(&self) -> Option<&'a str> {
        self.user
    }

    /// Returns the password as it stands. Nobody should send one (RFC 3261 §19.1.1).
    pub fn password(&self) -> Option<&'a str> {
        self.password
    }

    /// Returns the host. Only `sip:` and `sips:` URIs have one.
    pub fn host(&self) -> Option<Host<'a>> {
        self.host
    }

    /// Returns the port, if it is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// Returns what follows the question mark.
    pub fn headers(&self) -> &'a str {
        self.headers
    }

    /// Returns the value of a parameter; of one without a value, the empty text. Escapes in both are read.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut params = self.params.iter();
        let (_, value) = params.find(|(found, _)| unescape(found).eq_ignore_ascii_case(name))?;
        Some(value.map_or(Cow::Borrowed(""), unescape))
    }

    /// Returns true for the URI of a loose router (RFC 3261 §19.1.1 `lr`).
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<'a> Host<'a> {
    /// Reads the host at the start of text and returns what follows it.
    pub(crate) fn parse_prefix(text: &'a str) -> Option<(Self, &'a str)> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = split_once(rest, b']')?;
            return Some((Self::Ip(IpAddr::V6(parse_v6(address)?)), rest));
        }
        if let Some((address, rest)) = parse_v4_prefix(text) {
            return Some((Self::Ip(IpAddr::V4(address)), rest));
        }
        let end = text.bytes().position(|byte| !is_name_byte(byte)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        let labels_are_whole = !name.as_bytes().windows(2).any(|pair| pair == b"..");
        // A name whose last label is of digits can only be an address (RFC 3261 §25.1 toplabel): a broken one.
        let is_numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let is_name = labels_are_whole && !is_numeric && !name.starts_with(['.', '-']);
        is_name.then_some((Self::Name(name), rest))
    }
}

/// Underscores are no letters of host names, but stand in names of private networks.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// Reads an IPv4 address of four decimal numbers, and returns what follows it.
fn parse_v4_prefix(text: &str) -> Option<(Ipv4Addr, &str)> {
    let mut rest = text.as_bytes();
    let mut address = 0_u32;
    for dots_left in (0..4).rev() {
        let (octet, after) = match rest {
            [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
                (digit(*a) * 100 + digit(*b) * 10 + digit(*c), after)
            }
            [a @ b'0'..=b'9', b @ b'0'..=b'9', after @ ..] => (digit(*a) * 10 + digit(*b), after),
            [a @ b'0'..=b'9', after @ ..] => (digit(*a), after),
            _ => return None,
        };
        if octet > 255 {
            return None;
        }
        address = address << 8 | octet;
        rest = match after {
            [b'.', after @ ..] if dots_left > 0 => after,
            _ if dots_left > 0 => return None,
            after => after,
        };
    }
    if rest.first().is_some_and(|byte| is_name_byte(*byte)) {
        return None;
    }
    Some((Ipv4Addr::from_bits(address), text.get(text.len() - rest.len()..)?))
}

fn digit(byte: u8) -> u32 {
    u32::from(byte - b'0')
}

/// Reads an IPv6 address.
fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    match text.parse() {
        Ok(address) => Some(address),
        // RFC 5118 §4.10: the grammar of RFC 3261 yields a third colon before an embedded IPv4 address, and both
        // forms must be tolerated. Nowhere else is the third one more than a mistake.
        Err(_) if text.contains('.') => text.replacen(":::", "::", 1).parse().ok(),
        Err(_) => None,
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Returns text with its `%41` escapes replaced; what is not an escape, or not UTF-8 then, stays.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        match tail {
            [high, low, after @ ..] if *byte == b'%' => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    plain.push(high << 4 | low);
                    rest = after;
                    continue;
                }
                (Some(_), None) | (None, Some(_)) | (None, None) => plain.push(b'%'),
            },
            _ => plain.push(*byte),
        }
        rest = tail;
    }
    match String::from_utf8(plain) {
        Ok(plain) => Cow::Owned(plain),
        Err(_) => Cow::Borrowed(text),
    }
}

/// Returns a user part with everything escaped that may not stand there as it is.
pub fn escape_user(text: &str) -> Cow<'_, str> {
    // RFC 3261 §25.1: unreserved and user-unreserved.
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
            || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
    };
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.extend(
                [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')),
            );
        }
    }
    Cow::Owned(escaped)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
