//! What each magic number does with a text.

use std::time::Duration;
use trunkline_sms::receipt::State;
use trunkline_sms::status::CommandStatus;

/// What the sandbox does with a text to a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextScript {
    /// What the sender hears at once.
    pub response: Response,
    /// How the ids of response and receipt relate.
    pub ids: Ids,
    /// The receipts, in order.
    pub reports: Vec<Report>,
    /// Whether receipts have TLVs alone, without the text.
    pub tlvs_only: bool,
    /// What is texted back.
    pub answer: Option<Answer>,
}

/// What the sender of a text hears at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// The text is taken, and that is said after this long.
    Accept {
        /// How long.
        after: Duration,
    },
    /// The text is refused.
    Refuse {
        /// With this.
        status: CommandStatus,
        /// How long after the first attempt the next one is taken; none: never.
        until: Option<Duration>,
    },
    /// Nothing.
    Silence,
    /// The connection is closed; the next attempt is taken.
    Disconnect,
}

/// How the ids in responses and receipts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// Alike.
    AsIs,
    /// Hexadecimal in the response, decimal in the receipt.
    ResponseHex,
    /// Decimal in the response, hexadecimal in the receipt.
    ResponseDecimal,
}

/// One receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// What it says.
    pub state: State,
    /// The network's error; 0 for none.
    pub error: u16,
    /// How long after the text came.
    pub after: Duration,
}

/// What is texted back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This.
    Word(&'static str),
    /// What came.
    Echo,
}

/// How long a text takes here: short enough not to bore, long enough for a response to come first.
const DELIVERY: Duration = Duration::from_millis(300);

/// How long a slow response takes: less than the ten seconds that sessions wait.
const SLOW: Duration = Duration::from_secs(3);

/// How long refusals that pass last.
const PASSING: Duration = Duration::from_secs(3);

/// How long a late receipt takes.
const LATE: Duration = Duration::from_secs(30);

impl TextScript {
    /// Returns what happens to texts to a number. Only its last four digits count, so that any area code works.
    pub fn of(number: &str) -> Self {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let ending = digits.len().checked_sub(4).and_then(|start| digits.get(start..));
        let ending = ending.and_then(|ending| ending.parse::<u16>().ok()).unwrap_or(0);
        let delivered = Self::reported(State::Delivered, 0);
        let with = |response| Self { response, ..delivered.clone() };
        let passing = |status| with(Response::Refuse { status, until: Some(PASSING) });
        let texts_back = |answer| Self { answer: Some(answer), ..delivered.clone() };
        match ending {
            101 => Self {
                reports: vec![Report { state: State::Delivered, error: 0, after: SLOW + DELIVERY }],
                ..with(Response::Accept { after: SLOW })
            },
            102 => Self { reports: Vec::new(), ..with(Response::Silence) },
            103 => with(Response::Disconnect),
            104 => passing(CommandStatus::THROTTLED),
            105 => passing(CommandStatus::MESSAGE_QUEUE_FULL),
            106 => Self {
                reports: vec![Report { state: State::Delivered, error: 0, after: Duration::ZERO }],
                ..with(Response::Accept { after: DELIVERY })
            },
            107 => Self { ids: Ids::ResponseHex, ..delivered },
            108 => Self { ids: Ids::ResponseDecimal, ..delivered },
            109 => Self { reports: Vec::new(), ..delivered },
            110 => Self::repeated(),
            112 => Self { tlvs_only: true, ..delivered },
            113 => {
                Self { reports: vec![Report { state: State::Delivered, error: 0, after: LATE }], ..delivered }
            }
            114 => passing(CommandStatus::SYSTEM_ERROR),
            115 => passing(CommandStatus::TEMPORARY_APPLICATION_ERROR),
            120 => Self::reported(State::Undeliverable, 1),
            121 => Self::reported(State::Expired, 0),
            122 => Self::reported(State::Deleted, 0),
            123 => Self::reported(State::Rejected, 0),
            124 => Self::reported(State::Unknown, 0),
            130 => texts_back(Answer::Word("STOP")),
            131 => texts_back(Answer::Word("START")),
            132 => texts_back(Answer::Word("HELP")),
            133 => texts_back(Answer::Word("ARRET")),
            134 => texts_back(Answer::Echo),
            140 => Self::refused(CommandStatus::INVALID_SOURCE),
            141 => Self::refused(CommandStatus::INVALID_DESTINATION),
            142 => Self::refused(CommandStatus::SUBMIT_FAILED),
            143 => Self::refused(CommandStatus::PERMANENT_APPLICATION_ERROR),
            144 => Self::refused(CommandStatus::REJECTED_BY_APPLICATION),
            145 => Self::refused(CommandStatus::INVALID_MESSAGE_LENGTH),
            146 => Self::refused(VENDOR),
            147 => Self::refused(CommandStatus::DELIVERY_FAILURE),
            148 => Self::refused(CommandStatus::UNKNOWN_ERROR),
            151..=179 => Self::reported(State::Undeliverable, ending - 150),
            _ => delivered,
        }
    }

    fn reported(state: State, error: u16) -> Self {
        Self {
            response: Response::Accept { after: Duration::ZERO },
            ids: Ids::AsIs,
            reports: vec![Report { state, error, after: DELIVERY }],
            tlvs_only: false,
            answer: None,
        }
    }

    fn refused(status: CommandStatus) -> Self {
        Self {
            response: Response::Refuse { status, until: None },
            reports: Vec::new(),
            ..Self::reported(State::Delivered, 0)
        }
    }

    /// A state on the way, then the end, twice.
    fn repeated() -> Self {
        let report = |state, times| Report { state, error: 0, after: DELIVERY * times };
        let reports =
            [report(State::Accepted, 1), report(State::Delivered, 2), report(State::Delivered, 3)].into();
        Self { reports, ..Self::reported(State::Delivered, 0) }
    }
}

/// One of the statuses that vendors give meanings of their own (SMPP 3.4 §5.1.3).
const VENDOR: CommandStatus = CommandStatus(0x400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_digits_decide() {
        assert_eq!(TextScript::of("+14255550104"), TextScript::of("2065550104"));
        assert_ne!(TextScript::of("+14255550104"), TextScript::of("+14255550105"));
        assert_eq!(TextScript::of("+14255550172").reports.first().map(|report| report.error), Some(22));
    }

    #[test]
    fn every_other_number_gets_its_texts() {
        for number in ["", "100", "+14255550100", "+14255550199", "+12065550111", "alice"] {
            assert_eq!(TextScript::of(number), TextScript::reported(State::Delivered, 0), "{number}");
        }
    }
}
