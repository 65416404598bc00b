//! The printer: fixed order, CRLF, no line that is not in the model.

use super::{Address, Media, Sdp};
use bytes::Bytes;
use std::io::Write as _;
use std::net::IpAddr;

/// Prints lines in the order in which its functions are called.
///
/// Its callers hand in numbers, constants, and text that came through the parser: nothing that could hold a line end.
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Begins with `v=` and an `o=` that has no user name.
    pub(crate) fn new(session_id: u64, version: u64, address: IpAddr) -> Self {
        let mut writer = Self { out: Vec::with_capacity(TYPICAL_BYTES) };
        writer.put(format_args!("v=0\r\no=- {session_id} {version} "));
        writer.put_ip(address);
        writer.put(format_args!("\r\n"));
        writer
    }

    /// Writes `s=`, `c=` and `t=` of a call.
    pub(crate) fn session(&mut self, address: IpAddr) {
        self.put(format_args!("s=-\r\nc="));
        self.put_ip(address);
        self.put(format_args!("\r\nt=0 0\r\n"));
    }

    /// Writes a whole line.
    pub(crate) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.put(line);
        self.out.extend_from_slice(b"\r\n");
    }

    pub(crate) fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a Vec has no way to fail.
        let _ = self.out.write_fmt(text);
    }

    fn put_ip(&mut self, address: IpAddr) {
        let family = if address.is_ipv6() { 6 } else { 4 };
        self.put(format_args!("IN IP{family} {address}"));
    }

    fn put_address(&mut self, address: &Address<'_>) {
        match *address {
            Address::Ip(ip) => self.put_ip(ip),
            Address::Name { name, ipv6 } => {
                let family = if ipv6 { 6 } else { 4 };
                self.put(format_args!("IN IP{family} {name}"));
            }
        }
    }

    fn put_attributes(&mut self, attributes: super::Attributes<'_>) {
        for attribute in attributes.iter() {
            self.out.extend_from_slice(b"a=");
            self.out.extend_from_slice(attribute.name);
            if let Some(value) = attribute.value {
                self.out.push(b':');
                self.out.extend_from_slice(value);
            }
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn put_media(&mut self, media: &Media<'_>) {
        self.put(format_args!("m={} {}", media.kind(), media.port()));
        if media.port_count() != 1 {
            self.put(format_args!("/{}", media.port_count()));
        }
        self.put(format_args!(" {}", media.protocol()));
        for format in media.formats() {
            self.put(format_args!(" {format}"));
        }
        if media.formats().next().is_none() {
            // RFC 8866 §9 demands one; that of a refused line means nothing.
            self.put(format_args!(" 0"));
        }
        self.out.extend_from_slice(b"\r\n");
        if let Some(connection) = media.connection() {
            self.put(format_args!("c="));
            self.put_address(&connection.address);
            self.out.extend_from_slice(b"\r\n");
        }
        self.put_attributes(media.attributes());
    }

    pub(crate) fn finish(self) -> Bytes {
        self.out.into()
    }
}

pub(super) fn print(sdp: &Sdp<'_>) -> Bytes {
    let mut writer = Writer { out: Vec::with_capacity(TYPICAL_BYTES) };
    let origin = sdp.origin();
    writer.put(format_args!("v=0\r\no="));
    writer.out.extend_from_slice(origin.username);
    writer.put(format_args!(" {} {} {}\r\ns=", origin.session_id, origin.version, origin.address));
    // RFC 8866 §5.3: a session without a name has a dash or a space.
    writer.out.extend_from_slice(if sdp.name().is_empty() { b"-" } else { sdp.name() });
    writer.out.extend_from_slice(b"\r\n");
    if let Some(connection) = sdp.connection() {
        writer.put(format_args!("c="));
        writer.put_address(&connection.address);
        writer.out.extend_from_slice(b"\r\n");
    }
    let (start, stop) = sdp.timing().unwrap_or_default();
    writer.line(format_args!("t={start} {stop}"));
    writer.put_attributes(sdp.attributes());
    for media in sdp.media() {
        writer.put_media(media);
    }
    writer.finish()
}

/// Room for a telephone call's description without growing.
const TYPICAL_BYTES: usize = 384;
