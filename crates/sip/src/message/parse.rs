//! Reading messages.

use std::sync::Arc;

use bytes::Bytes;

use super::build::has_control;
use super::error::{ParseError, ParseErrorKind, wants_answer};
use super::{
    Field, HEADER_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, MessageBuilder, Names, Span, Start,
};
use crate::header::{Name, NameAddr, Via, decimal, is_token_byte, items};
use crate::method::Method;
use crate::scan::{any, count, find};
use crate::uri::Uri;

/// Reads one whole message.
pub(super) fn message(bytes: Bytes) -> Result<Message, ParseError> {
    match read(&bytes) {
        Ok(message) => Ok(message),
        Err(kind) => Err(ParseError::new(kind, salvage(&bytes))),
    }
}

fn read(bytes: &Bytes) -> Result<Message, ParseErrorKind> {
    let mut bytes = bytes.clone();
    // RFC 3261 §7.5: line ends before the start line are ignored.
    let leading = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let _line_ends = bytes.split_to(leading);
    if bytes.is_empty() {
        return Err(ParseErrorKind::Empty);
    }
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(ParseErrorKind::MessageTooLarge);
    }
    let (first, first_end) = line(&bytes, 0).ok_or(ParseErrorKind::Truncated)?;
    let start = start_line(first)?;
    let mut head = Head {
        fields: Vec::with_capacity(FIELDS),
        names: Names::default(),
        repeated: None,
        folded: false,
        line_end_bytes: first_end - first.len(),
        end: 0,
    };
    head.read(&bytes, first_end)?;
    check_bytes(bytes.get(..head.end).unwrap_or_default(), head.line_end_bytes)?;
    if head.folded {
        bytes = unfolded(&bytes, &head.fields);
    }
    let fields = Arc::from(head.fields);
    let mut message = Message { bytes, body: Bytes::new(), start, fields, names: head.names };
    if let Some(name) = head.repeated {
        check_repeated(&message, name)?;
    }
    check_headers(&message)?;
    cut_body(&mut message, head.end)?;
    Ok(message)
}

/// The header section while it is read.
struct Head {
    fields: Vec<Field>,
    names: Names,
    /// A name that may stand once and stands twice; Content-Length only if there is no other.
    repeated: Option<Name>,
    /// A value runs over more than one line.
    folded: bool,
    /// How many bytes the line ends so far take: LF is one, CR LF is two.
    line_end_bytes: usize,
    /// Where the body starts.
    end: usize,
}

impl Head {
    fn read(&mut self, bytes: &[u8], start: usize) -> Result<(), ParseErrorKind> {
        let mut at = start;
        for end in memchr::memchr_iter(b'\n', bytes.get(start..).unwrap_or_default()) {
            let next = start + end + 1;
            let text = bytes.get(at..next - 1).unwrap_or_default();
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            self.line_end_bytes += next - at - text.len();
            match text.first() {
                None => {
                    self.end = next;
                    return Ok(());
                }
                Some(b' ' | b'\t') => self.continue_field(at, text)?,
                Some(_) => self.add_field(at, text)?,
            }
            at = next;
        }
        Err(ParseErrorKind::Truncated)
    }

    fn add_field(&mut self, at: usize, text: &[u8]) -> Result<(), ParseErrorKind> {
        if self.fields.len() >= HEADERS_MAX {
            return Err(ParseErrorKind::TooManyHeaders);
        }
        if text.len() > HEADER_BYTES_MAX {
            return Err(ParseErrorKind::HeaderTooLarge);
        }
        let colon = find(text, b':').ok_or(ParseErrorKind::HeaderLine)?;
        let (name, value) = text.split_at_checked(colon).ok_or(ParseErrorKind::HeaderLine)?;
        let name = trim_name(name);
        let known = Name::parse(name);
        if known.is_none() && (name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte))) {
            return Err(ParseErrorKind::HeaderLine);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        let start = at + text.len() - value.len();
        let value = Span::new(start, start + value.trim_ascii_end().len());
        self.fields.push(Field::new(known, Span::new(at, at + name.len()), value));
        if let Some(name) = known {
            if self.names.has(name)
                && name.is_singleton()
                && self.repeated.is_none_or(|other| other == Name::ContentLength)
            {
                self.repeated = Some(name);
            }
            self.names.insert(name);
        }
        Ok(())
    }

    fn continue_field(&mut self, at: usize, text: &[u8]) -> Result<(), ParseErrorKind> {
        let field = self.fields.last_mut().ok_or(ParseErrorKind::HeaderLine)?;
        let len = text.trim_ascii_end().len();
        // A line of nothing but space adds nothing.
        if len == 0 {
            return Ok(());
        }
        if at + len - field.name_start as usize > HEADER_BYTES_MAX {
            return Err(ParseErrorKind::HeaderTooLarge);
        }
        self.folded = true;
        let start = if field.value_len == 0 {
            at + text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
        } else {
            field.value_start as usize
        };
        *field = Field::new(field.known, field.name(), Span::new(start, at + len));
        Ok(())
    }
}

/// Returns the line that starts at an offset without its line end, and where the next one starts.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr::memchr(b'\n', rest)?;
    let text = rest.get(..end)?;
    Some((text.strip_suffix(b"\r").unwrap_or(text), at + end + 1))
}

fn start_line(text: &[u8]) -> Result<Start, ParseErrorKind> {
    if text.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/")) {
        return status_line(text);
    }
    let space = memchr::memchr(b' ', text).ok_or(ParseErrorKind::StartLine)?;
    let last = memchr::memrchr(b' ', text).ok_or(ParseErrorKind::StartLine)?;
    let version = text.get(last + 1..).unwrap_or_default();
    if !version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/")) || last <= space {
        return Err(ParseErrorKind::StartLine);
    }
    let method = Method::parse(text.get(..space).unwrap_or_default()).ok_or(ParseErrorKind::Method)?;
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(ParseErrorKind::Version);
    }
    let uri = text.get(space + 1..last).unwrap_or_default();
    if uri.is_empty() {
        return Err(ParseErrorKind::RequestUri);
    }
    // What is in it is checked when the headers are, as one reading of it does both.
    // Offsets of the start line are offsets of the message: leading line ends were cut off.
    Ok(Start::Request { method, uri: Span::new(space + 1, last) })
}

fn status_line(text: &[u8]) -> Result<Start, ParseErrorKind> {
    let (version, rest) = text.split_at_checked(7).ok_or(ParseErrorKind::StartLine)?;
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(ParseErrorKind::Version);
    }
    let digits = rest.strip_prefix(b" ").ok_or(ParseErrorKind::StartLine)?;
    let code = digits.get(..3).ok_or(ParseErrorKind::Status)?;
    let status = decimal(code, 699).filter(|code| *code >= 100).ok_or(ParseErrorKind::Status)?;
    let reason = digits.get(3..).unwrap_or_default();
    // The space before an empty reason phrase is often left out.
    if !reason.is_empty() && !reason.starts_with(b" ") {
        return Err(ParseErrorKind::Status);
    }
    let status = u16::try_from(status).map_err(|_| ParseErrorKind::Status)?;
    Ok(Start::Response { status, reason: Span::new(12.min(text.len()), text.len()) })
}

/// Refuses control characters: NUL and friends end text early for some readers, a lone CR ends a line for some.
fn check_bytes(head: &[u8], line_end_bytes: usize) -> Result<(), ParseErrorKind> {
    let is_control = |byte: u8| ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f);
    // Those that end lines are known; any more are out of place.
    if count(head, is_control) == line_end_bytes { Ok(()) } else { Err(ParseErrorKind::ControlCharacter) }
}

/// Returns the message with the line breaks inside its values replaced by spaces.
fn unfolded(bytes: &[u8], fields: &[Field]) -> Bytes {
    let mut plain = bytes.to_vec();
    for field in fields {
        let (start, end) =
            (field.name_start as usize, field.value_start as usize + usize::from(field.value_len));
        for byte in plain.get_mut(start..end).into_iter().flatten() {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }
    Bytes::from(plain)
}

/// Checks what every receiver needs before it can find a transaction, and what a request is routed by.
fn check_headers(message: &Message) -> Result<(), ParseErrorKind> {
    for name in TRANSACTION {
        if !message.names.has(name) {
            return Err(ParseErrorKind::Missing(name));
        }
    }
    if message.headers(Name::Via).flat_map(items).next().is_none() {
        return Err(ParseErrorKind::Malformed(Name::Via));
    }
    let is_request = message.is_request();
    for field in message.fields.iter() {
        if let Some(name) = field.known
            && !is_well_formed(name, message.slice(field.value()), is_request)
        {
            return Err(ParseErrorKind::Malformed(name));
        }
    }
    check_method(message)?;
    if message.names.has(Name::MaxForwards) && message.max_forwards().is_none() {
        return Err(ParseErrorKind::Malformed(Name::MaxForwards));
    }
    // RFC 3261 §19.1.1: a Request-URI has no headers.
    if is_request && !message.uri().is_ok_and(|uri| uri.headers().is_empty()) {
        return Err(ParseErrorKind::RequestUri);
    }
    Ok(())
}

/// Checks a field of those that messages are matched and routed by, but for those that hold numbers.
fn is_well_formed(name: Name, value: &[u8], is_request: bool) -> bool {
    let are_addresses = || items(value).all(|item| NameAddr::parse(item).is_ok());
    match name {
        Name::Via => items(value).all(|via| Via::parse(via).is_ok()),
        Name::From | Name::To => NameAddr::parse(value).is_ok(),
        Name::CallId => is_call_id(value),
        // A response is not refused over these: its transaction knows the way already.
        Name::Contact => !is_request || value == b"*" || are_addresses(),
        Name::Route | Name::RecordRoute => !is_request || are_addresses(),
        _ => true,
    }
}

fn is_call_id(value: &[u8]) -> bool {
    let holds_space = any(value, |byte| (byte == b' ') | (byte == b'\t'));
    !value.is_empty() && !holds_space && std::str::from_utf8(value).is_ok()
}

/// Checks that the CSeq counts requests of this method.
fn check_method(message: &Message) -> Result<(), ParseErrorKind> {
    let cseq = message.cseq().map_err(|_| ParseErrorKind::Malformed(Name::CSeq))?;
    match message.method() {
        Some(method) if *method == cseq.method => Ok(()),
        Some(Method::Extension(_)) => Err(ParseErrorKind::UnknownMethodMismatch),
        Some(_) => Err(ParseErrorKind::MethodMismatch),
        None => Ok(()),
    }
}

/// Says whether two fields of a name that may stand only once do any harm: a Content-Length that agrees with
/// itself does not.
fn check_repeated(message: &Message, name: Name) -> Result<(), ParseErrorKind> {
    let mut lengths = message.headers(name).map(content_length);
    let first = lengths.next().flatten();
    if name == Name::ContentLength && first.is_some() && lengths.all(|length| length == first) {
        return Ok(());
    }
    Err(ParseErrorKind::Repeated(name))
}

fn cut_body(message: &mut Message, start: usize) -> Result<(), ParseErrorKind> {
    let there = message.bytes.len() - start;
    let length = match message.raw(Name::ContentLength) {
        Some(value) => content_length(value).ok_or(ParseErrorKind::Malformed(Name::ContentLength))?,
        None => there,
    };
    if length > there {
        return Err(ParseErrorKind::BodyTruncated);
    }
    // RFC 3261 §18.3: bytes of a datagram past the body are discarded.
    message.bytes.truncate(start + length);
    if length > 0 {
        message.body = message.bytes.slice(start..);
    }
    Ok(())
}

/// Reads a Content-Length: one to ten digits, and no more than a message may have.
pub(crate) fn content_length(value: &[u8]) -> Option<usize> {
    if value.len() > 10 {
        return None;
    }
    decimal(value, MESSAGE_BYTES_MAX as u64).and_then(|length| usize::try_from(length).ok())
}

/// Keeps of a malformed request what an answer needs, if it is there: Via to send it along, and the headers that
/// tell its sender what is answered. They are copied only when they hold nothing that could forge another header.
fn salvage(bytes: &[u8]) -> Option<Message> {
    let leading = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = bytes.get(leading..)?;
    let bytes = bytes.get(..bytes.len().min(MESSAGE_BYTES_MAX))?;
    let (first, mut at) = line(bytes, 0)?;
    if first.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/")) {
        return None;
    }
    let method = Method::parse(first.split(|byte| matches!(byte, b' ' | b'\t')).next()?)?;
    if !wants_answer(&method) {
        return None;
    }
    let mut words = first.split(|byte| *byte == b' ').skip(1);
    let uri =
        words.next().and_then(|uri| std::str::from_utf8(uri).ok()).filter(|uri| Uri::parse(uri).is_ok());
    let mut builder = MessageBuilder::request(method, uri.unwrap_or(SALVAGED_URI));
    let mut seen = Names::default();
    while let Some((field, next)) = folded_line(bytes, at) {
        at = next;
        let Some((name, value)) = split_field(field) else { continue };
        let wanted = match name {
            Name::Via => true,
            Name::From | Name::To | Name::CallId | Name::CSeq => !seen.has(name),
            _ => false,
        };
        if !wanted {
            continue;
        }
        let value: Vec<u8> =
            value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect();
        let value = value.trim_ascii();
        if value.is_empty() || has_control(value) {
            return None;
        }
        seen.insert(name);
        builder = builder.header(name, value);
    }
    let request = builder.finish().ok()?;
    let whole = TRANSACTION.iter().all(|name| seen.has(*name));
    (whole && request.top_via().is_ok()).then_some(request)
}

/// Returns a header line with those that continue it; nothing at the end of the header.
fn folded_line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (text, mut next) = line(bytes, at)?;
    if text.is_empty() {
        return None;
    }
    while bytes.get(next).is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        next = line(bytes, next)?.1;
    }
    Some((bytes.get(at..next)?, next))
}

fn split_field(field: &[u8]) -> Option<(Name, &[u8])> {
    let (name, value) = field.split_at_checked(memchr::memchr(b':', field)?)?;
    Some((Name::parse(trim_name(name))?, value.get(1..)?))
}

/// Returns a header name without the space before its colon.
///
/// Only space and tab may stand there: elements that skip more would see other headers than we do.
pub(crate) fn trim_name(name: &[u8]) -> &[u8] {
    let len = name.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1);
    name.get(..len).unwrap_or_default()
}

/// What names a transaction, and who takes part (RFC 3261 §8.1.1, without Max-Forwards, which RFC 2543 did not have).
const TRANSACTION: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Stands for the Request-URI of a malformed request that cannot be read.
const SALVAGED_URI: &str = "sip:malformed.invalid";

/// Room for the fields of an ordinary INVITE without growing.
const FIELDS: usize = 32;
