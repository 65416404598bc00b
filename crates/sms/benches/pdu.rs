//! What reading and writing a PDU takes, beside the bare codec on the same octets.
//!
//! `cargo bench -p trunkline-sms --bench pdu [-- --json]`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and may fail loudly"
)]

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use rusmpp_core::command::owned::Command;
use rusmpp_core::decode::owned::DecodeWithLength;
use rusmpp_core::encode::Length;
use rusmpp_core::encode::owned::Encode;
use trunkline_sms::pdu::{self, Address, Body, Pdu, ShortMessage};
use trunkline_sms::status::CommandStatus;

/// A submit_sm of 85 characters: 152 octets.
static SUBMIT: LazyLock<Pdu> = LazyLock::new(|| {
    let number = |address: &str| Address { ton: 1, npi: 1, address: address.into() };
    let message = ShortMessage {
        source: number("14255550100"),
        destination: number("12065550111"),
        validity: "000001000000000R".into(),
        registered_delivery: 1,
        octets: Bytes::from_static(&[b'a'; 85]),
        ..ShortMessage::default()
    };
    Pdu { status: CommandStatus::OK, sequence: 1, body: Body::Submit(message) }
});

/// The same as octets.
static OCTETS: LazyLock<Bytes> = LazyLock::new(|| pdu::encode(&SUBMIT).unwrap());

/// The same as the codec holds it.
static COMMAND: LazyLock<Command> = LazyLock::new(|| of_codec(&OCTETS));

/// A codec reads from a buffer of its own, so that both copy once.
fn of_codec(octets: &[u8]) -> Command {
    let body = octets.get(4..).unwrap();
    Command::decode(&mut BytesMut::from(body), body.len()).unwrap().0
}

fn codec_writes() -> Bytes {
    let length = COMMAND.length() + 4;
    let mut out = BytesMut::with_capacity(length);
    out.put_u32(length as u32);
    COMMAND.encode(&mut out);
    out.freeze()
}

/// One thing to do, by both.
struct Metric {
    name: &'static str,
    ours: fn(),
    codec: fn(),
}

const METRICS: [Metric; 2] = [
    Metric {
        name: "submit_sm_read",
        ours: || drop(black_box(pdu::decode(black_box(&OCTETS)))),
        codec: || drop(black_box(of_codec(black_box(&OCTETS)))),
    },
    Metric {
        name: "submit_sm_write",
        ours: || drop(black_box(pdu::encode(black_box(&SUBMIT)))),
        codec: || drop(black_box(codec_writes())),
    },
];

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    assert_eq!(codec_writes(), *OCTETS);
    for metric in METRICS {
        let [ours, codec] = medians([metric.ours, metric.codec]);
        let (name, added) = (metric.name, ours - codec);
        if json {
            println!(
                "{{\"bench\":\"smpp-pdu\",\"metric\":\"{name}\",\"ours\":{ours:.0},\"unit\":\"ns\",\
                 \"peer\":\"rusmpp-core 0.4.0\",\"peer_value\":{codec:.0},\"ratio\":{:.3}}}",
                codec / ours
            );
        } else {
            println!("{name:<20} ours {ours:>5.0} ns, codec {codec:>5.0} ns, added {added:>5.0} ns");
        }
    }
}

/// Times of each batch.
const BATCHES: u32 = 101;
/// Runs in a batch.
const ROUNDS: u32 = 2_000;

/// Returns the median time of each, in nanoseconds. They take turns, so that a busy moment of the machine falls on
/// both.
fn medians(jobs: [fn(); 2]) -> [f64; 2] {
    let mut times = [const { Vec::new() }; 2];
    for batch in 0..=BATCHES {
        for (job, times) in jobs.iter().zip(&mut times) {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| job());
            // The first batch warms caches and branch predictors.
            if batch > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    })
}
