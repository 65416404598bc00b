//! Session descriptions (RFC 8866), as far as telephony needs them.
//!
//! [`Sdp::parse`] borrows the text, checks every line once, and allocates only the list of media lines. It is
//! lenient where carriers are sloppy (bare LF, blank lines, missing `s=` and `t=`, lines out of order) and says
//! line and reason where it refuses. Attributes never make a description invalid: one that makes no sense
//! is as good as one that is unknown (RFC 8866 §5.13).

mod line;
mod media;
mod parse;
mod write;

pub use media::{Attribute, Attributes, Media, Rtcp, Rtpmap};
pub use parse::{ParseError, Reason};
pub(crate) use write::Writer;

use crate::negotiated::Direction;
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A parsed session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp<'a> {
    origin: Origin<'a>,
    name: &'a [u8],
    connection: Option<Connection<'a>>,
    timing: Option<(u64, u64)>,
    direction: Option<Direction>,
    attributes: Attributes<'a>,
    media: Vec<Media<'a>>,
}

impl<'a> Sdp<'a> {
    /// Parses a description, or names the line that makes it none and why.
    ///
    /// # Errors
    /// Only structure is judged: the lines `v= o= s= c= t= m=`, line form, and the limits of this module.
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        parse::parse(text)
    }

    /// Returns who made the description, and which version it is.
    pub fn origin(&self) -> &Origin<'a> {
        &self.origin
    }

    /// Returns the session name; empty when the line is missing.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Returns the session's `c=` line.
    pub fn connection(&self) -> Option<Connection<'a>> {
        self.connection
    }

    /// Returns the start and stop of the first `t=` line.
    pub fn timing(&self) -> Option<(u64, u64)> {
        self.timing
    }

    /// Returns the session's attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// Returns the media lines in order, refused ones included.
    pub fn media(&self) -> &[Media<'a>] {
        &self.media
    }

    /// Returns the connection that counts for a media line: its own, else the session's (RFC 8866 §5.7).
    pub fn connection_of(&self, media: &Media<'a>) -> Option<Connection<'a>> {
        media.connection().or(self.connection)
    }

    /// Returns the direction that counts for a media line: its own, else the session's, else both ways.
    pub fn direction_of(&self, media: &Media<'a>) -> Direction {
        media.direction().or(self.direction).unwrap_or_default()
    }

    /// Prints the description in the order and with the line ends that RFC 8866 §5 demands.
    ///
    /// Lines outside the model (`i= u= e= p= b= r= z= k=`) are left out.
    pub fn print(&self) -> Bytes {
        write::print(self)
    }
}

/// The `o=` line: who made the description, and which version of it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// User name, `-` mostly. May hold spaces: some exchanges put a display name there.
    pub username: &'a [u8],
    /// Session id. Numeric by the standard, but only ever compared.
    pub session_id: &'a str,
    /// Version. Numeric by the standard, but only ever compared.
    pub version: &'a str,
    /// Network, address type and address of the maker, as written: never used, so never judged.
    pub address: &'a str,
}

/// A `c=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<'a> {
    /// Where media goes.
    pub address: Address<'a>,
}

impl Connection<'_> {
    /// Whether the line says that nothing may be sent: the hold of RFC 2543 (RFC 3264 §8.4), or a name under
    /// `.invalid`, which stands for it in IPv6 (RFC 6157).
    pub fn is_hold(&self) -> bool {
        match self.address {
            Address::Ip(ip) => ip.is_unspecified(),
            Address::Name { name, .. } => {
                let name = name.strip_suffix('.').unwrap_or(name);
                let suffix = name.rsplit('.').next().unwrap_or(name);
                suffix.eq_ignore_ascii_case("invalid")
            }
        }
    }
}

/// An address of a `c=` or `a=rtcp` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// A literal address.
    Ip(IpAddr),
    /// A name, and whether it was said to lead to IPv6.
    Name {
        /// The name as written.
        name: &'a str,
        /// Whether the address type was IP6.
        ipv6: bool,
    },
}

impl<'a> Address<'a> {
    /// Returns the literal address; none for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Self::Ip(ip) => Some(ip),
            Self::Name { .. } => None,
        }
    }

    /// Returns the unspecified address of the same family.
    pub fn unspecified(&self) -> IpAddr {
        match *self {
            Self::Ip(IpAddr::V4(_)) | Self::Name { ipv6: false, .. } => Ipv4Addr::UNSPECIFIED.into(),
            Self::Ip(IpAddr::V6(_)) | Self::Name { ipv6: true, .. } => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// Largest description accepted.
///
/// Carrier offers stay below 2 KiB and browser offers with video below 10 KiB.
pub const SDP_BYTES_MAX: usize = 16 * 1024;

/// Longest line accepted, its end not counted.
///
/// The longest lines met are video parameter sets of a few hundred bytes.
pub const LINE_BYTES_MAX: usize = 2 * 1024;

/// Most lines accepted.
///
/// A browser offer with ten candidates and two video codecs has about two hundred.
pub const LINES_MAX: usize = 1024;

/// Most media lines accepted.
///
/// A telephone call has one or two; sixteen leave room for conferencing gear whose other lines we refuse.
pub const MEDIA_MAX: usize = 16;

/// Most formats of one media line.
///
/// There are 128 RTP payload numbers.
pub const FORMATS_MAX: usize = 128;
