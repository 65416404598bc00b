//! Token buckets of trunks, numbers and campaigns; segments count, and what is over the limit waits (rules D.3).

use std::collections::BTreeMap;
use std::time::Instant;

use trunkline_model::TrunkId;

use super::Message;
use crate::bucket::{Bucket, Rate};
use crate::gate::{self, Standing};
use crate::party::Sender;

/// What a brand may still send today at carriers that count by day; the count is stored by the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrandDay {
    /// Segments left.
    pub left: u32,
    /// When the day ends: midnight in Pacific time.
    pub resets_at: Instant,
}

impl BrandDay {
    pub(super) fn waits(self, now: Instant, segments: u16) -> Option<Instant> {
        (u32::from(segments) > self.left && self.resets_at > now).then_some(self.resets_at)
    }
}

/// The buckets.
#[derive(Debug, Default)]
pub struct Limits {
    trunk_rates: BTreeMap<TrunkId, Rate>,
    trunks: BTreeMap<TrunkId, Bucket>,
    numbers: BTreeMap<Sender, Bucket>,
    campaigns: BTreeMap<String, Bucket>,
    taken: u32,
}

/// Messages after which buckets that are full again are dropped.
const SWEEP_EVERY: u32 = 10_000;

impl Limits {
    /// Sets what a trunk takes; none for no limit. A trunk that throttles is slowed down with this.
    pub fn set_trunk_rate(&mut self, trunk: TrunkId, rate: Option<Rate>) {
        self.trunks.remove(&trunk);
        match rate {
            Some(rate) => self.trunk_rates.insert(trunk, rate),
            None => self.trunk_rates.remove(&trunk),
        };
    }

    /// Returns how many segments a trunk takes at once now; none if it has no limit.
    pub fn trunk_available(&self, now: Instant, trunk: &TrunkId) -> Option<u32> {
        let rate = self.trunk_rates.get(trunk)?;
        Some(self.trunks.get(trunk).map_or(rate.burst, |bucket| bucket.available(now)))
    }

    /// Returns how many segments a number sends at once now; none if nothing is known against it.
    pub fn number_available(&self, now: Instant, number: &Sender) -> Option<u32> {
        self.numbers.get(number).map(|bucket| bucket.available(now))
    }

    /// Returns how many segments a campaign sends at once now; none if nothing is known against it.
    pub fn campaign_available(&self, now: Instant, campaign: &str) -> Option<u32> {
        self.campaigns.get(campaign).map(|bucket| bucket.available(now))
    }

    pub(super) fn trunk_ready_at(&self, now: Instant, trunk: &TrunkId, segments: u16) -> Instant {
        self.trunks.get(trunk).map_or(now, |bucket| bucket.ready_at(now, segments))
    }

    pub(super) fn number_waits(&self, now: Instant, message: &Message<'_>) -> Option<Instant> {
        let bucket = self.numbers.get(message.from)?;
        Some(bucket.ready_at(now, message.segments)).filter(|at| *at > now)
    }

    /// The networks count each campaign, whichever trunk brings it; which network a number is with is not known here.
    pub(super) fn campaign_waits(&self, now: Instant, message: &Message<'_>) -> Option<Instant> {
        let bucket = self.campaigns.get(&message.standing.campaign.as_ref()?.id)?;
        Some(bucket.ready_at(now, message.segments)).filter(|at| *at > now)
    }

    /// Counts segments that are sent.
    pub fn take(&mut self, now: Instant, trunk: &TrunkId, from: &Sender, standing: &Standing, segments: u16) {
        if let Some(rate) = self.trunk_rates.get(trunk) {
            let bucket = self.trunks.entry(trunk.clone()).or_insert_with(|| Bucket::new(*rate));
            bucket.take(now, segments);
        }
        if let Some(rate) = gate::number_rate(from.kind()).filter(|_| !standing.assumed) {
            self.numbers.entry(from.clone()).or_insert_with(|| Bucket::new(rate)).take(now, segments);
        }
        if let Some(campaign) = &standing.campaign {
            let bucket = self.campaigns.entry(campaign.id.clone());
            bucket.or_insert_with(|| Bucket::new(campaign.class.rate())).take(now, segments);
        }
        self.taken = self.taken.wrapping_add(1);
        if self.taken.is_multiple_of(SWEEP_EVERY) {
            self.numbers.retain(|_, bucket| !bucket.is_full(now));
            self.campaigns.retain(|_, bucket| !bucket.is_full(now));
        }
    }
}
