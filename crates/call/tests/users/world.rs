//! The simulated world: a B2BUA, browsers on connections, a carrier, and tokens.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_call::{
    B2bua, BridgeCommand, BridgeEvent, BridgeStats, CallEvent, Config, Finding, Granted, Input, Limits,
    MediaInterface, Output, Question, QuestionId, RoutingTable, Tenant, USERS, UnknownSources,
};
use trunkline_model::clock::first_instant;
use trunkline_model::{
    CallRecord, Gateway, Host, MediaPolicy, NodeId, PatternRoute, Reliability, Ring, RingOrder,
    SessionTimerPolicy, Transport, Trunk, TrunkId, TrunkMatch, UserAddress, UserRoute,
};
use trunkline_sip::UserAgent;
use trunkline_sip::auth::Secret;
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::resolve::{Destination, ResolveError};
use trunkline_sip::transport::{Advertised, ConnectionId, Flow, Listener, Target};
use trunkline_sip::user_agent::{self, Event, Headers, InviteParams, Profile, Reply, RequestId, SessionId};

/// The resource of the users.
pub(crate) const CONTOSO: &str = "11111111-2222-4333-8444-555555555555";
/// Another resource.
pub(crate) const FABRIKAM: &str = "99999999-2222-4333-8444-555555555555";
/// The number of Contoso that rings at its users.
pub(crate) const DID: &str = "+14255550100";
/// A number of Contoso that its users may show, besides the first.
pub(crate) const SECOND_NUMBER: &str = "+14255550101";
/// Somebody out there.
pub(crate) const OUTSIDE: &str = "+12065550111";

const HERE: &str = "203.0.113.1";
const CARRIER: &str = "192.0.2.10";

/// Tokens are issued at this second.
pub(crate) const ISSUED: i64 = 1000;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) b2bua: B2bua,
    pub(crate) carrier: End,
    pub(crate) browsers: Vec<Browser>,
    pub(crate) events: Vec<CallEvent>,
    /// What the world says of tokens.
    pub(crate) tokens: HashMap<String, Finding>,
    /// Whether the world answers at all.
    pub(crate) answers: bool,
    /// What it was asked and has not answered.
    pub(crate) asked: Vec<QuestionId>,
    /// Everything that bridges were told.
    pub(crate) commands: Vec<BridgeCommand>,
    /// How many bridges were opened.
    pub(crate) bridges: usize,
}

pub(crate) struct End {
    pub(crate) ua: UserAgent,
    pub(crate) events: VecDeque<Event>,
    /// Every SIP message that came, in order.
    pub(crate) received: Vec<Message>,
}

/// A browser, or another thing at the end of a WebSocket.
pub(crate) struct Browser {
    pub(crate) end: End,
    pub(crate) flow: Flow,
    pub(crate) user: UserAddress,
    pub(crate) token: String,
    sequence: u32,
}

pub(crate) fn user(resource: &str, n: u32) -> UserAddress {
    format!("8:acs:{resource}_00000000-0000-4000-8000-{n:012}").parse().unwrap()
}

fn trunk(name: &str, sources: &[&str], gateways: &[&str]) -> Trunk {
    let gateway = |ip: &&str| Gateway {
        host: Host::Ip(ip.parse().unwrap()),
        port: None,
        transport: Transport::Udp,
        priority: 1,
        weight: 1,
    };
    Trunk {
        id: TrunkId::parse(name).unwrap(),
        inbound: TrunkMatch {
            sources: sources.iter().map(|net| net.parse().unwrap()).collect(),
            transports: Vec::new(),
        },
        gateways: gateways.iter().map(gateway).collect(),
        calls_max: None,
        calls_per_sec_max: None,
        advertised: None,
        advertised_port: None,
        domain: None,
        media: MediaPolicy::default(),
        failover_statuses: Default::default(),
        health: None,
        reliability: Reliability::Off,
        session_timer: SessionTimerPolicy { expires: Duration::ZERO, min: Duration::from_secs(90) },
        ring_max: Duration::from_secs(60),
        trusted_identity: true,
        follow_source: true,
    }
}

/// Returns the table in which calls for [`DID`] ring at these users.
pub(crate) fn table(ring: Ring, trunks_behind: bool) -> Arc<RoutingTable> {
    // Loopback and private sources are the carrier's too: a WebSocket is never a trunk's all the same.
    let carrier = trunk("carrier", &["192.0.2.0/24", "198.51.100.0/24"], &[CARRIER]);
    let out = PatternRoute {
        prefix: "+1".into(),
        from: vec![TrunkId::parse(USERS).unwrap()],
        trunks: vec![carrier.id.clone()],
        strip: 0,
        prepend: String::new(),
    };
    let behind = if trunks_behind { vec![carrier.id.clone()] } else { Vec::new() };
    let dial = trunks_behind.then(|| OUTSIDE.to_owned());
    let route = UserRoute { did: DID.parse().unwrap(), ring, trunks: behind, dial };
    let tenant = |id: &str, name: &str, numbers: &[&str]| Tenant {
        id: id.into(),
        name: name.into(),
        domains: vec![format!("{name}.localhost")],
        numbers: numbers.iter().map(|number| number.parse().unwrap()).collect(),
        routes: Vec::new(),
    };
    let tenants = vec![tenant(CONTOSO, "contoso", &[DID, SECOND_NUMBER]), tenant(FABRIKAM, "fabrikam", &[])];
    let table = RoutingTable::new(vec![carrier, trunk(USERS, &[], &[])], Vec::new(), vec![out]).unwrap();
    Arc::new(table.with_user_routes(vec![route]).unwrap().with_tenants(tenants).unwrap())
}

pub(crate) fn together(users: &[u32], overflow: Option<u32>) -> Ring {
    Ring {
        users: users.iter().map(|n| user(CONTOSO, *n)).collect(),
        order: RingOrder::Together,
        ring_max: Duration::from_secs(20),
        overflow: overflow.map(|n| user(CONTOSO, n)),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(table(together(&[1], None), false))
    }

    pub(crate) fn with(table: Arc<RoutingTable>) -> Self {
        let now = first_instant();
        let here: IpAddr = HERE.parse().unwrap();
        let listener = |transport, port| {
            let local = SocketAddr::new(here, port);
            Listener { transport, local, advertised: Advertised::of(local) }
        };
        let config = Config {
            node: NodeId(0),
            shard: 0,
            user_agent: user_agent::Config {
                listeners: vec![listener(Transport::Udp, 5060), listener(Transport::Wss, 8443)],
                ..user_agent::Config::default()
            },
            media: vec![MediaInterface { bind: here, advertised: here }],
            ports: 20_000..=20_099,
            limits: Limits::default(),
            unknown_sources: UnknownSources::Forbid,
            anchor: (now, 0),
        };
        let carrier: SocketAddr = format!("{CARRIER}:5060").parse().unwrap();
        let own = Listener { transport: Transport::Udp, local: carrier, advertised: Advertised::of(carrier) };
        Self {
            now,
            b2bua: B2bua::new(config, table, 1, now).unwrap(),
            carrier: End::new(own, 7, now),
            browsers: Vec::new(),
            events: Vec::new(),
            tokens: HashMap::new(),
            answers: true,
            asked: Vec::new(),
            commands: Vec::new(),
            bridges: 0,
        }
    }

    /// Opens a WebSocket for a user, whose token is good for an hour.
    pub(crate) fn open(&mut self, user: &UserAddress) -> usize {
        let n = self.browsers.len();
        let token = format!("token-{}", user.user());
        let granted = self.granted(user, Duration::from_secs(3600));
        self.tokens.insert(token.clone(), Finding::Good(granted));
        let local: SocketAddr = format!("{HERE}:8443").parse().unwrap();
        let remote: SocketAddr = format!("198.51.100.7:{}", 40_000 + n).parse().unwrap();
        let connection = Some(ConnectionId(1 << 63 | n as u64));
        let flow = Flow { transport: Transport::Wss, local, remote, connection };
        let host = Advertised { host: Host::Name(format!("b{n}.invalid")), port: None };
        let own = Listener { transport: Transport::Wss, local: remote, advertised: host };
        let end = End::new(own, 100 + n as u64, self.now);
        self.browsers.push(Browser { end, flow, user: user.clone(), token, sequence: 0 });
        n
    }

    /// Opens a WebSocket and registers by it.
    pub(crate) fn online(&mut self, n: u32) -> usize {
        let browser = self.open(&user(CONTOSO, n));
        let reply = self.register(browser, 600, None);
        assert_eq!(reply.status(), Some(200), "{reply:?}");
        browser
    }

    pub(crate) fn granted(&self, user: &UserAddress, lasts: Duration) -> Granted {
        Granted { user: user.clone(), issued: ISSUED, until: self.now + lasts }
    }

    /// Sends a REGISTER with the browser's token, or with another `Authorization`, and returns the answer.
    pub(crate) fn register(&mut self, browser: usize, expires: u32, authorization: Option<&str>) -> Message {
        let held = &self.browsers[browser];
        let contact = format!("<sip:u{browser}@b{browser}.invalid;transport=ws>;expires={expires}");
        let bearer = format!("Bearer {}", held.token);
        let text = format!("Contact: {contact}\r\nAuthorization: {}\r\n", authorization.unwrap_or(&bearer));
        let address = format!("sip:{}@contoso.localhost", held.user.sip_user());
        self.ask_register(browser, "sip:contoso.localhost", &address, &text)
    }

    /// Sends a REGISTER of any kind, and returns the answer to it.
    pub(crate) fn ask_register(&mut self, browser: usize, uri: &str, address: &str, fields: &str) -> Message {
        let held = &mut self.browsers[browser];
        held.sequence += 1;
        let sequence = held.sequence;
        let text = format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/WSS b{browser}.invalid;branch=z9hG4bKr{sequence}\r\n\
             From: <{address}>;tag=r{browser}\r\nTo: <{address}>\r\nCall-ID: register-{browser}\r\n\
             CSeq: {sequence} REGISTER\r\nMax-Forwards: 70\r\n{fields}Content-Length: 0\r\n\r\n"
        );
        let before = held.end.received.len();
        self.inject(browser, Bytes::from(text));
        let received = &self.browsers[browser].end.received;
        let reply = received[before..].iter().find(|reply| reply.cseq().unwrap().method == Method::Register);
        reply.cloned().expect("no answer to REGISTER")
    }

    /// Sends bytes over a browser's connection.
    pub(crate) fn inject(&mut self, browser: usize, bytes: Bytes) {
        let flow = self.browsers[browser].flow;
        let input = user_agent::Input::Received { flow, bytes };
        self.b2bua.handle_input(self.now, Input::Sip(input));
        self.settle();
    }

    /// Breaks a browser's connection.
    pub(crate) fn cut(&mut self, browser: usize) {
        let Flow { transport, remote, connection, .. } = self.browsers[browser].flow;
        let input = user_agent::Input::TransportFailed { transport, remote, connection, quoted: None };
        self.b2bua.handle_input(self.now, Input::Sip(input));
        self.settle();
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let ends = self.browsers.iter().map(|browser| browser.end.ua.poll_timeout().map(|(at, _)| at));
            let carrier = self.carrier.ua.poll_timeout().map(|(at, _)| at);
            let next = ends.chain([carrier, self.b2bua.poll_timeout().map(|(at, _)| at)]).flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            self.b2bua.handle_timeout(self.now);
            self.carrier.ua.handle_timeout(self.now);
            for browser in &mut self.browsers {
                browser.end.ua.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Carries messages until there is nothing left to say.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut busy = false;
            while let Some(output) = self.b2bua.poll_output() {
                busy = true;
                self.act(output);
            }
            let carrier_flow = self.carrier_flow();
            for bytes in self.carrier.drain(self.now) {
                busy = true;
                let input = user_agent::Input::Received { flow: carrier_flow, bytes };
                self.b2bua.handle_input(self.now, Input::Sip(input));
            }
            for n in 0..self.browsers.len() {
                let flow = self.browsers[n].flow;
                for bytes in self.browsers[n].end.drain(self.now) {
                    busy = true;
                    let input = user_agent::Input::Received { flow, bytes };
                    self.b2bua.handle_input(self.now, Input::Sip(input));
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn carrier_flow(&self) -> Flow {
        let (local, remote) =
            (format!("{HERE}:5060").parse().unwrap(), format!("{CARRIER}:5060").parse().unwrap());
        Flow { transport: Transport::Udp, local, remote, connection: None }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Transmit(transmit) => {
                let Target { transport, connection, remote, .. } = transmit.target;
                if transport == Transport::Wss {
                    let found = self.browsers.iter_mut().find(|it| it.flow.connection == connection);
                    if let Some(browser) = found {
                        let flow = reversed(browser.flow);
                        browser.end.receive(self.now, flow, transmit.bytes);
                    }
                } else {
                    assert_eq!(remote.ip().to_string(), CARRIER);
                    let flow = reversed(self.carrier_flow());
                    self.carrier.receive(self.now, flow, transmit.bytes);
                }
            }
            Output::Resolve { query, .. } => {
                let targets = Err(ResolveError::NotFound);
                let input = user_agent::Input::Resolved { query, targets };
                self.b2bua.handle_input(self.now, Input::Sip(input));
            }
            Output::Authenticate { id, question } if self.answers => {
                let finding = self.find(&question);
                self.b2bua.handle_input(self.now, Input::Authenticated { id, finding });
            }
            Output::Authenticate { id, .. } => self.asked.push(id),
            Output::OpenBridge(_) => self.bridges += 1,
            Output::UpdateBridge { command, .. } => self.commands.push(command),
            Output::CloseBridge { bridge } => {
                let event = BridgeEvent::Closed(BridgeStats::default());
                self.b2bua.handle_input(self.now, Input::Bridge { bridge, event });
            }
            Output::Event(event) => self.events.push(event),
        }
    }

    fn find(&self, question: &Question) -> Finding {
        match question {
            Question::Token(token) => self.tokens.get(token).cloned().unwrap_or(Finding::Invalid),
            Question::Secrets(user) => {
                let good = self.tokens.iter().filter_map(|(token, finding)| match finding {
                    Finding::Good(granted) if granted.user == *user => {
                        let secret = Secret::of(user.as_str(), trunkline_call::REALM, token);
                        Some((secret, granted.clone()))
                    }
                    _ => None,
                });
                Finding::Secrets(good.collect())
            }
        }
    }

    /// A browser calls, as whom it says.
    pub(crate) fn call(&mut self, browser: usize, target: &str, from: &str, headers: Headers) -> SessionId {
        let held = &mut self.browsers[browser];
        let params = InviteParams {
            destination: Destination::Target(Target::from(reversed(held.flow))),
            uri: target.to_owned(),
            from: from.to_owned(),
            to: format!("<{target}>"),
            contact_user: Some(format!("u{browser}")),
            call_id: None,
            max_forwards: 69,
            routes: Vec::new(),
            headers,
            offer: Some(sdp(&format!("browser-{browser}"))),
            profile: quiet(),
        };
        let session = held.end.ua.invite(self.now, params).unwrap();
        self.settle();
        session
    }

    /// The carrier calls [`DID`].
    pub(crate) fn dial_in(&mut self) -> SessionId {
        let remote = format!("{HERE}:5060").parse().unwrap();
        let params = InviteParams {
            destination: Destination::Target(Target::new(Transport::Udp, remote)),
            uri: format!("sip:{DID}@{HERE}"),
            from: format!("\"Bo\" <sip:{OUTSIDE}@{CARRIER}>"),
            to: format!("<sip:{DID}@{HERE}>"),
            contact_user: None,
            call_id: None,
            max_forwards: 70,
            routes: Vec::new(),
            headers: Headers::new(),
            offer: Some(sdp("carrier")),
            profile: quiet(),
        };
        let session = self.carrier.ua.invite(self.now, params).unwrap();
        self.settle();
        session
    }

    pub(crate) fn end(&mut self, browser: usize) -> &mut End {
        &mut self.browsers[browser].end
    }

    /// Answers a call at a browser.
    pub(crate) fn answer(&mut self, browser: usize, session: SessionId) {
        let answer = sdp(&format!("browser-{browser}"));
        let now = self.now;
        self.end(browser).ua.accept(now, session, Headers::new(), Some(answer)).unwrap();
        self.settle();
    }

    /// Has a phone say that it rings.
    pub(crate) fn alert(&mut self, browser: usize, session: SessionId) {
        let now = self.now;
        self.end(browser).ua.progress(now, session, Reply::new(180)).unwrap();
        self.settle();
    }

    pub(crate) fn records(&self) -> Vec<&CallRecord> {
        let ended = self.events.iter().filter_map(|event| match event {
            CallEvent::Ended { record } => Some(&**record),
            _ => None,
        });
        ended.collect()
    }

    /// Whether nothing is left of any call.
    pub(crate) fn is_at_rest(&self) -> bool {
        let counts = self.b2bua.counts();
        (counts.calls, counts.legs, counts.bridges, counts.ports) == (0, 0, 0, 0)
    }
}

impl End {
    fn new(listener: Listener, seed: u64, now: Instant) -> Self {
        let config = user_agent::Config {
            listeners: vec![listener],
            methods: vec![Method::Message, Method::Info, Method::Refer, Method::Notify],
            profile: quiet(),
            ..user_agent::Config::default()
        };
        Self { ua: UserAgent::new(config, seed, now), events: VecDeque::new(), received: Vec::new() }
    }

    fn receive(&mut self, now: Instant, flow: Flow, bytes: Bytes) {
        self.received.push(Message::parse(bytes.clone()).expect("a message"));
        self.ua.handle_input(now, user_agent::Input::Received { flow, bytes });
    }

    fn drain(&mut self, _now: Instant) -> Vec<Bytes> {
        let mut sent = Vec::new();
        while let Some(output) = self.ua.poll_output() {
            match output {
                user_agent::Output::Transmit(transmit) => sent.push(transmit.bytes),
                user_agent::Output::Event(event) => self.events.push_back(event),
                user_agent::Output::Resolve { host, .. } => panic!("{host} is looked up"),
            }
        }
        sent
    }

    /// Returns the newest call that came, and its INVITE.
    pub(crate) fn incoming(&mut self) -> Option<(SessionId, Message)> {
        let at = self.events.iter().position(|event| matches!(event, Event::Incoming { .. }))?;
        match self.events.remove(at) {
            Some(Event::Incoming { session, request, .. }) => Some((session, request)),
            _ => None,
        }
    }

    /// Returns the request that came of a method the owner answers.
    pub(crate) fn request(&mut self) -> Option<(RequestId, Message)> {
        let at = self.events.iter().position(|event| matches!(event, Event::Request { .. }))?;
        match self.events.remove(at) {
            Some(Event::Request { request, message, .. }) => Some((request, message)),
            _ => None,
        }
    }

    /// Returns the statuses of the responses to a method, in order.
    pub(crate) fn statuses(&self, method: &Method) -> Vec<u16> {
        let of = |message: &Message| {
            let status = message.status()?;
            (message.cseq().ok()?.method == *method).then_some(status)
        };
        self.received.iter().filter_map(of).collect()
    }

    /// Returns the last 200 to an INVITE that came.
    pub(crate) fn last_ok(&self) -> &Message {
        let is_ok = |message: &&Message| {
            message.status() == Some(200) && message.cseq().unwrap().method == Method::Invite
        };
        self.received.iter().rev().find(is_ok).expect("no 200 came")
    }

    /// Returns the requests that came of a method.
    pub(crate) fn requests(&self, method: &Method) -> Vec<&Message> {
        self.received.iter().filter(|message| message.method() == Some(method)).collect()
    }
}

/// A description that the media layer of a trunk takes, marked by whose it is.
pub(crate) fn sdp(whose: &str) -> Bytes {
    Bytes::from(format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns={whose}\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    ))
}

fn quiet() -> Profile {
    Profile {
        reliability: Reliability::Off,
        session_timer: SessionTimerPolicy { expires: Duration::ZERO, min: Duration::from_secs(90) },
        ..Profile::default()
    }
}

fn reversed(flow: Flow) -> Flow {
    Flow { local: flow.remote, remote: flow.local, ..flow }
}

/// Returns the values of a header of a message.
pub(crate) fn values(message: &Message, name: Name) -> Vec<String> {
    message.headers(name).map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}
