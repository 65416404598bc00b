//! Area codes with numbers to sell.

use super::wire::AreaCode;
use super::{country, places};
use crate::call::Call;
use crate::error::ApiError;
use crate::page::Page;
use axum::response::Response;
use trunkline_model::{AssignmentType, NumberType};
use trunkline_storage::numbers;

pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let page = Page::of(&call)?;
    let number_type = call.query.parsed::<NumberType>("phoneNumberType")?;
    let number_type =
        number_type.ok_or_else(|| ApiError::invalid("phoneNumberType", "phoneNumberType is required."))?;
    let assignment = call.query.parsed::<AssignmentType>("assignmentType")?;
    let country = country(&call);
    let offered = call.state.rules.load().active().1.offers.iter().any(|offer| {
        offer.number_country == country
            && offer.number_type == number_type
            && assignment.is_none_or(|assignment| offer.assignment_types.contains(&assignment))
    });
    if !offered {
        return Ok(page.answer_all(&call, "areaCodes", Vec::<AreaCode>::new()));
    }
    let division = call.query.value("administrativeDivision").unwrap_or_default();
    let region = places::region_abbreviation(&country, division);
    let city = call.query.value("locality").unwrap_or_default().trim();
    let now_unix_ms = call.state.now_unix_ms();
    let mut db = call.state.store.read().await?;
    let found = numbers::area_codes(&mut db, &country, number_type, &region, city, now_unix_ms).await?;
    let codes = found.into_iter().map(|area_code| AreaCode { area_code });
    Ok(page.answer_all(&call, "areaCodes", codes.collect()))
}
