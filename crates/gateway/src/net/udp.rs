//! SIP over UDP.

use bytes::Bytes;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};
use trunkline_model::Transport;
use trunkline_sip::transport::{Flow, Transmit};
use trunkline_sip::user_agent::Input;

/// Receive and send buffer asked of the system. A burst of 1,000 INVITEs of 1.5 KB is 1.5 MB, and the kernel counts
/// more than the payload.
const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Largest payload that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// One UDP socket.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: tokio::net::UdpSocket,
    local: SocketAddr,
    buffer: Box<[u8]>,
}

/// Binds a socket, without sharing its port.
pub(crate) fn bind(local: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = if local.is_ipv6() { bind_ipv6_only(local)? } else { UdpSocket::bind(local)? };
    socket.set_nonblocking(true)?;
    // The system grants what its limits allow; less is no reason not to start.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// An IPv6 socket takes IPv6 only, so that `0.0.0.0` and `[::]` can listen on one port side by side.
fn bind_ipv6_only(local: SocketAddr) -> io::Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    rustix::net::bind(&socket, &local)?;
    Ok(UdpSocket::from(socket))
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket, local: SocketAddr) -> io::Result<Self> {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Self { socket, local, buffer: vec![0; DATAGRAM_BYTES_MAX].into() })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_recv_ready(cx).map(|_| ())
    }

    /// Returns the next datagram, or nothing when there is none.
    pub(super) fn receive(&mut self) -> Option<Input> {
        loop {
            match self.socket.try_recv_from(&mut self.buffer) {
                // RFC 5626 §4.4.2 and common practice: empty lines only keep a NAT binding open.
                Ok((length, _)) if is_keep_alive(self.buffer.get(..length).unwrap_or_default()) => {}
                Ok((length, remote)) => {
                    let bytes = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
                    let flow =
                        Flow { transport: Transport::Udp, local: self.local, remote, connection: None };
                    return Some(Input::Received { flow, bytes });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // An ICMP error that the system reports here does not say which peer it is about.
                Err(error) => tracing::debug!(local = %self.local, %error, "udp receive failed"),
            }
        }
    }

    /// Sends a datagram; false when the system did not take it. SIP repeats what matters.
    pub(super) fn send(&self, transmit: &Transmit) -> bool {
        match self.socket.try_send_to(&transmit.bytes, transmit.target.remote) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(local = %self.local, remote = %transmit.target.remote, %error, "udp send failed");
                false
            }
        }
    }
}

fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
