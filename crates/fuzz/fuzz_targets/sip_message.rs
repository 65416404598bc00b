//! A datagram: every typed view is asked for, and what we build from it is a message again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use trunkline_sip::body;
use trunkline_sip::header::Name;
use trunkline_sip::message::{Message, response_to};

fuzz_target!(|data: &[u8]| {
    let source = SocketAddr::from(([192, 0, 2, 1], 5060));
    match Message::parse(Bytes::copy_from_slice(data)) {
        Ok(message) => {
            look(&message);
            if message.is_request() {
                answer(&message, source);
            }
        }
        Err(error) => {
            // It repeats the header that was at fault, so that it need not be a message that we would read.
            if let Some(response) = error.response(source, "tag") {
                assert_eq!(response.status(), Some(error.kind().status()));
            }
        }
    }
});

fn look(message: &Message) {
    let _ = (message.method(), message.uri(), message.status(), message.reason(), message.call_id());
    let _ = (message.cseq(), message.from(), message.to(), message.top_via(), message.max_forwards());
    for via in message.vias().flatten() {
        let _ = (via.transport(), via.host(), via.port(), via.branch(), via.received(), via.rport());
    }
    for name in [Name::Contact, Name::Route, Name::RecordRoute] {
        for address in message.addresses(name).flatten() {
            let _ = (address.display(), address.tag(), address.uri().map(|uri| uri.is_loose_router()));
        }
    }
    for name in [Name::Supported, Name::Require, Name::Allow] {
        let _ = message.list(name).count();
    }
    for (name, _, value) in message.raw_headers() {
        assert!(!value.contains(&0), "a NUL passed");
        if let Some(name) = name {
            assert!(message.raw(name).is_some(), "an indexed header is not found by its name");
        }
    }
    let _ = body::parts(message);
}

/// Whatever is accepted can be answered.
fn answer(request: &Message, source: SocketAddr) {
    if let Ok(received) = request.received_from(source)
        && let Ok(response) = response_to(&received, 486, "Busy Here", Some("tag")).finish()
    {
        again(&response);
        assert_eq!(response.call_id(), request.call_id());
    }
}

/// What we print we read.
fn again(message: &Message) {
    let read = Message::parse(message.bytes().clone()).expect("our own message is read");
    assert_eq!(read.raw_headers().count(), message.raw_headers().count());
    assert_eq!(read.body(), message.body());
}
