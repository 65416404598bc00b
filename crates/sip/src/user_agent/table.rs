//! A table of things by small ids that are never used twice.

/// Names an entry of a [`Table`]: a slot, and how often the slot was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    slot: u32,
    generation: u32,
}

/// Entries by id, with a limit that the caller checks by [`len`](Table::len).
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

impl Id {
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_u64(number: u64) -> Self {
        // Both halves are what `to_u64` put there.
        Self { slot: number as u32, generation: (number >> 32) as u32 }
    }
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns the id that the next entry will have.
    pub(crate) fn next_id(&self) -> Id {
        let reused =
            self.free.last().and_then(|slot| self.slots.get(*slot as usize).map(|entry| (slot, entry)));
        match reused {
            Some((slot, entry)) => Id { slot: *slot, generation: entry.generation },
            // Lossless: limits keep every table far below 2³² entries.
            None => Id { slot: self.slots.len() as u32, generation: 0 },
        }
    }

    pub(crate) fn insert(&mut self, entry: T) -> Id {
        let id = self.next_id();
        self.free.pop();
        match self.slots.get_mut(id.slot as usize) {
            Some(slot) => slot.entry = Some(entry),
            None => self.slots.push(Slot { generation: 0, entry: Some(entry) }),
        }
        id
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.entry.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.entry.as_mut()
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_does_not_find_the_next_tenant_of_its_slot() {
        let mut table = Table::new();
        let first = table.insert('a');
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('b');
        assert_eq!(table.get(first), None);
        assert_eq!(table.get(Id::from_u64(second.to_u64())), Some(&'b'));
        assert_eq!(table.len(), 1);
    }
}
