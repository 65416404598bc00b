//! What carriers said since the last commit, as one unit of work.

use super::carrier::{Ack, LinkId};
use super::ended::{self, Ended};
use super::law::Law;
use super::receive;
use crate::config::SmsReceipts;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use trunkline_model::TrunkId;
use trunkline_sms::receipt::{Progress, Settles, State, Terminal};
use trunkline_storage::messages::delivery::{self, Next, Report, Segment, Settled, Taken};
use trunkline_storage::messages::inbound::{self, InboundText, Part};
use trunkline_storage::messages::unmatched::{self, Unmatched};
use trunkline_storage::messages::{Counts, Message, Outcome, State as MessageState, Status, brand_day};
use trunkline_storage::opt_outs::Pair;
use trunkline_storage::{Connection, Error, Store};

/// Everything of one commit. Written twice, it leaves the same behind.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Segments that carriers took.
    pub(super) taken: Vec<Taken>,
    /// Messages that move on; those that end with what is told of them.
    pub(super) settled: Vec<(Settled, Option<Box<Message>>)>,
    /// Receipts that were matched, the last of each segment.
    pub(super) reports: BTreeMap<(i64, u8), (u8, Option<String>)>,
    /// Receipts that were not, by the engine's numbers.
    pub(super) unmatched: Vec<(u64, Unmatched)>,
    /// Rows of receipts that were matched after all.
    pub(super) matched_late: Vec<i64>,
    /// Texts that came in.
    pub(super) texts: Vec<InboundText>,
    /// Parts of texts, each with the engine's number of it.
    pub(super) parts: Vec<(u64, Part)>,
    /// Rows of parts whose text is whole or given up.
    pub(super) parts_gone: Vec<i64>,
    /// Segments sent, by brand and day.
    pub(super) brand_days: BTreeMap<(String, String), u32>,
    /// What may be acknowledged once all this is on disk.
    pub(super) acks: Vec<(LinkId, Ack)>,
}

/// What a commit brought to light.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// Rows of unmatched receipts, by the engine's numbers.
    pub(super) unmatched: Vec<(u64, i64)>,
    /// Rows of parts, by the engine's numbers.
    pub(super) parts: Vec<(u64, i64)>,
    /// Whoever may have opted out.
    pub(super) opted_out: Vec<Pair>,
    /// How messages ended, counted.
    pub(super) ended: Vec<(Option<TrunkId>, Status)>,
    /// Texts that may be meant as refusal and are no keyword.
    pub(super) possible_optouts: u64,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            taken,
            settled,
            reports,
            unmatched,
            matched_late,
            texts,
            parts,
            parts_gone,
            brand_days,
            acks,
        } = self;
        taken.is_empty()
            && settled.is_empty()
            && reports.is_empty()
            && unmatched.is_empty()
            && matched_late.is_empty()
            && texts.is_empty()
            && parts.is_empty()
            && parts_gone.is_empty()
            && brand_days.is_empty()
            && acks.is_empty()
    }
}

/// Commits a batch.
pub(super) async fn commit(
    store: Store,
    batch: Arc<Batch>,
    law: Arc<Law>,
    now_unix_ms: i64,
) -> Result<Committed, Error> {
    store.write(move |db| Box::pin(async move { write(db, &batch, &law, now_unix_ms).await })).await
}

async fn write(db: &mut Connection, batch: &Batch, law: &Law, now_unix_ms: i64) -> Result<Committed, Error> {
    let mut committed = Committed::default();
    let mut ended = deliver(db, batch, law, now_unix_ms).await?;
    for part in &batch.parts {
        committed.parts.push((part.0, inbound::insert_part(db, &part.1).await?));
    }
    inbound::remove_parts(db, &batch.parts_gone).await?;
    if !batch.texts.is_empty() {
        let received = receive::keep(db, &batch.texts, law, now_unix_ms).await?;
        committed.opted_out = received.opted_out;
        committed.possible_optouts = received.possible_optouts;
    }
    let (numbers, receipts): (Vec<u64>, Vec<Unmatched>) = batch.unmatched.iter().cloned().unzip();
    committed.unmatched = numbers.into_iter().zip(unmatched::insert(db, &receipts).await?).collect();
    unmatched::remove(db, &batch.matched_late).await?;
    let sent: Vec<(String, String, u32)> =
        batch.brand_days.iter().map(|((brand, day), sent)| (brand.clone(), day.clone(), *sent)).collect();
    brand_day::add(db, &sent).await?;
    ended::publish(db, &ended, now_unix_ms).await?;
    let count = |ended: Ended| (ended.message.delivery.trunk, ended.outcome.status);
    committed.ended = ended.drain(..).map(count).collect();
    Ok(committed)
}

/// Writes what became of outgoing messages; returns those that ended.
async fn deliver(
    db: &mut Connection,
    batch: &Batch,
    law: &Law,
    now_unix_ms: i64,
) -> Result<Vec<Ended>, Error> {
    delivery::take(db, &batch.taken).await?;
    let rows: Vec<Settled> = batch.settled.iter().map(|(settled, _)| settled.clone()).collect();
    let done = delivery::settle(db, &rows).await?;
    let reports: Vec<Report> = batch
        .reports
        .iter()
        .map(|((message, segment), (state, error))| Report {
            message: *message,
            segment: *segment,
            state: *state,
            error: error.clone(),
        })
        .collect();
    delivery::report(db, &reports).await?;

    let mut ended = Vec::new();
    for (settled, message) in &batch.settled {
        if let (Next::Ended(outcome), Some(message)) = (&settled.next, message)
            && done.contains(&settled.seq)
        {
            let mut message = Message::clone(message);
            message.delivery = settled.delivery.clone();
            message.outcome = Some(outcome.clone());
            ended.push(Ended { counts: message.counts(&[]), outcome: outcome.clone(), message });
        }
    }
    // A receipt may have been before the answer for the last segment.
    let sent_in_parts = rows
        .iter()
        .filter(|row| row.next == Next::Sent && row.delivery.segments.is_some_and(|segments| segments > 1));
    let reported = reports.iter().map(|report| report.message);
    let fold: BTreeSet<i64> = sent_in_parts.map(|row| row.seq).chain(reported).collect();
    ended.extend(fold_receipts(db, &fold, law, now_unix_ms).await?);
    Ok(ended)
}

async fn fold_receipts(
    db: &mut Connection,
    messages: &BTreeSet<i64>,
    law: &Law,
    now_unix_ms: i64,
) -> Result<Vec<Ended>, Error> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<i64> = messages.iter().copied().collect();
    let mut loaded = delivery::load(db, &wanted).await?;
    loaded.retain(|message| message.state != MessageState::Ended);
    let segments = segments_of(db, &loaded).await?;
    let ends = loaded.into_iter().filter_map(|message| {
        let segments = segments.get(&message.seq).map_or(&[][..], Vec::as_slice);
        let terminal = progress(&message, segments, law).terminal().cloned()?;
        Some(end(message, segments, &terminal, now_unix_ms))
    });
    settle_ended(db, ends.collect()).await
}

/// Ends messages whose time is over; returns how many there were and those that ended by it.
pub(super) async fn expire(
    store: Store,
    law: Arc<Law>,
    now_unix_ms: i64,
) -> Result<Vec<(Option<TrunkId>, Status)>, Error> {
    let unit = store.write(move |db| {
        Box::pin(async move {
            let overdue = delivery::overdue(db, now_unix_ms, OVERDUE_MAX).await?;
            let segments = segments_of(db, &overdue).await?;
            let ends = overdue.into_iter().filter_map(|message| {
                let segments = segments.get(&message.seq).map_or(&[][..], Vec::as_slice);
                let mut progress = progress(&message, segments, &law);
                let terminal = progress.terminal().cloned().or_else(|| progress.time_over())?;
                Some(end(message, segments, &terminal, now_unix_ms))
            });
            let ended = settle_ended(db, ends.collect()).await?;
            ended::publish(db, &ended, now_unix_ms).await?;
            Ok(ended.into_iter().map(|ended| (ended.message.delivery.trunk, ended.outcome.status)).collect())
        })
    });
    unit.await
}

/// Messages that end in one unit: others wait for it.
const OVERDUE_MAX: u16 = 500;

async fn settle_ended(db: &mut Connection, ended: Vec<Ended>) -> Result<Vec<Ended>, Error> {
    let settled: Vec<Settled> = ended
        .iter()
        .map(|ended| Settled {
            seq: ended.message.seq,
            claims: ended.message.claims,
            delivery: ended.message.delivery.clone(),
            next: Next::Ended(ended.outcome.clone()),
        })
        .collect();
    let done = delivery::settle(db, &settled).await?;
    Ok(ended.into_iter().filter(|ended| done.contains(&ended.message.seq)).collect())
}

async fn segments_of(db: &mut Connection, messages: &[Message]) -> Result<HashMap<i64, Vec<Segment>>, Error> {
    let wanted: Vec<i64> = messages.iter().map(|message| message.seq).collect();
    let mut of: HashMap<i64, Vec<Segment>> = HashMap::new();
    for segment in delivery::segments(db, &wanted).await? {
        of.entry(segment.taken.message).or_default().push(segment);
    }
    Ok(of)
}

/// Returns how far a message has come by what is on disk of it.
fn progress(message: &Message, segments: &[Segment], law: &Law) -> Progress {
    let total = segments.iter().map(|segment| segment.taken.total).max().or(message.delivery.segments);
    let total = total.unwrap_or(1).max(1);
    let carrier = segments.first().and_then(|segment| law.receipts.get(&segment.taken.trunk));
    let settles = match carrier {
        Some(SmsReceipts::Sent(settles)) => *settles,
        Some(SmsReceipts::Never) | None => Settles::EachSegment,
    };
    let mut progress = Progress::new(total, settles);
    if message.state == MessageState::Sent {
        // It may be with the carrier even where no answer said so.
        (0..total).for_each(|segment| progress.submitted(segment));
    }
    for segment in segments {
        progress.submitted(segment.taken.segment);
        if let Some(state) = State::from_tlv(segment.state).filter(|_| segment.state != 0) {
            progress.reported(segment.taken.segment, state, segment.error.as_deref());
        }
    }
    progress
}

fn end(message: Message, segments: &[Segment], terminal: &Terminal, now_unix_ms: i64) -> Ended {
    let outcome = outcome(terminal, now_unix_ms);
    let counted = Message { outcome: Some(outcome.clone()), ..message.clone() };
    let counts: Counts = counted.counts(segments);
    Ended { message, outcome, counts }
}

/// Returns how a message ended as it is kept.
pub(super) fn outcome(terminal: &Terminal, ended_unix_ms: i64) -> Outcome {
    let status = match terminal {
        Terminal::Delivered => Status::Delivered,
        Terminal::Failed(_) => Status::Failed,
        Terminal::Expired => Status::Expired,
        Terminal::Unknown => Status::Unknown,
    };
    Outcome { status, code: terminal.report_code(), detail: terminal.to_string(), ended_unix_ms }
}
