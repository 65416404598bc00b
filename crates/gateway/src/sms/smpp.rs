//! A link by SMPP: one session of ours at a carrier.

mod connect;

use super::carrier::{Ack, Event, LinkId, Order, Orders, Outbox, Submission, Token};
use crate::app::random;
use crate::config::{SmppCarrier, SmsBinds, SmsCarrier};
use bytes::BytesMut;
use connect::{Stream, connect};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tracing::{info, warn};
use trunkline_sms::inbound::Inbound;
use trunkline_sms::pdu::BindKind;
use trunkline_sms::session::submit::Envelope;
use trunkline_sms::session::{AckToken, Client, client};
use trunkline_sms::status::CommandStatus;
use trunkline_sms::text::DefaultAlphabet;

/// Opens the sessions of a carrier; the index of each is that of its orders.
pub(super) fn start(
    carrier: &SmsCarrier,
    smpp: &SmppCarrier,
    events: &mpsc::Sender<(LinkId, Event)>,
) -> io::Result<Vec<Orders>> {
    let kinds: Vec<BindKind> = match smpp.binds {
        SmsBinds::Transceivers(count) => vec![BindKind::Transceiver; usize::from(count)],
        SmsBinds::Pairs(count) => {
            let pair = [BindKind::Transmitter, BindKind::Receiver];
            pair.into_iter().cycle().take(usize::from(count) * 2).collect()
        }
    };
    let password = smpp.password.read()?;
    let smpp = Arc::new(smpp.clone());
    let link = |(at, kind): (u16, BindKind)| {
        let id = LinkId { carrier: carrier.id.clone(), link: at };
        let (orders, inbox) = mpsc::unbounded_channel();
        let config = smpp.client(kind, password.clone());
        let link = Link {
            submits: kind.submits(),
            room: smpp.session.window * WINDOWS,
            alphabet: carrier.split.default_alphabet,
            smpp: Arc::clone(&smpp),
            client: Client::new(config, random(), Instant::now()),
            outbox: Outbox::new(id, events.clone()),
            inbox,
            waiting: VecDeque::new(),
            unacknowledged: HashMap::new(),
            acks: 0,
            wire: Wire::None,
            unwritten: BytesMut::new(),
            stopping: false,
            orphaned: false,
        };
        tokio::spawn(link.run());
        orders
    };
    Ok((0..).zip(kinds).map(link).collect())
}

/// Submissions that a link holds, in windows: one is on its way, one is ready when answers come.
const WINDOWS: usize = 2;

/// Most octets that wait for a slow connection: all a window can hold, many times over.
const UNWRITTEN_MAX: usize = 8 << 20;

/// Orders taken at once before the connection has its turn again.
const ORDERS_AT_ONCE: usize = 256;

struct Link {
    smpp: Arc<SmppCarrier>,
    client: Client<Token>,
    /// Whether its kind of bind submits.
    submits: bool,
    room: usize,
    alphabet: DefaultAlphabet,
    outbox: Outbox,
    inbox: mpsc::UnboundedReceiver<Order>,
    /// Taken from the engine, and not yet in the session.
    waiting: VecDeque<Submission>,
    unacknowledged: HashMap<Ack, AckToken>,
    acks: u64,
    wire: Wire,
    unwritten: BytesMut,
    stopping: bool,
    /// Whether the engine is gone.
    orphaned: bool,
}

/// A connection that is being made.
type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// The connection.
enum Wire {
    None,
    Connecting(Connecting),
    Open { reading: ReadHalf<Box<dyn Stream>>, writing: WriteHalf<Box<dyn Stream>>, heard: BytesMut },
}

/// What the connection did.
enum Did {
    Connected(Box<dyn Stream>),
    Heard(BytesMut),
    Wrote,
    Closed(Option<io::Error>),
}

impl Wire {
    /// Waits for the connection to do something. Nothing is lost when the wait is given up.
    async fn next(&mut self, unwritten: &mut BytesMut) -> Did {
        match self {
            Self::None => std::future::pending().await,
            Self::Connecting(connecting) => match connecting.await {
                Ok(stream) => Did::Connected(stream),
                Err(error) => Did::Closed(Some(error)),
            },
            Self::Open { reading, writing, heard } => {
                heard.reserve(READ_OCTETS);
                tokio::select! {
                    read = reading.read_buf(heard) => match read {
                        Ok(0) => Did::Closed(None),
                        Ok(_) => Did::Heard(heard.split()),
                        Err(error) => Did::Closed(Some(error)),
                    },
                    wrote = writing.write_buf(unwritten), if !unwritten.is_empty() => match wrote {
                        Ok(_) => Did::Wrote,
                        Err(error) => Did::Closed(Some(error)),
                    },
                }
            }
        }
    }
}

/// A window of answers fits many times.
const READ_OCTETS: usize = 64 * 1024;

impl Link {
    async fn run(mut self) {
        while self.drain().await {
            let timeout = self.client.poll_timeout().map(|(at, _)| at);
            tokio::select! {
                order = self.inbox.recv(), if !self.orphaned => self.take(order),
                did = self.wire.next(&mut self.unwritten) => self.heed(did),
                () = until(timeout) => self.client.handle_timeout(Instant::now()),
            }
        }
    }

    fn take(&mut self, first: Option<Order>) {
        let mut next = first;
        let mut left = ORDERS_AT_ONCE;
        loop {
            match next {
                Some(Order::Submit(submission)) => self.waiting.push_back(submission),
                Some(Order::Acknowledge { ack, kept }) => self.acknowledge(ack, kept),
                stop @ (Some(Order::Stop) | None) => {
                    self.orphaned |= stop.is_none();
                    self.stopping = true;
                    self.client.stop(Instant::now());
                    return;
                }
            }
            left -= 1;
            let Some(order) = (left > 0).then(|| self.inbox.try_recv().ok()).flatten() else { break };
            next = Some(order);
        }
        self.submit();
    }

    fn acknowledge(&mut self, ack: Ack, kept: bool) {
        if let Some(token) = self.unacknowledged.remove(&ack) {
            let status = if kept { CommandStatus::OK } else { CommandStatus::MESSAGE_QUEUE_FULL };
            self.client.acknowledge(token, status);
        }
    }

    fn submit(&mut self) {
        let now = Instant::now();
        while self.client.room() > 0
            && let Some(Submission { token, message, segment, more }) = self.waiting.pop_front()
        {
            let envelope = Envelope {
                from: message.from.clone(),
                to: message.to,
                validity_left: message.deadline.saturating_duration_since(now),
                receipts: message.receipts,
            };
            let message = self.smpp.profile.message(&envelope, &segment, more);
            // There was room a moment ago.
            let _ = self.client.submit(now, token, message);
        }
    }

    fn heed(&mut self, did: Did) {
        let now = Instant::now();
        match did {
            Did::Connected(stream) => {
                let (reading, writing) = tokio::io::split(stream);
                self.wire = Wire::Open { reading, writing, heard: BytesMut::new() };
                self.unwritten.clear();
                self.client.handle_connected(now);
            }
            Did::Heard(octets) => {
                self.client.handle_received(now, &octets);
                self.submit();
            }
            Did::Wrote => {}
            Did::Closed(error) => {
                if let Some(error) = error {
                    info!(carrier = %self.outbox.link().carrier, link = self.outbox.link().link, %error, "no connection");
                }
                self.wire = Wire::None;
                self.unwritten.clear();
                self.client.handle_closed(now);
            }
        }
    }

    /// Does what the session wants. Returns false when the link has ended.
    async fn drain(&mut self) -> bool {
        let mut close = false;
        while let Some(output) = self.client.poll_output() {
            match output {
                client::Output::Connect => {
                    self.wire = Wire::Connecting(Box::pin(connect(Arc::clone(&self.smpp))))
                }
                client::Output::Transmit(octets) => self.unwritten.extend_from_slice(&octets),
                client::Output::Close => close = true,
                client::Output::Event(event) => {
                    if !self.tell(event).await {
                        return false;
                    }
                    // A session that has room again, or is bound.
                    self.submit();
                }
            }
        }
        if self.unwritten.len() > UNWRITTEN_MAX {
            warn!(carrier = %self.outbox.link().carrier, link = self.outbox.link().link, "the carrier takes nothing");
            self.wire = Wire::None;
            self.client.handle_closed(Instant::now());
            return Box::pin(self.drain()).await;
        }
        if close {
            self.say_goodbye().await;
        }
        // What came for a session that has just gone down is for others to send.
        if !self.client.is_bound() && !self.give_waiting_back().await {
            return false;
        }
        !self.stopping || self.client.poll_timeout().is_some()
    }

    /// Writes what is left, such as an unbind_resp, to a connection that is given up.
    async fn say_goodbye(&mut self) {
        if let Wire::Open { writing, .. } = &mut self.wire {
            let all = async {
                writing.write_all(&self.unwritten).await?;
                writing.shutdown().await
            };
            // The peer may be gone already.
            let _ = tokio::time::timeout(GOODBYE_MAX, all).await;
        }
        self.wire = Wire::None;
        self.unwritten.clear();
    }

    async fn tell(&mut self, event: client::Event<Token>) -> bool {
        let event = match event {
            client::Event::Bound { version } => {
                info!(carrier = %self.outbox.link().carrier, link = self.outbox.link().link, ?version, "bound");
                Event::Up { room: if self.submits { self.room } else { 0 } }
            }
            client::Event::Down { end, retry_at } => return self.down(end, retry_at).await,
            client::Event::Accepted { token, id } => Event::Accepted { token, id },
            client::Event::Refused { token, status, class } => {
                Event::Refused { token, status, class, reason: None }
            }
            client::Event::Unanswered { token } => Event::Unanswered { token },
            client::Event::Returned { token, in_doubt } => Event::Returned { token, in_doubt },
            client::Event::Unencodable { token, field } => Event::Unencodable { token, field },
            client::Event::Paused { until } => Event::Paused { until },
            client::Event::Resumed => Event::Up { room: self.room },
            client::Event::Deliver { ack, message } => {
                self.acks += 1;
                let name = Ack(self.acks);
                self.unacknowledged.insert(name, ack);
                Event::Inbound(Inbound::read(message, self.alphabet, name))
            }
        };
        self.outbox.send(event).await
    }

    async fn down(&mut self, end: trunkline_sms::session::End, retry_at: Option<Instant>) -> bool {
        // What they name is gone with the session.
        self.unacknowledged.clear();
        let link = self.outbox.link();
        match retry_at {
            Some(at) => {
                let secs = at.saturating_duration_since(Instant::now()).as_secs_f32();
                warn!(carrier = %link.carrier, link = link.link, ?end, again_in_secs = secs, "session is down");
            }
            None => info!(carrier = %link.carrier, link = link.link, ?end, "session ended"),
        }
        self.give_waiting_back().await && self.outbox.send(Event::Down { why: format!("{end:?}") }).await
    }

    async fn give_waiting_back(&mut self) -> bool {
        while let Some(submission) = self.waiting.pop_front() {
            let event = Event::Returned { token: submission.token, in_doubt: false };
            if !self.outbox.send(event).await {
                return false;
            }
        }
        true
    }
}

/// Links end one after the other with the process; a peer that reads does so at once.
const GOODBYE_MAX: std::time::Duration = std::time::Duration::from_secs(1);

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
