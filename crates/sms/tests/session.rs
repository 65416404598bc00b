//! Both roles talk to each other over a connection that loses, cuts and delays: what the owners see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trunkline_model::E164;
use trunkline_model::clock::first_instant;
use trunkline_sms::party::Sender;
use trunkline_sms::pdu::{Address, Bind, BindKind};
use trunkline_sms::segment::split::{SplitPolicy, split};
use trunkline_sms::session::accounts::Grant;
use trunkline_sms::session::submit::{Envelope, SubmitProfile};
use trunkline_sms::session::{Client, ClientConfig, Server, ServerConfig, client, server};
use trunkline_sms::status::CommandStatus;

const WINDOW: usize = 8;

/// One carrier that takes, throttles or ignores; one session to it; a wire that breaks.
struct World {
    rng: ChaCha8Rng,
    now: Instant,
    client: Client<u32>,
    server: Option<Server<u32>>,
    sessions: u64,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    queue: VecDeque<u32>,
    /// How often the carrier took each message.
    taken: BTreeMap<u32, u32>,
    accepted: BTreeSet<u32>,
    possible_duplicates: BTreeSet<u32>,
    most_in_doubt_at_once: usize,
}

impl World {
    fn new(seed: u64, messages: u32) -> Self {
        let now = first_instant();
        let bind = Bind {
            kind: BindKind::Transceiver,
            system_id: "trunkline".into(),
            password: "secret".into(),
            system_type: String::new(),
            version: 0x34,
            range: Address::default(),
        };
        let config = ClientConfig { window: WINDOW, ..ClientConfig::new(bind) };
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            now,
            client: Client::new(config, seed, now),
            server: None,
            sessions: 0,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            queue: (0..messages).collect(),
            taken: BTreeMap::new(),
            accepted: BTreeSet::new(),
            possible_duplicates: BTreeSet::new(),
            most_in_doubt_at_once: 0,
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.rng.random_range(1..40));
        self.client.handle_timeout(self.now);
        if let Some(server) = &mut self.server {
            server.handle_timeout(self.now);
        }
        self.submit();
        self.carry();
        self.drain_client();
        self.drain_server();
        if self.rng.random_ratio(1, 200) {
            self.cut();
        }
    }

    fn submit(&mut self) {
        while self.client.room() > 0
            && let Some(token) = self.queue.pop_front()
        {
            let envelope = Envelope {
                from: Sender::parse("+14255550100").unwrap(),
                to: E164::parse("+12065550111").unwrap(),
                validity_left: Duration::from_secs(3_600),
                receipts: true,
            };
            let text = split(&token.to_string(), &SplitPolicy::default(), 1).unwrap();
            let mut messages = SubmitProfile::default().messages(&envelope, &text);
            self.client.submit(self.now, token, messages.remove(0)).unwrap();
        }
    }

    /// Moves some octets each way, as TCP does.
    fn carry(&mut self) {
        let count = self.rng.random_range(0..200).min(self.to_server.len());
        let octets: Vec<u8> = self.to_server.drain(..count).collect();
        if let Some(server) = &mut self.server {
            server.handle_received(self.now, &octets);
        }
        let count = self.rng.random_range(0..200).min(self.to_client.len());
        let octets: Vec<u8> = self.to_client.drain(..count).collect();
        self.client.handle_received(self.now, &octets);
    }

    fn cut(&mut self) {
        self.to_server.clear();
        self.to_client.clear();
        if let Some(mut server) = self.server.take() {
            server.handle_closed();
            self.client.handle_closed(self.now);
        }
    }

    fn drain_client(&mut self) {
        let mut in_doubt = 0;
        while let Some(output) = self.client.poll_output() {
            match output {
                client::Output::Connect => {
                    self.sessions += 1;
                    let config = ServerConfig { system_id: "smsc".into(), ..ServerConfig::default() };
                    self.server = Some(Server::new(config, self.sessions, self.now));
                    self.client.handle_connected(self.now);
                }
                client::Output::Transmit(octets) => self.to_server.extend(octets),
                client::Output::Close => self.cut(),
                client::Output::Event(event) => match event {
                    client::Event::Accepted { token, id } => {
                        assert_eq!(id.as_deref(), Some(token.to_string().as_str()));
                        assert!(self.accepted.insert(token), "accepted twice");
                    }
                    client::Event::Refused { token, .. } => self.queue.push_back(token),
                    client::Event::Returned { token, in_doubt: doubt } => {
                        in_doubt += usize::from(doubt);
                        if doubt {
                            self.possible_duplicates.insert(token);
                        }
                        self.queue.push_back(token);
                    }
                    client::Event::Unanswered { token } => {
                        self.possible_duplicates.insert(token);
                        self.queue.push_back(token);
                    }
                    client::Event::Unencodable { .. } | client::Event::Deliver { .. } => panic!("{event:?}"),
                    client::Event::Bound { .. }
                    | client::Event::Down { .. }
                    | client::Event::Paused { .. }
                    | client::Event::Resumed => {}
                },
            }
        }
        self.most_in_doubt_at_once = self.most_in_doubt_at_once.max(in_doubt);
    }

    fn drain_server(&mut self) {
        loop {
            let Some(server) = &mut self.server else { return };
            let Some(output) = server.poll_output() else { return };
            match output {
                server::Output::Transmit(octets) => self.to_client.extend(octets),
                server::Output::Close => self.cut(),
                server::Output::Event(server::Event::BindRequested(bind)) => {
                    assert_eq!(bind.password, "secret");
                    server.decide(self.now, Ok(Grant { window: 100, rate: None, deliver_window: 10 }));
                }
                server::Output::Event(server::Event::Request { ack, request }) => {
                    let server::Request::Submit(message) = request else { panic!("{request:?}") };
                    let token: u32 = std::str::from_utf8(&message.octets).unwrap().parse().unwrap();
                    let reply = match self.rng.random_range(0..20) {
                        0 => server::Reply::Refused(CommandStatus::THROTTLED),
                        1 => server::Reply::Refused(CommandStatus::MESSAGE_QUEUE_FULL),
                        2 => continue,
                        _ => {
                            *self.taken.entry(token).or_default() += 1;
                            server::Reply::Accepted(token.to_string())
                        }
                    };
                    server.reply(ack, reply);
                }
                server::Output::Event(_) => {}
            }
        }
    }
}

#[test]
fn every_message_reaches_the_carrier_and_only_flagged_ones_twice() {
    for seed in 0..20 {
        let messages = 300;
        let mut world = World::new(seed, messages);
        let mut steps = 0;
        while world.accepted.len() < messages as usize {
            world.step();
            steps += 1;
            assert!(steps < 200_000, "seed {seed}: {} accepted", world.accepted.len());
        }
        assert_eq!(world.taken.len(), messages as usize);
        let twice = world.taken.iter().filter(|(_, times)| **times > 1);
        for (token, _) in twice {
            assert!(world.possible_duplicates.contains(token), "seed {seed}: {token} unflagged");
        }
        assert!(world.most_in_doubt_at_once <= WINDOW);
        assert!(world.sessions > 1, "seed {seed}: the wire never broke");
    }
}
