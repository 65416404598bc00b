//! The audio of calls: what is agreed on, heard, played and counted.

use super::{Endpoint, Event, LineId, Output};
use crate::line::{Purpose, Step};
use crate::script::{Script, Sound as Scripted};
use bytes::Bytes;
use rand::Rng;
use std::time::Instant;
use trunkline_media::Wish;
use trunkline_sip::user_agent::{Headers, Reply, SessionId};

impl Endpoint {
    pub(super) fn take_answer(&mut self, now: Instant, session: SessionId, answer: &[u8]) {
        let seed = self.random.next_u64();
        let Some(line) = self.by_session.get(&session).and_then(|id| self.lines.get_mut(id)) else { return };
        let Some(sdp) = &mut line.sdp else { return };
        match sdp.accept_answer(answer) {
            Ok(_) => line.agree(now, seed),
            // Without media there is nothing that this endpoint is good for.
            Err(_) => self.bye(now, session),
        }
    }

    /// Agrees to any change that leaves audio: hold, resume, another codec, another address.
    pub(super) fn change(&mut self, now: Instant, session: SessionId, offer: Option<&Bytes>) {
        let seed = self.random.next_u64();
        let Some(line) = self.by_session.get(&session).and_then(|id| self.lines.get_mut(id)) else { return };
        let Some(sdp) = &mut line.sdp else { return };
        let description = match offer {
            Some(offer) => sdp.answer_to(offer, Wish::default()).map_err(|error| error.status()),
            None => Ok(sdp.offer(Wish::default())),
        };
        // A session that has ended meanwhile tells so in its own event.
        let _ = match description {
            Ok(description) => {
                line.agree(now, seed);
                self.user_agent.accept_change(now, session, Headers::new(), Some(description))
            }
            Err(status) => self.user_agent.reject_change(now, session, Reply::new(status)),
        };
    }

    /// Lets a voice hear and speak, and acts on what it heard.
    pub(super) fn turn_voice(&mut self, now: Instant, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let Some(leg) = &mut line.leg else { return };
        line.voice.turn(now, leg);
        super::send_media(line, &mut self.outputs);
        let digits = line.voice.take_digits();
        let ends = match &line.purpose {
            Purpose::Serve { script: Script::Answer { sound: Scripted::Menu, .. }, .. } => {
                digits.contains(&'#')
            }
            Purpose::Serve { script: Script::Answer { sound: Scripted::Announcement, .. }, .. } => {
                line.answered && !line.voice.is_playing()
            }
            Purpose::Serve { .. } => false,
            Purpose::Dial(dial) => line.answered && dial.plan.ends_after_play && line.is_done(),
        };
        for digit in digits {
            self.outputs.push_back(Output::Event(Event::Digit { line: id, digit }));
        }
        if ends && line.step.is_none_or(|(_, step)| step == Step::HangUp) {
            line.step = None;
            if let Some(session) = line.session {
                self.bye(now, session);
            }
        }
    }
}
