//! Why bytes are not a message, and what can be said to their sender.

use std::net::SocketAddr;

use super::{Message, respond};
use crate::header::Name;
use crate::method::Method;

/// Bytes that are not a message that we can act on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    kind: ParseErrorKind,
    /// What could be read of a request: enough to answer it.
    request: Option<Box<Message>>,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Nothing but line ends: a keep-alive.
    #[error("Empty message")]
    Empty,
    /// More bytes than `MESSAGE_BYTES_MAX`.
    #[error("Message too large")]
    MessageTooLarge,
    /// More fields than `HEADERS_MAX`.
    #[error("Too many header fields")]
    TooManyHeaders,
    /// A field of more bytes than `HEADER_BYTES_MAX`.
    #[error("Header field too large")]
    HeaderTooLarge,
    /// The first line is neither a request line nor a status line.
    #[error("Malformed start line")]
    StartLine,
    /// The method is not a token.
    #[error("Malformed method")]
    Method,
    /// The Request-URI holds space, control characters or brackets, or is empty.
    #[error("Malformed Request-URI")]
    RequestUri,
    /// Not SIP/2.0.
    #[error("Version not supported")]
    Version,
    /// The status code is not 100 to 699.
    #[error("Malformed status code")]
    Status,
    /// The empty line that ends the header is missing.
    #[error("Header section does not end")]
    Truncated,
    /// A header line without a name and a colon.
    #[error("Malformed header field")]
    HeaderLine,
    /// A NUL, another control character, or a lone CR in the header.
    #[error("Control character in header")]
    ControlCharacter,
    /// A required header is not there.
    #[error("Missing {0} header")]
    Missing(Name),
    /// A header that may stand only once stands twice.
    #[error("Repeated {0} header")]
    Repeated(Name),
    /// A header does not follow its grammar.
    #[error("Malformed {0} header")]
    Malformed(Name),
    /// The CSeq names another method than the request line.
    #[error("CSeq method does not match")]
    MethodMismatch,
    /// The CSeq names another method than the request line, whose method nobody here knows.
    #[error("Unknown method, CSeq does not match")]
    UnknownMethodMismatch,
    /// The body is shorter than Content-Length says.
    #[error("Body shorter than Content-Length")]
    BodyTruncated,
}

impl ParseErrorKind {
    /// Returns the status code that says it (RFC 3261 §21.4, §21.5).
    pub fn status(self) -> u16 {
        match self {
            // RFC 4475 §3.1.2.18: 501 serves methods to come better than 400.
            Self::UnknownMethodMismatch => 501,
            Self::Version => 505,
            Self::MessageTooLarge => 513,
            Self::Empty
            | Self::TooManyHeaders
            | Self::HeaderTooLarge
            | Self::StartLine
            | Self::Method
            | Self::RequestUri
            | Self::Status
            | Self::Truncated
            | Self::HeaderLine
            | Self::ControlCharacter
            | Self::Missing(_)
            | Self::Repeated(_)
            | Self::Malformed(_)
            | Self::MethodMismatch
            | Self::BodyTruncated => 400,
        }
    }
}

impl ParseError {
    pub(super) fn new(kind: ParseErrorKind, request: Option<Message>) -> Self {
        Self { kind, request: request.map(Box::new) }
    }

    /// Returns what is wrong.
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// Returns true if the sender can be told.
    pub fn is_answerable(&self) -> bool {
        self.request.is_some()
    }

    /// Returns the headers that an answer copies (Via, From, To, Call-ID, CSeq), as a request without a body;
    /// nothing when they could not be read, or when it was a response or an ACK: then the bytes are dropped.
    pub fn answerable(&self) -> Option<&Message> {
        self.request.as_deref()
    }

    /// Builds the response that says what is wrong, to go back to `source` (RFC 3261 §18.2.2, RFC 3581 §4).
    pub fn response(&self, source: SocketAddr, to_tag: &str) -> Option<Message> {
        let request = self.request.as_ref()?.received_from(source).ok()?;
        respond::response_to(&request, self.kind.status(), &self.kind.to_string(), Some(to_tag)).finish().ok()
    }
}

/// Returns true if the sender of a malformed request waits for an answer: nobody answers an ACK (RFC 3261 §17.1.1.3).
pub(super) fn wants_answer(method: &Method) -> bool {
    *method != Method::Ack
}
