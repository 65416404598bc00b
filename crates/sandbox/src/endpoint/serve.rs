//! Calls that come in: each is served by the script of its number.

use super::{Endpoint, Event, LineId, Output};
use crate::line::{Dial, Plan, Purpose, Step};
use crate::script::{Before, Script};
use bytes::Bytes;
use rand::Rng;
use std::time::{Duration, Instant};
use trunkline_media::Wish;
use trunkline_media::play::Sound;
use trunkline_media::tone::Tone;
use trunkline_sip::message::Message;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::{Flow, Target};
use trunkline_sip::user_agent::{Headers, Reply, SessionId};

/// Most calls at once. A sandbox serves one developer or one test run; a load test brings its own callee.
const LINES_MAX: usize = 2_000;

/// How long after a refusal the caller is called back: it must have ended its own call first.
const CALL_BACK_AFTER: Duration = Duration::from_secs(1);

/// Most calls back that wait. Each was asked for by a call within the last second.
const CALL_BACKS_MAX: usize = 100;

impl Endpoint {
    pub(super) fn incoming(
        &mut self,
        now: Instant,
        session: SessionId,
        request: &Message,
        flow: Flow,
        offer: Option<Bytes>,
    ) {
        let to =
            request.uri().ok().and_then(|uri| uri.user().map(|user| user.into_owned())).unwrap_or_default();
        let caller =
            request.from().ok().and_then(|from| from.uri().ok()?.user().map(|user| user.into_owned()));
        let from = caller.unwrap_or_default();
        if !self.config.serves || self.lines.len() >= LINES_MAX {
            let status = if self.config.serves { 503 } else { 480 };
            self.reject(now, session, status);
            return;
        }
        let script = Script::of(&to);
        let purpose = Purpose::Serve { script, offer };
        let line = match script {
            Script::Answer { .. } => self.open(now, Some(session), purpose, false),
            Script::Refuse { .. } | Script::NoAnswer => self.add(now, Some(session), purpose, false),
        };
        self.by_session.insert(session, line);
        self.outputs.push_back(Output::Event(Event::Incoming { line, from: from.clone(), to: to.clone() }));
        match script {
            Script::Refuse { status, after, call_back } => {
                if call_back && self.call_backs.len() < CALL_BACKS_MAX {
                    self.call_backs.push_back((now + CALL_BACK_AFTER, call_back_to(flow, &from, &to)));
                }
                match after {
                    None => self.reject(now, session, status),
                    Some(after) => {
                        self.progress_with(now, session, Reply::new(180));
                        self.set_step(line, now + after, Step::Refuse);
                    }
                }
            }
            Script::NoAnswer => self.progress_with(now, session, Reply::new(180)),
            Script::Answer { .. } => {}
        }
    }

    pub(super) fn take_step(&mut self, now: Instant, id: LineId, step: Step) {
        let Some(line) = self.lines.get(&id) else { return };
        let Some(session) = line.session else { return };
        match (step, &line.purpose) {
            (Step::Alert, Purpose::Serve { script, .. }) => self.alert(now, id, session, *script),
            (Step::Answer, Purpose::Serve { script, .. }) => self.answer(now, id, session, *script),
            (Step::Refuse, Purpose::Serve { script: Script::Refuse { status, .. }, .. }) => {
                self.reject(now, session, *status);
            }
            (Step::HangUp, Purpose::Serve { .. } | Purpose::Dial(_)) => {
                self.bye(now, session);
            }
            (Step::Alert | Step::Answer | Step::Refuse, Purpose::Serve { .. } | Purpose::Dial(_)) => {}
        }
    }

    pub(super) fn alert(&mut self, now: Instant, id: LineId, session: SessionId, script: Script) {
        let Script::Answer { before, after, .. } = script else { return };
        match before {
            Before::Nothing => {}
            Before::Ringing => self.progress_with(now, session, Reply::new(180)),
            Before::EarlyMedia => {
                let Some(description) = self.describe(now, id, session) else { return };
                if let Some(line) = self.lines.get_mut(&id) {
                    line.voice.play(Sound::Tone(Tone::RINGBACK, u32::MAX));
                }
                self.progress_with(now, session, Reply::new(183).with_sdp(description));
            }
        }
        self.set_step(id, now + after, Step::Answer);
        if after.is_zero() {
            self.line_timeout(now, id);
        }
    }

    pub(super) fn answer(&mut self, now: Instant, id: LineId, session: SessionId, script: Script) {
        let Script::Answer { sound, lasts, .. } = script else { return };
        let Some(description) = self.describe(now, id, session) else { return };
        if self.user_agent.accept(now, session, Headers::new(), Some(description)).is_err() {
            return;
        }
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.answered = true;
        line.voice.begin(sound);
        line.step = lasts.map(|lasts| (now + lasts, Step::HangUp));
        self.outputs.push_back(Output::Event(Event::Answered { line: id }));
    }

    /// Returns the answer to a caller's offer, or our offer where it made none. An offer that leaves no audio is refused.
    pub(super) fn describe(&mut self, now: Instant, id: LineId, session: SessionId) -> Option<Bytes> {
        let seed = self.random.next_u64();
        let line = self.lines.get_mut(&id)?;
        let Purpose::Serve { offer, .. } = &mut line.purpose else { return None };
        let sdp = line.sdp.as_mut()?;
        let described = match offer.take() {
            Some(offer) => sdp.answer_to(&offer, Wish::default()),
            // The answer of a 183 is said again in the 200.
            None if sdp.negotiated().is_some() => Ok(sdp.standing()?.clone()),
            None => Ok(sdp.offer(Wish::default())),
        };
        match described {
            Ok(description) => {
                line.agree(now, seed);
                Some(description)
            }
            Err(error) => {
                self.reject(now, session, error.status());
                None
            }
        }
    }
}

/// A call to whoever called: from the number that was dialled, to the address that the INVITE came from.
fn call_back_to(flow: Flow, caller: &str, number: &str) -> Dial {
    let host = flow.remote;
    Dial {
        destination: Destination::Target(Target::new(flow.transport, flow.remote)),
        uri: format!("sip:{caller}@{host}"),
        from: format!("<sip:{number}@{}>", flow.local.ip()),
        to: format!("<sip:{caller}@{host}>"),
        plan: Plan { play: crate::voice::announcement(), ends_after_play: true, ..Plan::default() },
    }
}
