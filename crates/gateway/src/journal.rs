//! Writes call records behind the calls: signalling never waits for storage.
//!
//! Records wait in memory while storage is slow. Those that have waited for long, those beyond the configured limit,
//! and those left when the process ends, go to a spill file, whose records are stored as soon as storage works
//! again, by this process or the next.

mod spill;

use crate::live::Board;
use crate::metrics::Metrics;
use spill::Spilled;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, error, info, warn};
use trunkline_call::{CallEvent, Explain, Rule, Verdict};
use trunkline_model::CallRecord;
use trunkline_storage::{Error as StorageError, Store, calls};

/// Records of one unit of work. Larger ones would make readers of other tables wait.
const BATCH_MAX: usize = 500;

/// First pause after storage has failed; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Longest pause between two tries: an operator who has mended the disk should not have to wait.
const RETRY_LAST: Duration = Duration::from_secs(5);

/// How long a record waits in memory: what a power cut may cost while storage is away.
const SPILL_AFTER: Duration = Duration::from_secs(30);

/// How long the end of the process waits for storage before what is left goes to the spill file.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// Events on their way from signalling. The journal takes them at once whatever storage does, so that this
/// only covers the time its thread is not scheduled: 20 events a call at 1,000 calls/s for some seconds.
const EVENTS_MAX: usize = 100_000;

/// Where signalling leaves events.
#[derive(Debug, Clone)]
pub(crate) struct JournalSender {
    events: mpsc::Sender<CallEvent>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
}

/// Where and how much is kept while storage is away.
#[derive(Debug, Clone)]
pub(crate) struct JournalConfig {
    /// Most records in memory.
    pub(crate) waiting_max: usize,
    /// The spill file.
    pub(crate) spill: PathBuf,
}

/// The journal: runs until every sender is gone and everything is kept.
pub(crate) struct Journal {
    events: mpsc::Receiver<CallEvent>,
    store: Store,
    config: JournalConfig,
    metrics: Arc<Metrics>,
    /// Records, each with when it came, the oldest first.
    waiting: VecDeque<(Instant, CallRecord)>,
    writing: Option<Writing>,
    /// When storage is tried again after it failed, and the pause before that.
    retry: Option<(Instant, Duration)>,
    /// Whether there may be a spill file with records that are not stored yet.
    has_spilled: bool,
    /// The spill file that is being stored.
    spilled: Option<Spilled>,
    /// Whether the next batch comes from the spill file: it takes turns with what waits.
    spill_turn: bool,
    /// After a failure to spill: not before this is it tried again.
    spill_again: Option<Instant>,
    spill_after: Duration,
}

/// A batch that storage has.
struct Writing {
    batch: Arc<[CallRecord]>,
    origin: Origin,
    result: Pin<Box<dyn Future<Output = Result<(), StorageError>> + Send>>,
}

/// Where else the records of a batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Nowhere; the oldest of them came then.
    Waiting(Instant),
    /// In the spill file.
    Spill,
}

impl JournalSender {
    /// Returns where the calls are that are up now.
    pub(crate) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Takes an event. Never waits; an event that finds no room is counted and logged, for it is lost.
    pub(crate) fn send(&self, event: CallEvent) {
        self.board.note(&event);
        if let Err(refused) = self.events.try_send(event)
            && let CallEvent::Ended { record } = refused.into_inner()
        {
            self.metrics.journal_lost.add(1);
            error!(call = %record.call, cause = %record.cause, "no room for a call record: it is lost");
        }
    }
}

impl Journal {
    /// Returns the journal and its door.
    pub(crate) fn new(store: Store, config: JournalConfig, metrics: Arc<Metrics>) -> (Self, JournalSender) {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let sender = JournalSender { events: sender, metrics: Arc::clone(&metrics), board: Arc::default() };
        let has_spilled = spill::exists(&config.spill);
        let journal = Self {
            events,
            store,
            config,
            metrics,
            waiting: VecDeque::new(),
            writing: None,
            retry: None,
            has_spilled,
            spilled: None,
            spill_turn: has_spilled,
            spill_again: None,
            spill_after: SPILL_AFTER,
        };
        (journal, sender)
    }

    /// Runs until every sender is gone; then stores or spills what is left.
    pub(crate) async fn run(mut self) {
        loop {
            self.begin_batch();
            let wake = self.wake_at();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                result = finished(&mut self.writing) => self.batch_done(result),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            self.spill_overdue();
        }
        self.flush().await;
    }

    fn take(&mut self, event: CallEvent) {
        log(&event);
        match event {
            CallEvent::Started { .. } | CallEvent::Refused { .. } => self.metrics.calls_started.add(1),
            CallEvent::Answered { .. } => self.metrics.calls_answered.add(1),
            CallEvent::Ended { record } => {
                self.metrics.call_ended(&record);
                self.waiting.push_back((Instant::now(), *record));
                self.metrics.journal_waiting.set(self.waiting.len() as u64);
            }
            CallEvent::GatewayDown { .. }
            | CallEvent::GatewayUp { .. }
            | CallEvent::Attempt { .. }
            | CallEvent::AttemptFailed { .. }
            | CallEvent::Ringing { .. }
            | CallEvent::MediaStarted { .. }
            | CallEvent::DirectionChanged { .. } => {}
        }
    }

    /// Returns when there is something to do without an event.
    fn wake_at(&self) -> Option<Instant> {
        let retry = self.retry.map(|(at, _)| at).filter(|_| self.writing.is_none());
        let waiting = self.waiting.front().map(|(since, _)| *since);
        let written = self.writing.as_ref().and_then(Writing::only_here_since);
        let oldest = waiting.into_iter().chain(written).min();
        let spill = oldest.map(|oldest| (oldest + self.spill_after).max(self.spill_again.unwrap_or(oldest)));
        retry.into_iter().chain(spill).min()
    }

    fn begin_batch(&mut self) {
        let paused = self.retry.is_some_and(|(at, _)| at > Instant::now());
        if self.writing.is_some() || paused {
            return;
        }
        let spill_first = self.spill_turn || self.waiting.is_empty();
        let spilled = if spill_first { self.take_spilled() } else { None };
        self.spill_turn = spilled.is_none() && self.has_spilled;
        let Some((batch, origin)) = spilled.or_else(|| self.take_waiting()) else { return };
        let batch: Arc<[CallRecord]> = batch.into();
        let result = Box::pin(store(self.store.clone(), Arc::clone(&batch)));
        self.writing = Some(Writing { batch, origin, result });
    }

    fn take_waiting(&mut self) -> Option<(Vec<CallRecord>, Origin)> {
        let oldest = self.waiting.front().map(|(since, _)| *since)?;
        let count = self.waiting.len().min(BATCH_MAX);
        let batch = self.waiting.drain(..count).map(|(_, record)| record).collect();
        Some((batch, Origin::Waiting(oldest)))
    }

    /// Takes the next records of the spill file, which is removed when the last of them are stored.
    fn take_spilled(&mut self) -> Option<(Vec<CallRecord>, Origin)> {
        let taken = self.next_spilled();
        if let Err(error) = &taken {
            let file = self.config.spill.display();
            error!(%error, %file, "the spill file could not be read or removed; it is left as it is");
            (self.has_spilled, self.spilled) = (false, None);
        }
        taken.ok().flatten().map(|batch| (batch, Origin::Spill))
    }

    fn next_spilled(&mut self) -> std::io::Result<Option<Vec<CallRecord>>> {
        while self.has_spilled {
            let mut spilled = match self.spilled.take() {
                Some(spilled) => spilled,
                None => match Spilled::open(&self.config.spill)? {
                    Some(spilled) => spilled,
                    None => {
                        self.has_spilled = false;
                        break;
                    }
                },
            };
            let batch = spilled.next_batch(BATCH_MAX)?;
            if !batch.is_empty() {
                self.spilled = Some(spilled);
                return Ok(Some(batch));
            }
            // Every batch before this one was stored: a failure begins the file anew.
            spilled.forget()?;
            info!("the call records of the spill file are stored");
        }
        Ok(None)
    }

    fn batch_done(&mut self, result: Result<(), StorageError>) {
        let Some(Writing { batch, origin, .. }) = self.writing.take() else { return };
        match result {
            Ok(()) => {
                self.metrics.journal_stored.add(batch.len() as u64);
                self.retry = None;
            }
            // A record that was written all the same is not written twice: its id is known.
            Err(error) => {
                let pause = self.retry.map_or(RETRY_FIRST, |(_, pause)| (pause * 2).min(RETRY_LAST));
                let waiting = self.waiting.len() + batch.len();
                error!(%error, waiting, retry_ms = pause.as_millis(), "call records could not be stored");
                self.retry = Some((Instant::now() + pause, pause));
                match origin {
                    Origin::Waiting(since) => {
                        for record in batch.iter().rev() {
                            self.waiting.push_front((since, record.clone()));
                        }
                    }
                    Origin::Spill => self.spilled = None,
                }
            }
        }
        self.metrics.journal_waiting.set(self.waiting.len() as u64);
    }

    /// Spills what has waited for too long, and the oldest when too many wait.
    fn spill_overdue(&mut self) {
        let now = Instant::now();
        let is_old = |since: Instant| now >= since + self.spill_after;
        let all = self.waiting.front().is_some_and(|(since, _)| is_old(*since));
        let max = self.config.waiting_max;
        let count = match self.waiting.len() {
            waiting if all => waiting,
            waiting if waiting > max => waiting - max / 2,
            _ => 0,
        };
        // What storage has had for so long may be stored or not.
        let stuck = self.writing.as_ref().filter(|writing| writing.only_here_since().is_some_and(is_old));
        let mut records = stuck.map(|writing| writing.batch.to_vec()).unwrap_or_default();
        records.extend(self.waiting.iter().take(count).map(|(_, record)| record.clone()));
        if records.is_empty() {
            return;
        }
        if self.spill_again.is_none_or(|at| at <= now) && self.spill(&records) {
            self.waiting.drain(..count);
            if let Some(writing) = self.writing.as_mut().filter(|_| records.len() > count) {
                writing.origin = Origin::Spill;
            }
        }
        // Neither storage nor the disk takes them.
        let excess = self.waiting.len().saturating_sub(max);
        let lost: Vec<CallRecord> = self.waiting.drain(..excess).map(|(_, record)| record).collect();
        self.lose(&lost);
        self.metrics.journal_waiting.set(self.waiting.len() as u64);
    }

    /// Appends records to the spill file; returns whether they are on disk.
    fn spill(&mut self, records: &[CallRecord]) -> bool {
        let count = records.len() as u64;
        let file = self.config.spill.display().to_string();
        match spill::append(&self.config.spill, records) {
            Ok(()) => {
                (self.has_spilled, self.spill_again) = (true, None);
                self.metrics.journal_spilled.add(count);
                error!(count, file, "call records were written to the spill file instead of storage");
                true
            }
            Err(error) => {
                self.spill_again = Some(Instant::now() + RETRY_LAST);
                error!(count, file, %error, "call records could not be written to the spill file");
                false
            }
        }
    }

    fn lose(&self, records: &[CallRecord]) {
        self.metrics.journal_lost.add(records.len() as u64);
        for record in records {
            error!(call = %record.call, cause = %record.cause, "a call record is lost");
        }
    }

    async fn flush(mut self) {
        let deadline = Instant::now() + FLUSH_MAX;
        // What is on disk stays there for the next process.
        self.has_spilled = false;
        while self.writing.is_some() || !self.waiting.is_empty() {
            self.begin_batch();
            let result = match &mut self.writing {
                Some(writing) => timeout_at(deadline, &mut writing.result).await,
                // A failed try is being waited out.
                None => {
                    let at = self.retry.map_or(deadline, |(at, _)| at.min(deadline));
                    sleep_until(at).await;
                    if Instant::now() >= deadline { break } else { continue }
                }
            };
            let Ok(result) = result else { break };
            self.batch_done(result);
        }
        // A batch that storage still has may be written or not: offering it again later does no harm.
        let unknown = self.writing.take().filter(|writing| writing.only_here_since().is_some());
        let mut left = unknown.map(|writing| writing.batch.to_vec()).unwrap_or_default();
        left.extend(self.waiting.drain(..).map(|(_, record)| record));
        if !left.is_empty() && !self.spill(&left) {
            self.lose(&left);
        }
        self.store.close().await;
    }
}

impl Writing {
    /// Returns since when the oldest record of the batch waits, unless the records are in the spill file.
    fn only_here_since(&self) -> Option<Instant> {
        match self.origin {
            Origin::Waiting(since) => Some(since),
            Origin::Spill => None,
        }
    }
}

/// Resolves when the batch is done; never when there is none.
async fn finished(writing: &mut Option<Writing>) -> Result<(), StorageError> {
    match writing {
        Some(writing) => writing.result.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn store(store: Store, batch: Arc<[CallRecord]>) -> Result<(), StorageError> {
    store.write(move |db| Box::pin(async move { calls::insert(db, &batch).await })).await
}

/// Names each trunk with the first criterion that it failed.
fn verdicts(verdicts: &[Verdict]) -> String {
    verdicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Names the rule that decided, without the number it is for.
fn rule(explain: &Explain) -> String {
    match &explain.rule {
        Some(Rule::Did(_)) => "DID".to_owned(),
        Some(rule @ (Rule::Resource(_) | Rule::Pattern(_) | Rule::User(_))) => rule.to_string(),
        None => String::new(),
    }
}

/// Logs an event. Whole numbers stand at debug only.
fn log(event: &CallEvent) {
    match event {
        CallEvent::Started { call, trunk, from, to } => {
            info!(%call, %trunk, "call started");
            debug!(%call, from = %from.escape_debug(), to = %to.escape_debug(), "call parties");
        }
        CallEvent::Refused { call, explain, status } => {
            let reason = explain.refusal.as_ref().map(ToString::to_string).unwrap_or_default();
            let Explain { asked, inbound, outbound, .. } = explain.as_ref();
            let (inbound, outbound) = (verdicts(inbound), verdicts(outbound));
            info!(%call, status, reason, source = %asked.source, transport = %asked.transport, inbound,
                rule = rule(explain), outbound, "call refused");
            debug!(%call, explain = %explain, "call refused because");
        }
        CallEvent::Attempt { call, trunk, gateway, attempt } => {
            debug!(%call, %trunk, %gateway, attempt, "trying gateway");
        }
        CallEvent::AttemptFailed { call, trunk, gateway, status, moves_on } => {
            info!(%call, %trunk, %gateway, status, moves_on, "gateway did not take the call");
        }
        CallEvent::Ringing { call, early_media } => debug!(%call, early_media, "ringing"),
        CallEvent::Answered { call } => info!(%call, "call answered"),
        CallEvent::MediaStarted { call, side } => debug!(%call, ?side, "media started"),
        CallEvent::DirectionChanged { call, side, direction } => {
            debug!(%call, ?side, ?direction, "direction changed")
        }
        CallEvent::Ended { record } => {
            let (call, cause, secs) = (record.call, &record.cause, record.ended_after.as_secs_f64());
            let gateway = record.signalling.gateway.as_deref();
            let (source, callee_status) = (record.signalling.source, record.signalling.callee_status);
            let (trunk_in, trunk_out) = (record.trunk_in.as_ref(), record.trunk_out.as_ref());
            info!(%call, source = source.map(tracing::field::display), trunk_in = trunk_in.map(tracing::field::display),
                trunk_out = trunk_out.map(tracing::field::display), gateway, callee_status, sip = cause.sip, q850 = cause.q850.0, by = %cause.ended_by, stage = %cause.stage,
                detail = %cause.detail.escape_debug(), secs, "call ended");
        }
        CallEvent::GatewayDown { trunk, gateway, up_left } => {
            warn!(%trunk, %gateway, up_left, "gateway down");
        }
        CallEvent::GatewayUp { trunk, gateway, up_left } => {
            info!(%trunk, %gateway, up_left, "gateway up");
        }
    }
}

#[cfg(test)]
mod tests;
