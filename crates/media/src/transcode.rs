//! From the codec and packet time of one leg to those of another, as packets arrive.
//!
//! | what comes | what the peer takes | what happens | module |
//! |---|---|---|---|
//! | G.711 | G.711 | bytes by table, packets cut anew | [`packetizer`] |
//! | G.711 | Opus | cut to 20 ms, coded; what was lost is made up | [`encode`], [`conceal`] |
//! | Opus | G.711 | decoded; what was lost is recovered or made up; packets cut anew | [`decode`] |
//! | comfort noise | Opus | noise of that level while it lasts | [`noise`] |
//! | Opus that pauses | G.711 | comfort noise where agreed, else the decoder's noise while it lasts | [`decode`] |
//! | Opus | Opus | untouched | |
//!
//! Telephone events pass beside all this.

pub(crate) mod conceal;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod noise;
pub(crate) mod packetizer;

pub(crate) use conceal::Concealer;
pub(crate) use decode::OpusInput;
pub(crate) use encode::OpusOutput;
pub(crate) use noise::Noise;
pub(crate) use packetizer::{Chunk, Packetizer};

use crate::frame::{Frame, StreamId, UNITS_PER_MS};

/// Samples in 20 ms.
pub(crate) const FRAME_SAMPLES: usize = 20 * UNITS_PER_MS as usize;

/// Most samples that are made up in place of packets that never came.
///
/// They are made when the packet after the gap comes, so those at the beginning of a longer gap would be of no use: the
/// far end has made up its own by then.
pub(crate) const CONCEALED_MAX: usize = 60 * UNITS_PER_MS as usize;

/// Follows a stream of frames, to know what is missing of it.
#[derive(Debug, Default)]
struct Follower {
    stream: Option<StreamId>,
    /// Media time after the last frame.
    next: u64,
}

/// What is between a frame and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// Nothing is before it: the stream is new.
    NewStream,
    /// So much media time, maybe none.
    Time(u64),
}

impl Follower {
    fn gap_before(&mut self, frame: &Frame<'_>) -> Gap {
        if self.stream.replace(frame.stream) != Some(frame.stream) {
            self.next = frame.timestamp;
            return Gap::NewStream;
        }
        Gap::Time(frame.timestamp.saturating_sub(self.next))
    }

    fn follow(&mut self, timestamp: u64, samples: usize) {
        self.next = timestamp.saturating_add(samples as u64);
    }
}
