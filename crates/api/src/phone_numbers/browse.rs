//! Browsing: a handful of numbers to choose from, in no order and held for nobody.

use super::catalogue::offered;
use super::country;
use super::wire::{Availability, AvailableNumber, BrowseRequest, BrowseResult, Capabilities, Cost, Offering};
use crate::call::{Call, json};
use crate::error::ApiError;
use crate::state::Environment;
use axum::http::StatusCode;
use axum::response::Response;
use trunkline_model::{AssignmentType, Capability};
use trunkline_numbers::eligibility::{Granted, Request};
use trunkline_storage::Connection;
use trunkline_storage::numbers::{self, Number, Wanted};
use uuid::Uuid;

pub(super) async fn browse(call: Call) -> Result<Response, ApiError> {
    let asked: BrowseRequest = call.json()?;
    let prefixes = prefixes(asked.phone_number_prefixes.as_deref().unwrap_or_default())?;
    let request = request(&call, &asked)?;
    let rules = call.state.rules.load_full();
    let granted = rules.decide(&call.tenant()?.profile(), &request).outcome?;
    let wanted = Wanted {
        country: request.number_country.clone(),
        number_type: request.number_type,
        area_code: None,
        region: String::new(),
        city: String::new(),
        calling: request.calling,
        sms: request.sms,
        fictional: call.state.settings.environment == Environment::Test,
    };
    let mut db = call.state.store.read().await?;
    let found = find(&mut db, wanted, &prefixes, call.state.now_unix_ms()).await?;
    let phone_numbers = found.into_iter().map(|number| available(number, &request, &granted)).collect();
    Ok(json(StatusCode::OK, &BrowseResult { phone_numbers }))
}

/// Completes what is asked for: whom the numbers are for and what they can do may be left open, and then is the
/// first and the most that is offered.
fn request(call: &Call, asked: &BrowseRequest) -> Result<Request, ApiError> {
    let number_country = country(call);
    let capabilities = asked.capabilities.unwrap_or_default();
    let rules = call.state.rules.load();
    let offerings = offered(&rules, call.tenant()?.profile(), &number_country);
    let fits = |offering: &&Offering| {
        offering.phone_number_type == asked.phone_number_type
            && asked.assignment_type.is_none_or(|wanted| wanted == offering.assignment_type)
    };
    let best = offerings.iter().filter(fits).max_by_key(|offering| offering.assignment_type);
    let open = capabilities.calling.is_none() && capabilities.sms.is_none();
    let most = best.filter(|_| open).map(|offering| offering.available_capabilities);
    let most = most.unwrap_or(Capabilities { calling: Capability::None, sms: Capability::None });
    Ok(Request {
        number_country,
        number_type: asked.phone_number_type,
        assignment: asked
            .assignment_type
            .or(best.map(|offering| offering.assignment_type))
            .unwrap_or(AssignmentType::Application),
        calling: capabilities.calling.unwrap_or(most.calling),
        sms: capabilities.sms.unwrap_or(most.sms),
        area_code: None,
    })
}

fn prefixes(asked: &[String]) -> Result<Vec<String>, ApiError> {
    if asked.len() > PREFIXES_MAX {
        let message = format!("At most {PREFIXES_MAX} prefixes can be given.");
        return Err(ApiError::invalid("phoneNumberPrefixes", message));
    }
    let read = |prefix: &String| {
        let digits = prefix.strip_prefix('+').unwrap_or(prefix);
        if digits.len() > PREFIX_DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = "A prefix is the first digits of a number, country code included.";
            return Err(ApiError::invalid("phoneNumberPrefixes", message));
        }
        Ok(digits.to_owned())
    };
    asked.iter().map(read).collect()
}

/// Finds numbers: from area codes taken at random, or under the prefixes.
async fn find(
    db: &mut Connection,
    wanted: Wanted,
    prefixes: &[String],
    now_unix_ms: i64,
) -> Result<Vec<Number>, ApiError> {
    let mut found = Vec::new();
    if prefixes.is_empty() {
        let Wanted { country, number_type, .. } = &wanted;
        let mut codes = numbers::area_codes(db, country, *number_type, "", "", now_unix_ms).await?;
        shuffle(&mut codes);
        for area_code in codes.into_iter().take(AREA_CODES_TRIED) {
            let wanted = Wanted { area_code: Some(area_code), ..wanted.clone() };
            found.extend(numbers::browse(db, &wanted, "", LOOKED_AT_EACH, now_unix_ms).await?);
        }
    }
    for prefix in prefixes {
        found.extend(numbers::browse(db, &wanted, prefix, LOOKED_AT_EACH, now_unix_ms).await?);
    }
    // Prefixes may overlap.
    found.sort_by_key(|number| number.imported.number);
    found.dedup_by_key(|number| number.imported.number);
    shuffle(&mut found);
    found.truncate(SHOWN_MAX);
    Ok(found)
}

/// So that customers who look at the same time do not all reach for the same number.
fn shuffle<T>(items: &mut [T]) {
    items.sort_by_cached_key(|_| Uuid::new_v4());
}

fn available(number: Number, request: &Request, granted: &Granted) -> AvailableNumber {
    AvailableNumber {
        id: number.imported.number.digits().to_owned(),
        country_code: number.imported.country,
        phone_number: Some(number.imported.number.to_string()),
        capabilities: Capabilities { calling: request.calling, sms: request.sms },
        phone_number_type: number.imported.number_type,
        assignment_type: request.assignment,
        cost: Some(Cost::monthly(granted.monthly_cost_minor, &granted.currency)),
        status: Availability::Available,
        is_agreement_to_not_resell_required: false,
        error: None,
    }
}

/// As many as fit a screen; who wants others asks again or narrows the prefix.
const SHOWN_MAX: usize = 20;
/// Enough area codes that one without numbers of the wanted kind does not empty the screen.
const AREA_CODES_TRIED: usize = 12;
/// Twice a screen under each area code or prefix, so that chance has something to choose from.
const LOOKED_AT_EACH: u16 = 40;
/// Each prefix is a query.
const PREFIXES_MAX: usize = 20;
/// Digits of the longest number (E.164 §6.2.1).
const PREFIX_DIGITS_MAX: usize = 15;
