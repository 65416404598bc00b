//! A PDU: it is read or answered, and one that was read can be written and is the same then.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sms::frame::{Framer, PDU_OCTETS_MAX};
use trunkline_sms::pdu;

fuzz_target!(|data: &[u8]| {
    let mut framer = Framer::new(PDU_OCTETS_MAX);
    framer.push(data);
    while let Ok(Some(frame)) = framer.poll_frame() {
        let Ok(read) = pdu::decode(&frame) else { continue };
        // Lenient responses may hold ids that are not ASCII: those are not written.
        if let Ok(written) = pdu::encode(&read) {
            assert_eq!(pdu::decode(&written).as_ref(), Ok(&read));
        }
    }
});
