//! A tiny world: user agents on a simulated network that loses and reorders, in virtual time.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trunkline_model::Transport;
use trunkline_model::clock::first_instant;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::{Advertised, ConnectionId, Flow, Listener, Target};
use trunkline_sip::user_agent::{
    Body, Config, EndReason, Event, Failure, Headers, Input, InviteParams, Output, Profile, Reply, SessionId,
};
use trunkline_sip::{Timer, UserAgent};

pub const ALICE: usize = 0;
pub const BOB: usize = 1;

pub struct World {
    pub start: Instant,
    pub now: Instant,
    pub ends: Vec<End>,
    pub net: Net,
    /// What was sent to addresses where nobody of ours is.
    pub outside: Vec<(SocketAddr, Message)>,
}

/// A user agent with its owner.
pub struct End {
    pub ua: UserAgent,
    pub address: SocketAddr,
    pub events: Vec<Event>,
    pub sent: Vec<Message>,
    pub received: Vec<Message>,
    /// What the owner does by itself.
    pub habit: Habit,
    pub fired: Vec<Timer>,
    plans: Vec<(Instant, Plan)>,
    descriptions: u32,
}

/// What an owner does by itself.
#[derive(Clone, Copy, Default)]
pub struct Habit {
    pub rings: bool,
    pub rings_with_sdp: bool,
    pub answers_after: Option<Duration>,
    pub takes_changes: bool,
}

#[derive(Clone)]
enum Plan {
    Answer(SessionId),
}

pub struct Net {
    rng: ChaCha8Rng,
    queue: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Transport, Bytes)>,
    serial: u64,
    /// Packets lost, of a hundred.
    pub loss: u64,
    /// Most delay of a packet; anything above the least reorders.
    pub delay_max: Duration,
    drops: Vec<(usize, Wanted)>,
    pub lost: u32,
}

/// Says which messages a rule is about.
type Wanted = Box<dyn Fn(&Message) -> bool>;

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn sdp(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn config(address: SocketAddr) -> Config {
    let listener = |transport| Listener { transport, local: address, advertised: Advertised::of(address) };
    Config { listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)], ..Config::default() }
}

pub fn address(number: usize) -> SocketAddr {
    format!("127.0.0.{}:5060", number + 1).parse().unwrap()
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, config(address(ALICE)), config(address(BOB)))
    }

    pub fn with(seed: u64, alice: Config, bob: Config) -> Self {
        let start = first_instant();
        let ends = [alice, bob]
            .into_iter()
            .enumerate()
            .map(|(number, config)| End {
                ua: UserAgent::new(config, seed * 2 + number as u64, start),
                address: address(number),
                events: Vec::new(),
                sent: Vec::new(),
                received: Vec::new(),
                habit: Habit::default(),
                fired: Vec::new(),
                plans: Vec::new(),
                descriptions: 0,
            })
            .collect();
        let net = Net {
            rng: ChaCha8Rng::seed_from_u64(seed),
            queue: BTreeMap::new(),
            serial: 0,
            loss: 0,
            delay_max: ms(5),
            drops: Vec::new(),
            lost: 0,
        };
        Self { start, now: start, ends, net, outside: Vec::new() }
    }

    pub fn params(&self, offer: Option<&str>) -> InviteParams {
        InviteParams {
            destination: Destination::Target(Target::new(Transport::Udp, address(BOB))),
            uri: "sip:+14255550100@127.0.0.2".to_owned(),
            from: "\"Alice\" <sip:+14255550101@127.0.0.1>".to_owned(),
            to: "<sip:+14255550100@127.0.0.2>".to_owned(),
            contact_user: Some("+14255550101".to_owned()),
            call_id: None,
            max_forwards: 70,
            routes: Vec::new(),
            headers: Headers::new(),
            offer: offer.map(sdp),
            profile: self.ends[ALICE].ua.config().profile.clone(),
        }
    }

    pub fn dial(&mut self) -> SessionId {
        let params = self.params(Some("alice offer"));
        self.dial_with(params)
    }

    pub fn dial_with(&mut self, params: InviteParams) -> SessionId {
        let session = self.ends[ALICE].ua.invite(self.now, params).unwrap();
        self.drain(ALICE);
        session
    }

    /// Dials, and has Bob answer at once. Returns both sessions.
    pub fn call(&mut self) -> (SessionId, SessionId) {
        let alice = self.dial();
        let bob = self.await_incoming();
        self.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), Some(sdp("bob answer"))).unwrap());
        self.run_for(secs(1));
        assert!(self.ends[ALICE].is_up(alice), "{:?}", self.ends[ALICE].events);
        (alice, bob)
    }

    pub fn await_incoming(&mut self) -> SessionId {
        self.run_for(secs(2));
        self.ends[BOB].incoming().expect("an INVITE arrives")
    }

    /// Does something with a user agent, then drains it.
    pub fn act<R>(&mut self, end: usize, act: impl FnOnce(&mut UserAgent, Instant) -> R) -> R {
        let result = act(&mut self.ends[end].ua, self.now);
        self.drain(end);
        result
    }

    /// Has a packet arrive from an address where nobody of ours is.
    pub fn inject(&mut self, end: usize, from: &str, text: &str) {
        let text = text.replace('\n', "\r\n");
        let flow = Flow {
            transport: Transport::Udp,
            local: self.ends[end].address,
            remote: from.parse().unwrap(),
            connection: None,
        };
        self.deliver(end, flow, Bytes::from(text));
    }

    pub fn deliver(&mut self, end: usize, flow: Flow, bytes: Bytes) {
        if let Ok(message) = Message::parse(bytes.clone()) {
            self.ends[end].received.push(message);
        }
        self.ends[end].ua.handle_input(self.now, Input::Received { flow, bytes });
        self.drain(end);
    }

    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    fn next_at(&self) -> Option<Instant> {
        let packets = self.net.queue.keys().next().map(|(at, _)| *at);
        let timers = self.ends.iter().filter_map(|end| end.ua.poll_timeout()).map(|(at, _)| at);
        let plans = self.ends.iter().flat_map(|end| end.plans.iter().map(|(at, _)| *at));
        packets.into_iter().chain(timers).chain(plans).min()
    }

    fn step(&mut self) {
        while let Some(entry) = self.net.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (from, to, transport, bytes) = entry.remove();
            let Some(end) = self.ends.iter().position(|end| end.address == to) else {
                self.outside.push((to, Message::parse(bytes).unwrap()));
                continue;
            };
            let connection = transport.is_reliable().then_some(ConnectionId(1));
            self.deliver(end, Flow { transport, local: to, remote: from, connection }, bytes);
        }
        for end in 0..self.ends.len() {
            if let Some((at, timer)) = self.ends[end].ua.poll_timeout()
                && at <= self.now
            {
                self.ends[end].fired.push(timer);
                self.ends[end].ua.handle_timeout(self.now);
                let next = self.ends[end].ua.poll_timeout();
                assert!(next.is_none_or(|(at, _)| at > self.now), "a due timer was left");
                self.drain(end);
            }
            let now = self.now;
            let due = |(at, _): &mut (Instant, Plan)| *at <= now;
            let plans: Vec<_> = self.ends[end].plans.extract_if(.., due).collect();
            for (_, plan) in plans {
                self.carry_out(end, plan);
            }
        }
    }

    fn drain(&mut self, end: usize) {
        while let Some(output) = self.ends[end].ua.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let message = Message::parse(transmit.bytes.clone()).expect("we send what we can read");
                    self.ends[end].sent.push(message.clone());
                    let from = self.ends[end].address;
                    self.net.send(self.now, from, transmit.target, &message, transmit.bytes);
                }
                Output::Resolve { query, .. } => {
                    let targets = Ok(vec![Target::new(Transport::Udp, address(BOB))]);
                    self.ends[end].ua.handle_input(self.now, Input::Resolved { query, targets });
                }
                Output::Event(event) => {
                    self.ends[end].events.push(event.clone());
                    self.follow_habit(end, &event);
                }
            }
        }
    }

    fn follow_habit(&mut self, end: usize, event: &Event) {
        let habit = self.ends[end].habit;
        match event {
            Event::Incoming { session, .. } => {
                let session = *session;
                if habit.rings || habit.rings_with_sdp {
                    let reply = Reply::new(if habit.rings_with_sdp { 183 } else { 180 });
                    let reply = if habit.rings_with_sdp { reply.with_sdp(sdp("bob early")) } else { reply };
                    self.act(end, |ua, now| ua.progress(now, session, reply).unwrap());
                }
                if let Some(after) = habit.answers_after {
                    let at = self.now + after;
                    self.ends[end].plans.push((at, Plan::Answer(session)));
                }
            }
            Event::Change { session, .. } if habit.takes_changes => {
                let (session, text) = (*session, self.ends[end].describe());
                self.act(end, |ua, now| ua.accept_change(now, session, Headers::new(), Some(text)).unwrap());
            }
            Event::Answered { session, body: Some(Body::Offer(_)), .. }
            | Event::Changed { session, body: Some(Body::Offer(_)), .. } => {
                let (session, text) = (*session, self.ends[end].describe());
                self.act(end, |ua, now| ua.ack(now, session, text).unwrap());
            }
            Event::Progress { session, fork, body: Some(Body::Offer(_)), .. } => {
                let (session, fork, text) = (*session, *fork, self.ends[end].describe());
                self.act(end, |ua, now| ua.answer_progress(now, session, fork, text).unwrap());
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, end: usize, plan: Plan) {
        match plan {
            Plan::Answer(session) => {
                let text = self.ends[end].describe();
                // The caller may have hung up meanwhile.
                self.act(end, |ua, now| {
                    let _ = ua.accept(now, session, Headers::new(), Some(text));
                });
            }
        }
    }

    /// Lets every timer run out, and checks that nothing is left over.
    pub fn assert_nothing_is_left(&mut self) {
        self.run_for(secs(300));
        for end in &self.ends {
            let counts = end.ua.counts();
            assert_eq!(
                (counts.sessions, counts.client_transactions, counts.server_transactions, counts.requests),
                (0, 0, 0, 0)
            );
            assert_eq!(end.ua.poll_timeout(), None);
        }
    }
}

impl Net {
    fn send(&mut self, now: Instant, from: SocketAddr, target: Target, message: &Message, bytes: Bytes) {
        if let Some(at) = self.drops.iter().position(|(left, wanted)| *left > 0 && wanted(message)) {
            self.drops[at].0 -= 1;
            self.lost += 1;
            return;
        }
        if self.rng.next_u64() % 100 < self.loss {
            self.lost += 1;
            return;
        }
        let spread = (self.delay_max.as_micros() as u64).max(1001) - 1000;
        let delay = Duration::from_micros(1000 + self.rng.next_u64() % spread);
        self.serial += 1;
        self.queue.insert((now + delay, self.serial), (from, target.remote, target.transport, bytes));
    }

    /// Loses the next `count` requests of a method.
    pub fn drop_requests(&mut self, method: Method, count: usize) {
        self.drop_if(count, move |message| message.method() == Some(&method));
    }

    /// Loses the next `count` responses of a status to a method.
    pub fn drop_responses(&mut self, status: u16, method: Method, count: usize) {
        self.drop_if(count, move |message| {
            message.status() == Some(status) && message.cseq().unwrap().method == method
        });
    }

    pub fn drop_if(&mut self, count: usize, wanted: impl Fn(&Message) -> bool + 'static) {
        self.drops.push((count, Box::new(wanted)));
    }
}

impl End {
    /// Returns the session of the last INVITE that came in.
    pub fn incoming(&self) -> Option<SessionId> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Incoming { session, .. } => Some(*session),
            _ => None,
        })
    }

    fn describe(&mut self) -> Bytes {
        self.descriptions += 1;
        sdp(&format!("description {}", self.descriptions))
    }

    /// Whether a session was answered and is not over.
    pub fn is_up(&self, session: SessionId) -> bool {
        let answered = self.events.iter().any(|event| match event {
            Event::Answered { session: of, .. } | Event::Acked { session: of, .. } => *of == session,
            _ => false,
        });
        answered && !self.is_over(session)
    }

    pub fn is_over(&self, session: SessionId) -> bool {
        let ends = self.events.iter().filter(|event| match event {
            Event::Ended { session: of, .. } | Event::Failed { session: of, .. } => *of == session,
            _ => false,
        });
        let count = ends.count();
        assert!(count <= 1, "a session ends once");
        count == 1
    }

    pub fn end_reason(&self, session: SessionId) -> Option<&EndReason> {
        self.events.iter().find_map(|event| match event {
            Event::Ended { session: of, reason } if *of == session => Some(reason),
            _ => None,
        })
    }

    pub fn failure(&self, session: SessionId) -> Option<&Failure> {
        self.events.iter().find_map(|event| match event {
            Event::Failed { session: of, failure } if *of == session => Some(failure),
            _ => None,
        })
    }

    /// Returns how many requests of a method were sent, retransmissions included.
    pub fn sent_requests(&self, method: Method) -> usize {
        self.sent.iter().filter(|message| message.method() == Some(&method)).count()
    }

    pub fn sent_responses(&self, status: u16, method: Method) -> usize {
        self.sent
            .iter()
            .filter(|message| message.status() == Some(status) && message.cseq().unwrap().method == method)
            .count()
    }

    pub fn received_responses(&self, status: u16, method: Method) -> usize {
        self.received
            .iter()
            .filter(|message| message.status() == Some(status) && message.cseq().unwrap().method == method)
            .count()
    }

    pub fn last_sent(&self, wanted: impl Fn(&Message) -> bool) -> &Message {
        self.sent.iter().rev().find(|message| wanted(message)).expect("it was sent")
    }

    pub fn last_request(&self, method: Method) -> &Message {
        self.last_sent(|message| message.method() == Some(&method))
    }
}

pub fn profile_without_timers() -> Profile {
    let mut profile = Profile::default();
    profile.session_timer.expires = Duration::ZERO;
    profile
}
