//! A scripted phone: a real user agent and a real RTP leg, told what to do by the test.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use trunkline_media::frame::{FrameBody, StreamId};
use trunkline_media::play::{Player, Sound};
use trunkline_media::tone::Tone;
use trunkline_media::{
    Channel, DigitTiming, Direction, EventPhase, LegConfig, Local, MediaSession, RtpLeg, Wish,
};
use trunkline_model::{MediaPolicy, Reliability, Transport};
use trunkline_sip::message::Message;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::{Advertised, Flow, Listener, Target};
use trunkline_sip::user_agent::{
    Body, Config, EndReason, Event, Failure, Headers, Input, InviteParams, Output, Profile, Reply, SessionId,
    UserAgent,
};

/// What a phone does with calls that come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// Nothing: the test does it.
    ByHand,
    /// It rings, and answers after that long.
    After(Duration),
    /// It sends early media in a 183, and answers after that long.
    EarlyMedia(Duration),
    /// It refuses.
    Refuse(u16),
}

/// How a call stands, as the phone sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// We called, and nothing but 100 came.
    Calling,
    /// We called and it rings there, or it rings here.
    Ringing,
    /// Answered.
    Up,
    /// Over.
    Over(End),
}

/// How a call ended, as the phone sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// We ended it.
    ByUs,
    /// The peer sent BYE or CANCEL.
    ByPeer,
    /// Our INVITE failed with this status.
    Failed(u16),
    /// Something timed out.
    TimedOut,
}

/// One call of a phone.
#[derive(Debug)]
pub struct PhoneCall {
    /// How it stands.
    pub state: State,
    /// Its audio, once agreed.
    pub leg: Option<RtpLeg>,
    /// Digits that were heard.
    pub digits: String,
    /// What the phone last wanted: `SendOnly` while it holds.
    pub wish: Direction,
    /// Whether it was ever answered.
    pub was_up: bool,
    /// How many changes of the peer it has agreed to.
    pub changes: u32,
    /// How many of its own changes were accepted and refused.
    pub accepted: u32,
    /// See `accepted`.
    pub refused: u32,
    /// What it wanted before the change that is under way.
    wish_before: Direction,
    sdp: MediaSession,
    player: Option<Player>,
    offer: Option<Bytes>,
    answer_at: Option<Instant>,
    media: SocketAddr,
}

/// A phone on its own address.
pub struct Phone {
    /// What it does with calls that come in.
    pub answering: Answering,
    /// Its audio policy.
    pub policy: MediaPolicy,
    /// Whether it speaks while a call is up.
    pub speaks: bool,
    /// Whether it leaves changes of its peers at the 100 that its user agent sends.
    pub ignores_changes: bool,
    /// All calls it ever had.
    pub calls: BTreeMap<SessionId, PhoneCall>,
    /// Calls that are not over: the others need no looking after.
    live: BTreeSet<SessionId>,
    sip: SocketAddr,
    agent: UserAgent,
    next_port: u16,
    seed: u64,
}

impl Phone {
    /// Returns a phone without calls.
    pub fn new(ip: IpAddr, profile: Profile, seed: u64, now: Instant) -> Self {
        let sip = SocketAddr::new(ip, 5060);
        let listener = Listener { transport: Transport::Udp, local: sip, advertised: Advertised::of(sip) };
        let config =
            Config { listeners: vec![listener], product: "phone".into(), profile, ..Config::default() };
        Self {
            answering: Answering::After(Duration::from_secs(1)),
            policy: MediaPolicy::default(),
            speaks: true,
            ignores_changes: false,
            calls: BTreeMap::new(),
            live: BTreeSet::new(),
            sip,
            agent: UserAgent::new(config, seed, now),
            next_port: 30_000,
            seed,
        }
    }

    /// The address of its SIP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// What its user agent holds.
    pub fn agent(&self) -> &UserAgent {
        &self.agent
    }

    /// Returns its newest call.
    pub fn last(&self) -> Option<SessionId> {
        self.calls.last_key_value().map(|(session, _)| *session)
    }

    /// Returns its newest call.
    ///
    /// # Panics
    /// When it never had one.
    pub fn call(&self) -> &PhoneCall {
        self.calls.last_key_value().expect("the phone has had a call").1
    }

    /// Returns its newest call.
    ///
    /// # Panics
    /// When it never had one.
    pub fn call_mut(&mut self) -> &mut PhoneCall {
        self.calls.last_entry().expect("the phone has had a call").into_mut()
    }

    /// Whether its newest call is answered and not over.
    pub fn is_up(&self) -> bool {
        self.calls.last_key_value().is_some_and(|(_, call)| call.state == State::Up)
    }

    /// Places a call through the gateway.
    pub fn dial(&mut self, now: Instant, gateway: SocketAddr, number: &str) -> SessionId {
        let mut call = self.new_call(now, State::Calling);
        let offer = call.sdp.offer(Wish::default());
        self.invite(now, gateway, number, call, Some(offer))
    }

    /// Places a call and leaves the offer to the gateway.
    pub fn dial_without_offer(&mut self, now: Instant, gateway: SocketAddr, number: &str) -> SessionId {
        let call = self.new_call(now, State::Calling);
        self.invite(now, gateway, number, call, None)
    }

    fn invite(
        &mut self,
        now: Instant,
        gateway: SocketAddr,
        number: &str,
        call: PhoneCall,
        offer: Option<Bytes>,
    ) -> SessionId {
        let params = InviteParams {
            destination: Destination::Target(Target::new(Transport::Udp, gateway)),
            uri: format!("sip:{number}@{gateway}"),
            from: format!("<sip:+14255550150@{}>", self.sip.ip()),
            to: format!("<sip:{number}@{}>", gateway.ip()),
            contact_user: None,
            call_id: None,
            max_forwards: 70,
            routes: Vec::new(),
            headers: Headers::new(),
            offer,
            profile: self.agent.config().profile.clone(),
        };
        let session = self.agent.invite(now, params).expect("a phone has room for its calls");
        self.calls.insert(session, call);
        self.live.insert(session);
        session
    }

    /// Answers its newest call.
    pub fn answer(&mut self, now: Instant) {
        if let Some(session) = self.last() {
            self.accept(now, session);
        }
    }

    /// Sends early media for its newest call, if that rings: in a reliable 183 where the gateway takes one.
    pub fn send_early_media(&mut self, now: Instant) {
        let Some(session) = self.last_ringing() else { return };
        if let Some(sdp) = self.describe(now, session) {
            let _ = self.agent.progress(now, session, Reply::new(183).with_sdp(sdp));
        }
    }

    /// Returns its newest call, if that came in and is not answered.
    pub fn last_ringing(&self) -> Option<SessionId> {
        let (session, call) = self.calls.last_key_value()?;
        (call.state == State::Ringing).then_some(*session)
    }

    /// Refuses its newest call, if that rings.
    pub fn refuse(&mut self, now: Instant, status: u16) {
        if let Some(session) = self.last_ringing() {
            self.over(session, End::ByUs);
            let _ = self.agent.reject(now, session, Reply::new(status));
        }
    }

    /// Hangs up its newest call: CANCEL or BYE, as it stands.
    pub fn hang_up(&mut self, now: Instant) {
        if let Some(session) = self.last() {
            self.hang_up_call(now, session);
        }
    }

    /// Hangs up one of its calls.
    pub fn hang_up_call(&mut self, now: Instant, session: SessionId) {
        // One that is over already is none of the agent's.
        let _ = self.agent.hangup(now, session, Headers::new());
    }

    /// Changes its newest call by re-INVITE: `SendOnly` holds, `SendRecv` resumes.
    pub fn reinvite(&mut self, now: Instant, wish: Direction) {
        self.change(now, wish, false);
    }

    /// Changes its newest call by UPDATE.
    pub fn update(&mut self, now: Instant, wish: Direction) {
        self.change(now, wish, true);
    }

    /// Presses keys in its newest call.
    pub fn press(&mut self, now: Instant, digits: &str) {
        let leg = self.call_mut().leg.as_mut().expect("the call has audio");
        leg.send_digits(now, digits, DigitTiming::default()).expect("digits that a phone has");
    }

    /// Makes the same user agent forget everything, as after a crash: peers hear nothing from it any more.
    pub fn crash(&mut self, now: Instant) {
        let config = self.agent.config().clone();
        self.seed += 1;
        self.agent = UserAgent::new(config, self.seed, now);
        for session in std::mem::take(&mut self.live) {
            self.over(session, End::TimedOut);
        }
        self.calls.clear();
    }

    fn change(&mut self, now: Instant, wish: Direction, by_update: bool) {
        let Some((session, call)) = self.calls.iter_mut().next_back() else { return };
        if call.state != State::Up || call.sdp.is_offering() {
            return;
        }
        let offer = call.sdp.offer(Wish { direction: wish, prefer: None });
        call.wish_before = std::mem::replace(&mut call.wish, wish);
        let session = *session;
        let sent = if by_update {
            self.agent.update(now, session, Some(offer), Headers::new())
        } else {
            self.agent.reinvite(now, session, Some(offer), Headers::new())
        };
        if sent.is_err() {
            self.change_failed(session);
        }
    }

    /// Takes a packet from the network; returns false if it is for none of this phone's ports.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &Bytes) -> bool {
        if to == self.sip {
            let flow = Flow { transport: Transport::Udp, local: self.sip, remote: from, connection: None };
            self.agent.handle_input(now, Input::Received { flow, bytes: bytes.clone() });
            return true;
        }
        let owner = self.live.iter().copied().find(|session| {
            let media = self.calls[session].media;
            media.ip() == to.ip() && media.port() == to.port() & !1
        });
        let Some(leg) = owner.and_then(|session| self.calls.get_mut(&session)?.leg.as_mut()) else {
            return false;
        };
        if to.port().is_multiple_of(2) {
            leg.handle_rtp(now, from, bytes)
        } else {
            leg.handle_rtcp(now, from, bytes)
        }
        true
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.agent.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.agent.handle_timeout(now);
        }
        for session in self.live.clone() {
            let Some(call) = self.calls.get_mut(&session) else { continue };
            if let Some(leg) = &mut call.leg {
                leg.handle_timeout(now);
            }
            if call.answer_at.is_some_and(|at| at <= now) {
                call.answer_at = None;
                self.accept(now, session);
            }
        }
    }

    /// When it wants to be woken.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.live.iter().filter_map(|session| {
            let call = &self.calls[session];
            let leg = call.leg.as_ref().and_then(RtpLeg::poll_timeout).map(|(at, _)| at);
            let speaks = self.speaks && call.leg.is_some();
            let player = call.player.as_ref().filter(|_| speaks).map(Player::poll_timeout);
            [leg, player, call.answer_at].into_iter().flatten().min()
        });
        calls.chain(self.agent.poll_timeout().map(|(at, _)| at)).min()
    }

    /// Acts on what the user agent tells and returns everything to be sent, as source, destination and bytes.
    pub fn drain(&mut self, now: Instant) -> Vec<(SocketAddr, SocketAddr, Bytes)> {
        let mut packets = Vec::new();
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    packets.push((self.sip, transmit.target.remote, transmit.bytes))
                }
                Output::Event(event) => self.handle_event(now, event),
                Output::Resolve { .. } => panic!("phones know addresses only"),
            }
        }
        for session in self.live.clone() {
            let Some(call) = self.calls.get_mut(&session) else { continue };
            call.talk(now, self.speaks);
            let media = call.media;
            let Some(leg) = &mut call.leg else { continue };
            while let Some(transmit) = leg.poll_transmit() {
                let from = match transmit.channel {
                    Channel::Rtp => media,
                    Channel::Rtcp => SocketAddr::new(media.ip(), media.port() + 1),
                };
                packets.push((from, transmit.remote, Bytes::copy_from_slice(transmit.bytes)));
            }
        }
        packets
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Incoming { session, offer, request, .. } => self.incoming(now, session, offer, &request),
            Event::Progress { session, fork, body, .. } => {
                if let Some(answer) = self.answer_offer(now, session, &body) {
                    let _ = self.agent.answer_progress(now, session, fork, answer);
                }
                self.take_answer(now, session, body);
                self.set_state(session, State::Ringing);
            }
            Event::Answered { session, body, .. } => {
                if let Some(answer) = self.answer_offer(now, session, &body) {
                    let _ = self.agent.ack(now, session, answer);
                }
                self.take_answer(now, session, body);
                self.set_state(session, State::Up);
            }
            Event::Failed { session, failure } => {
                let end = match &failure {
                    Failure::Response(response) if response.status() == Some(487) => End::ByUs,
                    other => End::Failed(other.status()),
                };
                self.over(session, end);
            }
            Event::Acked { session, answer } => {
                self.take_answer(now, session, answer.map(Body::Answer));
            }
            Event::Prack { session, answer, .. } => {
                self.take_answer(now, session, Some(Body::Answer(answer)))
            }
            Event::Change { session, offer, .. } => self.peer_changes(now, session, offer),
            Event::Changed { session, body, .. } => {
                self.take_answer(now, session, body);
                if let Some(call) = self.calls.get_mut(&session) {
                    call.accepted += 1;
                }
            }
            Event::ChangeFailed { session, .. } => self.change_failed(session),
            Event::Ended { session, reason } => {
                let end = match reason {
                    EndReason::Local | EndReason::Rejected(_) => End::ByUs,
                    EndReason::Bye(_) | EndReason::Cancel(_) => End::ByPeer,
                    EndReason::AckMissing
                    | EndReason::PrackMissing
                    | EndReason::SessionExpired
                    | EndReason::DialogGone
                    | EndReason::PeerMisbehaved(_) => End::TimedOut,
                };
                self.over(session, end);
            }
            // Phones answer changes at once, or not at all.
            Event::ChangeCancelled { .. }
            | Event::Refused { .. }
            | Event::Trying { .. }
            | Event::Request { .. }
            | Event::Response { .. } => {}
        }
    }

    fn incoming(&mut self, now: Instant, session: SessionId, offer: Option<Bytes>, _request: &Message) {
        let mut call = self.new_call(now, State::Ringing);
        call.offer = offer;
        self.calls.insert(session, call);
        self.live.insert(session);
        match self.answering {
            Answering::ByHand => drop(self.agent.progress(now, session, Reply::new(180))),
            Answering::After(after) => {
                let _ = self.agent.progress(now, session, Reply::new(180));
                self.calls.get_mut(&session).expect("just inserted").answer_at = Some(now + after);
            }
            Answering::EarlyMedia(after) => {
                let sdp = self.describe(now, session).expect("the gateway offers what the phone has");
                let _ = self.agent.progress(now, session, Reply::new(183).with_sdp(sdp));
                self.calls.get_mut(&session).expect("just inserted").answer_at = Some(now + after);
            }
            Answering::Refuse(status) => {
                self.over(session, End::ByUs);
                let _ = self.agent.reject(now, session, Reply::new(status));
            }
        }
    }

    fn accept(&mut self, now: Instant, session: SessionId) {
        let Some(sdp) = self.describe(now, session) else { return };
        if self.agent.accept(now, session, Headers::new(), Some(sdp)).is_ok() {
            self.set_state(session, State::Up);
        }
    }

    /// Returns the answer to the offer of a call, or an offer where it had none.
    fn describe(&mut self, now: Instant, session: SessionId) -> Option<Bytes> {
        let call = self.calls.get_mut(&session)?;
        let sdp = match call.offer.take() {
            Some(offer) => call.sdp.answer_to(&offer, Wish::default()).ok()?,
            None if call.sdp.negotiated().is_some() => call.sdp.standing()?.clone(),
            None => call.sdp.offer(Wish::default()),
        };
        call.agree(now);
        Some(sdp)
    }

    /// Returns the answer to an offer of the gateway, where the call was placed without one.
    fn answer_offer(&mut self, now: Instant, session: SessionId, body: &Option<Body>) -> Option<Bytes> {
        let (Some(call), Some(Body::Offer(offer))) = (self.calls.get_mut(&session), body) else {
            return None;
        };
        let answer = call.sdp.answer_to(offer, Wish { direction: call.wish, prefer: None });
        call.agree(now);
        Some(answer.expect("the gateway offers what a phone has"))
    }

    fn take_answer(&mut self, now: Instant, session: SessionId, body: Option<Body>) {
        let (Some(call), Some(Body::Answer(answer))) = (self.calls.get_mut(&session), body) else { return };
        call.sdp.accept_answer(&answer).expect("the gateway answers what was offered");
        call.agree(now);
    }

    fn peer_changes(&mut self, now: Instant, session: SessionId, offer: Option<Bytes>) {
        if self.ignores_changes {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let wish = Wish { direction: call.wish, prefer: None };
        let described = match offer {
            Some(offer) => call.sdp.answer_to(&offer, wish),
            None => Ok(call.sdp.offer(wish)),
        };
        match described {
            Ok(sdp) => {
                call.agree(now);
                call.changes += 1;
                let _ = self.agent.accept_change(now, session, Headers::new(), Some(sdp));
            }
            Err(error) => drop(self.agent.reject_change(now, session, Reply::new(error.status()))),
        }
    }

    fn change_failed(&mut self, session: SessionId) {
        if let Some(call) = self.calls.get_mut(&session) {
            call.sdp.rollback();
            call.refused += 1;
            call.wish = call.wish_before;
        }
    }

    fn set_state(&mut self, session: SessionId, state: State) {
        if let Some(call) = self.calls.get_mut(&session)
            && !matches!(call.state, State::Over(_))
        {
            call.was_up |= state == State::Up;
            call.state = state;
        }
    }

    fn over(&mut self, session: SessionId, end: End) {
        self.set_state(session, State::Over(end));
        self.live.remove(&session);
    }

    fn new_call(&mut self, now: Instant, state: State) -> PhoneCall {
        let media = SocketAddr::new(self.sip.ip(), self.next_port);
        self.next_port += 2;
        self.seed += 1;
        let local = Local::new(media.ip(), media.port(), &self.policy);
        let mut player = Player::new(now, StreamId(self.seed));
        player.push(Sound::Tone(Tone::MILLIWATT, u32::MAX)).expect("an empty queue has room");
        PhoneCall {
            state,
            leg: None,
            digits: String::new(),
            wish: Direction::SendRecv,
            wish_before: Direction::SendRecv,
            was_up: false,
            changes: 0,
            accepted: 0,
            refused: 0,
            sdp: MediaSession::new(local, self.seed),
            player: Some(player),
            offer: None,
            answer_at: None,
            media,
        }
    }

    /// Returns a profile with these session timers, for [`Phone::new`].
    pub fn profile(expires: Duration, reliability: Reliability) -> Profile {
        let mut profile = Profile { reliability, ..Profile::default() };
        profile.session_timer.expires = expires;
        profile
    }
}

impl PhoneCall {
    /// What offer and answer let this phone do now.
    pub fn direction(&self) -> Option<Direction> {
        self.sdp.negotiated().map(|negotiated| negotiated.direction)
    }

    fn agree(&mut self, now: Instant) {
        let Some(negotiated) = self.sdp.negotiated().copied() else { return };
        match &mut self.leg {
            Some(leg) => leg.update(now, negotiated),
            None => {
                let seed = u64::from(self.media.port());
                let config = LegConfig { negotiated: Some(negotiated), latch: Vec::new(), seed };
                self.leg = Some(RtpLeg::new(config, now));
            }
        }
    }

    /// Listens, and speaks if it is time.
    fn talk(&mut self, now: Instant, speaks: bool) {
        let Some(leg) = &mut self.leg else { return };
        while let Some(frame) = leg.poll_frame(now) {
            if let FrameBody::Event(update) = frame.body
                && matches!(update.phase, EventPhase::End | EventPhase::Whole)
            {
                self.digits.extend(update.event.digit());
            }
        }
        let Some(player) = self.player.as_mut().filter(|_| speaks) else { return };
        let Some((_, codec)) = leg.negotiated().and_then(|negotiated| negotiated.send.audio()) else {
            return;
        };
        while let Some(frame) = player.poll_frame(now, codec) {
            leg.send(now, &frame);
        }
    }
}
