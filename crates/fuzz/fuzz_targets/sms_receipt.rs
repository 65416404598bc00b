//! A receipt: any text is read without harm, and what was read can be looked up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sms::receipt::{CarrierId, Receipt, ReceiptTlvs};

fuzz_target!(|data: &[u8]| {
    let (tlvs, text) = match data {
        [0, state, rest @ ..] => {
            let at = rest.len().min(20);
            let (id, text) = rest.split_at(at);
            let message_id = Some(String::from_utf8_lossy(id).into_owned());
            (ReceiptTlvs { message_id, message_state: Some(*state), network_error: None }, text)
        }
        _ => (ReceiptTlvs::default(), data),
    };
    if let Some(receipt) = Receipt::read(&String::from_utf8_lossy(text), &tlvs) {
        let id = receipt.id.as_str();
        assert!(!id.is_empty() && id.len() <= 64);
        // An id has one spelling, unless what it says begins with a quote or a prefix of its own.
        let _ = CarrierId::parse(id);
        assert!(receipt.id.candidates().len() <= 5);
    }
});
