//! One call of an endpoint: its signalling session, its description, its RTP leg and its voice.

use crate::endpoint::LineId;
use crate::script::Script;
use crate::voice::Voice;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_media::play::Sound;
use trunkline_media::{DigitTiming, MediaSession, RtpLeg};
use trunkline_model::LegQuality;
use trunkline_sip::resolve::Destination;
use trunkline_sip::user_agent::SessionId;

/// A call to be placed.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Where the INVITE is sent.
    pub destination: Destination,
    /// The Request-URI.
    pub uri: String,
    /// The From value: `"Name" <sip:user@host>`.
    pub from: String,
    /// The To value.
    pub to: String,
    /// What to do once it is answered.
    pub plan: Plan,
}

/// What a placed call does once it is answered.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What is played, at 8 kHz; silence when empty.
    pub play: Arc<[i16]>,
    /// Digits sent after the answer.
    pub digits: String,
    /// Whether what is heard is kept.
    pub record: bool,
    /// How long the call lasts once answered; none to leave the end to the callee.
    pub lasts: Option<Duration>,
    /// Whether it ends once everything was played and sent.
    pub ends_after_play: bool,
}

/// What a line saw, told when it is over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heard {
    /// Statistics of the media, where any was agreed on.
    pub quality: Option<LegQuality>,
    /// What was heard, at 8 kHz, where it was recorded.
    pub recording: Vec<i16>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: LineId,
    pub(crate) session: Option<SessionId>,
    pub(crate) purpose: Purpose,
    pub(crate) sdp: Option<MediaSession>,
    pub(crate) leg: Option<RtpLeg>,
    pub(crate) voice: Voice,
    pub(crate) step: Option<(Instant, Step)>,
    pub(crate) answered: bool,
    /// Whether the digits of a plan were handed to the leg.
    pub(crate) digits_sent: bool,
    /// The status that we refused it with.
    pub(crate) refused: Option<u16>,
}

/// Why a line exists.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A peer called; its script is played. The offer waits until media is open.
    Serve { script: Script, offer: Option<Bytes> },
    /// We call.
    Dial(Box<Dial>),
}

/// What is due at a line's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first 18x.
    Alert,
    /// The answer.
    Answer,
    /// The refusal.
    Refuse,
    /// The end.
    HangUp,
}

impl Line {
    /// Takes what was agreed on to the leg, which is made when it is first needed.
    pub(crate) fn agree(&mut self, now: Instant, seed: u64) {
        let Some(negotiated) = self.sdp.as_ref().and_then(MediaSession::negotiated).copied() else { return };
        match &mut self.leg {
            Some(leg) => leg.update(now, negotiated),
            None => {
                let config =
                    trunkline_media::LegConfig { negotiated: Some(negotiated), latch: Vec::new(), seed };
                self.leg = Some(RtpLeg::new(config, now));
            }
        }
    }

    /// Does what a plan says once the call is answered.
    pub(crate) fn start(&mut self, now: Instant, plan: &Plan) {
        if !plan.play.is_empty() {
            self.voice.play(Sound::Samples(Arc::clone(&plan.play)));
        }
        self.digits_sent = true;
        if let Some(leg) = self.leg.as_mut().filter(|_| !plan.digits.is_empty()) {
            // The owner checked the digits; a peer without telephone events hears them as tones.
            let _ = leg.send_digits(now, &plan.digits, DigitTiming::default());
        }
    }

    /// Returns what the line saw.
    pub(crate) fn heard(&self) -> Heard {
        Heard { quality: self.leg.as_ref().map(RtpLeg::quality), recording: self.voice.recording().to_vec() }
    }

    /// When the line wants to be woken.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let voice = self.leg.as_ref().and_then(|_| self.voice.poll_timeout());
        let leg = self.leg.as_ref().and_then(RtpLeg::poll_timeout).map(|(due, _)| due);
        let step = self.step.map(|(due, _)| due);
        [voice, leg, step].into_iter().flatten().min()
    }

    /// Whether a placed call has played and sent all of its plan.
    pub(crate) fn is_done(&self) -> bool {
        let sending = self.leg.as_ref().is_some_and(RtpLeg::is_sending_digits);
        !self.voice.is_playing() && self.digits_sent && !sending
    }
}
