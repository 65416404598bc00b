//! What one session takes from its account's queue, and what becomes of it.
//!
//! Sessions of one account share its queue: each claims what it has room for, under a lease. A notice is finished when
//! all its segments are acknowledged; what a session that ends has not finished is due again at once.

use super::super::accounts::{BACKOFF, Notice, queue};
use super::session::Brought;
use crate::app::{random, unix_ms};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::error;
use trunkline_sms::pdu::ShortMessage;
use trunkline_sms::status::{Class, CommandStatus};
use trunkline_storage::jobs::{self, Job, Lease};
use trunkline_storage::{Error, Store};

/// How long a session has for what it claimed: a window of answers, several times over.
const LEASE_MS: i64 = 60_000;

/// How often the queue is looked into without word that something changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Pause after the database could not be asked.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// How long something rests that got no answer.
const REST_MS: i64 = 1_000;

pub(super) struct Outbox {
    queue: String,
    store: Store,
    brings: mpsc::Sender<Brought>,
    /// Whether the queue is being looked into.
    looking: bool,
    /// Whether there was word meanwhile.
    again: bool,
    looks_at: Instant,
    /// Segments that wait for room, with the number that their job has here.
    waiting: VecDeque<(u64, ShortMessage)>,
    claimed: HashMap<u64, Claimed>,
    claims: u64,
    /// The job of each segment on its way.
    tokens: HashMap<u64, u64>,
    tokens_given: u64,
    verdicts: Vec<Verdict>,
    writing: bool,
}

struct Claimed {
    lease: Lease,
    /// Segments without an acknowledgement.
    left: usize,
}

/// What becomes of a job.
#[derive(Debug)]
enum Verdict {
    Finished(Lease),
    /// The customer's system refused it for now.
    Failed(Lease, CommandStatus),
    /// It refused it for good, or it can never be said.
    Dead(Lease, String),
    /// It got no answer.
    Unanswered(Lease),
}

/// What another task did.
pub(super) enum Did {
    /// Looked; with when the next is due, in milliseconds since 1970.
    Looked(Result<(Vec<Job>, Option<i64>), Error>),
    /// Wrote verdicts down.
    Wrote(Result<(), Error>),
}

impl Outbox {
    pub(super) fn new(account: &str, store: Store, brings: mpsc::Sender<Brought>) -> Self {
        Self {
            queue: queue(account),
            store,
            brings,
            looking: false,
            again: false,
            looks_at: Instant::now(),
            waiting: VecDeque::new(),
            claimed: HashMap::new(),
            claims: 0,
            tokens: HashMap::new(),
            tokens_given: 0,
            verdicts: Vec::new(),
            writing: false,
        }
    }

    /// When the queue should be looked into; none while that is done, or while there is no need.
    pub(super) fn looks_at(&self) -> Option<Instant> {
        (!self.looking && self.waiting.is_empty()).then_some(self.looks_at)
    }

    /// Looks into the queue, for as much as there is room for.
    pub(super) fn look(&mut self, room: usize) {
        if self.looking {
            self.again = true;
            return;
        }
        if room == 0 || !self.waiting.is_empty() {
            // Acknowledgements make room, and look again.
            self.looks_at = Instant::now() + LOOK_EVERY;
            self.again = true;
            return;
        }
        (self.looking, self.again) = (true, false);
        let (store, queue, brings) = (self.store.clone(), self.queue.clone(), self.brings.clone());
        let limit = u16::try_from(room).unwrap_or(u16::MAX);
        tokio::spawn(async move {
            let looked = look(&store, queue, limit).await;
            // A session that has ended leaves its lease to run out.
            let _ = brings.send(Brought::Queue(Did::Looked(looked))).await;
        });
    }

    /// Takes in what another task did.
    pub(super) fn did(&mut self, did: Did) {
        match did {
            Did::Looked(Ok((jobs, next_due))) => {
                self.looking = false;
                let now = Instant::now();
                let due = next_due.map(|at| now + Duration::from_millis((at - unix_ms()).max(0) as u64));
                self.looks_at = due.unwrap_or(now + LOOK_EVERY).min(now + LOOK_EVERY);
                if self.again {
                    self.looks_at = now;
                }
                jobs.into_iter().for_each(|job| self.claim(job));
            }
            Did::Looked(Err(error)) => {
                self.looking = false;
                self.looks_at = Instant::now() + TROUBLE_PAUSE;
                error!(%error, "the queue of an account cannot be read");
            }
            Did::Wrote(wrote) => {
                self.writing = false;
                if let Err(error) = wrote {
                    // Their leases run out, and they are told again.
                    error!(%error, "what became of notices to an account was not written");
                }
                self.write();
            }
        }
    }

    fn claim(&mut self, job: Job) {
        let notice = serde_json::from_value::<Notice>(job.payload);
        let messages = notice.map(|notice| notice.messages()).unwrap_or_default();
        if messages.is_empty() {
            self.verdicts.push(Verdict::Dead(job.lease, "it cannot be said by SMPP".to_owned()));
            return;
        }
        self.claims += 1;
        let id = self.claims;
        self.claimed.insert(id, Claimed { lease: job.lease, left: messages.len() });
        self.waiting.extend(messages.into_iter().map(|message| (id, message)));
    }

    /// Returns the next segment to deliver, and the token of its event.
    pub(super) fn next(&mut self) -> Option<(u64, ShortMessage)> {
        let (job, message) = self.waiting.pop_front()?;
        self.tokens_given += 1;
        self.tokens.insert(self.tokens_given, job);
        Some((self.tokens_given, message))
    }

    pub(super) fn delivered(&mut self, token: u64) {
        let Some(job) = self.tokens.remove(&token) else { return };
        let Some(claimed) = self.claimed.get_mut(&job) else { return };
        claimed.left -= 1;
        if claimed.left == 0
            && let Some(claimed) = self.claimed.remove(&job)
        {
            self.verdicts.push(Verdict::Finished(claimed.lease));
        }
        if self.again && self.waiting.is_empty() {
            self.looks_at = Instant::now();
        }
    }

    pub(super) fn refused(&mut self, token: u64, status: CommandStatus, class: Class) {
        if let Some(lease) = self.give_up(token) {
            self.verdicts.push(match class {
                Class::Final => Verdict::Dead(lease, format!("refused with {status}")),
                _ => Verdict::Failed(lease, status),
            });
        }
    }

    pub(super) fn undelivered(&mut self, token: u64) {
        if let Some(lease) = self.give_up(token) {
            self.verdicts.push(Verdict::Unanswered(lease));
        }
    }

    /// Takes back a job whose segment was not taken, with the segments of it that still wait.
    fn give_up(&mut self, token: u64) -> Option<Lease> {
        let job = self.tokens.remove(&token)?;
        self.waiting.retain(|(of, _)| *of != job);
        self.claimed.remove(&job).map(|claimed| claimed.lease)
    }

    /// Writes down what became of jobs.
    pub(super) fn write(&mut self) {
        if self.writing || self.verdicts.is_empty() {
            return;
        }
        self.writing = true;
        let (store, brings, verdicts) =
            (self.store.clone(), self.brings.clone(), std::mem::take(&mut self.verdicts));
        tokio::spawn(async move {
            let wrote = write(&store, verdicts).await;
            let _ = brings.send(Brought::Queue(Did::Wrote(wrote))).await;
        });
    }

    /// Ends: what was claimed and is not finished is due again at once.
    pub(super) fn give_back(mut self) {
        let left = self.claimed.drain().map(|(_, claimed)| Verdict::Unanswered(claimed.lease));
        let verdicts: Vec<Verdict> = self.verdicts.drain(..).chain(left).collect();
        if verdicts.is_empty() {
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = write(&store, verdicts).await {
                error!(%error, "what a session of an account had left was not given back");
            }
        });
    }
}

async fn look(store: &Store, queue: String, limit: u16) -> Result<(Vec<Job>, Option<i64>), Error> {
    let now = unix_ms();
    let due = jobs::next_due(&mut store.read().await?, &queue).await?;
    if due.is_none_or(|due| due > now) {
        return Ok((Vec::new(), due));
    }
    let claim = store.write(move |db| {
        Box::pin(async move {
            let claimed = jobs::claim(db, &queue, now, now + LEASE_MS, limit).await?;
            Ok::<_, Error>((claimed, jobs::next_due(db, &queue).await?))
        })
    });
    claim.await
}

async fn write(store: &Store, verdicts: Vec<Verdict>) -> Result<(), Error> {
    let work = store.write(move |db| {
        Box::pin(async move {
            let now = unix_ms();
            let mut finished = Vec::new();
            for verdict in verdicts {
                match verdict {
                    Verdict::Finished(lease) => finished.push(lease),
                    Verdict::Failed(lease, status) => {
                        let why = format!("refused with {status}");
                        jobs::fail(db, &lease, &why, &BACKOFF, random(), now).await?;
                    }
                    Verdict::Dead(lease, why) => {
                        jobs::bury(db, &lease, &why, now).await?;
                    }
                    Verdict::Unanswered(lease) => {
                        jobs::postpone(db, &lease, now + REST_MS).await?;
                    }
                }
            }
            jobs::finish_all(db, &finished, now).await?;
            Ok::<_, Error>(())
        })
    });
    work.await
}
