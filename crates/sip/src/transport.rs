//! Where messages come from and go to, and the way back of responses (RFC 3261 §18, RFC 3581).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use trunkline_model::{Host, Transport};

use crate::header::Via;
use crate::message::Message;
use crate::uri;

/// A connection of a stream transport, as the shell numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The path that a message came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// How it travelled.
    pub transport: Transport,
    /// Our end: the socket that it arrived on.
    pub local: SocketAddr,
    /// The peer's end, as seen in the packet.
    pub remote: SocketAddr,
    /// The connection, on stream transports.
    pub connection: Option<ConnectionId>,
}

/// Where a message is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// How it travels.
    pub transport: Transport,
    /// The address and port.
    pub remote: SocketAddr,
    /// The socket to send from; none to leave it to the shell.
    pub local: Option<SocketAddr>,
    /// A connection to use while it is up; otherwise one is opened to `remote`.
    pub connection: Option<ConnectionId>,
}

/// Bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub target: Target,
    /// One whole message.
    pub bytes: Bytes,
}

/// The host and port that stand in Via and Contact for a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Advertised {
    /// The address or name that peers reach us by.
    pub host: Host,
    /// The port; none for the default of the transport.
    pub port: Option<u16>,
}

/// A socket that the shell listens on, and what is advertised for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The transport that it speaks.
    pub transport: Transport,
    /// The address that it is bound to.
    pub local: SocketAddr,
    /// What stands in Via and Contact.
    pub advertised: Advertised,
}

impl Target {
    /// Returns a target without a preference for a socket or a connection.
    pub fn new(transport: Transport, remote: SocketAddr) -> Self {
        Self { transport, remote, local: None, connection: None }
    }

    /// Returns true if a failure of that transport to that address, or of that connection, is one of this target.
    pub(crate) fn is_on(&self, connection: Option<ConnectionId>) -> bool {
        connection.is_none() || self.connection.is_none() || self.connection == connection
    }
}

impl From<Flow> for Target {
    fn from(flow: Flow) -> Self {
        Self {
            transport: flow.transport,
            remote: flow.remote,
            local: Some(flow.local),
            connection: flow.connection,
        }
    }
}

impl Advertised {
    /// Returns what a socket shows when nothing else is configured: its own address.
    pub fn of(local: SocketAddr) -> Self {
        Self { host: Host::Ip(local.ip()), port: Some(local.port()) }
    }

    /// Returns `host:port` as it stands in Via and URIs.
    pub(crate) fn write(&self, text: &mut String) {
        // Writing into a String does not fail.
        let _ = write!(text, "{}", self.host);
        if let Some(port) = self.port {
            let _ = write!(text, ":{port}");
        }
    }
}

/// Returns the name of a transport in Via (RFC 3261 §20.42, RFC 7118 §5).
pub(crate) fn via_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::Wss => "WSS",
    }
}

/// Returns where the responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4).
///
/// On a stream it is the connection that the request came on; should that be gone, the shell opens one to the
/// sent-by address.
pub(crate) fn response_target(request: &Message, flow: Flow) -> Target {
    let via = request.top_via().ok();
    let mut target = Target::from(flow);
    if flow.transport.is_reliable() {
        return target;
    }
    let Some(via) = via else { return target };
    if let Some(maddr) = maddr(&via) {
        target.remote = SocketAddr::new(maddr, sent_by_port(&via, flow.transport));
        return target;
    }
    if !via.wants_rport() {
        target.remote = SocketAddr::new(flow.remote.ip(), sent_by_port(&via, flow.transport));
    }
    target
}

/// Returns where a response goes when the connection of its request is gone (RFC 3261 §18.2.2).
pub(crate) fn fallback_target(request: &Message, flow: Flow) -> Option<Target> {
    let via = request.top_via().ok()?;
    let remote = SocketAddr::new(flow.remote.ip(), sent_by_port(&via, flow.transport));
    Some(Target::new(flow.transport, remote))
}

fn sent_by_port(via: &Via<'_>, transport: Transport) -> u16 {
    via.port().unwrap_or(transport.default_port())
}

fn maddr(via: &Via<'_>) -> Option<IpAddr> {
    match uri::Host::parse_prefix(via.params().value("maddr")?)? {
        (uri::Host::Ip(ip), "") => Some(ip),
        (uri::Host::Ip(_) | uri::Host::Name(_), _) => None,
    }
}
