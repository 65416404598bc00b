//! SIP sockets: UDP, TCP and WebSocket, as one source of inputs and one sink of outputs.

mod tcp;
mod udp;
pub(crate) mod ws;

pub(crate) use tcp::{Known, bind as bind_tcp};
pub(crate) use udp::bind as bind_udp;

use crate::config::StreamLimits;
use crate::metrics::{MessageKind, Metrics};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::Poll;
use tcp::{StreamEvent, Streams};
use tokio::sync::mpsc;
use trunkline_model::Transport;
use trunkline_sip::transport::Transmit;
use trunkline_sip::user_agent::Input;
use udp::{Datagrams, Sent};

/// All SIP sockets of one signalling task.
///
/// [`ready`](Self::ready) waits, [`receive`](Self::receive) takes what is there without waiting.
#[derive(Debug)]
pub(crate) struct Net {
    datagrams: Vec<Datagrams>,
    streams: Streams,
    stream_events: mpsc::Receiver<StreamEvent>,
    /// The event that [`ready`](Self::ready) woke up for.
    stream_event: Option<StreamEvent>,
    web_sockets: ws::Sockets,
    /// The same of a WebSocket.
    web_event: Option<ws::Event>,
    /// What could not even be sent, to be received.
    unsent: VecDeque<Input>,
    /// Which socket is read next, so that a busy one does not starve the others.
    turn: usize,
    metrics: Arc<Metrics>,
}

/// Sockets that are bound and not yet part of a task.
#[derive(Debug)]
pub(crate) struct Bound {
    /// UDP sockets, each with its address.
    pub(crate) udp: Vec<(UdpSocket, SocketAddr)>,
    /// TCP listeners, each with its address.
    pub(crate) tcp: Vec<(std::net::TcpListener, SocketAddr)>,
}

impl Net {
    /// Takes over bound sockets. Must be called on the runtime that will drive them.
    pub(crate) fn new(
        bound: Bound,
        web_sockets: ws::Sockets,
        limits: StreamLimits,
        known: Known,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let mut datagrams = Vec::with_capacity(bound.udp.len());
        for (socket, local) in bound.udp {
            datagrams.push(Datagrams::new(socket, local)?);
        }
        let (sender, stream_events) = mpsc::channel(tcp::EVENTS_MAX);
        let streams = Streams::new(bound.tcp, (limits, known), sender, Arc::clone(&metrics))?;
        let (stream_event, unsent, turn) = (None, VecDeque::new(), 0);
        Ok(Self {
            datagrams,
            streams,
            stream_events,
            stream_event,
            web_sockets,
            web_event: None,
            unsent,
            turn,
            metrics,
        })
    }

    /// Waits until [`receive`](Self::receive) is worth a try.
    pub(crate) async fn ready(&mut self) {
        poll_fn(|cx| {
            if self.stream_event.is_some() || self.web_event.is_some() || !self.unsent.is_empty() {
                return Poll::Ready(());
            }
            // The channel never closes: `streams` holds a sender.
            if let Poll::Ready(Some(event)) = self.stream_events.poll_recv(cx) {
                self.stream_event = Some(event);
                return Poll::Ready(());
            }
            if let Poll::Ready(Some(event)) = self.web_sockets.events.poll_recv(cx) {
                self.web_event = Some(event);
                return Poll::Ready(());
            }
            if self.datagrams.iter().any(|socket| socket.poll_ready(cx).is_ready()) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Returns the next input, or nothing when all sockets are empty.
    pub(crate) fn receive(&mut self) -> Option<Input> {
        if let Some(failed) = self.unsent.pop_front() {
            return Some(failed);
        }
        loop {
            let event = self.stream_event.take().or_else(|| self.stream_events.try_recv().ok());
            let Some(event) = event else { break };
            if let Some(input) = self.streams.handle(event) {
                self.note_received(&input);
                return Some(input);
            }
        }
        loop {
            let event = self.web_event.take().or_else(|| self.web_sockets.events.try_recv().ok());
            let Some(event) = event else { break };
            if let Some(input) = self.web_sockets.handle(event) {
                self.note_received(&input);
                return Some(input);
            }
        }
        for _ in 0..self.datagrams.len() {
            let socket = self.turn % self.datagrams.len();
            self.turn = self.turn.wrapping_add(1);
            let input = self.datagrams.get_mut(socket).and_then(Datagrams::receive);
            if let Some(input) = input {
                self.note_received(&input);
                return Some(input);
            }
        }
        None
    }

    /// Sends one message. The failure of a request comes back as an input; a response is asked for again by its request.
    pub(crate) fn send(&mut self, transmit: Transmit) {
        if let Some(sent) = self.metrics.sip_sent.get(MessageKind::of(&transmit.bytes) as usize) {
            sent.add(1);
        }
        let sent = match transmit.target.transport {
            Transport::Udp => {
                choose(&mut self.datagrams, &transmit).map_or(Sent::No, |socket| socket.send(&transmit))
            }
            Transport::Tcp if self.streams.send(&transmit) => Sent::Yes,
            Transport::Wss if self.web_sockets.send(&transmit) => Sent::Yes,
            // Configuration does not admit TLS yet, so no listener, and no message, speaks it.
            Transport::Tcp | Transport::Tls | Transport::Wss => Sent::No,
        };
        if sent != Sent::Yes {
            self.metrics.sip_send_failures.add(1);
        }
        if sent == Sent::No && !transmit.bytes.starts_with(b"SIP/2.0 ") {
            let Transmit { target, bytes } = transmit;
            let (transport, remote, connection) = (target.transport, target.remote, None);
            self.unsent.push_back(Input::TransportFailed {
                transport,
                remote,
                connection,
                quoted: Some(bytes),
            });
        }
    }

    /// Keeps room for connections of others from now on.
    pub(crate) fn set_known(&mut self, known: Known) {
        self.streams.set_known(known);
    }

    /// Returns how many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.streams.len() + self.web_sockets.len()
    }

    fn note_received(&self, input: &Input) {
        if let Input::Received { bytes, .. } = input
            && let Some(received) = self.metrics.sip_received.get(MessageKind::of(bytes) as usize)
        {
            received.add(1);
        }
    }
}

/// Picks the socket that a message asks for, or else the first of the right IP version.
fn choose<'a>(sockets: &'a mut [Datagrams], transmit: &Transmit) -> Option<&'a mut Datagrams> {
    let wanted = |socket: &Datagrams| Some(socket.local()) == transmit.target.local;
    let fits = |socket: &Datagrams| socket.local().is_ipv4() == transmit.target.remote.is_ipv4();
    let at = sockets.iter().position(wanted).or_else(|| sockets.iter().position(fits))?;
    sockets.get_mut(at)
}

/// Returns the address that the system would send from towards a peer.
///
/// Connecting a datagram socket sends nothing: it only looks up the route.
pub(crate) fn source_towards(peer: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((peer, DISCARD)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

/// Any port does; nothing is sent.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests;
