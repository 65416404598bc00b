//! The GSM alphabet: octets of any kind show something, and a text that is in the alphabet comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sms::text::gsm7::{self, Language, NationalTables};

fuzz_target!(|data: &[u8]| {
    let [locking, single, fill, octets @ ..] = data else { return };
    let tables = NationalTables {
        locking: Language::from_identifier(locking % 15),
        single: Language::from_identifier(single % 15),
    };
    let septets = gsm7::unpack(octets, *fill);
    let text = gsm7::decode(&septets, tables);
    assert!(text.chars().count() <= septets.len());
    if let Ok(text) = std::str::from_utf8(octets)
        && let Some(septets) = gsm7::encode(text)
    {
        assert_eq!(gsm7::septet_count(text), Some(septets.len()));
        assert_eq!(gsm7::decode(&septets, NationalTables::default()), text);
        let unpacked = gsm7::unpack(&gsm7::pack(&septets, *fill), *fill);
        // A zero or a CR on the last bit is taken for padding.
        assert!(unpacked == septets || septets.starts_with(&unpacked) && septets.len() - unpacked.len() == 1);
    }
});
