//! Writing messages.

use std::sync::Arc;

use bytes::Bytes;

use super::{Field, HEADER_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, Names, Span, Start};
use crate::header::{Name, is_token_byte};
use crate::method::Method;

/// Writes a message, field by field, and yields it with its index.
///
/// The first mistake is kept and told by [`finish`](Self::finish).
#[derive(Debug, Clone)]
pub struct MessageBuilder {
    bytes: Vec<u8>,
    start: Start,
    fields: Vec<Field>,
    names: Names,
    body: Bytes,
    error: Option<BuildError>,
}

/// Why a message cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A line break, NUL or another control character: written out, it would forge a header.
    #[error("control character in a header or the start line")]
    ControlCharacter,
    /// A header name that is not a token.
    #[error("header name is not a token")]
    Name,
    /// The Request-URI is empty or has space in it.
    #[error("malformed Request-URI")]
    RequestUri,
    /// The status code is not 100 to 699.
    #[error("malformed status code")]
    Status,
    /// Content-Length is computed, never given.
    #[error("Content-Length is computed")]
    ContentLength,
    /// The result would pass a limit on messages.
    #[error("message passes a size limit")]
    TooLarge,
    /// The top Via to be changed is missing or malformed.
    #[error("no usable Via")]
    Via,
}

impl MessageBuilder {
    /// Starts a request.
    pub fn request(method: Method, uri: impl AsRef<str>) -> Self {
        let uri = uri.as_ref();
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        let start = bytes.len();
        bytes.extend_from_slice(uri.as_bytes());
        let span = Span::new(start, bytes.len());
        bytes.extend_from_slice(b" SIP/2.0\r\n");
        let malformed = uri.is_empty() || uri.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        let error = malformed.then_some(BuildError::RequestUri);
        Self { error, ..Self::new(bytes, Start::Request { method, uri: span }) }
    }

    /// Starts a response.
    pub fn response(status: u16, reason: impl AsRef<str>) -> Self {
        let reason = reason.as_ref();
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(b"SIP/2.0 ");
        bytes.extend_from_slice(status.to_string().as_bytes());
        bytes.push(b' ');
        let start = bytes.len();
        bytes.extend_from_slice(reason.as_bytes());
        let span = Span::new(start, bytes.len());
        bytes.extend_from_slice(b"\r\n");
        let error = if !(100..700).contains(&status) {
            Some(BuildError::Status)
        } else {
            has_control(reason.as_bytes()).then_some(BuildError::ControlCharacter)
        };
        Self { error, ..Self::new(bytes, Start::Response { status, reason: span }) }
    }

    fn new(bytes: Vec<u8>, start: Start) -> Self {
        Self {
            bytes,
            start,
            fields: Vec::with_capacity(FIELDS),
            names: Names::default(),
            body: Bytes::new(),
            error: None,
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        if name == Name::ContentLength {
            self.refuse(BuildError::ContentLength);
        } else {
            self.push(Some(name), name.as_str().as_bytes(), value.as_ref());
        }
        self
    }

    /// Adds a field by its text name; one that has a [`Name`] is found by it all the same.
    #[must_use]
    pub fn extension(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let known = Name::parse(name.as_bytes());
        if known == Some(Name::ContentLength) {
            self.refuse(BuildError::ContentLength);
        } else if name.is_empty() || !name.bytes().all(is_token_byte) {
            self.refuse(BuildError::Name);
        } else {
            self.push(known, name.as_bytes(), value.as_ref());
        }
        self
    }

    /// Adds every field of that name that the message has, byte for byte.
    #[must_use]
    pub fn copy(mut self, message: &Message, name: Name) -> Self {
        for value in message.headers(name) {
            self.push(Some(name), name.as_str().as_bytes(), value);
        }
        self
    }

    /// Adds every field that the message has and `keep` wants, names and values byte for byte. Content-Length is
    /// left out, for it is computed; so are Content-Type and the body.
    #[must_use]
    pub fn copy_where(mut self, message: &Message, keep: impl Fn(Option<Name>, &str) -> bool) -> Self {
        for (known, name, value) in message.raw_headers() {
            if !matches!(known, Some(Name::ContentLength | Name::ContentType)) && keep(known, name) {
                self.push(known, name.as_bytes(), value);
            }
        }
        self
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(self, content_type: impl AsRef<[u8]>, body: impl Into<Bytes>) -> Self {
        let mut builder = self.header(Name::ContentType, content_type);
        builder.body = body.into();
        builder
    }

    /// Ends the header with Content-Length, and yields the message.
    pub fn finish(mut self) -> Result<Message, BuildError> {
        let length = self.body.len().to_string();
        self.push(Some(Name::ContentLength), Name::ContentLength.as_str().as_bytes(), length.as_bytes());
        if let Some(error) = self.error {
            return Err(error);
        }
        self.bytes.extend_from_slice(b"\r\n");
        let head = self.bytes.len();
        if head + self.body.len() > MESSAGE_BYTES_MAX {
            return Err(BuildError::TooLarge);
        }
        self.bytes.extend_from_slice(&self.body);
        let bytes = Bytes::from(self.bytes);
        let body = if self.body.is_empty() { Bytes::new() } else { bytes.slice(head..) };
        Ok(Message { bytes, body, start: self.start, fields: Arc::from(self.fields), names: self.names })
    }

    fn push(&mut self, known: Option<Name>, name: &[u8], value: &[u8]) {
        let value = value.trim_ascii();
        if has_control(value) {
            self.refuse(BuildError::ControlCharacter);
        } else if self.fields.len() >= HEADERS_MAX || name.len() + value.len() > HEADER_BYTES_MAX {
            self.refuse(BuildError::TooLarge);
        } else {
            let name_start = self.bytes.len();
            self.bytes.extend_from_slice(name);
            let name = Span::new(name_start, self.bytes.len());
            self.bytes.extend_from_slice(b": ");
            let value_start = self.bytes.len();
            self.bytes.extend_from_slice(value);
            let value = Span::new(value_start, self.bytes.len());
            self.bytes.extend_from_slice(b"\r\n");
            self.fields.push(Field::new(known, name, value));
            if let Some(known) = known {
                self.names.insert(known);
            }
        }
    }

    fn refuse(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }
}

impl Message {
    /// Starts a message with the same first line; its headers are still to be copied.
    pub fn builder(&self) -> MessageBuilder {
        match &self.start {
            Start::Request { method, .. } => MessageBuilder::request(method.clone(), self.uri_text()),
            Start::Response { status, .. } => MessageBuilder::response(*status, self.reason()),
        }
    }

    /// Returns the message with one more hop on top: what a client does when it sends (RFC 3261 §8.1.1.7).
    pub fn with_via(&self, via: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        let builder = self.builder().header(Name::Via, via).copy_where(self, |_, _| true);
        self.finish_with_body(builder)
    }

    /// Finishes a builder with the body of this message.
    pub(super) fn finish_with_body(&self, builder: MessageBuilder) -> Result<Self, BuildError> {
        match self.raw(Name::ContentType) {
            Some(content_type) => builder.body(content_type, self.body.clone()).finish(),
            None => MessageBuilder { body: self.body.clone(), ..builder }.finish(),
        }
    }
}

/// Returns true if text holds what must never stand in a header: all control characters but the tab.
pub(super) fn has_control(text: &[u8]) -> bool {
    text.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
}

/// Room for the header of an ordinary message without growing.
const HEAD_BYTES: usize = 1024;

/// Room for the fields of an ordinary message without growing.
const FIELDS: usize = 16;
