//! The times of SMPP 3.4 §7.1.1: sixteen characters, absolute or relative.

use std::time::Duration;

use crate::civil::Civil;

/// Returns a relative time: `YYMMDDhhmmss000R`, at least one second, at most 99 days.
pub fn relative(left: Duration) -> String {
    let secs = left.as_secs().clamp(1, 99 * 86_400);
    let (days, rest) = (secs / 86_400, secs % 86_400);
    format!("0000{days:02}{:02}{:02}{:02}000R", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Returns an absolute time in UTC: `YYMMDDhhmmss000+`.
pub fn absolute(unix: i64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix(unix);
    format!("{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}000+", year.rem_euclid(100))
}

/// Returns the moment that a time means, in seconds since 1970; `unix` is now. None if it is not one.
///
/// Months of relative times are counted as 30 days, years as 365: what is meant by them is nowhere said.
pub fn parse(text: &str, unix: i64) -> Option<i64> {
    let (digits, sign) = text.split_at_checked(15)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let pair = |at: usize| digits.get(at..at + 2)?.parse::<u8>().ok();
    let [years, months, days, hours, minutes, seconds] =
        [pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?, pair(10)?];
    if sign == "R" {
        let days = i64::from(years) * 365 + i64::from(months) * 30 + i64::from(days);
        return Some(
            unix + days * 86_400 + i64::from(hours) * 3_600 + i64::from(minutes) * 60 + i64::from(seconds),
        );
    }
    let local = Civil::new(2000 + i32::from(years), months, days, hours, minutes, seconds)?.to_unix();
    let ahead = i64::from(pair(13).filter(|quarters| *quarters <= 48)?) * 15 * 60;
    match sign {
        "+" => Some(local - ahead),
        "-" => Some(local + ahead),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_795_735_728;

    #[test]
    fn relative_times_are_never_nothing_or_more_than_their_digits() {
        assert_eq!(relative(Duration::ZERO), "000000000001000R");
        assert_eq!(relative(Duration::from_secs(86_400)), "000001000000000R");
        assert_eq!(relative(Duration::MAX), "000099000000000R");
        assert_eq!(parse("000001020304000R", NOW), Some(NOW + 93_784));
    }

    #[test]
    fn absolute_times_carry_their_distance_from_utc() {
        assert_eq!(absolute(NOW), "261126232848000+");
        assert_eq!(parse("261126232848000+", 0), Some(NOW));
        assert_eq!(parse("261126182848020-", 0), Some(NOW));
        assert_eq!(parse("261127002848004+", 0), Some(NOW));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "261126232848000",
            "261126232848000Z",
            "261326232848000+",
            "26112623284800x+",
            "261126232848049+",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_come_back(unix in 946_684_800i64..4_102_444_800, left in 1u64..8_000_000, text: String) {
            prop_assert_eq!(parse(&absolute(unix), 0), Some(unix));
            prop_assert_eq!(parse(&relative(Duration::from_secs(left)), unix), Some(unix + left as i64));
            let _ = parse(&text, unix);
        }
    }
}
