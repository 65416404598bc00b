//! Billing cycles: a number is paid a month ahead, from the day it was bought to that day of the next month.

use super::Month;

/// Returns when the month after `months` others ends for a number bought at `started_unix_ms`: the same day and
/// time of a later calendar month in UTC, or that month's last day where it is shorter.
///
/// Count from the purchase, not from the last renewal: what was bought on the 31st is renewed on the 28th of
/// February and on the 31st of March.
pub fn renewal(started_unix_ms: i64, months: u32) -> i64 {
    let first = Month::of_unix_ms(started_unix_ms);
    let into_month = started_unix_ms - first.first_unix_ms();
    let mut month = first;
    for _ in 0..months {
        month = month.next();
    }
    let length = month.next().first_unix_ms() - month.first_unix_ms();
    let last_day = length - DAY_MS + into_month.rem_euclid(DAY_MS);
    month.first_unix_ms() + into_month.min(last_day)
}

/// Returns when the month that begins at `renews_unix_ms` ends, for a number bought at `started_unix_ms`.
pub fn renewal_after(started_unix_ms: i64, renews_unix_ms: i64) -> i64 {
    let (mut months, mut at) = (1, renewal(started_unix_ms, 1));
    while at <= renews_unix_ms && months < MONTHS_MAX {
        months += 1;
        at = renewal(started_unix_ms, months);
    }
    at
}

const DAY_MS: i64 = 86_400_000;
/// A century: nobody has a number longer, and a clock gone wrong must not keep a thread busy.
const MONTHS_MAX: u32 = 1_200;

#[cfg(test)]
mod tests {
    use super::*;

    fn on(month: &str, day: i64, hour: i64) -> i64 {
        let month: Month = month.parse().unwrap();
        month.first_unix_ms() + (day - 1) * DAY_MS + hour * 3_600_000
    }

    #[test]
    fn a_number_is_renewed_on_the_day_it_was_bought() {
        assert_eq!(renewal(on("2026-11", 24, 9), 1), on("2026-12", 24, 9));
        assert_eq!(renewal(on("2026-12", 1, 0), 1), on("2027-01", 1, 0));
    }

    #[test]
    fn a_short_month_does_not_move_the_day_of_the_others() {
        let bought = on("2027-01", 31, 23);
        assert_eq!(renewal(bought, 1), on("2027-02", 28, 23));
        assert_eq!(renewal(bought, 2), on("2027-03", 31, 23));
        assert_eq!(renewal_after(bought, on("2027-02", 28, 23)), on("2027-03", 31, 23));
        assert_eq!(renewal(on("2028-01", 30, 1), 1), on("2028-02", 29, 1));
    }
}
