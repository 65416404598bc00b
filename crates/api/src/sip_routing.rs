//! The SIP routing configuration of a resource: its trunks, and the routes that choose among them.
//!
//! `PATCH /sip` is a JSON merge patch (RFC 7396) of the one document; the answer is the whole document. Routes
//! are a list, so a patch replaces all of them. Stored, it is what [`trunkline_storage::trunks`] keeps; the call
//! router reads it there when [`State::changed`](crate::State::changed) says so.

mod check;
mod configuration;
mod pattern;
mod reach;

pub use configuration::{IpVersion, PrivacyHeader, SipConfiguration, SipDomain, SipRoute, SipTrunk};
pub use pattern::{InvalidPattern, compile};
pub use reach::Reach;

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::path::{Route, route};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;
use trunkline_model::E164;
use trunkline_storage::{Error, trunks};

pub(crate) static ROUTES: &[Route] = &[
    route!("SipRouting_Get", GET, "/sip", SipRouting, read),
    route!("SipRouting_Update", PATCH, "/sip", SipRouting, update),
    route!("SipRouting_TestRoutesWithNumber", POST, "/sip:testRoutesWithNumber", SipRouting, test_routes),
];

async fn read(call: Call) -> Result<Response, ApiError> {
    let health = match call.query.value("expand") {
        None | Some("") => false,
        Some("trunks/health") => true,
        Some(_) => return Err(ApiError::invalid("expand", "Only trunks/health can be expanded.")),
    };
    let mut db = call.state.store.read().await?;
    let stored = trunks::configuration::<SipConfiguration>(&mut db, call.tenant()?.resource.id).await?;
    let mut body = document(&stored.configuration)?;
    if health {
        add_health(&mut body);
    }
    Ok(json(StatusCode::OK, &body))
}

async fn update(call: Call) -> Result<Response, ApiError> {
    let patch: Value = call.json()?;
    check::patch(&patch)?;
    let patch = Arc::new(patch);
    let resource = call.tenant()?.resource.id;
    // Somebody else's patch may come in between; then ours is merged again, into theirs.
    for _ in 0..ATTEMPTS_MAX {
        let mut db = call.state.store.read().await?;
        let stored = trunks::configuration::<SipConfiguration>(&mut db, resource).await?;
        drop(db);
        let (version, patch, state) = (stored.version, patch.clone(), call.state.clone());
        let merged = aside(move || {
            let mut merged = document(&stored.configuration)?;
            apply(&mut merged, &patch);
            check::configuration(&merged, &state.settings.reach)
        });
        let configuration = Arc::new(merged.await?);
        let (kept, now_unix_ms) = (configuration.clone(), call.state.now_unix_ms());
        let replaced: Result<bool, Error> = call
            .state
            .store
            .write(move |db| {
                Box::pin(async move { trunks::replace(db, resource, version, &*kept, now_unix_ms).await })
            })
            .await;
        if replaced? {
            return Ok(json(StatusCode::OK, &document(&configuration)?));
        }
    }
    Err(ApiError::unavailable())
}

/// Compiles patterns, which may take long, where no other request waits for it: neither in the store's writer nor on a
/// thread that serves connections.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // The work panicked, or the program ends.
        Err(_) => Err(ApiError::unavailable()),
    }
}

/// Says which routes a number would take, by the configuration in the body or, without one, by that in force.
async fn test_routes(call: Call) -> Result<Response, ApiError> {
    let number = call.query.value("targetPhoneNumber").unwrap_or_default();
    // A plus that was not encoded has become a space.
    let number = E164::parse(&format!("+{}", number.trim_start_matches(['+', ' '])))
        .map_err(|error| ApiError::invalid("targetPhoneNumber", format!("Not a phone number: {error}.")))?;
    let configuration = if call.body.is_empty() {
        let mut db = call.state.store.read().await?;
        trunks::configuration::<SipConfiguration>(&mut db, call.tenant()?.resource.id).await?.configuration
    } else {
        let asked: Value = call.json()?;
        let state = call.state.clone();
        aside(move || check::configuration(&asked, &state.settings.reach)).await?
    };
    let matching = aside(move || {
        let routes = configuration.routes.into_iter();
        Ok(routes.filter(|route| route.matches(number)).collect::<Vec<SipRoute>>())
    });
    Ok(json(StatusCode::OK, &serde_json::json!({ "matchingRoutes": matching.await? })))
}

/// Applies a merge patch (RFC 7396 §2).
fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            apply(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn document(configuration: &SipConfiguration) -> Result<Value, ApiError> {
    serde_json::to_value(configuration).map_err(|error| {
        tracing::error!(error = %error, "a SIP configuration cannot be written as JSON");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "The service failed.")
    })
}

/// Nothing is measured here, and that is what it says.
fn add_health(document: &mut Value) {
    let Some(trunks) = document.get_mut("trunks").and_then(Value::as_object_mut) else { return };
    for trunk in trunks.values_mut().filter_map(Value::as_object_mut) {
        let unknown = serde_json::json!({ "status": "unknown" });
        let health = serde_json::json!({ "tls": unknown, "ping": unknown, "overall": unknown });
        trunk.insert("health".to_owned(), health);
    }
}

/// Of those that clash one gets through each time, so this many at once all do; more are a broken client.
const ATTEMPTS_MAX: u32 = 32;

#[cfg(test)]
mod tests {
    use super::apply;
    use serde_json::{Value, json};

    #[test]
    fn merge_patches_do_what_the_examples_of_rfc_7396_show() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut target, patch, expected) in cases {
            apply(&mut target, &patch);
            assert_eq!(target, expected, "{patch}");
        }
        let mut target = json!(["a", "b"]);
        apply(&mut target, &Value::Null);
        assert_eq!(target, Value::Null);
    }
}
