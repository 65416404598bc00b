//! Broken and hostile messages: they are answered or dropped, and no call notices.

use crate::world::{CALLEE, CALLER, STRANGER, Setup, World};
use bytes::Bytes;
use std::time::Duration;

/// A small generator with a fixed seed (xorshift), so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

const PIECES: [&str; 16] = [
    "\r\n",
    ";",
    ",",
    "<sip:",
    "@",
    "\"",
    "%00",
    ":99999",
    "Require: 100rel\r\n",
    "Max-Forwards: 0\r\n",
    "4294967296",
    "tag=",
    "a=inactive\r\n",
    "c=IN IP4 0.0.0.0\r\n",
    "m=audio 0 RTP/AVP 0\r\n",
    "\u{0}",
];

fn mutated(text: &[u8], dice: &mut Dice) -> Bytes {
    let mut bytes = text.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len().max(1));
        if bytes.is_empty() {
            break;
        }
        match dice.roll(5) {
            0 => bytes[at] = dice.roll(256) as u8,
            1 => {
                bytes.remove(at);
            }
            2 => {
                let piece = PIECES[dice.roll(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
            3 => bytes.truncate(at.max(1)),
            _ => {
                let end = bytes.len().min(at + 40);
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes.into()
}

fn invite(n: usize) -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
        m=audio 4800 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    format!(
        "INVITE sip:+14255550100@203.0.113.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKn{n}\r\n\
         Max-Forwards: 70\r\nFrom: \"Noise\" <sip:+12065550122@x>;tag=n{n}\r\nTo: <sip:+14255550100@y>\r\n\
         Call-ID: noise{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:192.0.2.10>\r\nSupported: 100rel, timer\r\n\
         Privacy: id\r\nP-Asserted-Identity: <tel:+12065550122>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

#[test]
fn twenty_thousand_mutated_messages_end_no_call_and_leave_nothing() {
    let setup = Setup { last_port: 29_999, ..Setup::default() };
    let mut world = World::of(setup);
    let (caller, _) = world.talk();
    let (to_caller, to_callee) = (world.relay(CALLER), world.relay(CALLEE));
    let mut dice = Dice(0x5eed);
    for n in 0..20_000 {
        let from = [CALLER, CALLEE, STRANGER][dice.roll(3)];
        // New INVITEs, and everything that the B2BUA itself has said to these ends, sent back at it.
        let seen = world.ends[from].received.len();
        let text = match dice.roll(3) {
            1 if seen > 0 => world.ends[from].received[dice.roll(seen)].bytes().to_vec(),
            _ => invite(n % 50).into_bytes(),
        };
        let noise = mutated(&text, &mut dice);
        world.inject(from, noise);
        if n % 100 == 99 {
            world.run_ms(20);
        }
    }
    world.run_ms(100);
    let before = (world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len());
    world.talk_for(5, &[(CALLER, 4000, to_caller, 0), (CALLEE, 6000, to_callee, 0)]);
    let after = (world.heard(CALLER, 4000).len(), world.heard(CALLEE, 6000).len());
    assert_eq!((after.0 - before.0, after.1 - before.1), (5, 5), "the call in the middle of it all is up");
    world.hang_up(CALLER, caller);
    // What rings because of the noise rings for its minute.
    world.run_for(Duration::from_secs(130));
    world.settle();
    let totals = world.b2bua.totals();
    assert!(totals.offered > 50, "{totals:?}");
    assert_eq!(totals.ended + totals.refused_unreported, totals.offered, "each has its end: {totals:?}");
}
