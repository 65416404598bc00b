//! The link by which a person confirms an event subscription whose endpoint cannot.
//!
//! Event Grid sends it along with the validation code; whoever can read what the endpoint was sent may say for it that
//! it wants the events.

use crate::call::Call;
use crate::error::ApiError;
use crate::path::{Route, route};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use trunkline_storage::{Error, events};
use uuid::Uuid;

pub(crate) static ROUTES: &[Route] = &[route!(
    "EventSubscriptions_Validate",
    GET,
    "/eventSubscriptions/{subscriptionId}/validate",
    Documents,
    validate
)];

/// Returns the link, where `base` is the URL under which the API is reached.
pub fn validation_url(base: &str, subscription: Uuid, code: Uuid) -> String {
    format!("{base}/eventSubscriptions/{subscription}/validate?code={code}")
}

async fn validate(call: Call) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("There is no such subscription, or it waits for no confirmation.");
    let id: Uuid = call.parameters.value("subscriptionId").parse().map_err(|_| unknown())?;
    let code = call.query.parsed::<Uuid>("code")?.ok_or_else(unknown)?;
    // Anyone may ask: nothing is written for those who do not know the code.
    let found = events::by_id(&mut call.state.store.read().await?, id).await?;
    found.filter(|found| found.validation_code == code).ok_or_else(unknown)?;
    let now_unix_ms = call.state.now_unix_ms();
    let settled: Result<bool, Error> = call
        .state
        .store
        .write(move |db| Box::pin(async move { events::settle_by_code(db, id, code, now_unix_ms).await }))
        .await;
    if settled? {
        return Ok((StatusCode::OK, "The endpoint is told of events from now on.\n").into_response());
    }
    Err(unknown())
}
