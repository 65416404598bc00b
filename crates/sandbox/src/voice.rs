//! The audio of one call: what is played into it, and what becomes of what is heard.

use crate::script::Sound as Scripted;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use trunkline_media::RtpLeg;
use trunkline_media::dtmf::{Event, EventPhase};
use trunkline_media::frame::{Frame, FrameBody, StreamId};
use trunkline_media::g711::{self, Law};
use trunkline_media::play::{Player, Sound};
use trunkline_media::record::Recorder;
use trunkline_media::tone::Tone;

/// Plays into a leg and listens to it.
#[derive(Debug)]
pub(crate) struct Voice {
    role: Role,
    player: Player,
    recorder: Option<Recorder>,
    /// Digits heard and not yet told.
    digits: Vec<char>,
    /// The payload of a frame on its way back.
    echoed: Vec<u8>,
}

/// What is done with what is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is sent back.
    Echo,
    /// Nothing; only the player is sent.
    Play,
    /// Digits come back as tones.
    Menu,
}

/// Longest recording: an hour, which is 58 MB of samples.
const RECORDING_MAX: Duration = Duration::from_secs(3600);

/// How long the menu sounds a digit, and the pause after it: what a person can follow.
const DIGIT_SAMPLES: u32 = 8 * 200;
const PAUSE_SAMPLES: u32 = 8 * 100;

/// Returns the announcement.
pub(crate) fn announcement() -> Arc<[i16]> {
    Arc::clone(&ANNOUNCEMENT)
}

/// Recorded speech, G.711 µ-law.
static ANNOUNCEMENT: LazyLock<Arc<[i16]>> = LazyLock::new(|| {
    let coded = include_bytes!("../../../fixtures/audio/callee.pcmu");
    coded.iter().map(|&byte| g711::expand(Law::Mu, byte)).collect()
});

impl Voice {
    pub(crate) fn new(now: Instant, role: Role, stream: StreamId, record: bool) -> Self {
        Self {
            role,
            player: Player::new(now, stream),
            recorder: record.then(|| Recorder::new(RECORDING_MAX)),
            digits: Vec::new(),
            echoed: Vec::new(),
        }
    }

    /// Changes to what a script wants heard after the answer.
    pub(crate) fn begin(&mut self, sound: Scripted) {
        self.player.clear();
        let (role, first) = match sound {
            Scripted::Echo => (Role::Echo, None),
            Scripted::Announcement => (Role::Play, Some(Sound::Samples(announcement()))),
            Scripted::Menu => (Role::Menu, Some(Sound::Tone(Tone::MILLIWATT, DIGIT_SAMPLES))),
            Scripted::Milliwatt => (Role::Play, Some(Sound::Tone(Tone::MILLIWATT, u32::MAX))),
        };
        self.role = role;
        if let Some(first) = first {
            self.play(first);
        }
    }

    /// Queues a sound. What no longer fits is not played, which nobody who queues that much can tell.
    pub(crate) fn play(&mut self, sound: Sound) {
        let _ = self.player.push(sound);
    }

    pub(crate) fn is_playing(&self) -> bool {
        self.player.is_playing()
    }

    /// Takes what the leg has heard, and sends what is due.
    pub(crate) fn turn(&mut self, now: Instant, leg: &mut RtpLeg) {
        while let Some(frame) = leg.poll_frame(now) {
            if let Some(recorder) = &mut self.recorder {
                recorder.handle_frame(now, &frame);
            }
            if let FrameBody::Event(update) = frame.body {
                self.hear_event(update.event, update.phase);
            }
            if self.role != Role::Echo {
                continue;
            }
            let Frame { stream, timestamp, marker, lost, body } = frame;
            let body = match body {
                FrameBody::Audio { codec, payload } => {
                    FrameBody::Audio { codec, payload: keep(&mut self.echoed, payload) }
                }
                FrameBody::Event(update) => FrameBody::Event(update),
                FrameBody::ComfortNoise { payload } => {
                    FrameBody::ComfortNoise { payload: keep(&mut self.echoed, payload) }
                }
            };
            leg.send(now, &Frame { stream, timestamp, marker, lost, body });
        }
        if self.role == Role::Echo {
            return;
        }
        let Some((_, codec)) = leg.negotiated().and_then(|negotiated| negotiated.send.audio()) else {
            return;
        };
        while let Some(frame) = self.player.poll_frame(now, codec) {
            leg.send(now, &frame);
        }
    }

    /// When [`turn`](Self::turn) is wanted whatever arrives.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.role {
            Role::Echo => None,
            Role::Play | Role::Menu => Some(self.player.poll_timeout()),
        }
    }

    /// Returns the digits heard since the last time.
    pub(crate) fn take_digits(&mut self) -> Vec<char> {
        std::mem::take(&mut self.digits)
    }

    /// Returns what was heard, where it was recorded.
    pub(crate) fn recording(&self) -> &[i16] {
        self.recorder.as_ref().map_or(&[], Recorder::samples)
    }

    fn hear_event(&mut self, event: Event, phase: EventPhase) {
        let over = match phase {
            EventPhase::End | EventPhase::Whole => true,
            EventPhase::Start | EventPhase::Update => false,
        };
        let Some(digit) = event.digit().filter(|_| over) else { return };
        self.digits.push(digit);
        if let (Role::Menu, Some(tone)) = (self.role, Tone::key(event)) {
            self.play(Sound::Tone(tone, DIGIT_SAMPLES));
            self.play(Sound::Tone(Tone::SILENCE, PAUSE_SAMPLES));
        }
    }
}

/// Keeps a payload that the leg lends only while nobody touches it.
fn keep<'a>(buffer: &'a mut Vec<u8>, payload: &[u8]) -> &'a [u8] {
    buffer.clear();
    buffer.extend_from_slice(payload);
    buffer
}
