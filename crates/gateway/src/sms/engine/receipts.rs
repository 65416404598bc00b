//! Receipts: to which segment, now or once more is known.
//!
//! A receipt whose segment is not known at once is looked for in the store, is written into the list of unmatched ones
//! if it is not there either, and is acknowledged then; the correlator keeps it for a minute longer, because it may
//! have overtaken the response to its submit_sm.

use super::super::carrier::{Ack, LinkId, Order};
use super::{Clock, Engine, Pending};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use tracing::{debug, warn};
use trunkline_model::{E164, TrunkId};
use trunkline_sms::receipt::{Answer, CarrierId, Form, Receipted, Sent, State};
use trunkline_storage::Error;
use trunkline_storage::messages::delivery::{self, Segment};
use trunkline_storage::messages::unmatched::Unmatched;

/// Receipts that have not found their segment, by the engine's numbers.
#[derive(Default)]
pub(super) struct Receipts {
    numbers: u64,
    waiting: HashMap<u64, Waiting>,
    /// To be looked for in the store.
    unknown: Vec<u64>,
    looking: Option<Pending<Looked>>,
}

/// A receipt that waits.
struct Waiting {
    link: LinkId,
    ack: Option<Ack>,
    id: CarrierId,
    unmatched: Unmatched,
    /// Its row in the list, once it is there.
    row: Option<i64>,
    /// Whether it was matched while it was being written into the list.
    matched: bool,
    /// Whether it is being written into the list.
    writing: bool,
}

/// What the store knows.
pub(super) struct Looked {
    numbers: Vec<u64>,
    segments: Vec<(Segment, E164)>,
}

/// Receipts looked for in one read.
const LOOK_UP_MAX: usize = 1_000;

impl Receipts {
    /// Waits for the store.
    pub(super) async fn looked_up(&mut self) -> Result<Looked, Error> {
        let looked = match &mut self.looking {
            Some(looking) => looking.await,
            None => std::future::pending().await,
        };
        self.looking = None;
        looked
    }

    pub(super) fn is_idle(&self) -> bool {
        self.looking.is_none() && self.unknown.is_empty()
    }

    /// Takes in that a receipt is in the list of unmatched ones.
    pub(super) fn stored_unmatched(&mut self, number: u64, row: i64) {
        if let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.row = Some(row);
            waiting.writing = false;
        }
    }
}

impl Engine {
    pub(super) fn receipt(&mut self, link: &LinkId, receipt: Receipted<Ack>) {
        self.receipts.numbers += 1;
        let number = self.receipts.numbers;
        let Receipted { receipt, source, destination, handle } = receipt;
        let unmatched = Unmatched {
            id: 0,
            trunk: link.carrier.clone(),
            received_unix_ms: self.clock.unix_ms,
            source: source.clone(),
            destination: destination.clone(),
            carrier_id: Some(receipt.id.as_str().to_owned()),
            receipt: json!({ "state": receipt.state.word(), "error": receipt.error, "done_unix": receipt.done_unix }),
        };
        let waiting = Waiting {
            link: link.clone(),
            ack: Some(handle),
            id: receipt.id.clone(),
            unmatched,
            row: None,
            matched: false,
            writing: false,
        };
        self.receipts.waiting.insert(number, waiting);
        let Some(carrier) = self.carriers.get_mut(&link.carrier) else { return };
        let now = self.clock.now;
        carrier.correlator.handle_receipt(now, Receipted { receipt, source, destination, handle: number });
        self.drain_answers(&link.carrier);
        if self.receipts.waiting.contains_key(&number) {
            self.receipts.unknown.push(number);
        }
    }

    /// Keeps a receipt that names no message or no state.
    pub(super) fn unreadable_receipt(&mut self, link: &LinkId, text: &str, ack: Ack) {
        self.receipts.numbers += 1;
        let unmatched = Unmatched {
            id: 0,
            trunk: link.carrier.clone(),
            received_unix_ms: self.clock.unix_ms,
            source: String::new(),
            destination: String::new(),
            carrier_id: None,
            receipt: json!({ "text": text }),
        };
        self.metrics.sms.receipts_unmatched.add(1);
        self.batch.unmatched.push((self.receipts.numbers, unmatched));
        self.batch.acks.push((link.clone(), ack));
    }

    pub(super) fn receipts_time_out(&mut self) {
        let now = self.clock.now;
        let trunks: Vec<TrunkId> = self.carriers.keys().cloned().collect();
        for trunk in trunks {
            if let Some(carrier) = self.carriers.get_mut(&trunk) {
                carrier.correlator.handle_timeout(now);
                carrier.reassembler.handle_timeout(now);
            }
            self.drain_answers(&trunk);
            self.take_partial(&trunk);
        }
    }

    /// Takes what a correlator has found out.
    pub(super) fn drain_answers(&mut self, trunk: &TrunkId) {
        while let Some(answer) =
            self.carriers.get_mut(trunk).and_then(|carrier| carrier.correlator.poll_answer())
        {
            match answer {
                Answer::Matched { segment, receipt } => self.matched(segment, &receipt),
                // It stays in the list.
                Answer::Unmatched(receipt) => {
                    self.receipts.waiting.remove(&receipt.handle);
                }
            }
        }
    }

    fn matched(&mut self, segment: (i64, u8), receipt: &Receipted<u64>) {
        self.metrics.sms.receipts_matched.add(1);
        let state = receipt.receipt.state;
        let before = self.batch.reports.get(&segment).and_then(|(state, _)| State::from_tlv(*state));
        if !before.is_some_and(State::is_final) {
            self.batch.reports.insert(segment, (state.to_tlv(), receipt.receipt.error.clone()));
        }
        let Some(waiting) = self.receipts.waiting.get_mut(&receipt.handle) else { return };
        if let Some(ack) = waiting.ack.take() {
            self.batch.acks.push((waiting.link.clone(), ack));
        }
        if waiting.writing {
            waiting.matched = true;
        } else {
            self.batch.matched_late.extend(waiting.row);
            self.receipts.waiting.remove(&receipt.handle);
        }
    }

    /// Removes from the list what was matched while it was being written there.
    pub(super) fn unlist_matched(&mut self) {
        let done =
            self.receipts.waiting.iter().filter(|(_, waiting)| waiting.matched && waiting.row.is_some());
        let done: Vec<u64> = done.map(|(number, _)| *number).collect();
        for number in done {
            let row = self.receipts.waiting.remove(&number).and_then(|waiting| waiting.row);
            self.batch.matched_late.extend(row);
        }
    }

    /// Asks the store for the segments of receipts that the correlators do not know.
    pub(super) fn look_up_receipts(&mut self) {
        if self.receipts.looking.is_some() || self.receipts.unknown.is_empty() {
            return;
        }
        let count = self.receipts.unknown.len().min(LOOK_UP_MAX);
        let numbers: Vec<u64> = self.receipts.unknown.drain(..count).collect();
        let mut wanted: BTreeMap<TrunkId, (Vec<String>, Vec<String>)> = BTreeMap::new();
        for waiting in numbers.iter().filter_map(|number| self.receipts.waiting.get(number)) {
            let (ids, bare) = wanted.entry(waiting.link.carrier.clone()).or_default();
            for (form, id) in waiting.id.candidates() {
                let list = if form == Form::ResponsePrefixed { &mut *bare } else { &mut *ids };
                list.push(id.as_str().to_owned());
            }
        }
        let store = self.store.clone();
        self.receipts.looking = Some(Box::pin(async move {
            let mut db = store.read().await?;
            let mut segments = Vec::new();
            for (trunk, (ids, bare)) in &wanted {
                segments.extend(delivery::by_carrier_id(&mut db, trunk, ids, bare).await?);
            }
            Ok(Looked { numbers, segments })
        }));
    }

    pub(super) fn receipts_found(&mut self, looked: Result<Looked, Error>) {
        self.clock = Clock::now();
        let Looked { numbers, segments } = match looked {
            Ok(looked) => looked,
            Err(error) => {
                warn!(%error, "receipts could not be looked for; carriers bring them again");
                return self.send_receipts_back();
            }
        };
        for (segment, recipient) in segments {
            let Segment { taken, .. } = segment;
            let Some(carrier) = self.carriers.get_mut(&taken.trunk) else { continue };
            let Some(id) = taken.carrier_id.as_deref().and_then(CarrierId::parse) else { continue };
            let sent = Sent { segment: (taken.message, taken.segment), recipient: recipient.to_string() };
            carrier.correlator.restore(sent, id);
            self.drain_answers(&taken.trunk);
        }
        for number in numbers {
            let Some(waiting) = self.receipts.waiting.get_mut(&number) else { continue };
            debug!(carrier = %waiting.link.carrier, "a receipt matches nothing yet");
            self.metrics.sms.receipts_unmatched.add(1);
            waiting.writing = true;
            self.batch.unmatched.push((number, waiting.unmatched.clone()));
            if let Some(ack) = waiting.ack.take() {
                self.batch.acks.push((waiting.link.clone(), ack));
            }
        }
    }

    /// Has carriers bring receipts again that nothing is known of, because the store cannot be read.
    fn send_receipts_back(&mut self) {
        let waiting = self.receipts.waiting.values_mut().filter(|waiting| !waiting.writing);
        let acks: Vec<(LinkId, Ack)> =
            waiting.filter_map(|waiting| waiting.ack.take().map(|ack| (waiting.link.clone(), ack))).collect();
        for (id, ack) in acks {
            if let Some(link) = self.link(&id) {
                link.tell(Order::Acknowledge { ack, kept: false });
            }
        }
    }

    pub(super) fn acknowledge(&mut self, id: &LinkId, ack: Ack) {
        if let Some(link) = self.link(id) {
            link.tell(Order::Acknowledge { ack, kept: true });
        }
    }

    fn link(&self, id: &LinkId) -> Option<&super::Link> {
        self.carriers.get(&id.carrier)?.links.get(usize::from(id.link))
    }
}
