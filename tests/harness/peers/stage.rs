//! What most tests begin with: carriers, each with an address and a phone, and Trunkline between them.

use super::addresses::{Addresses, free_port};
use super::phone::Phone;
use super::sipp::Caller;
use super::trunkline::{Metrics, Trunk, Trunkline};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use tempfile::TempDir;
use trunkline_model::CallRecord;

/// The number that Trunkline owns and that rings at the east.
pub const EAST_NUMBER: &str = "+14255550100";

/// A number that is reached through the west.
pub const WEST_NUMBER: &str = "+12065550100";

/// A carrier.
pub struct Carrier {
    /// The name of its trunk.
    pub name: &'static str,
    /// Its ear and mouth.
    pub phone: Phone,
    address: SocketAddr,
}

/// The place of one test.
pub struct Stage {
    addresses: Addresses,
    folder: TempDir,
}

impl Stage {
    /// Claims addresses and makes a folder.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn new() -> Self {
        Self { addresses: Addresses::claim(), folder: TempDir::with_prefix("trunkline-").expect("a folder") }
    }

    /// Returns the folder of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the addresses of the test.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns a carrier with an address of its own, number 0 to 99.
    #[must_use]
    pub fn carrier(&self, number: u8, name: &'static str) -> Carrier {
        let ip = self.addresses.carrier(number);
        Carrier { name, phone: Phone::at(ip), address: SocketAddr::new(ip, 5060) }
    }

    /// Returns a carrier on IPv6, of which this machine has one address only.
    #[must_use]
    pub fn carrier_v6(&self, name: &'static str) -> Carrier {
        let ip = IpAddr::V6(Ipv6Addr::LOCALHOST);
        Carrier { name, phone: Phone::at(ip), address: SocketAddr::new(ip, free_port(ip)) }
    }

    /// Starts Trunkline with these trunks; [`EAST_NUMBER`] is sent to the trunks named `east` and following, and
    /// [`WEST_NUMBER`] to `west`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn trunkline(&self, trunks: &[Trunk]) -> Trunkline {
        Trunkline::start(self.addresses.trunkline(), None, trunks, self.folder())
    }

    /// Starts Trunkline as [`Stage::trunkline`] does, with a listener on IPv6 too.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn trunkline_v6(&self, trunks: &[Trunk]) -> Trunkline {
        let port = free_port(IpAddr::V6(Ipv6Addr::LOCALHOST));
        Trunkline::start(self.addresses.trunkline(), Some(port), trunks, self.folder())
    }

    /// Returns a scenario in which the carrier answers.
    #[must_use]
    pub fn answers(&self, carrier: &Carrier, file: &'static str) -> Caller {
        Caller::new(carrier, file, None, self.folder())
    }

    /// Returns a scenario in which the carrier calls.
    #[must_use]
    pub fn calls(&self, carrier: &Carrier, file: &'static str, trunkline: &Trunkline) -> Caller {
        let remote = if carrier.address.is_ipv4() { trunkline.sip() } else { trunkline.sip_v6() };
        Caller::new(carrier, file, Some(remote), self.folder()).dials(EAST_NUMBER)
    }

    /// Returns a scenario in which the carrier calls an address.
    #[must_use]
    pub fn calls_at(&self, carrier: &Carrier, file: &'static str, remote: SocketAddr) -> Caller {
        Caller::new(carrier, file, Some(remote), self.folder())
    }

    /// Returns a scenario in which the carrier calls another one with nothing between them.
    #[must_use]
    pub fn calls_directly(&self, carrier: &Carrier, file: &'static str, callee: &Carrier) -> Caller {
        Caller::new(carrier, file, Some(callee.address()), self.folder()).dials(EAST_NUMBER)
    }

    /// Ends Trunkline and returns its call records, the earliest first.
    ///
    /// # Panics
    /// When it does not end well, or a port, a call or a transaction is left over.
    #[must_use]
    pub fn records(&self, trunkline: Trunkline) -> Vec<CallRecord> {
        let metrics = trunkline.metrics_at_rest();
        assert_eq!(Metrics::leftovers(&metrics), Vec::<String>::new(), "what is left over");
        trunkline.stop()
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Carrier {
    /// Returns where its SIP is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{Packet, Playing, Speech};
    use std::time::Duration;

    #[test]
    fn without_anything_between_them_two_phones_hear_each_other_exactly() {
        let stage = Stage::new();
        let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
        let callee = stage.answers(&east, "callee.xml").start();
        let caller = stage.calls_directly(&west, "caller.xml", &east).pauses(Duration::from_secs(4)).start();
        assert_eq!(caller.peer_audio(0), east.phone.address());
        assert_eq!(callee.peer_audio(0), west.phone.address());

        let speech = Speech::CALLER.encoded(Packet::PCMU);
        let mut playing = Playing::new(1);
        west.phone.play(&mut playing, caller.peer_audio(0), Packet::PCMU, speech, 160);
        west.phone.press(&mut playing, caller.peer_audio(0), 101, &[5, 5, 11]);
        let heard = east.phone.hears(Packet::PCMU, speech.len());
        heard.assert_audio(Packet::PCMU, speech, 160);
        heard.assert_one_stream();
        assert_eq!(heard.digits(101).iter().map(|digit| digit.event).collect::<Vec<_>>(), [5, 5, 11]);
        let _ = (caller.finish(), callee.finish());
    }
}
