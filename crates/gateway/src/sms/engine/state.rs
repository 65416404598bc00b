//! What the engine holds in memory.

use super::super::carrier::{Order, Orders, Outgoing};
use crate::config::SmsCarrier;
use std::sync::Arc;
use std::time::Instant;
use trunkline_model::TrunkId;
use trunkline_sms::party::Sender;
use trunkline_sms::queue::FairQueue;
use trunkline_sms::receipt::{Correlator, Limits};
use trunkline_sms::retry::{Attempt, History};
use trunkline_sms::segment::{Reassembler, join};
use trunkline_storage::messages::Message;
use uuid::Uuid;

/// A carrier.
pub(super) struct Carrier {
    pub(super) config: SmsCarrier,
    pub(super) links: Vec<Link>,
    /// Messages whose turn it is as soon as a link has room.
    pub(super) queue: FairQueue<Uuid, i64>,
    /// Finds the segments that receipts speak of; receipts are named by the engine's numbers.
    pub(super) correlator: Correlator<(i64, u8), u64>,
    /// Joins parts, which are named by their rows.
    pub(super) reassembler: Reassembler<i64>,
}

/// Segments remembered for each carrier; what came before is found in the store.
const SEGMENTS_MAX: usize = 200_000;

/// Messages that wait in memory for a carrier: some windows' worth. More only wait under lease instead of without one.
pub(super) const QUEUE_MAX: usize = 1_000;

impl Carrier {
    pub(super) fn new(config: SmsCarrier, links: Vec<Link>) -> Self {
        let limits = Limits { segments_max: SEGMENTS_MAX, ..Limits::default() };
        Self {
            correlator: Correlator::new(config.ids, limits),
            reassembler: Reassembler::new(join::Limits::default()),
            config,
            links,
            queue: FairQueue::new(),
        }
    }

    /// Returns the link that takes the next submission.
    pub(super) fn free_link(&self, now: Instant) -> Option<usize> {
        let free = self.links.iter().enumerate().filter(|(_, link)| link.free(now) > 0);
        free.max_by_key(|(_, link)| link.free(now)).map(|(at, _)| at)
    }

    pub(super) fn is_up(&self) -> bool {
        self.links.iter().any(|link| link.room > 0)
    }

    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let paused = self.links.iter().filter_map(|link| link.paused_until).filter(|until| *until > now);
        let parts = self.reassembler.poll_timeout();
        let timeouts = [self.correlator.poll_timeout(), parts, self.queue.poll_timeout()];
        paused.chain(timeouts.into_iter().flatten()).min()
    }
}

/// A link of a carrier.
pub(super) struct Link {
    pub(super) orders: Orders,
    /// Most submissions without an end; 0 while it is down.
    pub(super) room: usize,
    pub(super) outstanding: usize,
    pub(super) paused_until: Option<Instant>,
    /// Whether it has said that it is down since it was told to stop.
    pub(super) ended: bool,
}

impl Link {
    pub(super) fn new(orders: Orders) -> Self {
        Self { orders, room: 0, outstanding: 0, paused_until: None, ended: false }
    }

    fn free(&self, now: Instant) -> usize {
        match self.paused_until {
            Some(until) if until > now => 0,
            Some(_) | None => self.room.saturating_sub(self.outstanding),
        }
    }

    pub(super) fn tell(&self, order: Order) {
        // A link ends only after it was told to.
        let _ = self.orders.send(order);
    }
}

/// A message under lease.
pub(super) struct Work {
    pub(super) message: Message,
    pub(super) from: Sender,
    pub(super) deadline: Instant,
    pub(super) history: History,
    /// How many segments it is counted with, before a carrier cuts it.
    pub(super) billed: u16,
    /// Carriers that refused it for now.
    pub(super) avoided: Vec<TrunkId>,
    /// Whether the recipient had opted out when it was claimed.
    pub(super) opted_out: bool,
    /// When it was claimed.
    pub(super) claimed_at: Instant,
    /// The carrier that takes it or has a part of it.
    pub(super) passage: Option<Passage>,
}

/// A message on its way to one carrier.
pub(super) struct Passage {
    pub(super) trunk: TrunkId,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) reference: u16,
    /// By segment, whether the carrier took it.
    pub(super) taken: Vec<bool>,
    /// Segments that are with links.
    pub(super) outstanding: usize,
    /// The worst that became of a segment.
    pub(super) worst: Option<Attempt>,
    /// What the carrier said of that.
    pub(super) reason: Option<String>,
}

impl Work {
    pub(super) fn recipient(&self) -> String {
        self.message.to.to_string()
    }
}
