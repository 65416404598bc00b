//! What offer and answer settled for one audio stream: the hand-over from offer/answer to an RTP leg.

use crate::frame::ClockRate;
use crate::opus;
use std::net::SocketAddr;
use trunkline_model::Codec;

/// The state of one leg's audio after an offer was answered.
///
/// Small and `Copy`, so that it can be handed to a media worker by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// Where our RTP goes. The address is unspecified while the peer holds by `c=0.0.0.0`
    /// (RFC 3264 §8.4); [`direction`](Self::direction) then never lets us send.
    pub remote_rtp: SocketAddr,
    /// Where our RTCP goes: `a=rtcp` (RFC 3605), the RTP port where multiplexed, else the port above it.
    pub remote_rtcp: SocketAddr,
    /// Whether RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// What we send, under the payload numbers that the peer chose, and in its packet time.
    /// The first audio codec is the one to send.
    pub send: PayloadMap,
    /// What may arrive, under the payload numbers that we chose. Every codec in it may arrive at any time.
    pub receive: PayloadMap,
    /// What we may do: `SendOnly` means that we send and the peer only listens.
    pub direction: Direction,
    /// How we code Opus, by what policy and peer want.
    pub opus: opus::Settings,
}

impl Negotiated {
    /// Whether audio may be sent to the peer now.
    pub fn may_send(&self) -> bool {
        self.direction.sends() && !self.remote_rtp.ip().is_unspecified() && self.remote_rtp.port() != 0
    }
}

/// Which way media may flow, seen from the side that states it (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways; what a description without an attribute means.
    #[default]
    SendRecv,
    /// The stating side sends only: it holds the other.
    SendOnly,
    /// The stating side receives only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// All of them, for tables.
    pub const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// Returns the direction with this pair of abilities.
    pub fn from_parts(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the stating side may send.
    pub fn sends(self) -> bool {
        match self {
            Self::SendRecv | Self::SendOnly => true,
            Self::RecvOnly | Self::Inactive => false,
        }
    }

    /// Whether the stating side may receive.
    pub fn receives(self) -> bool {
        match self {
            Self::SendRecv | Self::RecvOnly => true,
            Self::SendOnly | Self::Inactive => false,
        }
    }

    /// Returns the same flow seen from the other side.
    pub fn reversed(self) -> Self {
        Self::from_parts(self.receives(), self.sends())
    }

    /// Returns what both allow, each seen from the same side.
    pub fn intersection(self, other: Self) -> Self {
        Self::from_parts(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// Whether the stating side has stopped listening: the peer that reads this is on hold.
    pub fn is_hold(self) -> bool {
        !self.receives()
    }

    /// Returns the name of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Returns the direction of this attribute name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"sendrecv" => Some(Self::SendRecv),
            b"sendonly" => Some(Self::SendOnly),
            b"recvonly" => Some(Self::RecvOnly),
            b"inactive" => Some(Self::Inactive),
            _ => None,
        }
    }
}

/// What an RTP payload number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payload {
    /// Coded audio.
    Audio(Codec),
    /// Telephone events of RFC 4733, with durations in ticks of this clock.
    TelephoneEvent(ClockRate),
    /// Comfort noise of RFC 3389 at 8 kHz.
    ComfortNoise,
}

/// Payload numbers of one way of a stream, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadMap {
    entries: [Option<(u8, Payload)>; ENTRIES_MAX],
    /// Packet time in milliseconds: a multiple of 10 from [`PTIME_MS_MIN`] to [`PTIME_MS_MAX`].
    pub ptime_ms: u16,
}

impl PayloadMap {
    /// Returns an empty map.
    pub fn new(ptime_ms: u16) -> Self {
        Self { entries: [None; ENTRIES_MAX], ptime_ms }
    }

    /// Adds a payload number as the least preferred; false when it is taken already or the map is full.
    pub fn push(&mut self, number: u8, payload: Payload) -> bool {
        if self.payload(number).is_some() {
            return false;
        }
        match self.entries.iter_mut().find(|entry| entry.is_none()) {
            Some(free) => {
                *free = Some((number, payload));
                true
            }
            None => false,
        }
    }

    /// Returns what a payload number stands for.
    pub fn payload(&self, number: u8) -> Option<Payload> {
        self.iter().find(|&(taken, _)| taken == number).map(|(_, payload)| payload)
    }

    /// Returns the most preferred number of a payload.
    pub fn number(&self, payload: Payload) -> Option<u8> {
        self.iter().find(|&(_, known)| known == payload).map(|(number, _)| number)
    }

    /// Returns the most preferred audio codec and its number.
    pub fn audio(&self) -> Option<(u8, Codec)> {
        self.audios().next()
    }

    /// Returns all audio codecs, best first.
    pub fn audios(&self) -> impl Iterator<Item = (u8, Codec)> + '_ {
        self.iter().filter_map(|(number, payload)| match payload {
            Payload::Audio(codec) => Some((number, codec)),
            Payload::TelephoneEvent(_) | Payload::ComfortNoise => None,
        })
    }

    /// Returns the number and clock of the telephone events to send, where any are agreed: those with the clock of the
    /// audio, as the two share a stream (RFC 4733 §2.5.1.1), else others.
    pub fn telephone_event(&self) -> Option<(u8, ClockRate)> {
        let (_, codec) = self.audio()?;
        let own = ClockRate::of(codec);
        let events = self.iter().filter_map(|(number, payload)| match payload {
            Payload::TelephoneEvent(clock) => Some((number, clock)),
            Payload::Audio(_) | Payload::ComfortNoise => None,
        });
        events.min_by_key(|&(_, clock)| clock != own)
    }

    /// Returns the number of comfort noise, where it is agreed.
    pub fn comfort_noise(&self) -> Option<u8> {
        self.number(Payload::ComfortNoise)
    }

    /// Returns all entries, best first.
    pub fn iter(&self) -> impl Iterator<Item = (u8, Payload)> + '_ {
        self.entries.iter().flatten().copied()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// Shortest packet time that we send, and the step between packet times.
pub const PTIME_MS_MIN: u16 = 10;

/// Longest packet time that we send: what G.711 gear asks for at most, and 480 bytes a packet.
pub const PTIME_MS_MAX: u16 = 60;

/// Most payload numbers of one way: each payload twice (a peer may repeat a static codec under a dynamic number).
const ENTRIES_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversing_swaps_who_sends_and_twice_is_the_same() {
        assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
        assert_eq!(Direction::RecvOnly.reversed(), Direction::SendOnly);
        for direction in Direction::ALL {
            assert_eq!(direction.reversed().reversed(), direction);
            assert_eq!(Direction::parse(direction.as_str().as_bytes()), Some(direction));
        }
    }

    #[test]
    fn a_number_keeps_its_first_meaning() {
        let mut map = PayloadMap::new(20);
        assert!(map.push(8, Payload::Audio(Codec::Pcma)));
        assert!(!map.push(8, Payload::ComfortNoise));
        assert!(map.push(110, Payload::TelephoneEvent(ClockRate::Hz48000)));
        assert!(map.push(101, Payload::TelephoneEvent(ClockRate::Hz8000)));
        assert_eq!(map.audio(), Some((8, Codec::Pcma)));
        assert_eq!(map.telephone_event(), Some((101, ClockRate::Hz8000)));
        assert_eq!(map.comfort_noise(), None);
    }

    #[test]
    fn a_full_map_refuses_more_instead_of_growing() {
        let mut map = PayloadMap::new(20);
        let taken = (0..=127).filter(|&number| map.push(number, Payload::Audio(Codec::Pcmu))).count();
        assert_eq!(taken, ENTRIES_MAX);
    }
}
