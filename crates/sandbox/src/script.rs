//! What each magic number does.

use std::time::Duration;

/// What the sandbox does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// It is refused with this status, after that much ringing.
    Refuse {
        /// The final status.
        status: u16,
        /// How long it rings before; none to refuse at once.
        after: Option<Duration>,
        /// Whether the caller is called back then.
        call_back: bool,
    },
    /// It rings until the caller gives up.
    NoAnswer,
    /// It is answered.
    Answer {
        /// What the caller gets before the answer.
        before: Before,
        /// How long that lasts.
        after: Duration,
        /// What the caller hears then.
        sound: Sound,
        /// How long the call lasts once answered; none to leave the end to the caller.
        lasts: Option<Duration>,
    },
}

/// What a caller gets before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// No 18x.
    Nothing,
    /// 180.
    Ringing,
    /// 183 with early media, in which ringback is played; after a pause in which only 100 was sent.
    EarlyMedia,
}

/// What a caller hears once answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// What it says.
    Echo,
    /// The announcement, once; then the call ends.
    Announcement,
    /// The tones of each digit it presses; `#` ends the call.
    Menu,
    /// 1 kHz.
    Milliwatt,
}

/// How long a normal call rings here: short enough not to bore, long enough to be seen.
const RING: Duration = Duration::from_secs(1);

/// How long the late 183 makes its caller wait, and how long its early media lasts.
const LATE: Duration = Duration::from_secs(2);

impl Script {
    /// Returns what happens to calls for a number. Only its last four digits count, so that any area code works.
    pub fn of(number: &str) -> Self {
        let answer = |before, sound, lasts| Self::Answer { before, after: RING, sound, lasts };
        let refuse = |status| Self::Refuse { status, after: None, call_back: false };
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let ending = digits.len().checked_sub(4).and_then(|start| digits.get(start..));
        match ending.and_then(|ending| ending.parse::<u16>().ok()) {
            Some(100) => answer(Before::Ringing, Sound::Echo, None),
            Some(101) => answer(Before::Ringing, Sound::Announcement, None),
            Some(102) => answer(Before::Ringing, Sound::Menu, None),
            Some(103) => refuse(486),
            Some(104) => Self::Refuse { status: 603, after: Some(RING), call_back: false },
            Some(105) => Self::NoAnswer,
            Some(106) => {
                Self::Answer { before: Before::EarlyMedia, after: LATE, sound: Sound::Echo, lasts: None }
            }
            Some(107) => refuse(404),
            Some(108) => refuse(503),
            Some(109) => answer(Before::Ringing, Sound::Milliwatt, None),
            Some(110) => Self::Refuse { status: 480, after: None, call_back: true },
            Some(111) => Self::Answer {
                before: Before::Nothing,
                after: Duration::ZERO,
                sound: Sound::Echo,
                lasts: None,
            },
            Some(ending @ 121..=159) => {
                answer(Before::Ringing, Sound::Echo, Some(Duration::from_secs(u64::from(ending) - 120)))
            }
            Some(_) | None => refuse(404),
        }
    }

    /// How long the caller waits before the first 18x.
    pub(crate) fn silence_before(self) -> Duration {
        match self {
            Self::Answer { before: Before::EarlyMedia, .. } => LATE,
            Self::Answer { before: Before::Nothing | Before::Ringing, .. }
            | Self::Refuse { .. }
            | Self::NoAnswer => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_digits_decide() {
        assert_eq!(Script::of("+14255550100"), Script::of("2065550100"));
        assert!(matches!(Script::of("+14255550103"), Script::Refuse { status: 486, .. }));
        let Script::Answer { lasts, .. } = Script::of("+14255550125") else { panic!("it is answered") };
        assert_eq!(lasts, Some(Duration::from_secs(5)));
    }

    #[test]
    fn every_other_number_does_not_exist() {
        for number in ["", "100", "+14255550120", "+14255550199", "alice"] {
            assert!(matches!(Script::of(number), Script::Refuse { status: 404, .. }), "{number}");
        }
    }
}
