//! Printing our own descriptions.

use super::Local;
use super::dtls::{self, DtlsLine};
use crate::negotiated::{Direction, Payload, PayloadMap};
use crate::sdp::{Media, Writer};
use bytes::Bytes;
use std::net::SocketAddr;
use trunkline_model::Codec;

/// A media line of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// The audio that we talk on.
    Audio,
    /// The same, removed with port 0; it may come back.
    Removed,
    /// One that we refused: what stands before and behind its port, and its name if it has one.
    Refused { kind: Box<str>, tail: Box<str>, mid: Option<Box<str>> },
}

impl Line {
    /// Refuses a line of the peer. Behind port 0 its formats mean nothing, but one must be there (RFC 3264 §6).
    pub(super) fn refused(media: &Media<'_>) -> Self {
        let format = media.formats().next().unwrap_or("0");
        let tail = format!("{} {format}", media.protocol()).into();
        Self::Refused { kind: media.kind().into(), tail, mid: dtls::mid(media) }
    }
}

/// The RTP profile of our audio line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// RFC 3551.
    Avp,
    /// RFC 4585. Its feedback is optional, so that a plain RTCP end may take part (RFC 4585 §5).
    Avpf,
    /// RFC 5764, without feedback.
    DtlsSavp,
    /// RFC 5764 with the feedback of RFC 5124: what browsers have.
    DtlsSavpf,
}

impl Profile {
    pub(super) fn parse(protocol: &str) -> Option<Self> {
        match protocol {
            "RTP/AVP" => Some(Self::Avp),
            "RTP/AVPF" => Some(Self::Avpf),
            "UDP/TLS/RTP/SAVP" => Some(Self::DtlsSavp),
            "UDP/TLS/RTP/SAVPF" => Some(Self::DtlsSavpf),
            _ => None,
        }
    }

    pub(super) fn is_dtls(self) -> bool {
        match self {
            Self::Avp | Self::Avpf => false,
            Self::DtlsSavp | Self::DtlsSavpf => true,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Self::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }
}

/// All that a description of ours says, but its version.
#[derive(Debug)]
pub(super) struct Description<'a> {
    pub(super) local: &'a Local,
    pub(super) lines: &'a [Line],
    pub(super) profile: Profile,
    pub(super) formats: &'a PayloadMap,
    pub(super) direction: Direction,
    pub(super) rtcp_mux: bool,
    pub(super) narrowband: bool,
    pub(super) dtls: Option<&'a DtlsLine>,
}

impl Description<'_> {
    pub(super) fn print(&self, session_id: u64, version: u64) -> Bytes {
        let mut writer = Writer::new(session_id, version, self.local.address);
        writer.session(self.local.address);
        if let Some(dtls) = self.dtls {
            dtls.print_session(&mut writer);
        }
        for line in self.lines {
            match line {
                Line::Audio => self.print_audio(&mut writer, self.local.rtp_port),
                Line::Removed => self.print_audio_line(&mut writer, 0),
                Line::Refused { kind, tail, mid } => {
                    writer.line(format_args!("m={kind} 0 {tail}"));
                    if let (Some(mid), Some(_)) = (mid, self.dtls) {
                        writer.line(format_args!("a=mid:{mid}"));
                        writer.line(format_args!("a=inactive"));
                    }
                }
            }
        }
        writer.finish()
    }

    fn print_audio(&self, writer: &mut Writer, port: u16) {
        self.print_audio_line(writer, port);
        if let Some(dtls) = self.dtls {
            let default = SocketAddr::new(self.local.address, port);
            dtls.print_media(writer, default, self.direction.sends());
        }
        for (number, payload) in self.formats.iter() {
            match payload {
                Payload::Audio(codec @ (Codec::Pcmu | Codec::Pcma)) => {
                    writer.line(format_args!("a=rtpmap:{number} {}/8000", codec.name()));
                }
                Payload::Audio(Codec::Opus) => {
                    writer.line(format_args!("a=rtpmap:{number} opus/48000/2"));
                    // RFC 7587 §6.1. What we play is mono, and without more than 4 kHz where the other leg has no more.
                    let band = if self.narrowband { "maxplaybackrate=8000;" } else { "" };
                    writer.line(format_args!("a=fmtp:{number} {band}stereo=0;useinbandfec=1"));
                }
                Payload::TelephoneEvent(clock) => {
                    writer.line(format_args!("a=rtpmap:{number} telephone-event/{}", clock.hz()));
                    // RFC 4733 §3.2: the sixteen keys and the flash hook.
                    writer.line(format_args!("a=fmtp:{number} 0-16"));
                }
                Payload::ComfortNoise => writer.line(format_args!("a=rtpmap:{number} CN/8000")),
            }
        }
        writer.line(format_args!("a=ptime:{}", self.formats.ptime_ms));
        if self.rtcp_mux {
            writer.line(format_args!("a=rtcp-mux"));
        }
        writer.line(format_args!("a={}", self.direction.as_str()));
    }

    fn print_audio_line(&self, writer: &mut Writer, port: u16) {
        writer.put(format_args!("m=audio {port} {}", self.profile.as_str()));
        for (number, _) in self.formats.iter() {
            writer.put(format_args!(" {number}"));
        }
        writer.line(format_args!(""));
    }
}
