//! ICE and DTLS in descriptions (RFC 8839, RFC 8842, RFC 5763): what browsers have in place of an address.

use super::Error;
use crate::sdp::{Media, Sdp, Writer};
use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Our end of every leg to a browser on one media worker, besides the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtlsEnd {
    /// Of our certificate.
    pub fingerprint: Fingerprint,
    /// Further addresses of the same socket, such as one of the other family.
    pub others: Vec<IpAddr>,
}

/// What offer and answer settled on the path to a browser: the hand-over to the browser's leg, beside
/// [`Negotiated`](crate::Negotiated).
///
/// Other remote ICE credentials are an ICE restart (RFC 8839 §4.4.1.1.1). Another fingerprint is a new DTLS association
/// (RFC 8842 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtlsTransport {
    /// What the browser's STUN requests to us name and are signed with.
    pub local: IceCredentials,
    /// The browser's own.
    pub remote: IceCredentials,
    /// What the browser's certificate must have.
    pub fingerprint: Fingerprint,
    /// Who begins the handshake.
    pub role: DtlsRole,
    /// The SSRC of what we send.
    pub ssrc: u32,
}

/// Who begins a DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// We do.
    Client,
    /// The peer does; the rule, for it knows first when the path works.
    Server,
}

/// A name and a password of ICE. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The user name fragment.
    pub ufrag: Box<str>,
    /// The password.
    pub password: Box<str>,
}

impl IceCredentials {
    /// RFC 8445 §5.3 wants 24 bits of the name and 128 of the password; these have 48 and 144.
    pub(super) fn generate(random: &mut ChaCha20Rng) -> Self {
        let mut text = |length: usize| (0..length).map(|_| ice_char(random.random())).collect::<Box<str>>();
        Self { ufrag: text(LOCAL_UFRAG_CHARS), password: text(24) }
    }

    fn read(sdp: &Sdp<'_>, media: &Media<'_>) -> Option<Self> {
        let ufrag = own_or_session(sdp, media, b"ice-ufrag").and_then(|value| ice_text(value, 4))?;
        let password = own_or_session(sdp, media, b"ice-pwd").and_then(|value| ice_text(value, 22))?;
        Some(Self { ufrag, password })
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// The SHA-256 fingerprint of a certificate (RFC 8122 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Reads the value of an `a=fingerprint`; none if it is of another hash.
    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let (hash, digits) = text.split_once(' ')?;
        if !hash.eq_ignore_ascii_case("sha-256") {
            return None;
        }
        let mut octets = digits.trim().split(':').map(|pair| match pair.len() {
            2 => u8::from_str_radix(pair, 16).ok(),
            _ => None,
        });
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            *byte = octets.next()??;
        }
        octets.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256 ")?;
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

/// What the peer says of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PeerDtls {
    pub(super) credentials: IceCredentials,
    pub(super) fingerprint: Fingerprint,
    /// Our role, as far as the peer leaves it to us.
    pub(super) role: DtlsRole,
    pub(super) mid: Option<Box<str>>,
}

impl PeerDtls {
    /// Reads what belongs to a media line, be it its own, of the line that it is bundled with, or of the session.
    pub(super) fn read(sdp: &Sdp<'_>, media: &Media<'_>) -> Result<Self, Error> {
        // Nothing of a browser comes on a second port.
        if !media.rtcp_mux() {
            return Err(Error::RtcpMux);
        }
        let bundled = bundled_with(sdp, media);
        let from = |media| Some((IceCredentials::read(sdp, media)?, media));
        let own = from(media).or_else(|| from(bundled?));
        let (credentials, transport) = own.ok_or(Error::Ice)?;
        let fingerprint = fingerprint(sdp, transport).ok_or(Error::Fingerprint)?;
        let role = match own_or_session(sdp, transport, b"setup").map(<[u8]>::trim_ascii) {
            Some(b"passive") => DtlsRole::Client,
            // RFC 4145 §4: active is what no attribute means.
            Some(b"active" | b"actpass") | None => DtlsRole::Server,
            Some(_) => return Err(Error::Transport),
        };
        Ok(Self { credentials, fingerprint, role, mid: mid(media) })
    }
}

/// Whether a media line without a port is offered all the same, by way of the line that it is bundled with
/// (RFC 9143 §7.2.1).
pub(super) fn is_bundle_only(media: &Media<'_>) -> bool {
    media.attributes().has(b"bundle-only")
}

/// Returns the line's name (RFC 5888), if it is one.
pub(super) fn mid(media: &Media<'_>) -> Option<Box<str>> {
    let value = media.attributes().values(b"mid").next()?.trim_ascii();
    let text = std::str::from_utf8(value).ok()?;
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    (is_token && text.len() <= MID_BYTES_MAX).then(|| text.into())
}

/// Our own part of a description, in place of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DtlsLine {
    pub(super) end: DtlsEnd,
    pub(super) credentials: IceCredentials,
    pub(super) setup: Setup,
    pub(super) mid: Box<str>,
    pub(super) ssrc: u32,
}

/// What we say of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// The peer may choose; all that an offer may say (RFC 8842 §5.2).
    ActPass,
    /// We begin.
    Active,
    /// The peer begins.
    Passive,
}

impl From<DtlsRole> for Setup {
    fn from(role: DtlsRole) -> Self {
        match role {
            DtlsRole::Client => Self::Active,
            DtlsRole::Server => Self::Passive,
        }
    }
}

impl DtlsLine {
    pub(super) fn print_session(&self, writer: &mut Writer) {
        writer.line(format_args!("a=group:BUNDLE {}", self.mid));
        writer.line(format_args!("a=ice-lite"));
        // Chromium and Firefox still look for it, to know that a=msid is meant.
        writer.line(format_args!("a=msid-semantic: WMS *"));
    }

    pub(super) fn print_media(&self, writer: &mut Writer, default: SocketAddr, sends: bool) {
        writer.line(format_args!("a=mid:{}", self.mid));
        writer.line(format_args!("a=ice-ufrag:{}", self.credentials.ufrag));
        writer.line(format_args!("a=ice-pwd:{}", self.credentials.password));
        writer.line(format_args!("a=fingerprint:{}", self.end.fingerprint));
        let setup = match self.setup {
            Setup::ActPass => "actpass",
            Setup::Active => "active",
            Setup::Passive => "passive",
        };
        writer.line(format_args!("a=setup:{setup}"));
        if sends {
            writer.line(format_args!("a=msid:trunkline audio"));
        }
        writer.line(format_args!("a=ssrc:{} cname:trunkline", self.ssrc));
        for (index, ip) in std::iter::once(default.ip()).chain(self.end.others.iter().copied()).enumerate() {
            // RFC 8445 §5.1.2.1: a host candidate, each with a local preference of its own.
            let priority = (126_u32 << 24) | (65_535_u32.saturating_sub(index as u32) << 8) | 255;
            let (foundation, port) = (index + 1, default.port());
            writer.line(format_args!("a=candidate:{foundation} 1 udp {priority} {ip} {port} typ host"));
        }
        writer.line(format_args!("a=end-of-candidates"));
    }
}

/// Returns the line whose transport a bundled line shares: the first of its group (RFC 9143 §7.2.1).
fn bundled_with<'s, 'a>(sdp: &'s Sdp<'a>, media: &Media<'a>) -> Option<&'s Media<'a>> {
    let own = mid(media)?;
    let is_in = |group: &&str| group.split(' ').any(|name| name == &*own);
    let mut groups = sdp.attributes().values(b"group").filter_map(|value| std::str::from_utf8(value).ok());
    let group = groups.find_map(|value| value.trim().strip_prefix("BUNDLE ").filter(is_in))?;
    let first = group.split(' ').next()?;
    sdp.media().iter().find(|media| mid(media).is_some_and(|name| &*name == first))
}

/// Returns the fingerprint that we can check: a peer may state one for each hash that it can do.
fn fingerprint(sdp: &Sdp<'_>, media: &Media<'_>) -> Option<Fingerprint> {
    let name = b"fingerprint";
    let attributes = if media.attributes().has(name) { media.attributes() } else { sdp.attributes() };
    attributes.values(name).find_map(Fingerprint::parse)
}

fn own_or_session<'a>(sdp: &Sdp<'a>, media: &Media<'a>, name: &'static [u8]) -> Option<&'a [u8]> {
    media.attributes().values(name).next().or_else(|| sdp.attributes().values(name).next())
}

/// Returns a name or password of ICE, if it is one (RFC 8839 §5.4).
fn ice_text(value: &[u8], chars_min: usize) -> Option<Box<str>> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    let is_allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    (is_allowed && (chars_min..=ICE_TEXT_CHARS_MAX).contains(&text.len())).then(|| text.into())
}

fn ice_char(random: u8) -> char {
    const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char::from(CHARS.get(usize::from(random) % CHARS.len()).copied().unwrap_or(b'A'))
}

/// Stands for the address of a browser in [`Negotiated`](crate::Negotiated): ICE finds the real one, which may change
/// at any time. The dummy address of RFC 7600, which no packet ever goes to or comes from, with the discard port.
pub const BROWSER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)), 9);

/// Characters of a name of ours.
pub const LOCAL_UFRAG_CHARS: usize = 8;

/// The name that our audio line has where the peer gave none.
pub(super) const DEFAULT_MID: &str = "0";

/// Longest name or password that RFC 8839 §5.4 allows.
const ICE_TEXT_CHARS_MAX: usize = 256;

/// Longest name of a media line: browsers count, or have ten characters or so.
const MID_BYTES_MAX: usize = 32;
