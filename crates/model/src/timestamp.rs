//! Times as JSON carries them: RFC 3339 in UTC.

/// Writes milliseconds since the Unix epoch as `2026-11-23T12:25:19.123Z`.
pub fn rfc3339(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let secs = ms / 1000;
    let (hour, minute, second, ms) = (secs / 3600, secs / 60 % 60, secs % 60, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Returns year, month and day of a day counted from the Unix epoch. Years begin in March, so that the leap day ends
/// one; the Gregorian calendar repeats itself every 146,097 days.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_FROM_MARCH_0000;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_FROM_MARCH_0000: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_in_utc_to_the_millisecond() {
        assert_eq!(rfc3339(1_795_436_719_000), "2026-11-23T12:25:19.000Z");
        assert_eq!(rfc3339(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
    }
}
