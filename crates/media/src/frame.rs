//! What crosses a bridge: one leg's audio or event, free of payload types, sequence numbers and SSRC.

use crate::dtmf::EventUpdate;
use crate::opus;
use std::time::Duration;
use trunkline_model::Codec;

/// A piece of media on its way from one leg to another, or from a player or to a recorder.
///
/// The payload is lent by whoever made the frame; nothing is copied until it is written into a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The source; timestamps of different streams have nothing to do with each other.
    pub stream: StreamId,
    /// Media time of the first sample in units of 1/8000 s, never wrapping. For an event, when it began.
    pub timestamp: u64,
    /// Whether a talk spurt begins here (RFC 3551 §4.1).
    pub marker: bool,
    /// How many packets of audio before this one never came. Only then is a gap in timestamps something to conceal;
    /// else it is silence that was not sent.
    pub lost: u16,
    /// The media.
    pub body: FrameBody<'a>,
}

/// The media in a [`Frame`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameBody<'a> {
    /// Coded audio.
    Audio {
        /// How it is coded.
        codec: Codec,
        /// The samples, a byte each; of Opus, one packet.
        payload: &'a [u8],
    },
    /// News of a telephone event. Each event starts once and ends once, however often the wire said so.
    Event(EventUpdate),
    /// Comfort noise (RFC 3389): the level and any filter coefficients, as received.
    ComfortNoise {
        /// The payload of RFC 3389 §3.
        payload: &'a [u8],
    },
}

/// Names a source of frames: it changes whenever timestamps start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The clock of an RTP stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ClockRate {
    /// 8 kHz: G.711, comfort noise, and telephone events beside them.
    #[default]
    Hz8000,
    /// 48 kHz: Opus whatever it carries (RFC 7587 §4.1), and telephone events beside it.
    Hz48000,
}

/// Samples a second within this program, whatever the clock on the wire.
pub const CLOCK_RATE: u32 = 8000;

/// [`CLOCK_RATE`] in a millisecond.
pub const UNITS_PER_MS: u32 = CLOCK_RATE / 1000;

/// Longest payload taken from a packet.
///
/// RFC 3551 §4.2: a receiver should accept packets of up to 200 ms.
pub const PAYLOAD_BYTES_MAX: usize = 200 * UNITS_PER_MS as usize;

/// Returns a time in media units, whole ones.
pub(crate) fn units(time: Duration) -> u64 {
    time.as_secs() * u64::from(CLOCK_RATE) + u64::from(time.subsec_nanos() / NANOS_PER_UNIT)
}

impl ClockRate {
    /// Returns the clock of a codec.
    pub fn of(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu | Codec::Pcma => Self::Hz8000,
            Codec::Opus => Self::Hz48000,
        }
    }

    /// Returns ticks a second.
    pub fn hz(self) -> u32 {
        CLOCK_RATE * self.ticks_per_unit()
    }

    /// Returns ticks in 1/8000 s.
    pub(crate) fn ticks_per_unit(self) -> u32 {
        match self {
            Self::Hz8000 => 1,
            Self::Hz48000 => 6,
        }
    }
}

const NANOS_PER_UNIT: u32 = 1_000_000_000 / CLOCK_RATE;

impl Frame<'_> {
    /// Returns how much media time the frame covers: nothing for events and comfort noise.
    pub fn duration(&self) -> u32 {
        match self.body {
            FrameBody::Audio { codec: Codec::Opus, payload } => opus::samples(payload).unwrap_or(0),
            FrameBody::Audio { codec: Codec::Pcmu | Codec::Pcma, payload } => {
                u32::try_from(payload.len()).unwrap_or(u32::MAX)
            }
            FrameBody::Event(_) | FrameBody::ComfortNoise { .. } => 0,
        }
    }
}
