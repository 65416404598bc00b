//! Telephone events (RFC 4733): the payload, and digits as people write them.
//!
//! | part | module |
//! |---|---|
//! | packets in, each event told once | `receiver` |
//! | events out, as packets | `sender` |
//! | digits we send ourselves, on the clock | `generator` |

mod generator;
mod receiver;
mod sender;

pub(crate) use generator::DigitGenerator;
pub use generator::{DigitTiming, DigitsRefused};
pub(crate) use receiver::{EventKey, EventReceiver};
pub(crate) use sender::{EventSender, EventStart};

use crate::error::Malformed;
use std::fmt;

/// An event code of RFC 4733 §3: 0–9 digits, 10 star, 11 pound, 12–15 A–D, 16 flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Event(pub u8);

/// News of an event, told by its receiver and understood by its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventUpdate {
    /// Which one.
    pub event: Event,
    /// Power in −dBm0: 0 is loudest, 63 quietest.
    pub volume: u8,
    /// How long it has lasted, in units of 1/8000 s, over all its segments.
    pub duration: u32,
    /// What happened.
    pub phase: EventPhase,
}

/// What happened to an event. Each has one `Start` and one `End`, or one `Whole`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventPhase {
    /// It began.
    Start,
    /// It goes on.
    Update,
    /// It is over.
    End,
    /// It began and is over: only its last packet arrived.
    Whole,
}

/// The payload of one packet (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPayload {
    /// Which one.
    pub event: Event,
    /// The E bit.
    pub end: bool,
    /// Power in −dBm0, six bits.
    pub volume: u8,
    /// Duration of the segment so far, in timestamp units.
    pub duration: u16,
}

/// Bytes of a telephone-event payload.
pub const EVENT_BYTES: usize = 4;

/// Volume of digits that we send: −10 dBm0, what handsets send.
pub const DIGIT_VOLUME: u8 = 10;

/// Returns the events of dialled characters, leaving out what is none.
pub fn keys_of(digits: &str) -> Vec<Event> {
    digits.chars().filter_map(Event::from_digit).collect()
}

impl Event {
    /// Returns the event of a dialled character: `0`–`9`, `*`, `#`, `A`–`D`.
    pub fn from_digit(digit: char) -> Option<Self> {
        let code = match digit.to_ascii_uppercase() {
            '*' => 10,
            '#' => 11,
            'A' => 12,
            'B' => 13,
            'C' => 14,
            'D' => 15,
            other => u8::try_from(other.to_digit(10)?).ok()?,
        };
        Some(Self(code))
    }

    /// Returns the dialled character; none for events that are not digits.
    pub fn digit(self) -> Option<char> {
        match self.0 {
            code @ 0..=9 => Some(char::from(b'0' + code)),
            10 => Some('*'),
            11 => Some('#'),
            code @ 12..=15 => Some(char::from(b'A' + (code - 12))),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digit() {
            Some(digit) => write!(f, "{digit}"),
            None => write!(f, "event {}", self.0),
        }
    }
}

impl EventUpdate {
    /// Returns the key, told once for each press: when it goes down.
    pub fn pressed(&self) -> Option<char> {
        if self.phase.begins() { self.event.digit() } else { None }
    }
}

impl EventPhase {
    /// Whether the event begins with this update.
    pub fn begins(self) -> bool {
        match self {
            Self::Start | Self::Whole => true,
            Self::Update | Self::End => false,
        }
    }

    /// Whether the event is over with this update.
    pub fn ends(self) -> bool {
        match self {
            Self::End | Self::Whole => true,
            Self::Start | Self::Update => false,
        }
    }
}

impl EventPayload {
    /// Reads a payload. RFC 4733 §2.3.1 lets events follow one another in a payload only where agreed, and it never is.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; EVENT_BYTES] = payload.first_chunk().ok_or(Malformed::TelephoneEvent)?;
        let [event, flags, high, low] = *bytes;
        Ok(Self {
            event: Event(event),
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// Returns the bytes of the payload.
    pub fn to_bytes(self) -> [u8; EVENT_BYTES] {
        let [high, low] = self.duration.to_be_bytes();
        let end = if self.end { 0x80 } else { 0 };
        [self.event.0, end | (self.volume & 0x3f), high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_laid_out_as_in_the_rfc() {
        let payload = EventPayload { event: Event(11), end: true, volume: 10, duration: 800 };
        assert_eq!(payload.to_bytes(), [11, 0x8a, 0x03, 0x20]);
        assert_eq!(EventPayload::parse(&payload.to_bytes()), Ok(payload));
        assert_eq!(EventPayload::parse(&[1, 2, 3]), Err(Malformed::TelephoneEvent));
    }

    #[test]
    fn every_digit_has_one_event() {
        for (code, digit) in (0u8..).zip("0123456789*#ABCD".chars()) {
            assert_eq!(Event::from_digit(digit), Some(Event(code)));
            assert_eq!(Event(code).digit(), Some(digit));
        }
        assert_eq!(Event::from_digit('E'), None);
        assert_eq!(Event(16).digit(), None);
    }
}
