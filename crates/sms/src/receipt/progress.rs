//! The states of a message's segments, folded into one.

use std::fmt;

use super::State;
use crate::status::CommandStatus;

/// Which receipts a trunk sends for a message of several segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Settles {
    /// One for each segment.
    #[default]
    EachSegment,
    /// One for the whole message, with the id of any of them.
    AnySegment,
}

/// How a message ended; it ends once (rules D.6, SMS-02).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terminal {
    /// Every segment is with the recipient.
    Delivered,
    /// Some segment never will be.
    Failed(Failure),
    /// Its validity ended before a carrier took all of it.
    Expired,
    /// A carrier took it and never said what became of it.
    Unknown,
}

/// Why a message failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A carrier refused it.
    Refused(CommandStatus),
    /// A receipt said so.
    Receipt {
        /// The state it gave.
        state: State,
        /// Its error code, if it had one.
        error: Option<String>,
    },
}

/// What is known of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Waiting,
    Submitted,
    Reported(State),
}

/// A message on its way: its segments and whether it has ended.
///
/// The state of a segment only moves forward, and a message that has ended stays as it is: receipts that come twice,
/// late or out of order change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    settles: Settles,
    segments: Vec<Segment>,
    failure: Option<Failure>,
    terminal: Option<Terminal>,
}

/// Segments counted by how they ended, as delivery reports list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Delivered.
    pub succeeded: u16,
    /// Ended otherwise.
    pub failed: u16,
}

impl Progress {
    /// Returns a message of which nothing has been submitted.
    pub fn new(segments: u8, settles: Settles) -> Self {
        let segments = vec![Segment::Waiting; usize::from(segments.max(1))];
        Self { settles, segments, failure: None, terminal: None }
    }

    /// Returns how the message ended, once it has.
    pub fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    /// Returns how its segments ended so far.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for segment in &self.segments {
            match segment {
                Segment::Reported(State::Delivered) => counts.succeeded += 1,
                Segment::Reported(state) if state.is_final() => counts.failed += 1,
                Segment::Waiting | Segment::Submitted | Segment::Reported(_) => {}
            }
        }
        counts
    }

    /// Takes in that a carrier took a segment (counted from 0).
    pub fn submitted(&mut self, segment: u8) {
        if let Some(slot @ Segment::Waiting) = self.segments.get_mut(usize::from(segment)) {
            *slot = Segment::Submitted;
        }
    }

    /// Takes in that a segment was refused for good. The message has failed: what is left of it is not submitted.
    pub fn refused(&mut self, status: CommandStatus) -> Option<Terminal> {
        self.end(Terminal::Failed(Failure::Refused(status)))
    }

    /// Takes a receipt in. Returns how the message ended if it ended by it.
    pub fn reported(&mut self, segment: u8, state: State, error: Option<&str>) -> Option<Terminal> {
        let slot = self.segments.get_mut(usize::from(segment))?;
        if matches!(*slot, Segment::Reported(known) if known.is_final()) {
            return None;
        }
        *slot = Segment::Reported(state);
        if !state.is_final() {
            return None;
        }
        if state != State::Delivered && self.failure.is_none() {
            self.failure = Some(Failure::Receipt { state, error: error.map(str::to_owned) });
        }
        let counts = self.counts();
        let settled = match self.settles {
            Settles::EachSegment => usize::from(counts.succeeded + counts.failed) == self.segments.len(),
            Settles::AnySegment => true,
        };
        if settled { self.end(self.verdict()) } else { None }
    }

    /// Ends the message at the end of its validity, or of the time that a report may take.
    pub fn time_over(&mut self) -> Option<Terminal> {
        let taken = self.segments.iter().all(|segment| *segment != Segment::Waiting);
        let terminal = match (&self.failure, taken) {
            (Some(failure), _) => Terminal::Failed(failure.clone()),
            (None, true) => Terminal::Unknown,
            (None, false) => Terminal::Expired,
        };
        self.end(terminal)
    }

    fn verdict(&self) -> Terminal {
        self.failure.clone().map_or(Terminal::Delivered, Terminal::Failed)
    }

    fn end(&mut self, terminal: Terminal) -> Option<Terminal> {
        if self.terminal.is_some() {
            return None;
        }
        self.terminal = Some(terminal.clone());
        Some(terminal)
    }
}

impl Terminal {
    /// Returns the code that delivery reports carry in `deliveryStatusDetails`.
    pub fn report_code(&self) -> u16 {
        match self {
            Self::Delivered => 2000,
            Self::Expired => 5001,
            Self::Unknown => 5002,
            Self::Failed(Failure::Refused(status)) => refused_code(*status),
            Self::Failed(Failure::Receipt { state, .. }) => match state {
                State::Rejected => 4005,
                State::Expired | State::Undeliverable => 4006,
                State::Delivered | State::Enroute | State::Deleted | State::Accepted | State::Unknown => 5000,
            },
        }
    }
}

fn refused_code(status: CommandStatus) -> u16 {
    match status {
        CommandStatus::INVALID_SOURCE => 4001,
        CommandStatus::INVALID_DESTINATION => 4002,
        CommandStatus::REJECTED_BY_APPLICATION | CommandStatus::PERMANENT_APPLICATION_ERROR => 4005,
        CommandStatus::THROTTLED => 4008,
        CommandStatus::MESSAGE_QUEUE_FULL | CommandStatus::SYSTEM_ERROR => 5001,
        _ => 5000,
    }
}

impl fmt::Display for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Expired => f.write_str("expired before a carrier took it"),
            Self::Unknown => f.write_str("the carrier never reported"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the carrier refused it with {status}"),
            Self::Receipt { state, error: Some(error) } => {
                write!(f, "receipt {} error {error}", state.word())
            }
            Self::Receipt { state, error: None } => write!(f, "receipt {}", state.word()),
        }
    }
}

#[cfg(test)]
mod tests;
