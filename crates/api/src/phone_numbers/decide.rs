//! Eligibility decided for the operations here, each time with a line in the log.

use crate::auth::profile;
use crate::state::State;
use trunkline_numbers::eligibility::{Granted, Request};
use trunkline_numbers::{Denial, RuleBook, nanp};
use trunkline_storage::numbers::{Number, Terms};
use trunkline_storage::resources::Resource;

/// Decides whether a resource may have what it asks for.
pub(super) fn decide(rules: &RuleBook, resource: &Resource, request: &Request) -> Result<Granted, Denial> {
    let decision = rules.decide(&profile(resource), request);
    let (table, version) = (decision.table.as_str(), decision.version.as_str());
    match &decision.outcome {
        Ok(granted) => {
            tracing::info!(resource = %resource.name, table, version, offer = granted.offer, "eligible");
        }
        Err(denial) => {
            tracing::info!(resource = %resource.name, table, version, denial = denial.code(), "not eligible");
        }
    }
    decision.outcome
}

/// Says whether a number of the inventory may be sold here at all, by the rules of its area code (NUM-02 to NUM-11).
/// Those of other country codes have none.
pub(super) fn may_be_sold(state: &State, number: &Number) -> bool {
    let imported = &number.imported;
    if !imported.number.digits().starts_with('1') {
        return true;
    }
    let environment = state.settings.environment;
    match nanp::provisionable(&imported.number, &imported.country, imported.number_type, environment) {
        Ok(_) => true,
        Err(violation) => {
            tracing::warn!(violation = %violation, "a number of the inventory may not be sold");
            false
        }
    }
}

/// The terms under which a granted request is bought.
pub(super) fn terms(granted: Granted, request: &Request) -> Terms {
    Terms {
        assignment_type: request.assignment,
        calling: request.calling,
        sms: request.sms,
        monthly_cost_minor: granted.monthly_cost_minor,
        currency: granted.currency,
    }
}
