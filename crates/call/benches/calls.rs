//! What whole calls cost inside the B2BUA: INVITE, 180, 200, ACK, BYE, 200 on both legs, in memory.
//!
//! Only the time inside the B2BUA is counted; the ends are replayed as text. One JSON object a line. The floor is
//! parsing the same messages and nothing else.

use bytes::Bytes;
use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_call::{
    B2bua, BridgeEvent, BridgeStats, CallEvent, Config, Input, Limits, MediaInterface, Output, RoutingTable,
    UnknownSources,
};
use trunkline_model::clock::first_instant;
use trunkline_model::{
    DidRoute, Gateway, Host, MediaPolicy, NodeId, Reliability, SessionTimerPolicy, Transport, Trunk, TrunkId,
    TrunkMatch,
};
use trunkline_sip::header::Name;
use trunkline_sip::message::{Message, response_to};
use trunkline_sip::method::Method;
use trunkline_sip::transport::{Advertised, Flow, Listener};
use trunkline_sip::user_agent;

const CALLS: u32 = 20_000;
const ROUNDS: usize = 3;
const CALLER: &str = "192.0.2.10:5060";
const CALLEE: &str = "198.51.100.1:5060";
const HERE: &str = "203.0.113.1:5060";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

fn main() {
    let mut best = f64::MAX;
    let mut floor = f64::MAX;
    for _ in 0..ROUNDS {
        let mut run = Run::new();
        for n in 0..CALLS {
            run.call(n);
        }
        assert_eq!(run.ended, CALLS);
        best = best.min(run.spent.as_secs_f64() / f64::from(CALLS));
        floor = floor.min(run.parsing.as_secs_f64() / f64::from(CALLS));
    }
    let (ours, floor) = (1.0 / best, 1.0 / floor);
    println!(
        r#"{{"bench":"b2bua-calls","metric":"calls_per_s","ours":{ours:.0},"unit":"calls/s","peer":"parse-only","peer_value":{floor:.0},"ratio":{:.4}}}"#,
        ours / floor
    );
}

struct Run {
    b2bua: B2bua,
    now: Instant,
    spent: Duration,
    parsing: Duration,
    ended: u32,
    sent: Vec<Message>,
}

impl Run {
    fn new() -> Self {
        let now = first_instant();
        let here: SocketAddr = HERE.parse().unwrap();
        let config = Config {
            node: NodeId(0),
            shard: 0,
            user_agent: user_agent::Config {
                listeners: vec![Listener {
                    transport: Transport::Udp,
                    local: here,
                    advertised: Advertised::of(here),
                }],
                ..user_agent::Config::default()
            },
            media: vec![MediaInterface { bind: here.ip(), advertised: here.ip() }],
            ports: 20_000..=29_999,
            limits: Limits::default(),
            unknown_sources: UnknownSources::Forbid,
            anchor: (now, 0),
        };
        let b2bua = B2bua::new(config, table(), 7, now).unwrap();
        Self { b2bua, now, spent: Duration::ZERO, parsing: Duration::ZERO, ended: 0, sent: Vec::new() }
    }

    fn call(&mut self, n: u32) {
        // A thousand calls a second: transactions of the last half minute are all there.
        self.now += Duration::from_millis(1);
        self.time(|run| {
            while run.b2bua.poll_timeout().is_some_and(|(at, _)| at <= run.now) {
                run.b2bua.handle_timeout(run.now);
            }
        });
        self.receive(CALLER, invite(n));
        let invite = self.take(|message| message.method() == Some(&Method::Invite));
        for (status, body) in [(100, ""), (180, ""), (200, SDP)] {
            self.receive(CALLEE, response(&invite, status, body));
        }
        let ok = self.take(|message| message.status() == Some(200));
        self.receive(CALLER, in_dialog(n, &ok, "ACK", 1));
        self.receive(CALLER, in_dialog(n, &ok, "BYE", 2));
        let bye = self.take(|message| message.method() == Some(&Method::Bye));
        self.receive(CALLEE, response(&bye, 200, ""));
        self.sent.clear();
    }

    fn receive(&mut self, from: &str, bytes: Bytes) {
        let began = first_instant();
        black_box(Message::parse(bytes.clone()).unwrap());
        self.parsing += first_instant() - began;
        let flow = Flow {
            transport: Transport::Udp,
            local: HERE.parse().unwrap(),
            remote: from.parse().unwrap(),
            connection: None,
        };
        let input = Input::Sip(user_agent::Input::Received { flow, bytes });
        let now = self.now;
        self.time(|run| run.b2bua.handle_input(now, input));
    }

    /// Does something in the B2BUA on the clock, and drains it.
    fn time(&mut self, act: impl FnOnce(&mut Self)) {
        let began = first_instant();
        act(self);
        let mut outputs = Vec::new();
        while let Some(output) = self.b2bua.poll_output() {
            outputs.push(output);
        }
        self.spent += first_instant() - began;
        for output in outputs {
            self.act(output);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Transmit(transmit) => self.sent.push(Message::parse(transmit.bytes).unwrap()),
            Output::CloseBridge { bridge } => {
                let began = first_instant();
                let event = BridgeEvent::Closed(BridgeStats::default());
                self.b2bua.handle_input(self.now, Input::Bridge { bridge, event });
                while let Some(output) = self.b2bua.poll_output() {
                    self.ended += u32::from(matches!(output, Output::Event(CallEvent::Ended { .. })));
                }
                self.spent += first_instant() - began;
            }
            Output::Resolve { .. }
            | Output::Authenticate { .. }
            | Output::OpenBridge(_)
            | Output::UpdateBridge { .. }
            | Output::Event(_) => {}
        }
    }

    fn take(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        self.sent.iter().find(|message| wanted(message)).cloned().expect("the message was sent")
    }
}

fn invite(n: u32) -> Bytes {
    let mut text = format!(
        "INVITE sip:+14255550100@203.0.113.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK{n:08x}i;rport\r\nMax-Forwards: 70\r\n\
         From: \"Ann\" <sip:+12065550111@192.0.2.10>;tag=t{n:08x}\r\nTo: <sip:+14255550100@203.0.113.1>\r\n\
         Call-ID: c{n:08x}@192.0.2.10\r\nCSeq: 1 INVITE\r\nContact: <sip:192.0.2.10:5060>\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\nSupported: timer, 100rel\r\n\
         User-Agent: bench\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
        SDP.len()
    );
    text.push_str(SDP);
    text.into()
}

fn in_dialog(n: u32, ok: &Message, method: &str, cseq: u32) -> Bytes {
    let contact = ok.addresses(Name::Contact).next().unwrap().unwrap().uri_text().to_owned();
    let mut text = String::new();
    let to = ok.header(Name::To).unwrap();
    write!(
        text,
        "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{n:08x}{cseq}{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Ann\" <sip:+12065550111@192.0.2.10>;tag=t{n:08x}\r\nTo: {to}\r\n\
         Call-ID: c{n:08x}@192.0.2.10\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    text.into()
}

fn response(request: &Message, status: u16, body: &str) -> Bytes {
    let builder =
        response_to(request, status, "X", Some("callee")).header(Name::Contact, "<sip:198.51.100.1:5060>");
    let builder = if body.is_empty() { builder } else { builder.body("application/sdp", body.to_owned()) };
    builder.finish().unwrap().bytes().clone()
}

fn table() -> Arc<RoutingTable> {
    let trunk = |name: &str, net: &str, gateways: Vec<Gateway>| Trunk {
        id: TrunkId::parse(name).unwrap(),
        inbound: TrunkMatch { sources: vec![net.parse().unwrap()], transports: vec![] },
        gateways,
        calls_max: None,
        calls_per_sec_max: None,
        advertised: None,
        advertised_port: None,
        domain: None,
        media: MediaPolicy::default(),
        failover_statuses: [].into(),
        health: None,
        reliability: Reliability::Supported,
        session_timer: SessionTimerPolicy::default(),
        ring_max: Duration::from_secs(60),
        trusted_identity: false,
        follow_source: true,
    };
    let gateway = Gateway {
        host: Host::Ip("198.51.100.1".parse().unwrap()),
        port: Some(5060),
        transport: Transport::Udp,
        priority: 1,
        weight: 1,
    };
    let trunks = vec![trunk("east", "192.0.2.0/24", vec![]), trunk("west", "198.51.100.0/24", vec![gateway])];
    let did = DidRoute {
        did: "+14255550100".parse().unwrap(),
        trunks: vec![TrunkId::parse("west").unwrap()],
        dial: None,
    };
    Arc::new(RoutingTable::new(trunks, vec![did], vec![]).unwrap())
}
