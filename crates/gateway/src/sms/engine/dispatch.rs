//! From the store to a link: which carrier, or what for to wait, or why none.

use super::super::carrier::{Order, Outgoing, Submission, Token};
use super::super::locality::{is_domestic, locality};
use super::Engine;
use super::claim::Waits;
use super::state::{Passage, QUEUE_MAX, Work};
use crate::config::SmsReceipts;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::debug;
use trunkline_model::TrunkId;
use trunkline_model::timestamp::{DAY_MS, civil};
use trunkline_sms::gate::Standing;
use trunkline_sms::party::Sender;
use trunkline_sms::queue::Entry;
use trunkline_sms::quiet::Zone;
use trunkline_sms::receipt::{Sent, Terminal};
use trunkline_sms::router::{self, BrandDay, Decision, Outcome, Purpose, Refusal, Step, Verdict};
use trunkline_sms::segment::split::split;
use trunkline_sms::segment::{Carriage, Concat, Segment, Split, SplitPolicy, UserDataHeader};
use trunkline_storage::messages::delivery::Segment as Kept;
use trunkline_storage::messages::queue::Lane;
use trunkline_storage::messages::{self, Content, Outcome as End, Status, brand_day};
use trunkline_storage::{Error, Store};

/// What brands have sent today.
#[derive(Debug, Default)]
pub(super) struct BrandDays {
    day: String,
    sent: HashMap<String, u32>,
}

/// Returns the day in Pacific time, where brands' days end (rules D.3), and when it is over.
fn pacific(unix_ms: i64) -> (String, i64) {
    let unix = unix_ms.div_euclid(1_000);
    let offset = Zone::Pacific.offset_secs(unix);
    let day = (unix + offset).div_euclid(DAY_MS / 1_000);
    let (year, month, date) = civil(day);
    let over = ((day + 1) * (DAY_MS / 1_000) - offset) * 1_000;
    (format!("{year:04}-{month:02}-{date:02}"), over)
}

/// Returns how many segments a content is counted with before it is known which carrier cuts it.
pub(in super::super) fn billed(content: &Content) -> u16 {
    match content {
        Content::Text(text) if text.len() <= SHORT_OCTETS => 1,
        Content::Text(text) => {
            let policy = SplitPolicy { segments_max: u8::MAX, ..SplitPolicy::default() };
            split(text, &policy, 0).map_or(u16::from(u8::MAX), |split| split.billed)
        }
        Content::Octets { .. } => 1,
    }
}

/// Fits one segment in any alphabet.
const SHORT_OCTETS: usize = 70;

impl Engine {
    pub(super) async fn restore_brand_days(&mut self) -> Result<(), Error> {
        let (day, _) = pacific(self.clock.unix_ms);
        let store: &Store = &self.store;
        let sent = brand_day::of_day(&mut store.read().await?, &day).await?;
        let sent = sent.into_iter().map(|(brand, sent)| (brand, u32::try_from(sent).unwrap_or(u32::MAX)));
        self.brand_days = BrandDays { day, sent: sent.collect() };
        Ok(())
    }

    /// Decides about a message that is under lease and with no carrier.
    pub(super) fn decide(&mut self, seq: i64) {
        if self.stopping.is_some() {
            return self.put_back(seq, "", self.clock.unix_ms);
        }
        let Some(work) = self.works.get(&seq) else { return };
        let standing = self.law.standing(&work.from);
        let decision = self.ask_router(work, &standing);
        match decision.outcome {
            Outcome::Send { trunk, .. } => self.enqueue(seq, trunk, &standing),
            Outcome::Wait { at } => {
                let waits = waits_for(&decision, &work.from, &standing);
                let name = waits.map(|waits| waits.name()).unwrap_or_default();
                // In a lane of their own they stand in the order they came; it is looked at when it is ready.
                let due = if name.is_empty() { self.clock.unix(at) } else { work.message.created_unix_ms };
                self.put_back(seq, &name, due);
            }
            Outcome::Refuse(refusal) => self.refuse(seq, refusal),
        }
    }

    fn ask_router(&self, work: &Work, standing: &Standing) -> Decision {
        let purpose = purpose(work.message.purpose);
        let place = (purpose == Purpose::Marketing).then(|| locality(&work.message.to)).flatten();
        let owner = self.claims.owners.get(&work.message.from).and_then(Option::as_ref);
        let brand_day = self.law.brand_limit(&work.from).map(|limit| {
            let (day, over) = pacific(self.clock.unix_ms);
            let sent = self.brand_days.sent.get(limit.brand).filter(|_| self.brand_days.day == day);
            let left = limit.daily_max.saturating_sub(sent.copied().unwrap_or(0));
            BrandDay { left, resets_at: self.clock.instant(over) }
        });
        let message = router::Message {
            from: &work.from,
            to: &work.message.to,
            segments: work.billed,
            purpose,
            domestic: is_domestic(&work.message.to),
            standing,
            owner: owner.filter(|owner| self.carriers.contains_key(*owner)),
            opted_out: work.opted_out,
            locality: place.as_ref(),
            brand_day,
            deadline: work.deadline,
            avoided: &work.avoided,
            draw: work.message.seq.unsigned_abs(),
        };
        self.router.decide(self.clock.now, self.clock.unix_ms.div_euclid(1_000), &message)
    }

    /// Puts a message into a carrier's queue, unless others wait for the same carrier without a lease.
    fn enqueue(&mut self, seq: i64, trunk: TrunkId, standing: &Standing) {
        let Some(work) = self.works.get(&seq) else { return };
        let lane = Lane { resource: work.message.resource, name: Waits::Trunk(trunk.clone()).name() };
        let jumps = work.message.lane != lane.name && self.claims.backlog.contains(&lane);
        let full = self.carriers.get(&trunk).is_none_or(|carrier| carrier.queue.len() >= QUEUE_MAX);
        if full || jumps {
            let created = work.message.created_unix_ms;
            return self.put_back(seq, &lane.name, created);
        }
        self.count(seq, &trunk, standing);
        self.push(seq, &trunk);
    }

    /// Counts a message against the limits of its carrier, its sender and its brand.
    fn count(&mut self, seq: i64, trunk: &TrunkId, standing: &Standing) {
        let Some(work) = self.works.get(&seq) else { return };
        self.router.limits.take(self.clock.now, trunk, &work.from, standing, work.billed);
        if let Some(limit) = self.law.brand_limit(&work.from) {
            let (day, _) = pacific(self.clock.unix_ms);
            if self.brand_days.day != day {
                self.brand_days = BrandDays { day: day.clone(), sent: HashMap::new() };
            }
            let segments = u32::from(work.billed);
            *self.brand_days.sent.entry(limit.brand.to_owned()).or_default() += segments;
            *self.batch.brand_days.entry((limit.brand.to_owned(), day)).or_default() += segments;
        }
    }

    /// Puts a message at the end of its tenant's turn for a carrier.
    pub(super) fn push(&mut self, seq: i64, trunk: &TrunkId) {
        let Some(work) = self.works.get(&seq) else { return };
        if let Some(carrier) = self.carriers.get_mut(trunk) {
            carrier.queue.push(work.message.resource, Entry { message: seq, segments: work.billed });
        }
    }

    fn refuse(&mut self, seq: i64, refusal: Refusal) {
        let status = if refusal == Refusal::Expired { Status::Expired } else { Status::Failed };
        let (code, detail) = (refusal.report_code(), refusal.to_string());
        let end = End { status, code, detail, ended_unix_ms: self.clock.unix_ms };
        self.end(seq, end);
    }

    /// Gives links what they have room for.
    pub(super) fn dispatch_all(&mut self) {
        let trunks: Vec<TrunkId> = self.carriers.keys().cloned().collect();
        for trunk in trunks {
            while let Some((seq, link)) = self.next_for(&trunk) {
                self.submit(seq, &trunk, link);
            }
        }
    }

    fn next_for(&mut self, trunk: &TrunkId) -> Option<(i64, usize)> {
        let now = self.clock.now;
        let carrier = self.carriers.get_mut(trunk)?;
        let link = carrier.free_link(now)?;
        let (_, entry) = carrier.queue.pop(now)?;
        if carrier.queue.len() == QUEUE_MAX / 2 {
            // What waits for this carrier without a lease can come in.
            self.claims.look();
        }
        Some((entry.message, link))
    }

    fn submit(&mut self, seq: i64, trunk: &TrunkId, link: usize) {
        let now = self.clock.now;
        let Some(work) = self.works.get(&seq) else { return };
        if work.deadline <= now {
            return self.refuse(seq, Refusal::Expired);
        }
        let left = !self.opted_out.is_empty()
            && self.opted_out.get(&work.recipient()).is_some_and(|since| *since >= work.claimed_at);
        if left && work.message.purpose != messages::Purpose::Reply {
            // The store knows whether that was said to this sender.
            return self.put_back(seq, "", self.clock.unix_ms);
        }
        let Some(carrier) = self.carriers.get(trunk) else { return };
        let reference = match &work.passage {
            Some(passage) => passage.reference,
            None => self.references.take(&work.message.from, &work.recipient()),
        };
        let cut = match cut(&work.message.content, &carrier.config.split, reference) {
            Ok(cut) => cut,
            Err(why) => {
                let end = End {
                    status: Status::Failed,
                    code: 5000,
                    detail: why,
                    ended_unix_ms: self.clock.unix_ms,
                };
                return self.end(seq, end);
            }
        };
        self.send(seq, trunk, link, reference, cut);
    }

    /// Gives a link every segment of a message that the carrier does not have.
    fn send(&mut self, seq: i64, trunk: &TrunkId, link: usize, reference: u16, cut: Split) {
        let (Some(work), Some(carrier)) = (self.works.get_mut(&seq), self.carriers.get_mut(trunk)) else {
            return;
        };
        let (message, from, deadline) = (&work.message, &work.from, work.deadline);
        let passage = work.passage.get_or_insert_with(|| Passage {
            trunk: trunk.clone(),
            outgoing: Arc::new(Outgoing {
                id: message.id,
                from: from.clone(),
                to: message.to,
                content: message.content.clone(),
                deadline,
                receipts: carrier.config.receipts != SmsReceipts::Never,
            }),
            reference,
            taken: vec![false; cut.segments.len()],
            outstanding: 0,
            worst: None,
            reason: None,
        });
        passage.worst = None;
        let Some(link) = carrier.links.get_mut(link) else { return };
        let missing: Vec<usize> =
            passage.taken.iter().enumerate().filter(|(_, taken)| !**taken).map(|(at, _)| at).collect();
        let last = missing.last().copied();
        let recipient = work.message.to.to_string();
        for (at, segment) in cut.segments.into_iter().enumerate().filter(|(at, _)| missing.contains(at)) {
            // There are 255 segments at most.
            let token = Token { message: seq, segment: at as u8 };
            let sent = Sent { segment: (seq, token.segment), recipient: recipient.clone() };
            carrier.correlator.handle_sent(sent);
            passage.outstanding += 1;
            link.outstanding += 1;
            let message = Arc::clone(&passage.outgoing);
            link.tell(Order::Submit(Submission { token, message, segment, more: last != Some(at) }));
            self.metrics.sms.submitted.add(1);
        }
    }

    /// Goes on with a message of which a carrier has segments since before. Returns false if that cannot be.
    pub(super) fn resume(&mut self, seq: i64, before: &[Kept]) -> bool {
        let Some(first) = before.first().map(|kept| &kept.taken) else { return false };
        let Some(work) = self.works.get_mut(&seq) else { return false };
        let Some(carrier) = self.carriers.get(&first.trunk).filter(|_| !work.opted_out) else { return false };
        let Ok(cut) = cut(&work.message.content, &carrier.config.split, first.reference) else {
            return false;
        };
        let same = |kept: &Kept| kept.taken.trunk == first.trunk && kept.taken.reference == first.reference;
        if cut.segments.len() != usize::from(first.total) || !before.iter().all(same) {
            return false;
        }
        let mut taken = vec![false; cut.segments.len()];
        for kept in before {
            if let Some(slot) = taken.get_mut(usize::from(kept.taken.segment)) {
                *slot = true;
            }
        }
        let trunk = first.trunk.clone();
        work.passage = Some(Passage {
            trunk: trunk.clone(),
            outgoing: Arc::new(Outgoing {
                id: work.message.id,
                from: work.from.clone(),
                to: work.message.to,
                content: work.message.content.clone(),
                deadline: work.deadline,
                receipts: carrier.config.receipts != SmsReceipts::Never,
            }),
            reference: first.reference,
            outstanding: 0,
            worst: None,
            reason: None,
            taken,
        });
        debug!(message = %work.message.id, "goes on where it was left");
        if work.passage.as_ref().is_some_and(|passage| passage.taken.iter().all(|taken| *taken)) {
            self.finish(seq);
        } else {
            self.push(seq, &trunk);
        }
        true
    }

    pub(super) fn expired_in_queue(&mut self, seq: i64) {
        let end = super::super::batch::outcome(&Terminal::Expired, self.clock.unix_ms);
        self.end(seq, end);
    }
}

/// Returns what a message has to wait for that has a lane of its own.
fn waits_for(decision: &Decision, from: &Sender, standing: &Standing) -> Option<Waits> {
    let trunk = |wanted: fn(&Verdict) -> bool| {
        decision.path.iter().find_map(|step| match step {
            Step::Trunk(trunk, verdict) if wanted(verdict) => Some(Waits::Trunk(trunk.clone())),
            _ => None,
        })
    };
    match decision.path.last()? {
        Step::NumberLimit(_) => Some(Waits::Number(from.clone())),
        Step::CampaignLimit(_) => {
            standing.campaign.as_ref().map(|campaign| Waits::Campaign(campaign.id.clone()))
        }
        Step::Trunk(..) => trunk(|verdict| matches!(verdict, Verdict::Limited(_)))
            .or_else(|| trunk(|verdict| matches!(verdict, Verdict::Down))),
        Step::Expired
        | Step::OptedOut
        | Step::Open(_)
        | Step::Closed(..)
        | Step::QuietHours(_)
        | Step::AlwaysQuiet
        | Step::DestinationFull(_)
        | Step::BrandDay(_)
        | Step::NoRoute => None,
    }
}

pub(in super::super) fn purpose(purpose: messages::Purpose) -> Purpose {
    match purpose {
        messages::Purpose::Transactional => Purpose::Transactional,
        messages::Purpose::Marketing => Purpose::Marketing,
        messages::Purpose::Reply => Purpose::Reply,
    }
}

/// Cuts a content as a carrier wants it.
fn cut(content: &Content, policy: &SplitPolicy, reference: u16) -> Result<Split, String> {
    match content {
        Content::Text(text) => split(text, policy, reference).map_err(|error| error.to_string()),
        Content::Octets { octets, data_coding, header } => {
            let carriage = match header {
                true => {
                    let concat = UserDataHeader::parse(octets).and_then(|header| header.concat);
                    // A header that says nothing of parts stands for itself.
                    Carriage::Udh(concat.unwrap_or(Concat { reference: 0, total: 1, seq: 1 }))
                }
                false if octets.len() > SHORT_MESSAGE_MAX => Carriage::Payload,
                false => Carriage::Plain,
            };
            let units = octets.len() as u16;
            let octets = bytes::Bytes::copy_from_slice(octets);
            let segment = Segment { octets, data_coding: *data_coding, carriage, units };
            Ok(Split { segments: vec![segment], billed: 1 })
        }
    }
}

/// Most octets of short_message (SMPP 3.4 §5.2.22).
const SHORT_MESSAGE_MAX: usize = 254;
