//! Loopback addresses that one test has to itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// The address 127.x.y.254 of a block and this port are held while the block is claimed.
///
/// It is below the ephemeral ports, and no service has it.
const CLAIM_PORT: u16 = 5999;

/// A claimed block 127.x.y.0/24. All of 127.0.0.0/8 is this machine.
pub struct Addresses {
    block: [u8; 2],
    _claim: TcpListener,
}

impl Addresses {
    /// Claims a block that no running test has.
    ///
    /// # Panics
    /// When all are taken.
    #[must_use]
    pub fn claim() -> Self {
        // Tests that run at once begin at different places; the claim decides where they meet.
        let first = std::process::id();
        (first..first + 16_384)
            .map(|number| [64 + (number / 256 % 64) as u8, (number % 256) as u8])
            .find_map(|block| {
                let claim =
                    TcpListener::bind((Ipv4Addr::new(127, block[0], block[1], 254), CLAIM_PORT)).ok()?;
                Some(Self { block, _claim: claim })
            })
            .expect("a free block of loopback addresses")
    }

    /// Returns the address of Trunkline.
    #[must_use]
    pub fn trunkline(&self) -> IpAddr {
        self.host(1)
    }

    /// Returns the address of one of the carriers, 0 to 99.
    #[must_use]
    pub fn carrier(&self, number: u8) -> IpAddr {
        self.host(10 + number)
    }

    /// Returns a further address of a carrier, from which only media come.
    #[must_use]
    pub fn media(&self, number: u8) -> IpAddr {
        self.host(110 + number)
    }

    fn host(&self, number: u8) -> IpAddr {
        Ipv4Addr::new(127, self.block[0], self.block[1], number).into()
    }
}

/// Returns a port that is free for UDP and TCP at an address that cannot be claimed, such as `::1`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port(ip: IpAddr) -> u16 {
    (0..100)
        .find_map(|_| {
            let udp = UdpSocket::bind((ip, 0)).ok()?;
            let port = udp.local_addr().ok()?.port();
            TcpListener::bind(SocketAddr::new(ip, port)).ok().map(|_| port)
        })
        .expect("a free port")
}
