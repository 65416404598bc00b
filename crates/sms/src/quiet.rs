//! Hours in which marketing texts wait (rules D.2).

use std::collections::BTreeMap;

use crate::civil::{Civil, DAY_SECS};

/// A time zone of the North American Numbering Plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Zone {
    Newfoundland,
    Atlantic,
    /// Atlantic time without summer time: Puerto Rico and the Virgin Islands.
    AtlanticStandard,
    Eastern,
    Central,
    /// Central time without summer time: Saskatchewan.
    CentralStandard,
    Mountain,
    /// Mountain time without summer time: Arizona.
    MountainStandard,
    Pacific,
    Alaska,
    /// Hawaii has no summer time.
    Hawaii,
}

impl Zone {
    /// Returns the seconds that local time is ahead of UTC, always negative here, at a moment in seconds since 1970.
    pub fn offset_secs(self, unix: i64) -> i64 {
        let standard = self.standard_secs();
        if self.has_summer_time() && in_summer_time(unix, standard) { standard + 3_600 } else { standard }
    }

    fn standard_secs(self) -> i64 {
        match self {
            Self::Newfoundland => -12_600,
            Self::Atlantic | Self::AtlanticStandard => -4 * 3_600,
            Self::Eastern => -5 * 3_600,
            Self::Central | Self::CentralStandard => -6 * 3_600,
            Self::Mountain | Self::MountainStandard => -7 * 3_600,
            Self::Pacific => -8 * 3_600,
            Self::Alaska => -9 * 3_600,
            Self::Hawaii => -10 * 3_600,
        }
    }

    fn has_summer_time(self) -> bool {
        match self {
            Self::AtlanticStandard | Self::CentralStandard | Self::MountainStandard | Self::Hawaii => false,
            Self::Newfoundland
            | Self::Atlantic
            | Self::Eastern
            | Self::Central
            | Self::Mountain
            | Self::Pacific
            | Self::Alaska => true,
        }
    }
}

/// From 2:00 on the second Sunday of March to 2:00 on the first Sunday of November (15 U.S.C. 260a).
fn in_summer_time(unix: i64, standard_secs: i64) -> bool {
    let year = Civil::from_unix(unix + standard_secs).year;
    let start = sunday(year, 3, 2) + 2 * 3_600 - standard_secs;
    // Clocks show summer time at the end: 2:00 then is 1:00 standard time.
    let end = sunday(year, 11, 1) + 3_600 - standard_secs;
    (start..end).contains(&unix)
}

/// Returns midnight of the `nth` Sunday of a month, as if in UTC.
fn sunday(year: i32, month: u8, nth: i64) -> i64 {
    let first = Civil { year, month, day: 1, hour: 0, minute: 0, second: 0 };
    let to_sunday = i64::from((7 - first.weekday()) % 7);
    first.to_unix() + (to_sunday + 7 * (nth - 1)) * DAY_SECS
}

/// When texts may come on one day: minutes since midnight, from the first to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first minute.
    pub open: u16,
    /// The minute after the last.
    pub close: u16,
}

/// The windows of a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Week {
    /// Monday to Friday.
    pub weekday: Window,
    /// Saturday.
    pub saturday: Window,
    /// Sunday.
    pub sunday: Window,
}

impl Week {
    /// Returns a week of equal days, in whole hours.
    pub const fn every_day(open: u16, close: u16) -> Self {
        let window = Window { open: open * 60, close: close * 60 };
        Self { weekday: window, saturday: window, sunday: window }
    }

    fn on(&self, weekday: u8) -> Window {
        match weekday {
            0 => self.sunday,
            6 => self.saturday,
            _ => self.weekday,
        }
    }
}

/// The windows of each state and province; data, for the operator to verify and to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// By country and region, such as `US-FL`.
    pub regions: BTreeMap<String, Week>,
    /// For regions of the United States that are not listed: 47 CFR 64.1200(c)(1).
    pub us: Week,
    /// For regions of Canada that are not listed.
    pub canada: Week,
}

impl Default for Calendar {
    fn default() -> Self {
        let evening = Week::every_day(8, 20);
        let texas = Week { sunday: Window { open: 12 * 60, close: 21 * 60 }, ..Week::every_day(9, 21) };
        let weekend = Window { open: 10 * 60, close: 17 * 60 };
        let rhode_island = Week { saturday: weekend, sunday: weekend, ..Week::every_day(9, 18) };
        let mut regions: BTreeMap<String, Week> =
            ["US-FL", "US-MD", "US-MS", "US-NJ", "US-OK"].map(|region| (region.to_owned(), evening)).into();
        regions.insert("US-CT".into(), Week::every_day(9, 20));
        regions.insert("US-TX".into(), texas);
        regions.insert("US-RI".into(), rhode_island);
        let canada_weekend = Window { open: 10 * 60, close: 18 * 60 };
        let canada = Week {
            weekday: Window { open: 9 * 60, close: 21 * 60 + 30 },
            saturday: canada_weekend,
            sunday: canada_weekend,
        };
        Self { regions, us: Week::every_day(8, 21), canada }
    }
}

/// Where a recipient's area code lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locality {
    /// Country and region, such as `US-FL`.
    pub region: String,
    /// Its time zones; a text must be inside the window in all of them.
    pub zones: Vec<Zone>,
}

impl Calendar {
    /// Returns when a text may go: `unix` itself if at once, else the first moment that every zone allows.
    ///
    /// None if there is no such moment within a week: the windows of the zones never meet.
    pub fn open_at(&self, unix: i64, locality: &Locality) -> Option<i64> {
        let week = self.week(&locality.region);
        let end = unix + 8 * DAY_SECS;
        let mut at = unix;
        while at < end {
            let later = locality.zones.iter().filter_map(|zone| opens_in(at, week, *zone)).max();
            match later {
                Some(later) => at = later,
                None => return Some(at),
            }
        }
        None
    }

    fn week(&self, region: &str) -> &Week {
        let country = if region.starts_with("CA-") { &self.canada } else { &self.us };
        self.regions.get(region).unwrap_or(country)
    }
}

/// Returns when the window opens in a zone; none if it is open.
fn opens_in(unix: i64, week: &Week, zone: Zone) -> Option<i64> {
    let local = Civil::from_unix(unix + zone.offset_secs(unix));
    let window = week.on(local.weekday());
    let minute = (local.second_of_day() / 60) as u16;
    if (window.open..window.close).contains(&minute) {
        return None;
    }
    let days = i64::from(minute >= window.open);
    let midnight = local.to_unix() - i64::from(local.second_of_day()) + days * DAY_SECS;
    let opens = week.on(Civil::from_unix(midnight).weekday()).open;
    let local_open = midnight + i64::from(opens) * 60;
    // The clock may change in between: take the offset that holds at the opening.
    let offset = zone.offset_secs(local_open - zone.standard_secs());
    Some((local_open - offset).max(unix + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(month: u8, day: u8, hour: u8, minute: u8) -> i64 {
        Civil::new(2026, month, day, hour, minute, 0).unwrap().to_unix()
    }

    fn locality(region: &str, zones: &[Zone]) -> Locality {
        Locality { region: region.into(), zones: zones.to_vec() }
    }

    #[test]
    fn clocks_change_on_the_days_of_the_law() {
        let hours = |zone: Zone, unix| zone.offset_secs(unix) as f64 / 3_600.0;
        // 2026: 8 March, 1 November.
        assert_eq!(hours(Zone::Eastern, utc(3, 8, 6, 59)), -5.0);
        assert_eq!(hours(Zone::Eastern, utc(3, 8, 7, 0)), -4.0);
        assert_eq!(hours(Zone::Eastern, utc(11, 1, 5, 59)), -4.0);
        assert_eq!(hours(Zone::Eastern, utc(11, 1, 6, 0)), -5.0);
        assert_eq!(hours(Zone::Pacific, utc(3, 8, 9, 59)), -8.0);
        assert_eq!(hours(Zone::Pacific, utc(3, 8, 10, 0)), -7.0);
        assert_eq!(hours(Zone::Newfoundland, utc(7, 1, 0, 0)), -2.5);
        for zone in [Zone::MountainStandard, Zone::CentralStandard, Zone::AtlanticStandard, Zone::Hawaii] {
            assert_eq!(zone.offset_secs(utc(7, 1, 0, 0)), zone.offset_secs(utc(1, 1, 0, 0)));
        }
    }

    #[test]
    fn texts_wait_for_the_window_of_the_recipient() {
        let calendar = Calendar::default();
        let new_york = locality("US-NY", &[Zone::Eastern]);
        // Thursday 26 November, 12:59 UTC is 7:59 there.
        assert_eq!(calendar.open_at(utc(11, 26, 12, 59), &new_york), Some(utc(11, 26, 13, 0)));
        assert_eq!(calendar.open_at(utc(11, 26, 13, 0), &new_york), Some(utc(11, 26, 13, 0)));
        assert_eq!(calendar.open_at(utc(11, 27, 1, 59), &new_york), Some(utc(11, 27, 1, 59)));
        assert_eq!(calendar.open_at(utc(11, 27, 2, 0), &new_york), Some(utc(11, 27, 13, 0)));
    }

    #[test]
    fn stricter_states_and_several_zones() {
        let calendar = Calendar::default();
        let florida = locality("US-FL", &[Zone::Eastern, Zone::Central]);
        // 8:30 in Miami is 7:30 in Pensacola; 19:30 there is 20:30 in Miami.
        assert_eq!(calendar.open_at(utc(11, 26, 13, 30), &florida), Some(utc(11, 26, 14, 0)));
        assert_eq!(calendar.open_at(utc(11, 27, 1, 30), &florida), Some(utc(11, 27, 14, 0)));
        let texas = locality("US-TX", &[Zone::Central]);
        // Sunday 29 November opens at noon.
        assert_eq!(calendar.open_at(utc(11, 29, 15, 30), &texas), Some(utc(11, 29, 18, 0)));
        let ontario = locality("CA-ON", &[Zone::Eastern]);
        assert_eq!(calendar.open_at(utc(11, 28, 14, 30), &ontario), Some(utc(11, 28, 15, 0)));
        // Friday evening until 21:30.
        assert_eq!(calendar.open_at(utc(11, 28, 2, 29), &ontario), Some(utc(11, 28, 2, 29)));
        assert_eq!(calendar.open_at(utc(11, 28, 2, 30), &ontario), Some(utc(11, 28, 15, 0)));
    }

    #[test]
    fn zones_that_never_meet_are_none() {
        let calendar = Calendar { us: Week::every_day(8, 9), ..Calendar::default() };
        let both = locality("US-XX", &[Zone::Eastern, Zone::Hawaii]);
        assert_eq!(calendar.open_at(utc(11, 26, 13, 0), &both), None);
    }

    proptest! {
        #[test]
        fn what_is_open_is_open_in_every_zone(
            unix in 1_700_000_000i64..1_900_000_000,
            region in prop_oneof![Just("US-FL"), Just("US-TX"), Just("US-RI"), Just("US-NY"), Just("CA-ON")],
        ) {
            let calendar = Calendar::default();
            let place = locality(region, &[Zone::Eastern, Zone::Central]);
            let at = calendar.open_at(unix, &place).unwrap();
            prop_assert!(at >= unix);
            for zone in &place.zones {
                let local = Civil::from_unix(at + zone.offset_secs(at));
                let window = calendar.week(region).on(local.weekday());
                let minute = (local.second_of_day() / 60) as u16;
                prop_assert!((window.open..window.close).contains(&minute));
            }
            // It is the first such moment: a minute before, if that is not before the question, some zone was closed.
            if at - 60 >= unix {
                let closed = place.zones.iter().any(|zone| opens_in(at - 60, calendar.week(region), *zone).is_some());
                prop_assert!(closed);
            }
        }
    }
}
