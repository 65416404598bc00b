//! What is offered: countries, places, kinds of number. The header `accept-language` is heard and not obeyed:
//! names are English.

use super::country;
use super::places;
use super::wire::{Capabilities, Cost, Country, Division, Locality, Offering};
use crate::call::Call;
use crate::error::ApiError;
use crate::page::Page;
use axum::response::Response;
use std::collections::{BTreeMap, BTreeSet};
use trunkline_model::{AssignmentType, Capability, NumberType};
use trunkline_numbers::RuleBook;
use trunkline_numbers::eligibility::{Granted, Offer, Profile, Request};
use trunkline_storage::numbers;

pub(super) async fn countries(call: Call) -> Result<Response, ApiError> {
    let page = Page::of(&call)?;
    let rules = call.state.rules.load_full();
    let codes: BTreeSet<&str> =
        rules.active().1.offers.iter().map(|offer| offer.number_country.as_str()).collect();
    let mut countries: Vec<_> = codes
        .into_iter()
        .map(|code| Country {
            localized_name: places::country_name(code).to_owned(),
            country_code: code.to_owned(),
        })
        .collect();
    countries.sort_by(|one, other| one.localized_name.cmp(&other.localized_name));
    Ok(page.answer_all(&call, "countries", countries))
}

pub(super) async fn localities(call: Call) -> Result<Response, ApiError> {
    let page = Page::of(&call)?;
    let country = country(&call);
    let number_type = call.query.parsed::<NumberType>("phoneNumberType")?;
    let division = call.query.value("administrativeDivision").unwrap_or_default();
    let region = places::region_abbreviation(&country, division);
    let mut db = call.state.store.read().await?;
    let now_unix_ms = call.state.now_unix_ms();
    let found = numbers::localities(&mut db, &country, number_type, &region, now_unix_ms).await?;
    let localities = found.into_iter().map(|found| Locality {
        administrative_division: (!found.region.is_empty()).then(|| Division {
            localized_name: places::region_name(&country, &found.region).to_owned(),
            abbreviated_name: found.region,
        }),
        localized_name: found.city,
    });
    Ok(page.answer_all(&call, "phoneNumberLocalities", localities.collect()))
}

pub(super) async fn offerings(call: Call) -> Result<Response, ApiError> {
    let page = Page::of(&call)?;
    let number_type = call.query.parsed::<NumberType>("phoneNumberType")?;
    let assignment = call.query.parsed::<AssignmentType>("assignmentType")?;
    let rules = call.state.rules.load_full();
    let mut offerings = offered(&rules, call.tenant()?.profile(), &country(&call));
    offerings.retain(|offering| {
        number_type.is_none_or(|wanted| wanted == offering.phone_number_type)
            && assignment.is_none_or(|wanted| wanted == offering.assignment_type)
    });
    Ok(page.answer_all(&call, "phoneNumberOfferings", offerings))
}

/// Returns what a resource may have of a country, each kind with all that it may be able to do.
pub(super) fn offered(rules: &RuleBook, mut profile: Profile, country: &str) -> Vec<Offering> {
    // An address can still be filed, so its lack does not hide what it is needed for.
    profile.emergency_address = true;
    let mut found = BTreeMap::new();
    for offer in rules.active().1.offers.iter().filter(|offer| offer.number_country == country) {
        for assignment in &offer.assignment_types {
            let key = (offer.number_type, *assignment);
            if !found.contains_key(&key)
                && let Some(offering) = granted(rules, &profile, offer, *assignment)
            {
                found.insert(key, offering);
            }
        }
    }
    found.into_values().collect()
}

/// The most that the rules grant under an offer: where messages are not for this billing country, calling alone.
fn granted(
    rules: &RuleBook,
    profile: &Profile,
    offer: &Offer,
    assignment: AssignmentType,
) -> Option<Offering> {
    let calling = most(&offer.calling);
    [most(&offer.sms), Capability::None].into_iter().find_map(|sms| {
        let request = Request {
            number_country: offer.number_country.clone(),
            number_type: offer.number_type,
            assignment,
            calling,
            sms,
            area_code: None,
        };
        let Granted { monthly_cost_minor, currency, .. } = rules.decide(profile, &request).outcome.ok()?;
        Some(Offering {
            phone_number_type: offer.number_type,
            assignment_type: assignment,
            available_capabilities: Capabilities { calling, sms },
            cost: Cost::monthly(monthly_cost_minor, &currency),
        })
    })
}

/// The capability with the most directions; the words are declared in that order.
fn most(offered: &BTreeSet<Capability>) -> Capability {
    offered.last().copied().unwrap_or(Capability::None)
}
