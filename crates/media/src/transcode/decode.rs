//! A stream of Opus packets, as samples.

use crate::frame::Frame;
use crate::opus::{self, Decoder, PACKET_SAMPLES_MAX};
use crate::transcode::{CONCEALED_MAX, Follower, Gap};

/// Decodes one stream at a time, gaps included.
#[derive(Debug)]
pub(crate) struct OpusInput {
    decoder: Decoder,
    follower: Follower,
}

/// libopus makes up whole steps of 2.5 ms.
const STEP_SAMPLES: usize = 20;

/// Longest pause that is filled when the packet after it comes: what the clock of the pause was too late for.
const PAUSE_REST_MAX: u64 = 320;

impl OpusInput {
    /// Returns a decoder, if there is memory.
    pub(crate) fn new() -> Option<Self> {
        Some(Self { decoder: Decoder::new().ok()?, follower: Follower::default() })
    }

    /// Begins a packet, and returns how many samples before it are missing and worth making up. `pauses` is whether the
    /// pause before it was filled so far.
    pub(crate) fn missing_before(&mut self, frame: &Frame<'_>, pauses: bool) -> usize {
        let gap = match self.follower.gap_before(frame) {
            Gap::Time(gap) => gap,
            Gap::NewStream => {
                if let Err(error) = self.decoder.reset() {
                    tracing::debug!(%error, "decoder of another stream");
                }
                0
            }
        };
        let missing = match frame.lost {
            1.. => gap.min(CONCEALED_MAX as u64) as usize,
            0 if pauses && gap <= PAUSE_REST_MAX => gap as usize,
            0 => 0,
        };
        missing - missing % STEP_SAMPLES
    }

    /// Makes up samples before a packet. Returns how many of them are out of the copy that it carries.
    pub(crate) fn make_up(&mut self, next_packet: &[u8], samples: &mut [i16]) -> usize {
        let copied = opus::samples(next_packet).unwrap_or(0) as usize;
        // A copy is as long as its packet, and no part of it can be had.
        let has_copy = opus::has_copy(next_packet) && copied <= samples.len();
        if has_copy && self.decoder.recover(next_packet, samples).is_ok() {
            return copied;
        }
        self.conceal(samples);
        0
    }

    /// Decodes a packet and returns how many samples it has. What cannot be decoded is made up.
    pub(crate) fn decode(
        &mut self,
        timestamp: u64,
        packet: &[u8],
        samples: &mut [i16; PACKET_SAMPLES_MAX],
    ) -> usize {
        let count = match self.decoder.decode(packet, samples) {
            Ok(count) => count.min(PACKET_SAMPLES_MAX),
            Err(_) => {
                let count = opus::samples(packet).unwrap_or(0) as usize;
                let (broken, _) = samples.split_at_mut(count.min(PACKET_SAMPLES_MAX));
                self.conceal(broken);
                broken.len()
            }
        };
        self.follower.follow(timestamp, count);
        count
    }

    /// Goes on with a pause: the noise of its background.
    pub(crate) fn pause(&mut self, samples: &mut [i16]) {
        self.conceal(samples);
        self.follower.follow(self.follower.next, samples.len());
    }

    fn conceal(&mut self, samples: &mut [i16]) {
        if self.decoder.conceal(samples).is_err() {
            samples.fill(0);
        }
    }
}
