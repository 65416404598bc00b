//! Runs an [`Endpoint`] over real sockets: the sandbox carrier, and the caller of `trunkline call`.
//!
//! One task drives it; its calls are few, so that media needs no thread of its own here.

use crate::app::free_ports;
use crate::config::StreamLimits;
use crate::dns::{Question, Resolver};
use crate::metrics::Metrics;
use crate::net::{Bound, Known, Net, bind_tcp, bind_udp, ws};
use anyhow::Context;
use rustix::net::{SendFlags, sendto};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;
use trunkline_api::sip_routing::Reach;
use trunkline_media::Channel;
use trunkline_model::Transport;
use trunkline_sandbox::{Endpoint, Event, Input, LineId, Output};
use trunkline_sip::transport::{Advertised, Listener};
use trunkline_sip::user_agent::Input as SipInput;

/// Datagrams of all media ports that wait; a hundred calls bring 5,000 a second.
const DATAGRAMS_MAX: usize = 4096;

/// Inputs handled before timers get their turn.
const INPUTS_A_TURN: usize = 64;

/// Longest sleep.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Largest media packet taken.
const PACKET_BYTES_MAX: usize = 2048;

/// TCP limits of an endpoint: it serves a few peers.
const STREAMS: StreamLimits = StreamLimits {
    connections_max: 200,
    per_source_max: 200,
    idle: Duration::from_secs(600),
    message: Duration::from_secs(10),
    connect: Duration::from_secs(4),
    write: Duration::from_secs(10),
};

/// SIP sockets of an endpoint, bound.
#[derive(Debug)]
pub(crate) struct Sockets {
    bound: Bound,
}

impl Sockets {
    /// Binds UDP and TCP.
    pub(crate) fn bind(udp: Option<SocketAddr>, tcp: Option<SocketAddr>) -> anyhow::Result<Self> {
        let udp = udp.map(|local| bind_udp(local).with_context(|| format!("cannot listen on udp {local}")));
        let tcp = tcp.map(|local| bind_tcp(local).with_context(|| format!("cannot listen on tcp {local}")));
        let bound = Bound {
            udp: udp.transpose()?.into_iter().collect(),
            tcp: tcp.transpose()?.into_iter().collect(),
        };
        Ok(Self { bound })
    }

    /// Returns the listeners for a user agent; each shows its own address.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let udp = self.bound.udp.iter().map(|(_, local)| (Transport::Udp, *local));
        let tcp = self.bound.tcp.iter().map(|(_, local)| (Transport::Tcp, *local));
        let listener = |(transport, local)| Listener { transport, local, advertised: Advertised::of(local) };
        udp.chain(tcp).map(listener).collect()
    }
}

/// An endpoint and all its sockets.
pub(crate) struct Shell {
    endpoint: Endpoint,
    net: Net,
    ports: MediaPorts,
    datagrams: mpsc::Receiver<Datagram>,
    resolver: Resolver,
    answers: mpsc::UnboundedReceiver<SipInput>,
    events: VecDeque<Event>,
}

impl Shell {
    /// Joins an endpoint with its sockets. Must be called on the runtime that will drive them.
    pub(crate) fn new(endpoint: Endpoint, sockets: Sockets, media_address: IpAddr) -> anyhow::Result<Self> {
        let is_ipv4 = media_address.is_ipv4();
        let (resolver, answers) = Resolver::new(is_ipv4, !is_ipv4, Reach::default());
        let net =
            Net::new(sockets.bound, ws::Sockets::none(), STREAMS, Known::All, Arc::new(Metrics::default()))?;
        let (received, datagrams) = mpsc::channel(DATAGRAMS_MAX);
        let ports = MediaPorts { address: media_address, lines: HashMap::new(), received };
        Ok(Self { endpoint, net, ports, datagrams, resolver, answers, events: VecDeque::new() })
    }

    /// Has the endpoint do something.
    pub(crate) fn command<T>(&mut self, command: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let done = command(&mut self.endpoint, Instant::now());
        self.drain();
        done
    }

    /// Drives the endpoint until something happens. May be dropped while it waits.
    pub(crate) async fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.step().await;
        }
    }

    /// Waits for one thing and handles whatever is there.
    async fn step(&mut self) {
        let latest = Instant::now() + TURN_MAX;
        let wake = self.endpoint.poll_timeout().unwrap_or(latest).min(latest);
        let (mut answer, mut datagram) = (None, None);
        tokio::select! {
            received = self.answers.recv() => answer = received,
            received = self.datagrams.recv() => datagram = received,
            () = self.net.ready() => {}
            () = sleep_until(wake.into()) => {}
        }
        if let Some(answer) = answer {
            self.handle(Input::Sip(answer));
        }
        for _ in 0..INPUTS_A_TURN {
            let Some(Datagram { line, channel, source, bytes }) =
                datagram.or_else(|| self.datagrams.try_recv().ok())
            else {
                break;
            };
            datagram = None;
            self.handle(Input::Media { line, channel, source, datagram: &bytes });
        }
        for _ in 0..INPUTS_A_TURN {
            let Some(input) = self.net.receive() else { break };
            self.handle(Input::Sip(input));
        }
        let now = Instant::now();
        if self.endpoint.poll_timeout().is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(now);
            self.drain();
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.endpoint.handle_input(Instant::now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => self.net.send(transmit),
                Output::Resolve { query, host, port, transport } => {
                    self.resolver.ask(Question { query, host, port, transport });
                }
                Output::OpenMedia { line } => {
                    let opened = match self.ports.open(line) {
                        Ok(address) => Input::MediaOpened { line, address },
                        Err(error) => {
                            tracing::error!(%error, "no media ports could be opened");
                            Input::MediaFailed { line }
                        }
                    };
                    self.endpoint.handle_input(Instant::now(), opened);
                }
                Output::CloseMedia { line } => {
                    self.ports.lines.remove(&line);
                }
                Output::SendMedia { line, channel, remote, datagram } => {
                    self.ports.send(line, channel, remote, &datagram);
                }
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }
}

/// A datagram that came on a media port.
struct Datagram {
    line: LineId,
    channel: Channel,
    source: SocketAddr,
    bytes: Vec<u8>,
}

struct MediaPorts {
    address: IpAddr,
    lines: HashMap<LineId, [MediaPort; 2]>,
    received: mpsc::Sender<Datagram>,
}

/// A bound socket and the task that reads it, which ends with it.
struct MediaPort {
    socket: Arc<UdpSocket>,
    reader: AbortHandle,
}

impl Drop for MediaPort {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl MediaPorts {
    /// Opens an even port for RTP and the odd one above it for RTCP.
    fn open(&mut self, line: LineId) -> anyhow::Result<SocketAddr> {
        let ports = free_ports(self.address, 2).context("no two ports in a row are free")?;
        let rtp = self.bind(line, *ports.start(), Channel::Rtp)?;
        let rtcp = self.bind(line, *ports.end(), Channel::Rtcp)?;
        self.lines.insert(line, [rtp, rtcp]);
        Ok(SocketAddr::new(self.address, *ports.start()))
    }

    fn bind(&self, line: LineId, port: u16, channel: Channel) -> std::io::Result<MediaPort> {
        let socket = std::net::UdpSocket::bind((self.address, port))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let (reading, received) = (Arc::clone(&socket), self.received.clone());
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; PACKET_BYTES_MAX];
            loop {
                // An error here is a refused packet of ours coming back; the port goes on.
                let Ok((length, source)) = reading.recv_from(&mut buffer).await else { continue };
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if received.send(Datagram { line, channel, source, bytes }).await.is_err() {
                    return;
                }
            }
        });
        Ok(MediaPort { socket, reader: reader.abort_handle() })
    }

    fn send(&self, line: LineId, channel: Channel, remote: SocketAddr, bytes: &[u8]) {
        let Some([rtp, rtcp]) = self.lines.get(&line) else { return };
        let port = match channel {
            Channel::Rtp => rtp,
            Channel::Rtcp => rtcp,
        };
        // Not by way of the runtime, which takes a new socket for unwritable until it has looked at it. Media that
        // the system does not take now is too late anyway.
        let _ = sendto(&port.socket, bytes, SendFlags::empty(), &remote);
    }
}
