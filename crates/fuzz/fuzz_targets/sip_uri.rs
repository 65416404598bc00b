//! A URI, an address with a display name, and a Via: read, and said again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sip::header::{NameAddr, Via};
use trunkline_sip::uri::{Uri, escape_user, unescape};

fuzz_target!(|data: &[u8]| {
    if let Ok(address) = NameAddr::parse(data) {
        let _ = (address.display(), address.uri(), address.tag(), address.params().iter().count());
    }
    if let Ok(via) = Via::parse(data) {
        let _ = (via.transport(), via.host(), via.port(), via.branch(), via.wants_rport(), via.rport());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = unescape(text);
    if let Ok(uri) = Uri::parse(text) {
        let _ = (uri.scheme(), uri.host(), uri.port(), uri.password(), uri.headers(), uri.is_loose_router());
        for (name, _) in uri.params().iter() {
            let _ = uri.param(name);
        }
        assert_eq!(Uri::parse(&uri.to_string()).map(|again| again.port()), Ok(uri.port()));
        if let Some(user) = uri.user() {
            assert_eq!(unescape(&escape_user(&user)), user, "a user part survives escaping");
        }
    }
});
