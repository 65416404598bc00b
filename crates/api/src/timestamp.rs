//! Times as the API writes them.

use trunkline_model::timestamp::{DAY_MS, civil};

/// Writes milliseconds since the Unix epoch as `2026-11-23T12:25:19.0000000+00:00`, the form of the public
/// service: seven decimals, and an offset instead of a Z.
pub fn iso8601(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let secs = ms / 1000;
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    let ticks = ms % 1000 * 10_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ticks:07}+00:00")
}

#[cfg(test)]
mod tests {
    use super::iso8601;

    #[test]
    fn times_are_written_like_those_of_the_public_service() {
        assert_eq!(iso8601(1_795_436_719_000), "2026-11-23T12:25:19.0000000+00:00");
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.0000000+00:00");
        assert_eq!(iso8601(951_782_400_123), "2000-02-29T00:00:00.1230000+00:00");
        assert_eq!(iso8601(-1), "1969-12-31T23:59:59.9990000+00:00");
    }
}
