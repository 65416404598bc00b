//! What is counted of texts.

use super::{Counter, Gauge, Text, lock};
use std::collections::BTreeMap;
use std::sync::Mutex;
use trunkline_model::TrunkId;
use trunkline_storage::messages::Status;

/// Texts, both ways.
#[derive(Debug, Default)]
pub struct SmsMetrics {
    /// Segments given to carriers.
    pub submitted: Counter,
    /// Segments that carriers took.
    pub accepted: Counter,
    /// Segments that carriers refused.
    pub refused: Counter,
    /// Pauses that carriers asked for.
    pub throttled: Counter,
    /// Messages set aside.
    pub quarantined: Counter,
    /// Receipts that found their segment.
    pub receipts_matched: Counter,
    /// Receipts that did not, or not at once.
    pub receipts_unmatched: Counter,
    /// Texts that came in.
    pub received: Counter,
    /// Texts that may be meant as refusal and are no keyword.
    pub possible_optouts: Counter,
    /// Commits that failed and were tried again.
    pub write_failures: Counter,
    /// Messages under lease.
    pub claimed: Gauge,
    ended: Mutex<BTreeMap<(String, &'static str), u64>>,
    up: Mutex<BTreeMap<TrunkId, bool>>,
}

impl SmsMetrics {
    /// Counts a message that has ended.
    pub fn ended(&self, carrier: Option<&TrunkId>, status: Status) {
        let carrier = carrier.map_or_else(|| "none".to_owned(), TrunkId::to_string);
        *lock(&self.ended).entry((carrier, status.as_str())).or_default() += 1;
    }

    /// Sets whether a carrier takes messages.
    pub fn set_up(&self, carrier: &TrunkId, up: bool) {
        lock(&self.up).insert(carrier.clone(), up);
    }

    pub(super) fn render(&self, text: &mut Text) {
        for (name, help, counter) in [
            ("trunkline_sms_segments_submitted_total", "Segments given to carriers.", &self.submitted),
            ("trunkline_sms_segments_accepted_total", "Segments that carriers took.", &self.accepted),
            ("trunkline_sms_segments_refused_total", "Segments that carriers refused.", &self.refused),
            ("trunkline_sms_throttled_total", "Pauses that carriers asked for.", &self.throttled),
            ("trunkline_sms_quarantined_total", "Messages set aside.", &self.quarantined),
            (
                "trunkline_sms_receipts_matched_total",
                "Receipts that found their segment.",
                &self.receipts_matched,
            ),
            (
                "trunkline_sms_receipts_unmatched_total",
                "Receipts that did not find their segment, or not at once.",
                &self.receipts_unmatched,
            ),
            ("trunkline_sms_received_total", "Texts that came in.", &self.received),
            (
                "trunkline_sms_possible_optouts_total",
                "Texts that may be meant as refusal and are no keyword.",
                &self.possible_optouts,
            ),
            (
                "trunkline_sms_write_failures_total",
                "Commits that failed and were tried again.",
                &self.write_failures,
            ),
        ] {
            text.counter(name, help, counter);
        }
        text.gauge("trunkline_sms_claimed", "Messages under lease.", &self.claimed);
        let name = "trunkline_sms_ended_total";
        text.head(name, "counter", "Messages that have ended, by carrier and how.");
        for ((carrier, status), count) in lock(&self.ended).iter() {
            text.line(format_args!("{name}{{carrier=\"{carrier}\",status=\"{status}\"}} {count}"));
        }
        let name = "trunkline_sms_carrier_up";
        text.head(name, "gauge", "Whether a carrier takes messages.");
        for (carrier, up) in lock(&self.up).iter() {
            text.line(format_args!("{name}{{carrier=\"{carrier}\"}} {}", u8::from(*up)));
        }
    }
}
