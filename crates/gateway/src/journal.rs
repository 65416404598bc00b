//! Writes call records behind the calls: signalling never waits for storage.
//!
//! Records wait in memory while storage is slow. Those beyond the configured limit, and those left when the
//! process ends, go to a spill file, whose records are stored at the next start.

mod spill;

use crate::metrics::Metrics;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, error, info, warn};
use trunkline_call::CallEvent;
use trunkline_model::{CallRecord, Gateway};
use trunkline_storage::{Error as StorageError, Store, calls};

/// Records of one unit of work. Larger ones would make readers of other tables wait.
const BATCH_MAX: usize = 500;

/// First pause after storage has failed; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Longest pause between two tries: an operator who has mended the disk should not have to wait.
const RETRY_LAST: Duration = Duration::from_secs(5);

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
    waiting: VecDeque<CallRecord>,
    writing: Option<Writing>,
    retry: Option<(Instant, Duration)>,
}

/// A batch that storage has.
struct Writing {
    batch: Arc<[CallRecord]>,
    result: Pin<Box<dyn Future<Output = Result<(), StorageError>> + Send>>,
}

impl JournalSender {
    /// Takes an event. Never waits; an event that finds no room is counted and logged, for it is lost.
    pub(crate) fn send(&self, event: CallEvent) {
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
        let sender = JournalSender { events: sender, metrics: Arc::clone(&metrics) };
        let (waiting, writing, retry) = (VecDeque::new(), None, None);
        (Self { events, store, config, metrics, waiting, writing, retry }, sender)
    }

    /// Stores what an earlier process spilled.
    pub(crate) async fn recover(&mut self) {
        match spill::take(&self.config.spill) {
            Ok(records) if records.is_empty() => {}
            Ok(records) => {
                warn!(
                    records = records.len(),
                    "storing call records that an earlier process left in the spill file"
                );
                let left = records;
                for batch in left.chunks(BATCH_MAX) {
                    if let Err(error) = store(self.store.clone(), batch.into()).await {
                        error!(%error, "spilled call records could not be stored");
                        self.spill(batch.to_vec());
                    } else {
                        self.metrics.journal_stored.add(batch.len() as u64);
                    }
                }
                if let Err(error) = spill::forget(&self.config.spill) {
                    warn!(%error, "the stored spill file could not be removed; its records will be offered again");
                }
            }
            Err(error) => {
                let file = self.config.spill.display().to_string();
                error!(%error, file, "the spill file could not be read; it is left as it is");
            }
        }
    }

    /// Runs until every sender is gone; then stores or spills what is left.
    pub(crate) async fn run(mut self) {
        loop {
            self.begin_batch();
            let retry_at = self.retry.map(|(at, _)| at);
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                result = finished(&mut self.writing) => self.batch_done(result),
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    self.retry = self.retry.map(|(_, pause)| (Instant::now(), pause));
                    self.begin_batch();
                }
            }
            self.limit();
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
                self.waiting.push_back(*record);
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

    fn begin_batch(&mut self) {
        let paused = self.retry.is_some_and(|(at, _)| at > Instant::now());
        if self.writing.is_some() || paused || self.waiting.is_empty() {
            return;
        }
        let batch: Arc<[CallRecord]> = self.waiting.drain(..self.waiting.len().min(BATCH_MAX)).collect();
        let result = Box::pin(store(self.store.clone(), Arc::clone(&batch)));
        self.writing = Some(Writing { batch, result });
    }

    fn batch_done(&mut self, result: Result<(), StorageError>) {
        let Some(Writing { batch, .. }) = self.writing.take() else { return };
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
                for record in batch.iter().rev() {
                    self.waiting.push_front(record.clone());
                }
            }
        }
        self.metrics.journal_waiting.set(self.waiting.len() as u64);
    }

    /// Spills the oldest records when too many wait.
    fn limit(&mut self) {
        if self.waiting.len() > self.config.waiting_max {
            let excess = self.waiting.len() - self.config.waiting_max / 2;
            let records = self.waiting.drain(..excess).collect();
            self.spill(records);
        }
    }

    fn spill(&self, records: Vec<CallRecord>) {
        let count = records.len() as u64;
        let file = self.config.spill.display().to_string();
        match spill::append(&self.config.spill, &records) {
            Ok(()) => {
                self.metrics.journal_spilled.add(count);
                error!(count, file, "call records were written to the spill file instead of storage");
            }
            Err(error) => {
                self.metrics.journal_lost.add(count);
                for record in &records {
                    error!(%error, file, call = %record.call, cause = %record.cause, "a call record is lost");
                }
            }
        }
    }

    async fn flush(mut self) {
        let deadline = Instant::now() + FLUSH_MAX;
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
        let unknown = self.writing.take().map(|writing| writing.batch.to_vec()).unwrap_or_default();
        let left: Vec<CallRecord> = unknown.into_iter().chain(self.waiting.drain(..)).collect();
        if !left.is_empty() {
            self.spill(left);
        }
        self.store.close().await;
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

/// Returns how a gateway is named in metrics and logs.
pub(crate) fn gateway_label(gateway: &Gateway) -> String {
    let Gateway { host, port, transport, .. } = gateway;
    match port {
        Some(port) => format!("{host}:{port}/{transport}"),
        None => format!("{host}/{transport}"),
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
            info!(%call, status, reason, source = %explain.asked.source, "call refused");
            debug!(%call, explain = %explain, "call refused because");
        }
        CallEvent::Attempt { call, trunk, gateway, attempt } => {
            debug!(%call, %trunk, gateway = gateway_label(gateway), attempt, "trying gateway");
        }
        CallEvent::AttemptFailed { call, trunk, gateway, status, moves_on } => {
            info!(%call, %trunk, gateway = gateway_label(gateway), status, moves_on, "gateway did not take the call");
        }
        CallEvent::Ringing { call, early_media } => debug!(%call, early_media, "ringing"),
        CallEvent::Answered { call } => info!(%call, "call answered"),
        CallEvent::MediaStarted { call, side } => debug!(%call, ?side, "media started"),
        CallEvent::DirectionChanged { call, side, direction } => {
            debug!(%call, ?side, ?direction, "direction changed")
        }
        CallEvent::Ended { record } => {
            let (call, cause, secs) = (record.call, &record.cause, record.ended_after.as_secs_f64());
            info!(%call, sip = cause.sip, q850 = cause.q850.0, by = %cause.ended_by, stage = %cause.stage,
                detail = %cause.detail.escape_debug(), secs, "call ended");
        }
        CallEvent::GatewayDown { trunk, gateway, up_left } => {
            warn!(%trunk, gateway = gateway_label(gateway), up_left, "gateway down");
        }
        CallEvent::GatewayUp { trunk, gateway, up_left } => {
            info!(%trunk, gateway = gateway_label(gateway), up_left, "gateway up");
        }
    }
}
