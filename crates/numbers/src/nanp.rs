//! The North American Numbering Plan: area codes, and what may be done with a number.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use trunkline_model::{E164, NumberType};

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
    /// The area code belongs to another country than the inventory says, or to another kind of number.
    #[error("the area code is not of that country and kind of number (NUM-07, NUM-12)")]
    OtherTable,
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

/// Where a number leads, as far as that decides whether it may be called (B.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A place in the United States or Canada.
    Domestic,
    /// Whoever is called pays (NUM-07).
    TollFree,
    /// Puerto Rico, the Virgin Islands, Guam, the Northern Marianas, American Samoa.
    Territory,
    /// Another country of country code 1: an international tariff, and the usual aim of toll fraud.
    NanpAbroad,
    /// Premium rate (NUM-08).
    Premium,
    /// Personal or tied to no place (NUM-09).
    NonGeographic,
    /// Fictional, and so on no real trunk (NUM-10, NUM-11).
    Fictional,
    /// An exchange set aside for information, tests or pay-per-call (NUM-05, NUM-11).
    ReservedExchange,
    /// Outside country code 1.
    International,
}

/// Why a number may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// It is no number that could be dialled.
    #[error(transparent)]
    Undialable(#[from] Violation),
    /// Nobody granted calls to such numbers.
    #[error("{0}")]
    NotGranted(Destination),
}

impl std::fmt::Display for Destination {
    /// Says, of a destination that was not granted, which rule keeps it from being called.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Domestic => "calls within the US and Canada are granted to everyone (B.2)",
            Self::TollFree => "toll-free calls are granted to everyone (NUM-07)",
            Self::Territory => "calls to the territories of the US are not granted (B.2)",
            Self::NanpAbroad => "calls to other countries of country code 1 are not granted (B.2)",
            Self::Premium => "premium-rate calls are not granted (NUM-08)",
            Self::NonGeographic => "calls to personal and non-geographic numbers are not granted (NUM-09)",
            Self::Fictional => "fictional numbers are not dialled (NUM-11)",
            Self::ReservedExchange => "reserved and test exchanges are not dialled (NUM-05, NUM-11)",
            Self::International => "international dialling is not granted (NRM-02)",
        })
    }
}

/// Says where a number leads, if it may be called: within the US and Canada and toll-free always, elsewhere where
/// `grants` says so.
///
/// # Errors
/// [`Denied`]: the rule that keeps it from being called.
pub fn destination(number: &E164, grants: &BTreeSet<Destination>) -> Result<Destination, Denied> {
    let destination = classify(number)?;
    match destination {
        Destination::Domestic | Destination::TollFree => Ok(destination),
        destination if grants.contains(&destination) => Ok(destination),
        destination => Err(Denied::NotGranted(destination)),
    }
}

fn classify(number: &E164) -> Result<Destination, Violation> {
    if !number.digits().starts_with('1') {
        return Ok(Destination::International);
    }
    let area = dialable(number)?;
    let parts = Parts::of(number)?;
    match (area.kind, area.country) {
        (AreaKind::Premium, _) => return Ok(Destination::Premium),
        (AreaKind::NonGeographic, _) => return Ok(Destination::NonGeographic),
        (AreaKind::TollFree | AreaKind::Geographic, "US" | "CA") => {}
        (AreaKind::TollFree | AreaKind::Geographic, "PR" | "VI" | "GU" | "MP" | "AS") => {
            return Ok(Destination::Territory);
        }
        (AreaKind::TollFree | AreaKind::Geographic, _) => return Ok(Destination::NanpAbroad),
    }
    if area.kind == AreaKind::Geographic && parts.exchange % 100 == 11 {
        return Err(Violation::ServiceExchange);
    }
    Ok(match (area.kind, parts.exchange) {
        (_, 555) if is_fictional(number) => Destination::Fictional,
        (_, 555 | 950 | 958 | 959 | 976) => Destination::ReservedExchange,
        (AreaKind::TollFree, _) => Destination::TollFree,
        (AreaKind::Geographic | AreaKind::Premium | AreaKind::NonGeographic, _) => Destination::Domestic,
    })
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

/// Whether the number is fictional: 555-0100 to 555-0199 in a geographic or toll-free area code (NUM-10). Of the
/// toll-free ones only 800-555-0199 is sure to be nobody's, so the others are for sandboxes alone.
pub fn is_fictional(number: &E164) -> bool {
    let Ok(Parts { npa, exchange: 555, line }) = Parts::of(number) else { return false };
    match area_code(npa).map(|area| area.kind) {
        Some(AreaKind::Geographic | AreaKind::TollFree) => (100..=199).contains(&line),
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

/// Returns the area code of a number that may be sold as one of a country and kind.
///
/// # Errors
/// The first rule that the number breaks.
pub fn provisionable(
    number: &E164,
    country: &str,
    number_type: NumberType,
    environment: Environment,
) -> Result<&'static AreaCode, Violation> {
    let area = dialable(number)?;
    let parts = Parts::of(number)?;
    match area.kind {
        AreaKind::Geographic | AreaKind::TollFree => {}
        AreaKind::Premium => return Err(Violation::Premium),
        AreaKind::NonGeographic => return Err(Violation::NonGeographic),
    }
    if !area.fits(country, number_type) {
        return Err(Violation::OtherTable);
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

impl AreaCode {
    /// Says whether numbers of this area code can be of a country and kind. Toll-free codes belong to every country of
    /// the plan (NUM-12).
    pub fn fits(&self, country: &str, number_type: NumberType) -> bool {
        match (number_type, self.kind) {
            (NumberType::Geographic | NumberType::Mobile, AreaKind::Geographic) => self.country == country,
            (NumberType::TollFree, AreaKind::TollFree) => true,
            (
                NumberType::Geographic | NumberType::Mobile | NumberType::TollFree | NumberType::ShortCode,
                _,
            ) => false,
        }
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
        let sold = |text: &str, country: &str, number_type| {
            provisionable(&number(text), country, number_type, Environment::Live).map(|area| area.npa)
        };
        let geographic = NumberType::Geographic;
        assert_eq!(sold("+12129115678", "US", geographic), Err(Violation::ServiceExchange));
        assert_eq!(sold("+19005551234", "US", geographic), Err(Violation::Premium));
        assert_eq!(sold("+15002345678", "US", geographic), Err(Violation::NonGeographic));
        assert_eq!(sold("+12065551234", "US", geographic), Err(Violation::ReservedExchange));
        assert_eq!(sold("+12069761234", "US", geographic), Err(Violation::ReservedExchange));
        assert_eq!(sold("+12912345678", "US", geographic), Err(Violation::ExpansionCode));
        assert_eq!(sold("+18222345678", "US", NumberType::TollFree), Err(Violation::Unassigned));
        assert_eq!(sold("+12062345678", "US", geographic), Ok(206));
        assert_eq!(sold("+18332345678", "CA", NumberType::TollFree), Ok(833));
    }

    #[test]
    fn a_number_is_sold_in_its_own_table_only() {
        for (text, country, number_type) in [
            ("+14162345678", "US", NumberType::Geographic),
            ("+12062345678", "CA", NumberType::Geographic),
            ("+17872345678", "US", NumberType::Geographic),
            ("+12062345678", "US", NumberType::TollFree),
            ("+18332345678", "US", NumberType::Geographic),
            ("+12062345678", "US", NumberType::ShortCode),
        ] {
            let sold = provisionable(&number(text), country, number_type, Environment::Live);
            assert_eq!(sold, Err(Violation::OtherTable), "{text} {country}");
        }
    }

    #[test]
    fn fictional_numbers_are_sold_only_in_the_sandbox() {
        let sold = |text: &str, environment| {
            let number_type =
                if text.starts_with("+1800") { NumberType::TollFree } else { NumberType::Geographic };
            provisionable(&number(text), "US", number_type, environment)
        };
        assert_eq!(sold("+12065550100", Environment::Live), Err(Violation::ReservedExchange));
        assert!(sold("+12065550100", Environment::Test).is_ok());
        assert!(sold("+18005550199", Environment::Test).is_ok());
        assert!(sold("+12065550200", Environment::Test).is_err());
        assert!(sold("+18005550200", Environment::Test).is_err());
    }

    /// The test rows of B.2.
    #[test]
    fn what_leads_abroad_or_costs_a_premium_is_denied_unless_granted() {
        let none = BTreeSet::new();
        for (text, destination) in [
            ("+12684641234", Destination::NanpAbroad),
            ("+18765551234", Destination::NanpAbroad),
            ("+16582001234", Destination::NanpAbroad),
            ("+17875551234", Destination::Territory),
            ("+14165550123", Destination::Fictional),
            ("+12065550100", Destination::Fictional),
            ("+12065551234", Destination::ReservedExchange),
            ("+19005551234", Destination::Premium),
            ("+15002345678", Destination::NonGeographic),
            ("+16002345678", Destination::NonGeographic),
            ("+442079460123", Destination::International),
        ] {
            let number = number(text);
            let denied = super::destination(&number, &none);
            assert_eq!(denied, Err(Denied::NotGranted(destination)), "{text}");
            assert_eq!(
                super::destination(&number, &BTreeSet::from([destination])),
                Ok(destination),
                "{text}"
            );
        }
        for (text, destination) in [
            ("+12062345678", Destination::Domestic),
            ("+14162345678", Destination::Domestic),
            ("+18332345678", Destination::TollFree),
        ] {
            assert_eq!(super::destination(&number(text), &none), Ok(destination), "{text}");
        }
        for (text, why) in [
            ("+18225550100", Violation::Unassigned),
            ("+18822345678", Violation::Unassigned),
            ("+17104567890", Violation::Unassigned),
            ("+12112345678", Violation::ServiceAreaCode),
            ("+12120115678", Violation::Format),
            ("+12129115678", Violation::ServiceExchange),
        ] {
            assert_eq!(super::destination(&number(text), &none), Err(Denied::Undialable(why)), "{text}");
        }
    }

    #[test]
    fn no_area_code_outside_the_us_and_canada_is_called_without_a_grant() {
        for area in area_codes() {
            let called = super::destination(&number(&format!("+1{}2345678", area.npa)), &BTreeSet::new());
            let at_home = matches!(area.country, "US" | "CA");
            let ordinary = matches!(area.kind, AreaKind::Geographic | AreaKind::TollFree);
            assert_eq!(called.is_ok(), at_home && ordinary, "{area:?}");
        }
    }
}
