//! Bodies of more than one part (RFC 2046 §5.1, RFC 5621).

use bytes::Bytes;

use crate::header::Params;
use crate::message::Message;

/// One part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The media type, in lower case and without parameters: `application/sdp`.
    pub media_type: String,
    /// The Content-Type as it stands.
    pub content_type: String,
    /// The Content-Disposition as it stands, if there is one.
    pub disposition: Option<String>,
    /// The bytes, which may be binary (ISUP).
    pub content: Bytes,
}

/// Most parts read of one body.
///
/// SDP, ISUP, a PIDF-LO location and a resource list make four.
pub const PARTS_MAX: usize = 16;

/// Deepest nesting of multipart in multipart: alternative inside mixed is the deepest that RFC 5621 §3.1 asks for.
const DEPTH_MAX: usize = 4;

/// Returns the parts of the body of a message: the body itself unless it is `multipart/…`, and then what is in it,
/// at any depth, in order. A body that breaks its own grammar has the parts that were whole before the break.
pub fn parts(message: &Message) -> Vec<Part> {
    let mut found = Vec::new();
    if !message.body().is_empty() {
        let content_type = message.content_type().unwrap_or_default().to_owned();
        let disposition = message.header(crate::header::Name::ContentDisposition).map(str::to_owned);
        collect(content_type, disposition, message.body().clone(), DEPTH_MAX, &mut found);
    }
    found
}

/// Returns the first part of that media type, such as `application/sdp`.
pub fn part(message: &Message, media_type: &str) -> Option<Bytes> {
    parts(message)
        .into_iter()
        .find(|part| part.media_type.eq_ignore_ascii_case(media_type))
        .map(|part| part.content)
}

fn collect(
    content_type: String,
    disposition: Option<String>,
    content: Bytes,
    depth: usize,
    found: &mut Vec<Part>,
) {
    if found.len() >= PARTS_MAX {
        return;
    }
    let (media_type, params) = content_type.split_once(';').unwrap_or((&content_type, ""));
    let media_type = media_type.trim_ascii().to_ascii_lowercase();
    let boundary = Params::new(params).value("boundary").map(|text| text.trim_matches('"').to_owned());
    match boundary {
        Some(boundary) if media_type.starts_with("multipart/") && !boundary.is_empty() => {
            if depth > 0 {
                split(&boundary, &content, depth - 1, found);
            }
        }
        _ => found.push(Part { media_type, content_type, disposition, content }),
    }
}

fn split(boundary: &str, content: &Bytes, depth: usize, found: &mut Vec<Part>) {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut start = None;
    for at in memchr::memmem::find_iter(content, &delimiter) {
        // A delimiter stands at the start of a line and is followed by nothing, white space or `--`.
        let before = content.get(..at).unwrap_or_default();
        let after = content.get(at + delimiter.len()..).unwrap_or_default();
        let last = after.starts_with(b"--");
        let line = memchr::memchr(b'\n', after).unwrap_or(after.len());
        let blank = after.get(..line).unwrap_or_default().trim_ascii().is_empty();
        if !(before.is_empty() || before.ends_with(b"\n")) || !(last || blank) {
            continue;
        }
        if let Some(start) = start.filter(|start| *start <= at) {
            // The line end before a delimiter belongs to the delimiter.
            let part = before.get(start..).unwrap_or_default();
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            let part = part.strip_suffix(b"\r").unwrap_or(part);
            read_part(content.slice(start..start + part.len()), depth, found);
        }
        if last || found.len() >= PARTS_MAX {
            return;
        }
        start = Some((at + delimiter.len() + line + 1).min(content.len()));
    }
}

fn read_part(bytes: Bytes, depth: usize, found: &mut Vec<Part>) {
    let mut content_type = "text/plain".to_owned();
    let mut disposition = None;
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            at = bytes.len();
            break;
        };
        let line = rest.get(..end).unwrap_or_default();
        at += end + 1;
        if line.trim_ascii().is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(line);
        let Some((name, value)) = line.split_once(':') else { continue };
        match crate::header::Name::parse(name.trim_ascii().as_bytes()) {
            Some(crate::header::Name::ContentType) => content_type = value.trim_ascii().to_owned(),
            Some(crate::header::Name::ContentDisposition) => {
                disposition = Some(value.trim_ascii().to_owned())
            }
            Some(_) | None => {}
        }
    }
    collect(content_type, disposition, bytes.slice(at.min(bytes.len())..), depth, found);
}
