//! Responses, made from the request that they answer.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::{BuildError, Message, MessageBuilder};
use crate::header::{Name, Via, items};
use crate::uri::Host;

/// Starts a response: Via, From, To, Call-ID and CSeq are those of the request (RFC 3261 §8.2.6.2), and so are
/// Timestamp in a 100 (§8.2.6.1) and Record-Route in what can form a dialog (§12.1.1).
///
/// A `to_tag` is added to a To that has none, except in a 100 (§8.2.6.2).
pub fn response_to(request: &Message, status: u16, reason: &str, to_tag: Option<&str>) -> MessageBuilder {
    let mut response = MessageBuilder::response(status, reason)
        .copy(request, Name::Via)
        .copy(request, Name::From)
        .header(Name::To, tagged(request, to_tag.filter(|_| status > 100)))
        .copy(request, Name::CallId)
        .copy(request, Name::CSeq);
    if status == 100 {
        response = response.copy(request, Name::Timestamp);
    }
    if (101..300).contains(&status) {
        response = response.copy(request, Name::RecordRoute);
    }
    response
}

/// Returns the To of a request with a tag.
fn tagged<'a>(request: &'a Message, tag: Option<&str>) -> Cow<'a, [u8]> {
    let to = request.raw(Name::To).unwrap_or_default();
    let (Some(tag), false) = (tag, has_tag(request)) else {
        return Cow::Borrowed(to);
    };
    let mut value = Vec::with_capacity(to.len() + 5 + tag.len());
    value.extend_from_slice(to);
    value.extend_from_slice(b";tag=");
    value.extend_from_slice(tag.as_bytes());
    Cow::Owned(value)
}

/// Says whether To has a tag, even in a To that is too broken to read and is only echoed in a 400.
fn has_tag(request: &Message) -> bool {
    match request.to() {
        Ok(to) => to.params().has("tag"),
        Err(_) => memchr::memmem::find(request.raw(Name::To).unwrap_or_default(), b";tag=").is_some(),
    }
}

impl Message {
    /// Returns the request as its receiver keeps it: the top Via notes the address it came from, and the port if
    /// the sender asked for it (RFC 3261 §18.2.1, RFC 3581 §4).
    ///
    /// What the sender wrote there itself is replaced: it is not the sender's to say.
    pub fn received_from(&self, source: SocketAddr) -> Result<Self, BuildError> {
        let first = self.raw(Name::Via).ok_or(BuildError::Via)?;
        let item = items(first).next().ok_or(BuildError::Via)?;
        let via = Via::parse(item).map_err(|_| BuildError::Via)?;
        let note_address = via.host() != Host::Ip(source.ip().to_canonical()) || via.wants_rport();
        if !note_address && !via.params().has("received") {
            return Ok(self.clone());
        }
        let noted = noted(&via, note_address, source);
        let rest = first.get(item_end(first, item)..).unwrap_or_default();
        let value = [noted.as_bytes(), rest].concat();
        let mut is_first = true;
        let mut builder = self.builder();
        for (known, name, old) in self.raw_headers() {
            let value = match known {
                Some(Name::Via) if std::mem::take(&mut is_first) => &value,
                Some(Name::ContentLength | Name::ContentType) => continue,
                Some(_) | None => old,
            };
            builder = builder.extension(name, value);
        }
        self.finish_with_body(builder)
    }
}

/// Writes a Via anew with what its receiver knows.
fn noted(via: &Via<'_>, note_address: bool, source: SocketAddr) -> String {
    let mut text = format!("SIP/{}/{} {}", via.version(), via.transport(), via.host());
    if let Some(port) = via.port() {
        text.push_str(&format!(":{port}"));
    }
    for (name, value) in via.params().iter() {
        if name.eq_ignore_ascii_case("received") {
            continue;
        }
        if name.eq_ignore_ascii_case("rport") {
            text.push_str(&format!(";rport={}", source.port()));
            continue;
        }
        text.push(';');
        text.push_str(name);
        if let Some(value) = value {
            text.push('=');
            text.push_str(value);
        }
    }
    if note_address {
        text.push_str(&format!(";received={}", source.ip().to_canonical()));
    }
    text
}

/// Returns where an item of a field value ends in it.
fn item_end(value: &[u8], item: &[u8]) -> usize {
    let spaces = value.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count();
    spaces + item.len()
}
