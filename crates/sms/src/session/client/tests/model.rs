//! A carrier that does anything at any time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    BindKind, Body, ClientConfig, CommandStatus, Duration, Event, Framer, PDU_OCTETS_MAX, SECOND,
    ShortMessage, World, bind, submit_resp,
};

#[derive(Debug, Clone)]
enum Step {
    Submit,
    Answer(usize, u32),
    Wait(u64),
    Close,
    Connect,
    Bind(u32),
    Request(u8),
    Garbage(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let statuses = prop_oneof![4 => Just(0u32), 2 => Just(0x58), 1 => prop_oneof![Just(4u32), Just(0x14), Just(0x45), Just(0x400)]];
    prop_oneof![
        8 => Just(Step::Submit),
        8 => (0usize..8, statuses).prop_map(|(at, status)| Step::Answer(at, status)),
        3 => (0u64..40_000).prop_map(Step::Wait),
        1 => Just(Step::Close),
        3 => Just(Step::Connect),
        3 => prop_oneof![4 => Just(0u32), 1 => Just(0x0e)].prop_map(Step::Bind),
        2 => (0u8..4).prop_map(Step::Request),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Every message that was taken comes back in exactly one event, whatever the carrier does.
    #[test]
    fn no_message_is_lost_or_reported_twice(steps in proptest::collection::vec(step(), 0..150)) {
        let mut world = World::new(ClientConfig { window: 4, ..ClientConfig::new(bind(BindKind::Transceiver)) });
        let (mut taken, mut next) = (0u32, 0u32);
        for step in steps {
            match step {
                Step::Submit => {
                    next += 1;
                    taken += u32::from(world.submit(next));
                }
                Step::Answer(at, status) => {
                    if at < world.requests.len() && let Some(request) = world.requests.remove(at) {
                        world.respond(&request, CommandStatus(status), submit_resp("a"));
                    }
                }
                Step::Wait(millis) => world.run_for(Duration::from_millis(millis)),
                Step::Close => {
                    world.client.handle_closed(world.now);
                    world.framer = Framer::new(PDU_OCTETS_MAX);
                    world.drain();
                }
                Step::Connect => {
                    world.client.handle_connected(world.now);
                    world.drain();
                }
                Step::Bind(status) => {
                    let at = world.requests.iter().rposition(|pdu| matches!(pdu.body, Body::Bind(_)));
                    if let Some(request) = at.and_then(|at| world.requests.remove(at)) {
                        let body = Body::BindResp { kind: BindKind::Transceiver, system_id: String::new(), version: None };
                        world.respond(&request, CommandStatus(status), body);
                    }
                }
                Step::Request(kind) => {
                    let body = match kind {
                        0 => Body::Deliver(ShortMessage::default()),
                        1 => Body::EnquireLink,
                        2 => Body::Unbind,
                        _ => Body::Submit(ShortMessage::default()),
                    };
                    world.say(CommandStatus::OK, 5, body);
                }
                Step::Garbage(octets) => {
                    world.client.handle_received(world.now, &octets);
                    world.drain();
                }
            }
            prop_assert!(world.client.room() <= 4);
        }
        world.client.stop(world.now);
        world.drain();
        world.run_for(30 * SECOND);
        let mut ends: BTreeMap<u32, u32> = BTreeMap::new();
        for event in &world.events {
            let token = match event {
                Event::Accepted { token, .. }
                | Event::Refused { token, .. }
                | Event::Unanswered { token }
                | Event::Returned { token, .. }
                | Event::Unencodable { token, .. } => token,
                Event::Bound { .. } | Event::Down { .. } | Event::Paused { .. } | Event::Resumed | Event::Deliver { .. } => continue,
            };
            *ends.entry(*token).or_default() += 1;
        }
        prop_assert_eq!(ends.len() as u32, taken);
        prop_assert!(ends.values().all(|count| *count == 1));
    }
}
