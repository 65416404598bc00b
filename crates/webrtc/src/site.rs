//! What signalling has to know of the media workers, to speak for them.

use std::net::IpAddr;
use trunkline_media::{DtlsEnd, Local, MediaSession};
use trunkline_model::{BridgeId, MediaPolicy};

/// The sockets for browsers of all media workers of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What is the same for all.
    pub end: DtlsEnd,
    /// The address that descriptions name first.
    pub address: IpAddr,
    /// The port of each worker.
    pub ports: Vec<u16>,
}

impl Site {
    /// Returns our end of a leg that is to be on a bridge: the worker of the bridge has it.
    pub fn local(&self, bridge: BridgeId, policy: &MediaPolicy) -> Local {
        let port = self.ports.get(bridge.worker(self.ports.len())).copied();
        Local::new(self.address, port.unwrap_or_default(), policy)
    }

    /// Returns a session with a browser. The seed must be one that nobody can guess.
    pub fn session(&self, bridge: BridgeId, policy: &MediaPolicy, seed: [u8; 32]) -> MediaSession {
        MediaSession::with_browser(self.local(bridge, policy), self.end.clone(), seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_media::{Fingerprint, Wish};

    #[test]
    fn a_description_names_the_port_of_the_worker_that_has_the_bridge() {
        let other = "2001:db8::1".parse().unwrap();
        let end = DtlsEnd { fingerprint: Fingerprint([0xab; 32]), others: vec![other] };
        let site = Site { end, address: "198.51.100.1".parse().unwrap(), ports: vec![40_000, 40_001] };
        let mut session = site.session(BridgeId(7 << 8), &MediaPolicy::default(), [7; 32]);
        let offer = session.offer(Wish::default());
        let offer = std::str::from_utf8(&offer).unwrap();
        assert!(offer.contains("\r\nm=audio 40001 UDP/TLS/RTP/SAVPF "), "{offer}");
        assert!(
            offer.contains("\r\na=candidate:1 1 udp 2130706431 198.51.100.1 40001 typ host\r\n"),
            "{offer}"
        );
        assert!(
            offer.contains("\r\na=candidate:2 1 udp 2130706175 2001:db8::1 40001 typ host\r\n"),
            "{offer}"
        );
    }
}
