//! Texts between users (RFC 3428).

use super::world::{CONTOSO, FABRIKAM, World, user, values};
use bytes::Bytes;
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::Reply;

fn text(browser: usize, target: &str, number: u32) -> Bytes {
    Bytes::from(format!(
        "MESSAGE sip:{target}@contoso.localhost SIP/2.0\r\nVia: SIP/2.0/WSS b{browser}.invalid;branch=z9hG4bKm{number}\r\n\
         From: \"Al\" <sip:somebody@else>;tag=m{browser}\r\nTo: <sip:{target}@contoso.localhost>\r\n\
         Call-ID: text-{browser}\r\nCSeq: {number} MESSAGE\r\nMax-Forwards: 70\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello"
    ))
}

#[test]
fn a_text_reaches_every_contact_and_the_first_that_takes_it_is_the_answer() {
    let mut world = World::new();
    let (al, here, there) = (world.online(1), world.online(2), world.online(2));
    world.inject(al, text(al, user(CONTOSO, 2).user(), 1));
    for browser in [here, there] {
        let (request, message) = world.end(browser).request().expect("no text came");
        assert_eq!(**message.body(), *b"Hello");
        let from = format!("\"Al\" <sip:{}@", user(CONTOSO, 1).sip_user());
        assert!(values(&message, Name::From)[0].starts_with(&from), "{message:?}");
        let now = world.now;
        let status = if browser == here { 415 } else { 200 };
        world.end(browser).ua.respond(now, request, Reply::new(status)).unwrap();
        world.settle();
        let expected: &[u16] = if browser == here { &[] } else { &[200] };
        assert_eq!(world.end(al).statuses(&Method::Message), expected);
    }
}

#[test]
fn a_text_to_nobody_or_to_another_resource_goes_nowhere() {
    let mut world = World::new();
    let al = world.online(1);
    for (number, (target, status)) in
        [(user(CONTOSO, 2), 480), (user(FABRIKAM, 1), 404)].into_iter().enumerate()
    {
        world.inject(al, text(al, target.sip_user(), number as u32 + 1));
        assert_eq!(world.end(al).statuses(&Method::Message).last(), Some(&status));
    }
    world.inject(al, text(al, "+12065550111", 9));
    assert_eq!(world.end(al).statuses(&Method::Message).last(), Some(&404));
}

#[test]
fn a_text_of_an_unknown_connection_is_asked_whose_it_is() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    world.inject(browser, text(browser, user(CONTOSO, 2).user(), 1));
    assert_eq!(world.end(browser).statuses(&Method::Message), [401]);
}
