//! Phone numbers: search, purchase, capabilities and release, what there is to choose from, reservations.
//!
//! **What fails at once and what fails as an operation.** Whatever the rules of provisioning or the request
//! itself decide is refused at once with its stable code (A.4), because nothing has to be tried for it. What only
//! the attempt shows, that there are too few numbers or that a hold ran out before it was bought, is the failure
//! of an operation: the request is answered 202 and the operation asked after says `failed` with the code. The
//! clients raise the same errors for both.
//!
//! **Operations end with the request that begins them.** The effect, its charge, its audit entries and the record
//! of the operation are one unit, so an operation that a client can name is one that has happened.
//!
//! **Eligibility is decided inside the unit that acts on it** (PROV-20), on the billing record that the unit holds
//! still and on the rule book in force at that moment.

mod area_codes;
mod browse;
mod catalogue;
mod decide;
mod operator;
mod owned;
mod places;
mod purchase;
mod reservations;
mod search;
mod under_way;
mod unit;
mod upkeep;
mod wire;

pub(crate) use under_way::UnderWay;
pub use upkeep::Upkeep;

use crate::call::Call;
use crate::error::ApiError;
use crate::path::{Route, route};
use trunkline_model::E164;
use uuid::Uuid;

/// Every operation on phone numbers but those on operations, in the names of the published document.
pub(crate) const ROUTES: &[Route] = &[
    route!(
        "PhoneNumbers_SearchAvailablePhoneNumbers",
        POST,
        "/availablePhoneNumbers/countries/{countryCode}/:search",
        PhoneNumbers,
        search::search
    ),
    route!(
        "PhoneNumbers_GetSearchResult",
        GET,
        "/availablePhoneNumbers/searchResults/{searchId}",
        PhoneNumbers,
        search::result
    ),
    route!(
        "PhoneNumbers_PurchasePhoneNumbers",
        POST,
        "/availablePhoneNumbers/:purchase",
        PhoneNumbers,
        purchase::search
    ),
    route!("PhoneNumbers_ListPhoneNumbers", GET, "/phoneNumbers", PhoneNumbers, owned::list),
    route!("PhoneNumbers_GetByNumber", GET, "/phoneNumbers/{phoneNumber}", PhoneNumbers, owned::by_number),
    route!(
        "PhoneNumbers_ReleasePhoneNumber",
        DELETE,
        "/phoneNumbers/{phoneNumber}",
        PhoneNumbers,
        owned::release
    ),
    route!(
        "PhoneNumbers_UpdateCapabilities",
        PATCH,
        "/phoneNumbers/{phoneNumber}/capabilities",
        PhoneNumbers,
        owned::update_capabilities
    ),
    route!(
        "PhoneNumbers_ListAvailableCountries",
        GET,
        "/availablePhoneNumbers/countries",
        PhoneNumbers,
        catalogue::countries
    ),
    route!(
        "PhoneNumbers_ListAvailableLocalities",
        GET,
        "/availablePhoneNumbers/countries/{countryCode}/localities",
        PhoneNumbers,
        catalogue::localities
    ),
    route!(
        "PhoneNumbers_ListOfferings",
        GET,
        "/availablePhoneNumbers/countries/{countryCode}/offerings",
        PhoneNumbers,
        catalogue::offerings
    ),
    route!(
        "PhoneNumbers_ListAreaCodes",
        GET,
        "/availablePhoneNumbers/countries/{countryCode}/areaCodes",
        PhoneNumbers,
        area_codes::list
    ),
    route!(
        "PhoneNumbers_BrowseAvailableNumbers",
        POST,
        "/availablePhoneNumbers/countries/{countryCode}/:browse",
        PhoneNumbers,
        browse::browse
    ),
    route!(
        "PhoneNumbers_ListReservations",
        GET,
        "/availablePhoneNumbers/reservations",
        PhoneNumbers,
        reservations::list
    ),
    route!(
        "PhoneNumbers_CreateOrUpdateReservation",
        PATCH,
        "/availablePhoneNumbers/reservations/{reservationId}",
        PhoneNumbers,
        reservations::create_or_update
    ),
    route!(
        "PhoneNumbers_GetReservation",
        GET,
        "/availablePhoneNumbers/reservations/{reservationId}",
        PhoneNumbers,
        reservations::by_id
    ),
    route!(
        "PhoneNumbers_DeleteReservation",
        DELETE,
        "/availablePhoneNumbers/reservations/{reservationId}",
        PhoneNumbers,
        reservations::delete
    ),
    route!(
        "PhoneNumbers_PurchaseReservation",
        POST,
        "/availablePhoneNumbers/reservations/{reservationId}/:purchase",
        PhoneNumbers,
        purchase::reservation
    ),
    route!(
        "OperatorInformation_Search",
        POST,
        "/operatorInformation/:search",
        PhoneNumbers,
        operator::search
    ),
];

/// Reads the country of the path. What is no country is one that is not offered.
fn country(call: &Call) -> String {
    call.parameters.value("countryCode").to_ascii_uppercase()
}

/// Reads the number of the path, with its plus or without.
fn number(call: &Call) -> Result<E164, ApiError> {
    let text = call.parameters.value("phoneNumber");
    let digits = text.strip_prefix('+').unwrap_or(text);
    E164::parse(&format!("+{digits}"))
        .map_err(|error| ApiError::invalid("phoneNumber", format!("Not a phone number: {error}.")))
}

/// Makes an id that sorts by its time (RFC 9562 §5.7).
fn new_id(now_unix_ms: i64) -> Uuid {
    let ms = u64::try_from(now_unix_ms).unwrap_or(0);
    let nanos = u32::try_from(ms % 1000 * 1_000_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, ms / 1000, nanos))
}
