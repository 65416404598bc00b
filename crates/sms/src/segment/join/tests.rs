use super::*;
use crate::segment::split::{Carriage, Method, SplitPolicy, split};
use crate::segment::udh::UserDataHeader;
use crate::text::{DefaultAlphabet, encode_ucs2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use trunkline_model::clock::first_instant;

fn piece(reference: u16, total: u8, seq: u8, text: &str) -> Piece<u8> {
    Piece {
        from: "12065550111".into(),
        to: "14255550100".into(),
        concat: Concat::new(reference, total, seq).unwrap(),
        octets: crate::text::gsm7::encode(text).unwrap().into(),
        charset: Charset::Gsm7,
        tables: NationalTables::default(),
        fill_bits: 0,
        handle: seq,
    }
}

fn said(text: &str) -> Decoded {
    Decoded::Text { text: text.into(), lossy: false }
}

#[test]
fn parts_in_any_order_make_the_message() {
    let now = first_instant();
    let mut table = Reassembler::new(Limits::default());
    assert_eq!(table.handle_piece(now, piece(9, 3, 3, "ld")), Outcome::Held);
    assert_eq!(table.handle_piece(now, piece(9, 3, 1, "hello ")), Outcome::Held);
    assert_eq!(table.handle_piece(now, piece(9, 3, 3, "ld")), Outcome::Duplicate(3));
    let Outcome::Whole(whole) = table.handle_piece(now, piece(9, 3, 2, "wor")) else { panic!() };
    assert_eq!((whole.content, whole.handles, whole.missing), (said("hello world"), vec![1, 2, 3], vec![]));
    assert_eq!((table.octets_held(), table.poll_timeout()), (0, None));
}

#[test]
fn messages_of_other_numbers_references_or_totals_do_not_mix() {
    let now = first_instant();
    let mut table = Reassembler::new(Limits::default());
    assert_eq!(table.handle_piece(now, piece(9, 2, 1, "a")), Outcome::Held);
    assert_eq!(table.handle_piece(now, piece(8, 2, 2, "b")), Outcome::Held);
    assert_eq!(table.handle_piece(now, piece(9, 3, 2, "c")), Outcome::Held);
    let other = Piece { from: "12065550112".into(), ..piece(9, 2, 2, "d") };
    assert_eq!(table.handle_piece(now, other), Outcome::Held);
    assert!(matches!(table.handle_piece(now, piece(9, 2, 2, "e")), Outcome::Whole(_)));
}

#[test]
fn what_stays_unfinished_is_handed_over_with_its_gaps_named() {
    let now = first_instant();
    let mut table = Reassembler::new(Limits::default());
    table.handle_piece(now, piece(9, 3, 3, "c"));
    table.handle_piece(now, piece(9, 3, 1, "a"));
    let due = table.poll_timeout().unwrap();
    assert_eq!(due, now + Duration::from_secs(86_400));
    table.handle_timeout(due - Duration::from_millis(1));
    assert_eq!(table.poll_partial(), None);
    table.handle_timeout(due);
    let partial = table.poll_partial().unwrap();
    assert_eq!((partial.content, partial.missing), (said("ac"), vec![2]));
    assert_eq!((table.poll_partial(), table.octets_held()), (None, 0));
}

#[test]
fn a_reference_that_comes_round_does_not_mix_two_messages() {
    let now = first_instant();
    let mut table = Reassembler::new(Limits::default());
    table.handle_piece(now, piece(9, 2, 1, "old"));
    assert_eq!(table.handle_piece(now, piece(9, 2, 1, "new ")), Outcome::Held);
    let partial = table.poll_partial().unwrap();
    assert_eq!((partial.content, partial.missing), (said("old"), vec![2]));
    let Outcome::Whole(whole) = table.handle_piece(now, piece(9, 2, 2, "text")) else { panic!() };
    assert_eq!(whole.content, said("new text"));
}

#[test]
fn a_flood_of_first_parts_pushes_the_oldest_out_and_stays_within_the_limit() {
    let now = first_instant();
    let limits = Limits { octets_max: 64 * 1024, ..Limits::default() };
    let mut table = Reassembler::new(limits);
    for reference in 0..5_000u16 {
        table.handle_piece(now, piece(reference, 255, 1, &"x".repeat(150)));
        assert!(table.octets_held() <= limits.octets_max);
    }
    assert_eq!(table.poll_partial().unwrap().content, said(&"x".repeat(150)));
}

#[test]
fn a_surrogate_pair_that_the_sender_cut_in_two_is_whole_again() {
    let now = first_instant();
    let mut table = Reassembler::new(Limits::default());
    let octets = encode_ucs2("a😀");
    let ucs2 = |seq, octets: &[u8]| Piece {
        octets: Bytes::copy_from_slice(octets),
        charset: Charset::Ucs2,
        ..piece(1, 2, seq, "")
    };
    table.handle_piece(now, ucs2(2, &octets[4..]));
    let Outcome::Whole(whole) = table.handle_piece(now, ucs2(1, &octets[..4])) else { panic!() };
    assert_eq!(whole.content, said("a😀"));
}

#[test]
fn what_was_split_is_joined_in_every_order() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let now = first_instant();
    for round in 0..300u16 {
        let text: String = "één €uro ж 😀 [ok] ".repeat(12 + usize::from(round) % 30);
        let text = if round % 2 == 0 { text } else { text.replace(['ж', '😀'], "x") };
        let packed = round % 3 == 0;
        let default_alphabet = if packed { DefaultAlphabet::Gsm7Packed } else { DefaultAlphabet::Gsm7 };
        let method = [Method::Udh8, Method::Udh16, Method::Sar][usize::from(round) % 3];
        let policy = SplitPolicy { default_alphabet, method, segments_max: 255, transliterate: false };
        let mut segments = split(&text, &policy, round).unwrap().segments;
        segments.shuffle(&mut rng);
        let mut table = Reassembler::new(Limits::default());
        let mut whole = None;
        for segment in segments {
            let header = match segment.carriage {
                Carriage::Udh(_) => UserDataHeader::parse(&segment.octets).unwrap(),
                Carriage::Sar(concat) => UserDataHeader { concat: Some(concat), ..UserDataHeader::default() },
                Carriage::Plain | Carriage::Payload => panic!("one segment"),
            };
            let piece = Piece {
                concat: header.concat.unwrap(),
                octets: segment.octets.slice(header.octets..),
                charset: Charset::of(segment.data_coding, default_alphabet),
                fill_bits: header.fill_bits(),
                ..piece(1, 2, 1, "")
            };
            if let Outcome::Whole(joined) = table.handle_piece(now, piece) {
                whole = Some(joined);
            }
        }
        assert_eq!(whole.unwrap().content, said(&text), "round {round}");
    }
}
