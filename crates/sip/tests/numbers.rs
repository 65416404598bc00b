//! Sequence numbers of dialogs that go on from an early one: no request has the number of another.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use trunkline_model::{Host, Transport};
use trunkline_sip::header::Name;
use trunkline_sip::message::{Message, response_to};
use trunkline_sip::method::Method;
use trunkline_sip::transport::{Advertised, Flow};
use trunkline_sip::user_agent::{EndReason, Headers};
use world::{ALICE, BOB, Habit, World, address, sdp, secs};

#[test]
fn the_bye_of_a_crossed_cancel_does_not_repeat_the_number_of_a_prack() {
    let mut world = World::new(1);
    world.ends[BOB].habit = Habit { rings_with_sdp: true, ..Habit::default() };
    let alice = world.dial();
    let bob = world.await_incoming();
    assert_eq!(world.ends[ALICE].sent_requests(Method::Prack), 1);
    world.act(BOB, |ua, now| ua.accept(now, bob, Headers::new(), None).unwrap());
    world.act(ALICE, |ua, now| ua.hangup(now, alice, Headers::new()).unwrap());
    world.run_for(secs(2));
    assert_eq!(world.ends[BOB].sent_responses(200, Method::Bye), 1);
    assert!(matches!(world.ends[BOB].end_reason(bob), Some(EndReason::Bye(_))));
    world.assert_nothing_is_left();
}

#[test]
fn the_bye_of_a_fork_that_answers_too_late_does_not_repeat_the_number_of_a_prack() {
    let mut world = World::new(2);
    let mut params = world.params(Some("alice offer"));
    let host = Host::Name("edge.example".to_owned());
    params.profile.advertised = Some(Advertised { host, port: Some(5080) });
    world.dial_with(params);
    world.run_for(secs(1));
    let invite = world.ends[BOB].received[0].clone();
    let flow =
        Flow { transport: Transport::Udp, local: address(ALICE), remote: address(BOB), connection: None };
    let answer = |status: u16, tag: &str| -> Message {
        let builder = response_to(&invite, status, "", Some(tag)).header(Name::Contact, "<sip:127.0.0.2>");
        let builder = match status {
            183 => builder.header(Name::Require, "100rel").header(Name::RSeq, "7"),
            _ => builder,
        };
        builder.body("application/sdp", sdp("answer")).finish().unwrap()
    };
    for response in [answer(183, "one"), answer(183, "two"), answer(200, "one"), answer(200, "two")] {
        world.deliver(ALICE, flow, response.bytes().clone());
    }
    let to_second = |message: &&Message| message.to().unwrap().tag() == Some("two");
    let sent: Vec<_> = world.ends[ALICE].sent.iter().filter(to_second).collect();
    let number = |method: Method| {
        let found = sent.iter().find(|message| message.method() == Some(&method));
        found.expect("it was sent").cseq().unwrap().number
    };
    assert_eq!(number(Method::Ack), 1);
    for request in sent.iter().filter(|message| message.is_request()) {
        let via = request.header(Name::Via).unwrap();
        assert!(via.contains(" edge.example:5080;"), "what the trunk is told holds for forks too: {via}");
    }
    assert!(number(Method::Bye) > number(Method::Prack));
}
