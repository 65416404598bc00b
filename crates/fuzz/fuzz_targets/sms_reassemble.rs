//! Reassembly: parts of any kind stay within the limit, and each comes out once.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trunkline_model::clock::first_instant;
use trunkline_sms::segment::{Concat, Limits, Outcome, Piece, Reassembler};
use trunkline_sms::text::Charset;
use trunkline_sms::text::gsm7::NationalTables;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { octets_max: 4_096, ..Limits::default() };
    let mut table = Reassembler::new(limits);
    let mut now = first_instant();
    let (mut given, mut back) = (0usize, 0usize);
    for step in data.chunks_exact(5) {
        let &[reference, total, seq, wait, length] = step else { continue };
        now += Duration::from_secs(u64::from(wait) * 600);
        table.handle_timeout(now);
        let Some(concat) = Concat::new(u16::from(reference % 8), total, seq) else { continue };
        let piece = Piece {
            from: "12065550111".into(),
            to: "14255550100".into(),
            concat,
            octets: Bytes::from(vec![0x41; usize::from(length)]),
            charset: if length % 3 == 0 { Charset::Ucs2 } else { Charset::Gsm7 },
            tables: NationalTables::default(),
            fill_bits: 0,
            handle: given,
        };
        given += 1;
        back += match table.handle_piece(now, piece) {
            Outcome::Whole(joined) => joined.handles.len(),
            Outcome::Duplicate(_) => 1,
            Outcome::Held => 0,
        };
        assert!(table.octets_held() <= limits.octets_max);
        while let Some(joined) = table.poll_partial() {
            assert_eq!(joined.handles.len() + joined.missing.len(), usize::from(joined.total));
            back += joined.handles.len();
        }
    }
    table.handle_timeout(now + limits.wait);
    while let Some(joined) = table.poll_partial() {
        back += joined.handles.len();
    }
    assert_eq!((given, table.octets_held()), (back, 0));
});
