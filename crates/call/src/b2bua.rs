//! The root machine: one user agent, its calls, trunks and routes.

mod abandon;
mod admit;
mod core;
mod refused;
mod request;
mod stranger;
mod user_call;
mod user_request;
mod users;

pub use self::core::CallTimer;
pub(crate) use self::core::{Core, Owner, Place, Purpose, destination, domains};
pub(crate) use self::users::Users;
pub use self::users::{Finding, Granted, Question, QuestionId, REALM};
use crate::bridge::Bridge;
use crate::call::{Call, Over};
use crate::command::BridgeCommand;
use crate::error::ConfigError;
use crate::event::{BridgeEvent, CallEvent, Counts, Side, Totals};
use crate::limit::Limits;
use crate::port::PortPool;
use crate::route::RoutingTable;
use crate::trunk::{TrunkLoad, Trunks};
use bytes::Bytes;
use refused::RefusedLately;
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stranger::Strangers;
use trunkline_model::{BridgeId, CallId, NodeId, Q850};
use trunkline_sip as sip;
use trunkline_sip::method::Method;
use trunkline_sip::resolve::QueryId;
use trunkline_sip::transport::{Flow, Transmit};
use trunkline_sip::user_agent::{Event, SessionId};
use trunkline_webrtc::Site;

/// The settings of a B2BUA.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node; part of every call's id.
    pub node: NodeId,
    /// Which of the node's B2BUAs this is; part of every call's id.
    pub shard: u8,
    /// The user agent. Its `methods` are set here.
    pub user_agent: sip::user_agent::Config,
    /// Where media is received: one interface for each family, the preferred first.
    pub media: Vec<MediaInterface>,
    /// RTP and RTCP ports.
    pub ports: RangeInclusive<u16>,
    /// What the node takes.
    pub limits: Limits,
    /// What becomes of requests that belong to no trunk.
    pub unknown_sources: UnknownSources,
    /// An instant, and the same moment in milliseconds of the Unix epoch, for ids and records.
    pub anchor: (Instant, i64),
}

/// Where media is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaInterface {
    /// The address that sockets are bound to.
    pub bind: IpAddr,
    /// The address that peers are told, unless their trunk has one of its own. Never unspecified.
    pub advertised: IpAddr,
}

/// What becomes of requests that belong to no trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownSources {
    /// They are answered 403: a misconfigured carrier sees why.
    #[default]
    Forbid,
    /// They are dropped: scanners learn nothing.
    Ignore,
}

/// What a B2BUA takes in.
#[derive(Debug, Clone)]
pub enum Input {
    /// From the network.
    Sip(sip::user_agent::Input),
    /// From a media worker.
    Bridge {
        /// Which bridge.
        bridge: BridgeId,
        /// What happened.
        event: BridgeEvent,
    },
    /// The answer to a question about who is asking.
    Authenticated {
        /// The question.
        id: QuestionId,
        /// The answer.
        finding: Finding,
    },
}

/// What a B2BUA gives out, to be acted on in order.
#[derive(Debug)]
pub enum Output {
    /// Send this message.
    Transmit(Transmit),
    /// Look this up (RFC 3263).
    Resolve {
        /// The question.
        query: QueryId,
        /// The name.
        host: String,
        /// The port, which rules SRV out.
        port: Option<u16>,
        /// The transport, which rules NAPTR out.
        transport: Option<trunkline_model::Transport>,
    },
    /// Find out who is asking, and answer with [`Input::Authenticated`].
    Authenticate {
        /// The question.
        id: QuestionId,
        /// What has to be known.
        question: Question,
    },
    /// Bind the sockets of this bridge and give it to a media worker. No message after this one is sent before they are
    /// bound: it may tell a peer of them.
    OpenBridge(OpenBridge),
    /// Tell a bridge.
    UpdateBridge {
        /// Which bridge.
        bridge: BridgeId,
        /// What to do.
        command: BridgeCommand,
    },
    /// Close the sockets of a bridge and answer with [`BridgeEvent::Closed`].
    CloseBridge {
        /// Which bridge.
        bridge: BridgeId,
    },
    /// Tell whoever wants to know.
    Event(CallEvent),
}

/// A bridge on its way to a media worker.
#[derive(Debug)]
pub struct OpenBridge {
    /// Its name in commands and events.
    pub bridge: BridgeId,
    /// Whose bridge it is.
    pub call: CallId,
    /// The sockets of the caller's side.
    pub caller: MediaSocket,
    /// The sockets of the callee's side.
    pub callee: MediaSocket,
    /// The bridge itself.
    pub state: Box<Bridge>,
}

/// The sockets of one side of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaSocket {
    /// Two of its own.
    Rtp {
        /// The address to bind.
        bind: IpAddr,
        /// The port of RTP; RTCP has the next one.
        rtp_port: u16,
    },
    /// That of the worker for all browsers. Which of them it is, [`BridgeCommand::Browser`] says.
    Browsers,
}

/// What a timeout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// One of SIP's.
    Sip(sip::Timer),
    /// A call's.
    Call(CallTimer),
    /// An OPTIONS is due.
    Probe,
    /// A registration ends.
    Registration,
}

/// The back-to-back user agent: it takes calls from trunks and places them on others.
///
/// After every `handle_*` call and every command, drain [`poll_output`](Self::poll_output), then read
/// [`poll_timeout`](Self::poll_timeout).
pub struct B2bua {
    core: Core,
    table: Arc<RoutingTable>,
    calls: HashMap<u64, Call>,
    /// The call that is being handled.
    current: Option<u64>,
    /// Messages that wait for the rest of a [`B2bua::drain`]; empty in between, and kept for its memory.
    messages: Vec<Transmit>,
    strangers: Strangers,
    refused_lately: RefusedLately,
}

/// Timer C of the INVITEs that go out: as long as the INVITE that came in may wait for its answer, and above every
/// `ring_max` that can be configured.
const TIMER_C: Duration = Duration::from_secs(600);

impl B2bua {
    /// Returns a B2BUA without calls.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(
        mut config: Config,
        table: Arc<RoutingTable>,
        seed: u64,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        if config.media.is_empty() {
            return Err(ConfigError::NoMediaAddress);
        }
        config.user_agent.methods = vec![Method::Options, Method::Info];
        // What users ask for, and carriers are not to be told of.
        config.user_agent.unadvertised =
            vec![Method::Register, Method::Message, Method::Refer, Method::Notify];
        // Calls have a ring timer of their own, by trunk; timer C only stands behind it.
        config.user_agent.timers.c = config.user_agent.timers.c.max(TIMER_C);
        let ports = PortPool::new(config.ports.clone())?;
        let trunks = Trunks::new(&table, seed ^ 0x7472_756e, now);
        let ua = sip::UserAgent::new(config.user_agent.clone(), seed, now);
        let mut core = Core::new(config, ua, trunks, ports, seed ^ 0x6361_6c6c, now);
        core.users.trunk = table.users().cloned();
        let strangers = Strangers::new(seed ^ 0x7374_7261, now);
        let refused_lately = RefusedLately::new(seed ^ 0x6c61_7465);
        Ok(Self {
            core,
            table,
            calls: HashMap::new(),
            current: None,
            messages: Vec::new(),
            strangers,
            refused_lately,
        })
    }

    /// Lets browsers have media on these sockets. Without them a user's media is plain RTP, like a trunk's.
    pub fn serve_browsers(&mut self, site: Site) {
        self.core.browsers = Some(site);
    }

    /// Takes in a message, a failure, an answer to a look-up, or news of a bridge.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Sip(sip::user_agent::Input::Received { flow, bytes }) => {
                self.handle_message(now, flow, bytes);
            }
            Input::Sip(input) => {
                if let sip::user_agent::Input::TransportFailed { connection: Some(connection), .. } = &input {
                    self.handle_connection_gone(now, *connection);
                }
                self.core.ua.handle_input(now, input);
            }
            Input::Bridge { bridge, event } => self.handle_bridge(now, bridge, event),
            Input::Authenticated { id, finding } => self.handle_finding(now, id, finding),
        }
        self.drain(now);
    }

    /// Acts on every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.ua.handle_timeout(now);
        self.drain(now);
        while let Some((serial, timer)) = self.core.timers.take_due(now) {
            self.with_call(serial, |call, core| call.handle_timeout(core, now, timer));
            self.drain(now);
        }
        self.core.users.registrar.handle_timeout(now);
        self.probe(now);
        self.drain(now);
    }

    /// Returns the next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let sip = self.core.ua.poll_timeout().map(|(at, timer)| (at, Timer::Sip(timer)));
        let call = self.core.timers.soonest().map(|(at, timer)| (at, Timer::Call(timer)));
        let probe = self.core.trunks.next_probe().map(|at| (at, Timer::Probe));
        let registration = self.core.users.registrar.poll_timeout().map(|at| (at, Timer::Registration));
        [sip, call, probe, registration].into_iter().flatten().min()
    }

    /// Routes new calls by another table. Calls that are up are not touched.
    pub fn set_routes(&mut self, now: Instant, table: Arc<RoutingTable>) {
        self.core.trunks.reload(&table, now);
        self.core.users.trunk = table.users().cloned();
        self.table = table;
    }

    /// Takes note of what the wall clock says, in milliseconds of the Unix epoch: it is set now and then, and an
    /// [`Instant`] stands still while a machine sleeps. Records say when their call began by the newest note, and the
    /// rest of their times count from there.
    pub fn set_clock(&mut self, now: Instant, unix_ms: i64) {
        self.core.clock = (now, unix_ms);
    }

    /// Refuses all new calls from now on, and OPTIONS too, so that peers turn elsewhere. Calls that are up go on.
    pub fn drain_calls(&mut self) {
        self.core.draining = true;
    }

    /// Ends every call.
    pub fn end_all(&mut self, now: Instant) {
        self.core.draining = true;
        let mut serials: Vec<u64> = self.calls.keys().copied().collect();
        serials.sort_unstable();
        for serial in serials {
            self.with_call(serial, |call, core| {
                call.end_by_us(core, now, 503, Q850::NORMAL_UNSPECIFIED, "shutting down");
            });
        }
        self.drain(now);
    }

    /// Returns how much of everything is in use.
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            legs: self.core.sessions.len(),
            bridges: self.core.bridges.len(),
            ports: self.core.ports.in_use(),
        }
    }

    /// Whether no call is left, and every peer has been told of the end of its own: the process may end.
    pub fn is_idle(&self) -> bool {
        let Counts { calls, legs, bridges, ports: _ } = self.counts();
        calls == 0 && legs == 0 && bridges == 0 && self.core.ua.is_settled()
    }

    /// Returns how many of each thing the user agent has.
    pub fn sip_counts(&self) -> sip::user_agent::Counts {
        self.core.ua.counts()
    }

    /// Returns what has been counted since the start.
    pub fn totals(&self) -> Totals {
        self.core.totals
    }

    /// Returns what the trunks are doing.
    pub fn trunk_load(&self) -> Vec<TrunkLoad> {
        self.core.trunks.load()
    }

    /// Returns the routing table in force.
    pub fn routes(&self) -> &Arc<RoutingTable> {
        &self.table
    }

    fn handle_message(&mut self, now: Instant, flow: Flow, bytes: Bytes) {
        if self.is_of_users(flow) || !self.turn_away_stranger(now, flow, &bytes) {
            self.core.ua.handle_input(now, sip::user_agent::Input::Received { flow, bytes });
        }
    }

    fn handle_bridge(&mut self, now: Instant, bridge: BridgeId, event: BridgeEvent) {
        let Some(opened) = self.core.bridges.get(&bridge).copied() else { return };
        if matches!(event, BridgeEvent::Closed(_) | BridgeEvent::Failed) {
            self.core.bridges.remove(&bridge);
            self.core.ports.give_back(opened.ports);
        }
        self.with_call(opened.call, |call, core| call.handle_bridge(core, now, bridge, event));
    }

    /// Does something with a call, and forgets the call if that was its end.
    fn with_call(&mut self, serial: u64, act: impl FnOnce(&mut Call, &mut Core)) {
        let Some(call) = self.calls.get_mut(&serial) else { return };
        self.current = Some(serial);
        act(call, &mut self.core);
        self.current = None;
        if call.is_over() == Over::Recorded {
            self.core.timers.stop_all(serial);
            self.calls.remove(&serial);
        }
    }

    /// Acts on what the user agent says. Its messages go out behind everything else that comes of it: media may
    /// follow on the heels of an ACK or a 200, and the bridge must know of the answer by then.
    fn drain(&mut self, now: Instant) {
        let mut messages = std::mem::take(&mut self.messages);
        while let Some(output) = self.core.ua.poll_output() {
            match output {
                sip::user_agent::Output::Transmit(transmit) => messages.push(transmit),
                sip::user_agent::Output::Resolve { query, host, port, transport } => {
                    self.core.outputs.push_back(Output::Resolve { query, host, port, transport });
                }
                sip::user_agent::Output::Event(event) => self.handle_event(now, event),
            }
        }
        self.core.outputs.extend(messages.drain(..).map(Output::Transmit));
        self.messages = messages;
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Incoming { session, request, flow, offer } => {
                self.handle_incoming(now, session, &request, flow, offer);
            }
            Event::Refused { request, flow, status, reason } => {
                self.handle_refused(now, &request, flow, status, reason);
            }
            Event::Trying { session } => {
                self.on(session, |call, core, _| call.gateway_lives(core, session));
            }
            Event::Progress { session, fork, response, body, reliable } => {
                self.on(session, |call, core, _| {
                    call.handle_progress(core, now, session, (fork, body, reliable), &response);
                });
            }
            Event::Answered { session, fork, body, response } => {
                self.on(session, |call, core, _| {
                    call.handle_answer(core, now, session, fork, body, &response)
                });
            }
            Event::Failed { session, failure } => {
                self.on(session, |call, core, _| call.handle_failure(core, now, session, &failure));
                self.core.sessions.remove(&session);
            }
            Event::Acked { session, answer } => {
                self.on(session, |call, core, side| call.handle_ack(core, now, side, answer));
            }
            Event::Change { session, request, offer, kind: _ } => {
                self.on(session, |call, core, side| {
                    call.handle_change(core, now, side, session, &request, offer)
                });
            }
            Event::Changed { session, body, response: _ } => {
                self.on(session, |call, core, side| call.handle_changed(core, now, side, session, body));
            }
            Event::ChangeFailed { session, failure } => {
                self.on(session, |call, core, side| call.handle_change_failed(core, now, side, &failure));
            }
            Event::ChangeCancelled { session } => {
                self.on(session, |call, core, side| call.handle_change_cancelled(core, now, side));
            }
            Event::Prack { session, answer, request: _ } => {
                self.on(session, |call, core, side| call.handle_ack(core, now, side, Some(answer)));
            }
            Event::Ended { session, reason } => {
                self.on(session, |call, core, side| call.handle_end(core, now, side, session, &reason));
                if self.core.sessions.remove(&session).is_none() {
                    self.forget_question_about(session);
                }
            }
            Event::Request { request, message, session, flow } => {
                self.handle_request(now, request, &message, flow, session);
            }
            Event::Response { request, result } => self.handle_response(now, request, result),
        }
    }

    fn on(&mut self, session: SessionId, act: impl FnOnce(&mut Call, &mut Core, Side)) {
        if let Some(Owner { call, side }) = self.core.sessions.get(&session).copied() {
            self.with_call(call, |call, core| act(call, core, side));
        }
    }
}
