//! Whether the resource may have a kind of number, and which rules decided (PROV rules).

use crate::call::{Call, json};
use crate::error::ApiError;
use axum::http::StatusCode;
use axum::response::Response;
use std::str::FromStr;
use trunkline_model::AssignmentType;
use trunkline_numbers::eligibility::Request;

/// Answers with the decision and the steps that led to it. Nothing is held or logged: it is a question.
pub(super) async fn explain(call: Call) -> Result<Response, ApiError> {
    let profile = call.tenant()?.profile();
    let request = Request {
        number_country: required::<String>(&call, "country")?.to_ascii_uppercase(),
        number_type: required(&call, "phoneNumberType")?,
        assignment: AssignmentType::Application,
        calling: required(&call, "calling")?,
        sms: required(&call, "sms")?,
        area_code: None,
    };
    let decision = call.state.rules.load().decide(&profile, &request);
    let path: Vec<_> = decision
        .path
        .iter()
        .map(|verdict| {
            let outcome = if verdict.passed { "passed" } else { "refused" };
            let outcome = format!("{:?} {outcome}: {}", verdict.step, verdict.detail);
            serde_json::json!({ "rule": verdict.step.rules(), "outcome": outcome })
        })
        .collect();
    let body = serde_json::json!({
        "allowed": decision.outcome.is_ok(),
        "table": decision.table,
        "denial": decision.outcome.as_ref().err().map(|denial| denial.code()),
        "path": path,
    });
    Ok(json(StatusCode::OK, &body))
}

fn required<T: FromStr>(call: &Call, name: &str) -> Result<T, ApiError> {
    call.query
        .parsed(name)?
        .ok_or_else(|| ApiError::invalid(name, format!("The query parameter {name} is required.")))
}
