//! A media line with what follows it, and attributes.

use super::line::{self, Lines};
use super::{Address, Connection};
use crate::negotiated::Direction;

/// An `m=` line with its `c=` line and attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media<'a> {
    pub(super) kind: &'a str,
    pub(super) port: u16,
    pub(super) port_count: u16,
    pub(super) protocol: &'a str,
    pub(super) formats: Formats<'a>,
    pub(super) connection: Option<Connection<'a>>,
    pub(super) direction: Option<Direction>,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Media<'a> {
    /// Returns the media type: `audio`, `video`, `image`…
    pub fn kind(&self) -> &'a str {
        self.kind
    }

    /// Returns the port; 0 when the stream is refused or removed (RFC 3264 §6, §8.2).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns how many consecutive ports are meant; 1 when not stated.
    pub fn port_count(&self) -> u16 {
        self.port_count
    }

    /// Returns the transport protocol, such as `RTP/AVP`.
    pub fn protocol(&self) -> &'a str {
        self.protocol
    }

    /// Returns the formats in order: payload numbers where the protocol is RTP.
    pub fn formats(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        line::fields(self.formats.0)
    }

    /// Returns the line's own `c=`; the first, where layered multicast has several.
    pub fn connection(&self) -> Option<Connection<'a>> {
        self.connection
    }

    /// Returns the line's own direction attribute.
    pub fn direction(&self) -> Option<Direction> {
        self.direction
    }

    /// Returns the attributes in order.
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// Returns the `a=rtpmap` lines that make sense.
    pub fn rtpmaps(&self) -> impl Iterator<Item = Rtpmap<'a>> + use<'a> {
        self.attributes.values(b"rtpmap").filter_map(Rtpmap::parse)
    }

    /// Returns the parameters of a format.
    pub fn fmtp(&self, number: u8) -> Option<&'a [u8]> {
        self.attributes.values(b"fmtp").find_map(|value| {
            let (head, parameters) = split_space(value)?;
            (line::visible(head).and_then(line::number::<u8>)? == number).then_some(parameters)
        })
    }

    /// Returns the packet time in whole milliseconds.
    pub fn ptime_ms(&self) -> Option<u16> {
        self.attributes.values(b"ptime").find_map(millis)
    }

    /// Returns the longest packet time in whole milliseconds.
    pub fn maxptime_ms(&self) -> Option<u16> {
        self.attributes.values(b"maxptime").find_map(millis)
    }

    /// Returns where RTCP goes when that is not the port after RTP (RFC 3605).
    pub fn rtcp(&self) -> Option<Rtcp<'a>> {
        self.attributes.values(b"rtcp").find_map(Rtcp::parse)
    }

    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.attributes.has(b"rtcp-mux")
    }

    /// Returns the key offers of RFC 4568, as written.
    pub fn cryptos(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.attributes.values(b"crypto")
    }
}

/// The format list as written; equal when the formats are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Formats<'a>(pub(super) &'a str);

impl PartialEq for Formats<'_> {
    fn eq(&self, other: &Self) -> bool {
        line::fields(self.0).eq(line::fields(other.0))
    }
}

impl Eq for Formats<'_> {}

/// The attributes of the session or of a media line, read from the text when asked for.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Checked lines of every type.
    block: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { block }
    }

    /// Returns all attributes in order.
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        Lines::new(self.block).filter_map(|line| line.strip_prefix(b"a=")).map(Attribute::parse)
    }

    /// Returns the values of the attributes of a name. Names are case-sensitive (RFC 8866 §5.13).
    pub fn values(&self, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.iter().filter(move |attribute| attribute.name == name).filter_map(|attribute| attribute.value)
    }

    /// Whether there is an attribute of this name.
    pub fn has(&self, name: &[u8]) -> bool {
        self.iter().any(|attribute| attribute.name == name)
    }
}

impl PartialEq for Attributes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Attributes<'_> {}

/// An `a=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// What stands before the colon.
    pub name: &'a [u8],
    /// What stands after the colon, where there is one.
    pub value: Option<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Self {
        match memchr::memchr(b':', text).and_then(|at| text.split_at_checked(at)) {
            Some((name, rest)) => Self { name, value: Some(rest.get(1..).unwrap_or_default()) },
            None => Self { name: text.trim_ascii_end(), value: None },
        }
    }
}

/// An `a=rtpmap` line: what a payload number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtpmap<'a> {
    /// Payload number, below 128.
    pub number: u8,
    /// Encoding name, to be compared without regard to case.
    pub encoding: &'a str,
    /// Clock rate in hertz.
    pub clock: u32,
    /// Channels; 1 when not stated.
    pub channels: u8,
}

impl<'a> Rtpmap<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let mut fields = line::fields(line::visible(value)?);
        let number = line::number::<u8>(fields.next()?).filter(|&number| number < 128)?;
        let mut parts = fields.next()?.split('/');
        let encoding = parts.next().filter(|name| !name.is_empty())?;
        let clock = line::number(parts.next()?)?;
        let channels = match parts.next() {
            Some(text) => line::number(text)?,
            None => 1,
        };
        Some(Self { number, encoding, clock, channels })
    }
}

/// An `a=rtcp` line (RFC 3605).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtcp<'a> {
    /// Port, never 0.
    pub port: u16,
    /// Address, where it differs from that of RTP.
    pub address: Option<Address<'a>>,
}

impl<'a> Rtcp<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let mut fields = line::fields(line::visible(value)?);
        let port = line::number(fields.next()?).filter(|&port| port != 0)?;
        let address = match fields.next() {
            Some(network) => Some(super::parse::address(network, fields.next()?, fields.next()?).ok()?),
            None => None,
        };
        Some(Self { port, address })
    }
}

/// Reads milliseconds. Fractions are allowed since RFC 8866 §6.4; no codec of ours has packets of such length.
fn millis(value: &[u8]) -> Option<u16> {
    let text = line::visible(value)?.trim();
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    line::number(whole).filter(|&ms| ms != 0)
}

/// Splits at the first space.
fn split_space(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.trim_ascii_start();
    let (head, rest) = value.split_at_checked(memchr::memchr(b' ', value)?)?;
    Some((head, rest.trim_ascii_start()))
}
