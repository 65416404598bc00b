//! How fast messages are read, beside rsip and rsipstack on the same bytes.
//!
//! `cargo bench -p trunkline-sip --bench parse [-- --json]`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and may fail loudly"
)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use trunkline_sip::message::Message;

/// A carrier's INVITE with SDP: 24 header fields, 1,654 bytes.
const INVITE: &[u8] = include_bytes!("../../../fixtures/sip/invite/carrier.dat");

/// The messages of an ordinary call, as a gateway between two trunks reads them.
const CALL: [&[u8]; 5] = [
    INVITE,
    b"SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bKa81fc2;rport=5060\r\n\
      From: <sip:+14255550134@203.0.113.5>;tag=77f1\r\nTo: <sip:+12125550100@198.51.100.44>\r\n\
      Call-ID: 5d2f9a1b@203.0.113.5\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
    b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bKa81fc2;rport=5060\r\n\
      Record-Route: <sip:198.51.100.44;lr>\r\nFrom: <sip:+14255550134@203.0.113.5>;tag=77f1\r\n\
      To: <sip:+12125550100@198.51.100.44>;tag=as58f4\r\nCall-ID: 5d2f9a1b@203.0.113.5\r\nCSeq: 1 INVITE\r\n\
      Contact: <sip:+12125550100@198.51.100.44:5060>\r\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\r\n\
      Server: Carrier-SBC/9.2.1\r\nContent-Length: 0\r\n\r\n",
    b"ACK sip:+12125550100@198.51.100.44:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bKb92\r\n\
      Max-Forwards: 70\r\nFrom: <sip:+14255550134@203.0.113.5>;tag=77f1\r\n\
      To: <sip:+12125550100@198.51.100.44>;tag=as58f4\r\nCall-ID: 5d2f9a1b@203.0.113.5\r\nCSeq: 1 ACK\r\n\
      Content-Length: 0\r\n\r\n",
    b"BYE sip:+12125550100@198.51.100.44:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bKc03\r\n\
      Max-Forwards: 70\r\nFrom: <sip:+14255550134@203.0.113.5>;tag=77f1\r\n\
      To: <sip:+12125550100@198.51.100.44>;tag=as58f4\r\nCall-ID: 5d2f9a1b@203.0.113.5\r\nCSeq: 2 BYE\r\n\
      Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\nContent-Length: 0\r\n\r\n",
];

/// One thing to do with the received bytes, by each of the three.
struct Metric {
    name: &'static str,
    ours: fn(),
    rsip: fn(),
    rsipstack: fn(),
}

const METRICS: [Metric; 3] = [
    Metric {
        name: "invite_parse",
        ours: || drop(black_box(ours::parse(INVITE))),
        rsip: || drop(black_box(of_rsip::parse(INVITE))),
        rsipstack: || drop(black_box(of_rsipstack::parse(INVITE))),
    },
    Metric {
        name: "invite_parse_and_read",
        ours: || ours::read(&ours::parse(INVITE)),
        rsip: || of_rsip::read(&of_rsip::parse(INVITE)),
        rsipstack: || of_rsipstack::read(&of_rsipstack::parse(INVITE)),
    },
    Metric {
        name: "call_parse",
        ours: || CALL.iter().for_each(|bytes| drop(black_box(ours::parse(bytes)))),
        rsip: || CALL.iter().for_each(|bytes| drop(black_box(of_rsip::parse(bytes)))),
        rsipstack: || CALL.iter().for_each(|bytes| drop(black_box(of_rsipstack::parse(bytes)))),
    },
];

/// Ours gets a copy of the received bytes, as the shell hands them over, and pays for it here.
mod ours {
    use super::{Bytes, Message, black_box};

    pub(super) fn parse(bytes: &[u8]) -> Message {
        Message::parse(Bytes::copy_from_slice(bytes)).unwrap()
    }

    pub(super) fn read(message: &Message) {
        black_box(message.top_via().unwrap());
        black_box(message.from().unwrap());
        black_box(message.to().unwrap());
        black_box(message.cseq().unwrap());
        black_box(message.call_id());
    }
}

mod of_rsip {
    use super::black_box;
    use rsip::prelude::{HeadersExt as _, ToTypedHeader as _};

    pub(super) fn parse(bytes: &[u8]) -> rsip::SipMessage {
        rsip::SipMessage::try_from(bytes).unwrap()
    }

    pub(super) fn read(message: &rsip::SipMessage) {
        black_box(message.via_header().unwrap().typed().unwrap());
        black_box(message.from_header().unwrap().typed().unwrap());
        black_box(message.to_header().unwrap().typed().unwrap());
        black_box(message.cseq_header().unwrap().typed().unwrap());
        black_box(message.call_id_header().unwrap());
    }
}

mod of_rsipstack {
    use super::black_box;
    use rsipstack::sip::prelude::{HeadersExt as _, ToTypedHeader as _};

    pub(super) fn parse(bytes: &[u8]) -> rsipstack::sip::SipMessage {
        rsipstack::sip::SipMessage::try_from(bytes).unwrap()
    }

    pub(super) fn read(message: &rsipstack::sip::SipMessage) {
        black_box(message.via_header().unwrap().typed().unwrap());
        black_box(message.from_header().unwrap().typed().unwrap());
        black_box(message.to_header().unwrap().typed().unwrap());
        black_box(message.cseq_header().unwrap().typed().unwrap());
        black_box(message.call_id_header().unwrap());
    }
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!("{:<24} {:>10} {:>16} {:>10} {:>8}", "metric", "ours", "peer", "peer", "ratio");
    }
    for metric in METRICS {
        let [ours, rsip, rsipstack] = medians([metric.ours, metric.rsip, metric.rsipstack]);
        for (peer, value) in [("rsip 0.4.0", rsip), ("rsipstack 0.7.14", rsipstack)] {
            let (name, ratio) = (metric.name, value / ours);
            if json {
                println!(
                    "{{\"bench\":\"sip-parse\",\"metric\":\"{name}\",\"ours\":{ours:.0},\"unit\":\"ns\",\
                     \"peer\":\"{peer}\",\"peer_value\":{value:.0},\"ratio\":{ratio:.2}}}"
                );
            } else {
                println!("{name:<24} {ours:>7.0} ns {peer:>16} {value:>7.0} ns {ratio:>7.2}x");
            }
        }
    }
}

/// Returns the median CPU time of each, in nanoseconds. They take turns, so that a busy moment of the machine falls
/// on all of them, and what other programs run meanwhile is not counted.
fn medians(jobs: [fn(); 3]) -> [f64; 3] {
    let mut times = [const { Vec::new() }; 3];
    for batch in 0..=BATCHES {
        for (job, times) in jobs.iter().zip(&mut times) {
            let start = cpu_time();
            for _ in 0..ROUNDS {
                job();
            }
            // The first batch warms caches and branch predictors.
            if batch > 0 {
                times.push((cpu_time() - start).as_secs_f64() * 1e9 / f64::from(ROUNDS));
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    })
}

/// Returns the CPU time that this thread has had.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// Enough that a batch takes milliseconds, far above the clock's grain.
const ROUNDS: u32 = 2_000;

/// An odd number has a middle one.
const BATCHES: u32 = 41;
