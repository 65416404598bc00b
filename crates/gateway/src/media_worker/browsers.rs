//! The socket that all browsers of one worker share.

use super::slots::{self, SlotId};
use crate::metrics::WorkerMetrics;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;
use trunkline_call::{BridgeEvent, Side};
use trunkline_media::{DtlsEnd, DtlsTransport};
use trunkline_model::BridgeId;
use trunkline_webrtc::{Certificate, Event, Failure, Hub, HubConfig, Site};

/// Whose a leg is.
pub(super) type Key = (SlotId, Side);

/// What a worker needs to have browsers.
#[derive(Debug)]
pub(crate) struct BrowserSocket {
    socket: UdpSocket,
    config: HubConfig,
}

impl BrowserSocket {
    /// Binds one socket for each worker, from that port on or at any ports if it is 0, and returns them with what
    /// signalling has to know.
    ///
    /// Each has an address of the one family or of both: `bind` is unspecified then, and of IPv6.
    pub(crate) fn bind_all(
        bind: IpAddr,
        port: u16,
        workers: usize,
        certificate: &Certificate,
        (address, others): (IpAddr, Vec<IpAddr>),
    ) -> io::Result<(Vec<Self>, Site)> {
        let mut sockets = Vec::new();
        let mut ports = Vec::new();
        for index in 0..u16::try_from(workers).unwrap_or(u16::MAX) {
            let port =
                if port == 0 { 0 } else { port.checked_add(index).ok_or(io::ErrorKind::InvalidInput)? };
            let socket = UdpSocket::bind((bind, port))?;
            socket.set_nonblocking(true)?;
            slots::expedite(&socket, SocketAddr::new(bind, port));
            // Without it a burst of all browsers at once is lost; the system may give less.
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
            let port = socket.local_addr()?.port();
            let shown = std::iter::once(address).chain(others.iter().copied());
            let candidates = shown.map(|ip| SocketAddr::new(ip, port)).collect();
            sockets.push(Self { socket, config: HubConfig::new(certificate.clone(), candidates) });
            ports.push(port);
        }
        let end = DtlsEnd { fingerprint: certificate.fingerprint(), others };
        Ok((sockets, Site { end, address, ports }))
    }
}

/// The browsers of a worker.
pub(super) struct Browsers {
    pub(super) socket: UdpSocket,
    pub(super) hub: Hub<Key>,
    metrics: Arc<WorkerMetrics>,
    maps_ipv4: bool,
}

impl Browsers {
    pub(super) fn new(BrowserSocket { socket, config }: BrowserSocket, metrics: Arc<WorkerMetrics>) -> Self {
        let maps_ipv4 = socket.local_addr().is_ok_and(|local| local.is_ipv6());
        Self { socket, hub: Hub::new(config), metrics, maps_ipv4 }
    }

    /// Takes what offer and answer agreed on. Returns what signalling is to be told if that can't be had.
    pub(super) fn agree(&mut self, now: Instant, key: Key, transport: &DtlsTransport) -> Option<Event> {
        let refused = self.hub.agree(now, key, transport).err();
        self.metrics.browsers.set(self.hub.len() as u64);
        self.flush();
        refused.map(|error| {
            tracing::warn!(%error, "a browser is refused");
            self.metrics.browser_refusals.add(1);
            Event::Failed(Failure::Full)
        })
    }

    /// Ends a leg.
    pub(super) fn close(&mut self, now: Instant, key: Key) {
        self.hub.close(now, key);
        self.metrics.browsers.set(self.hub.len() as u64);
        self.flush();
    }

    /// Takes a datagram.
    pub(super) fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if let Err(reason) = self.hub.handle_datagram(now, source, datagram)
            && let Some(counter) = self.metrics.browser_drops.get(reason as usize)
        {
            counter.add(1);
        }
    }

    /// Sends what there is to send.
    pub(super) fn flush(&mut self) {
        while let Some(transmit) = self.hub.poll_transmit() {
            let remote = match transmit.remote {
                SocketAddr::V4(v4) if self.maps_ipv4 => {
                    SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
                }
                remote @ (SocketAddr::V4(_) | SocketAddr::V6(_)) => remote,
            };
            match self.socket.send_to(transmit.bytes, remote) {
                Ok(length) => {
                    self.metrics.packets_sent.add(1);
                    self.metrics.bytes_sent.add(length as u64);
                }
                Err(_) => self.metrics.send_failures.add(1),
            }
        }
    }

    /// Counts what happened to a leg, and returns what signalling is to be told.
    pub(super) fn tell(&self, id: BridgeId, side: Side, event: Event) -> Option<(BridgeId, BridgeEvent)> {
        match event {
            Event::Failed(Failure::Ice) => self.metrics.browser_ice_failures.add(1),
            Event::Failed(Failure::Dtls) => self.metrics.browser_dtls_failures.add(1),
            Event::Lost => self.metrics.browsers_lost.add(1),
            Event::Reported(_) => return None,
            Event::Failed(Failure::Full) | Event::Connected | Event::Moved | Event::Closed => {}
        }
        tracing::debug!(bridge = id.0, ?side, ?event, "path to a browser");
        Some((id, BridgeEvent::Browser(side, event)))
    }
}

/// Room for half a second of 1,000 browsers.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
