//! A calendar month in UTC.

use std::fmt;
use std::str::FromStr;

/// A month of the Gregorian calendar, as statements are made for: `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u8,
}

/// The text is not a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month is written YYYY-MM")]
pub struct InvalidMonth;

const DAY_MS: i64 = 86_400_000;

impl Month {
    /// Returns the month that a time falls into.
    pub fn of_unix_ms(unix_ms: i64) -> Self {
        // Days counted from 1 March of year 0, so that a leap day is the last day of its year.
        let days = unix_ms.div_euclid(DAY_MS) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year: i32::try_from(year).unwrap_or(i32::MAX), month: u8::try_from(month).unwrap_or(1) }
    }

    /// Returns when the month begins, in milliseconds since the Unix epoch.
    pub fn first_unix_ms(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        (era * 146_097 + day_of_era - 719_468) * DAY_MS
    }

    /// Returns the month after this one.
    pub fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1 }
        } else {
            Self { year: self.year, month: self.month + 1 }
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let (year, month) = text.split_once('-').ok_or(InvalidMonth)?;
        let digits = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(InvalidMonth);
        }
        let (year, month) =
            (year.parse().map_err(|_| InvalidMonth)?, month.parse().map_err(|_| InvalidMonth)?);
        if (1..=12).contains(&month) { Ok(Self { year, month }) } else { Err(InvalidMonth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_where_the_one_before_it_ends() {
        let mut month: Month = "1970-01".parse().unwrap();
        assert_eq!(month.first_unix_ms(), 0);
        for _ in 0..12 * 200 {
            let next = month.next();
            let length = (next.first_unix_ms() - month.first_unix_ms()) / DAY_MS;
            assert!((28..=31).contains(&length), "{month} has {length} days");
            assert_eq!(Month::of_unix_ms(month.first_unix_ms()), month);
            assert_eq!(Month::of_unix_ms(next.first_unix_ms() - 1), month);
            month = next;
        }
        assert_eq!(month.to_string(), "2170-01");
    }

    #[test]
    fn leap_days_follow_the_gregorian_rule() {
        let days = |text: &str| {
            let month: Month = text.parse().unwrap();
            (month.next().first_unix_ms() - month.first_unix_ms()) / DAY_MS
        };
        assert_eq!([days("2024-02"), days("2026-02"), days("2000-02"), days("2100-02")], [29, 28, 29, 28]);
        assert_eq!(Month::of_unix_ms(1_795_478_400_000).to_string(), "2026-11");
    }

    #[test]
    fn what_is_not_a_month_is_refused() {
        for bad in ["", "2026", "2026-13", "2026-00", "26-11", "2026-1", "+026-11", "2026-11-01"] {
            assert_eq!(bad.parse::<Month>(), Err(InvalidMonth), "{bad}");
        }
    }
}
