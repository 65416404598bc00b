//! SIP over UDP.

use bytes::Bytes;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{sock_extended_err, sockaddr_in6};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt as nix_sockopt,
};
use rustix::net::{SendFlags, sendto};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};
use trunkline_model::Transport;
use trunkline_sip::transport::{Flow, Transmit};
use trunkline_sip::user_agent::Input;

/// Receive and send buffer asked of the system. A burst of 1,000 INVITEs of 1.5 KB is 1.5 MB, and the kernel counts
/// more than the payload.
const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Largest payload that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Taken of what an ICMP error quotes. Routers quote up to 548 bytes of the datagram (RFC 1812 §4.3.2.3), and the Via that
/// tells which request it was is the first header.
const QUOTE_BYTES_MAX: usize = 512;

/// One UDP socket.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: tokio::net::UdpSocket,
    local: SocketAddr,
    buffer: Box<[u8]>,
    /// Whether the system has ICMP errors for us.
    has_errors: bool,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The system has it.
    Yes,
    /// The system has no room for it now. SIP repeats what matters.
    Busy,
    /// The system does not send it, and will not later either.
    No,
}

/// Binds a socket, without sharing its port.
pub(crate) fn bind(local: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = if local.is_ipv6() { bind_ipv6_only(local)? } else { UdpSocket::bind(local)? };
    socket.set_nonblocking(true)?;
    // Beyond the system's limit (net.core.rmem_max) where we may; else what that grants is no reason not to start.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER_BYTES).is_err() {
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    }
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    // Without ICMP errors a dead gateway is found out by its silence, which takes longer.
    let _ = match local {
        SocketAddr::V4(_) => setsockopt(&socket, nix_sockopt::Ipv4RecvErr, &true),
        SocketAddr::V6(_) => setsockopt(&socket, nix_sockopt::Ipv6RecvErr, &true),
    };
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
        Ok(Self { socket, local, buffer: vec![0; DATAGRAM_BYTES_MAX].into(), has_errors: false })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_errors {
            return Poll::Ready(());
        }
        self.socket.poll_recv_ready(cx).map(|_| ())
    }

    /// Returns the next datagram or ICMP error, or nothing when there is none.
    pub(super) fn receive(&mut self) -> Option<Input> {
        while self.has_errors {
            match self.next_error() {
                Some(Some((remote, quoted))) => {
                    return Some(Input::TransportFailed {
                        transport: Transport::Udp,
                        remote,
                        connection: None,
                        quoted: Some(quoted),
                    });
                }
                Some(None) => {}
                None => self.has_errors = false,
            }
        }
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
                // What is reported here does not say which peer it is about; the error queue does.
                Err(error) => {
                    tracing::debug!(local = %self.local, %error, "udp receive failed");
                    self.has_errors = true;
                    return self.receive();
                }
            }
        }
    }

    /// Sends a datagram.
    pub(super) fn send(&mut self, transmit: &Transmit) -> Sent {
        let remote = transmit.target.remote;
        // The first try may report an ICMP error of an earlier datagram instead of sending this one.
        for _ in 0..2 {
            // Not by way of the runtime, which takes a new socket for unwritable until it has looked at it.
            match sendto(&self.socket, &transmit.bytes, SendFlags::empty(), &remote) {
                Ok(_) => return Sent::Yes,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => return Sent::Busy,
                Err(error) => {
                    tracing::debug!(local = %self.local, %remote, %error, "udp send failed");
                    self.has_errors = true;
                }
            }
        }
        Sent::No
    }

    /// Takes an error off the socket's queue: the peer that could not be reached and what it was sent, or nothing that
    /// concerns a peer.
    fn next_error(&self) -> Option<Option<(SocketAddr, Bytes)>> {
        let mut control = cmsg_space!(sock_extended_err, sockaddr_in6);
        let mut payload = [0; QUOTE_BYTES_MAX];
        let mut slices = [IoSliceMut::new(&mut payload)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let received =
            recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags)
                .ok()?;
        let unreachable = received.cmsgs().ok()?.any(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                is_unreachable(&error)
            }
            _ => false,
        });
        let remote = received.address.filter(|_| unreachable).as_ref().and_then(socket_address);
        let length = received.bytes;
        let quoted = payload.get(..length).unwrap_or_default();
        Some(remote.map(|remote| (remote, Bytes::copy_from_slice(quoted))))
    }
}

/// RFC 3261 §18.4: host, network, port or protocol unreachable is told; anything else is not.
fn is_unreachable(error: &sock_extended_err) -> bool {
    let errno = i32::try_from(error.ee_errno).map_or(Errno::UnknownErrno, Errno::from_raw);
    matches!(errno, Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ENOPROTOOPT)
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let ipv4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    ipv4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use trunkline_sip::transport::Target;

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_reported_with_what_was_sent_there() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (socket, local) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut datagrams = Datagrams::new(socket, local).unwrap();
        let bytes = Bytes::from(vec![b'x'; 700]);
        let transmit = Transmit { target: Target::new(Transport::Udp, dead), bytes: bytes.clone() };

        assert_eq!(datagrams.send(&transmit), Sent::Yes);
        // A repetition, as SIP makes one: the error of the first is found when the second is sent.
        assert_eq!(datagrams.send(&transmit), Sent::Yes);

        poll_fn(|cx| datagrams.poll_ready(cx)).await;
        let Some(Input::TransportFailed { remote, quoted, .. }) = datagrams.receive() else {
            panic!("not reported")
        };
        assert_eq!((remote, quoted), (dead, Some(bytes.slice(..QUOTE_BYTES_MAX))));
    }

    #[tokio::test]
    async fn keep_alives_are_nobodys_business() {
        let (socket, local) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut datagrams = Datagrams::new(socket, local).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"\r\n\r\n", local).unwrap();
        peer.send_to(b"hello", local).unwrap();
        poll_fn(|cx| datagrams.poll_ready(cx)).await;
        let Some(Input::Received { bytes, flow }) = datagrams.receive() else { panic!("nothing came") };
        assert_eq!((&bytes[..], flow.remote), (&b"hello"[..], peer.local_addr().unwrap()));
        assert!(datagrams.receive().is_none());
    }
}
