//! Timers by their letter, and their values (RFC 3261 §17 table 4, RFC 6026, RFC 3262, RFC 4028).

use std::time::{Duration, Instant};

/// What a timeout is for.
///
/// Letters are those of RFC 3261 §17 and RFC 6026 §7; what the core of a user agent waits for has no letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// INVITE is sent again, unreliable transports only.
    A,
    /// INVITE got no response.
    B,
    /// INVITE got a provisional response and never a final one (RFC 3261 §16.6; here for a caller).
    C,
    /// Final responses to INVITE come again and are acknowledged.
    D,
    /// Another request is sent again, unreliable transports only.
    E,
    /// Another request got no final response.
    F,
    /// A final response to INVITE is sent again.
    G,
    /// A final response to INVITE got no ACK.
    H,
    /// ACKs come again and are absorbed.
    I,
    /// Another request comes again and is answered alike.
    J,
    /// Responses to another request come again and are absorbed.
    K,
    /// INVITE comes again after its 2xx and is absorbed (RFC 6026 §7.1).
    L,
    /// 2xx to INVITE come again, or from further forks (RFC 6026 §7.2).
    M,
    /// A 2xx to INVITE is sent again by the core until its ACK comes (RFC 3261 §13.3.1.4).
    OkRetransmit,
    /// A 2xx to INVITE got no ACK for 64·T1 (RFC 3261 §13.3.1.4).
    OkUnacknowledged,
    /// A reliable provisional response is sent again (RFC 3262 §3).
    ReliableRetransmit,
    /// A reliable provisional response got no PRACK for 64·T1 (RFC 3262 §3).
    ReliableUnacknowledged,
    /// A provisional response is sent again, so that no proxy gives the INVITE up (RFC 3261 §13.3.1.1).
    ProgressRepeat,
    /// A cancelled INVITE got no final response for 64·T1 (RFC 3261 §9.1).
    CancelGiveUp,
    /// A re-INVITE of ours got a provisional response and no final one; it is cancelled.
    ChangeUnanswered,
    /// A change of the peer's that was handed to the owner got no answer from it (RFC 3311 §5.2).
    ChangeOwnerAnswer,
    /// A request that met 491 is tried again (RFC 3261 §14.1).
    GlareRetry,
    /// The session is refreshed by us (RFC 4028 §10).
    Refresh,
    /// The session was not refreshed (RFC 4028 §10).
    SessionExpiry,
    /// A look-up got no answer from the world.
    Resolve,
    /// A request that was handed to the owner got no answer from it.
    OwnerAnswer,
}

/// The base values that all timers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerValues {
    /// Round-trip estimate.
    pub t1: Duration,
    /// Longest interval between retransmissions of a request that is not INVITE, and of responses to INVITE.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
    /// How long an INVITE may stay without a final response once it has a provisional one (timer C).
    pub c: Duration,
}

impl TimerValues {
    /// Returns 64·T1: how long a transaction is tried.
    pub fn patience(&self) -> Duration {
        self.t1 * 64
    }

    /// Returns timer D: at least 32 s on unreliable transports (RFC 3261 §17.1.1.2).
    pub(crate) fn d(&self) -> Duration {
        self.patience().max(Duration::from_secs(32))
    }
}

impl Default for TimerValues {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            // RFC 3261 §16.6 asks for more than three minutes.
            c: Duration::from_secs(200),
        }
    }
}

/// The running timers of one machine: a handful, each at most once.
#[derive(Debug, Clone)]
pub(crate) struct Timers<const N: usize> {
    running: [Option<(Instant, Timer)>; N],
    /// What finds no slot, so that no timer is ever lost: empty, and without memory, as long as the slots suffice.
    more: Vec<(Instant, Timer)>,
}

impl<const N: usize> Timers<N> {
    pub(crate) fn new() -> Self {
        Self { running: [None; N], more: Vec::new() }
    }

    /// Starts a timer, or starts it anew.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        match self.running.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some((at, timer)),
            None => self.more.push((at, timer)),
        }
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        for slot in &mut self.running {
            if slot.is_some_and(|(_, running)| running == timer) {
                *slot = None;
            }
        }
        self.more.retain(|(_, running)| *running != timer);
    }

    pub(crate) fn stop_all(&mut self) {
        self.running = [None; N];
        self.more.clear();
    }

    pub(crate) fn is_running(&self, timer: Timer) -> bool {
        self.running.iter().flatten().chain(&self.more).any(|(_, running)| *running == timer)
    }

    pub(crate) fn soonest(&self) -> Option<(Instant, Timer)> {
        self.running.iter().flatten().chain(&self.more).min().copied()
    }

    /// Stops and returns the soonest timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (_, timer) = self.soonest().filter(|(at, _)| *at <= now)?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    #[test]
    fn the_soonest_due_timer_is_taken_once() {
        let start = first_instant();
        let mut timers = Timers::<2>::new();
        timers.set(Timer::A, start + Duration::from_secs(1));
        timers.set(Timer::B, start + Duration::from_secs(3));
        timers.set(Timer::A, start + Duration::from_secs(2));
        assert_eq!(timers.take_due(start + Duration::from_secs(1)), None);
        assert_eq!(timers.take_due(start + Duration::from_secs(5)), Some(Timer::A));
        assert_eq!(timers.take_due(start + Duration::from_secs(5)), Some(Timer::B));
        assert_eq!(timers.soonest(), None);
    }

    #[test]
    fn no_timer_is_lost_for_want_of_a_slot() {
        let start = first_instant();
        let mut timers = Timers::<1>::new();
        timers.set(Timer::A, start + Duration::from_secs(2));
        timers.set(Timer::B, start + Duration::from_secs(1));
        timers.set(Timer::C, start + Duration::from_secs(3));
        timers.stop(Timer::C);
        assert!(timers.is_running(Timer::B) && !timers.is_running(Timer::C));
        assert_eq!(timers.take_due(start + Duration::from_secs(5)), Some(Timer::B));
        assert_eq!(timers.take_due(start + Duration::from_secs(5)), Some(Timer::A));
        timers.set(Timer::A, start);
        timers.set(Timer::B, start);
        timers.stop_all();
        assert_eq!(timers.soonest(), None);
    }
}
