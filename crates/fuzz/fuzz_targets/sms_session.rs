//! Sessions of both roles on octets of any kind: every message comes back once, and a session ends once.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trunkline_model::clock::first_instant;
use trunkline_sms::pdu::{Address, Bind, BindKind, ShortMessage};
use trunkline_sms::session::accounts::Grant;
use trunkline_sms::session::{Client, ClientConfig, Server, ServerConfig, client, server};
use trunkline_sms::status::CommandStatus;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, stream)) = data.split_first() else { return };
    at_a_carrier(stream, usize::from(cut).max(1));
    of_a_customer(stream, usize::from(cut).max(1));
});

fn at_a_carrier(stream: &[u8], cut: usize) {
    let mut now = first_instant();
    let bind = Bind {
        kind: BindKind::Transceiver,
        system_id: "trunkline".into(),
        password: "secret".into(),
        system_type: String::new(),
        version: 0x34,
        range: Address::default(),
    };
    let mut session = Client::new(ClientConfig::new(bind), 1, now);
    let (mut taken, mut back) = (0u32, 0u32);
    let mut drain = |session: &mut Client<u32>| {
        while let Some(output) = session.poll_output() {
            let client::Output::Event(event) = output else { continue };
            match event {
                client::Event::Accepted { .. }
                | client::Event::Refused { .. }
                | client::Event::Unanswered { .. }
                | client::Event::Returned { .. }
                | client::Event::Unencodable { .. } => back += 1,
                client::Event::Deliver { ack, .. } => session.acknowledge(ack, CommandStatus::OK),
                client::Event::Bound { .. }
                | client::Event::Down { .. }
                | client::Event::Paused { .. }
                | client::Event::Resumed => {}
            }
        }
    };
    session.handle_connected(now);
    // The bind is our first request.
    let bound = [0, 0, 0, 17, 0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    session.handle_received(now, &bound);
    for piece in stream.chunks(cut) {
        while session.submit(now, taken, ShortMessage::default()).is_ok() {
            taken += 1;
        }
        now += Duration::from_millis(100);
        session.handle_timeout(now);
        session.handle_received(now, piece);
        drain(&mut session);
    }
    session.handle_closed(now);
    session.stop(now);
    drain(&mut session);
    assert_eq!(taken, back);
}

fn of_a_customer(stream: &[u8], cut: usize) {
    let mut now = first_instant();
    let mut session: Server<u32> = Server::new(ServerConfig::default(), 1, now);
    let (mut ends, mut given, mut back) = (0, 0u32, 0u32);
    let mut drain = |session: &mut Server<u32>, now| {
        while let Some(output) = session.poll_output() {
            let server::Output::Event(event) = output else { continue };
            match event {
                server::Event::BindRequested(_) => {
                    session.decide(now, Ok(Grant { window: 4, rate: None, deliver_window: 4 }));
                }
                server::Event::Request { ack, .. } => session.reply(ack, server::Reply::Accepted("1".into())),
                server::Event::Delivered { .. }
                | server::Event::Refused { .. }
                | server::Event::Undelivered { .. } => back += 1,
                server::Event::Ended(_) => ends += 1,
            }
        }
    };
    for piece in stream.chunks(cut) {
        session.handle_received(now, piece);
        drain(&mut session, now);
        while session.deliver(now, given, ShortMessage::default()).is_ok() {
            given += 1;
        }
        now += Duration::from_millis(100);
        session.handle_timeout(now);
        drain(&mut session, now);
    }
    session.handle_closed();
    drain(&mut session, now);
    assert_eq!((ends, given), (1, back));
}
