//! Segments: a text that was cut is joined again, whatever order its parts come in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_model::clock::first_instant;
use trunkline_sms::segment::split::split;
use trunkline_sms::segment::{
    Carriage, Limits, Method, Outcome, Piece, Reassembler, SplitPolicy, UserDataHeader,
};
use trunkline_sms::text::{Charset, Decoded, DefaultAlphabet};

fuzz_target!(|data: &[u8]| {
    let [method, rotate, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let method = [Method::Udh8, Method::Udh16, Method::Sar][usize::from(*method) % 3];
    let policy = SplitPolicy { method, segments_max: 255, ..SplitPolicy::default() };
    let Ok(cut) = split(text, &policy, 9) else { return };
    let mut segments = cut.segments;
    let count = segments.len();
    if count == 1 {
        return;
    }
    segments.rotate_left(usize::from(*rotate) % count);
    let mut table = Reassembler::new(Limits::default());
    let mut whole = None;
    for segment in segments {
        let header = match segment.carriage {
            Carriage::Udh(_) => UserDataHeader::parse(&segment.octets).expect("its own header"),
            Carriage::Sar(part) => UserDataHeader { concat: Some(part), ..UserDataHeader::default() },
            Carriage::Plain | Carriage::Payload => panic!("several segments of one"),
        };
        let piece = Piece {
            from: "12065550111".into(),
            to: "14255550100".into(),
            concat: header.concat.expect("a part"),
            octets: segment.octets.slice(header.octets..),
            charset: Charset::of(segment.data_coding, DefaultAlphabet::Gsm7),
            tables: header.tables,
            fill_bits: header.fill_bits(),
            handle: (),
        };
        if let Outcome::Whole(joined) = table.handle_piece(first_instant(), piece) {
            whole = Some(joined.content);
        }
    }
    assert_eq!(whole, Some(Decoded::Text { text: text.into(), lossy: false }));
});
