//! The latest texts of the resource, both ways.

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::timestamp::iso8601;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use trunkline_storage::messages::history::{self, Filter};
use trunkline_storage::messages::inbound::{self, InboundText};
use trunkline_storage::messages::{Content, Message};

/// How many texts of each direction are shown: what a person scrolls through, not an archive.
const TEXTS_MAX: u16 = 200;

/// Answers with the latest texts, the latest first.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let resource = call.tenant()?.resource.id;
    let mut db = call.state.store.read().await?;
    let filter = Filter { resource: Some(resource), ..Filter::default() };
    let sent = history::list(&mut db, &filter, None, TEXTS_MAX).await?;
    let received = inbound::of_resource(&mut db, resource, None, TEXTS_MAX).await?;
    let mut texts: Vec<(i64, Text)> = sent
        .into_iter()
        .map(|message| (message.created_unix_ms, Text::sent(message)))
        .chain(received.into_iter().map(|text| (text.received_unix_ms, Text::received(text))))
        .collect();
    texts.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let texts: Vec<Text> = texts.into_iter().map(|(_, text)| text).collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "messages": texts })))
}

/// A text as the console shows it.
#[derive(Serialize)]
struct Text {
    id: String,
    direction: &'static str,
    from: String,
    to: String,
    body: String,
    at: String,
    state: &'static str,
    detail: Option<String>,
    segments: u8,
    carrier: Option<String>,
}

impl Text {
    fn sent(message: Message) -> Self {
        let state = match &message.outcome {
            Some(outcome) => outcome.status.as_str(),
            None => message.state.as_str(),
        };
        Self {
            id: message.id.to_string(),
            direction: "out",
            from: message.from,
            to: message.to.to_string(),
            body: match message.content {
                Content::Text(text) => text,
                Content::Octets { octets, .. } => format!("({} octets of a segment)", octets.len()),
            },
            at: iso8601(message.created_unix_ms),
            state,
            detail: message
                .outcome
                .map(|outcome| format!("{} {}", outcome.code, outcome.detail).trim_end().to_owned()),
            segments: message.delivery.segments.unwrap_or(1),
            carrier: message.delivery.trunk.map(|trunk| trunk.to_string()),
        }
    }

    fn received(text: InboundText) -> Self {
        Self {
            id: text.public_id(),
            direction: "in",
            from: text.from,
            to: text.to,
            body: text.body,
            at: iso8601(text.received_unix_ms),
            state: if text.partial { "partial" } else { "received" },
            detail: None,
            segments: text.segments,
            carrier: Some(text.trunk.to_string()),
        }
    }
}
