//! A message centre in this process, on a port of its own, that does what a test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use trunkline_sms::pdu::{Address, BindKind, ShortMessage};
use trunkline_sms::receipt::State;
use trunkline_sms::session::accounts::Grant;
use trunkline_sms::session::deliver::{Report, receipt};
use trunkline_sms::session::server::{Event, Output, Reply, Request};
use trunkline_sms::session::{Server, ServerConfig};
use trunkline_sms::status::CommandStatus;

/// What becomes of a submit_sm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It is taken; a receipt follows.
    Deliver,
    /// It is taken; a receipt follows that says this.
    Report(State),
    /// The receipt is sent before the response.
    ReceiptFirst,
    /// It is taken, and nothing more is said.
    Take,
    /// It is refused.
    Refuse(CommandStatus),
    /// It is noted, and nobody answers.
    Silence,
    /// It is noted, and the connection is closed.
    Close,
}

/// The message centre.
#[derive(Clone)]
pub(super) struct Smsc {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

/// What becomes of a message, and how many to the same recipient there were before.
type Acts = Box<dyn Fn(&ShortMessage, usize) -> Act + Send + Sync>;

struct Shared {
    received: Mutex<Vec<ShortMessage>>,
    acts: Acts,
    /// Texts for whoever receives, and how many of them were acknowledged.
    texts: Mutex<VecDeque<ShortMessage>>,
    acknowledged: Mutex<usize>,
    changed: Notify,
    kick: Notify,
}

impl Smsc {
    /// Starts it. `acts` is told the message, and how many to the same recipient there were before.
    pub(super) async fn start(acts: impl Fn(&ShortMessage, usize) -> Act + Send + Sync + 'static) -> Self {
        Self::start_with(None, acts).await
    }

    /// Starts it, with TLS if there is an acceptor.
    pub(super) async fn start_with(
        tls: Option<TlsAcceptor>,
        acts: impl Fn(&ShortMessage, usize) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            acts: Box::new(acts),
            texts: Mutex::default(),
            acknowledged: Mutex::default(),
            changed: Notify::new(),
            kick: Notify::new(),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut sessions = 0;
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                sessions += 1;
                let (tls, serving) = (tls.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            // A client that does not trust us hangs up.
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, sessions, serving).await;
                            }
                        }
                        None => serve(stream, sessions, serving).await,
                    }
                });
            }
        });
        Self { address, shared }
    }

    /// Returns the texts that came, in order.
    pub(super) fn received(&self) -> Vec<ShortMessage> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Texts to us.
    pub(super) fn text(&self, message: ShortMessage) {
        self.shared.texts.lock().unwrap().push_back(message);
        self.shared.changed.notify_waiters();
    }

    /// Returns how many of its deliver_sm were acknowledged, receipts included.
    pub(super) fn acknowledged(&self) -> usize {
        *self.shared.acknowledged.lock().unwrap()
    }

    /// Closes every connection.
    pub(super) fn kick(&self) {
        self.shared.kick.notify_waiters();
    }
}

/// Returns a text to one of our numbers.
pub(super) fn text(from: &str, to: &str, words: &str) -> ShortMessage {
    let address = |address: &str| Address { ton: 1, npi: 1, address: address.to_owned() };
    ShortMessage {
        source: address(from),
        destination: address(to),
        octets: words.as_bytes().to_vec().into(),
        ..ShortMessage::default()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, session: u64, shared: Arc<Shared>) {
    let mut server: Server<()> = Server::new(ServerConfig::default(), session, Instant::now());
    let mut heard = [0; 65_536];
    let (delivers, mut due) = mpsc::unbounded_channel::<ShortMessage>();
    let mut waiting = VecDeque::new();
    let mut receives = false;
    let mut ids = session << 32;
    loop {
        if receives {
            waiting.extend(shared.texts.lock().unwrap().drain(..));
        }
        while let Some(message) = waiting.front().cloned().filter(|_| server.room() > 0) {
            waiting.pop_front();
            server.deliver(Instant::now(), (), message).unwrap();
        }
        let mut out = Vec::new();
        while let Some(output) = server.poll_output() {
            match output {
                Output::Transmit(octets) => out.extend_from_slice(&octets),
                Output::Close => {
                    let _ = stream.write_all(&out).await;
                    return;
                }
                Output::Event(Event::BindRequested(bind)) => {
                    receives = bind.kind != BindKind::Transmitter;
                    server
                        .decide(Instant::now(), Ok(Grant { window: 1_000, rate: None, deliver_window: 100 }));
                }
                Output::Event(Event::Request { ack, request: Request::Submit(message) }) => {
                    let before = {
                        let mut received = shared.received.lock().unwrap();
                        let to = &message.destination.address;
                        let before = received.iter().filter(|other| other.destination.address == *to).count();
                        received.push(message.clone());
                        before
                    };
                    ids += 1;
                    let id = format!("{ids:X}");
                    let report = |state| reported(&message, &id, state);
                    match (shared.acts)(&message, before) {
                        Act::Deliver => {
                            server.reply(ack, Reply::Accepted(id.clone()));
                            delivers.send(report(State::Delivered)).unwrap();
                        }
                        Act::Report(state) => {
                            server.reply(ack, Reply::Accepted(id.clone()));
                            delivers.send(report(state)).unwrap();
                        }
                        Act::ReceiptFirst => {
                            let _ = server.deliver(Instant::now(), (), report(State::Delivered));
                            server.reply(ack, Reply::Accepted(id.clone()));
                        }
                        Act::Take => server.reply(ack, Reply::Accepted(id)),
                        Act::Refuse(status) => server.reply(ack, Reply::Refused(status)),
                        Act::Silence => {}
                        Act::Close => return,
                    }
                }
                Output::Event(Event::Delivered { .. }) => *shared.acknowledged.lock().unwrap() += 1,
                Output::Event(_) => {}
            }
        }
        if stream.write_all(&out).await.is_err() {
            return;
        }
        if server.room() > 0 && !waiting.is_empty() {
            continue;
        }
        let timeout = server.poll_timeout().map(|(at, _)| at);
        tokio::select! {
            read = stream.read(&mut heard) => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => server.handle_received(Instant::now(), &heard[..count]),
            },
            Some(message) = due.recv() => waiting.push_back(message),
            () = shared.changed.notified() => {}
            () = shared.kick.notified() => return,
            () = tokio::time::sleep_until(timeout.unwrap_or_else(Instant::now).into()), if timeout.is_some() => {
                server.handle_timeout(Instant::now());
            }
        }
    }
}

fn reported(message: &ShortMessage, id: &str, state: State) -> ShortMessage {
    let report = Report { id, state, error: 0, submitted_unix: 0, done_unix: 0 };
    receipt(message.source.clone(), message.destination.clone(), &report)
}
