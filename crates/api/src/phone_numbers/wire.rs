//! The bodies of the phone number operations, as the clients of 2025-06-01 write and read them.

use crate::timestamp::iso8601;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trunkline_model::{AssignmentType, Capability, E164, NumberType};
use trunkline_storage::numbers::{Owned, Terms};

/// What a number can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Capabilities {
    pub(super) calling: Capability,
    pub(super) sms: Capability,
}

/// What a number is to be able to do, as far as it is said.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct SomeCapabilities {
    pub(super) calling: Option<Capability>,
    pub(super) sms: Option<Capability>,
}

/// What a month costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cost {
    amount: f64,
    currency_code: String,
    billing_frequency: &'static str,
}

/// Asks for numbers to be found and held.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchRequest {
    pub(super) phone_number_type: NumberType,
    pub(super) assignment_type: AssignmentType,
    pub(super) capabilities: Capabilities,
    pub(super) area_code: Option<String>,
    pub(super) quantity: Option<i64>,
}

/// The numbers that a search holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchResult {
    pub(super) search_id: String,
    pub(super) phone_numbers: Vec<String>,
    pub(super) phone_number_type: NumberType,
    pub(super) assignment_type: AssignmentType,
    pub(super) capabilities: Capabilities,
    pub(super) cost: Cost,
    pub(super) search_expires_by: String,
    pub(super) is_agreement_to_not_resell_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<i32>,
    pub(super) error: &'static str,
}

/// Asks for what a search holds to be bought.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PurchaseRequest {
    pub(super) search_id: String,
    #[serde(default)]
    #[expect(dead_code, reason = "no number sold here needs the agreement, but its type is checked")]
    agree_to_not_resell: Option<bool>,
}

/// Asks for what a reservation holds to be bought; may be left out whole.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReservationPurchaseRequest {
    #[serde(default)]
    #[expect(dead_code, reason = "no number sold here needs the agreement, but its type is checked")]
    agree_to_not_resell: Option<bool>,
}

/// A number that a resource owns. No field may be called `status`: a client takes the answer for an operation
/// that still runs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PurchasedNumber {
    id: String,
    phone_number: String,
    country_code: String,
    phone_number_type: NumberType,
    capabilities: Capabilities,
    assignment_type: AssignmentType,
    purchase_date: String,
    cost: Cost,
}

/// Asks which numbers there are to choose from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BrowseRequest {
    pub(super) phone_number_type: NumberType,
    pub(super) capabilities: Option<SomeCapabilities>,
    pub(super) assignment_type: Option<AssignmentType>,
    pub(super) phone_number_prefixes: Option<Vec<String>>,
}

/// Numbers to choose from, in no order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BrowseResult {
    pub(super) phone_numbers: Vec<AvailableNumber>,
}

/// A number to choose, or one that was chosen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AvailableNumber {
    pub(super) id: String,
    pub(super) country_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phone_number: Option<String>,
    pub(super) capabilities: Capabilities,
    pub(super) phone_number_type: NumberType,
    pub(super) assignment_type: AssignmentType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<Cost>,
    pub(super) status: Availability,
    pub(super) is_agreement_to_not_resell_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<NumberError>,
}

/// How a chosen number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Availability {
    Available,
    Reserved,
    Expired,
    Error,
    Purchased,
}

/// Why a number could not be reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct NumberError {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// A merge patch of a reservation (RFC 7396): null takes a number out.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ReservationPatch {
    pub(super) phone_numbers: Option<BTreeMap<String, Option<ChosenNumber>>>,
}

/// A number to add to a reservation. One client sends `id` and `phoneNumber` too, the other neither: the key
/// under which it stands is what names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChosenNumber {
    pub(super) country_code: String,
    pub(super) capabilities: Capabilities,
    pub(super) phone_number_type: NumberType,
    pub(super) assignment_type: AssignmentType,
}

/// A reservation; a list of them leaves the numbers out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservation {
    pub(super) id: String,
    pub(super) expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phone_numbers: Option<BTreeMap<String, AvailableNumber>>,
    pub(super) status: ReservationStatus,
}

/// How far a reservation has come. The word `submitted` of the public service never applies: a purchase is over
/// when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ReservationStatus {
    Active,
    Completed,
    Expired,
}

/// A country with numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Country {
    pub(super) localized_name: String,
    pub(super) country_code: String,
}

/// A place with numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Locality {
    pub(super) localized_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) administrative_division: Option<Division>,
}

/// A state, province or territory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Division {
    pub(super) localized_name: String,
    pub(super) abbreviated_name: String,
}

/// A kind of number that the resource may have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offering {
    pub(super) phone_number_type: NumberType,
    pub(super) assignment_type: AssignmentType,
    pub(super) available_capabilities: Capabilities,
    pub(super) cost: Cost,
}

/// An area code with numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AreaCode {
    pub(super) area_code: String,
}

/// Asks what is known of numbers, whoever has them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperatorRequest {
    pub(super) phone_numbers: Vec<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "there are no further details to include, but the type is checked")]
    options: Option<OperatorOptions>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperatorOptions {
    #[serde(default)]
    #[expect(dead_code, reason = "there are no further details to include, but the type is checked")]
    include_additional_operator_details: Option<bool>,
}

/// What is known of numbers.
#[derive(Debug, Serialize)]
pub(super) struct OperatorResult {
    pub(super) values: Vec<OperatorInformation>,
}

/// What is known of a number.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OperatorInformation {
    pub(super) phone_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) national_format: Option<String>,
    pub(super) international_format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iso_country_code: Option<String>,
    pub(super) number_type: OperatorNumberType,
}

/// Kind of number, as far as its digits tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum OperatorNumberType {
    Unknown,
    Other,
    Geographic,
}

impl Cost {
    pub(super) fn monthly(amount_minor: i64, currency: &str) -> Self {
        // Exact below 2^53 minor units; every currency sold in has two decimals or is written as if it had.
        let amount = amount_minor as f64 / 100.0;
        Self { amount, currency_code: currency.to_owned(), billing_frequency: "monthly" }
    }

    pub(super) fn of(terms: &Terms) -> Self {
        Self::monthly(terms.monthly_cost_minor, &terms.currency)
    }
}

impl Capabilities {
    pub(super) fn of(terms: &Terms) -> Self {
        Self { calling: terms.calling, sms: terms.sms }
    }
}

impl From<&Owned> for PurchasedNumber {
    fn from(owned: &Owned) -> Self {
        let Owned { assignment, country, number_type, .. } = owned;
        Self {
            id: assignment.number.digits().to_owned(),
            phone_number: assignment.number.to_string(),
            country_code: country.clone(),
            phone_number_type: *number_type,
            capabilities: Capabilities::of(&assignment.terms),
            assignment_type: assignment.terms.assignment_type,
            purchase_date: iso8601(assignment.started_unix_ms),
            cost: Cost::of(&assignment.terms),
        }
    }
}

/// Returns the number that an id stands for: its digits, with a plus in front or without.
pub(super) fn number_of_id(id: &str) -> Option<E164> {
    E164::parse(&format!("+{}", id.strip_prefix('+').unwrap_or(id))).ok()
}
