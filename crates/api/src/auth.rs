//! Who asks: the tenant by the Host header, and its signature (HMAC-SHA256) over the raw request.

use crate::error::ApiError;
use crate::state::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use std::sync::Arc;
use trunkline_identity::signature::{self, Refusal, SignedRequest};
use trunkline_identity::{AccessKey, ResourceId};
use trunkline_numbers::eligibility::Profile;
use trunkline_storage::resources::Resource;

/// An authenticated resource.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    /// Its record, with who pays and how.
    pub(crate) resource: Arc<Resource>,
}

impl Tenant {
    /// Returns its id as part of the ids of its users.
    pub(crate) fn id(&self) -> ResourceId {
        ResourceId(self.resource.id)
    }

    /// Returns what the rules of provisioning look at. A unit that acts on it reads the record again with
    /// [`by_id_steady`](trunkline_storage::resources::by_id_steady) and takes [`profile`] of that (PROV-20).
    pub(crate) fn profile(&self) -> Profile {
        profile(&self.resource)
    }

    /// Returns the name of its acts in the audit log.
    pub(crate) fn actor(&self) -> String {
        format!("resource:{}", self.resource.id)
    }
}

/// Returns what the rules of provisioning look at in a resource's record (PROV-22: nothing else).
pub fn profile(resource: &Resource) -> Profile {
    let billing = &resource.billing;
    Profile {
        active: resource.suspended_unix_ms.is_none(),
        billing_country: billing.country.clone(),
        billing_verified: billing.verified_unix_ms.is_some(),
        class: billing.class,
        data_location: resource.data_location.clone(),
        emergency_address: billing.emergency_address_unix_ms.is_some(),
    }
}

/// Finds the tenant of a request and verifies that it signed its head, for which the body need not have come.
///
/// A host that no resource has and a signature that does not verify look the same from outside.
///
/// # Errors
/// 401 with the one answer for all of it; 403 when the resource is suspended.
pub(crate) async fn authenticate(state: &State, parts: &Parts) -> Result<Tenant, ApiError> {
    let host = host(parts).ok_or_else(ApiError::denied)?;
    let found = state.tenants.by_host(state, &host.to_ascii_lowercase()).await?;
    let resource = found.ok_or_else(|| {
        tracing::debug!(host, "refused: no resource has this host");
        ApiError::denied()
    })?;
    if let Err(refusal) = verify(state, parts, host, &resource) {
        // Anyone can bring this about, as often as they like.
        tracing::debug!(resource = %resource.name, refusal = %refusal, "refused: not authenticated");
        return Err(ApiError::denied());
    }
    if resource.suspended_unix_ms.is_some() {
        let message = "The resource is suspended.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "ResourceInactive", message));
    }
    Ok(Tenant { resource })
}

/// Verifies that the body is the one that was signed.
///
/// # Errors
/// 401.
pub(crate) fn check_body(parts: &Parts, body: &[u8]) -> Result<(), ApiError> {
    signature::verify_body(text(&parts.headers, "x-ms-content-sha256"), body).map_err(|refusal| {
        tracing::debug!(refusal = %refusal, "refused: not authenticated");
        ApiError::denied()
    })
}

fn verify(state: &State, parts: &Parts, host: &str, resource: &Resource) -> Result<usize, Refusal> {
    let keys = [&resource.primary_key, &resource.secondary_key].map(|key| AccessKey::from_bytes(&key.0));
    let keys: Vec<AccessKey> = keys.into_iter().flatten().collect();
    let request = SignedRequest {
        method: parts.method.as_str(),
        target: parts.uri.path_and_query().map_or("", |target| target.as_str()),
        host,
        // Only downloads of recordings are signed for another host than the one they go to.
        ms_host: None,
        date: text(&parts.headers, "x-ms-date"),
        content_sha256: text(&parts.headers, "x-ms-content-sha256"),
        authorization: text(&parts.headers, header::AUTHORIZATION.as_str()),
    };
    signature::verify(&request, &keys, state.now_unix_ms().div_euclid(1000))
}

/// The authority that the request was sent to.
fn host(parts: &Parts) -> Option<&str> {
    // HTTP/2 has it in the target (RFC 9113 §8.3.1).
    let authority = parts.uri.authority().map(axum::http::uri::Authority::as_str);
    text(&parts.headers, header::HOST.as_str()).or(authority)
}

/// The one value of a header; none when it comes twice, which no client does.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
