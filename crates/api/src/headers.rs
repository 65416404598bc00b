//! Header fields that every answer carries.

use crate::version::Service;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use uuid::Uuid;

/// What of a request comes back with its answer.
pub(crate) struct Echo {
    client_request_id: Option<HeaderValue>,
    correlation: Option<HeaderValue>,
}

impl Echo {
    /// Takes it from the request's header.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let short = |name: &HeaderName| {
            headers.get(name).filter(|value| value.len() <= ECHO_BYTES_MAX && value.to_str().is_ok()).cloned()
        };
        Self { client_request_id: short(&CLIENT_REQUEST_ID), correlation: short(&CORRELATION) }
    }

    /// Writes it into the answer's header, with the versions of the service.
    pub(crate) fn write(self, service: Option<Service>, headers: &mut HeaderMap) {
        if let Some(id) = self.client_request_id {
            headers.insert(CLIENT_REQUEST_ID, id);
        }
        let correlation = self.correlation.or_else(|| HeaderValue::try_from(new_correlation()).ok());
        if let Some(correlation) = correlation {
            headers.insert(CORRELATION, correlation);
        }
        let versions = service.and_then(Service::supported);
        if let Some(versions) = versions.and_then(|versions| HeaderValue::try_from(versions).ok()) {
            headers.insert(SUPPORTED_VERSIONS, versions);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
}

/// A correlation vector: 22 characters of base64, and the first position under it.
fn new_correlation() -> String {
    format!("{}.0", STANDARD_NO_PAD.encode(Uuid::new_v4().as_bytes()))
}

/// Longest value that is given back. Clients send a UUID.
const ECHO_BYTES_MAX: usize = 256;

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const CORRELATION: HeaderName = HeaderName::from_static("ms-cv");
const SUPPORTED_VERSIONS: HeaderName = HeaderName::from_static("api-supported-versions");
