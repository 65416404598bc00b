//! Which segment a receipt speaks of.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::Receipt;
use super::id::{CarrierId, Dialect, Form, IdPolicy};
use crate::party::Masked;

/// A segment that was submitted. `Debug` hides most of the number.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent<S> {
    /// The owner's name for it.
    pub segment: S,
    /// The address it went to.
    pub recipient: String,
}

/// A receipt as it came. `Debug` hides most of the numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipted<R> {
    /// What it says.
    pub receipt: Receipt,
    /// source_addr of its deliver_sm: the recipient of the message, if the carrier follows the standard.
    pub source: String,
    /// destination_addr of its deliver_sm; some carriers put the recipient here.
    pub destination: String,
    /// The owner's name for it.
    pub handle: R,
}

impl<S: fmt::Debug> fmt::Debug for Sent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent({:?} to {:?})", self.segment, Masked(&self.recipient))
    }
}

impl<R: fmt::Debug> fmt::Debug for Receipted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipted")
            .field("receipt", &self.receipt)
            .field("source", &Masked(&self.source))
            .field("destination", &Masked(&self.destination))
            .field("handle", &self.handle)
            .finish()
    }
}

/// What became of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<S, R> {
    /// It speaks of this segment.
    Matched {
        /// The segment.
        segment: S,
        /// The receipt.
        receipt: Receipted<R>,
    },
    /// Nothing is known of its segment, or two segments may be meant: it is for the list of unmatched receipts.
    Unmatched(Receipted<R>),
}

/// Bounds of a [`Correlator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a receipt waits for the response of its segment (rules D.5: 60 s).
    pub hold: Duration,
    /// Most receipts waiting; beyond, the oldest is unmatched.
    pub held_max: usize,
    /// Most segments remembered; beyond, the oldest is forgotten, and its receipt left to the owner's store.
    pub segments_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { hold: Duration::from_secs(60), held_max: 10_000, segments_max: 1_000_000 }
    }
}

/// Matches one trunk's receipts to its segments, and learns how the trunk writes ids.
///
/// Until the form of ids is known, a receipt is matched only if no other segment could be meant: neither in another
/// form, nor one to the same recipient whose response is still to come. So a receipt of a segment that was taken in
/// here settles no other one, as long as the carrier does not use ids twice.
///
/// After every call, drain [`poll_answer`](Self::poll_answer), then read [`poll_timeout`](Self::poll_timeout).
pub struct Correlator<S, R> {
    limits: Limits,
    dialect: Dialect,
    /// Segments whose response is to come.
    awaiting: HashMap<S, Subscriber>,
    awaiting_of: HashMap<Subscriber, u32>,
    /// Segments that have an id.
    ids: HashMap<CarrierId, Vec<(S, Subscriber)>>,
    /// The same by what stands behind a prefix, for ids that have one.
    bare_ids: HashMap<CarrierId, Vec<(S, Subscriber)>>,
    id_of: HashMap<S, (CarrierId, u64)>,
    /// The same segments by the order of their responses.
    order: BTreeMap<u64, S>,
    held: BTreeMap<u64, Held<R>>,
    wakes: BTreeMap<Wake, BTreeSet<u64>>,
    arrivals: u64,
    answers: VecDeque<Answer<S, R>>,
}

/// A receipt that waits.
struct Held<R> {
    deadline: Instant,
    receipt: Receipted<R>,
}

/// What may settle a receipt that waits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Id(CarrierId),
    Recipient(Subscriber),
}

/// The last ten digits of an address, so that national and international forms are one.
type Subscriber = String;

impl<S: Clone + Eq + Hash, R> Correlator<S, R> {
    /// Returns a correlator for one trunk.
    pub fn new(policy: IdPolicy, limits: Limits) -> Self {
        Self {
            limits,
            dialect: Dialect::new(policy),
            awaiting: HashMap::new(),
            awaiting_of: HashMap::new(),
            ids: HashMap::new(),
            bare_ids: HashMap::new(),
            id_of: HashMap::new(),
            order: BTreeMap::new(),
            held: BTreeMap::new(),
            wakes: BTreeMap::new(),
            arrivals: 0,
            answers: VecDeque::new(),
        }
    }

    /// Returns what is known of the trunk's ids.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Takes in that a segment was submitted.
    pub fn handle_sent(&mut self, sent: Sent<S>) {
        let subscriber = subscriber(&sent.recipient);
        *self.awaiting_of.entry(subscriber.clone()).or_default() += 1;
        if let Some(before) = self.awaiting.insert(sent.segment, subscriber) {
            self.release_awaiting(&before);
        }
    }

    /// Takes in the response for a segment: its id, or none if it was refused or will never be answered.
    pub fn handle_response(&mut self, segment: &S, id: Option<CarrierId>) {
        let Some(subscriber) = self.awaiting.remove(segment) else { return };
        self.release_awaiting(&subscriber);
        let mut wakes = vec![Wake::Recipient(subscriber.clone()), Wake::Recipient(Subscriber::new())];
        if let Some(id) = id {
            wakes.push(Wake::Id(id.clone()));
            self.forget(segment);
            if let Some(bare) = id.bare() {
                wakes.push(Wake::Id(bare.clone()));
                self.bare_ids.entry(bare).or_default().push((segment.clone(), subscriber.clone()));
            }
            self.ids.entry(id.clone()).or_default().push((segment.clone(), subscriber));
            self.arrivals += 1;
            self.id_of.insert(segment.clone(), (id, self.arrivals));
            self.order.insert(self.arrivals, segment.clone());
            self.forget_beyond_limit();
        }
        let due = wakes.iter().filter_map(|wake| self.wakes.get(wake)).flatten().copied().collect();
        self.retry(due);
    }

    /// Takes a segment in again that had its response before a restart.
    pub fn restore(&mut self, sent: Sent<S>, id: CarrierId) {
        let segment = sent.segment.clone();
        self.handle_sent(sent);
        self.handle_response(&segment, Some(id));
    }

    /// Takes a receipt in.
    pub fn handle_receipt(&mut self, now: Instant, receipt: Receipted<R>) {
        if let Some(segment) = self.find(&receipt) {
            return self.settle(segment, receipt);
        }
        self.hold(now + self.limits.hold, receipt);
        while self.held.len() > self.limits.held_max {
            self.give_up_oldest();
        }
    }

    /// Forgets a segment: its message has ended, and late receipts change nothing.
    pub fn forget(&mut self, segment: &S) {
        let Some((id, order)) = self.id_of.remove(segment) else { return };
        self.order.remove(&order);
        remove(&mut self.ids, &id, segment);
        if let Some(bare) = id.bare() {
            remove(&mut self.bare_ids, &bare, segment);
        }
    }

    /// Gives up the receipts that have waited long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            self.give_up_oldest();
        }
    }

    /// Returns the next answer.
    pub fn poll_answer(&mut self) -> Option<Answer<S, R>> {
        self.answers.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.held.first_key_value().map(|(_, held)| held.deadline)
    }

    /// Returns the segment that a receipt speaks of, if that is certain, and the form that this teaches.
    fn find(&self, receipt: &Receipted<R>) -> Option<(S, Option<Form>)> {
        if let Some(form) = self.dialect.form()
            && let Some(segment) = self.lookup(receipt, form)
        {
            return Some((segment, None));
        }
        if matches!(self.dialect.form(), Some(form) if receipt.receipt.id.candidate(form).is_some()) {
            // An id that can be read in the known form would be someone else's in another.
            return None;
        }
        if self.may_be_unanswered(receipt) {
            return None;
        }
        self.certain(receipt)
    }

    /// The one segment that can be meant in any form, and the form if only one says so.
    fn certain(&self, receipt: &Receipted<R>) -> Option<(S, Option<Form>)> {
        let mut hits = Form::ALL
            .into_iter()
            .filter_map(|form| self.lookup(receipt, form).map(|segment| (segment, form)));
        let (segment, form) = hits.next()?;
        let mut telling = Some(form);
        for (other, _) in hits {
            if other != segment {
                return None;
            }
            telling = None;
        }
        Some((segment, telling))
    }

    fn lookup(&self, receipt: &Receipted<R>, form: Form) -> Option<S> {
        let id = receipt.receipt.id.candidate(form)?;
        let known = match form {
            Form::AsIs | Form::ResponseHex | Form::ResponseDecimal | Form::Prefixed => self.ids.get(&id)?,
            Form::ResponsePrefixed => self.bare_ids.get(&id)?,
        };
        // Carriers use ids again; the latest segment is meant.
        known.iter().rev().find(|(_, to)| speaks_of(receipt, to)).map(|(segment, _)| segment.clone())
    }

    fn may_be_unanswered(&self, receipt: &Receipted<R>) -> bool {
        let (source, destination) = (subscriber(&receipt.source), subscriber(&receipt.destination));
        if source.is_empty() {
            return !self.awaiting.is_empty();
        }
        self.awaiting_of.contains_key(&source) || self.awaiting_of.contains_key(&destination)
    }

    fn settle(&mut self, (segment, telling): (S, Option<Form>), receipt: Receipted<R>) {
        self.answers.push_back(Answer::Matched { segment, receipt });
        if telling.is_some_and(|form| self.dialect.observe(form)) {
            self.retry(self.held.keys().copied().collect());
        }
    }

    fn hold(&mut self, deadline: Instant, receipt: Receipted<R>) {
        self.observe_contradiction(&receipt);
        self.arrivals += 1;
        for wake in wakes(&receipt) {
            self.wakes.entry(wake).or_default().insert(self.arrivals);
        }
        self.held.insert(self.arrivals, Held { deadline, receipt });
    }

    /// A receipt that the known form cannot place but another form can, is a sign that the form has changed.
    fn observe_contradiction(&mut self, receipt: &Receipted<R>) {
        if self.dialect.form().is_some()
            && !self.may_be_unanswered(receipt)
            && let Some((_, Some(form))) = self.certain(receipt)
            && self.dialect.observe(form)
        {
            self.retry(self.held.keys().copied().collect());
        }
    }

    fn retry(&mut self, due: BTreeSet<u64>) {
        for at in due {
            let Some(found) = self.held.get(&at).and_then(|held| self.find(&held.receipt)) else { continue };
            if let Some(held) = self.unhold(at) {
                self.settle(found, held.receipt);
            }
        }
    }

    fn give_up_oldest(&mut self) {
        let Some((&at, _)) = self.held.first_key_value() else { return };
        if let Some(held) = self.unhold(at) {
            self.answers.push_back(Answer::Unmatched(held.receipt));
        }
    }

    fn unhold(&mut self, at: u64) -> Option<Held<R>> {
        let held = self.held.remove(&at)?;
        for wake in wakes(&held.receipt) {
            if let Some(waiting) = self.wakes.get_mut(&wake) {
                waiting.remove(&at);
                if waiting.is_empty() {
                    self.wakes.remove(&wake);
                }
            }
        }
        Some(held)
    }

    fn release_awaiting(&mut self, subscriber: &Subscriber) {
        if let Some(count) = self.awaiting_of.get_mut(subscriber) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.awaiting_of.remove(subscriber);
            }
        }
    }

    fn forget_beyond_limit(&mut self) {
        while self.order.len() > self.limits.segments_max
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = oldest.clone();
            self.forget(&oldest);
        }
    }
}

impl<S, R> fmt::Debug for Correlator<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (awaiting, known, held) = (self.awaiting.len(), self.id_of.len(), self.held.len());
        write!(f, "Correlator({awaiting} awaiting, {known} known, {held} held, {:?})", self.dialect)
    }
}

fn remove<S: Eq>(ids: &mut HashMap<CarrierId, Vec<(S, Subscriber)>>, id: &CarrierId, segment: &S) {
    if let Some(known) = ids.get_mut(id) {
        known.retain(|(other, _)| other != segment);
        if known.is_empty() {
            ids.remove(id);
        }
    }
}

/// Whether the recipient is named in the receipt, where one is named at all.
fn speaks_of<R>(receipt: &Receipted<R>, recipient: &Subscriber) -> bool {
    let (source, destination) = (subscriber(&receipt.source), subscriber(&receipt.destination));
    source.is_empty() || source == *recipient || destination == *recipient
}

fn wakes<R>(receipt: &Receipted<R>) -> Vec<Wake> {
    let ids = receipt.receipt.id.candidates().into_iter().map(|(_, id)| Wake::Id(id));
    let recipients =
        [&receipt.source, &receipt.destination].map(|address| Wake::Recipient(subscriber(address)));
    ids.chain(recipients).collect()
}

fn subscriber(address: &str) -> Subscriber {
    let digits: String = address.chars().filter(char::is_ascii_digit).collect();
    digits.get(digits.len().saturating_sub(10)..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
