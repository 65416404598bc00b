//! Where a recipient's area code lies, for gates and quiet hours.

use trunkline_model::E164;
use trunkline_numbers::nanp::{AreaCode, AreaKind, area_code_of};
use trunkline_sms::quiet::{Locality, Zone};

/// Whether a number is in the United States or Canada, where carriers ask for registration.
pub(super) fn is_domestic(number: &E164) -> bool {
    area_code_of(number).is_some_and(|area| DOMESTIC.contains(&area.country))
}

/// With the territories whose carriers are those of the United States.
const DOMESTIC: [&str; 7] = ["US", "CA", "PR", "VI", "GU", "AS", "MP"];

/// Returns where a number's area code lies; none if it lies nowhere that quiet hours are known for.
pub(super) fn locality(number: &E164) -> Option<Locality> {
    let area = area_code_of(number).filter(|area| area.kind == AreaKind::Geographic)?;
    let country = if area.country == "CA" { "CA" } else { "US" };
    let region = format!("{country}-{}", area.region.unwrap_or(area.country));
    let zones = zones(area);
    (is_domestic(number) && !zones.is_empty()).then_some(Locality { region, zones })
}

fn zones(area: &AreaCode) -> Vec<Zone> {
    if let Some(zone) = area.time_zone {
        return zone_named(zone).into_iter().collect();
    }
    match area.region {
        Some("ID" | "NV") => vec![Zone::Mountain, Zone::Pacific],
        Some("SD" | "ND") => vec![Zone::Central, Zone::Mountain],
        Some("NL") => vec![Zone::Newfoundland, Zone::Atlantic],
        Some("AK") => vec![Zone::Alaska, Zone::Hawaii],
        // An area code over a border that is not known here: every zone it could be in.
        _ => vec![Zone::Eastern, Zone::Central, Zone::Mountain, Zone::Pacific],
    }
}

fn zone_named(iana: &str) -> Option<Zone> {
    Some(match iana {
        "America/New_York" | "America/Toronto" => Zone::Eastern,
        "America/Chicago" | "America/Winnipeg" => Zone::Central,
        "America/Regina" => Zone::CentralStandard,
        "America/Denver" | "America/Edmonton" => Zone::Mountain,
        "America/Phoenix" | "America/Fort_Nelson" => Zone::MountainStandard,
        "America/Los_Angeles" | "America/Vancouver" => Zone::Pacific,
        "America/Halifax" => Zone::Atlantic,
        "America/Puerto_Rico" | "America/St_Thomas" => Zone::AtlanticStandard,
        "Pacific/Honolulu" => Zone::Hawaii,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{is_domestic, locality};
    use trunkline_model::E164;
    use trunkline_numbers::nanp::{AreaKind, area_codes};
    use trunkline_sms::quiet::Zone;

    fn number(text: &str) -> E164 {
        E164::parse(text).unwrap()
    }

    #[test]
    fn an_area_code_says_where_its_numbers_are() {
        let seattle = locality(&number("+12065550100")).unwrap();
        assert_eq!((seattle.region.as_str(), seattle.zones), ("US-WA", vec![Zone::Pacific]));
        let idaho = locality(&number("+12085550100")).unwrap();
        assert_eq!(idaho.zones, [Zone::Mountain, Zone::Pacific]);
        assert_eq!(locality(&number("+15145550100")).unwrap().region, "CA-QC");
        // Toll-free, Jamaica, France.
        for elsewhere in ["+18335550100", "+18765550100", "+33155501000"] {
            assert_eq!(locality(&number(elsewhere)), None, "{elsewhere}");
        }
        assert!(is_domestic(&number("+18335550100")));
        assert!(!is_domestic(&number("+18765550100")) && !is_domestic(&number("+33155501000")));
    }

    #[test]
    fn every_place_in_both_countries_has_its_hours() {
        let places = area_codes()
            .filter(|area| area.kind == AreaKind::Geographic && ["US", "CA"].contains(&area.country));
        for area in places {
            assert!(locality(&number(&format!("+1{}5550100", area.npa))).is_some(), "{area:?}");
        }
    }
}
