//! A million broken messages: reading must stay total, frugal and stable.
//!
//! Each is read as a datagram, as a stream, and word by word as URIs. `TRUNKLINE_MUTATIONS` says how many instead; the
//! seed is fixed, so a failure comes again.

use std::path::Path;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trunkline_sip::body;
use trunkline_sip::fuzzing;

const SEED: u64 = 0x5349_5032;

/// Inputs in an ordinary run, in CI too.
const MUTATIONS_DEFAULT: usize = 1_000_000;

/// No input may make us allocate more than this at once.
const ALLOCATED_MAX: u64 = 4 * 1024 * 1024;

#[test]
fn mutated_messages_neither_panic_nor_bloat_nor_change_when_written_again() {
    let corpus = corpus();
    assert!(corpus.len() > 60);
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let (mut read, mut refused) = (0_u32, 0_u32);
    for _ in 0..mutations() {
        let input = mutate(&mut random, &corpus);
        let mut outcome = false;
        let info = allocation_counter::measure(|| {
            outcome = fuzzing::message(&input);
            fuzzing::stream(&input);
            fuzzing::uri(&input);
        });
        assert!(info.bytes_max <= ALLOCATED_MAX, "{} bytes for {:?}", info.bytes_max, Bytes::from(input));
        if outcome { read += 1 } else { refused += 1 }
    }
    // Mutants that were all refused, or all read, would test one path only.
    assert!(read * 10 > refused && refused * 10 > read, "{read} read, {refused} refused");
}

#[test]
fn mutated_bodies_yield_parts_that_lie_in_them() {
    let corpus: Vec<Vec<u8>> = corpus().into_iter().filter(|seed| contains(seed, b"multipart/")).collect();
    assert!(!corpus.is_empty());
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..mutations() / 50 {
        let input = mutate(&mut random, &corpus);
        let Ok(message) = trunkline_sip::message::Message::parse(input.into()) else { continue };
        for part in body::parts(&message) {
            assert!(part.content.is_empty() || contains(message.body(), &part.content));
        }
    }
}

fn mutations() -> usize {
    std::env::var("TRUNKLINE_MUTATIONS").map_or(MUTATIONS_DEFAULT, |count| count.parse().unwrap())
}

fn corpus() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sip");
    let mut files: Vec<_> = ["invite", "rfc4475", "rfc5118"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(fixtures.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dat"))
        .collect();
    // The order of a directory differs between machines, and the mutants with it.
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutate(random: &mut ChaCha8Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..=40)).min(bytes.len());
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let into = random.random_range(0..=bytes.len());
                bytes.splice(into..into, piece);
            }
            4 => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            5 => {
                let other = &corpus[random.random_range(0..corpus.len())];
                let from = random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.truncate(bytes.len() - random.random_range(0..=bytes.len().min(3))),
        }
    }
    bytes
}

/// Text that changes how what follows it is read.
const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"=",
    b"@",
    b"[",
    b"]",
    b"%00",
    b"\xff",
    b"\r\nl: 4294967328\r\n",
    b"\r\nVia: SIP/2.0/UDP h\r\n",
    b"SIP/2.0",
];

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(text, wanted).is_some()
}
