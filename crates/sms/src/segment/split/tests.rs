use super::*;
use crate::segment::udh::UserDataHeader;
use crate::text::gsm7::NationalTables;
use crate::text::{Charset, Decoded};
use proptest::prelude::*;

fn policy(method: Method) -> SplitPolicy {
    SplitPolicy { method, segments_max: 255, ..SplitPolicy::default() }
}

/// The units of each part, as the vectors of rules D.4 give them.
fn units(text: &str, method: Method) -> Vec<u16> {
    split(text, &policy(method), 7).unwrap().segments.iter().map(|segment| segment.units).collect()
}

/// The text of each part, read as a handset would.
fn texts(split: &Split, carrier: DefaultAlphabet) -> Vec<String> {
    let read = |segment: &Segment| {
        let header = match segment.carriage {
            Carriage::Udh(_) => UserDataHeader::parse(&segment.octets).unwrap(),
            Carriage::Plain | Carriage::Sar(_) | Carriage::Payload => UserDataHeader::default(),
        };
        let charset = Charset::of(segment.data_coding, carrier);
        match charset.decode(&segment.octets[header.octets..], NationalTables::default(), header.fill_bits())
        {
            Decoded::Text { text, lossy: false } => text,
            other => panic!("{other:?}"),
        }
    };
    split.segments.iter().map(read).collect()
}

#[test]
fn the_gsm_vectors_of_rule_d_4() {
    assert_eq!(units(&"a".repeat(160), Method::Udh8), [160]);
    assert_eq!(units(&"a".repeat(161), Method::Udh8), [153, 8]);
    assert_eq!(units(&"a".repeat(306), Method::Udh8), [153, 153]);
    assert_eq!(units(&"a".repeat(307), Method::Udh8), [153, 153, 1]);
    assert_eq!(units(&"€".repeat(80), Method::Udh8), [160]);
    assert_eq!(units(&"€".repeat(81), Method::Udh8), [152, 10]);
    let mixed = format!("{}€€{}", "a".repeat(152), "a".repeat(10));
    assert_eq!(units(&mixed, Method::Udh8), [152, 14]);
}

#[test]
fn the_ucs2_vectors_of_rule_d_4() {
    assert_eq!(units(&"ж".repeat(70), Method::Udh8), [70]);
    assert_eq!(units(&"ж".repeat(71), Method::Udh8), [67, 4]);
    assert_eq!(units(&"ж".repeat(134), Method::Udh8), [67, 67]);
    assert_eq!(units(&"ж".repeat(135), Method::Udh8), [67, 67, 1]);
    assert_eq!(units(&"😀".repeat(35), Method::Udh8), [70]);
    assert_eq!(units(&"😀".repeat(36), Method::Udh8), [66, 6]);
    assert_eq!(units(&"😀".repeat(67), Method::Udh8), [66, 66, 2]);
    assert_eq!(units(&"`".repeat(10), Method::Udh8), [10]);
    assert_eq!(units(&format!("{}ж", "a".repeat(100)), Method::Udh8), [67, 34]);
}

#[test]
fn the_table_of_rule_d_4_for_every_method() {
    for (method, gsm, ucs2, octets) in
        [(Method::Udh8, 153, 67, 134), (Method::Udh16, 152, 66, 133), (Method::Sar, 153, 67, 134)]
    {
        assert_eq!(units(&"a".repeat(161), method), [gsm, 161 - gsm]);
        assert_eq!(units(&"ж".repeat(71), method), [ucs2, 71 - ucs2]);
        let binary = split_octets(&[7; 141], &policy(method), 1).unwrap();
        assert_eq!(binary.segments.iter().map(|s| s.units).collect::<Vec<_>>(), [octets, 141 - octets]);
        assert_eq!(split_octets(&[7; 140], &policy(method), 1).unwrap().billed, 1);
    }
}

#[test]
fn a_payload_is_whole_and_billed_as_the_carrier_will_cut_it() {
    let payload = split(&"a".repeat(161), &policy(Method::Payload), 1).unwrap();
    assert_eq!((payload.segments.len(), payload.billed), (1, 2));
    assert_eq!(payload.segments[0].carriage, Carriage::Payload);
    let short = split("a", &policy(Method::Payload), 1).unwrap();
    assert_eq!((short.segments[0].carriage, short.billed), (Carriage::Plain, 1));
    assert_eq!(split_octets(&[1; 200], &policy(Method::Payload), 1).unwrap().segments[0].octets.len(), 200);
}

#[test]
fn an_empty_message_is_one_empty_segment() {
    let empty = split("", &policy(Method::Udh16), 1).unwrap();
    assert_eq!((empty.billed, empty.segments[0].octets.len()), (1, 0));
    assert_eq!(split_octets(&[], &policy(Method::Udh16), 1).unwrap().billed, 1);
}

#[test]
fn a_message_over_the_limit_is_refused_with_its_length() {
    let policy = SplitPolicy { segments_max: 2, ..SplitPolicy::default() };
    assert_eq!(split(&"a".repeat(305), &policy, 1), Err(SplitError::TooManySegments { needed: 3, max: 2 }));
    let huge = "a".repeat(100_000);
    assert!(matches!(split(&huge, &policy, 1), Err(SplitError::TooManySegments { needed: 658, .. })));
}

#[test]
fn packed_segments_fill_140_octets_and_no_more() {
    let policy = SplitPolicy { default_alphabet: DefaultAlphabet::Gsm7Packed, ..policy(Method::Udh8) };
    let split = split(&"a".repeat(306), &policy, 1).unwrap();
    assert_eq!(split.segments.iter().map(|s| s.octets.len()).collect::<Vec<_>>(), [140, 140]);
    assert_eq!(texts(&split, policy.default_alphabet).concat(), "a".repeat(306));
}

#[test]
fn references_roll_for_a_pair_and_differ_between_starts() {
    let mut references = References::new(1);
    let first = references.take("+14255550100", "+12065550111");
    assert_eq!(references.take("+14255550100", "+12065550111"), first.wrapping_add(1));
    let mut others = (2..12).map(|seed| References::new(seed).take("+14255550100", "+12065550111"));
    assert!(others.any(|other| other != first));
}

#[test]
fn a_thousand_emoji_strings_are_never_cut_in_half() {
    let emoji = ['😀', '👍', '🎉', '🇨', '❤', '\u{fe0f}', '\u{200d}', '👩', '🏽', 'a', ' '];
    for n in 0..1_000usize {
        let text: String =
            (0..40 + n % 200).map(|i| emoji[(i * 7 + n * 13 + i * i * n) % emoji.len()]).collect();
        for method in [Method::Udh8, Method::Udh16, Method::Sar] {
            let split = split(&text, &policy(method), 1).unwrap();
            assert_eq!(texts(&split, DefaultAlphabet::Gsm7).concat(), text);
        }
    }
}

fn any_method() -> impl Strategy<Value = Method> {
    prop_oneof![Just(Method::Udh8), Just(Method::Udh16), Just(Method::Sar), Just(Method::Payload)]
}

proptest! {
    #[test]
    fn parts_join_to_the_text_and_each_fits_a_short_message(
        text in "([a-z€\\[~é]{0,400}|[a-zж😀]{0,300}|.{0,300})",
        method in any_method(),
        packed: bool,
    ) {
        let default_alphabet = if packed { DefaultAlphabet::Gsm7Packed } else { DefaultAlphabet::Gsm7 };
        let policy = SplitPolicy { default_alphabet, ..policy(method) };
        let split = split(&text, &policy, 0xabcd).unwrap();
        // A lone zero septet at the end of a packed part cannot be told from padding; the text is then CR-padded.
        let joined = texts(&split, default_alphabet).concat();
        if packed {
            prop_assert_eq!(joined.replace('\r', ""), text.replace('\r', ""));
        } else {
            prop_assert_eq!(joined, text);
        }
        if method != Method::Payload {
            for segment in &split.segments {
                let octets = segment.octets.len();
                let longest = match (segment.data_coding, packed, segment.carriage) {
                    (CODING_UCS2, _, _) | (_, true, _) => 140,
                    (_, false, Carriage::Udh(_)) => 159,
                    (_, false, _) => 160,
                };
                prop_assert!(octets <= longest);
            }
        }
    }

    #[test]
    fn no_fewer_segments_would_do(text in "[a-z€ж😀]{0,400}") {
        let split = split(&text, &policy(Method::Udh8), 1).unwrap();
        let total: u16 = split.segments.iter().map(|segment| segment.units).sum();
        let gsm = split.segments[0].data_coding == CODING_DEFAULT;
        let (single, several) = if gsm { (160, 153) } else { (70, 67) };
        if total <= single {
            prop_assert_eq!(split.billed, 1);
        } else {
            // A pair that does not fit leaves one unit of a part empty.
            prop_assert!(split.billed >= total.div_ceil(several));
            prop_assert!(split.billed <= total.div_ceil(several - 1));
        }
    }
}
