//! The parser: one pass that checks every line and finds the media lines.

use super::line::{self, Lines};
use super::media::{Attribute, Attributes, Formats, Media};
use super::{
    Address, Connection, FORMATS_MAX, LINE_BYTES_MAX, LINES_MAX, MEDIA_MAX, Origin, SDP_BYTES_MAX, Sdp,
};
use crate::negotiated::Direction;

/// Why a text is no session description, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SDP line {line}: {reason}")]
pub struct ParseError {
    /// The line, counted from 1; the last one where something is missing.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// More than [`SDP_BYTES_MAX`](super::SDP_BYTES_MAX).
    #[error("description is too long")]
    TooLong,
    /// More than [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
    #[error("line is too long")]
    LineTooLong,
    /// More than [`LINES_MAX`](super::LINES_MAX).
    #[error("too many lines")]
    TooManyLines,
    /// More than [`MEDIA_MAX`](super::MEDIA_MAX).
    #[error("too many m= lines")]
    TooManyMedia,
    /// More than [`FORMATS_MAX`](super::FORMATS_MAX).
    #[error("too many formats")]
    TooManyFormats,
    /// A NUL, or a CR inside a line.
    #[error("forbidden byte")]
    ForbiddenByte,
    /// Not a letter, `=` and a value.
    #[error("not of the form x=value")]
    Form,
    /// A type letter that RFC 8866 does not have; such a description must not be used (RFC 8866 §5).
    #[error("unknown line type")]
    UnknownType,
    /// The first line is not `v=`.
    #[error("does not begin with v=")]
    NoVersion,
    /// `v=` is not 0.
    #[error("unknown version")]
    Version,
    /// There is no `o=` line.
    #[error("o= is missing")]
    NoOrigin,
    /// A second line of a type that may stand once.
    #[error("line is repeated")]
    Repeated,
    /// A session line behind the first `m=`.
    #[error("line is out of place")]
    OutOfPlace,
    /// `o=` does not have its six fields.
    #[error("bad o= line")]
    Origin,
    /// `t=` is not two numbers.
    #[error("bad t= line")]
    Timing,
    /// An address line does not have its three fields, or the address is none of its type.
    #[error("bad address")]
    Address,
    /// A network or address type other than `IN IP4` and `IN IP6`.
    #[error("unknown network type")]
    Network,
    /// `m=` lacks fields or has odd bytes.
    #[error("bad m= line")]
    Media,
    /// The port of `m=` is none.
    #[error("bad port")]
    Port,
}

impl ParseError {
    /// Returns the code and text for the Warning of a 400 or 488 (RFC 3261 §20.43).
    pub fn warning(&self) -> (u16, &'static str) {
        match self.reason {
            Reason::Network => (300, "Incompatible network protocol"),
            Reason::Address => (301, "Incompatible network address formats"),
            Reason::TooLong
            | Reason::LineTooLong
            | Reason::TooManyLines
            | Reason::TooManyMedia
            | Reason::TooManyFormats => (399, "Session description exceeds a limit"),
            Reason::ForbiddenByte
            | Reason::Form
            | Reason::UnknownType
            | Reason::NoVersion
            | Reason::Version
            | Reason::NoOrigin
            | Reason::Repeated
            | Reason::OutOfPlace
            | Reason::Origin
            | Reason::Timing
            | Reason::Media
            | Reason::Port => (307, "Session description parameter not understood"),
        }
    }
}

pub(super) fn parse(text: &[u8]) -> Result<Sdp<'_>, ParseError> {
    if text.len() > SDP_BYTES_MAX {
        return Err(ParseError { line: 1, reason: Reason::TooLong });
    }
    let mut parser = Parser::new(text);
    match parser.read_lines() {
        Ok(()) => parser.finish().map_err(|reason| (parser.line, reason)),
        Err(reason) => Err((parser.line, reason)),
    }
    .map_err(|(line, reason)| ParseError { line: line.max(1), reason })
}

/// What has been read so far.
struct Parser<'a> {
    text: &'a [u8],
    lines: Lines<'a>,
    line: usize,
    version_seen: bool,
    origin: Option<Origin<'a>>,
    name: Option<&'a [u8]>,
    connection: Option<Connection<'a>>,
    timing: Option<(u64, u64)>,
    direction: Option<Direction>,
    /// The session's lines, once the first `m=` came.
    session: Option<&'a [u8]>,
    media: Vec<Media<'a>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            lines: Lines::new(text),
            line: 0,
            version_seen: false,
            origin: None,
            name: None,
            connection: None,
            timing: None,
            direction: None,
            session: None,
            media: Vec::new(),
        }
    }

    fn read_lines(&mut self) -> Result<(), Reason> {
        // Where the lines behind the newest m= (or of the session) begin.
        let mut block = self.text;
        loop {
            let before = self.lines.rest();
            let Some(line) = self.lines.next_raw() else {
                self.close(block, before);
                return Ok(());
            };
            self.line += 1;
            if self.line > LINES_MAX {
                return Err(Reason::TooManyLines);
            }
            if line.is_empty() {
                continue;
            }
            let (kind, value) = split(line)?;
            if kind == b'm' {
                self.close(block, before);
                block = self.lines.rest();
                self.read_media(value)?;
            } else {
                self.read_line(kind, value)?;
            }
        }
    }

    /// Gives the lines from `block` up to `end` to the session or to the newest media line.
    fn close(&mut self, block: &'a [u8], end: &'a [u8]) {
        let own = block.get(..block.len().saturating_sub(end.len())).unwrap_or_default();
        match self.media.last_mut() {
            Some(media) => media.attributes = Attributes::new(own),
            None => self.session = Some(own),
        }
    }

    fn read_line(&mut self, kind: u8, value: &'a [u8]) -> Result<(), Reason> {
        if !self.version_seen && kind != b'v' {
            return Err(Reason::NoVersion);
        }
        match kind {
            b'v' => self.read_version(value),
            b'o' => self.session_line().and_then(|()| once(&mut self.origin, origin(value)?)),
            b's' => self.session_line().and_then(|()| once(&mut self.name, value)),
            b'c' => self.read_connection(value),
            b't' => self.read_timing(value),
            b'a' => {
                self.read_attribute(value);
                Ok(())
            }
            b'u' | b'e' | b'p' | b'r' | b'z' => self.session_line(),
            b'i' | b'b' | b'k' => Ok(()),
            _ => Err(Reason::UnknownType),
        }
    }

    fn session_line(&self) -> Result<(), Reason> {
        if self.media.is_empty() { Ok(()) } else { Err(Reason::OutOfPlace) }
    }

    fn read_version(&mut self, value: &[u8]) -> Result<(), Reason> {
        if self.version_seen {
            return Err(Reason::Repeated);
        }
        if value.trim_ascii_end() != b"0" {
            return Err(Reason::Version);
        }
        self.version_seen = true;
        Ok(())
    }

    fn read_connection(&mut self, value: &'a [u8]) -> Result<(), Reason> {
        let connection = connection(value)?;
        match self.media.last_mut() {
            // RFC 8866 §5.7: several are layers of one multicast; the first is the base.
            Some(media) => {
                media.connection.get_or_insert(connection);
                Ok(())
            }
            None => once(&mut self.connection, connection),
        }
    }

    fn read_timing(&mut self, value: &[u8]) -> Result<(), Reason> {
        self.session_line()?;
        let mut fields = line::fields(line::visible(value).ok_or(Reason::Timing)?);
        let (Some(start), Some(stop), None) = (fields.next(), fields.next(), fields.next()) else {
            return Err(Reason::Timing);
        };
        let timing = line::number(start).zip(line::number(stop)).ok_or(Reason::Timing)?;
        self.timing.get_or_insert(timing);
        Ok(())
    }

    fn read_attribute(&mut self, value: &[u8]) {
        let attribute = Attribute::parse(value);
        let direction = match attribute.value {
            None => Direction::parse(attribute.name),
            Some(_) => None,
        };
        if let Some(direction) = direction {
            match self.media.last_mut() {
                Some(media) => media.direction.get_or_insert(direction),
                None => self.direction.get_or_insert(direction),
            };
        }
    }

    fn read_media(&mut self, value: &'a [u8]) -> Result<(), Reason> {
        if !self.version_seen {
            return Err(Reason::NoVersion);
        }
        if self.media.len() >= MEDIA_MAX {
            return Err(Reason::TooManyMedia);
        }
        self.media.push(media(value)?);
        Ok(())
    }

    fn finish(&mut self) -> Result<Sdp<'a>, Reason> {
        if !self.version_seen {
            return Err(Reason::NoVersion);
        }
        Ok(Sdp {
            origin: self.origin.ok_or(Reason::NoOrigin)?,
            // RFC 8866 demands s= and t=; a call loses nothing without them.
            name: self.name.unwrap_or_default(),
            connection: self.connection,
            timing: self.timing,
            direction: self.direction,
            attributes: Attributes::new(self.session.unwrap_or_default()),
            media: std::mem::take(&mut self.media),
        })
    }
}

/// Splits a line into its type letter and its value, and checks its bytes.
fn split(line: &[u8]) -> Result<(u8, &[u8]), Reason> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Reason::LineTooLong);
    }
    if memchr::memchr2(b'\0', b'\r', line).is_some() {
        return Err(Reason::ForbiddenByte);
    }
    match line {
        [kind, b'=', value @ ..] if kind.is_ascii_alphabetic() => Ok((*kind, value)),
        _ => Err(Reason::Form),
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Reason> {
    match place {
        Some(_) => Err(Reason::Repeated),
        None => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// Reads `o=`. Fields are taken from the end, for a user name may hold spaces in the wild.
fn origin(value: &[u8]) -> Result<Origin<'_>, Reason> {
    let value = value.trim_ascii_end();
    let (head, address) = split_last(value, 3).ok_or(Reason::Origin)?;
    let (head, version) = split_last(head, 1).ok_or(Reason::Origin)?;
    let (username, session_id) = split_last(head, 1).ok_or(Reason::Origin)?;
    if username.is_empty() {
        return Err(Reason::Origin);
    }
    Ok(Origin { username, session_id, version, address })
}

/// Splits off the last fields, each of visible ASCII.
fn split_last(text: &[u8], count: usize) -> Option<(&[u8], &str)> {
    let mut head = text;
    for _ in 0..count {
        let (before, field) = head.split_at_checked(memchr::memrchr(b' ', head)?)?;
        if field.len() < 2 {
            return None;
        }
        head = before.trim_ascii_end();
    }
    let tail = text.get(head.len()..)?.trim_ascii_start();
    Some((head, line::visible(tail)?))
}

/// Reads `c=`. A time to live or an address count only says that the address is multicast, which is seen anyway.
fn connection(value: &[u8]) -> Result<Connection<'_>, Reason> {
    let mut fields = line::fields(line::visible(value).ok_or(Reason::Address)?);
    let (Some(network), Some(kind), Some(host), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Reason::Address);
    };
    let host = host.split_once('/').map_or(host, |(host, _)| host);
    Ok(Connection { address: address(network, kind, host)? })
}

/// Reads the three fields of an address.
pub(super) fn address<'a>(network: &str, kind: &str, host: &'a str) -> Result<Address<'a>, Reason> {
    if !network.eq_ignore_ascii_case("IN") {
        return Err(Reason::Network);
    }
    let ipv6 = match kind {
        "IP4" | "ip4" => false,
        "IP6" | "ip6" => true,
        _ => return Err(Reason::Network),
    };
    if let Ok(ip) = host.parse::<std::net::IpAddr>() {
        return if ip.is_ipv6() == ipv6 { Ok(Address::Ip(ip)) } else { Err(Reason::Address) };
    }
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    // Four numbers that are no address, such as 256.1.1.1, are no name either.
    let has_letter = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    if is_name && has_letter && host.len() <= HOST_BYTES_MAX {
        Ok(Address::Name { name: host, ipv6 })
    } else {
        Err(Reason::Address)
    }
}

fn media(value: &[u8]) -> Result<Media<'_>, Reason> {
    let text = line::visible(value).ok_or(Reason::Media)?.trim_start_matches(' ');
    let (kind, rest) = text.split_once(' ').ok_or(Reason::Media)?;
    let (ports, rest) = rest.trim_start_matches(' ').split_once(' ').ok_or(Reason::Media)?;
    let rest = rest.trim_start_matches(' ');
    let (protocol, formats) = rest.split_once(' ').unwrap_or((rest, ""));
    if protocol.is_empty() {
        return Err(Reason::Media);
    }
    let (port, port_count) = match ports.split_once('/') {
        Some((port, count)) => (port, line::number(count).filter(|&count| count != 0).ok_or(Reason::Port)?),
        None => (ports, 1),
    };
    let port = line::number(port).ok_or(Reason::Port)?;
    match line::fields(formats).take(FORMATS_MAX + 1).count() {
        // Some leave out the formats of a refused line.
        0 if port != 0 => return Err(Reason::Media),
        count if count > FORMATS_MAX => return Err(Reason::TooManyFormats),
        _ => {}
    }
    Ok(Media {
        kind,
        port,
        port_count,
        protocol,
        formats: Formats(formats),
        connection: None,
        direction: None,
        attributes: Attributes::new(&[]),
    })
}

/// Longest host name (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 255;

// The list of media lines is all that is allocated; while it grows, its old half exists too. That must stay
// below 4 KiB, whatever arrives.
const _: () = assert!((MEDIA_MAX + MEDIA_MAX / 2) * size_of::<Media<'_>>() <= 4096);
