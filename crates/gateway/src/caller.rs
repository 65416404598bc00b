//! The caller of `trunkline call`: one call, what it plays, what it hears, and how it went.

use crate::dns::Question;
use crate::endpoint::{Endpoint, Output};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_media::{
    Channel, DigitTiming, FrameBody, LegConfig, Local, MediaSession, Player, Recorder, RtpLeg, Sound,
    StreamId, Wish,
};
use trunkline_model::{LegQuality, MediaPolicy};
use trunkline_sip::UserAgent;
use trunkline_sip::message::Message;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::Listener;
use trunkline_sip::user_agent::{
    Body, Config, EndReason, Event, Failure, Headers, Input as SipInput, InviteParams, Output as SipOutput,
    Profile, Reply, SessionId,
};

/// Longest recording: an hour of samples is 58 MB.
const RECORDING_MAX: Duration = Duration::from_secs(3600);

/// How long the line stays open after the last sound or digit, for an echo or an answer to come back.
const TAIL: Duration = Duration::from_secs(1);

/// How long to talk when there is nothing to say.
const LISTEN: Duration = Duration::from_secs(10);

/// How long the answer to our BYE is waited for.
const GOODBYE_MAX: Duration = Duration::from_secs(4);

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: u8 = 70;

/// What the call is to be.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Where the INVITE is sent.
    pub(crate) destination: Destination,
    /// The Request-URI, which To shows too.
    pub(crate) uri: String,
    /// The From URI.
    pub(crate) from: String,
    /// The SIP sockets.
    pub(crate) listeners: Vec<Listener>,
    /// Where media is received.
    pub(crate) media_address: IpAddr,
    /// On which port; RTCP has the next one.
    pub(crate) rtp_port: u16,
    /// What is played when the call is answered.
    pub(crate) play: Option<Arc<[i16]>>,
    /// The digits that are sent after that.
    pub(crate) digits: String,
    /// How long to talk; none for until everything was played and sent.
    pub(crate) talk: Option<Duration>,
    /// How long to wait for an answer.
    pub(crate) ring_max: Duration,
}

/// How the call went.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Whether it was answered.
    pub(crate) answered: bool,
    /// How it ended, for people.
    pub(crate) ending: String,
    /// How long it was up.
    pub(crate) talked: Duration,
    /// What the media leg saw.
    pub(crate) quality: LegQuality,
}

/// The machine.
pub(crate) struct Caller {
    script: Script,
    user_agent: UserAgent,
    session: Option<SessionId>,
    media: MediaSession,
    leg: RtpLeg,
    recorder: Recorder,
    stage: Stage,
    ending: String,
    talked: Duration,
    answered: bool,
    /// Whether the other side did not answer our BYE, and is left alone.
    forgotten: bool,
    outputs: VecDeque<Output>,
}

enum Stage {
    Calling {
        until: Instant,
    },
    Talking {
        since: Instant,
        player: Player,
        digits_due: bool,
        quiet_since: Option<Instant>,
    },
    HangingUp,
    /// The call is over for us; the other side may not know yet.
    Over {
        since: Instant,
    },
}

impl Caller {
    /// Places the call.
    ///
    /// # Errors
    /// The user agent cannot send it.
    pub(crate) fn new(script: Script, seed: u64, now: Instant) -> Result<Self, trunkline_sip::Error> {
        let config = Config { listeners: script.listeners.clone(), ..Config::default() };
        let mut user_agent = UserAgent::new(config, seed, now);
        let local = Local::new(script.media_address, script.rtp_port, &MediaPolicy::default());
        let mut media = MediaSession::new(local, seed);
        let params = InviteParams {
            destination: script.destination.clone(),
            uri: script.uri.clone(),
            from: format!("<{}>", script.from),
            to: format!("<{}>", script.uri),
            contact_user: None,
            call_id: None,
            max_forwards: MAX_FORWARDS,
            routes: Vec::new(),
            headers: Headers::new(),
            offer: Some(media.offer(Wish::default())),
            profile: Profile::default(),
        };
        let session = user_agent.invite(now, params)?;
        let leg = RtpLeg::new(LegConfig { negotiated: None, latch: Vec::new(), seed }, now);
        // The ports are open before the offer that names them goes out.
        let outputs = VecDeque::from([
            Output::OpenMedia { rtp_port: script.rtp_port },
            Output::Say(format!("calling {}", script.uri)),
        ]);
        let mut caller = Self {
            stage: Stage::Calling { until: now + script.ring_max },
            script,
            user_agent,
            session: Some(session),
            media,
            leg,
            recorder: Recorder::new(RECORDING_MAX),
            ending: "not answered".to_owned(),
            talked: Duration::ZERO,
            answered: false,
            forgotten: false,
            outputs,
        };
        caller.drain(now);
        Ok(caller)
    }

    /// Returns how the call went.
    pub(crate) fn outcome(&self) -> Outcome {
        let (answered, talked) = (self.answered, self.talked);
        Outcome { answered, talked, ending: self.ending.clone(), quality: self.leg.quality() }
    }

    /// Returns what was heard.
    pub(crate) fn recording(&self) -> &[i16] {
        self.recorder.samples()
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.user_agent.poll_output() {
            match output {
                SipOutput::Transmit(transmit) => self.outputs.push_back(Output::Transmit(transmit)),
                SipOutput::Resolve { query, host, port, transport } => {
                    self.outputs.push_back(Output::Resolve(Question { query, host, port, transport }));
                }
                SipOutput::Event(event) => self.handle_event(now, event),
            }
        }
        self.drain_media(now);
    }

    fn drain_media(&mut self, now: Instant) {
        while let Some(frame) = self.leg.poll_frame(now) {
            if let FrameBody::Event(update) = &frame.body
                && let Some(digit) = update.pressed()
            {
                self.outputs.push_back(Output::Say(format!("heard digit {digit}")));
            }
            self.recorder.handle_frame(now, &frame);
        }
        while let Some(transmit) = self.leg.poll_transmit() {
            let (rtp_port, channel, remote) = (self.script.rtp_port, transmit.channel, transmit.remote);
            let bytes = transmit.bytes.to_vec();
            self.outputs.push_back(Output::Media { rtp_port, channel, remote, bytes });
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Progress { response, body, .. } => {
                let early = matches!(body, Some(Body::Answer(_)));
                self.take_description(now, body);
                let media = if early { " with early media" } else { "" };
                self.say(format!("{}{media}", status_line(&response)));
            }
            Event::Answered { response, body, .. } => {
                self.take_description(now, body);
                self.answered(now, &response);
            }
            Event::Failed { failure, .. } => self.over(now, failed(&failure)),
            Event::Ended { reason, .. } => self.over(now, ended(&reason).to_owned()),
            Event::Change { session, offer, .. } => self.change(now, session, offer),
            Event::Acked { answer, .. } => self.take_description(now, answer.map(Body::Answer)),
            Event::Incoming { session, .. } => {
                // Busy with the one call that it is here for. A session that is gone needs no answer.
                let _ = self.user_agent.reject(now, session, Reply::new(486));
            }
            Event::Request { request, .. } => {
                let _ = self.user_agent.respond(now, request, Reply::new(405));
            }
            // Nothing here asks for changes, makes reliable offers or sends requests of its own.
            Event::Changed { .. }
            | Event::ChangeFailed { .. }
            | Event::Prack { .. }
            | Event::Response { .. } => {}
        }
    }

    fn answered(&mut self, now: Instant, response: &Message) {
        self.say(status_line(response));
        self.answered = true;
        let mut player = Player::new(now, StreamId(1));
        if let Some(samples) = &self.script.play {
            // A new player has room for one sound.
            let _ = player.push(Sound::Samples(Arc::clone(samples)));
        }
        let digits_due = !self.script.digits.is_empty();
        self.stage = Stage::Talking { since: now, player, digits_due, quiet_since: None };
    }

    fn take_description(&mut self, now: Instant, body: Option<Body>) {
        let Some(Body::Answer(answer)) = body else { return };
        match self.media.accept_answer(&answer) {
            Ok(_) => self.update_leg(now),
            Err(error) => self.say(format!("the answer cannot be used: {error}")),
        }
    }

    fn change(&mut self, now: Instant, session: SessionId, offer: Option<Bytes>) {
        let described = match offer {
            Some(offer) => self.media.answer_to(&offer, Wish::default()),
            None => Ok(self.media.offer(Wish::default())),
        };
        let replied = match described {
            Ok(sdp) => self.user_agent.accept_change(now, session, Headers::new(), Some(sdp)),
            Err(error) => self.user_agent.reject_change(now, session, Reply::new(error.status())),
        };
        if let Err(error) = replied {
            tracing::debug!(%error, "a change could not be answered");
        }
        self.update_leg(now);
    }

    fn update_leg(&mut self, now: Instant) {
        if let Some(negotiated) = self.media.negotiated() {
            self.leg.update(now, negotiated.clone());
        }
    }

    fn over(&mut self, now: Instant, ending: String) {
        self.note_talk(now);
        // Why we hung up says more than that we did.
        if !matches!(self.stage, Stage::HangingUp) {
            self.ending = ending;
        }
        self.session = None;
        self.leg.close(now);
        self.drain_media(now);
        self.outputs.push_back(Output::CloseMedia { rtp_port: self.script.rtp_port });
        self.stage = Stage::Over { since: now };
    }

    fn note_talk(&mut self, now: Instant) {
        if let Stage::Talking { since, .. } = &self.stage {
            self.talked = now.saturating_duration_since(*since);
        }
    }

    fn hang_up(&mut self, now: Instant, ending: &str) {
        self.note_talk(now);
        self.ending = ending.to_owned();
        self.stage = Stage::HangingUp;
        match self.session {
            Some(session) => {
                if self.user_agent.hangup(now, session, Headers::new()).is_err() {
                    self.over(now, String::new());
                }
            }
            None => self.stage = Stage::Over { since: now },
        }
    }

    /// Plays what is due, then sends the digits, and hangs up when all is done.
    fn talk(&mut self, now: Instant) {
        let Stage::Talking { since, player, digits_due, quiet_since } = &mut self.stage else { return };
        let Some((_, codec)) = self.media.negotiated().and_then(|negotiated| negotiated.send.audio()) else {
            return self.hang_up(now, "no codec was agreed on");
        };
        while let Some(frame) = player.poll_frame(now, codec) {
            self.leg.send(now, &frame);
        }
        if *digits_due && !player.is_playing() {
            *digits_due = false;
            // The command line let in nothing but digits.
            let _ = self.leg.send_digits(now, &self.script.digits, DigitTiming::default());
        }
        if !*digits_due && !player.is_playing() && !self.leg.is_sending_digits() {
            quiet_since.get_or_insert(now);
        }
        let says_something = self.script.play.is_some() || !self.script.digits.is_empty();
        let until = match (self.script.talk, says_something, *quiet_since) {
            (Some(talk), _, _) => Some(*since + talk),
            (None, true, quiet_since) => quiet_since.map(|quiet| quiet + TAIL),
            (None, false, _) => Some(*since + LISTEN),
        };
        if until.is_some_and(|until| until <= now) {
            self.hang_up(now, "hung up by us");
        }
    }

    fn say(&mut self, line: String) {
        self.outputs.push_back(Output::Say(line));
    }
}

impl Endpoint for Caller {
    fn handle_sip(&mut self, now: Instant, input: SipInput) {
        self.user_agent.handle_input(now, input);
        self.drain(now);
    }

    fn handle_media(&mut self, now: Instant, _: u16, channel: Channel, source: SocketAddr, datagram: &[u8]) {
        match channel {
            Channel::Rtp => self.leg.handle_rtp(now, source, datagram),
            Channel::Rtcp => self.leg.handle_rtcp(now, source, datagram),
        }
        self.drain_media(now);
    }

    fn handle_media_failed(&mut self, now: Instant, _: u16) {
        self.hang_up(now, "the media port could not be bound");
        self.drain(now);
    }

    fn handle_stop(&mut self, now: Instant) {
        self.hang_up(now, "interrupted");
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.user_agent.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.user_agent.handle_timeout(now);
        }
        if self.leg.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.leg.handle_timeout(now);
        }
        match self.stage {
            Stage::Calling { until } if until <= now => self.hang_up(now, "not answered in time"),
            Stage::Talking { .. } => self.talk(now),
            Stage::Over { since } if since + GOODBYE_MAX <= now => self.forgotten = true,
            Stage::Calling { .. } | Stage::HangingUp | Stage::Over { .. } => {}
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.stage {
            Stage::Calling { until } => Some(*until),
            Stage::Talking { player, .. } => Some(player.poll_timeout()),
            Stage::HangingUp => None,
            Stage::Over { since } => Some(*since + GOODBYE_MAX),
        };
        let sip = self.user_agent.poll_timeout().map(|(due, _)| due);
        let media = self.leg.poll_timeout().map(|(due, _)| due);
        [own, sip, media].into_iter().flatten().min()
    }

    fn is_over(&self) -> bool {
        let told = || self.user_agent.counts().sessions == 0;
        matches!(self.stage, Stage::Over { .. }) && (self.forgotten || told())
    }
}

fn status_line(response: &Message) -> String {
    let (status, reason) = (response.status().unwrap_or_default(), response.reason());
    format!("{status} {}", reason.escape_debug())
}

fn failed(failure: &Failure) -> String {
    match failure {
        Failure::Response(response) => status_line(response),
        Failure::Timeout => "no answer to the INVITE".to_owned(),
        Failure::Transport => "the gateway cannot be reached".to_owned(),
        Failure::Resolve(error) => error.to_string(),
        Failure::Superseded => "superseded".to_owned(),
        Failure::PeerMisbehaved(how) => format!("the other side broke the protocol: {how}"),
    }
}

fn ended(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::Local => "hung up by us",
        EndReason::Bye(_) => "hung up by the other side",
        EndReason::Cancel(_) => "cancelled by the other side",
        EndReason::AckMissing | EndReason::PrackMissing => "the other side did not acknowledge",
        EndReason::SessionExpired => "the session was not refreshed",
        EndReason::DialogGone => "the other side no longer knows the call",
        EndReason::Rejected(_) => "rejected",
        EndReason::PeerMisbehaved(how) => how,
    }
}
