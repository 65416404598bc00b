//! A session description: read, and printed and read to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_media::sdp::{SDP_BYTES_MAX, Sdp};

fuzz_target!(|data: &[u8]| {
    let sdp = match Sdp::parse(data) {
        Ok(sdp) => sdp,
        Err(error) => {
            let _ = error.warning();
            return;
        }
    };
    for media in sdp.media() {
        let _ = (sdp.direction_of(media), sdp.connection_of(media).map(|connection| connection.is_hold()));
        let _ =
            (media.ptime_ms(), media.maxptime_ms(), media.rtcp(), media.rtcp_mux(), media.cryptos().count());
        for format in media.formats() {
            let _ = media.fmtp(format.parse().unwrap_or(0));
        }
        assert!(media.rtpmaps().all(|map| map.number < 128));
    }
    let printed = sdp.print();
    // Printing adds the lines that the standard demands; that may push a text at the limit over it.
    if printed.len() + 64 < SDP_BYTES_MAX {
        let again = Sdp::parse(&printed).expect("our own print is read");
        assert_eq!(again.origin(), sdp.origin());
        assert_eq!(again.connection(), sdp.connection());
        assert_eq!(again.attributes(), sdp.attributes());
        assert_eq!(again.media().len(), sdp.media().len());
        assert_eq!(again.print(), printed);
    }
});
