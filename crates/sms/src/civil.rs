//! Dates without a clock: civil time to seconds and back, proleptic Gregorian.

/// A date and time of day, in whatever zone its owner means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil {
    /// The year.
    pub year: i32,
    /// The month: 1 to 12.
    pub month: u8,
    /// The day: 1 to 31.
    pub day: u8,
    /// The hour: 0 to 23.
    pub hour: u8,
    /// The minute: 0 to 59.
    pub minute: u8,
    /// The second: 0 to 59.
    pub second: u8,
}

/// Seconds of a day.
pub const DAY_SECS: i64 = 86_400;

impl Civil {
    /// Returns the date and time, or none if there is no such day or time.
    pub fn new(year: i32, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<Self> {
        let real = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        real.then_some(Self { year, month, day, hour, minute, second })
    }

    /// Returns the date and time of seconds since 1970.
    pub fn from_unix(secs: i64) -> Self {
        let (days, rest) = (secs.div_euclid(DAY_SECS), secs.rem_euclid(DAY_SECS));
        // Years are counted from March, so that the leap day is the last of its year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as i32,
            month: month as u8,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Returns the seconds since 1970 of this date and time.
    pub fn to_unix(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let shifted_month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        days * DAY_SECS + i64::from(self.second_of_day())
    }

    /// Returns the seconds since midnight.
    pub fn second_of_day(self) -> u32 {
        u32::from(self.hour) * 3_600 + u32::from(self.minute) * 60 + u32::from(self.second)
    }

    /// Returns the day of the week: 0 for Sunday to 6 for Saturday.
    pub fn weekday(self) -> u8 {
        (self.to_unix().div_euclid(DAY_SECS) + 4).rem_euclid(7) as u8
    }
}

fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        let date = Civil::new(2026, 11, 26, 23, 28, 48).unwrap();
        assert_eq!(date.to_unix(), 1_795_735_728);
        assert_eq!(date.weekday(), 4);
        assert_eq!(Civil::from_unix(0), Civil::new(1970, 1, 1, 0, 0, 0).unwrap());
        assert_eq!(Civil::from_unix(951_782_400), Civil::new(2000, 2, 29, 0, 0, 0).unwrap());
        assert_eq!(Civil::new(2100, 2, 29, 0, 0, 0), None);
        assert_eq!(Civil::new(2026, 13, 1, 0, 0, 0), None);
    }

    proptest! {
        #[test]
        fn seconds_come_back(secs in -60_000_000_000i64..60_000_000_000) {
            let civil = Civil::from_unix(secs);
            prop_assert_eq!(civil.to_unix(), secs);
            prop_assert_eq!(Civil::new(civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second), Some(civil));
        }
    }
}
