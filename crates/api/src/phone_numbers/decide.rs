//! Eligibility decided for the operations here, each time with a line in the log.

use crate::auth::profile;
use trunkline_numbers::eligibility::{Granted, Request};
use trunkline_numbers::{Denial, RuleBook};
use trunkline_storage::numbers::Terms;
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
