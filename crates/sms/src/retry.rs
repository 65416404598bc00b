//! What happens to a message that a carrier did not take (rules D.5, SMS-04, SMS-08).

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::session::backoff::{Backoff, Jitter};
use crate::status::{ATTEMPTS_FEW, Class, CommandStatus};

/// What a message has been through; it is stored with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// How often a carrier refused it for now.
    pub refusals: u8,
    /// How often it was on its way when a session was lost or gave no answer.
    pub in_doubt: u8,
    /// Whether the recipient may get it twice.
    pub possible_duplicate: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The carrier said no.
    Refused {
        /// With what.
        status: CommandStatus,
        /// What that means on the trunk.
        class: Class,
    },
    /// The session ended or the answer did not come; the carrier may have it.
    InDoubt,
    /// The session ended before it was sent.
    NotSent,
    /// It does not fit the protocol.
    Unencodable(&'static str),
}

/// What a trunk does about messages without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LostResponse {
    /// Send again, marked as a possible duplicate.
    #[default]
    Resubmit,
    /// Wait for a receipt, until the validity ends.
    Hold,
    /// The message has failed.
    Fail,
}

/// What is to be done with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try it again then, on any trunk that takes it.
    Again {
        /// When.
        at: Instant,
        /// Whether the trunk that refused is left out while others are there.
        elsewhere: bool,
    },
    /// It waits for a receipt.
    Hold,
    /// It has failed.
    Failed(Why),
    /// Its validity is over.
    Expired,
    /// It is set aside for a person to look at: it may be what breaks the sessions it is sent on.
    Quarantine(Suspicion),
}

/// Why a message has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The carrier refused it.
    Refused(CommandStatus),
    /// The trunk's policy for lost responses.
    Unanswered,
}

/// Why a message is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// Session after session was lost while it was on its way.
    LostSessions(u8),
    /// A field of it fits no PDU.
    Unencodable(&'static str),
}

/// Lost sessions and answers after which a message is suspected.
pub const IN_DOUBT_MAX: u8 = 3;

/// Pauses between attempts of one message.
const RETRY: Backoff = Backoff { first: Duration::from_secs(5), max: Duration::from_secs(15 * 60) };

impl History {
    /// Takes an attempt in and says what is next.
    pub fn next(
        &mut self,
        now: Instant,
        deadline: Instant,
        attempt: Attempt,
        lost: LostResponse,
        jitter: &mut Jitter,
    ) -> Next {
        let next = match attempt {
            Attempt::Unencodable(field) => return Next::Quarantine(Suspicion::Unencodable(field)),
            Attempt::NotSent => Next::Again { at: now, elsewhere: true },
            Attempt::InDoubt => self.in_doubt(now, lost),
            Attempt::Refused { status, class } => self.refused(now, status, class, jitter),
        };
        match next {
            // Rules SMS-08: no attempt after the validity.
            Next::Again { at, .. } if at >= deadline => Next::Expired,
            next => next,
        }
    }

    fn in_doubt(&mut self, now: Instant, lost: LostResponse) -> Next {
        self.in_doubt = self.in_doubt.saturating_add(1);
        match lost {
            LostResponse::Hold => Next::Hold,
            LostResponse::Fail => Next::Failed(Why::Unanswered),
            LostResponse::Resubmit if self.in_doubt >= IN_DOUBT_MAX => {
                Next::Quarantine(Suspicion::LostSessions(self.in_doubt))
            }
            LostResponse::Resubmit => {
                self.possible_duplicate = true;
                Next::Again { at: now, elsewhere: false }
            }
        }
    }

    fn refused(&mut self, now: Instant, status: CommandStatus, class: Class, jitter: &mut Jitter) -> Next {
        let pause = RETRY.jittered(u32::from(self.refusals), jitter);
        self.refusals = self.refusals.saturating_add(1);
        match class {
            Class::Final => Next::Failed(Why::Refused(status)),
            Class::RetryFew if self.refusals >= ATTEMPTS_FEW => Next::Failed(Why::Refused(status)),
            Class::Retry | Class::RetryFew => Next::Again { at: now + pause, elsewhere: true },
            // The destination's own back-off says when; see `Destinations`.
            Class::Destination => Next::Again { at: now, elsewhere: false },
            // The session pauses or binds anew by itself.
            Class::Throttled | Class::Rebind | Class::Accepted => Next::Again { at: now, elsewhere: false },
            Class::Session => Next::Again { at: now, elsewhere: true },
        }
    }
}

/// Destinations whose queue at the carrier is full (RMSGQFUL): all messages to them wait.
#[derive(Default)]
pub struct Destinations {
    full: BTreeMap<String, Full>,
}

#[derive(Debug, Clone, Copy)]
struct Full {
    failures: u32,
    until: Instant,
}

/// Most destinations remembered; beyond, the one that may be tried soonest is forgotten.
const DESTINATIONS_MAX: usize = 100_000;

/// A destination that was quiet for this long after its pause starts anew.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destinations({} full)", self.full.len())
    }
}

impl Destinations {
    /// Returns an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in that the queue of a destination is full. Returns when to try it again.
    pub fn handle_full(&mut self, now: Instant, destination: &str, jitter: &mut Jitter) -> Instant {
        if self.full.len() >= DESTINATIONS_MAX && !self.full.contains_key(destination) {
            self.make_room(now);
        }
        let full = self.full.entry(destination.to_owned()).or_insert(Full { failures: 0, until: now });
        if now > full.until + FORGET_AFTER {
            full.failures = 0;
        }
        // Answers to messages sent together are one failure.
        if full.failures == 0 || full.until <= now {
            full.until = now + RETRY.jittered(full.failures, jitter);
            full.failures = full.failures.saturating_add(1);
        }
        full.until
    }

    /// Takes in that a destination took a message.
    pub fn handle_accepted(&mut self, destination: &str) {
        self.full.remove(destination);
    }

    /// Returns until when messages for a destination wait; none if they need not.
    pub fn waits_until(&self, now: Instant, destination: &str) -> Option<Instant> {
        self.full.get(destination).map(|full| full.until).filter(|until| *until > now)
    }

    fn make_room(&mut self, now: Instant) {
        self.full.retain(|_, full| full.until > now);
        if self.full.len() >= DESTINATIONS_MAX {
            let soonest = self.full.iter().min_by_key(|(_, full)| full.until).map(|(to, _)| to.clone());
            soonest.map(|to| self.full.remove(&to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn refused(status: CommandStatus) -> Attempt {
        Attempt::Refused { status, class: crate::status::StatusTable::default().class(status) }
    }

    #[test]
    fn final_statuses_fail_at_once_and_few_are_tried_four_times() {
        let now = first_instant();
        let mut jitter = Jitter::new(1);
        let mut next = |history: &mut History, attempt| {
            history.next(now, now + HOUR, attempt, LostResponse::Resubmit, &mut jitter)
        };
        let status = CommandStatus::INVALID_DESTINATION;
        assert_eq!(next(&mut History::default(), refused(status)), Next::Failed(Why::Refused(status)));
        let mut few = History::default();
        let status = CommandStatus::SUBMIT_FAILED;
        for _ in 0..3 {
            assert!(matches!(next(&mut few, refused(status)), Next::Again { elsewhere: true, .. }));
        }
        assert_eq!(next(&mut few, refused(status)), Next::Failed(Why::Refused(status)));
    }

    #[test]
    fn retries_grow_apart_and_end_with_the_validity() {
        let start = first_instant();
        let (mut now, mut jitter, mut history) = (start, Jitter::new(1), History::default());
        let mut attempts = 0;
        loop {
            let attempt = refused(CommandStatus::SYSTEM_ERROR);
            match history.next(now, start + HOUR, attempt, LostResponse::Resubmit, &mut jitter) {
                Next::Again { at, .. } => now = at,
                Next::Expired => break,
                other => panic!("{other:?}"),
            }
            attempts += 1;
        }
        assert!((8..15).contains(&attempts), "{attempts}");
        assert!(now < start + HOUR);
    }

    #[test]
    fn lost_answers_follow_the_policy_of_the_trunk() {
        let now = first_instant();
        let mut jitter = Jitter::new(1);
        let mut next =
            |history: &mut History, lost| history.next(now, now + HOUR, Attempt::InDoubt, lost, &mut jitter);
        let mut history = History::default();
        assert_eq!(next(&mut history, LostResponse::Hold), Next::Hold);
        assert!(!history.possible_duplicate);
        assert_eq!(next(&mut History::default(), LostResponse::Fail), Next::Failed(Why::Unanswered));
        let mut history = History::default();
        for _ in 0..2 {
            let again = Next::Again { at: now, elsewhere: false };
            assert_eq!(next(&mut history, LostResponse::Resubmit), again);
            assert!(history.possible_duplicate);
        }
        assert_eq!(next(&mut history, LostResponse::Resubmit), Next::Quarantine(Suspicion::LostSessions(3)));
    }

    #[test]
    fn what_fits_no_pdu_is_set_aside() {
        let now = first_instant();
        let attempt = Attempt::Unencodable("source_addr");
        let next = History::default().next(now, now, attempt, LostResponse::Resubmit, &mut Jitter::new(1));
        assert_eq!(next, Next::Quarantine(Suspicion::Unencodable("source_addr")));
    }

    #[test]
    fn a_full_destination_waits_alone_and_longer_each_time() {
        let now = first_instant();
        let mut jitter = Jitter::new(1);
        let mut destinations = Destinations::new();
        let first = destinations.handle_full(now, "12065550111", &mut jitter);
        assert_eq!(destinations.handle_full(now, "12065550111", &mut jitter), first);
        assert_eq!(destinations.waits_until(now, "12065550111"), Some(first));
        assert_eq!(destinations.waits_until(now, "12065550112"), None);
        assert_eq!(destinations.waits_until(first, "12065550111"), None);
        let second = destinations.handle_full(first, "12065550111", &mut jitter);
        assert!(second - first > first - now);
        destinations.handle_accepted("12065550111");
        assert_eq!(destinations.waits_until(first, "12065550111"), None);
    }
}
