//! SIP over secure WebSocket (RFC 7118): one message a frame, each connection a task with deadlines and limits.
//!
//! [`Door`] stands in the HTTPS server and lets connections in; [`Sockets`] is what signalling has of them.

mod door;
mod socket;

pub(crate) use door::Door;

use bytes::Bytes;
use socket::Closure;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use trunkline_model::Transport;
use trunkline_sip::transport::{ConnectionId, Flow, Transmit};
use trunkline_sip::user_agent::Input;

use crate::config::Users;
use crate::metrics::Metrics;

/// Events of all connections that wait for the signalling task. When they do, connections stop reading, and TCP slows
/// the peers down.
const EVENTS_MAX: usize = 1024;

/// Messages that wait for one browser to read them: a browser has a call or two, with a few messages each.
const WRITES_MAX: usize = 64;

/// Set in the numbers of these connections, so that they are never those of a plain stream.
const MARK: u64 = 1 << 63;

/// What connection tasks tell.
#[derive(Debug)]
pub(super) enum Event {
    /// A browser has connected.
    Opened { connection: ConnectionId, local: SocketAddr, remote: SocketAddr, writes: mpsc::Sender<Bytes> },
    /// A message came.
    Message { connection: ConnectionId, bytes: Bytes },
    /// The connection is gone.
    Closed { connection: ConnectionId, why: Closure },
}

/// All connections, as one signalling task has them.
#[derive(Debug)]
pub(crate) struct Sockets {
    connections: HashMap<ConnectionId, Connection>,
    pub(super) events: mpsc::Receiver<Event>,
}

#[derive(Debug)]
struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    /// Dropping it ends the connection's task.
    writes: mpsc::Sender<Bytes>,
}

/// Returns a door and what signalling has of those who come in by it.
pub(crate) fn open(users: &Users, development: bool, metrics: Arc<Metrics>) -> (Arc<Door>, Sockets) {
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let door = Arc::new(Door::new(users, development, sender, metrics));
    (door, Sockets { connections: HashMap::new(), events })
}

impl Sockets {
    /// Returns what a gateway has whose HTTPS is not served, or not to users: nobody ever comes.
    pub(crate) fn none() -> Self {
        Self { connections: HashMap::new(), events: mpsc::channel(1).1 }
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Takes an event of a connection; some are inputs for the user agent.
    pub(super) fn handle(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Opened { connection, local, remote, writes } => {
                self.connections.insert(connection, Connection { local, remote, writes });
                None
            }
            Event::Message { connection, bytes } => {
                let Connection { local, remote, .. } = self.connections.get(&connection)?;
                let (local, remote, transport) = (*local, *remote, Transport::Wss);
                let flow = Flow { transport, local, remote, connection: Some(connection) };
                Some(Input::Received { flow, bytes })
            }
            Event::Closed { connection, why } => {
                let Connection { remote, .. } = self.connections.remove(&connection)?;
                tracing::debug!(%remote, connection = connection.0, %why, "WebSocket closed");
                let (transport, connection) = (Transport::Wss, Some(connection));
                Some(Input::TransportFailed { transport, remote, connection, quoted: None })
            }
        }
    }

    /// Sends on the connection that is asked for. Nobody can be connected to: a browser that is gone comes back by
    /// itself. Returns whether the message is on its way.
    pub(super) fn send(&mut self, transmit: &Transmit) -> bool {
        let held = transmit.target.connection.and_then(|connection| self.connections.get(&connection));
        // A full queue means that the peer does not read; its write deadline ends the connection.
        held.is_some_and(|held| held.writes.try_send(transmit.bytes.clone()).is_ok())
    }
}
