//! Sound that we originate, on the media clock.

use crate::frame::{self, Frame, FrameBody, StreamId, UNITS_PER_MS};
use crate::g711::{self, Law};
use crate::tone::{Tone, ToneGenerator};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_model::Codec;

/// Plays queued sounds as one frame each 20 ms, whatever arrives meanwhile, and silence when nothing is queued.
///
/// Poll [`poll_frame`](Self::poll_frame) when [`poll_timeout`](Self::poll_timeout) is due and hand the frames to
/// [`RtpLeg::send`](crate::RtpLeg::send).
#[derive(Debug)]
pub struct Player {
    stream: StreamId,
    queue: VecDeque<Playing>,
    due: Instant,
    timestamp: u64,
    begun: bool,
    coded: [u8; FRAME_SAMPLES],
}

/// Something to play, at 8 kHz.
#[derive(Debug, Clone)]
pub enum Sound {
    /// Samples.
    Samples(Arc<[i16]>),
    /// A tone for so many samples.
    Tone(Tone, u32),
}

/// The queue of a [`Player`] is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{SOUNDS_MAX} sounds are waiting already")]
pub struct TooManySounds;

#[derive(Debug)]
enum Playing {
    Samples { samples: Arc<[i16]>, place: usize },
    Tone { generator: ToneGenerator, left: u32 },
}

/// Time between frames, and what they cover.
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = 20 * UNITS_PER_MS as usize;

/// Most sounds that wait: a long announcement spelt out of digits and tones.
const SOUNDS_MAX: usize = 256;

/// A shell that is later than this does not catch up with a burst; playing pauses for as long instead.
const LATE_MAX: Duration = Duration::from_millis(200);

impl Player {
    /// Begins to play at `now`. `stream` tells its frames from those of other sources on the same leg.
    pub fn new(now: Instant, stream: StreamId) -> Self {
        Self {
            stream,
            queue: VecDeque::new(),
            due: now,
            timestamp: 0,
            begun: false,
            coded: [0; FRAME_SAMPLES],
        }
    }

    /// Queues a sound behind those that wait.
    pub fn push(&mut self, sound: Sound) -> Result<(), TooManySounds> {
        if self.queue.len() >= SOUNDS_MAX {
            return Err(TooManySounds);
        }
        self.queue.push_back(match sound {
            Sound::Samples(samples) => Playing::Samples { samples, place: 0 },
            Sound::Tone(tone, left) => Playing::Tone { generator: ToneGenerator::new(tone), left },
        });
        Ok(())
    }

    /// Stops what plays and drops what waits; silence follows.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// Whether anything but silence plays or waits.
    pub fn is_playing(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When the next frame is due.
    pub fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Returns the next frame that is due, coded as asked; for a peer with Opus in µ-law, which its leg codes on.
    pub fn poll_frame(&mut self, now: Instant, codec: Codec) -> Option<Frame<'_>> {
        let late = now.checked_duration_since(self.due)?;
        if late > LATE_MAX {
            let skipped = frame::units(late);
            self.timestamp += skipped - skipped % FRAME_SAMPLES as u64;
            self.due = now;
        }
        self.due += FRAME;
        let law = Law::of(codec).unwrap_or(Law::Mu);
        for coded in &mut self.coded {
            *coded = g711::compress(law, next_sample(&mut self.queue));
        }
        let timestamp = self.timestamp;
        self.timestamp += FRAME_SAMPLES as u64;
        let marker = !std::mem::replace(&mut self.begun, true);
        Some(Frame {
            stream: self.stream,
            timestamp,
            marker,
            lost: 0,
            body: FrameBody::Audio { codec: law.codec(), payload: &self.coded },
        })
    }
}

fn next_sample(queue: &mut VecDeque<Playing>) -> i16 {
    while let Some(playing) = queue.front_mut() {
        match playing.sample() {
            Some(sample) => return sample,
            None => queue.pop_front(),
        };
    }
    0
}

impl Playing {
    fn sample(&mut self) -> Option<i16> {
        match self {
            Self::Samples { samples, place } => {
                let sample = samples.get(*place).copied()?;
                *place += 1;
                Some(sample)
            }
            Self::Tone { generator, left } => {
                *left = left.checked_sub(1)?;
                Some(generator.sample())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    fn decoded(frame: &Frame<'_>) -> Vec<i16> {
        let FrameBody::Audio { codec, payload } = frame.body else { panic!("a player plays audio") };
        payload.iter().map(|&coded| g711::expand(Law::of(codec).unwrap(), coded)).collect()
    }

    #[test]
    fn sounds_follow_one_another_without_a_gap_and_silence_follows_them() {
        let start = first_instant();
        let mut player = Player::new(start, StreamId(1));
        player.push(Sound::Samples(Arc::from([1000; 100]))).unwrap();
        player.push(Sound::Samples(Arc::from([-1000; 100]))).unwrap();
        let first = decoded(&player.poll_frame(start, Codec::Pcmu).unwrap());
        assert!(
            first[..100].iter().all(|&sample| sample > 900)
                && first[100..].iter().all(|&sample| sample < -900)
        );
        assert!(player.poll_frame(start, Codec::Pcmu).is_none(), "the next is due in 20 ms");
        let frame = player.poll_frame(start + FRAME, Codec::Pcmu).unwrap();
        assert_eq!((frame.timestamp, frame.marker), (160, false));
        let second = decoded(&frame);
        assert!(
            second[..40].iter().all(|&sample| sample < -900)
                && second[40..].iter().all(|&sample| sample == 0)
        );
        assert!(!player.is_playing());
    }

    #[test]
    fn a_shell_that_is_a_little_late_catches_up_and_a_stalled_one_does_not() {
        let start = first_instant();
        let mut player = Player::new(start, StreamId(1));
        let mut frames = |at: u64| {
            let now = start + Duration::from_millis(at);
            let mut stamps = Vec::new();
            while let Some(frame) = player.poll_frame(now, Codec::Pcma) {
                stamps.push(frame.timestamp);
            }
            stamps
        };
        assert_eq!(frames(0), [0]);
        assert_eq!(frames(65), [160, 320, 480]);
        assert_eq!(frames(10_080), [80_640]);
        assert_eq!(frames(10_100), [80_800]);
    }
}
