//! One WebSocket, while it lasts.

use super::Event;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use trunkline_sip::message::MESSAGE_BYTES_MAX;
use trunkline_sip::transport::ConnectionId;

/// The limits of one connection.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Between two pings of ours: below the 30 s after which NATs forget a connection that says nothing, and a browser
    /// that has lost its network is known to be gone after two.
    ping: Duration,
    /// A peer must take what we write within this time.
    write: Duration,
    /// Messages that may come at once: a page that reloads sends a handful, a busy call a few.
    burst: u32,
    /// Messages a second that may come for long.
    per_sec: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ping: Duration::from_secs(20), write: Duration::from_secs(10), burst: 100, per_sec: 20 }
    }
}

/// Why a connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::net) enum Closure {
    #[error("closed by the peer")]
    ByPeer,
    #[error("a frame is too large or none")]
    Frame,
    #[error("too many messages")]
    Flood,
    #[error("the peer does not answer pings")]
    Gone,
    #[error("the peer does not read")]
    SlowReader,
    #[error("no longer wanted")]
    Dropped,
}

/// What may come.
struct Rate {
    tokens: f64,
    at: Instant,
}

/// Carries messages both ways until one side has had enough.
pub(super) async fn run(
    upgraded: Upgraded,
    connection: ConnectionId,
    mut queue: mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<Event>,
    limits: &Limits,
) -> Closure {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .accept_unmasked_frames(false);
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let mut rate = Rate { tokens: limits.burst.into(), at: Instant::now() };
    let mut heard = Instant::now();
    let mut pings = tokio::time::interval(limits.ping);
    // The first tick is at once.
    pings.tick().await;
    loop {
        let sent = tokio::select! {
            received = socket.next() => {
                heard = Instant::now();
                let bytes = match received {
                    None | Some(Ok(Message::Close(_))) => return Closure::ByPeer,
                    Some(Err(_)) => return Closure::Frame,
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    // Pings are answered by the library when it reads or writes next.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Bytes::new(),
                };
                if !rate.take(limits) {
                    return Closure::Flood;
                }
                if !bytes.is_empty() && events.send(Event::Message { connection, bytes }).await.is_err() {
                    return Closure::Dropped;
                }
                timeout(limits.write, socket.flush()).await
            }
            message = queue.recv() => match message {
                Some(bytes) => timeout(limits.write, socket.send(frame(bytes))).await,
                None => return Closure::Dropped,
            },
            _ = pings.tick() => {
                if heard.elapsed() > limits.ping * 2 {
                    return Closure::Gone;
                }
                timeout(limits.write, socket.send(Message::Ping(Bytes::new()))).await
            }
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Closure::ByPeer,
            Err(_) => return Closure::SlowReader,
        }
    }
}

/// Makes a frame of a message: text where it is text (RFC 7118 §4.2).
fn frame(bytes: Bytes) -> Message {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(bytes),
    }
}

impl Rate {
    fn take(&mut self, limits: &Limits) -> bool {
        let now = Instant::now();
        let gained = now.duration_since(self.at).as_secs_f64() * f64::from(limits.per_sec);
        self.tokens = (self.tokens + gained).min(limits.burst.into());
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
