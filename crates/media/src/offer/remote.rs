//! Reading the peer's audio line.

use super::Error;
use super::describe::Profile;
use super::dtls::{self, BROWSER, PeerDtls};
use super::formats::PeerOpus;
use crate::frame::ClockRate;
use crate::negotiated::{Direction, Negotiated, PTIME_MS_MAX, PTIME_MS_MIN, Payload, PayloadMap};
use crate::opus;
use crate::sdp::{Connection, Media, Sdp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use trunkline_model::Codec;

/// What an offer asks for, as far as a call wants to know before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferView {
    /// What the peer wants to do: `SendOnly` holds us. Every form of hold is read as one. The other leg of a bridge
    /// wishes for the same.
    pub direction: Direction,
    /// What the peer takes and we allow, in its order.
    pub formats: Option<PayloadMap>,
}

impl OfferView {
    /// An offer that removes the audio.
    pub(super) const REMOVED: Self = Self { direction: Direction::Inactive, formats: None };

    pub(super) fn of(remote: &Remote) -> Self {
        Self { direction: remote.direction, formats: Some(remote.formats) }
    }

    /// Returns the peer's first codec that we allow.
    pub fn codec(&self) -> Option<Codec> {
        self.formats.and_then(|formats| formats.audio()).map(|(_, codec)| codec)
    }
}

/// A usable audio line of the peer.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    path: Path,
    pub(super) profile: Profile,
    /// What the peer does, a hold by address included.
    pub(super) direction: Direction,
    /// What the peer takes and we allow, in its order and under its numbers.
    pub(super) formats: PayloadMap,
    /// What it says of Opus.
    pub(super) opus: PeerOpus,
    ptime_ms: Option<u16>,
    maxptime_ms: Option<u16>,
}

/// How media gets to the peer.
#[derive(Debug, Clone)]
enum Path {
    /// To the addresses that it states.
    Stated { rtp: SocketAddr, rtcp: SocketAddr, rtcp_mux: bool },
    /// To where ICE finds it, under DTLS.
    Dtls(PeerDtls),
}

/// Which paths our end does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Stated addresses, of the family of this one.
    Stated(IpAddr),
    /// ICE and DTLS.
    Dtls,
}

impl Remote {
    /// Reads an audio line, or says why an end of this reach that takes these payloads cannot talk on it.
    pub(super) fn read(
        sdp: &Sdp<'_>,
        media: &Media<'_>,
        reach: Reach,
        takes: &PayloadMap,
    ) -> Result<Self, Error> {
        let is_bundled = reach == Reach::Dtls && dtls::is_bundle_only(media);
        if media.port() == 0 && !is_bundled {
            return Err(Error::Refused);
        }
        let profile = Profile::parse(media.protocol()).ok_or(Error::Transport)?;
        if profile.is_dtls() != (reach == Reach::Dtls) {
            return Err(Error::Transport);
        }
        let stated = sdp.direction_of(media);
        let (path, direction) = match reach {
            Reach::Stated(local) => stated_path(sdp, media, local, stated)?,
            Reach::Dtls => (Path::Dtls(PeerDtls::read(sdp, media)?), stated),
        };
        let formats = formats(media, takes);
        if formats.audio().is_none() {
            return Err(Error::NoCodec);
        }
        let number = formats.number(Payload::Audio(Codec::Opus));
        let opus = number.map(|number| PeerOpus::read(media, number)).unwrap_or_default();
        let (ptime_ms, maxptime_ms) = (media.ptime_ms(), media.maxptime_ms());
        Ok(Self { path, profile, direction, formats, opus, ptime_ms, maxptime_ms })
    }

    /// Whether the peer shares RTP's port for RTCP.
    pub(super) fn rtcp_mux(&self) -> bool {
        match self.path {
            Path::Stated { rtcp_mux, .. } => rtcp_mux,
            Path::Dtls(_) => true,
        }
    }

    /// Returns what a browser has in place of an address.
    pub(super) fn dtls(&self) -> Option<&PeerDtls> {
        match &self.path {
            Path::Stated { .. } => None,
            Path::Dtls(dtls) => Some(dtls),
        }
    }

    /// Returns the packet time to send with: what the peer asks for, else ours, in whole steps and within its limit.
    pub(super) fn send_ptime_ms(&self, own_ms: u16) -> u16 {
        let asked = self.ptime_ms.unwrap_or(own_ms).min(self.maxptime_ms.unwrap_or(PTIME_MS_MAX));
        let whole = asked - asked % PTIME_MS_MIN;
        whole.clamp(PTIME_MS_MIN, PTIME_MS_MAX)
    }

    pub(super) fn negotiated(
        &self,
        send: PayloadMap,
        receive: PayloadMap,
        direction: Direction,
        rtcp_mux: bool,
    ) -> Negotiated {
        let (remote_rtp, remote_rtcp) = match self.path {
            Path::Stated { rtp, rtcp, .. } => (rtp, if rtcp_mux { rtp } else { rtcp }),
            Path::Dtls(_) => (BROWSER, BROWSER),
        };
        let opus = opus::Settings::default();
        Negotiated { remote_rtp, remote_rtcp, rtcp_mux, send, receive, direction, opus }
    }
}

/// Returns the path to the addresses that the peer states, and what it does, a hold by address included.
fn stated_path(
    sdp: &Sdp<'_>,
    media: &Media<'_>,
    local: IpAddr,
    stated: Direction,
) -> Result<(Path, Direction), Error> {
    let connection = sdp.connection_of(media).ok_or(Error::Address)?;
    let rtp = SocketAddr::new(destination(connection, local)?, media.port());
    let path = Path::Stated { rtp, rtcp: rtcp_destination(media, rtp, local), rtcp_mux: media.rtcp_mux() };
    // RFC 3264 §8.4: nothing may be sent to it, but it may still send.
    let held = connection.is_hold().then(|| Direction::from_parts(stated.sends(), false));
    Ok((path, held.unwrap_or(stated)))
}

/// Returns where media goes; the unspecified address while held by it.
fn destination(connection: Connection<'_>, local: IpAddr) -> Result<IpAddr, Error> {
    if connection.is_hold() {
        return Ok(connection.address.unspecified());
    }
    // A name would have to be looked up, and what it leads to is not the peer's word any more.
    let ip = connection.address.ip().ok_or(Error::Address)?.to_canonical();
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Error::Multicast);
    }
    if ip.is_ipv4() != local.is_ipv4() {
        return Err(Error::Address);
    }
    Ok(ip)
}

/// Returns where RTCP goes (RFC 3605), by default the port above RTP (RFC 3550 §11).
fn rtcp_destination(media: &Media<'_>, rtp: SocketAddr, local: IpAddr) -> SocketAddr {
    let Some(stated) = media.rtcp() else {
        // There is no port above the last; RTCP then goes where RTP goes, and does no harm.
        return SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(rtp.port()));
    };
    let connection = stated.address.map(|address| Connection { address });
    let ip = match connection.map(|connection| destination(connection, local)) {
        Some(Ok(ip)) => ip,
        Some(Err(_)) | None => rtp.ip(),
    };
    SocketAddr::new(ip, stated.port)
}

/// Returns the formats of a line that are taken, in its order.
fn formats(media: &Media<'_>, takes: &PayloadMap) -> PayloadMap {
    let mut meanings: [Option<Payload>; 128] = [None; 128];
    for (number, payload) in STATIC {
        if let Some(meaning) = meanings.get_mut(usize::from(number)) {
            *meaning = Some(payload);
        }
    }
    for rtpmap in media.rtpmaps() {
        if let Some(meaning) = meanings.get_mut(usize::from(rtpmap.number)) {
            *meaning = payload(rtpmap.encoding, rtpmap.clock, rtpmap.channels);
        }
    }
    let mut formats = PayloadMap::new(takes.ptime_ms);
    for format in media.formats() {
        let number = if format.starts_with('+') { None } else { format.parse::<u8>().ok() };
        let meaning = number.and_then(|number| Some((number, (*meanings.get(usize::from(number))?)?)));
        if let Some((number, payload)) = meaning
            && takes.number(payload).is_some()
        {
            formats.push(number, payload);
        }
    }
    formats
}

/// Returns what an encoding name stands for, if we do it.
fn payload(encoding: &str, clock: u32, channels: u8) -> Option<Payload> {
    let named = [
        ("PCMU", 8000, 1, Payload::Audio(Codec::Pcmu)),
        ("PCMA", 8000, 1, Payload::Audio(Codec::Pcma)),
        // RFC 7587 §7: whatever is in it.
        ("opus", 48_000, 2, Payload::Audio(Codec::Opus)),
        ("telephone-event", 8000, 1, Payload::TelephoneEvent(ClockRate::Hz8000)),
        ("telephone-event", 48_000, 1, Payload::TelephoneEvent(ClockRate::Hz48000)),
        ("CN", 8000, 1, Payload::ComfortNoise),
    ];
    let found = named.iter().find(|&&(name, hz, count, _)| {
        encoding.eq_ignore_ascii_case(name) && clock == hz && channels == count
    });
    found.map(|&(.., payload)| payload)
}

/// Payload numbers that need no `a=rtpmap` (RFC 3551 §6).
const STATIC: [(u8, Payload); 3] =
    [(0, Payload::Audio(Codec::Pcmu)), (8, Payload::Audio(Codec::Pcma)), (13, Payload::ComfortNoise)];
