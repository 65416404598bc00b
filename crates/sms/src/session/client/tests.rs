use super::*;
use crate::frame::{Framer, PDU_OCTETS_MAX};
use crate::pdu::{self, Address, BindKind, Pdu};
use trunkline_model::clock::first_instant;

const SECOND: Duration = Duration::from_secs(1);

fn bind(kind: BindKind) -> Bind {
    Bind {
        kind,
        system_id: "trunkline".into(),
        password: "secret".into(),
        system_type: String::new(),
        version: 0x34,
        range: Address::default(),
    }
}

/// A session and the carrier's end of its connection.
struct World {
    now: Instant,
    client: Client<u32>,
    framer: Framer,
    events: Vec<Event<u32>>,
    requests: VecDeque<Pdu>,
    responses: Vec<Pdu>,
    connects: u32,
    closes: u32,
}

impl World {
    fn new(config: ClientConfig) -> Self {
        let now = first_instant();
        let mut world = Self {
            now,
            client: Client::new(config, 7, now),
            framer: Framer::new(PDU_OCTETS_MAX),
            events: Vec::new(),
            requests: VecDeque::new(),
            responses: Vec::new(),
            connects: 0,
            closes: 0,
        };
        world.drain();
        world
    }

    /// A session that is bound with a window of three.
    fn bound() -> Self {
        let config = ClientConfig { window: 3, ..ClientConfig::new(bind(BindKind::Transceiver)) };
        let mut world = Self::new(config);
        world.connect_and_bind();
        world
    }

    fn connect_and_bind(&mut self) {
        self.client.handle_connected(self.now);
        self.drain();
        let request = self.requests.pop_front().unwrap();
        assert!(matches!(request.body, Body::Bind(_)));
        let body =
            Body::BindResp { kind: BindKind::Transceiver, system_id: "smsc".into(), version: Some(0x34) };
        self.respond(&request, CommandStatus::OK, body);
        assert!(self.client.is_bound());
        self.events.clear();
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Connect => self.connects += 1,
                Output::Close => {
                    self.closes += 1;
                    self.framer = Framer::new(PDU_OCTETS_MAX);
                }
                Output::Event(event) => self.events.push(event),
                Output::Transmit(octets) => {
                    self.framer.push(&octets);
                    while let Some(frame) = self.framer.poll_frame().unwrap() {
                        let pdu = pdu::decode(&frame).unwrap();
                        if pdu.body.is_response() {
                            self.responses.push(pdu);
                        } else {
                            self.requests.push_back(pdu);
                        }
                    }
                }
            }
        }
    }

    fn say(&mut self, status: CommandStatus, sequence: u32, body: Body) {
        let octets = pdu::encode(&Pdu { status, sequence, body }).unwrap();
        self.client.handle_received(self.now, &octets);
        self.drain();
    }

    fn respond(&mut self, request: &Pdu, status: CommandStatus, body: Body) {
        self.say(status, request.sequence, body);
    }

    fn submit(&mut self, token: u32) -> bool {
        let message = ShortMessage {
            destination: Address { ton: 1, npi: 1, address: format!("1206555{token:04}") },
            ..ShortMessage::default()
        };
        let taken = self.client.submit(self.now, token, message).is_ok();
        self.drain();
        taken
    }

    /// The last four digits of each submit_sm's destination, as the carrier saw them; takes the requests out.
    fn submits(&mut self) -> Vec<(Pdu, u32)> {
        let submits = self.requests.drain(..).filter_map(|pdu| match &pdu.body {
            Body::Submit(message) => {
                let token = message.destination.address[7..].parse().unwrap();
                Some((pdu, token))
            }
            _ => None,
        });
        submits.collect()
    }

    fn tokens(&mut self) -> Vec<u32> {
        self.submits().into_iter().map(|(_, token)| token).collect()
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.client.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }
}

fn submit_resp(id: &str) -> Body {
    Body::SubmitResp { id: Some(id.into()) }
}

#[test]
fn the_window_is_kept_and_answers_match_in_any_order() {
    let mut world = World::bound();
    assert!((1..=3).all(|token| world.submit(token)));
    assert!(!world.submit(4));
    let sent = world.submits();
    world.respond(&sent[2].0, CommandStatus::OK, submit_resp("c"));
    world.respond(&sent[0].0, CommandStatus::INVALID_DESTINATION, Body::SubmitResp { id: None });
    assert_eq!(
        world.events,
        [
            Event::Accepted { token: 3, id: Some("c".into()) },
            Event::Refused { token: 1, status: CommandStatus::INVALID_DESTINATION, class: Class::Final },
        ]
    );
    assert_eq!(world.client.room(), 2);
}

#[test]
fn a_throttled_message_keeps_its_place() {
    let mut world = World::bound();
    assert!((1..=3).all(|token| world.submit(token)));
    let sent = world.submits();
    world.respond(&sent[1].0, CommandStatus::THROTTLED, Body::SubmitResp { id: None });
    world.respond(&sent[0].0, CommandStatus::THROTTLED, Body::SubmitResp { id: None });
    world.respond(&sent[2].0, CommandStatus::OK, submit_resp("c"));
    assert_eq!(world.client.room(), 0);
    world.run_for(SECOND / 2);
    assert!(world.tokens().is_empty());
    world.run_for(SECOND / 2);
    assert_eq!(world.tokens(), [1, 2]);
    assert_eq!(
        world.events,
        [
            Event::Paused { until: world.now },
            Event::Accepted { token: 3, id: Some("c".into()) },
            Event::Resumed
        ]
    );
}

#[test]
fn throttling_again_and_again_doubles_the_pause_up_to_a_minute() {
    let mut world = World::bound();
    assert!(world.submit(1));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let sent = world.submits();
        world.respond(&sent[0].0, CommandStatus::THROTTLED, Body::SubmitResp { id: None });
        let Some(Event::Paused { until }) = world.events.pop() else { panic!("{:?}", world.events) };
        pauses.push((until - world.now).as_secs());
        // The carrier keeps the line alive meanwhile.
        while world.now < until {
            world.say(CommandStatus::OK, 1, Body::EnquireLink);
            world.run_for(SECOND);
        }
        world.events.clear();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    let sent = world.submits();
    world.respond(&sent[0].0, CommandStatus::OK, submit_resp("a"));
    assert!(world.submit(2));
    let sent = world.submits();
    world.respond(&sent[0].0, CommandStatus::THROTTLED, Body::SubmitResp { id: None });
    assert!(world.events.contains(&Event::Paused { until: world.now + SECOND }));
}

#[test]
fn a_full_queue_backs_off_the_destination_alone() {
    let mut world = World::bound();
    assert!(world.submit(1));
    let sent = world.submits();
    world.respond(&sent[0].0, CommandStatus::MESSAGE_QUEUE_FULL, Body::SubmitResp { id: None });
    assert_eq!(
        world.events,
        [Event::Refused { token: 1, status: CommandStatus::MESSAGE_QUEUE_FULL, class: Class::Destination }]
    );
    assert_eq!(world.client.room(), 3);
}

#[test]
fn what_was_on_its_way_at_a_disconnect_comes_back_in_doubt_and_in_order() {
    let mut world = World::bound();
    assert!((1..=3).all(|token| world.submit(token)));
    let sent = world.submits();
    world.respond(&sent[1].0, CommandStatus::THROTTLED, Body::SubmitResp { id: None });
    world.events.clear();
    world.client.handle_closed(world.now);
    world.drain();
    let Some(Event::Down { end: End::Closed, retry_at: Some(retry_at) }) = world.events.pop() else {
        panic!()
    };
    assert_eq!(
        world.events,
        [
            Event::Returned { token: 1, in_doubt: true },
            Event::Returned { token: 3, in_doubt: true },
            Event::Returned { token: 2, in_doubt: false },
        ]
    );
    assert!(retry_at > world.now && retry_at <= world.now + SECOND);
    assert!(!world.submit(4));
    world.run_for(SECOND);
    assert_eq!(world.connects, 2);
    world.connect_and_bind();
    assert!(world.submit(4));
}

#[test]
fn an_unanswered_message_is_reported_and_its_late_answer_counted() {
    let mut world = World::bound();
    assert!(world.submit(1));
    let sent = world.submits();
    world.run_for(10 * SECOND);
    assert_eq!(world.events, [Event::Unanswered { token: 1 }]);
    world.respond(&sent[0].0, CommandStatus::OK, submit_resp("a"));
    assert_eq!(world.events.len(), 1);
    assert_eq!(world.client.counters().unknown_responses, 1);
}

#[test]
fn a_carrier_that_answers_nothing_is_left() {
    let mut world = World::bound();
    assert!((1..=3).all(|token| world.submit(token)));
    world.run_for(10 * SECOND);
    assert_eq!(world.events[..3], [1, 2, 3].map(|token| Event::Unanswered { token }));
    assert!(matches!(world.events[3], Event::Down { end: End::Unresponsive, .. }));
    assert_eq!(world.closes, 1);
}

#[test]
fn enquire_link_keeps_an_idle_session_and_ends_a_dead_one() {
    let mut world = World::bound();
    world.run_for(30 * SECOND);
    let enquiry = world.requests.pop_front().unwrap();
    assert_eq!(enquiry.body, Body::EnquireLink);
    world.respond(&enquiry, CommandStatus::OK, Body::EnquireLinkResp);
    world.run_for(41 * SECOND);
    assert!(matches!(world.events[..], [Event::Down { end: End::Unresponsive, .. }]));
    // A peer that does not know enquire_link is left after two minutes of silence.
    let timers = Timers { enquire_link: None, ..Timers::default() };
    let mut mute = World::new(ClientConfig { timers, ..ClientConfig::new(bind(BindKind::Transmitter)) });
    mute.connect_and_bind();
    mute.run_for(119 * SECOND);
    assert!(mute.events.is_empty() && mute.requests.is_empty());
    mute.run_for(2 * SECOND);
    assert!(matches!(mute.events[..], [Event::Down { end: End::Inactive, .. }]));
}

#[test]
fn a_refused_account_is_tried_again_slowly_and_a_busy_carrier_soon() {
    for (status, at_least, at_most) in
        [(CommandStatus::INVALID_PASSWORD, 300, 300), (CommandStatus::SYSTEM_ERROR, 0, 1)]
    {
        let mut world = World::new(ClientConfig::new(bind(BindKind::Transceiver)));
        world.client.handle_connected(world.now);
        world.drain();
        let request = world.requests.pop_front().unwrap();
        let body = Body::BindResp { kind: BindKind::Transceiver, system_id: String::new(), version: None };
        world.respond(&request, status, body);
        let [Event::Down { end, retry_at: Some(retry_at) }] = world.events[..] else { panic!() };
        assert_eq!(end, End::BindRefused(status));
        assert!((at_least..=at_most).contains(&(retry_at - world.now).as_secs()), "{status}");
    }
}

#[test]
fn texts_wait_for_the_owner_before_they_are_acknowledged() {
    let mut world = World::bound();
    world.say(CommandStatus::OK, 77, Body::Deliver(ShortMessage::default()));
    world.say(CommandStatus::OK, 78, Body::Data(ShortMessage::default()));
    let [Event::Deliver { ack: first, .. }, Event::Deliver { ack: second, .. }] = world.events[..] else {
        panic!()
    };
    assert!(world.responses.is_empty());
    world.client.acknowledge(second, CommandStatus::OK);
    world.client.acknowledge(first, CommandStatus::SYSTEM_ERROR);
    world.client.acknowledge(first, CommandStatus::OK);
    world.drain();
    let got: Vec<_> =
        world.responses.iter().map(|pdu| (pdu.sequence, pdu.status, pdu.body.clone())).collect();
    assert_eq!(
        got,
        [
            (78, CommandStatus::OK, Body::DataResp { id: None }),
            (77, CommandStatus::SYSTEM_ERROR, Body::DeliverResp)
        ]
    );
    // A token of a session that is over answers nothing on the next.
    world.say(CommandStatus::OK, 79, Body::Deliver(ShortMessage::default()));
    let Some(Event::Deliver { ack, .. }) = world.events.pop() else { panic!() };
    world.client.handle_closed(world.now);
    world.run_for(SECOND);
    world.connect_and_bind();
    world.responses.clear();
    world.client.acknowledge(ack, CommandStatus::OK);
    world.drain();
    assert!(world.responses.is_empty());
}

#[test]
fn more_texts_than_the_window_are_pushed_back() {
    let config = ClientConfig { deliver_window: 2, ..ClientConfig::new(bind(BindKind::Receiver)) };
    let mut world = World::new(config);
    world.connect_and_bind();
    for sequence in 1..=3 {
        world.say(CommandStatus::OK, sequence, Body::Deliver(ShortMessage::default()));
    }
    assert_eq!(world.events.len(), 2);
    assert_eq!(world.responses.last().unwrap().status, CommandStatus::MESSAGE_QUEUE_FULL);
    assert!(!world.submit(1));
}

#[test]
fn stopping_waits_for_answers_and_unbinds() {
    let mut world = World::bound();
    assert!(world.submit(1));
    let sent = world.submits();
    world.client.stop(world.now);
    world.drain();
    assert!(world.requests.is_empty());
    assert!(!world.submit(2));
    world.respond(&sent[0].0, CommandStatus::OK, submit_resp("a"));
    let unbind = world.requests.pop_front().unwrap();
    assert_eq!(unbind.body, Body::Unbind);
    world.respond(&unbind, CommandStatus::OK, Body::UnbindResp);
    assert!(matches!(
        world.events[..],
        [Event::Accepted { token: 1, .. }, Event::Down { end: End::Unbound, retry_at: None }]
    ));
    assert_eq!((world.closes, world.client.poll_timeout()), (1, None));
}

#[test]
fn a_pdu_of_impossible_length_ends_the_connection_with_a_nack() {
    let mut world = World::bound();
    world.client.handle_received(world.now, &[0, 0, 0, 15, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9]);
    world.drain();
    let nack = world.responses.pop().unwrap();
    assert_eq!((nack.sequence, nack.status), (9, CommandStatus::INVALID_COMMAND_LENGTH));
    assert_eq!(nack.body, Body::GenericNack);
    assert!(matches!(world.events[..], [Event::Down { end: End::BadLength, .. }]));
}

#[test]
fn a_lost_bind_is_made_anew_and_the_message_returned() {
    let mut world = World::bound();
    assert!((1..=2).all(|token| world.submit(token)));
    let sent = world.submits();
    // Both answers come in one read: the second is heard though the first ended the session.
    let mut octets = Vec::new();
    for (pdu, status) in [(&sent[0].0, CommandStatus::INVALID_BIND_STATUS), (&sent[1].0, CommandStatus::OK)] {
        let pdu = Pdu { status, sequence: pdu.sequence, body: submit_resp("a") };
        octets.extend_from_slice(&pdu::encode(&pdu).unwrap());
    }
    world.client.handle_received(world.now, &octets);
    world.drain();
    assert!(matches!(
        world.events[..],
        [
            Event::Returned { token: 1, in_doubt: false },
            Event::Down { end: End::BindLost, .. },
            Event::Accepted { token: 2, .. }
        ]
    ));
}

mod model;
