use super::*;
use crate::bucket::Rate;
use crate::frame::{Framer, PDU_OCTETS_MAX};
use crate::pdu::{self, Pdu};
use proptest::prelude::*;
use std::time::Duration;
use trunkline_model::clock::first_instant;

const SECOND: Duration = Duration::from_secs(1);
const GRANT: Grant = Grant { window: 3, rate: None, deliver_window: 2 };

/// A session and the customer's end of its connection.
struct World {
    now: Instant,
    server: Server<u32>,
    framer: Framer,
    heard: VecDeque<Pdu>,
    events: Vec<Event<u32>>,
    closed: bool,
}

impl World {
    fn new() -> Self {
        let now = first_instant();
        let config = ServerConfig { system_id: "trunkline".into(), ..ServerConfig::default() };
        Self {
            now,
            server: Server::new(config, 1, now),
            framer: Framer::new(PDU_OCTETS_MAX),
            heard: VecDeque::new(),
            events: Vec::new(),
            closed: false,
        }
    }

    fn bound(grant: Grant) -> Self {
        let mut world = Self::new();
        world.say(1, bind(BindKind::Transceiver));
        world.server.decide(world.now, Ok(grant));
        world.drain();
        assert!(matches!(world.heard.pop_front().unwrap().body, Body::BindResp { version: Some(0x34), .. }));
        world.events.clear();
        world
    }

    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Close => self.closed = true,
                Output::Event(event) => self.events.push(event),
                Output::Transmit(octets) => {
                    assert!(!self.closed, "written after the end");
                    self.framer.push(&octets);
                    while let Some(frame) = self.framer.poll_frame().unwrap() {
                        self.heard.push_back(pdu::decode(&frame).unwrap());
                    }
                }
            }
        }
    }

    fn say(&mut self, sequence: u32, body: Body) {
        self.answer(sequence, CommandStatus::OK, body);
    }

    fn answer(&mut self, sequence: u32, status: CommandStatus, body: Body) {
        let octets = pdu::encode(&Pdu { status, sequence, body }).unwrap();
        self.server.handle_received(self.now, &octets);
        self.drain();
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.server.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn statuses(&mut self) -> Vec<(u32, CommandStatus)> {
        self.heard.drain(..).map(|pdu| (pdu.sequence, pdu.status)).collect()
    }
}

fn bind(kind: BindKind) -> Body {
    Body::Bind(Bind {
        kind,
        system_id: "esme".into(),
        password: "secret".into(),
        system_type: String::new(),
        version: 0x34,
        range: Address::default(),
    })
}

fn submit() -> Body {
    Body::Submit(ShortMessage::default())
}

#[test]
fn only_who_has_bound_is_heard() {
    let mut world = World::new();
    world.say(1, submit());
    world.say(2, Body::EnquireLink);
    world.say(3, bind(BindKind::Receiver));
    world.say(4, bind(BindKind::Receiver));
    assert_eq!(
        world.statuses(),
        [(1, CommandStatus::INVALID_BIND_STATUS), (2, CommandStatus::OK), (4, CommandStatus::ALREADY_BOUND)]
    );
    world.server.decide(world.now, Ok(GRANT));
    world.drain();
    // A receiver may not submit.
    world.say(5, submit());
    world.say(6, bind(BindKind::Receiver));
    assert_eq!(
        world.statuses(),
        [(3, CommandStatus::OK), (5, CommandStatus::INVALID_BIND_STATUS), (6, CommandStatus::ALREADY_BOUND)]
    );
}

#[test]
fn who_does_not_bind_is_closed_after_five_seconds() {
    let mut world = World::new();
    world.run_for(4 * SECOND);
    assert!(!world.closed);
    world.run_for(SECOND);
    assert!(world.closed);
    assert_eq!(world.events, [Event::Ended(End::NotBound)]);
}

#[test]
fn a_refusal_waits_and_then_closes() {
    let mut world = World::new();
    world.say(1, bind(BindKind::Transmitter));
    let refusal = Refusal { status: CommandStatus::INVALID_PASSWORD, delay: 2 * SECOND };
    world.server.decide(world.now, Err(refusal));
    world.run_for(SECOND);
    assert!(world.heard.is_empty());
    world.run_for(SECOND);
    assert_eq!(world.statuses(), [(1, CommandStatus::INVALID_PASSWORD)]);
    assert!(world.closed);
}

#[test]
fn every_request_is_answered_in_its_own_kind() {
    let mut world = World::bound(Grant { window: 10, ..GRANT });
    let to = |n: u8| Address { ton: 1, npi: 1, address: format!("120655501{n:02}") };
    world.say(11, submit());
    world.say(12, Body::Data(ShortMessage { in_payload: true, ..ShortMessage::default() }));
    let destinations = vec![Destination::Number(to(1)), Destination::Number(to(2))];
    world.say(13, Body::SubmitMulti { message: ShortMessage::default(), destinations });
    world.say(14, Body::Query { id: "m1".into(), source: to(3) });
    let cancel =
        Body::Cancel { service_type: String::new(), id: "m1".into(), source: to(3), destination: to(4) };
    world.say(15, cancel);
    let failed = vec![(to(2), CommandStatus::INVALID_DESTINATION)];
    let state = Reply::State { id: "m1".into(), final_date: String::new(), state: 1, error: 0 };
    let replies = [
        Reply::Accepted("m1".into()),
        Reply::Accepted("m2".into()),
        Reply::AcceptedMulti { id: "m3".into(), failed: failed.clone() },
        state,
        Reply::Cancelled,
    ];
    let events = std::mem::take(&mut world.events);
    for (event, reply) in events.into_iter().zip(replies) {
        let Event::Request { ack, .. } = event else { panic!("{event:?}") };
        world.server.reply(ack, reply);
        // A second answer is none.
        world.server.reply(ack, Reply::Refused(CommandStatus::SYSTEM_ERROR));
    }
    world.drain();
    let heard: Vec<_> = world.heard.drain(..).map(|pdu| (pdu.sequence, pdu.body)).collect();
    assert_eq!(
        heard,
        [
            (11, Body::SubmitResp { id: Some("m1".into()) }),
            (12, Body::DataResp { id: Some("m2".into()) }),
            (13, Body::SubmitMultiResp { id: Some("m3".into()), failed }),
            (14, Body::QueryResp { id: "m1".into(), final_date: String::new(), state: 1, error: 0 }),
            (15, Body::CancelResp),
        ]
    );
}

#[test]
fn the_window_and_the_rate_are_enforced_with_throttling() {
    let mut world = World::bound(GRANT);
    (1..=4).for_each(|sequence| world.say(sequence, submit()));
    assert_eq!(world.statuses(), [(4, CommandStatus::THROTTLED)]);
    let rate = Rate { segments: 2, per: SECOND, burst: 2 };
    let mut slow = World::bound(Grant { rate: Some(rate), window: 100, ..GRANT });
    let destinations = vec![Destination::Number(Address::default()); 2];
    slow.say(1, Body::SubmitMulti { message: ShortMessage::default(), destinations });
    slow.say(2, submit());
    assert_eq!(slow.statuses(), [(2, CommandStatus::THROTTLED)]);
    slow.run_for(SECOND / 2);
    slow.say(3, submit());
    assert_eq!(slow.statuses(), []);
    // Asking costs nothing.
    slow.say(4, Body::Query { id: "x".into(), source: Address::default() });
    assert_eq!(slow.statuses(), []);
}

#[test]
fn texts_go_out_within_the_window_and_their_answers_are_told() {
    let mut world = World::bound(GRANT);
    for token in 1..=3 {
        let taken = world.server.deliver(world.now, token, ShortMessage::default());
        assert_eq!(taken.is_ok(), token < 3);
    }
    world.drain();
    let sent: Vec<u32> = world.heard.drain(..).map(|pdu| pdu.sequence).collect();
    world.answer(sent[1], CommandStatus::TEMPORARY_APPLICATION_ERROR, Body::DeliverResp);
    world.answer(sent[0], CommandStatus::OK, Body::DeliverResp);
    assert_eq!(
        world.events,
        [
            Event::Refused {
                token: 2,
                status: CommandStatus::TEMPORARY_APPLICATION_ERROR,
                class: Class::Retry
            },
            Event::Delivered { token: 1 },
        ]
    );
    world.events.clear();
    world.server.deliver(world.now, 4, ShortMessage::default()).unwrap();
    world.run_for(10 * SECOND);
    assert_eq!(world.events, [Event::Undelivered { token: 4, in_doubt: true }]);
    world.server.deliver(world.now, 5, ShortMessage::default()).unwrap();
    world.server.handle_closed();
    world.drain();
    assert_eq!(
        world.events[1..],
        [Event::Undelivered { token: 5, in_doubt: true }, Event::Ended(End::Closed)]
    );
}

#[test]
fn a_customer_of_smpp_3_3_is_sent_no_tlvs() {
    let mut world = World::new();
    let Body::Bind(old) = bind(BindKind::Transceiver) else { panic!() };
    world.say(1, Body::Bind(Bind { version: 0x33, ..old }));
    world.server.decide(world.now, Ok(GRANT));
    let message =
        ShortMessage { tlvs: vec![crate::pdu::Tlv::new(0x1400, vec![1])], ..ShortMessage::default() };
    world.server.deliver(world.now, 1, message).unwrap();
    world.drain();
    assert!(matches!(world.heard[0].body, Body::BindResp { version: None, .. }));
    let Body::Deliver(message) = &world.heard[1].body else { panic!() };
    assert_eq!(message.tlvs, []);
}

#[test]
fn unbinding_either_way_closes() {
    let mut theirs = World::bound(GRANT);
    theirs.say(9, Body::Unbind);
    assert_eq!(theirs.statuses(), [(9, CommandStatus::OK)]);
    assert!(theirs.closed);
    let mut ours = World::bound(GRANT);
    ours.server.stop(ours.now);
    ours.drain();
    let unbind = ours.heard.pop_front().unwrap();
    assert_eq!(unbind.body, Body::Unbind);
    ours.say(unbind.sequence, Body::UnbindResp);
    assert!(ours.closed);
    assert_eq!(ours.events, [Event::Ended(End::Unbound)]);
}

#[test]
fn an_idle_customer_is_asked_and_a_dead_one_closed() {
    let mut world = World::bound(GRANT);
    world.run_for(30 * SECOND);
    assert_eq!(world.heard.pop_front().unwrap().body, Body::EnquireLink);
    world.run_for(10 * SECOND);
    assert_eq!(world.events, [Event::Ended(End::Unresponsive)]);
}

#[test]
fn what_is_not_spoken_is_refused_and_the_session_goes_on() {
    let mut world = World::bound(GRANT);
    world.say(1, Body::Other { command_id: 0x111 });
    world.say(2, Body::Deliver(ShortMessage::default()));
    let malformed = [0, 0, 0, 17, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3, 9];
    world.server.handle_received(world.now, &malformed);
    world.say(4, Body::EnquireLink);
    world.drain();
    assert_eq!(
        world.statuses(),
        [
            (1, CommandStatus::INVALID_COMMAND_ID),
            (2, CommandStatus::INVALID_COMMAND_ID),
            (3, CommandStatus::INVALID_COMMAND_LENGTH),
            (4, CommandStatus::OK),
        ]
    );
    assert_eq!(world.server.counters().malformed_requests, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Octets of any kind leave a session that ends once, answers nothing twice and keeps its window.
    #[test]
    fn no_octets_break_a_session(
        bound: bool,
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                (0u8..32, any::<u8>()).prop_map(|(command, sequence)| {
                    vec![0, 0, 0, 16, 0, 0, 0, command, 0, 0, 0, 0, 0, 0, 0, sequence]
                }),
                Just(vec![0, 0, 0, 33, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ],
            0..40,
        ),
    ) {
        let mut world = if bound { World::bound(GRANT) } else { World::new() };
        for piece in pieces {
            world.server.handle_received(world.now, &piece);
            world.drain();
            world.run_for(SECOND);
            prop_assert!(world.server.unanswered.len() <= GRANT.window);
        }
        world.server.handle_closed();
        world.drain();
        let ends = world.events.iter().filter(|event| matches!(event, Event::Ended(_))).count();
        prop_assert_eq!(ends, 1);
    }
}
