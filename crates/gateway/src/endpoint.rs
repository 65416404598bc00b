//! Runs a SIP and RTP end over real sockets: the sandbox carrier, and the caller of `trunkline call`.
//!
//! The end itself is a sans-IO machine. One task drives it; calls through it are few, so that media needs no
//! thread of its own here.

use crate::config::StreamLimits;
use crate::dns::{Question, Resolver};
use crate::metrics::Metrics;
use crate::net::{Bound, Net, bind_tcp, bind_udp};
use anyhow::Context;
use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;
use trunkline_media::Channel;
use trunkline_sip::transport::{Advertised, Listener, Transmit};
use trunkline_sip::user_agent::Input as SipInput;

/// A SIP and RTP end.
///
/// After every `handle_*` call the shell drains [`poll_output`](Self::poll_output), then reads
/// [`poll_timeout`](Self::poll_timeout).
pub(crate) trait Endpoint {
    /// Takes a SIP message, a transport failure, or the answer to a look-up.
    fn handle_sip(&mut self, now: Instant, input: SipInput);
    /// Takes a datagram that came on a media port, named by its RTP port.
    fn handle_media(
        &mut self,
        now: Instant,
        rtp_port: u16,
        channel: Channel,
        source: SocketAddr,
        datagram: &[u8],
    );
    /// Learns that a media port could not be bound.
    fn handle_media_failed(&mut self, now: Instant, rtp_port: u16);
    /// Is asked to end its calls and then itself.
    fn handle_stop(&mut self, now: Instant);
    /// Acts on every timer that is due.
    fn handle_timeout(&mut self, now: Instant);
    /// Returns the next thing to do, in order.
    fn poll_output(&mut self) -> Option<Output>;
    /// Returns when [`handle_timeout`](Self::handle_timeout) is wanted.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Whether nothing is left to do.
    fn is_over(&self) -> bool;
}

/// What an end asks of the shell.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send this SIP message.
    Transmit(Transmit),
    /// Look this up and answer with [`SipInput::Resolved`].
    Resolve(Question),
    /// Bind this port for RTP and the one above it for RTCP.
    OpenMedia { rtp_port: u16 },
    /// Close both.
    CloseMedia { rtp_port: u16 },
    /// Tell this to whoever watches.
    Say(String),
    /// Send this from a media port.
    Media { rtp_port: u16, channel: Channel, remote: SocketAddr, bytes: Vec<u8> },
}

/// Datagrams of all media ports that wait; a hundred calls bring 5,000 a second.
const DATAGRAMS_MAX: usize = 4096;

/// Inputs handled before timers get their turn.
const INPUTS_A_TURN: usize = 64;

/// Longest sleep.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Largest media packet taken.
const PACKET_BYTES_MAX: usize = 2048;

/// How long an end that was asked to stop may take.
const STOP_MAX: Duration = Duration::from_secs(5);

/// TCP limits of an end: it serves a few peers.
const STREAMS: StreamLimits = StreamLimits {
    connections_max: 200,
    per_source_max: 200,
    idle: Duration::from_secs(600),
    message: Duration::from_secs(10),
    connect: Duration::from_secs(4),
    write: Duration::from_secs(10),
};

/// Sockets of an end, bound.
#[derive(Debug)]
pub(crate) struct Sockets {
    bound: Bound,
}

impl Sockets {
    /// Binds UDP and TCP.
    pub(crate) fn bind(udp: &[SocketAddr], tcp: &[SocketAddr]) -> anyhow::Result<Self> {
        let mut bound = Bound { udp: Vec::new(), tcp: Vec::new() };
        for local in udp {
            bound.udp.push(bind_udp(*local).with_context(|| format!("cannot listen on udp {local}"))?);
        }
        for local in tcp {
            bound.tcp.push(bind_tcp(*local).with_context(|| format!("cannot listen on tcp {local}"))?);
        }
        Ok(Self { bound })
    }

    /// Returns the UDP addresses, free ports replaced by what the system chose.
    pub(crate) fn udp(&self) -> Vec<SocketAddr> {
        self.bound.udp.iter().map(|(_, local)| *local).collect()
    }

    /// Returns the TCP addresses, free ports replaced by what the system chose.
    pub(crate) fn tcp(&self) -> Vec<SocketAddr> {
        self.bound.tcp.iter().map(|(_, local)| *local).collect()
    }

    /// Returns the listeners for a user agent; each shows its own address.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let udp = self.udp().into_iter().map(|local| (trunkline_model::Transport::Udp, local));
        let tcp = self.tcp().into_iter().map(|local| (trunkline_model::Transport::Tcp, local));
        let listener = |(transport, local)| Listener { transport, local, advertised: Advertised::of(local) };
        udp.chain(tcp).map(listener).collect()
    }
}

/// Drives an end until it is over. When `stop` is done it is asked to stop.
pub(crate) async fn run<E: Endpoint>(
    end: &mut E,
    sockets: Sockets,
    media_address: IpAddr,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let families = (sockets.udp().iter().chain(&sockets.tcp()))
        .fold((false, false), |(ipv4, ipv6), local| (ipv4 || local.is_ipv4(), ipv6 || local.is_ipv6()));
    let (resolver, mut answers) = Resolver::new(families.0, families.1);
    let net = Net::new(sockets.bound, STREAMS, Arc::new(Metrics::default()))?;
    let (received, mut datagrams) = mpsc::channel(DATAGRAMS_MAX);
    let ports = MediaPorts { address: media_address, ports: HashMap::new(), received };
    let mut shell = Shell { end, net, ports, resolver };
    let mut stopped: Option<Instant> = None;
    let mut stop = std::pin::pin!(stop);
    shell.drain();
    while !shell.end.is_over() {
        let now = Instant::now();
        if stopped.is_some_and(|at| now >= at + STOP_MAX) {
            break;
        }
        let wake = shell.end.poll_timeout().unwrap_or(now + TURN_MAX).min(now + TURN_MAX);
        tokio::select! {
            Some(answer) = answers.recv() => shell.end.handle_sip(Instant::now(), answer),
            Some(datagram) = datagrams.recv() => shell.media(&datagram),
            () = shell.net.ready() => {}
            () = sleep_until(wake.into()) => {}
            () = &mut stop, if stopped.is_none() => {
                stopped = Some(now);
                shell.end.handle_stop(Instant::now());
            }
        }
        shell.drain();
        for _ in 0..INPUTS_A_TURN {
            let Ok(datagram) = datagrams.try_recv() else { break };
            shell.media(&datagram);
            shell.drain();
        }
        shell.turn();
    }
    Ok(())
}

struct Shell<'e, E> {
    end: &'e mut E,
    net: Net,
    ports: MediaPorts,
    resolver: Resolver,
}

impl<E: Endpoint> Shell<'_, E> {
    fn turn(&mut self) {
        for _ in 0..INPUTS_A_TURN {
            let Some(input) = self.net.receive() else { break };
            self.end.handle_sip(Instant::now(), input);
            self.drain();
        }
        let now = Instant::now();
        if self.end.poll_timeout().is_some_and(|due| due <= now) {
            self.end.handle_timeout(now);
            self.drain();
        }
    }

    fn media(&mut self, datagram: &Datagram) {
        let Datagram { rtp_port, channel, source, bytes } = datagram;
        self.end.handle_media(Instant::now(), *rtp_port, *channel, *source, bytes);
    }

    fn drain(&mut self) {
        while let Some(output) = self.end.poll_output() {
            match output {
                Output::Transmit(transmit) => self.net.send(transmit),
                Output::Resolve(question) => self.resolver.ask(question),
                Output::OpenMedia { rtp_port } => {
                    if let Err(error) = self.ports.open(rtp_port) {
                        tracing::error!(rtp_port, %error, "media port could not be bound");
                        self.end.handle_media_failed(Instant::now(), rtp_port);
                    }
                }
                // That nobody watches is no reason to stop.
                Output::Say(line) => drop(writeln!(std::io::stdout(), "{line}")),
                Output::CloseMedia { rtp_port } => {
                    self.ports.ports.remove(&rtp_port);
                }
                Output::Media { rtp_port, channel, remote, bytes } => {
                    self.ports.send(rtp_port, channel, remote, &bytes);
                }
            }
        }
    }
}

/// A datagram that came on a media port.
struct Datagram {
    rtp_port: u16,
    channel: Channel,
    source: SocketAddr,
    bytes: Vec<u8>,
}

struct MediaPorts {
    address: IpAddr,
    ports: HashMap<u16, [MediaPort; 2]>,
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
    fn open(&mut self, rtp_port: u16) -> std::io::Result<()> {
        let rtp = self.bind(rtp_port, rtp_port, Channel::Rtp)?;
        let rtcp = self.bind(rtp_port, rtp_port.saturating_add(1), Channel::Rtcp)?;
        self.ports.insert(rtp_port, [rtp, rtcp]);
        Ok(())
    }

    fn bind(&self, rtp_port: u16, port: u16, channel: Channel) -> std::io::Result<MediaPort> {
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
                if received.send(Datagram { rtp_port, channel, source, bytes }).await.is_err() {
                    return;
                }
            }
        });
        Ok(MediaPort { socket, reader: reader.abort_handle() })
    }

    fn send(&self, rtp_port: u16, channel: Channel, remote: SocketAddr, bytes: &[u8]) {
        let Some([rtp, rtcp]) = self.ports.get(&rtp_port) else { return };
        let port = match channel {
            Channel::Rtp => rtp,
            Channel::Rtcp => rtcp,
        };
        // Media that the system does not take now is too late anyway.
        let _ = port.socket.try_send_to(bytes, remote);
    }
}
