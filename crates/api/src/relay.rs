//! Where clients find TURN servers, and the credentials for them (the REST API scheme of coturn).

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::limits::Counted;
use crate::path::{Route, route};
use crate::timestamp::iso8601;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::fmt;
use trunkline_identity::{RelayCredential, UserId};
use trunkline_storage::identities;
use uuid::Uuid;

pub(crate) static ROUTES: &[Route] = &[route!(
    "CommunicationNetworkTraversal_IssueRelayConfiguration",
    POST,
    "/networkTraversal/:issueRelayConfiguration",
    NetworkTraversal,
    issue
)];

/// The STUN and TURN servers that clients are told of.
#[derive(Clone, Default)]
pub struct RelaySettings {
    /// `stun:` and `turn:` URIs (RFC 7064, RFC 7065). Empty where there are no servers.
    pub urls: Vec<String>,
    /// What is shared with the TURN servers.
    pub secret: String,
}

impl fmt::Debug for RelaySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelaySettings").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// Longest life of a credential, and the one where none is asked for: two days, as in the public service.
const TTL_SECS_MAX: i64 = 172_800;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IssueRequest {
    id: Option<String>,
    route_type: Option<RouteType>,
    ttl: Option<i64>,
}

/// Which servers are wanted. Ours are all where the gateway is.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum RouteType {
    Any,
    Nearest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RelayConfiguration {
    expires_on: String,
    ice_servers: Vec<IceServer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IceServer {
    urls: Vec<String>,
    username: String,
    credential: String,
    route_type: RouteType,
}

async fn issue(call: Call) -> Result<Response, ApiError> {
    let request: IssueRequest = call.json_or_default()?;
    let ttl = request.ttl.unwrap_or(TTL_SECS_MAX);
    if !(0..=TTL_SECS_MAX).contains(&ttl) {
        return Err(ApiError::invalid("ttl", format!("The time to live is 0 to {TTL_SECS_MAX} seconds.")));
    }
    let tenant = call.tenant()?;
    let now_unix_ms = call.state.now_unix_ms();
    call.state.limits.count(tenant.resource.id, Counted::Issue, now_unix_ms)?;
    let user = match &request.id {
        Some(id) => user_of(&call, id).await?,
        // The server tells credentials apart by it, to count what each relays.
        None => Uuid::new_v4(),
    };
    let expires = now_unix_ms.div_euclid(1000) + ttl;
    let RelaySettings { urls, secret } = &call.state.settings.relay;
    let RelayCredential { username, password } =
        RelayCredential::issue(secret.as_bytes(), &user.to_string(), expires);
    let server = IceServer {
        urls: urls.clone(),
        username,
        credential: password,
        route_type: request.route_type.unwrap_or(RouteType::Any),
    };
    // Without servers clients do without: that is no error to them.
    let ice_servers = if urls.is_empty() { Vec::new() } else { vec![server] };
    let expires_on = iso8601(expires * 1000);
    Ok(json(StatusCode::OK, &RelayConfiguration { expires_on, ice_servers }))
}

/// Returns the user of this resource that has the id.
async fn user_of(call: &Call, id: &str) -> Result<Uuid, ApiError> {
    let unknown = || ApiError::invalid("id", "The identity is not one of this resource.");
    let tenant = call.tenant()?;
    let user: UserId = id.parse().map_err(|_| unknown())?;
    if user.resource != tenant.id() {
        return Err(unknown());
    }
    let mut db = call.state.store.read().await?;
    let known = identities::tokens_valid_from(&mut db, tenant.resource.id, user.user).await?;
    known.map(|_| user.user).ok_or_else(unknown)
}
