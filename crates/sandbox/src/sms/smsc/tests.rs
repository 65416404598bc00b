use super::*;
use crate::sms::ledger::Outcome;
use trunkline_model::E164;
use trunkline_model::clock::first_instant;
use trunkline_sms::inbound::Inbound;
use trunkline_sms::party::Sender;
use trunkline_sms::pdu::{Bind, BindKind};
use trunkline_sms::receipt::{CarrierId, State};
use trunkline_sms::session::client::{self, Client, ClientConfig};
use trunkline_sms::session::submit::{Envelope, SubmitProfile};
use trunkline_sms::status::CommandStatus;
use trunkline_sms::text::{Decoded, DefaultAlphabet};

/// The message centre and a gateway's session at it.
struct World {
    now: Instant,
    smsc: Smsc,
    client: Client<&'static str>,
    connection: ConnectionId,
    connected: bool,
    events: Vec<client::Event<&'static str>>,
    inbound: Vec<Inbound<()>>,
}

impl World {
    fn new() -> Self {
        let now = first_instant();
        let config = SmscConfig {
            system_id: "trunkline".into(),
            password: "sandbox".into(),
            kept_max: 100,
            anchor: (now, 1_795_433_160),
        };
        let bind = Bind {
            kind: BindKind::Transceiver,
            system_id: "trunkline".into(),
            password: "sandbox".into(),
            system_type: String::new(),
            version: 0x34,
            range: Address::default(),
        };
        let mut world = Self {
            now,
            smsc: Smsc::new(config, 7),
            client: Client::new(ClientConfig::new(bind), 7, now),
            connection: ConnectionId(0),
            connected: false,
            events: Vec::new(),
            inbound: Vec::new(),
        };
        world.drain();
        assert_eq!(world.smsc.bound(), 1);
        world
    }

    fn drain(&mut self) {
        loop {
            if let Some(output) = self.client.poll_output() {
                self.client_wants(output);
            } else if let Some(output) = self.smsc.poll_output() {
                match output {
                    Output::Transmit(connection, octets) if connection == self.connection => {
                        self.client.handle_received(self.now, &octets);
                    }
                    Output::Close(connection) if connection == self.connection && self.connected => {
                        self.connected = false;
                        self.client.handle_closed(self.now);
                    }
                    Output::Transmit(..) | Output::Close(_) | Output::Note(..) => {}
                }
            } else {
                return;
            }
        }
    }

    fn client_wants(&mut self, output: client::Output<&'static str>) {
        match output {
            client::Output::Connect => {
                self.connection.0 += 1;
                self.connected = true;
                self.smsc.handle_accepted(self.now, self.connection, [127, 0, 0, 1].into());
                self.client.handle_connected(self.now);
            }
            client::Output::Transmit(octets) if self.connected => {
                self.smsc.handle_received(self.now, self.connection, &octets);
            }
            client::Output::Transmit(_) => {}
            client::Output::Close => {
                self.connected = false;
                self.smsc.handle_closed(self.now, self.connection);
            }
            client::Output::Event(client::Event::Deliver { ack, message }) => {
                self.inbound.push(Inbound::read(message, DefaultAlphabet::Gsm7, ()));
                self.client.acknowledge(ack, CommandStatus::OK);
            }
            client::Output::Event(event) => self.events.push(event),
        }
    }

    fn run_for(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        loop {
            let client = self.client.poll_timeout().map(|(at, _)| at);
            let Some(at) = client.into_iter().chain(self.smsc.poll_timeout()).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.smsc.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn send(&mut self, to: &'static str, text: &str) {
        let split = split(text, &SplitPolicy::default(), 7).unwrap();
        let envelope = Envelope {
            from: Sender::parse("+12065550100").unwrap(),
            to: E164::parse(to).unwrap(),
            validity_left: Duration::from_secs(86_400),
            receipts: true,
        };
        for message in SubmitProfile::default().messages(&envelope, &split) {
            self.client.submit(self.now, to, message).unwrap();
        }
        self.drain();
    }

    fn outcomes(&self) -> Vec<(Outcome, u32)> {
        self.smsc.ledger().since(0).map(|received| (received.outcome, received.status)).collect()
    }

    fn id(&self) -> CarrierId {
        let id = self.events.iter().find_map(|event| match event {
            client::Event::Accepted { id, .. } => id.as_deref(),
            _ => None,
        });
        CarrierId::parse(id.unwrap()).unwrap()
    }

    fn receipts(&self) -> Vec<(CarrierId, State, Option<&str>)> {
        let receipts = self.inbound.iter().filter_map(|inbound| match inbound {
            Inbound::Receipt(receipt) => Some(&receipt.receipt),
            _ => None,
        });
        receipts.map(|receipt| (receipt.id.clone(), receipt.state, receipt.error.as_deref())).collect()
    }

    fn states(&self) -> Vec<State> {
        self.receipts().into_iter().map(|(_, state, _)| state).collect()
    }
}

#[test]
fn a_long_text_is_taken_in_parts_each_with_a_receipt() {
    let mut world = World::new();
    let text = "Seventy segments would be too many. ".repeat(6);
    world.send("+14255550100", &text);
    world.run_for(2);
    let parts: Vec<_> = world.smsc.ledger().since(0).cloned().collect();
    let joined: String = parts.iter().filter_map(|part| part.text.as_deref()).collect();
    assert_eq!((parts.len(), joined), (2, text));
    assert_eq!(world.states(), [State::Delivered; 2]);
    assert_eq!(world.smsc.undelivered(), 0);
}

#[test]
fn failures_come_by_receipt_with_their_code() {
    for (to, state, error) in [
        ("+14255550120", State::Undeliverable, "001"),
        ("+14255550121", State::Expired, "000"),
        ("+14255550122", State::Deleted, "000"),
        ("+14255550123", State::Rejected, "000"),
        ("+14255550124", State::Unknown, "000"),
        ("+14255550165", State::Undeliverable, "015"),
    ] {
        let mut world = World::new();
        world.send(to, "Hello");
        world.run_for(2);
        assert_eq!(world.receipts(), [(world.id(), state, Some(error))], "{to}");
    }
}

#[test]
fn refusals_that_pass_and_those_that_do_not() {
    let status_of = |to: &'static str| {
        let mut world = World::new();
        world.send(to, "Hello");
        world.outcomes()
    };
    for (to, status) in [
        ("+14255550104", 0x58),
        ("+14255550105", 0x14),
        ("+14255550114", 0x08),
        ("+14255550115", 0x64),
        ("+14255550140", 0x0a),
        ("+14255550141", 0x0b),
        ("+14255550142", 0x45),
        ("+14255550143", 0x65),
        ("+14255550144", 0x66),
        ("+14255550145", 0x01),
        ("+14255550146", 0x400),
        ("+14255550147", 0xfe),
        ("+14255550148", 0xff),
    ] {
        assert_eq!(status_of(to), [(Outcome::Refused, status)], "{to}");
    }
    // The session itself keeps a throttled message and tries again.
    let mut world = World::new();
    world.send("+14255550104", "Hello");
    world.run_for(10);
    assert_eq!(world.outcomes().last(), Some(&(Outcome::Accepted, 0)));
    assert_eq!(world.states(), [State::Delivered]);
}

#[test]
fn a_slow_response_a_receipt_before_it_and_none_at_all() {
    let mut world = World::new();
    world.send("+14255550101", "Hello");
    world.run_for(2);
    assert!(world.states().is_empty());
    world.run_for(2);
    assert_eq!(world.receipts(), [(world.id(), State::Delivered, Some("000"))]);

    let mut world = World::new();
    world.send("+14255550106", "Hello");
    assert_eq!(world.states(), [State::Delivered]);
    assert!(!world.events.iter().any(|event| matches!(event, client::Event::Accepted { .. })));
    world.run_for(1);
    assert_eq!(world.receipts()[0].0, world.id());

    let mut world = World::new();
    world.send("+14255550102", "Hello");
    world.run_for(11);
    assert!(world.events.iter().any(|event| matches!(event, client::Event::Unanswered { .. })));

    let mut world = World::new();
    world.send("+14255550109", "Hello");
    world.run_for(60);
    assert!(world.states().is_empty());
}

#[test]
fn ids_are_written_in_two_ways() {
    use trunkline_sms::receipt::Form;
    for (to, form) in [("+14255550107", Form::ResponseHex), ("+14255550108", Form::ResponseDecimal)] {
        let mut world = World::new();
        world.send(to, "Hello");
        world.run_for(1);
        let (id, ..) = &world.receipts()[0];
        assert_ne!(*id, world.id());
        assert_eq!(id.candidate(form), Some(world.id()), "{to}");
    }
}

#[test]
fn the_connection_is_closed_once_and_the_next_attempt_is_taken() {
    let mut world = World::new();
    world.send("+14255550103", "Hello");
    assert!(world.events.iter().any(|e| matches!(e, client::Event::Returned { in_doubt: true, .. })));
    world.run_for(3);
    assert!(world.client.is_bound());
    world.send("+14255550103", "Hello");
    world.run_for(1);
    assert_eq!(world.outcomes(), [(Outcome::Disconnected, 0), (Outcome::Accepted, 0)]);
    assert_eq!(world.states(), [State::Delivered]);
}

#[test]
fn states_repeat_and_receipts_may_be_tlvs_alone() {
    let mut world = World::new();
    world.send("+14255550110", "Hello");
    world.run_for(2);
    assert_eq!(world.states(), [State::Accepted, State::Delivered, State::Delivered]);
    let mut world = World::new();
    world.send("+14255550112", "Hello");
    world.run_for(2);
    assert_eq!(world.states(), [State::Delivered]);
}

#[test]
fn texts_come_in_by_themselves_and_in_answer() {
    let mut world = World::new();
    assert_eq!(world.smsc.text(world.now, "+12065550111", "+14255550100", "STOP"), Ok(1));
    world.drain();
    world.send("+14255550130", "Sale!");
    world.run_for(1);
    let texts = world.inbound.iter().filter_map(|inbound| match inbound {
        Inbound::Text { from, to, content: Decoded::Text { text, .. }, .. } => {
            Some((from.as_str(), to.as_str(), text.as_str()))
        }
        _ => None,
    });
    let texts: Vec<_> = texts.collect();
    assert_eq!(texts, [("12065550111", "14255550100", "STOP"), ("14255550130", "12065550100", "STOP")]);
}

#[test]
fn what_is_not_acknowledged_comes_again_when_someone_is_bound() {
    let mut world = World::new();
    world.smsc.handle_closed(world.now, world.connection);
    world.smsc.text(world.now, "+12065550111", "+14255550100", &"long ".repeat(100)).unwrap();
    assert_eq!(world.smsc.undelivered(), 4);
    world.connected = false;
    world.client.handle_closed(world.now);
    world.run_for(3);
    assert_eq!((world.inbound.len(), world.smsc.undelivered()), (4, 0));
}
