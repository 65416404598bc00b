//! What every input must satisfy, for fuzz targets and mutation tests to call.
//!
//! Each function panics when a promise of the message layer is broken, and on nothing else.
#![allow(clippy::panic, reason = "its panics are its findings")]

use bytes::Bytes;

use crate::body;
use crate::framing::{Frame, Framer};
use crate::header::Name;
use crate::message::{Message, MessageBuilder, ParseErrorKind};
use crate::uri::Uri;

/// Reads bytes as a datagram. Returns whether they were a message.
///
/// A message that was read can be written and read again, and is the same then; one that was refused yields an
/// answer that cannot be read as anything else.
pub fn message(bytes: &[u8]) -> bool {
    let source = std::net::SocketAddr::from(([198, 51, 100, 7], 5060));
    let message = match Message::parse(Bytes::copy_from_slice(bytes)) {
        Ok(message) => message,
        Err(error) => {
            if let Some(answer) = error.response(source, "tag") {
                assert_echoes_no_more_than_values(&answer);
            }
            return false;
        }
    };
    look(&message);
    assert_reads_the_same(&message, Message::parse(message.bytes().clone()).ok());
    if let Ok(rewritten) = rewrite(&message).finish() {
        assert_reads_the_same(&rewritten, Message::parse(rewritten.bytes().clone()).ok());
    }
    if message.is_request()
        && let Ok(received) = message.received_from(source)
    {
        assert_reads_the_same(&received, Message::parse(received.bytes().clone()).ok());
    }
    true
}

/// Reads bytes as a stream, in pieces whose size its first byte says, and every message that it carries.
pub fn stream(bytes: &[u8]) {
    let piece = usize::from(bytes.first().copied().unwrap_or_default()).max(1);
    let mut framer = Framer::new();
    let mut received = 0;
    for bytes in bytes.chunks(piece) {
        framer.push(bytes);
        received += bytes.len();
        loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(bytes))) => {
                    // An error is fine: the frame is answered or dropped, and the next one starts where it should.
                    let _ = Message::parse(bytes);
                }
                Ok(Some(Frame::Ping)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(framer.buffered() <= received, "a framer holds more than it received");
    }
}

/// Reads bytes as a URI. One that was read equals itself, and prints as it came.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Messages are mostly not URIs: each word of them is tried.
    for text in text.split([' ', '<', '>', '\r', '\n']) {
        let Ok(uri) = Uri::parse(text) else { continue };
        let _ = (uri.user(), uri.param("lr"), uri.params().iter().count());
        assert!(uri.is_equivalent(&uri), "{text} is not equivalent to itself");
        assert_eq!(uri.to_string(), text);
    }
}

/// Calls every reader of a message.
fn look(message: &Message) {
    let _ = (message.start(), message.uri(), message.from(), message.to(), message.cseq(), message.top_via());
    for (name, text, value) in message.raw_headers() {
        let _ = (
            crate::header::NameAddr::parse(value).map(|address| (address.display().len(), address.tag())),
            text.len(),
        );
        let Some(name) = name else { continue };
        assert!(message.headers(name).any(|found| found == value), "{name} is not found by its name");
        let _ = (message.list(name).count(), message.addresses(name).count());
    }
    for via in message.vias().flatten() {
        let _ = (via.branch(), via.received(), via.rport());
    }
    let _ = body::parts(message);
}

fn rewrite(message: &Message) -> MessageBuilder {
    let builder = message.builder().copy_where(message, |_, _| true);
    match message.raw(Name::ContentType) {
        Some(content_type) => builder.body(content_type, message.body().clone()),
        None => builder,
    }
}

/// An answer echoes values that may be malformed, and nothing that would be read as more than a value.
fn assert_echoes_no_more_than_values(answer: &Message) {
    match Message::parse(answer.bytes().clone()) {
        Ok(read) => assert_reads_the_same(answer, Some(read)),
        Err(error) => {
            assert!(matches!(error.kind(), ParseErrorKind::Malformed(_)), "{error}: {:?}", answer.bytes())
        }
    }
}

fn assert_reads_the_same(written: &Message, read: Option<Message>) {
    let Some(read) = read else { panic!("cannot read what was written: {:?}", written.bytes()) };
    assert_eq!(written.start(), read.start());
    assert!(written.raw_headers().eq(read.raw_headers()), "{:?}\n{:?}", written.bytes(), read.bytes());
    assert_eq!(written.body(), read.body());
}
