//! Requests and responses: one `Bytes`, and an index over its header fields.
//!
//! Reading is lenient where peers are sloppy without being ambiguous, writing is strict. Fields that nobody
//! touched stay as they came, byte for byte, but for folding: RFC 3261 §7.3.1 makes a line break before
//! white space mean one space, peers disagree about reading it, so it is replaced by as many spaces on arrival.

mod build;
mod error;
mod parse;
mod respond;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use build::{BuildError, MessageBuilder};
pub use error::{ParseError, ParseErrorKind};
pub(crate) use parse::{content_length, trim_name};
pub use respond::response_to;

use crate::header::{CSeq, InvalidCSeq, InvalidNameAddr, InvalidVia, Name, NameAddr, Via, decimal, items};
use crate::method::Method;
use crate::uri::{InvalidUri, Uri};

/// Largest message, in bytes.
///
/// The largest UDP datagram; carrier INVITEs with SDP, ISUP and a Record-Route chain stay below 8 KiB.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most header fields in a message.
///
/// Carrier INVITEs have 20 to 40, and a long Via and Record-Route chain adds two for each of at most 70 hops
/// that Max-Forwards allows; real chains are under ten hops.
pub const HEADERS_MAX: usize = 128;

/// Largest header field, name and value, in bytes.
///
/// A STIR Identity header with its token is the largest one seen, at about 1 KiB.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;

/// A request or a response, parsed or built. Cloning it copies no text.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    body: Bytes,
    start: Start,
    fields: Arc<[Field]>,
    /// The names among the fields, a bit each: most look-ups are for fields that are not there.
    names: Names,
}

/// The first line of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// `METHOD uri SIP/2.0`
    Request {
        /// What is asked.
        method: &'a Method,
        /// Of whom.
        uri: &'a str,
    },
    /// `SIP/2.0 status reason`
    Response {
        /// The outcome.
        status: u16,
        /// The outcome for people, as the peer phrased it.
        reason: &'a str,
    },
}

#[derive(Debug, Clone)]
enum Start {
    Request { method: Method, uri: Span },
    Response { status: u16, reason: Span },
}

/// A set of names.
#[derive(Debug, Clone, Copy, Default)]
struct Names(u128);

/// Bytes of a message. Offsets fit, for a message is at most `MESSAGE_BYTES_MAX` long.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    len: u32,
}

/// A header field: where its name and value stand. A field is at most `HEADER_BYTES_MAX` long.
#[derive(Debug, Clone, Copy)]
struct Field {
    known: Option<Name>,
    name_len: u16,
    value_len: u16,
    name_start: u32,
    value_start: u32,
}

impl Message {
    /// Reads a message that came whole: a datagram, or a frame that the [`Framer`](crate::framing::Framer) cut.
    ///
    /// The body is as long as Content-Length says, and the rest of the bytes if it says nothing
    /// (RFC 3261 §18.3). What every transaction needs is checked here: Via, From, To, Call-ID, CSeq.
    pub fn parse(bytes: Bytes) -> Result<Self, ParseError> {
        parse::message(bytes)
    }

    /// Returns the first line.
    pub fn start(&self) -> StartLine<'_> {
        match &self.start {
            Start::Request { method, uri } => StartLine::Request { method, uri: self.text(*uri) },
            Start::Response { status, reason } => {
                StartLine::Response { status: *status, reason: self.text(*reason) }
            }
        }
    }

    /// Returns true for a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// Returns the method of a request. That of a response is in its [`cseq`](Self::cseq).
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// Returns the text of the Request-URI; empty for a response.
    pub fn uri_text(&self) -> &str {
        match &self.start {
            Start::Request { uri, .. } => self.text(*uri),
            Start::Response { .. } => "",
        }
    }

    /// Returns the Request-URI.
    pub fn uri(&self) -> Result<Uri<'_>, InvalidUri> {
        Uri::parse(self.uri_text())
    }

    /// Returns the status code of a response.
    pub fn status(&self) -> Option<u16> {
        match &self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(*status),
        }
    }

    /// Returns the reason phrase of a response, as it stands; empty for a request.
    pub fn reason(&self) -> &str {
        match &self.start {
            Start::Request { .. } => "",
            Start::Response { reason, .. } => self.text(*reason),
        }
    }

    /// Returns the CSeq.
    pub fn cseq(&self) -> Result<CSeq, InvalidCSeq> {
        CSeq::parse(self.raw(Name::CSeq).unwrap_or_default())
    }

    /// Returns the Call-ID; empty when there is none.
    pub fn call_id(&self) -> &str {
        self.header(Name::CallId).unwrap_or_default()
    }

    /// Returns who sent it.
    pub fn from(&self) -> Result<NameAddr<'_>, InvalidNameAddr> {
        NameAddr::parse(self.raw(Name::From).unwrap_or_default())
    }

    /// Returns whom it is for.
    pub fn to(&self) -> Result<NameAddr<'_>, InvalidNameAddr> {
        NameAddr::parse(self.raw(Name::To).unwrap_or_default())
    }

    /// Returns the newest hop.
    pub fn top_via(&self) -> Result<Via<'_>, InvalidVia> {
        self.headers(Name::Via).flat_map(items).next().ok_or(InvalidVia).and_then(Via::parse)
    }

    /// Returns every hop, the newest first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, InvalidVia>> {
        self.headers(Name::Via).flat_map(items).map(Via::parse)
    }

    /// Returns the Max-Forwards count, if there is one.
    pub fn max_forwards(&self) -> Option<u8> {
        decimal(self.raw(Name::MaxForwards)?, u64::from(u8::MAX)).and_then(|hops| u8::try_from(hops).ok())
    }

    /// Returns the text of the first field of that name. See [`UNREADABLE`] for one that is not UTF-8.
    pub fn header(&self, name: Name) -> Option<&str> {
        self.raw(name).map(readable)
    }

    /// Returns the bytes of the first field of that name.
    pub fn raw(&self, name: Name) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// Returns the bytes of each field of that name, in order.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let fields = if self.names.has(name) { &self.fields[..] } else { &[] };
        fields.iter().filter(move |field| field.known == Some(name)).map(|field| self.slice(field.value()))
    }

    /// Returns the items of a list header: fields that repeat and fields that join by commas are one list
    /// (RFC 3261 §7.3.1). See [`UNREADABLE`] for items that are not UTF-8.
    pub fn list(&self, name: Name) -> impl Iterator<Item = &str> {
        self.headers(name).flat_map(items).map(readable)
    }

    /// Returns true if a list of tokens, such as Require or Supported, has that one.
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.list(name).any(|item| item.eq_ignore_ascii_case(token))
    }

    /// Returns the addresses of a list header: Contact, Route, Record-Route, P-Asserted-Identity, Diversion…
    pub fn addresses(&self, name: Name) -> impl Iterator<Item = Result<NameAddr<'_>, InvalidNameAddr>> {
        self.headers(name).flat_map(items).map(NameAddr::parse)
    }

    /// Returns the bytes of the first field whose name has no [`Name`].
    pub fn extension(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| {
                field.known.is_none() && self.slice(field.name()).eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|field| self.slice(field.value()))
    }

    /// Returns every field in order: its name if we know it, the name as it stands, and its value.
    pub fn raw_headers(&self) -> impl Iterator<Item = (Option<Name>, &str, &[u8])> {
        self.fields.iter().map(|field| (field.known, self.text(field.name()), self.slice(field.value())))
    }

    /// Returns the body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the Content-Type.
    pub fn content_type(&self) -> Option<&str> {
        self.header(Name::ContentType)
    }

    /// Returns the message as it goes out.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn slice(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.bytes.get(start..start + span.len as usize).unwrap_or_default()
    }

    fn text(&self, span: Span) -> &str {
        readable(self.slice(span))
    }
}

/// Shows what kind of message it is and whose, but no numbers and no body: `Debug` ends up in logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start() {
            StartLine::Request { method, .. } => write!(f, "{method}")?,
            StartLine::Response { status, .. } => write!(f, "{status}")?,
        }
        let cseq = self.header(Name::CSeq).unwrap_or_default();
        write!(f, " (Call-ID {:?}, CSeq {cseq:?}, {} bytes)", self.call_id(), self.bytes.len())
    }
}

/// Stands for text that is not UTF-8.
///
/// It matches no token and parses as nothing, so that unreadable items are refused where they matter and are
/// never skipped. Their bytes are there by [`Message::raw`] and [`Message::headers`].
pub const UNREADABLE: &str = "\u{fffd}";

fn readable(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or(UNREADABLE)
}

impl Names {
    fn insert(&mut self, name: Name) {
        self.0 |= Self::bit(name);
    }

    fn has(self, name: Name) -> bool {
        self.0 & Self::bit(name) != 0
    }

    const fn bit(name: Name) -> u128 {
        const { assert!(Name::COUNT <= 128) };
        1 << (name as u8)
    }
}

impl Field {
    fn new(known: Option<Name>, name: Span, value: Span) -> Self {
        // Lossless: `HEADER_BYTES_MAX` is checked before a field is made or grows.
        Self {
            known,
            name_len: name.len as u16,
            value_len: value.len as u16,
            name_start: name.start,
            value_start: value.start,
        }
    }

    fn name(&self) -> Span {
        Span { start: self.name_start, len: u32::from(self.name_len) }
    }

    fn value(&self) -> Span {
        Span { start: self.value_start, len: u32::from(self.value_len) }
    }
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        // Lossless: both are offsets into a message, which has at most `MESSAGE_BYTES_MAX` bytes.
        Self { start: start as u32, len: end.saturating_sub(start) as u32 }
    }
}

#[cfg(test)]
mod tests;
