use super::*;
use proptest::prelude::*;

const PLAIN: NationalTables = NationalTables { locking: None, single: None };

fn alphabet() -> Vec<char> {
    let basic = BASIC.iter().enumerate().filter(|(s, _)| *s != usize::from(ESCAPE)).map(|(_, c)| *c);
    basic.chain(EXTENSION.iter().map(|(_, c)| *c)).collect()
}

#[test]
fn all_127_characters_and_the_10_of_the_extension_survive_a_round_trip() {
    let all = alphabet();
    assert_eq!(all.len(), 137);
    for c in &all {
        let septets = encode(&c.to_string()).unwrap();
        assert_eq!(septets.len(), Septets::of(*c).unwrap().count());
        assert_eq!(decode(&septets, PLAIN), c.to_string());
    }
    let whole: String = all.iter().collect();
    assert_eq!(decode(&encode(&whole).unwrap(), PLAIN), whole);
    assert_eq!(septet_count(&whole), Some(127 + 20));
}

#[test]
fn nothing_else_is_in_the_alphabet() {
    let all = alphabet();
    for code in 0..0x3000 {
        let Some(c) = char::from_u32(code) else { continue };
        assert_eq!(Septets::of(c).is_some(), all.contains(&c), "{c:?}");
    }
    for c in ['`', 'ç', '\t', '“', '’', '—', '…'] {
        assert_eq!(Septets::of(c), None, "{c:?}");
    }
}

#[test]
fn septets_pack_as_the_standard_draws_them() {
    // TS 23.038 §6.1.2.1.1: the well-known octets of "hellohello".
    let packed = pack(&encode("hellohello").unwrap(), 0);
    assert_eq!(packed, [0xe8, 0x32, 0x9b, 0xfd, 0x46, 0x97, 0xd9, 0xec, 0x37]);
    assert_eq!(unpack(&packed, 0), encode("hellohello").unwrap());
    assert_eq!(pack(&[0x7f; 160], 0).len(), 140);
    // Behind a six-octet header: one fill bit, 153 septets, 134 octets.
    assert_eq!(pack(&[0x7f; 153], 1).len(), 134);
}

#[test]
fn an_escape_that_means_nothing_shows_what_the_main_table_has() {
    assert_eq!(decode(&[ESCAPE, 0x41], PLAIN), "A");
    assert_eq!(decode(&[ESCAPE, ESCAPE, 0x65], PLAIN), " e");
    assert_eq!(decode(&[0x41, ESCAPE], PLAIN), "A ");
}

#[test]
fn national_tables_show_their_letters_and_fall_back_to_the_default() {
    let turkish = NationalTables { locking: Some(Language::Turkish), single: Some(Language::Turkish) };
    assert_eq!(decode(&[0x07, 0x0b, 0x0c, 0x1c, 0x1d, 0x40, 0x60, 0x04], turkish), "ıĞğŞşİç€");
    assert_eq!(decode(&[ESCAPE, 0x53, ESCAPE, 0x28], turkish), "Ş{");
    let spanish = NationalTables { locking: None, single: Some(Language::Spanish) };
    assert_eq!(decode(&[ESCAPE, 0x41, ESCAPE, 0x09, ESCAPE, 0x75, 0x09], spanish), "ÁçúÇ");
    let portuguese =
        NationalTables { locking: Some(Language::Portuguese), single: Some(Language::Portuguese) };
    assert_eq!(decode(&[0x7b, 0x0b, ESCAPE, 0x05], portuguese), "ãÔê");
    let hindi = NationalTables { locking: Some(Language::Hindi), single: Some(Language::Hindi) };
    assert_eq!(decode(&[0x39, ESCAPE, 0x1c, ESCAPE, 0x41, ESCAPE, 0x65], hindi), "9०A€");
    let urdu = NationalTables { locking: Some(Language::Urdu), single: Some(Language::Urdu) };
    assert_eq!(decode(&[0x00, ESCAPE, 0x3f], urdu), "ا۔");
}

#[test]
fn language_identifiers_are_those_of_the_standard() {
    assert_eq!(Language::from_identifier(0), None);
    assert_eq!(Language::from_identifier(1), Some(Language::Turkish));
    assert_eq!(Language::from_identifier(13), Some(Language::Urdu));
    assert_eq!(Language::from_identifier(14), None);
}

proptest! {
    #[test]
    fn whatever_was_packed_is_unpacked(septets in proptest::collection::vec(0u8..128, 0..300), fill in 0u8..8) {
        // The last septet is not zero, for that may be padding.
        let mut septets = septets;
        septets.push(0x41);
        prop_assert_eq!(unpack(&pack(&septets, fill), fill), septets);
    }

    #[test]
    fn any_octets_show_something(octets: Vec<u8>, locking in 0u8..15, single in 0u8..15, fill: u8) {
        let tables = NationalTables {
            locking: Language::from_identifier(locking),
            single: Language::from_identifier(single),
        };
        let text = decode(&unpack(&octets, fill), tables);
        prop_assert!(text.chars().count() <= octets.len() * 8 / 7 + 1);
    }
}
