//! Purchases under way: a resource may have only so many at once (PROV-05).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// How many purchases each resource has under way in this program; those with none are not in it.
///
/// Other programs on the same database count their own: what the limit is for, the load of one customer's
/// purchases, is theirs to bear.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<BTreeMap<Uuid, u32>>);

/// One purchase under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Purchase<'a> {
    all: &'a UnderWay,
    resource: Uuid,
}

impl UnderWay {
    /// Begins a purchase, unless as many as `limit` are under way.
    pub(crate) fn begin(&self, resource: Uuid, limit: u32) -> Option<Purchase<'_>> {
        let mut all = self.lock();
        let count = all.get(&resource).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        all.insert(resource, count + 1);
        Some(Purchase { all: self, resource })
    }

    // The map is whole between any two statements, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Purchase<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        match all.get_mut(&self.resource) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(all.remove(&self.resource)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_only_so_many_purchases_under_way() {
        let (all, resource) = (UnderWay::default(), Uuid::from_u128(1));
        let first = all.begin(resource, 2).unwrap();
        let second = all.begin(resource, 2).unwrap();
        assert!(all.begin(resource, 2).is_none());
        assert!(all.begin(Uuid::from_u128(2), 2).is_some());
        drop(first);
        assert!(all.begin(resource, 2).is_some());
        drop(second);
        assert!(all.lock().is_empty());
    }
}
