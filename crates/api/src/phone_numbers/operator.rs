//! What is known of any number, without asking its operator: how it is written, its country, its kind.

use super::wire::{OperatorInformation, OperatorNumberType, OperatorRequest, OperatorResult};
use crate::call::{Call, json};
use crate::error::ApiError;
use axum::http::StatusCode;
use axum::response::Response;
use trunkline_model::E164;
use trunkline_numbers::nanp::{self, AreaKind};
use trunkline_storage::numbers;

/// Operator details are not known here: that would take a query of another network, so the field is left out
/// even when it is asked for.
pub(super) async fn search(call: Call) -> Result<Response, ApiError> {
    let asked: OperatorRequest = call.json()?;
    if asked.phone_numbers.is_empty() || asked.phone_numbers.len() > NUMBERS_MAX {
        let message = format!("Between 1 and {NUMBERS_MAX} numbers can be looked up at once.");
        return Err(ApiError::invalid("phoneNumbers", message));
    }
    let mut db = call.state.store.read().await?;
    let mut values = Vec::with_capacity(asked.phone_numbers.len());
    for text in &asked.phone_numbers {
        let number = E164::parse(text).map_err(|error| {
            ApiError::invalid("phoneNumbers", format!("{text:?} is not a phone number: {error}."))
        })?;
        let mut known = describe(&number);
        // Toll-free codes are shared by all countries of the plan: only the inventory knows (NUM-12).
        if known.iso_country_code.is_none() {
            known.iso_country_code =
                numbers::by_e164(&mut db, number).await?.map(|found| found.imported.country);
        }
        values.push(known);
    }
    Ok(json(StatusCode::OK, &OperatorResult { values }))
}

fn describe(number: &E164) -> OperatorInformation {
    let digits = number.digits();
    let national =
        digits.strip_prefix('1').and_then(|rest| Some((rest.get(..3)?, rest.get(3..6)?, rest.get(6..10)?)));
    let Some((area, exchange, line)) = national.filter(|_| number.is_nanp()) else {
        return foreign(number);
    };
    let known = nanp::dialable(number).ok();
    let (number_type, country) = match known.map(|area| (area.kind, area.country)) {
        Some((AreaKind::Geographic, country)) => (OperatorNumberType::Geographic, Some(country)),
        Some((AreaKind::TollFree, _)) => (OperatorNumberType::Other, None),
        Some((AreaKind::Premium | AreaKind::NonGeographic, country)) => {
            (OperatorNumberType::Other, Some(country))
        }
        None => (OperatorNumberType::Unknown, None),
    };
    OperatorInformation {
        phone_number: number.to_string(),
        national_format: Some(format!("({area}) {exchange}-{line}")),
        international_format: format!("+1 {area}-{exchange}-{line}"),
        iso_country_code: country.map(str::to_owned),
        number_type,
    }
}

/// Another country groups its digits by rules that are not kept here; only its code is set apart.
fn foreign(number: &E164) -> OperatorInformation {
    let digits = number.digits();
    let code = country_code_len(digits);
    let (code, rest) = digits.split_at_checked(code).unwrap_or((digits, ""));
    OperatorInformation {
        phone_number: number.to_string(),
        national_format: None,
        international_format: format!("+{code} {rest}"),
        iso_country_code: None,
        number_type: OperatorNumberType::Unknown,
    }
}

/// How many digits the country code has (ITU-T E.164, list of assigned codes): no code begins another.
fn country_code_len(digits: &str) -> usize {
    let starts = |codes: &[&str]| codes.iter().any(|code| digits.starts_with(code));
    if starts(&["1", "7"]) {
        1
    } else if starts(TWO_DIGITS) {
        2
    } else {
        3
    }
}

const TWO_DIGITS: &[&str] = &[
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
    "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
    "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
];

/// Keeps the answer below 32 KiB.
const NUMBERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Option<String>, String, Option<String>, OperatorNumberType) {
        let known = describe(&E164::parse(text).unwrap());
        (known.national_format, known.international_format, known.iso_country_code, known.number_type)
    }

    #[test]
    fn a_number_is_written_as_its_plan_writes_it() {
        let seattle = (
            Some("(206) 555-0100".to_owned()),
            "+1 206-555-0100".to_owned(),
            Some("US".to_owned()),
            OperatorNumberType::Geographic,
        );
        assert_eq!(of("+12065550100"), seattle);
        let toll_free = (
            Some("(800) 555-0199".to_owned()),
            "+1 800-555-0199".to_owned(),
            None,
            OperatorNumberType::Other,
        );
        assert_eq!(of("+18005550199"), toll_free);
        assert_eq!(of("+14165550123").2.as_deref(), Some("CA"));
    }

    #[test]
    fn only_the_country_code_of_another_plan_is_set_apart() {
        assert_eq!(of("+442079460123"), (None, "+44 2079460123".into(), None, OperatorNumberType::Unknown));
        assert_eq!(of("+35312345678").1, "+353 12345678");
        assert_eq!(of("+79123456789").1, "+7 9123456789");
    }
}
