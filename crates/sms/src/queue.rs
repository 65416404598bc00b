//! A queue that is fair to tenants: one who sends a million texts does not delay another who sends one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Messages that wait for one trunk, taken out by turns of the tenants (deficit round robin; rules SMS-09).
///
/// A turn is worth [`QUANTUM`] segments, so that a tenant with long messages gets no more than one with short ones.
/// It holds what the owner has claimed from its store, not all that is stored.
#[derive(Debug)]
pub struct FairQueue<K, M> {
    lanes: BTreeMap<K, Lane<M>>,
    /// Tenants with messages that may go, in the order of their turns.
    turns: VecDeque<K>,
    /// Messages that may not go yet.
    deferred: BTreeMap<(Instant, u64), (K, Entry<M>)>,
    arrivals: u64,
    len: usize,
}

#[derive(Debug)]
struct Lane<M> {
    entries: VecDeque<Entry<M>>,
    credit: u32,
    /// Whether the present turn has had its quantum.
    in_turn: bool,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<M> {
    /// The message.
    pub message: M,
    /// How many segments it has.
    pub segments: u16,
}

/// Segments of one turn: the longest message unless configured otherwise.
pub const QUANTUM: u32 = 10;

impl<K: Clone + Ord, M> FairQueue<K, M> {
    /// Returns an empty queue.
    pub fn new() -> Self {
        Self {
            lanes: BTreeMap::new(),
            turns: VecDeque::new(),
            deferred: BTreeMap::new(),
            arrivals: 0,
            len: 0,
        }
    }

    /// Returns how many messages wait, deferred ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a message behind all others of its tenant.
    pub fn push(&mut self, tenant: K, entry: Entry<M>) {
        self.len += 1;
        self.lane(tenant).entries.push_back(entry);
    }

    /// Puts a message that was taken out back in front: it keeps its place, and its tenant the credit it spent.
    pub fn put_back(&mut self, tenant: K, entry: Entry<M>) {
        self.len += 1;
        let lane = self.lane(tenant.clone());
        lane.credit = lane.credit.saturating_add(u32::from(entry.segments));
        lane.in_turn = true;
        lane.entries.push_front(entry);
        if let Some(at) = self.turns.iter().position(|other| *other == tenant)
            && let Some(turn) = self.turns.remove(at)
        {
            self.turns.push_front(turn);
        }
    }

    /// Sets a message aside until then.
    pub fn defer(&mut self, until: Instant, tenant: K, entry: Entry<M>) {
        self.len += 1;
        self.arrivals += 1;
        self.deferred.insert((until, self.arrivals), (tenant, entry));
    }

    /// Takes the next message out.
    pub fn pop(&mut self, now: Instant) -> Option<(K, Entry<M>)> {
        self.wake(now);
        loop {
            let tenant = self.turns.front()?.clone();
            let Some(lane) = self.lanes.get_mut(&tenant) else {
                self.turns.pop_front();
                continue;
            };
            if !lane.in_turn {
                lane.in_turn = true;
                lane.credit = lane.credit.saturating_add(QUANTUM);
            }
            let cost = lane.entries.front().map_or(0, |entry| u32::from(entry.segments));
            if cost > lane.credit {
                lane.in_turn = false;
                self.turns.rotate_left(1);
                continue;
            }
            let entry = lane.entries.pop_front();
            lane.credit -= cost;
            if lane.entries.is_empty() {
                // Credit is not saved up: who has nothing to send starts anew.
                self.lanes.remove(&tenant);
                self.turns.pop_front();
            }
            if let Some(entry) = entry {
                self.len -= 1;
                return Some((tenant, entry));
            }
        }
    }

    /// Returns when the next deferred message may go.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deferred.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes every message out, in no order of turns: the trunk is gone, and they are routed anew.
    pub fn drain(&mut self) -> Vec<(K, Entry<M>)> {
        self.turns.clear();
        self.len = 0;
        let lanes = std::mem::take(&mut self.lanes).into_iter();
        let waiting = lanes
            .flat_map(|(tenant, lane)| lane.entries.into_iter().map(move |entry| (tenant.clone(), entry)));
        waiting.chain(std::mem::take(&mut self.deferred).into_values()).collect()
    }

    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.deferred.first_entry()
            && first.key().0 <= now
        {
            let (tenant, entry) = first.remove();
            self.lane(tenant).entries.push_back(entry);
        }
    }

    fn lane(&mut self, tenant: K) -> &mut Lane<M> {
        let turns = &mut self.turns;
        self.lanes.entry(tenant).or_insert_with_key(|tenant| {
            turns.push_back(tenant.clone());
            Lane { entries: VecDeque::new(), credit: 0, in_turn: false }
        })
    }
}

impl<K: Clone + Ord, M> Default for FairQueue<K, M> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use trunkline_model::clock::first_instant;

    fn entry(message: u32, segments: u16) -> Entry<u32> {
        Entry { message, segments }
    }

    fn order(queue: &mut FairQueue<char, u32>, now: Instant) -> Vec<(char, u32)> {
        std::iter::from_fn(|| queue.pop(now)).map(|(tenant, entry)| (tenant, entry.message)).collect()
    }

    #[test]
    fn one_text_does_not_wait_for_a_thousand() {
        let now = first_instant();
        let mut queue = FairQueue::new();
        (0..1_000).for_each(|n| queue.push('a', entry(n, 1)));
        queue.push('b', entry(1_000, 1));
        let place = order(&mut queue, now).iter().position(|(tenant, _)| *tenant == 'b');
        assert_eq!(place, Some(QUANTUM as usize));
        assert!(queue.is_empty());
    }

    #[test]
    fn segments_count_not_messages() {
        let now = first_instant();
        let mut queue = FairQueue::new();
        for n in 0..100 {
            queue.push('a', entry(n, 10));
            queue.push('b', entry(n, 1));
        }
        let first: Vec<char> =
            order(&mut queue, now).into_iter().take(22).map(|(tenant, _)| tenant).collect();
        assert_eq!(first.iter().filter(|tenant| **tenant == 'b').count(), 20);
    }

    #[test]
    fn a_message_that_is_put_back_is_the_next() {
        let now = first_instant();
        let mut queue = FairQueue::new();
        queue.push('a', entry(1, 10));
        queue.push('b', entry(3, 1));
        queue.push('a', entry(2, 10));
        let (tenant, first) = queue.pop(now).unwrap();
        queue.put_back(tenant, first);
        assert_eq!(order(&mut queue, now), [('a', 1), ('b', 3), ('a', 2)]);
    }

    #[test]
    fn a_deferred_message_delays_nobody() {
        let now = first_instant();
        let later = now + Duration::from_secs(5);
        let mut queue = FairQueue::new();
        queue.defer(later, 'a', entry(1, 1));
        queue.push('a', entry(2, 1));
        assert_eq!((queue.len(), queue.poll_timeout()), (2, Some(later)));
        assert_eq!(order(&mut queue, now), [('a', 2)]);
        assert_eq!(order(&mut queue, later), [('a', 1)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_each_tenants_order_is_kept(
            pushes in proptest::collection::vec((0u8..5, 1u16..30), 0..300),
        ) {
            let now = first_instant();
            let mut queue = FairQueue::new();
            for (n, (tenant, segments)) in pushes.iter().enumerate() {
                queue.push(*tenant, entry(n as u32, *segments));
            }
            prop_assert_eq!(queue.len(), pushes.len());
            let mut got: Vec<(u8, u32)> = Vec::new();
            while let Some((tenant, entry)) = queue.pop(now) {
                got.push((tenant, entry.message));
            }
            prop_assert_eq!(got.len(), pushes.len());
            for tenant in 0..5 {
                let own: Vec<u32> = got.iter().filter(|(of, _)| *of == tenant).map(|(_, n)| *n).collect();
                prop_assert!(own.is_sorted());
            }
        }
    }
}
