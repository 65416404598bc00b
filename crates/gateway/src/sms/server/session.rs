//! One connection of a customer's system.

use super::outbox::{Did, Outbox};
use super::{Place, Shared, submit};
use crate::config::SmsAccount;
use bytes::BytesMut;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tracing::{info, warn};
use trunkline_sms::pdu::Bind;
use trunkline_sms::session::server::{Event, Output, Reply, Request};
use trunkline_sms::session::{AckToken, Server, ServerConfig};
use trunkline_sms::status::StatusTable;
use trunkline_storage::Topic;

/// Octets read at once.
const READ_OCTETS: usize = 16 * 1024;

/// A peer that leaves this much unread is not read from until it reads.
const UNREAD_PAUSE: usize = 256 * 1024;

/// How long a peer may read nothing of what is written.
const WRITE_MAX: Duration = Duration::from_secs(20);

/// How long the answer to our unbind is waited for.
const GOODBYE: Duration = Duration::from_secs(5);

/// What other tasks bring to a connection's.
pub(super) enum Brought {
    /// Requests are answered.
    Replies(Vec<(AckToken, Reply)>),
    /// The queue was looked into, or written to.
    Queue(Did),
}

/// Work of other tasks that waits: each of a few kinds is under way once, and requests at most a window.
const BROUGHT_MAX: usize = 64;

struct Session {
    shared: Arc<Shared>,
    source: IpAddr,
    server: Server<u64>,
    account: Option<Arc<SmsAccount>>,
    outbox: Option<Outbox>,
    requests: Vec<(AckToken, Request)>,
    brings: mpsc::Sender<Brought>,
    unwritten: BytesMut,
    /// Since when the peer has read nothing of what waits.
    stuck: Option<Instant>,
    closed: bool,
}

/// Serves a connection until it ends.
pub(super) async fn run<S>(stream: S, place: Place, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let shared = Arc::clone(&place.shared);
    let config = ServerConfig {
        system_id: shared.config.system_id.clone(),
        timers: shared.config.timers,
        statuses: StatusTable::default(),
    };
    let (brings, mut brought) = mpsc::channel(BROUGHT_MAX);
    let mut session = Session {
        source: place.source,
        server: Server::new(config, shared.next_session(), Instant::now()),
        account: None,
        outbox: None,
        requests: Vec::new(),
        brings,
        unwritten: BytesMut::new(),
        stuck: None,
        closed: false,
        shared,
    };
    let mut jobs = session.shared.store.subscribe(Topic::Jobs);
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut heard = BytesMut::new();
    let mut goodbye: Option<Instant> = None;
    while !session.closed || !session.unwritten.is_empty() {
        heard.reserve(READ_OCTETS);
        let reads = session.unwritten.len() < UNREAD_PAUSE && !session.closed;
        let wakes = session.wakes(goodbye);
        tokio::select! {
            read = reading.read_buf(&mut heard), if reads => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => session.server.handle_received(Instant::now(), &heard.split()),
            },
            wrote = writing.write_buf(&mut session.unwritten), if !session.unwritten.is_empty() => match wrote {
                Ok(octets) if octets > 0 => session.stuck = None,
                Ok(_) | Err(_) => break,
            },
            Some(brought) = brought.recv() => session.take(brought),
            () = jobs.changed(), if session.outbox.is_some() => session.look(),
            () = until(wakes) => {
                if session.is_stuck() || goodbye.is_some_and(|at| at <= Instant::now()) {
                    break;
                }
                session.server.handle_timeout(Instant::now());
                session.look_if_due();
            }
            _ = stopped.changed(), if goodbye.is_none() => {
                goodbye = Some(Instant::now() + GOODBYE);
                session.server.stop(Instant::now());
            }
        }
        session.drain();
    }
    session.server.handle_closed();
    session.drain();
    session.end();
    drop(place);
}

impl Session {
    /// When to look after the session next.
    fn wakes(&self, goodbye: Option<Instant>) -> Option<Instant> {
        let timer = self.server.poll_timeout().map(|(at, _)| at);
        let look = self.outbox.as_ref().and_then(Outbox::looks_at);
        let stuck = self.stuck.map(|since| since + WRITE_MAX);
        timer.into_iter().chain(look).chain(stuck).chain(goodbye).min()
    }

    fn is_stuck(&self) -> bool {
        self.stuck.is_some_and(|since| since + WRITE_MAX <= Instant::now())
    }

    fn take(&mut self, brought: Brought) {
        match brought {
            Brought::Replies(replies) => {
                for (ack, reply) in replies {
                    self.server.reply(ack, reply);
                }
            }
            Brought::Queue(did) => {
                if let Some(outbox) = &mut self.outbox {
                    outbox.did(did);
                }
                self.look_if_due();
            }
        }
    }

    /// Looks into the queue for what to deliver.
    fn look(&mut self) {
        let room = self.server.room();
        if let Some(outbox) = &mut self.outbox {
            outbox.look(room);
        }
    }

    fn look_if_due(&mut self) {
        if self.outbox.as_ref().and_then(Outbox::looks_at).is_some_and(|at| at <= Instant::now()) {
            self.look();
        }
    }

    /// Takes out what the session wants done, and has it do what there is room for.
    fn drain(&mut self) {
        loop {
            self.deliver();
            let Some(output) = self.server.poll_output() else { break };
            match output {
                Output::Transmit(octets) => {
                    self.unwritten.extend_from_slice(&octets);
                    self.stuck.get_or_insert_with(Instant::now);
                }
                Output::Close => self.closed = true,
                Output::Event(event) => self.happened(event),
            }
        }
        if self.unwritten.is_empty() {
            self.stuck = None;
        }
        self.answer();
        if let Some(outbox) = &mut self.outbox {
            outbox.write();
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.server.room() > 0
            && let Some((token, message)) = self.outbox.as_mut().and_then(Outbox::next)
        {
            // It has room, and says by events what becomes of the message.
            let _ = self.server.deliver(now, token, message);
        }
    }

    fn happened(&mut self, event: Event<u64>) {
        match event {
            Event::BindRequested(bind) => self.bind(&bind),
            Event::Request { ack, request } => self.requests.push((ack, request)),
            Event::Delivered { token } => self.of_outbox(|outbox| outbox.delivered(token)),
            Event::Refused { token, status, class } => {
                self.of_outbox(|outbox| outbox.refused(token, status, class));
            }
            Event::Undelivered { token, .. } => self.of_outbox(|outbox| outbox.undelivered(token)),
            Event::Ended(end) => {
                self.closed = true;
                if let Some(account) = &self.account {
                    info!(account = account.name, ?end, "SMPP session of a customer ended");
                }
            }
        }
    }

    fn of_outbox(&mut self, act: impl FnOnce(&mut Outbox)) {
        if let Some(outbox) = &mut self.outbox {
            act(outbox);
        }
    }

    fn bind(&mut self, bind: &Bind) {
        let now = Instant::now();
        let mut accounts = self.shared.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let decision = accounts.bind(now, self.source, bind);
        drop(accounts);
        match &decision {
            Ok(_) => {
                self.account = self.shared.by_system_id.get(&bind.system_id).map(Arc::clone);
                let name = self.account.as_ref().map_or("", |account| account.name.as_str());
                info!(account = name, source = %self.source, kind = ?bind.kind, "a customer's system has bound");
                if let Some(account) = self.account.as_ref().filter(|_| bind.kind.receives()) {
                    let (store, brings) = (self.shared.store.clone(), self.brings.clone());
                    self.outbox = Some(Outbox::new(&account.name, store, brings));
                }
            }
            Err(refusal) => warn!(
                source = %self.source,
                system_id = %bind.system_id.escape_debug(),
                status = %refusal.status,
                "a bind was refused"
            ),
        }
        self.server.decide(now, decision);
    }

    /// Has what was asked for since the last turn answered, all in one unit.
    fn answer(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let Some(account) = self.account.clone() else { return };
        let requests = std::mem::take(&mut self.requests);
        let (shared, brings) = (Arc::clone(&self.shared), self.brings.clone());
        tokio::spawn(async move {
            let replies = submit::answer(&shared, &account, requests).await;
            // A session that has ended answers nothing.
            let _ = brings.send(Brought::Replies(replies)).await;
        });
    }

    /// Gives back what was taken from the queue, and the place among the account's sessions.
    fn end(mut self) {
        if let Some(account) = &self.account {
            let mut accounts = self.shared.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            accounts.release(&account.system_id);
        }
        if let Some(outbox) = self.outbox.take() {
            outbox.give_back();
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
