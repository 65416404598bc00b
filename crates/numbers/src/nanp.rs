//! The North American Numbering Plan: area codes, and what may be done with a number.

use std::sync::LazyLock;
use trunkline_model::E164;

/// One assigned area code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaCode {
    /// The three digits.
    pub npa: u16,
    /// ISO 3166-1 code of the country. A toll-free code is shared by all countries of the plan, so this says
    /// `US` there and nothing more: its country comes from the inventory (NUM-12).
    pub country: &'static str,
    /// What the code is for.
    pub kind: AreaKind,
    /// State, province or territory, two letters, where one is known.
    pub region: Option<&'static str>,
    /// The IANA time zone, where the code lies in one only.
    pub time_zone: Option<&'static str>,
}

/// What an area code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AreaKind {
    /// Subscribers in one place.
    Geographic,
    /// The called side pays (NUM-07).
    TollFree,
    /// The caller pays a premium (NUM-08).
    Premium,
    /// Follows a person, or is tied to no place (NUM-09).
    NonGeographic,
}

/// Why a number may not be dialled or sold. Each variant is one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The number does not begin with +1 or has not ten digits after it.
    #[error("not a ten-digit number of country code 1 (NUM-01)")]
    NotNanp,
    /// Area code or exchange begins with 0 or 1.
    #[error("area code and exchange must begin with 2 to 9 (NUM-01)")]
    Format,
    /// The area code's middle digit is 9.
    #[error("area codes N9X are kept for expansion (NUM-02)")]
    ExpansionCode,
    /// The area code is N11.
    #[error("N11 is a service code, not an area code (NUM-03)")]
    ServiceAreaCode,
    /// The exchange is N11.
    #[error("N11 is not assigned as an exchange (NUM-04)")]
    ServiceExchange,
    /// The exchange is 555, 950, 958, 959 or 976.
    #[error("the exchange is set aside for information, tests or pay-per-call (NUM-05)")]
    ReservedExchange,
    /// No country holds the area code.
    #[error("the area code is not assigned")]
    Unassigned,
    /// Premium rate.
    #[error("premium-rate numbers are not sold (NUM-08)")]
    Premium,
    /// Personal or non-geographic.
    #[error("personal and non-geographic numbers are not sold (NUM-09)")]
    NonGeographic,
}

/// Whether fictional numbers count as real ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Environment {
    /// A real carrier: 555-01XX is refused (NUM-11).
    #[default]
    Live,
    /// The sandbox: 555-0100 to 555-0199 may be sold and dialled (NUM-10).
    Test,
}

/// Returns the area code with these three digits, if it is assigned.
pub fn area_code(npa: u16) -> Option<&'static AreaCode> {
    TABLE.get(usize::from(npa)).and_then(Option::as_ref)
}

/// Returns every assigned area code, in order.
pub fn area_codes() -> impl Iterator<Item = &'static AreaCode> {
    TABLE.iter().flatten()
}

/// Returns the area code of a number of the plan.
pub fn area_code_of(number: &E164) -> Option<&'static AreaCode> {
    Parts::of(number).ok().and_then(|parts| area_code(parts.npa))
}

/// Whether the number is fictional: 555-0100 to 555-0199 in a geographic area code, and 800-555-0199 (NUM-10).
pub fn is_fictional(number: &E164) -> bool {
    let Ok(Parts { npa, exchange: 555, line }) = Parts::of(number) else { return false };
    match area_code(npa).map(|area| area.kind) {
        Some(AreaKind::Geographic) => (100..=199).contains(&line),
        Some(AreaKind::TollFree) => line == 199,
        Some(AreaKind::Premium | AreaKind::NonGeographic) | None => false,
    }
}

/// Returns the area code of a number that can be dialled: well formed, and its country known.
///
/// # Errors
/// The first rule that the number breaks.
pub fn dialable(number: &E164) -> Result<&'static AreaCode, Violation> {
    let parts = Parts::of(number)?;
    if parts.npa % 100 == 11 {
        return Err(Violation::ServiceAreaCode);
    }
    if parts.npa / 10 % 10 == 9 {
        return Err(Violation::ExpansionCode);
    }
    if parts.npa < 200 || parts.exchange < 200 {
        return Err(Violation::Format);
    }
    area_code(parts.npa).ok_or(Violation::Unassigned)
}

/// Returns the area code of a number that may be sold.
///
/// # Errors
/// The first rule that the number breaks.
pub fn provisionable(number: &E164, environment: Environment) -> Result<&'static AreaCode, Violation> {
    let area = dialable(number)?;
    let parts = Parts::of(number)?;
    match area.kind {
        AreaKind::Geographic | AreaKind::TollFree => {}
        AreaKind::Premium => return Err(Violation::Premium),
        AreaKind::NonGeographic => return Err(Violation::NonGeographic),
    }
    if area.kind == AreaKind::Geographic && parts.exchange % 100 == 11 {
        return Err(Violation::ServiceExchange);
    }
    if environment == Environment::Test && is_fictional(number) {
        return Ok(area);
    }
    match parts.exchange {
        555 | 950 | 958 | 959 | 976 => Err(Violation::ReservedExchange),
        _ => Ok(area),
    }
}

/// The three fields of a ten-digit number.
struct Parts {
    npa: u16,
    exchange: u16,
    line: u16,
}

impl Parts {
    fn of(number: &E164) -> Result<Self, Violation> {
        let national = number.digits().strip_prefix('1').filter(|rest| rest.len() == 10);
        let national = national.ok_or(Violation::NotNanp)?;
        let field = |range: std::ops::Range<usize>| {
            national.get(range).and_then(|text| text.parse().ok()).ok_or(Violation::NotNanp)
        };
        Ok(Self { npa: field(0..3)?, exchange: field(3..6)?, line: field(6..10)? })
    }
}

/// Indexed by area code. Built once from the checked-in table, which a test holds against its source.
static TABLE: LazyLock<Vec<Option<AreaCode>>> = LazyLock::new(|| {
    let mut table = vec![None; 1000];
    for area in include_str!("../data/npa.csv").lines().skip(1).filter_map(row) {
        if let Some(slot) = table.get_mut(usize::from(area.npa)) {
            *slot = Some(area);
        }
    }
    table
});

fn row(line: &'static str) -> Option<AreaCode> {
    let mut fields = line.split(',');
    let npa = fields.next()?.parse().ok()?;
    let country = fields.next()?;
    let kind = match fields.next()? {
        "geographic" => AreaKind::Geographic,
        "toll_free" => AreaKind::TollFree,
        "premium" => AreaKind::Premium,
        _ => AreaKind::NonGeographic,
    };
    let mut known = || fields.next().filter(|text| !text.is_empty());
    Some(AreaCode { npa, country, kind, region: known(), time_zone: known() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> E164 {
        E164::parse(text).unwrap()
    }

    #[test]
    fn every_row_of_the_table_is_read() {
        let rows = include_str!("../data/npa.csv").lines().count() - 1;
        assert_eq!(area_codes().count(), rows);
        let geographic = |country: &str| {
            area_codes().filter(|a| a.country == country && a.kind == AreaKind::Geographic).count()
        };
        assert_eq!((geographic("US"), geographic("CA")), (359, 56));
    }

    #[test]
    fn a_number_tells_its_country() {
        for (text, country) in [
            ("+12684641234", "AG"),
            ("+18765551234", "JM"),
            ("+16582001234", "JM"),
            ("+17875551234", "PR"),
            ("+14165550123", "CA"),
            ("+12065550100", "US"),
        ] {
            assert_eq!(dialable(&number(text)).unwrap().country, country, "{text}");
        }
        assert_eq!(area_code_of(&number("+12065550100")).unwrap().region, Some("WA"));
    }

    #[test]
    fn what_the_plan_does_not_assign_is_refused() {
        for (text, why) in [
            ("+18225550100", Violation::Unassigned),
            ("+18822345678", Violation::Unassigned),
            ("+17104567890", Violation::Unassigned),
            ("+12112345678", Violation::ServiceAreaCode),
            ("+12120115678", Violation::Format),
            ("+12912345678", Violation::ExpansionCode),
            ("+442079460123", Violation::NotNanp),
        ] {
            assert_eq!(dialable(&number(text)), Err(why), "{text}");
        }
    }

    #[test]
    fn what_may_be_dialled_may_not_always_be_sold() {
        let live = Environment::Live;
        assert_eq!(provisionable(&number("+12129115678"), live), Err(Violation::ServiceExchange));
        assert_eq!(provisionable(&number("+19005551234"), live), Err(Violation::Premium));
        assert_eq!(provisionable(&number("+15002345678"), live), Err(Violation::NonGeographic));
        assert_eq!(provisionable(&number("+12065551234"), live), Err(Violation::ReservedExchange));
        assert!(provisionable(&number("+12062345678"), live).is_ok());
    }

    #[test]
    fn fictional_numbers_are_sold_only_in_the_sandbox() {
        let fictional = number("+12065550100");
        assert_eq!(provisionable(&fictional, Environment::Live), Err(Violation::ReservedExchange));
        assert!(provisionable(&fictional, Environment::Test).is_ok());
        assert!(provisionable(&number("+18005550199"), Environment::Test).is_ok());
        assert!(provisionable(&number("+12065550200"), Environment::Test).is_err());
        assert!(!is_fictional(&number("+18005550100")));
    }
}
