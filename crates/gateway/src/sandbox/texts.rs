//! Drives the sandbox's SMS carriers: connections and requests in, octets, answers and webhooks out.

use super::post::Poster;
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};
use trunkline_sandbox::sms::http_carrier::{self, HookId, HttpCarrier, RequestId};
use trunkline_sandbox::sms::ledger::Ledger;
use trunkline_sandbox::sms::smsc::{ConnectionId, Note, Output, Smsc};

/// What the carriers hear of, one after the other.
pub(super) enum Event {
    Accepted(TcpStream, SocketAddr),
    Received(ConnectionId, Bytes),
    Closed(ConnectionId),
    Request(Request, oneshot::Sender<Answer>),
    Posted(HookId, bool),
}

/// A request over HTTP, its body read.
pub(super) struct Request {
    pub(super) remote: SocketAddr,
    pub(super) is_post: bool,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Bytes,
}

/// What it is answered; if the sender is dropped instead, its connection is closed.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after_secs: Option<u64>,
    pub(super) body: String,
}

/// Events that wait: each connection has at most one.
const EVENTS_MAX: usize = 256;

/// Writes that wait for a connection; beyond, its peer does not read, and it is closed.
const WRITES_MAX: usize = 4096;

/// Requests of silent numbers that wait in vain.
const REQUESTS_MAX: usize = 1_000;

/// Octets read at once.
const READ_BYTES: usize = 64 * 1024;

/// How long a peer may take to read what was written.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Longest sleep.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The two SMS carriers and all their connections.
pub(super) struct Texts {
    smsc: Smsc,
    http: HttpCarrier,
    poster: Poster,
    /// Dropping a sender closes the connection once all is written.
    connections: HashMap<ConnectionId, mpsc::Sender<Bytes>>,
    accepted: u64,
    requests: HashMap<RequestId, oneshot::Sender<Answer>>,
    requested: u64,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

/// `POST /texts`.
#[derive(Deserialize)]
struct Text {
    from: String,
    to: String,
    text: String,
    #[serde(default)]
    over: String,
}

impl Texts {
    /// Joins the carriers with their SMPP listener. Must be called on the runtime that will drive them.
    pub(super) fn new(
        smsc: Smsc,
        http: HttpCarrier,
        poster: Poster,
        listener: StdListener,
    ) -> anyhow::Result<Self> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let listener = TcpListener::from_std(listener).context("cannot listen for SMPP")?;
        tokio::spawn(accept(listener, sender.clone()));
        Ok(Self {
            smsc,
            http,
            poster,
            connections: HashMap::new(),
            accepted: 0,
            requests: HashMap::new(),
            requested: 0,
            sender,
            events,
        })
    }

    /// Returns where requests over HTTP go.
    pub(super) fn sender(&self) -> mpsc::Sender<Event> {
        self.sender.clone()
    }

    /// Runs until told to stop; then unbinds.
    pub(super) async fn run(mut self, stop: oneshot::Receiver<()>) {
        let mut stop = stop;
        loop {
            let latest = Instant::now() + TURN_MAX;
            let wakes = [self.smsc.poll_timeout(), self.http.poll_timeout()];
            let wake = wakes.into_iter().flatten().min().unwrap_or(latest).min(latest);
            tokio::select! {
                event = self.events.recv() => {
                    let Some(event) = event else { return };
                    self.handle(event);
                }
                () = sleep_until(wake.into()) => {}
                _ = &mut stop => break,
            }
            let now = Instant::now();
            self.smsc.handle_timeout(now);
            self.http.handle_timeout(now);
            self.drain();
        }
        self.smsc.stop(Instant::now());
        self.drain();
        // Answers to unbind; a peer that does not give one is left behind.
        let goodbye = async {
            while self.smsc.bound() > 0 {
                let Some(event) = self.events.recv().await else { return };
                self.handle(event);
                self.drain();
            }
        };
        let _ = timeout(TURN_MAX, goodbye).await;
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Accepted(stream, remote) => {
                self.accepted += 1;
                let connection = ConnectionId(self.accepted);
                let (writes, queue) = mpsc::channel(WRITES_MAX);
                self.connections.insert(connection, writes);
                tokio::spawn(serve(stream, connection, queue, self.sender.clone()));
                self.smsc.handle_accepted(now, connection, remote.ip());
            }
            Event::Received(connection, octets) => self.smsc.handle_received(now, connection, &octets),
            Event::Closed(connection) => {
                self.connections.remove(&connection);
                self.smsc.handle_closed(now, connection);
            }
            Event::Request(request, answer) => self.requested(now, request, answer),
            Event::Posted(hook, taken) => self.http.handle_posted(now, hook, taken),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.smsc.poll_output() {
            match output {
                Output::Transmit(connection, octets) => {
                    let writes = self.connections.get(&connection);
                    if writes.is_some_and(|writes| writes.try_send(octets).is_err()) {
                        self.connections.remove(&connection);
                        self.smsc.handle_closed(Instant::now(), connection);
                    }
                }
                Output::Close(connection) => {
                    self.connections.remove(&connection);
                }
                Output::Note(connection, Note::Bound) => {
                    info!(connection = connection.0, "SMPP session bound")
                }
                Output::Note(connection, Note::Refused) => warn!(connection = connection.0, "bind refused"),
                Output::Note(connection, Note::Ended) => {
                    info!(connection = connection.0, "SMPP session ended")
                }
            }
        }
        while let Some(output) = self.http.poll_output() {
            match output {
                http_carrier::Output::Answer { request, status, retry_after_secs, body } => {
                    if let Some(sender) = self.requests.remove(&request) {
                        // Whoever asked may have gone.
                        let _ = sender.send(Answer { status, retry_after_secs, body });
                    }
                }
                http_carrier::Output::Disconnect(request) => {
                    self.requests.remove(&request);
                }
                http_carrier::Output::Post { hook, url, headers, body } => {
                    let (poster, events) = (self.poster.clone(), self.sender.clone());
                    tokio::spawn(async move {
                        let posted = poster.post(&url, &headers, body).await;
                        if let Err(error) = &posted {
                            debug!(%url, error = format!("{error:#}"), "webhook not taken");
                        }
                        let _ = events.send(Event::Posted(hook, posted.is_ok())).await;
                    });
                }
            }
        }
    }

    fn requested(&mut self, now: Instant, request: Request, answer: oneshot::Sender<Answer>) {
        let authorization = request.authorization.as_deref();
        if request.is_post && request.path == "/messages" {
            self.requested += 1;
            let id = RequestId(self.requested);
            if self.requests.len() >= REQUESTS_MAX {
                self.requests.retain(|_, waiting| !waiting.is_closed());
            }
            self.requests.insert(id, answer);
            return self.http.handle_request(now, id, authorization, &request.body);
        }
        let (status, body) = if request.remote.ip().to_canonical().is_loopback() {
            self.commanded(now, &request)
        } else {
            (403, json!({"error": "commands are taken from this machine alone"}))
        };
        let _ = answer.send(Answer { status, retry_after_secs: None, body: body.to_string() });
    }

    /// The sandbox's own commands.
    fn commanded(&mut self, now: Instant, request: &Request) -> (u16, Value) {
        match (request.is_post, request.path.as_str()) {
            (true, "/texts") => match serde_json::from_slice::<Text>(&request.body) {
                Ok(text) => self.text(now, &text),
                Err(error) => (400, json!({"error": error.to_string()})),
            },
            (false, "/received") => {
                let field = |name: &str| {
                    let pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
                    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
                };
                let since = field("since").and_then(|text| text.parse().ok()).unwrap_or(0);
                let ledger: &Ledger =
                    if field("over") == Some("http") { self.http.ledger() } else { self.smsc.ledger() };
                let received: Vec<_> = ledger.since(since).collect();
                (200, json!({"count": ledger.count(), "received": received}))
            }
            (false, "/state") => {
                let undelivered = self.smsc.undelivered() + self.http.undelivered();
                let (smpp, http) = (self.smsc.ledger().count(), self.http.ledger().count());
                (
                    200,
                    json!({"bound": self.smsc.bound(), "undelivered": undelivered, "smpp": smpp, "http": http}),
                )
            }
            _ => (404, json!({"error": "POST /messages, POST /texts, GET /received or GET /state"})),
        }
    }

    fn text(&mut self, now: Instant, text: &Text) -> (u16, Value) {
        let Text { from, to, text, over } = text;
        if over == "http" {
            return match self.http.text(now, from, to, text) {
                Ok(()) => (200, json!({"segments": 1})),
                Err(error) => (409, json!({"error": error.to_string()})),
            };
        }
        match self.smsc.text(now, from, to, text) {
            Ok(segments) => (200, json!({"segments": segments, "bound": self.smsc.bound()})),
            Err(error) => (400, json!({"error": error.to_string()})),
        }
    }
}

/// Returns the moment by both clocks, for dates in receipts and signatures.
pub(super) fn anchor() -> (Instant, i64) {
    let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    (Instant::now(), i64::try_from(unix).unwrap_or(i64::MAX))
}

async fn accept(listener: TcpListener, events: mpsc::Sender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if events.send(Event::Accepted(stream, remote)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One SMPP connection, while it lasts.
async fn serve(
    stream: TcpStream,
    connection: ConnectionId,
    queue: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<Event>,
) {
    // PDUs are whole when they are written: waiting for more only adds delay.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let read = async {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if events.send(Event::Received(connection, buffer.freeze())).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let write = async {
        let mut queue = queue;
        let mut waiting = Vec::new();
        while queue.recv_many(&mut waiting, WRITES_MAX).await > 0 {
            let octets = waiting.drain(..).fold(BytesMut::new(), |mut all, octets| {
                all.extend_from_slice(&octets);
                all
            });
            match timeout(WRITE_MAX, writer.write_all(&octets)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
        let _ = writer.shutdown().await;
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    // When the sandbox has ended nobody needs to know.
    let _ = events.send(Event::Closed(connection)).await;
}
