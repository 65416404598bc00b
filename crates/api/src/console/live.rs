//! The calls of the resource that are up now, and what their legs see.

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::timestamp::iso8601;
use axum::http::StatusCode;
use axum::response::Response;
use std::pin::Pin;
use trunkline_model::{CallId, E164, LegQuality};
use trunkline_storage::numbers;
use uuid::Uuid;

/// Who knows the calls that are up now: the process that has them.
pub trait LiveCalls: Send + Sync {
    /// Returns all of them.
    fn look(&self) -> Pin<Box<dyn Future<Output = Vec<LiveCall>> + Send + '_>>;
}

/// A call that is up now.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveCall {
    /// The call.
    pub call: CallId,
    /// The user part of From, as received.
    pub from: String,
    /// The user part of the request URI, as received.
    pub to: String,
    /// When it was let in.
    pub started_unix_ms: i64,
    /// When it was answered.
    pub answered_unix_ms: Option<i64>,
    /// What the caller's leg has seen so far.
    pub caller: Option<LegQuality>,
    /// What the callee's leg has seen so far.
    pub callee: Option<LegQuality>,
}

/// How many calls are shown: more than a person looks at one by one.
const CALLS_MAX: usize = 200;

/// Answers with the calls from or to a number or a user of the resource, the latest first.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let resource = call.tenant()?.resource.id;
    let mut calls = match call.state.live_calls() {
        Some(live) => live.look().await,
        None => Vec::new(),
    };
    let parties: Vec<E164> =
        calls.iter().flat_map(|call| [&call.from, &call.to]).filter_map(|text| number(text)).collect();
    let mut db = call.state.store.read().await?;
    let ours = numbers::owned_among(&mut db, resource, &parties).await?;
    drop(db);
    let is_ours = |text: &str| {
        number(text).is_some_and(|number| ours.contains(&number))
            || user_of(text).is_some_and(|of| of == resource)
    };
    calls.retain(|call| is_ours(&call.from) || is_ours(&call.to));
    calls.sort_by_key(|call| std::cmp::Reverse(call.started_unix_ms));
    let shown: Vec<_> = calls.iter().take(CALLS_MAX).map(shown).collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "calls": shown })))
}

/// Reads a number as a trunk or a person writes it: with or without `+`, with or without the 1.
fn number(text: &str) -> Option<E164> {
    let completed = |prefix| E164::parse(&format!("{prefix}{text}")).ok().filter(E164::is_nanp);
    E164::parse(text).ok().or_else(|| completed("+")).or_else(|| completed("+1"))
}

/// Returns the resource of a user, of whom a SIP URI has what follows `8:acs:`.
fn user_of(text: &str) -> Option<Uuid> {
    let (resource, _) = text.strip_prefix("8:acs:").unwrap_or(text).split_once('_')?;
    resource.parse().ok()
}

fn shown(call: &LiveCall) -> serde_json::Value {
    let legs = [("caller", &call.caller), ("callee", &call.callee)];
    let legs = legs.into_iter().filter_map(|(side, leg)| leg.as_ref().map(|leg| quality(side, leg)));
    serde_json::json!({
        "id": call.call.to_string(),
        "from": call.from,
        "to": call.to,
        "startedAt": iso8601(call.started_unix_ms),
        "answeredAt": call.answered_unix_ms.map(iso8601),
        "legs": legs.collect::<Vec<_>>(),
    })
}

fn quality(side: &str, leg: &LegQuality) -> serde_json::Value {
    serde_json::json!({
        "side": side,
        "codec": leg.codec,
        "packetsReceived": leg.packets_received,
        "packetsLost": leg.packets_lost,
        "jitterMs": leg.jitter_ms_max,
        "mos": leg.mos,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_read_as_trunks_and_browsers_write_them() {
        let number = |text| super::number(text).map(|number| number.to_string());
        assert_eq!(number("+14255550100").as_deref(), Some("+14255550100"));
        assert_eq!(number("+18335550199").as_deref(), Some("+18335550199"));
        assert_eq!(number("14255550100").as_deref(), Some("+14255550100"));
        assert_eq!(number("4255550100").as_deref(), Some("+14255550100"));
        assert_eq!(number("alice"), None);
        let resource = Uuid::from_u128(7);
        for text in [format!("8:acs:{resource}_x"), format!("{resource}_x")] {
            assert_eq!(user_of(&text), Some(resource));
        }
        assert_eq!(user_of("alice_bob"), None);
    }
}
