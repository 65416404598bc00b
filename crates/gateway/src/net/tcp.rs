//! SIP over TCP: every connection is a task with deadlines, a bounded write queue and nothing shared.

use crate::config::StreamLimits;
use crate::metrics::Metrics;
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use trunkline_call::RoutingTable;
use trunkline_model::Transport;
use trunkline_sip::framing::{Frame, FrameErrorKind, Framer};
use trunkline_sip::transport::{ConnectionId, Flow, Transmit};
use trunkline_sip::user_agent::Input;

/// Events of all connections that wait for the signalling task. When they do, connections stop reading, and TCP
/// slows the peers down.
pub(super) const EVENTS_MAX: usize = 1024;

/// Messages that wait for one peer to read them. A carrier's trunk with a few hundred calls a second has a few
/// under way; a peer that leaves more unread is stuck.
const WRITES_MAX: usize = 256;

/// Read at once. Most messages fit.
const READ_BYTES: usize = 16 * 1024;

/// How long a connection that broke the framing stays, for the answer to go out.
const LINGER: Duration = Duration::from_secs(1);

/// Pause after a failed accept: the usual reason is that file descriptors have run out, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connection tasks tell.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// A peer has connected.
    Accepted { local: SocketAddr, stream: TcpStream, remote: SocketAddr },
    /// A message came.
    Message { connection: ConnectionId, bytes: Bytes },
    /// The connection is gone, or never came up.
    Closed { connection: ConnectionId, why: Closure },
}

/// Why a connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Closure {
    #[error("closed by the peer")]
    ByPeer,
    #[error("could not be opened")]
    NotOpened,
    #[error("idle")]
    Idle,
    #[error("a message did not arrive whole in time")]
    SlowMessage,
    #[error("the peer does not read")]
    SlowReader,
    #[error("input or output error")]
    Broken,
    #[error("the stream is not SIP: {0}")]
    Framing(FrameErrorKind),
    #[error("no longer wanted")]
    Dropped,
}

/// Whose connections have room kept for them.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// Everybody's: the peers are few, and ours.
    All,
    /// Those of trunks. All others share what [`strangers_max`] leaves them.
    Trunks(Arc<RoutingTable>),
}

/// All connections of one signalling task.
#[derive(Debug)]
pub(super) struct Streams {
    limits: StreamLimits,
    known: Known,
    /// Connections from sources that were not known when they came.
    strangers: u32,
    listeners: Vec<SocketAddr>,
    connections: HashMap<ConnectionId, Connection>,
    by_remote: HashMap<SocketAddr, ConnectionId>,
    accepted_from: HashMap<IpAddr, u32>,
    next: u64,
    events: mpsc::Sender<StreamEvent>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Connection {
    /// The listener it came in on; for one we opened, the listener whose address it shows.
    local: SocketAddr,
    remote: SocketAddr,
    opener: Opener,
    /// Dropping it ends the connection's task.
    writes: mpsc::Sender<Bytes>,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Us,
    Known,
    Stranger,
}

impl Known {
    fn holds(&self, remote: SocketAddr) -> bool {
        match self {
            Self::All => true,
            Self::Trunks(table) => table.identify(remote, Transport::Tcp).is_some(),
        }
    }
}

/// Most connections from sources of no trunk: a quarter, so that no number of them keeps a carrier out.
fn strangers_max(connections_max: u32) -> u32 {
    (connections_max / 4).max(1)
}

/// Most connections from peers, all together: a quarter is left for those that we open.
fn accepted_max(connections_max: u32) -> u32 {
    (connections_max - connections_max / 4).max(1)
}

/// Binds a listener.
pub(crate) fn bind(local: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
    let family = if local.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // A restart must not wait for connections of the old process to time out.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if local.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &local)?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = TcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Connections that the system completes before we accept them: a burst after a carrier's restart.
const BACKLOG: i32 = 1024;

impl Streams {
    pub(super) fn new(
        listeners: Vec<(TcpListener, SocketAddr)>,
        (limits, known): (StreamLimits, Known),
        events: mpsc::Sender<StreamEvent>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let addresses = listeners.iter().map(|(_, local)| *local).collect();
        for (listener, local) in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(accept(listener, local, events.clone()));
        }
        Ok(Self {
            limits,
            known,
            strangers: 0,
            listeners: addresses,
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            accepted_from: HashMap::new(),
            next: 0,
            events,
            metrics,
        })
    }

    /// Keeps room for others from now on.
    pub(super) fn set_known(&mut self, known: Known) {
        self.known = known;
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Takes an event of a connection; some are inputs for the user agent.
    pub(super) fn handle(&mut self, event: StreamEvent) -> Option<Input> {
        match event {
            StreamEvent::Accepted { local, stream, remote } => {
                self.accept(local, stream, remote);
                None
            }
            StreamEvent::Message { connection, bytes } => {
                let Connection { local, remote, .. } = self.connections.get(&connection)?;
                let (local, remote, transport) = (*local, *remote, Transport::Tcp);
                let flow = Flow { transport, local, remote, connection: Some(connection) };
                Some(Input::Received { flow, bytes })
            }
            StreamEvent::Closed { connection, why } => self.closed(connection, why),
        }
    }

    /// Sends on the connection that is asked for, or on one to the same peer, or opens one. Returns whether the message
    /// is on its way: there may be too many connections, or too much that the peer has not read.
    pub(super) fn send(&mut self, transmit: &Transmit) -> bool {
        let Transmit { target, bytes } = transmit;
        let wanted = target.connection.filter(|connection| self.connections.contains_key(connection));
        let connection = wanted.or_else(|| self.by_remote.get(&target.remote).copied());
        let Some(connection) = connection.or_else(|| self.open(target.remote, target.local)) else {
            self.metrics.stream_refusals.add(1);
            return false;
        };
        let Some(held) = self.connections.get(&connection) else { return false };
        // A full queue means that the peer does not read; its write deadline ends the connection.
        let queued = held.writes.try_send(bytes.clone()).is_ok();
        if !queued {
            self.metrics.stream_queue_drops.add(1);
        }
        queued
    }

    fn accept(&mut self, local: SocketAddr, stream: TcpStream, remote: SocketAddr) {
        let source = remote.ip().to_canonical();
        let from_source = self.accepted_from.get(&source).copied().unwrap_or(0);
        let opener = if self.known.holds(remote) { Opener::Known } else { Opener::Stranger };
        if from_source >= self.limits.per_source_max || !self.has_room(opener) {
            self.metrics.stream_refusals.add(1);
            tracing::debug!(%remote, from_source, open = self.connections.len(), "connection refused");
            return;
        }
        self.accepted_from.insert(source, from_source + 1);
        self.strangers += u32::from(opener == Opener::Stranger);
        let (connection, task) = self.add(local, remote, opener);
        tokio::spawn(task.run(Some(stream), None));
        tracing::debug!(%remote, connection = connection.0, "connection accepted");
    }

    /// Opens a connection from the address of the listener it shows, so that carriers that match by address
    /// know it.
    fn open(&mut self, remote: SocketAddr, local: Option<SocketAddr>) -> Option<ConnectionId> {
        if !self.has_room(Opener::Us) {
            return None;
        }
        let wanted = local.filter(|local| self.listeners.contains(local));
        let fits = |listener: &&SocketAddr| listener.is_ipv4() == remote.is_ipv4();
        let local = wanted.or_else(|| self.listeners.iter().find(fits).copied());
        let from =
            local.filter(|local| !local.ip().is_unspecified()).map(|local| SocketAddr::new(local.ip(), 0));
        let shown = local.unwrap_or_else(|| self.listeners.first().copied().unwrap_or(remote));
        let (connection, task) = self.add(shown, remote, Opener::Us);
        self.by_remote.insert(remote, connection);
        tokio::spawn(task.run(None, from));
        Some(connection)
    }

    fn add(&mut self, local: SocketAddr, remote: SocketAddr, opener: Opener) -> (ConnectionId, Task) {
        let id = ConnectionId(self.next);
        self.next += 1;
        let (writes, queue) = mpsc::channel(WRITES_MAX);
        let pongs = writes.downgrade();
        self.connections.insert(id, Connection { local, remote, opener, writes });
        let (events, limits) = (self.events.clone(), self.limits);
        (id, Task { id, remote, opener, queue, pongs, events, limits })
    }

    fn has_room(&self, opener: Opener) -> bool {
        let max = self.limits.connections_max;
        let room = self.connections.len() < max as usize;
        match opener {
            Opener::Us => room,
            Opener::Known => room && self.accepted() < accepted_max(max),
            Opener::Stranger => {
                room && self.accepted() < accepted_max(max) && self.strangers < strangers_max(max)
            }
        }
    }

    fn accepted(&self) -> u32 {
        self.accepted_from.values().sum()
    }

    fn closed(&mut self, connection: ConnectionId, why: Closure) -> Option<Input> {
        let Connection { remote, opener, .. } = self.connections.remove(&connection)?;
        if self.by_remote.get(&remote) == Some(&connection) {
            self.by_remote.remove(&remote);
        }
        self.strangers -= u32::from(opener == Opener::Stranger);
        let source = remote.ip().to_canonical();
        if opener != Opener::Us
            && let Some(count) = self.accepted_from.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.accepted_from.remove(&source);
            }
        }
        match why {
            Closure::SlowMessage | Closure::SlowReader => self.metrics.stream_refusals.add(1),
            Closure::Framing(_) => self.metrics.stream_framing_errors.add(1),
            Closure::ByPeer | Closure::NotOpened | Closure::Idle | Closure::Broken | Closure::Dropped => {}
        }
        tracing::debug!(%remote, connection = connection.0, %why, "connection closed");
        // What waits for a connection that never came up must fail at once, whatever names it.
        let connection = (why != Closure::NotOpened).then_some(connection);
        Some(Input::TransportFailed { transport: Transport::Tcp, remote, connection, quoted: None })
    }
}

async fn accept(listener: tokio::net::TcpListener, local: SocketAddr, events: mpsc::Sender<StreamEvent>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if events.send(StreamEvent::Accepted { local, stream, remote }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%local, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, while it lasts.
struct Task {
    id: ConnectionId,
    remote: SocketAddr,
    opener: Opener,
    queue: mpsc::Receiver<Bytes>,
    /// For keep-alive answers; it does not keep the queue open.
    pongs: mpsc::WeakSender<Bytes>,
    events: mpsc::Sender<StreamEvent>,
    limits: StreamLimits,
}

impl Task {
    async fn run(self, stream: Option<TcpStream>, from: Option<SocketAddr>) {
        let Self { id: connection, remote, opener, queue, pongs, events, limits } = self;
        let stream = match stream {
            Some(stream) => Some(stream),
            None => timeout(limits.connect, connect(remote, from)).await.ok().and_then(Result::ok),
        };
        let why = match stream {
            None => Closure::NotOpened,
            Some(stream) => {
                // Messages are whole when they are written: waiting for more only adds delay.
                let _ = stream.set_nodelay(true);
                let (reader, writer) = stream.into_split();
                tokio::select! {
                    why = read(reader, (connection, opener), &pongs, &events, limits) => why,
                    why = write(writer, queue, limits.write) => why,
                }
            }
        };
        // When signalling has ended nobody needs to know.
        let _ = events.send(StreamEvent::Closed { connection, why }).await;
    }
}

async fn connect(remote: SocketAddr, from: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.bind(from)?;
    }
    socket.connect(remote).await
}

async fn read(
    mut reader: OwnedReadHalf,
    (connection, opener): (ConnectionId, Opener),
    pongs: &mpsc::WeakSender<Bytes>,
    events: &mpsc::Sender<StreamEvent>,
    limits: StreamLimits,
) -> Closure {
    let mut framer = Framer::new();
    let mut buffer = vec![0; READ_BYTES];
    // A peer that connects has something to say: until its first message is whole, line ends do not count.
    let mut silent = (opener != Opener::Us).then(Instant::now);
    let mut began: Option<Instant> = None;
    loop {
        let (left, late) = match silent.or(began) {
            None => (limits.idle, Closure::Idle),
            // From its first byte on, however often more trickle in.
            Some(since) => (limits.message.saturating_sub(since.elapsed()), Closure::SlowMessage),
        };
        let length = match timeout(left, reader.read(&mut buffer)).await {
            Err(_) => return late,
            Ok(Err(_)) => return Closure::Broken,
            Ok(Ok(0)) => return Closure::ByPeer,
            Ok(Ok(length)) => length,
        };
        framer.push(buffer.get(..length).unwrap_or_default());
        loop {
            match framer.poll_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Message(bytes))) => {
                    (began, silent) = (None, None);
                    if events.send(StreamEvent::Message { connection, bytes }).await.is_err() {
                        return Closure::Dropped;
                    }
                }
                // RFC 5626 §4.4.1. A peer that does not read its pongs gets no more of them.
                Ok(Some(Frame::Ping)) => {
                    if let Some(writes) = pongs.upgrade() {
                        let _ = writes.try_send(Bytes::from_static(b"\r\n"));
                    }
                }
                Err(error) => {
                    if let Some(bytes) = error.head {
                        // The answer, 400 where one is possible, goes out before the connection closes.
                        let _ = events.send(StreamEvent::Message { connection, bytes }).await;
                        tokio::time::sleep(LINGER).await;
                    }
                    return Closure::Framing(error.kind);
                }
            }
        }
        if framer.buffered() == 0 {
            began = None;
        } else if began.is_none() {
            began = Some(Instant::now());
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>, max: Duration) -> Closure {
    while let Some(bytes) = queue.recv().await {
        match timeout(max, writer.write_all(&bytes)).await {
            Err(_) => return Closure::SlowReader,
            Ok(Err(_)) => return Closure::Broken,
            Ok(Ok(())) => {}
        }
    }
    Closure::Dropped
}
