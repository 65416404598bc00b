//! What came to the sandbox's SMS carriers, attempt by attempt, for people and tests to look at.

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// One attempt to send a text, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Counts attempts from 1.
    pub serial: u64,
    /// Our id, where it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `smpp` or `http`.
    pub over: &'static str,
    /// Who sent it, as the carrier was told.
    pub from: String,
    /// To whom, as the carrier was told.
    pub to: String,
    /// What it says; none if it is binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Which part of a longer text it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// data_coding of SMPP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_coding: Option<u8>,
    /// Whether a receipt was asked for.
    pub receipt_wanted: bool,
    /// What became of the attempt.
    pub outcome: Outcome,
    /// command_status of the response of SMPP, or the status of HTTP; 0 if there was none.
    pub status: u32,
}

/// A part of a longer text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Common to all parts.
    pub reference: u16,
    /// How many there are.
    pub total: u8,
    /// Which one this is, from 1.
    pub seq: u8,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The sandbox took it.
    Accepted,
    /// It did not.
    Refused,
    /// It took it, and never said so.
    Unanswered,
    /// It closed the connection instead.
    Disconnected,
}

/// The attempts that are kept.
#[derive(Debug, Clone)]
pub struct Ledger {
    kept_max: usize,
    last: u64,
    kept: VecDeque<Received>,
}

impl Ledger {
    /// Returns an empty one that keeps so many of the latest attempts.
    pub fn new(kept_max: usize) -> Self {
        Self { kept_max, last: 0, kept: VecDeque::new() }
    }

    /// Appends an attempt; its serial is given here.
    pub fn push(&mut self, received: Received) {
        self.last += 1;
        self.kept.push_back(Received { serial: self.last, ..received });
        while self.kept.len() > self.kept_max {
            self.kept.pop_front();
        }
    }

    /// Returns how many attempts there were.
    pub fn count(&self) -> u64 {
        self.last
    }

    /// Returns the kept attempts behind this serial.
    pub fn since(&self, serial: u64) -> impl Iterator<Item = &Received> {
        self.kept.iter().skip_while(move |received| received.serial <= serial)
    }
}

/// When numbers were first tried whose refusals pass.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    first: BTreeMap<String, Instant>,
}

/// Most numbers that are remembered so: each is a magic number in one area code.
const NUMBERS_MAX: usize = 1_000;

impl Attempts {
    /// Whether this attempt is refused: the first one is, and all for that long behind it. Then it begins anew.
    pub(super) fn refuses(&mut self, now: Instant, number: &str, lasts: Duration) -> bool {
        match self.first.get(number) {
            Some(first) if now >= *first + lasts => {
                self.first.remove(number);
                false
            }
            Some(_) => true,
            None => {
                if self.first.len() >= NUMBERS_MAX {
                    self.first.pop_first();
                }
                self.first.insert(number.to_owned(), now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    #[test]
    fn refusals_pass_and_come_again() {
        let (start, lasts) = (first_instant(), Duration::from_secs(3));
        let mut attempts = Attempts::default();
        let mut refused = |secs| attempts.refuses(start + Duration::from_secs(secs), "1", lasts);
        assert_eq!([0, 2, 3, 4, 7].map(&mut refused), [true, true, false, true, false]);
    }

    #[test]
    fn only_the_latest_attempts_are_kept() {
        let received = Received {
            serial: 0,
            id: None,
            over: "smpp",
            from: String::new(),
            to: String::new(),
            text: None,
            part: None,
            data_coding: None,
            receipt_wanted: false,
            outcome: Outcome::Accepted,
            status: 0,
        };
        let mut ledger = Ledger::new(2);
        (0..5).for_each(|_| ledger.push(received.clone()));
        assert_eq!(ledger.since(0).map(|received| received.serial).collect::<Vec<_>>(), [4, 5]);
        assert_eq!((ledger.since(4).count(), ledger.count()), (1, 5));
    }
}
