//! A user data header: never longer than what there is, and its part is a possible one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sms::segment::UserDataHeader;

fuzz_target!(|data: &[u8]| {
    if let Some(header) = UserDataHeader::parse(data) {
        assert!(header.octets <= data.len() && header.fill_bits() < 7);
        if let Some(part) = header.concat {
            assert!((1..=part.total).contains(&part.seq));
            let again = UserDataHeader::parse(&part.header_16bit()).and_then(|header| header.concat);
            assert_eq!(again, Some(part));
        }
    }
});
