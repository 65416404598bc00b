//! The soonest timer of every machine, in one heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::table::Id;
use crate::timer::Timer;

/// A machine that runs timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Client(Id),
    Server(Id),
    Session(Id),
    Request(Id),
    Query(Id),
}

/// What a machine has in the heap: kept in the machine, so that an entry it has given up is known as stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Armed {
    at: Instant,
    timer: Timer,
    serial: u64,
}

/// One entry a machine, that of its soonest timer. Entries given up stay until they come to the top.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, u64, Timer, Who)>>,
    serial: u64,
}

impl Deadlines {
    /// Makes the heap agree with the soonest timer of a machine.
    pub(crate) fn arm(&mut self, who: Who, armed: &mut Option<Armed>, soonest: Option<(Instant, Timer)>) {
        let Some((at, timer)) = soonest else {
            *armed = None;
            return;
        };
        if armed.is_some_and(|armed| armed.at == at && armed.timer == timer) {
            return;
        }
        self.serial += 1;
        *armed = Some(Armed { at, timer, serial: self.serial });
        self.heap.push(Reverse((at, self.serial, timer, who)));
    }

    /// Returns the entry at the top, and the serial by which its machine knows it.
    pub(crate) fn top(&self) -> Option<(Instant, Timer, Who, u64)> {
        self.heap.peek().map(|Reverse((at, serial, timer, who))| (*at, *timer, *who, *serial))
    }

    pub(crate) fn pop(&mut self) {
        self.heap.pop();
    }
}

impl Armed {
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }
}
