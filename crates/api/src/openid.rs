//! The public documents about user tokens: who issues them, and the keys that verify them (OpenID Connect
//! Discovery 1.0 §4, RFC 7517 §5).

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::keys;
use crate::path::{Route, route};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use trunkline_identity::VerifyingKey;

pub(crate) static ROUTES: &[Route] = &[
    route!("OpenId_Configuration", GET, "/.well-known/openid-configuration", Documents, configuration),
    route!("OpenId_Keys", GET, "/.well-known/jwks.json", Documents, key_set),
];

async fn configuration(call: Call) -> Result<Response, ApiError> {
    let issuer = &call.state.settings.issuer;
    let body = serde_json::json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
    });
    Ok(cached(json(StatusCode::OK, &body)))
}

async fn key_set(call: Call) -> Result<Response, ApiError> {
    let keys = keys::current(&call.state).await?;
    let keys: Vec<_> = keys.verifying.iter().map(VerifyingKey::to_jwk).collect();
    Ok(cached(json(StatusCode::OK, &serde_json::json!({ "keys": keys }))))
}

/// A new key signs at once, so whoever meets one that is not in its copy has to fetch the set again anyway.
fn cached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
