//! From what people and trunks dial to E.164.

use crate::nanp::{self, Denied, Destination, Violation};
use std::collections::BTreeSet;
use trunkline_model::E164;

/// What dialled digits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialled {
    /// A telephone number.
    Number(E164),
    /// A three-digit service, never written as a number (NRM-07).
    Service(Service),
}

/// A three-digit service of the North American plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// 911, and what people dial instead of it (EMG-01).
    Emergency,
    /// 933: reads back the address that 911 would be given.
    EmergencyTest,
    /// 988: suicide and crisis line.
    Crisis,
    /// 211.
    Community,
    /// 311.
    City,
    /// 411; charged.
    Directory,
    /// 511.
    Traffic,
    /// 611.
    CarrierCare,
    /// 711: relay for the deaf and hard of hearing.
    Relay,
    /// 811: call before you dig in the US, health line in Canadian provinces.
    DigOrHealth,
}

/// How a tenant's users dial.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DialPlan {
    /// The area code that seven digits are completed with; none refuses them (NRM-06).
    pub seven_digit_area: Option<u16>,
    /// What may be dialled beside the US, Canada and toll-free numbers (B.2, NRM-02).
    pub grants: BTreeSet<Destination>,
}

/// Why digits cannot be dialled. SIP answers all of them with 484, what was not granted with 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undialable {
    /// A letter, a pause, a parameter, a control character, a digit that is not ASCII (NRM-10).
    #[error("the number holds a character that cannot be dialled (NRM-10)")]
    Character,
    /// 01: operator assistance (NRM-03).
    #[error("operator-assisted dialling with 01 is not offered (NRM-03)")]
    OperatorAssisted,
    /// 101XXXX or a star code (NRM-09).
    #[error("carrier selection and star codes are not offered (NRM-09)")]
    CarrierSelect,
    /// Seven digits without a default area code (NRM-06).
    #[error("seven digits need an area code (NRM-06)")]
    AreaCodeMissing,
    /// Too few or too many digits, or a country code that begins with zero (NRM-01, NRM-12).
    #[error("not a complete number (NRM-01, NRM-12)")]
    Incomplete,
    /// No number that anyone has, by the rules of its area code.
    #[error(transparent)]
    Number(Violation),
    /// Nobody granted calls to where it leads (B.2, NRM-02).
    #[error("{0}")]
    NotGranted(Destination),
}

/// Longest text looked at: 15 digits, each with a separator, and the longest prefix.
const TEXT_MAX: usize = 40;

impl DialPlan {
    /// Returns what the dialled text means.
    ///
    /// # Errors
    /// [`Undialable`]: the rule that it breaks.
    pub fn normalise(&self, text: &str) -> Result<Dialled, Undialable> {
        let (plus, digits) = strip(text)?;
        let digits = digits.as_str();
        if let Some(service) = service(plus, digits) {
            return Ok(Dialled::Service(service));
        }
        let international = if plus { digits.to_owned() } else { self.complete(digits)? };
        let number = E164::parse(&format!("+{international}")).map_err(|_| Undialable::Incomplete)?;
        if international.starts_with('1') && !number.is_nanp() {
            return Err(Undialable::Incomplete);
        }
        match nanp::destination(&number, &self.grants) {
            Ok(_) => Ok(Dialled::Number(number)),
            Err(Denied::Undialable(violation)) => Err(Undialable::Number(violation)),
            Err(Denied::NotGranted(destination)) => Err(Undialable::NotGranted(destination)),
        }
    }

    /// Puts the country code in front of digits that were dialled without `+`.
    fn complete(&self, digits: &str) -> Result<String, Undialable> {
        if let Some(rest) = digits.strip_prefix("011") {
            return Ok(rest.to_owned());
        }
        if digits.starts_with("01") {
            return Err(Undialable::OperatorAssisted);
        }
        if digits.starts_with("101") && digits.len() >= 7 {
            return Err(Undialable::CarrierSelect);
        }
        match (digits.len(), digits.as_bytes().first()) {
            (11, Some(b'1')) => Ok(digits.to_owned()),
            (10, Some(b'2'..=b'9')) => Ok(format!("1{digits}")),
            (7, Some(b'2'..=b'9')) => {
                let area = self.seven_digit_area.ok_or(Undialable::AreaCodeMissing)?;
                Ok(format!("1{area:03}{digits}"))
            }
            _ => Err(Undialable::Incomplete),
        }
    }
}

/// Removes separators; returns whether a `+` led, and the digits.
fn strip(text: &str) -> Result<(bool, String), Undialable> {
    if text.len() > TEXT_MAX {
        return Err(Undialable::Incomplete);
    }
    if text.starts_with('*') {
        return Err(Undialable::CarrierSelect);
    }
    let trimmed = text.trim_matches(' ');
    let (plus, rest) = match trimmed.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, trimmed),
    };
    let mut digits = String::with_capacity(rest.len());
    for character in rest.chars() {
        match character {
            '0'..='9' => digits.push(character),
            ' ' | '-' | '.' | '(' | ')' | '/' => {}
            _ => return Err(Undialable::Character),
        }
    }
    Ok((plus, digits))
}

/// Returns the service that the digits name. Emergency must not fail on a prefix (NRM-08, EMG-01); the other
/// services take at most a `+1` or `1` in front.
fn service(plus: bool, digits: &str) -> Option<Service> {
    let emergency = match digits {
        "911" | "112" | "1911" | "1112" => true,
        "9911" => !plus,
        _ => false,
    };
    if emergency {
        return Some(Service::Emergency);
    }
    let code = if digits.len() == 4 { digits.strip_prefix('1')? } else { digits };
    Some(match code {
        "933" => Service::EmergencyTest,
        "988" => Service::Crisis,
        "211" => Service::Community,
        "311" => Service::City,
        "411" => Service::Directory,
        "511" => Service::Traffic,
        "611" => Service::CarrierCare,
        "711" => Service::Relay,
        "811" => Service::DigOrHealth,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Seven digits are in Seattle, and the numbers of fiction can be dialled.
    fn plan() -> DialPlan {
        let grants = BTreeSet::from([Destination::International, Destination::Fictional]);
        DialPlan { seven_digit_area: Some(206), grants }
    }

    fn number(text: &str) -> Result<String, Undialable> {
        plan().normalise(text).map(|dialled| match dialled {
            Dialled::Number(number) => number.to_string(),
            Dialled::Service(service) => format!("{service:?}"),
        })
    }

    #[test]
    fn what_people_dial_becomes_e164() {
        for text in [
            "+12065550100",
            "12065550100",
            "2065550100",
            "(206) 555-0100",
            "206.555.0100",
            "5550100",
            " +1 206/555-0100 ",
        ] {
            assert_eq!(number(text).as_deref(), Ok("+12065550100"), "{text}");
        }
        assert_eq!(number("011442079460123").as_deref(), Ok("+442079460123"));
    }

    #[test]
    fn emergency_never_fails_on_its_format() {
        for text in ["911", "9911", "1911", "+911", "+1911", "112", "9-1-1"] {
            assert_eq!(plan().normalise(text), Ok(Dialled::Service(Service::Emergency)), "{text}");
        }
    }

    #[test]
    fn services_are_never_numbers() {
        for (text, service) in [
            ("988", Service::Crisis),
            ("933", Service::EmergencyTest),
            ("+1411", Service::Directory),
            ("711", Service::Relay),
        ] {
            assert_eq!(plan().normalise(text), Ok(Dialled::Service(service)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_dialled_says_why() {
        for (text, why) in [
            ("012065550100", Undialable::OperatorAssisted),
            ("1010288", Undialable::CarrierSelect),
            ("*67", Undialable::CarrierSelect),
            ("1-800-FLOWERS", Undialable::Character),
            ("2065550100;ext=5", Undialable::Character),
            ("206555010\u{661}", Undialable::Character),
            ("2065550100\0", Undialable::Character),
            ("+1234567890123456", Undialable::Incomplete),
            ("+1206555010", Undialable::Incomplete),
            ("", Undialable::Incomplete),
        ] {
            assert_eq!(plan().normalise(text), Err(why), "{text:?}");
        }
        let strict = DialPlan::default();
        assert_eq!(strict.normalise("5550100"), Err(Undialable::AreaCodeMissing));
        for (text, destination) in [
            ("+442079460123", Destination::International),
            ("011442079460123", Destination::International),
            ("8765551234", Destination::NanpAbroad),
            ("1-900-234-5678", Destination::Premium),
            ("2065550100", Destination::Fictional),
        ] {
            assert_eq!(strict.normalise(text), Err(Undialable::NotGranted(destination)), "{text}");
        }
        assert_eq!(strict.normalise("2129115678"), Err(Undialable::Number(Violation::ServiceExchange)));
        assert!(strict.normalise("2062345678").is_ok());
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[+]?[0-9 ().-]{0,20}") {
            if let Ok(Dialled::Number(once)) = plan().normalise(&text) {
                prop_assert_eq!(plan().normalise(&once.to_string()), Ok(Dialled::Number(once)));
            }
        }

        #[test]
        fn any_text_gets_an_answer(text in ".*") {
            if let Ok(Dialled::Number(number)) = plan().normalise(&text) {
                prop_assert!((7..=15).contains(&number.digits().len()));
                prop_assert!(!number.digits().starts_with('0'));
            }
        }
    }
}
