//! Silence that the source does not send, filled for a peer that would take it for loss.

use super::{Format, Sender};
use crate::frame::{Frame, FrameBody, StreamId};
use crate::leg::line::Wire;
use crate::transcode::{FRAME_SAMPLES, Noise};
use std::time::{Duration, Instant};

/// A pause that goes on. It is the one thing on a relayed leg that runs on the clock: nothing arrives.
#[derive(Debug)]
pub(super) struct Pause {
    sound: Sound,
    stream: StreamId,
    /// Where in the stream the next frame belongs.
    timestamp: u64,
    due: Instant,
    until: Instant,
}

#[derive(Debug)]
enum Sound {
    /// What the decoder of Opus makes of the background.
    Decoder,
    /// Comfort noise of the level that was told.
    Noise(Noise),
}

const FRAME: Duration = Duration::from_millis(20);

/// How much later than its time a frame of a pause is sent: the packet that ends the pause may be late too, and then
/// would find its place taken.
const PATIENCE: Duration = Duration::from_millis(30);

/// Longest pause of Opus without news: libopus sends some every 400 ms, of which four may be lost.
const OPUS_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Longest pause of G.711 without news: RFC 3389 §4 asks for none, but a far end that said nothing for a minute has more
/// to its silence than good manners.
const NOISE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Most frames that are made at once, when the shell was late: a stall is not made up for by a burst.
const BURST_MAX: usize = 5;

impl Pause {
    /// A pause that begins with a silent packet of Opus.
    pub(super) fn decoder(now: Instant, frame: &Frame<'_>, samples: usize) -> Self {
        Self {
            sound: Sound::Decoder,
            stream: frame.stream,
            timestamp: frame.timestamp.saturating_add(samples as u64),
            due: now + FRAME + PATIENCE,
            until: now + OPUS_PAUSE_MAX,
        }
    }

    /// A pause that begins with a packet of comfort noise.
    pub(super) fn noise(now: Instant, frame: &Frame<'_>, noise: Noise) -> Self {
        Self {
            sound: Sound::Noise(noise),
            stream: frame.stream,
            timestamp: frame.timestamp,
            due: now + PATIENCE,
            until: now + NOISE_PAUSE_MAX,
        }
    }

    /// When the next frame is to be made.
    pub(super) fn due(&self) -> Instant {
        self.due
    }
}

impl Sender {
    /// Sends what is due of a pause.
    pub(super) fn fill_pause(&mut self, wire: &mut Wire<'_>, format: Format) {
        let Some(mut pause) = self.pause.take_if(|pause| pause.due <= wire.now) else { return };
        for _ in 0..BURST_MAX {
            if pause.due > wire.now {
                break;
            }
            let mut samples = [0; FRAME_SAMPLES];
            match &mut pause.sound {
                Sound::Decoder => match self.transcoding.input() {
                    Some(input) => input.pause(&mut samples),
                    None => return,
                },
                Sound::Noise(noise) => noise.fill(&mut samples),
            }
            let frame = Frame {
                stream: pause.stream,
                timestamp: pause.timestamp,
                marker: false,
                lost: 0,
                body: FrameBody::ComfortNoise { payload: &[] },
            };
            self.speak(wire, format, &frame, 0, &samples);
            pause.timestamp = pause.timestamp.saturating_add(FRAME_SAMPLES as u64);
            pause.due += FRAME;
        }
        // A shell that was later than that goes on from now.
        pause.due = pause.due.max(wire.now);
        self.pause = Some(pause).filter(|pause| pause.due < pause.until);
    }
}
