//! Cutting a byte stream into messages (RFC 3261 §18.3, RFC 5626 §3.5.1).

use bytes::{Buf, Bytes, BytesMut};

use crate::header::Name;
use crate::message::{HEADERS_MAX, MESSAGE_BYTES_MAX, content_length, trim_name};

/// Cuts one connection's bytes into messages.
///
/// It keeps no more than one unfinished message. A peer that sends slowly is for the shell's deadline to end.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// How much of the buffer holds no end of header, and need not be searched again.
    searched: usize,
    /// How long the message at the front is, once its header is there.
    frame: Option<usize>,
}

/// What a stream carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The bytes of one message, for [`Message::parse`](crate::message::Message::parse).
    Message(Bytes),
    /// A double line end, which asks for a single one in return (RFC 5626 §3.5.1).
    Ping,
}

/// Where the next message starts is not known: the connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct FrameError {
    /// What is wrong.
    pub kind: FrameErrorKind,
    /// The header of the message at fault, if it came whole. Parsing it yields the answer to send before closing.
    pub head: Option<Bytes>,
}

/// Why a stream cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameErrorKind {
    /// No end of header within the size of the largest message.
    #[error("header section does not end")]
    HeaderTooLarge,
    /// Header and body together pass the size of the largest message.
    #[error("message too large")]
    MessageTooLarge,
    /// A stream has no other way to tell where a body ends (RFC 3261 §18.3).
    #[error("Content-Length is missing")]
    NoContentLength,
    /// Not one to ten digits, above the largest message, or two that disagree.
    #[error("Content-Length is malformed")]
    ContentLength,
}

impl Framer {
    /// Returns a framer for a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the connection. Drain [`poll_frame`](Self::poll_frame) before the next ones.
    pub fn push(&mut self, bytes: &[u8]) {
        let needed = self.buffer.len() + bytes.len();
        if self.buffer.capacity() < needed {
            // `reserve` would double; a peer must not make us hold twice what it sent.
            let mut grown = BytesMut::with_capacity(needed + SLACK_BYTES);
            grown.extend_from_slice(&self.buffer);
            self.buffer = grown;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next message or ping, or nothing until more bytes come.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let frame = match self.frame {
            Some(frame) => frame,
            None => {
                if let Some(ping) = self.skip_line_ends() {
                    return Ok(ping);
                }
                match self.measure()? {
                    Some(frame) => frame,
                    None => return Ok(None),
                }
            }
        };
        if self.buffer.len() < frame {
            self.frame = Some(frame);
            return Ok(None);
        }
        self.frame = None;
        self.searched = 0;
        Ok(Some(Frame::Message(self.buffer.split_to(frame).freeze())))
    }

    /// Returns how many bytes wait for the rest of their message.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Skips line ends between messages. Returns a result for the caller if there is a ping, or nothing else.
    fn skip_line_ends(&mut self) -> Option<Option<Frame>> {
        if self.searched > 0 {
            return None;
        }
        loop {
            if self.buffer.starts_with(b"\r\n\r\n") {
                self.buffer.advance(4);
                return Some(Some(Frame::Ping));
            }
            match self.buffer.first() {
                None => return Some(None),
                // May be the start of a ping: what follows decides.
                Some(b'\r') if b"\r\n\r\n".starts_with(&self.buffer) => return Some(None),
                Some(b'\r' | b'\n') => self.buffer.advance(1),
                Some(_) => return None,
            }
        }
    }

    /// Returns how long the message at the front is, once its header is there.
    fn measure(&mut self) -> Result<Option<usize>, FrameError> {
        // The line end that ends the header may be split over the last bytes searched.
        let from = self.searched.saturating_sub(3);
        let Some(head) = head_end(&self.buffer, from) else {
            self.searched = self.buffer.len();
            if self.buffer.len() > MESSAGE_BYTES_MAX {
                return Err(FrameError { kind: FrameErrorKind::HeaderTooLarge, head: None });
            }
            return Ok(None);
        };
        let header = self.buffer.get(..head).unwrap_or_default();
        let failure = |kind| FrameError { kind, head: Some(Bytes::copy_from_slice(header)) };
        if head > MESSAGE_BYTES_MAX {
            return Err(FrameError { kind: FrameErrorKind::HeaderTooLarge, head: None });
        }
        let length = body_length(header).map_err(failure)?;
        if head + length > MESSAGE_BYTES_MAX {
            return Err(failure(FrameErrorKind::MessageTooLarge));
        }
        Ok(Some(head + length))
    }
}

/// Returns where the body starts: after an empty line, whichever way its lines end.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let end = at + memchr::memchr(b'\n', bytes.get(at..)?)?;
        match bytes.get(end + 1..)? {
            [b'\n', ..] => return Some(end + 2),
            [b'\r', b'\n', ..] => return Some(end + 3),
            _ => at = end + 1,
        }
    }
}

/// Reads Content-Length from a header section, as [`Message::parse`](crate::message::Message::parse) will.
fn body_length(head: &[u8]) -> Result<usize, FrameErrorKind> {
    let mut found = None;
    let mut lines = head.split(|&byte| byte == b'\n').take(HEADERS_MAX * FOLDS_MAX).peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let Some((name, value)) = line.split_at_checked(colon) else { continue };
        if Name::parse(trim_name(name)) != Some(Name::ContentLength) {
            continue;
        }
        let mut value = value.get(1..).unwrap_or_default().trim_ascii();
        while let Some(more) = lines.next_if(|next| next.starts_with(b" ") || next.starts_with(b"\t")) {
            match (value.is_empty(), more.trim_ascii()) {
                (_, []) => {}
                (true, more) => value = more,
                (false, _) => return Err(FrameErrorKind::ContentLength),
            }
        }
        let length = content_length(value).ok_or(FrameErrorKind::ContentLength)?;
        if found.is_some_and(|found| found != length) {
            return Err(FrameErrorKind::ContentLength);
        }
        found = Some(length);
    }
    found.ok_or(FrameErrorKind::NoContentLength)
}

/// Room beyond the bytes received, so that small segments do not each cost a copy of the buffer.
const SLACK_BYTES: usize = 4 * 1024;

/// Lines that one header field may run over when Content-Length is looked for; real ones have two or three.
const FOLDS_MAX: usize = 64;
