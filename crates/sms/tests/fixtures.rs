//! The PDUs of fixtures/smpp: read, written again to the same octets, and mutated.

use std::path::Path;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trunkline_model::clock::first_instant;
use trunkline_sms::pdu;
use trunkline_sms::session::{Server, ServerConfig, server};

fn fixtures() -> Vec<(String, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/smpp");
    let mut fixtures: Vec<(String, Bytes)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap().into())
        })
        .collect();
    fixtures.sort();
    assert_eq!(fixtures.len(), 16);
    fixtures
}

#[test]
fn every_fixture_is_read_and_written_the_same() {
    for (name, octets) in fixtures() {
        let read = pdu::decode(&octets).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = pdu::encode(&read).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A refusal may come without a body; ours has an empty id.
        if name != "submit_sm_resp_throttled.dat" {
            assert_eq!(written, octets, "{name}");
        }
    }
}

#[test]
fn mutated_pdus_are_read_or_answered_and_the_session_goes_on_or_ends_once() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let fixtures = fixtures();
    for round in 0..50_000 {
        let (_, octets) = &fixtures[round % fixtures.len()];
        let mut octets = octets.to_vec();
        for _ in 0..rng.random_range(1..6) {
            // The length stays, so that what is behind it is reached.
            let at = rng.random_range(4..octets.len());
            octets[at] = rng.random();
        }
        if rng.random_ratio(1, 4) {
            octets.truncate(rng.random_range(16..=octets.len()));
            let length = octets.len() as u32;
            octets[..4].copy_from_slice(&length.to_be_bytes());
        }
        if let Ok(read) = pdu::decode(&Bytes::copy_from_slice(&octets))
            && let Ok(written) = pdu::encode(&read)
        {
            assert_eq!(pdu::decode(&written), Ok(read));
        }
        let mut session: Server<u32> = Server::new(ServerConfig::default(), 1, first_instant());
        session.handle_received(first_instant(), &octets);
        session.handle_closed();
        let events = std::iter::from_fn(|| session.poll_output());
        let ends = events.filter(|output| matches!(output, server::Output::Event(server::Event::Ended(_))));
        assert_eq!(ends.count(), 1);
    }
}
