//! From where packets may come, and where they go.

use crate::leg::queue::Channel;
use crate::negotiated::Negotiated;
use ipnet::IpNet;
use std::net::SocketAddr;

/// Knows the one address that RTP comes from and goes to.
///
/// That is the SDP address. Where the trunk allows latching, the first valid packet from one of its networks may move
/// it there, once; only new signalling lets it move again (CVE-2017-14099, CVE-2025-53399). The SDP address itself
/// wins it back within the first packets.
#[derive(Debug)]
pub(super) struct Sources {
    networks: Vec<IpNet>,
    signalled: Option<Signalled>,
    latched: Option<SocketAddr>,
    latched_rtcp: Option<SocketAddr>,
    /// Packets accepted since the address was signalled.
    accepted: u8,
}

/// What to do with a packet, by where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes from where it should.
    Expected,
    /// Its source may become the one, if it is a valid packet.
    Latches,
    /// It comes from elsewhere.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signalled {
    rtp: SocketAddr,
    rtcp: SocketAddr,
    mux: bool,
}

/// So many packets decide where RTP comes from; after that nothing but signalling does.
const DECIDING_PACKETS: u8 = 5;

impl Sources {
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        Self { networks, signalled: None, latched: None, latched_rtcp: None, accepted: 0 }
    }

    /// Takes signalled addresses, and tells whether RTP moves. The same address again keeps the latch.
    pub(super) fn update(&mut self, negotiated: &Negotiated) -> bool {
        let signalled = Signalled {
            rtp: canonical(negotiated.remote_rtp),
            rtcp: canonical(negotiated.remote_rtcp),
            mux: negotiated.rtcp_mux,
        };
        let moved = self.signalled.is_none_or(|before| before.rtp != signalled.rtp);
        if moved {
            self.latched = None;
            self.accepted = 0;
        }
        if self.signalled != Some(signalled) {
            self.latched_rtcp = None;
        }
        self.signalled = Some(signalled);
        moved
    }

    pub(super) fn judge_rtp(&self, source: SocketAddr) -> Verdict {
        let source = canonical(source);
        let Some(signalled) = self.signalled else { return Verdict::Refused };
        if self.latched.unwrap_or(signalled.rtp) == source {
            return Verdict::Expected;
        }
        let open = match self.latched {
            Some(_) => self.accepted < DECIDING_PACKETS && source == signalled.rtp,
            None => self.accepted == 0 && self.networks.iter().any(|network| network.contains(&source.ip())),
        };
        if open { Verdict::Latches } else { Verdict::Refused }
    }

    /// Takes it that a valid packet came from a source that was not refused.
    pub(super) fn accept(&mut self, source: SocketAddr, verdict: Verdict) {
        self.accepted = self.accepted.saturating_add(1);
        if verdict == Verdict::Latches {
            let source = canonical(source);
            let signalled = self.signalled.is_some_and(|signalled| signalled.rtp == source);
            self.latched = if signalled { None } else { Some(source) };
            self.latched_rtcp = None;
        }
    }

    /// Whether RTCP from a source is heard: from where it was signalled, or from the host that RTP was latched to.
    pub(super) fn admit_rtcp(&mut self, source: SocketAddr) -> bool {
        let source = canonical(source);
        let Some(signalled) = self.signalled else { return false };
        if signalled.mux {
            return self.latched.unwrap_or(signalled.rtp) == source;
        }
        if self.latched_rtcp.unwrap_or(signalled.rtcp) == source {
            return true;
        }
        let follows =
            self.latched_rtcp.is_none() && self.latched.is_some_and(|latched| latched.ip() == source.ip());
        if follows {
            self.latched_rtcp = Some(source);
        }
        follows
    }

    pub(super) fn rtp_target(&self) -> Option<SocketAddr> {
        self.latched.or(self.signalled.map(|signalled| signalled.rtp)).filter(is_reachable)
    }

    pub(super) fn rtcp_target(&self) -> Option<(Channel, SocketAddr)> {
        let signalled = self.signalled?;
        if signalled.mux {
            return self.rtp_target().map(|target| (Channel::Rtp, target));
        }
        self.latched_rtcp.or(Some(signalled.rtcp)).filter(is_reachable).map(|target| (Channel::Rtcp, target))
    }
}

/// Returns the address as IPv4 where it is one in IPv6 clothes, as dual-stack sockets show them.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether something can be sent there: `c=0.0.0.0` and port 0 mean hold and refusal.
fn is_reachable(address: &SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}
