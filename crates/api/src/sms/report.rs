//! `GET /deliveryReports/{id}`: how a text ended.

use crate::call::{Call, json};
use crate::error::ApiError;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use trunkline_model::event::{DeliveryAttempt, DeliveryStatus};
use trunkline_model::timestamp::rfc3339;
use trunkline_storage::messages::{MessageId, Source, Status, delivery, history};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryReport {
    delivery_status: &'static str,
    delivery_status_details: String,
    delivery_attempts: Vec<Value>,
    received_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    message_id: String,
    from: String,
    to: String,
}

pub(super) async fn get(call: Call) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found_problem("There is no delivery report of this message.");
    let id: MessageId = call.parameters.value("outgoingMessageId").parse().map_err(|_| unknown())?;
    let resource = call.tenant()?.resource.id;
    let mut db = call.state.store.read().await?;
    let message = history::by_id(&mut db, id).await?;
    let message = message.filter(|message| message.resource == resource && message.source == Source::Api);
    let message = message.ok_or_else(unknown)?;
    let outcome = message.outcome.as_ref().ok_or_else(unknown)?;
    let counts = message.counts(&delivery::segments(&mut db, &[message.seq]).await?);
    let status = match outcome.status {
        Status::Delivered => DeliveryStatus::Delivered,
        Status::Failed | Status::Expired | Status::Unknown => DeliveryStatus::Failed,
    };
    let attempt = DeliveryAttempt {
        unix_ms: outcome.ended_unix_ms,
        segments_succeeded: counts.succeeded,
        segments_failed: counts.failed,
    };
    let report = DeliveryReport {
        delivery_status: status.as_str(),
        delivery_status_details: outcome.details(),
        delivery_attempts: vec![attempt.json()],
        received_timestamp: rfc3339(outcome.ended_unix_ms),
        tag: message.tag,
        message_id: id.to_string(),
        from: message.from,
        to: message.to.to_string(),
    };
    Ok(json(StatusCode::OK, &report))
}
