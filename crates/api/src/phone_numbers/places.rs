//! Names of countries and of the states and provinces that area codes lie in.

/// Returns the name of a country, or its code where the name is not known.
pub(super) fn country_name(code: &str) -> &str {
    let found = COUNTRIES.binary_search_by_key(&code, |(code, _)| code);
    found.ok().and_then(|at| COUNTRIES.get(at)).map_or(code, |(_, name)| name)
}

/// Returns the name of a state, province or territory, or its abbreviation where the name is not known.
pub(super) fn region_name<'a>(country: &str, abbreviation: &'a str) -> &'a str {
    regions(country).iter().find(|(short, _)| *short == abbreviation).map_or(abbreviation, |(_, name)| name)
}

/// Returns the abbreviation for what a client calls a state or province: its name or its abbreviation, in
/// whatever case.
pub(super) fn region_abbreviation(country: &str, text: &str) -> String {
    let text = text.trim();
    let known = regions(country)
        .iter()
        .find(|(short, name)| short.eq_ignore_ascii_case(text) || name.eq_ignore_ascii_case(text));
    known.map_or_else(|| text.to_owned(), |(short, _)| (*short).to_owned())
}

fn regions(country: &str) -> &'static [(&'static str, &'static str)] {
    match country {
        "US" => US,
        "CA" => CA,
        _ => &[],
    }
}

const US: &[(&str, &str)] = &[
    ("AK", "Alaska"),
    ("AL", "Alabama"),
    ("AR", "Arkansas"),
    ("AZ", "Arizona"),
    ("CA", "California"),
    ("CO", "Colorado"),
    ("CT", "Connecticut"),
    ("DC", "District of Columbia"),
    ("DE", "Delaware"),
    ("FL", "Florida"),
    ("GA", "Georgia"),
    ("HI", "Hawaii"),
    ("IA", "Iowa"),
    ("ID", "Idaho"),
    ("IL", "Illinois"),
    ("IN", "Indiana"),
    ("KS", "Kansas"),
    ("KY", "Kentucky"),
    ("LA", "Louisiana"),
    ("MA", "Massachusetts"),
    ("MD", "Maryland"),
    ("ME", "Maine"),
    ("MI", "Michigan"),
    ("MN", "Minnesota"),
    ("MO", "Missouri"),
    ("MS", "Mississippi"),
    ("MT", "Montana"),
    ("NC", "North Carolina"),
    ("ND", "North Dakota"),
    ("NE", "Nebraska"),
    ("NH", "New Hampshire"),
    ("NJ", "New Jersey"),
    ("NM", "New Mexico"),
    ("NV", "Nevada"),
    ("NY", "New York"),
    ("OH", "Ohio"),
    ("OK", "Oklahoma"),
    ("OR", "Oregon"),
    ("PA", "Pennsylvania"),
    ("RI", "Rhode Island"),
    ("SC", "South Carolina"),
    ("SD", "South Dakota"),
    ("TN", "Tennessee"),
    ("TX", "Texas"),
    ("UT", "Utah"),
    ("VA", "Virginia"),
    ("VT", "Vermont"),
    ("WA", "Washington"),
    ("WI", "Wisconsin"),
    ("WV", "West Virginia"),
    ("WY", "Wyoming"),
];

const CA: &[(&str, &str)] = &[
    ("AB", "Alberta"),
    ("BC", "British Columbia"),
    ("MB", "Manitoba"),
    ("NB", "New Brunswick"),
    ("NL", "Newfoundland and Labrador"),
    ("NS", "Nova Scotia"),
    ("NT", "Northwest Territories"),
    ("NU", "Nunavut"),
    ("ON", "Ontario"),
    ("PE", "Prince Edward Island"),
    ("QC", "Quebec"),
    ("SK", "Saskatchewan"),
    ("YT", "Yukon"),
];

/// Countries of the North American plan, and those that the tables of other countries' numbers name. In order.
const COUNTRIES: &[(&str, &str)] = &[
    ("AG", "Antigua and Barbuda"),
    ("AI", "Anguilla"),
    ("AS", "American Samoa"),
    ("AT", "Austria"),
    ("AU", "Australia"),
    ("BB", "Barbados"),
    ("BE", "Belgium"),
    ("BM", "Bermuda"),
    ("BR", "Brazil"),
    ("BS", "Bahamas"),
    ("CA", "Canada"),
    ("CH", "Switzerland"),
    ("CZ", "Czechia"),
    ("DE", "Germany"),
    ("DK", "Denmark"),
    ("DM", "Dominica"),
    ("DO", "Dominican Republic"),
    ("ES", "Spain"),
    ("FI", "Finland"),
    ("FR", "France"),
    ("GB", "United Kingdom"),
    ("GD", "Grenada"),
    ("GU", "Guam"),
    ("HK", "Hong Kong SAR"),
    ("IE", "Ireland"),
    ("IL", "Israel"),
    ("IN", "India"),
    ("IT", "Italy"),
    ("JM", "Jamaica"),
    ("JP", "Japan"),
    ("KN", "Saint Kitts and Nevis"),
    ("KR", "Korea"),
    ("KY", "Cayman Islands"),
    ("LC", "Saint Lucia"),
    ("LU", "Luxembourg"),
    ("MP", "Northern Mariana Islands"),
    ("MS", "Montserrat"),
    ("MX", "Mexico"),
    ("NL", "Netherlands"),
    ("NO", "Norway"),
    ("NZ", "New Zealand"),
    ("PL", "Poland"),
    ("PR", "Puerto Rico"),
    ("PT", "Portugal"),
    ("SE", "Sweden"),
    ("SG", "Singapore"),
    ("SX", "Sint Maarten"),
    ("TC", "Turks and Caicos Islands"),
    ("TT", "Trinidad and Tobago"),
    ("US", "United States"),
    ("VC", "Saint Vincent and the Grenadines"),
    ("VG", "British Virgin Islands"),
    ("VI", "U.S. Virgin Islands"),
    ("ZA", "South Africa"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_numbers::nanp;

    #[test]
    fn every_place_of_an_area_code_has_a_name() {
        assert!(COUNTRIES.is_sorted());
        for area in nanp::area_codes() {
            assert_ne!(country_name(area.country), area.country);
            if let (Some(region), "US" | "CA") = (area.region, area.country) {
                assert_ne!(region_name(area.country, region), region, "{}", area.npa);
            }
        }
    }

    #[test]
    fn a_state_is_known_by_name_and_abbreviation() {
        assert_eq!(region_abbreviation("US", "New York"), "NY");
        assert_eq!(region_abbreviation("US", "ny"), "NY");
        assert_eq!(region_abbreviation("US", "Atlantis"), "Atlantis");
    }
}
