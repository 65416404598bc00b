//! The machine: a user agent whose calls have audio.

mod serve;
mod talk;

use crate::line::{Dial, Heard, Line, Purpose, Step};
use crate::voice::{Role, Voice};
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;
use trunkline_media::frame::StreamId;
use trunkline_media::{Channel, Local, MediaSession, Wish};
use trunkline_model::MediaPolicy;
use trunkline_model::Transport;
use trunkline_sip::message::Message;
use trunkline_sip::resolve::QueryId;
use trunkline_sip::transport::Transmit;
use trunkline_sip::user_agent::{
    self, Body, EndReason, Headers, InviteParams, Profile, Reply, SessionId, UserAgent,
};

/// Names a call of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(pub u64);

/// How an endpoint behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The user agent below it.
    pub user_agent: user_agent::Config,
    /// Audio that it takes.
    pub media: MediaPolicy,
    /// Whether it takes calls, by the magic numbers; else they get 480.
    pub serves: bool,
}

/// What an endpoint takes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// From the SIP sockets.
    Sip(user_agent::Input),
    /// RTP and RTCP sockets are open: RTP on this address, RTCP on the port above.
    MediaOpened {
        /// For whom.
        line: LineId,
        /// Address and port of RTP, as peers reach it.
        address: SocketAddr,
    },
    /// No sockets could be opened.
    MediaFailed {
        /// For whom.
        line: LineId,
    },
    /// A datagram from a media socket.
    Media {
        /// Whose.
        line: LineId,
        /// Which socket.
        channel: Channel,
        /// Where it came from.
        source: SocketAddr,
        /// The datagram.
        datagram: &'a [u8],
    },
}

/// What an endpoint gives out.
#[derive(Debug)]
pub enum Output {
    /// Send this SIP message.
    Transmit(Transmit),
    /// Look this up (RFC 3263) and answer with `Input::Sip(Resolved)`.
    Resolve {
        /// The question.
        query: QueryId,
        /// The name.
        host: String,
        /// The port, which rules SRV out.
        port: Option<u16>,
        /// The transport, which rules NAPTR out.
        transport: Option<Transport>,
    },
    /// Open a pair of media sockets and answer with [`Input::MediaOpened`] or [`Input::MediaFailed`].
    OpenMedia {
        /// For whom.
        line: LineId,
    },
    /// Close them.
    CloseMedia {
        /// Whose.
        line: LineId,
    },
    /// Send this from a media socket.
    SendMedia {
        /// Whose.
        line: LineId,
        /// Which socket.
        channel: Channel,
        /// Where to.
        remote: SocketAddr,
        /// The datagram.
        datagram: Bytes,
    },
    /// Something the owner may want to show.
    Event(Event),
}

/// What happens to the calls of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A peer calls.
    Incoming {
        /// The call.
        line: LineId,
        /// Who.
        from: String,
        /// Which number.
        to: String,
    },
    /// A 18x came for a call that we placed.
    Progress {
        /// The call.
        line: LineId,
        /// Its status.
        status: u16,
        /// Whether it brought early media.
        early_media: bool,
    },
    /// The call is up.
    Answered {
        /// The call.
        line: LineId,
    },
    /// The peer pressed a key.
    Digit {
        /// The call.
        line: LineId,
        /// The key.
        digit: char,
    },
    /// The call is over. The last event of a line.
    Ended {
        /// The call.
        line: LineId,
        /// Whether it had been answered.
        answered: bool,
        /// The final status: 200 for a call that was answered and hung up.
        status: u16,
        /// Why, for people.
        why: String,
        /// What was heard.
        heard: Heard,
    },
}

/// A SIP user agent whose calls have audio: the sandbox carrier, and the caller of `trunkline call`.
pub struct Endpoint {
    config: Config,
    user_agent: UserAgent,
    lines: BTreeMap<LineId, Line>,
    by_session: HashMap<SessionId, LineId>,
    call_backs: VecDeque<(Instant, Dial)>,
    outputs: VecDeque<Output>,
    random: ChaCha8Rng,
    next_line: u64,
}

impl Endpoint {
    /// Returns an endpoint without calls. All its identifiers come from the seed.
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let user_agent = UserAgent::new(config.user_agent.clone(), random.next_u64(), now);
        Self {
            config,
            user_agent,
            lines: BTreeMap::new(),
            by_session: HashMap::new(),
            call_backs: VecDeque::new(),
            outputs: VecDeque::new(),
            random,
            next_line: 0,
        }
    }

    /// Places a call. Its INVITE goes out when media sockets are open.
    pub fn dial(&mut self, now: Instant, dial: Dial) -> LineId {
        let record = dial.plan.record;
        self.open(now, None, Purpose::Dial(Box::new(dial)), record)
    }

    /// Ends a call, whatever its state.
    pub fn hang_up(&mut self, now: Instant, line: LineId) {
        match self.lines.get(&line).map(|line| line.session) {
            Some(Some(session)) => self.bye(now, session),
            Some(None) => self.end(now, line, 487, "given up before it was sent".to_owned()),
            None => {}
        }
        self.drain(now);
    }

    /// Returns how many calls there are.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing is held any more: no call, and no request whose transaction still runs.
    pub fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.user_agent.counts().client_transactions == 0
    }

    /// Takes in a message, a datagram, or news of a socket.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Sip(input) => self.user_agent.handle_input(now, input),
            Input::MediaOpened { line, address } => self.media_opened(now, line, address),
            Input::MediaFailed { line } => self.media_failed(now, line),
            Input::Media { line, channel, source, datagram } => {
                if let Some(leg) = self.lines.get_mut(&line).and_then(|line| line.leg.as_mut()) {
                    match channel {
                        Channel::Rtp => leg.handle_rtp(now, source, datagram),
                        Channel::Rtcp => leg.handle_rtcp(now, source, datagram),
                    }
                    self.turn_voice(now, line);
                }
            }
        }
        self.drain(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.user_agent.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.user_agent.handle_timeout(now);
        }
        let due: Vec<LineId> = self
            .lines
            .iter()
            .filter(|(_, line)| line.poll_timeout().is_some_and(|due| due <= now))
            .map(|(id, _)| *id)
            .collect();
        for line in due {
            self.line_timeout(now, line);
        }
        while self.call_backs.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, dial)) = self.call_backs.pop_front() {
                self.dial(now, dial);
            }
        }
        self.drain(now);
    }

    /// Returns the next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let lines = self.lines.values().filter_map(Line::poll_timeout).min();
        let signalling = self.user_agent.poll_timeout().map(|(due, _)| due);
        let call_back = self.call_backs.front().map(|(due, _)| *due);
        [lines, signalling, call_back].into_iter().flatten().min()
    }

    /// Hands on what the user agent wants done, until it wants nothing more.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.user_agent.poll_output() {
            match output {
                user_agent::Output::Transmit(transmit) => self.outputs.push_back(Output::Transmit(transmit)),
                user_agent::Output::Resolve { query, host, port, transport } => {
                    self.outputs.push_back(Output::Resolve { query, host, port, transport });
                }
                user_agent::Output::Event(event) => self.handle_event(now, event),
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: user_agent::Event) {
        match event {
            user_agent::Event::Incoming { session, request, flow, offer } => {
                self.incoming(now, session, &request, flow, offer);
            }
            user_agent::Event::Progress { session, response, body, .. } => {
                self.progress(now, session, &response, body);
            }
            user_agent::Event::Answered { session, body, .. } => self.answered(now, session, body),
            user_agent::Event::Failed { session, failure } => {
                let Some(line) = self.by_session.remove(&session) else { return };
                let why = match &failure {
                    user_agent::Failure::Response(response) => response.reason().to_owned(),
                    user_agent::Failure::Timeout => "no answer from the network".to_owned(),
                    user_agent::Failure::Transport => "the network cannot be reached".to_owned(),
                    user_agent::Failure::Resolve(error) => error.to_string(),
                    user_agent::Failure::Superseded => "overtaken by a change of the peer".to_owned(),
                    user_agent::Failure::PeerMisbehaved(what) => {
                        format!("the peer broke the protocol: {what}")
                    }
                };
                self.end(now, line, failure.status(), why);
            }
            user_agent::Event::Acked { session, answer } => {
                if let Some(answer) = answer {
                    self.take_answer(now, session, &answer);
                }
            }
            user_agent::Event::Change { session, offer, .. } => self.change(now, session, offer.as_ref()),
            user_agent::Event::Prack { session, answer, .. } => self.take_answer(now, session, &answer),
            user_agent::Event::Ended { session, reason } => {
                let Some(line) = self.by_session.remove(&session) else { return };
                let refused = self.lines.get(&line).and_then(|line| line.refused);
                let (status, why) = match refused {
                    Some(status) => (status, "we refused".to_owned()),
                    None => describe(&reason),
                };
                self.end(now, line, status, why);
            }
            // This endpoint asks for no changes and no requests of its own, allows peers no further methods, and has
            // nobody to tell of an INVITE that its user agent refused.
            user_agent::Event::Refused { .. }
            | user_agent::Event::Trying { .. }
            | user_agent::Event::ChangeCancelled { .. }
            | user_agent::Event::Changed { .. }
            | user_agent::Event::ChangeFailed { .. }
            | user_agent::Event::Request { .. }
            | user_agent::Event::Response { .. } => {}
        }
    }

    /// Adds a line and asks for its media sockets.
    fn open(&mut self, now: Instant, session: Option<SessionId>, purpose: Purpose, record: bool) -> LineId {
        let line = self.add(now, session, purpose, record);
        self.outputs.push_back(Output::OpenMedia { line });
        line
    }

    fn add(&mut self, now: Instant, session: Option<SessionId>, purpose: Purpose, record: bool) -> LineId {
        self.next_line += 1;
        let id = LineId(self.next_line);
        let voice = Voice::new(now, Role::Play, StreamId(self.next_line), record);
        let line = Line {
            id,
            session,
            purpose,
            sdp: None,
            leg: None,
            voice,
            step: None,
            answered: false,
            digits_sent: false,
            refused: None,
        };
        self.lines.insert(id, line);
        id
    }

    fn set_step(&mut self, line: LineId, due: Instant, step: Step) {
        if let Some(line) = self.lines.get_mut(&line) {
            line.step = Some((due, step));
        }
    }

    fn media_opened(&mut self, now: Instant, id: LineId, address: SocketAddr) {
        let seed = self.random.next_u64();
        let Some(line) = self.lines.get_mut(&id) else { return };
        let local = Local::new(address.ip(), address.port(), &self.config.media);
        line.sdp = Some(MediaSession::new(local, seed));
        match &line.purpose {
            Purpose::Serve { script, .. } => {
                let due = now + script.silence_before();
                line.step = Some((due, Step::Alert));
                self.line_timeout(now, id);
            }
            Purpose::Dial(_) => self.send_invite(now, id),
        }
    }

    fn media_failed(&mut self, now: Instant, id: LineId) {
        match self.lines.get(&id).map(|line| line.session) {
            Some(Some(session)) => self.reject(now, session, 500),
            Some(None) => self.end(now, id, 500, "no media port could be opened".to_owned()),
            None => {}
        }
    }

    fn send_invite(&mut self, now: Instant, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let (Purpose::Dial(dial), Some(sdp)) = (&line.purpose, &mut line.sdp) else { return };
        let params = InviteParams {
            destination: dial.destination.clone(),
            uri: dial.uri.clone(),
            from: dial.from.clone(),
            to: dial.to.clone(),
            contact_user: None,
            call_id: None,
            max_forwards: 70,
            routes: Vec::new(),
            headers: Headers::new(),
            offer: Some(sdp.offer(Wish::default())),
            profile: self.config.user_agent.profile.clone(),
        };
        match self.user_agent.invite(now, params) {
            Ok(session) => {
                line.session = Some(session);
                self.by_session.insert(session, id);
            }
            Err(error) => self.end(now, id, 400, error.to_string()),
        }
    }

    /// Takes the answer of a 18x: early media may flow.
    fn progress(&mut self, now: Instant, session: SessionId, response: &Message, body: Option<Body>) {
        let Some(&line) = self.by_session.get(&session) else { return };
        let mut early_media = false;
        if let Some(Body::Answer(answer)) = body {
            self.take_answer(now, session, &answer);
            early_media = true;
        }
        let status = response.status().unwrap_or_default();
        self.outputs.push_back(Output::Event(Event::Progress { line, status, early_media }));
    }

    fn answered(&mut self, now: Instant, session: SessionId, body: Option<Body>) {
        let Some(&id) = self.by_session.get(&session) else { return };
        if let Some(Body::Answer(answer)) = body {
            self.take_answer(now, session, &answer);
        }
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.answered = true;
        if let Purpose::Dial(dial) = &line.purpose {
            let plan = dial.plan.clone();
            line.start(now, &plan);
            line.step = plan.lasts.map(|lasts| (now + lasts, Step::HangUp));
        }
        self.outputs.push_back(Output::Event(Event::Answered { line: id }));
        self.turn_voice(now, id);
    }

    fn line_timeout(&mut self, now: Instant, id: LineId) {
        if let Some(leg) = self.lines.get_mut(&id).and_then(|line| line.leg.as_mut()) {
            leg.handle_timeout(now);
        }
        self.turn_voice(now, id);
        let Some(line) = self.lines.get_mut(&id) else { return };
        match line.step {
            Some((due, step)) if due <= now => {
                line.step = None;
                self.take_step(now, id, step);
            }
            Some(_) | None => {}
        }
    }

    // A session that has ended meanwhile tells so in its own event, so the next three need not.

    fn reject(&mut self, now: Instant, session: SessionId, status: u16) {
        if let Some(line) = self.by_session.get(&session).and_then(|id| self.lines.get_mut(id)) {
            line.refused = Some(status);
        }
        let _ = self.user_agent.reject(now, session, Reply::new(status));
    }

    fn progress_with(&mut self, now: Instant, session: SessionId, reply: Reply) {
        let _ = self.user_agent.progress(now, session, reply);
    }

    fn bye(&mut self, now: Instant, session: SessionId) {
        let _ = self.user_agent.hangup(now, session, Headers::new());
    }

    /// Forgets a line and tells what it saw.
    fn end(&mut self, now: Instant, id: LineId, status: u16, why: String) {
        let Some(mut line) = self.lines.remove(&id) else { return };
        if let Some(leg) = &mut line.leg {
            leg.close(now);
        }
        send_media(&mut line, &mut self.outputs);
        let status = if line.answered { 200 } else { status };
        let heard = line.heard();
        self.outputs.push_back(Output::CloseMedia { line: line.id });
        let answered = line.answered;
        self.outputs.push_back(Output::Event(Event::Ended { line: id, answered, status, why, heard }));
    }
}

/// Hands on what the leg of a line wants sent.
fn send_media(line: &mut Line, outputs: &mut VecDeque<Output>) {
    let Some(leg) = &mut line.leg else { return };
    while let Some(transmit) = leg.poll_transmit() {
        outputs.push_back(Output::SendMedia {
            line: line.id,
            channel: transmit.channel,
            remote: transmit.remote,
            datagram: Bytes::copy_from_slice(transmit.bytes),
        });
    }
}

fn describe(reason: &EndReason) -> (u16, String) {
    match reason {
        EndReason::Local => (487, "we hung up".to_owned()),
        EndReason::Bye(_) => (200, "the peer hung up".to_owned()),
        EndReason::Cancel(_) => (487, "the caller gave up".to_owned()),
        EndReason::AckMissing => (408, "the answer was never acknowledged".to_owned()),
        EndReason::PrackMissing => (504, "a reliable response was never acknowledged".to_owned()),
        EndReason::SessionExpired => (408, "the session was not refreshed".to_owned()),
        EndReason::DialogGone => (481, "the peer no longer knows the call".to_owned()),
        EndReason::Rejected(status) => (*status, "refused".to_owned()),
        EndReason::PeerMisbehaved(what) => (500, format!("the peer broke the protocol: {what}")),
    }
}

/// How the sandbox's sessions behave: everything that a peer may want to try is on.
impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: user_agent::Config {
                product: "Trunkline sandbox".to_owned(),
                profile: Profile::default(),
                ..user_agent::Config::default()
            },
            media: MediaPolicy::default(),
            serves: true,
        }
    }
}
