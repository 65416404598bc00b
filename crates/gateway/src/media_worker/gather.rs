//! When a worker lets packets gather instead of waking for each.
//!
//! To fall asleep and to wake costs about as much as to relay a packet. A worker that has many packets a second leaves
//! them in their sockets for a moment and takes them together, as network cards do with their interrupts. The moment is
//! short beside the 20 ms that a packet lasts; a worker that has few packets takes each at once.

use std::time::{Duration, Instant};

/// How long packets gather: the most that it delays one, a fortieth of what the packet lasts.
pub(super) const MOMENT: Duration = Duration::from_micros(500);

/// Packets a second from which on it pays: two in each moment, of about 40 calls.
const ON_FROM: u32 = 4_000;

/// Packets a second below which it does not any more; apart from the other, so that a load in between does not toggle.
const OFF_BELOW: u32 = 2_000;

/// How often that is looked at.
const WINDOW: Duration = Duration::from_millis(100);

/// Counts packets, and decides.
#[derive(Debug)]
pub(super) struct Gather {
    window_began: Instant,
    packets: u32,
    on: bool,
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self { window_began: now, packets: 0, on: false }
    }

    /// Notes how many packets one turn had. Returns whether to let the next ones gather.
    pub(super) fn turned(&mut self, now: Instant, packets: usize) -> bool {
        self.packets = self.packets.saturating_add(u32::try_from(packets).unwrap_or(u32::MAX));
        let passed = now.saturating_duration_since(self.window_began);
        if passed >= WINDOW {
            let a_second = f64::from(self.packets) / passed.as_secs_f64();
            self.on = a_second >= f64::from(if self.on { OFF_BELOW } else { ON_FROM });
            self.window_began = now;
            self.packets = 0;
        }
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has a load for half a second, a turn each millisecond, and returns what was decided last.
    fn load(gather: &mut Gather, now: &mut Instant, packets: usize) -> bool {
        (0..500).fold(false, |_, _| {
            *now += Duration::from_millis(1);
            gather.turned(*now, packets)
        })
    }

    #[test]
    fn many_packets_gather_and_few_do_not() {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        assert!(!load(&mut gather, &mut now, 3), "3,000 a second are not enough to begin");
        assert!(load(&mut gather, &mut now, 5));
        assert!(load(&mut gather, &mut now, 3), "and enough to go on");
        assert!(!load(&mut gather, &mut now, 1));
    }

    #[test]
    fn a_worker_that_slept_for_long_takes_the_first_packet_at_once() {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        assert!(load(&mut gather, &mut now, 5));
        now += Duration::from_secs(10);
        assert!(!gather.turned(now, 1));
    }
}
