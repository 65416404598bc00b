//! A link over HTTP: each text is a request, and what the carrier tells comes by webhook.
//!
//! What the carrier throttles keeps its place here, and the link rests. A carrier that cannot be reached is down until
//! a pause is over; then the next text tries it.

mod hooks;

pub(crate) use hooks::{Hooks, router};

use super::carrier::{Ack, Event, LinkId, Order, Orders, Outbox, Submission};
use crate::app::random;
use crate::config::{HttpCarrier as Settings, SmsCarrier};
use crate::http_client::{Answer, Guard, HttpClient, HttpError, Limits};
use anyhow::Context;
use bytes::Bytes;
use hooks::{Arrival, Entrance};
use http_body_util::Full;
use hyper::header::RETRY_AFTER;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::warn;
use trunkline_sms::carrier_http::{Carrier, HookEvent, Outgoing, Request, Sent};
use trunkline_sms::inbound::Inbound;
use trunkline_sms::receipt::Receipted;
use trunkline_sms::session::backoff::{Backoff, Jitter};
use trunkline_sms::status::Class;
use trunkline_sms::text::{Charset, Decoded, DefaultAlphabet};
use trunkline_storage::messages::Content;

/// Opens the link of a carrier, and the entrance for its webhooks.
pub(super) fn start(
    carrier: &SmsCarrier,
    settings: &Settings,
    hooks: &Hooks,
    events: &mpsc::Sender<(LinkId, Event)>,
) -> anyhow::Result<Vec<Orders>> {
    let name = carrier.id.as_str();
    let url = settings.hooks.clone().unwrap_or_else(|| hooks.url(name));
    let spoken = settings.carrier(&url).with_context(|| format!("SMS carrier {name}"))?;
    let spoken = Arc::new(spoken);
    let guard = Guard { networks: settings.private_addresses.clone(), ..Guard::default() };
    let client = HttpClient::new(guard, settings.ca_file.as_deref());
    let client = client.with_context(|| format!("SMS carrier {name}"))?;
    let (orders, inbox) = mpsc::unbounded_channel();
    let arrivals = hooks.open(name, Entrance { carrier: Arc::clone(&spoken), url });
    let id = LinkId { carrier: carrier.id.clone(), link: 0 };
    let link = Link {
        settings: settings.clone(),
        carrier: spoken,
        client,
        alphabet: carrier.split.default_alphabet,
        outbox: Outbox::new(id, events.clone()),
        inbox,
        arrivals,
        requests: JoinSet::new(),
        waiting: VecDeque::new(),
        unacknowledged: HashMap::new(),
        acks: 0,
        rests_until: None,
        down: false,
        failures: 0,
        jitter: Jitter::new(random()),
        stopping: false,
        has_engine: true,
    };
    tokio::spawn(link.run());
    Ok(vec![orders])
}

/// Why there is no answer.
enum Failure {
    /// The carrier does not have it.
    NotSent(String),
    /// It may.
    InDoubt(String),
}

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A request that is over.
struct Done {
    submission: Submission,
    answer: Result<Sent, Failure>,
}

struct Link {
    settings: Settings,
    carrier: Arc<Carrier>,
    client: HttpClient,
    alphabet: DefaultAlphabet,
    outbox: Outbox,
    inbox: mpsc::UnboundedReceiver<Order>,
    arrivals: mpsc::Receiver<Arrival>,
    requests: JoinSet<Done>,
    /// Taken from the engine, and not with the carrier.
    waiting: VecDeque<Submission>,
    unacknowledged: HashMap<Ack, oneshot::Sender<bool>>,
    acks: u64,
    /// The carrier throttles, or cannot be reached.
    rests_until: Option<Instant>,
    down: bool,
    /// Throttled or failed requests in a row.
    failures: u32,
    jitter: Jitter,
    stopping: bool,
    /// Whether the engine is there to say something.
    has_engine: bool,
}

/// What happened.
enum Happened {
    Order(Option<Order>),
    Done(Done),
    Arrival(Arrival),
    Rested,
}

/// Pauses of a link whose carrier throttles or is away.
const PAUSE: Backoff = Backoff::MINUTE;

/// Texts that wait here beside those on their way: the next is ready when an answer comes.
const WAITING_FACTOR: usize = 2;

impl Link {
    async fn run(mut self) {
        let room = self.settings.requests_max as usize * WAITING_FACTOR;
        let mut up = self.outbox.send(Event::Up { room }).await;
        while up && !self.is_done() {
            let happened = self.next().await;
            up = self.heed(happened, room).await;
            self.submit().await;
        }
    }

    /// Whether it was told to stop, and all that is under way has ended.
    fn is_done(&self) -> bool {
        let acknowledged = self.unacknowledged.is_empty() || !self.has_engine;
        self.stopping && self.requests.is_empty() && acknowledged
    }

    async fn next(&mut self) -> Happened {
        loop {
            let rests_until = self.rests_until;
            tokio::select! {
                order = self.inbox.recv(), if self.has_engine => return Happened::Order(order),
                Some(done) = self.requests.join_next() => match done {
                    Ok(done) => return Happened::Done(done),
                    // A request that panicked is a bug; its text is claimed again when its lease is over.
                    Err(error) => warn!(%error, "a request to an SMS carrier failed"),
                },
                Some(arrival) = self.arrivals.recv(), if !self.stopping => return Happened::Arrival(arrival),
                () = until(rests_until) => return Happened::Rested,
            }
        }
    }

    /// Returns false when the engine is gone.
    async fn heed(&mut self, happened: Happened, room: usize) -> bool {
        match happened {
            Happened::Order(Some(Order::Submit(submission))) => {
                self.waiting.push_back(submission);
                true
            }
            Happened::Order(Some(Order::Acknowledge { ack, kept })) => {
                if let Some(sender) = self.unacknowledged.remove(&ack) {
                    // The carrier may have gone; it will come again.
                    let _ = sender.send(kept);
                }
                true
            }
            Happened::Order(order @ (Some(Order::Stop) | None)) => {
                self.has_engine = order.is_some();
                self.stopping = true;
                self.give_back().await && self.outbox.send(Event::Down { why: "stopped".to_owned() }).await
            }
            Happened::Done(Done { submission, answer }) => self.answered(submission, answer).await,
            Happened::Arrival(Arrival { event, kept }) => {
                self.acks += 1;
                let ack = Ack(self.acks);
                self.unacknowledged.insert(ack, kept);
                self.outbox.send(Event::Inbound(inbound(event, ack))).await
            }
            Happened::Rested => {
                self.rests_until = None;
                !std::mem::take(&mut self.down) || self.outbox.send(Event::Up { room }).await
            }
        }
    }

    async fn answered(&mut self, submission: Submission, answer: Result<Sent, Failure>) -> bool {
        let token = submission.token;
        let event = match answer {
            Ok(Sent::Accepted { id }) => {
                self.failures = 0;
                Event::Accepted { token, id }
            }
            Ok(Sent::Refused { status, error, retry_after }) => {
                let class = self.settings.statuses.class(status);
                if class == Class::Throttled && !self.stopping {
                    let pause =
                        retry_after.unwrap_or_else(|| PAUSE.jittered(self.failures, &mut self.jitter));
                    self.failures += 1;
                    self.waiting.push_front(submission);
                    let until = self.rest(Instant::now() + pause);
                    return self.outbox.send(Event::Paused { until }).await;
                }
                Event::Refused { token, status, class, reason: error }
            }
            Err(Failure::InDoubt(why)) => {
                warn!(carrier = %self.outbox.link().carrier, why, "an SMS carrier gave no answer");
                Event::Unanswered { token }
            }
            Err(Failure::NotSent(why)) => {
                return self.outbox.send(Event::Returned { token, in_doubt: false }).await
                    && self.go_down(why).await;
            }
        };
        self.outbox.send(event).await
    }

    /// The carrier cannot be reached: what waits is given back, and the link rests.
    async fn go_down(&mut self, why: String) -> bool {
        if self.down {
            return true;
        }
        self.down = true;
        let pause = PAUSE.jittered(self.failures, &mut self.jitter);
        self.failures += 1;
        self.rest(Instant::now() + pause);
        self.give_back().await && self.outbox.send(Event::Down { why }).await
    }

    async fn give_back(&mut self) -> bool {
        let mut up = true;
        for submission in std::mem::take(&mut self.waiting) {
            up &= self.outbox.send(Event::Returned { token: submission.token, in_doubt: false }).await;
        }
        up
    }

    fn rest(&mut self, until: Instant) -> Instant {
        let until = self.rests_until.map_or(until, |at| at.max(until));
        self.rests_until = Some(until);
        until
    }

    /// Hands over what waits, as far as the carrier may have it now.
    async fn submit(&mut self) {
        if self.down && !self.give_back().await {
            return;
        }
        while self.rests_until.is_none()
            && self.requests.len() < self.settings.requests_max as usize
            && let Some(submission) = self.waiting.pop_front()
        {
            match self.request(&submission) {
                Ok(request) => {
                    let (client, carrier) = (self.client.clone(), Arc::clone(&self.carrier));
                    let limits = Limits { within: self.settings.response, body_bytes_max: ANSWER_BYTES_MAX };
                    self.requests.spawn(async move {
                        let answer = exchange(&client, request, limits).await.map(|answer| {
                            let retry_after =
                                answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                            carrier.response(answer.status.as_u16(), retry_after, &answer.body)
                        });
                        Done { submission, answer }
                    });
                }
                Err(field) => {
                    let event = Event::Unencodable { token: submission.token, field };
                    if !self.outbox.send(event).await {
                        return;
                    }
                }
            }
        }
    }

    fn request(&self, submission: &Submission) -> Result<Request, &'static str> {
        let message = &submission.message;
        let text = text(&message.content, self.alphabet).ok_or("text")?;
        Ok(self.carrier.request(&Outgoing {
            id: &message.id.to_string(),
            from: &message.from,
            to: &message.to,
            text: &text,
            receipts: message.receipts,
            validity_left: message.deadline.saturating_duration_since(Instant::now()),
        }))
    }
}

async fn exchange(client: &HttpClient, request: Request, limits: Limits) -> Result<Answer, Failure> {
    let not_sent = |error: &dyn std::fmt::Display| Failure::NotSent(error.to_string());
    let url = client.url(&request.url).map_err(|error| not_sent(&error))?;
    let mut built = hyper::Request::builder().method(request.method.as_str()).uri(url);
    for (name, value) in &request.headers {
        built = built.header(name, value);
    }
    let built = built.body(Full::new(Bytes::from(request.body))).map_err(|error| not_sent(&error))?;
    client.send(built, limits).await.map_err(|error| match error {
        HttpError::Url(_) | HttpError::Forbidden(_) | HttpError::NoConnection(_) => {
            Failure::NotSent(error.to_string())
        }
        HttpError::Timeout(_) | HttpError::TooLong(_) | HttpError::Failed(_) => {
            Failure::InDoubt(error.to_string())
        }
    })
}

/// What a message says, in words: a part of a longer one, and what is no text, are not for a carrier over HTTP.
fn text(content: &Content, alphabet: DefaultAlphabet) -> Option<String> {
    match content {
        Content::Text(text) => Some(text.clone()),
        Content::Octets { header: true, .. } => None,
        Content::Octets { octets, data_coding, header: false } => {
            match Charset::of(*data_coding, alphabet).decode(octets, Default::default(), 0) {
                Decoded::Text { text, .. } => Some(text),
                Decoded::Binary(_) => None,
            }
        }
    }
}

/// Returns what a webhook tells as it would have come by SMPP: a receipt goes from the recipient to the sender.
fn inbound(event: HookEvent, handle: Ack) -> Inbound<Ack> {
    match event {
        HookEvent::Report { receipt, from, to } => {
            Inbound::Receipt(Receipted { receipt, source: to, destination: from, handle })
        }
        HookEvent::Text { from, to, text, .. } => {
            Inbound::Text { from, to, content: Decoded::Text { text, lossy: false }, handle }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
