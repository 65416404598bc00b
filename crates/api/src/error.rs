//! The one shape of every refusal.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use trunkline_numbers::Denial;
use uuid::Uuid;

/// Why a request is refused: a status, and the body `{"error":{…}}` that the clients read.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Refusal>);

#[derive(Debug, Clone)]
struct Refusal {
    status: StatusCode,
    retry_after_secs: Option<u32>,
    allow: Option<String>,
    problem: Option<Problem>,
    error: Body,
}

/// The form that the texts API adds to its refusals beside `error`: problem details (RFC 9457).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// What is wrong with each field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: BTreeMap<&'static str, Vec<String>>,
    trace_id: String,
}

/// The error of the body, of its details and of its inner error.
#[derive(Debug, Clone, Serialize)]
struct Body {
    code: Cow<'static, str>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    innererror: Option<Box<Body>>,
}

impl ApiError {
    /// Refuses with a stable code, and a sentence for the customer.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let error = Body {
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            innererror: None,
        };
        Self(Box::new(Refusal { status, retry_after_secs: None, allow: None, problem: None, error }))
    }

    /// 400: the request does not say what it should.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 400 about one field, parameter or header.
    pub fn invalid(target: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_request(message).with_target(target)
    }

    /// 400 about one field, with problem details beside the error.
    pub(crate) fn validation(field: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let errors = BTreeMap::from([(field, vec![message.clone()])]);
        Self::invalid(field, message).with_problem("One or more validation errors occurred.", errors)
    }

    /// 404 with problem details beside the error.
    pub(crate) fn not_found_problem(message: impl Into<String>) -> Self {
        Self::not_found(message).with_problem("Not Found", BTreeMap::new())
    }

    fn with_problem(mut self, title: &'static str, errors: BTreeMap<&'static str, Vec<String>>) -> Self {
        let status = self.status();
        // The sections of RFC 9110 that say what the statuses mean.
        let kind = match status {
            StatusCode::NOT_FOUND => "https://tools.ietf.org/html/rfc9110#section-15.5.5",
            _ => "https://tools.ietf.org/html/rfc9110#section-15.5.1",
        };
        let (trace, span) = (Uuid::new_v4().simple(), Uuid::new_v4().as_u64_pair().0);
        let trace_id = format!("00-{trace}-{span:016x}-00");
        self.0.problem = Some(Problem { kind, title, status: status.as_u16(), errors, trace_id });
        self
    }

    /// 404: no such thing, or not this tenant's.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 409: it clashes with what is.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// 429: too much too fast.
    pub fn too_many_requests(retry_after_secs: u32) -> Self {
        let message = "The rate limit of the resource was reached. Try again later.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
            .with_retry_after(retry_after_secs)
    }

    /// 503: not now. Clients send the same request again after the pause.
    pub fn unavailable() -> Self {
        let message = "The service cannot do this at the moment. Try again later.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).with_retry_after(1)
    }

    /// 401, in the words of the public service for whatever is wrong with the credentials.
    pub(crate) fn denied() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Denied", "Denied by the resource provider.")
    }

    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let message = format!("The resource answers to {allow} only.");
        let mut error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        error.0.allow = Some(allow);
        error
    }

    /// Names the field, parameter or header at fault.
    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.0.error.target = Some(target.into());
        self
    }

    /// Adds another error, with what belongs to it, under `details`.
    #[must_use]
    pub fn with_detail(mut self, detail: Self) -> Self {
        self.0.error.details.push(detail.0.error);
        self
    }

    /// Gives the more specific error underneath, as `innererror`.
    #[must_use]
    pub fn with_inner(mut self, inner: Self) -> Self {
        self.0.error.innererror = Some(Box::new(inner.0.error));
        self
    }

    /// Asks for a pause. Clients retry whatever carries this, so only on 429 and 503.
    #[must_use]
    pub fn with_retry_after(mut self, secs: u32) -> Self {
        self.0.retry_after_secs = Some(secs);
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the stable code.
    pub fn code(&self) -> &str {
        &self.0.error.code
    }

    /// Returns the sentence.
    pub fn message(&self) -> &str {
        &self.0.error.message
    }
}

/// The body of an answer.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    problem: Option<&'a Problem>,
    error: &'a Body,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let document = Document { problem: self.0.problem.as_ref(), error: &self.0.error };
        // Strings, numbers and maps of strings always serialise.
        let body = serde_json::to_string(&document).unwrap_or_default();
        let mut response = (self.0.status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        let headers = response.headers_mut();
        if let Ok(code) = HeaderValue::from_str(&self.0.error.code) {
            headers.insert(ERROR_CODE, code);
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §11.6.1.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("HMAC-SHA256"));
        }
        if let Some(secs) = self.0.retry_after_secs {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        if let Some(allow) = self.0.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

impl From<trunkline_storage::Error> for ApiError {
    fn from(error: trunkline_storage::Error) -> Self {
        use trunkline_storage::Error;
        match error {
            Error::Contended { .. } | Error::Busy => Self::unavailable(),
            // Nobody can say whether it was written; whoever sends it again finds out.
            Error::Open(_) | Error::DiskFull | Error::CommitUnknown(_) | Error::Stopped => {
                tracing::error!(error = %error, "the store cannot be used");
                Self::unavailable()
            }
            error => {
                tracing::error!(error = %error, "the store failed");
                let message = "The service failed; the operator's log says why.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
            }
        }
    }
}

impl From<Denial> for ApiError {
    /// The stable code of the decision (A.4) with its status.
    fn from(denial: Denial) -> Self {
        let status = StatusCode::from_u16(denial.http_status()).unwrap_or(StatusCode::FORBIDDEN);
        Self::new(status, denial.code(), sentence(denial))
    }
}

/// What the customer is told. Which rule it was, the operator can ask (`trunkline number explain`).
fn sentence(denial: Denial) -> &'static str {
    match denial {
        Denial::ResourceInactive => "The resource is suspended.",
        Denial::BillingAddressMissing => "The resource has no billing address on record.",
        Denial::BillingAddressUnverified => "The billing address of the resource was not verified yet.",
        Denial::SubscriptionNotEligible => "A paid subscription is needed to acquire phone numbers.",
        Denial::NumberCountryNotOffered => "Phone numbers of this country are not offered.",
        Denial::BillingCountryNotEligible => {
            "Phone numbers of this country are not offered to the country of the billing address."
        }
        Denial::NumberTypeNotOffered => "Phone numbers of this type are not offered in this country.",
        Denial::AssignmentTypeNotAllowed => {
            "This assignment type is not allowed for this type of phone number."
        }
        Denial::CapabilityNotSupported => "The capabilities are not offered for this type of phone number.",
        Denial::AreaCodeInvalid => "The area code does not belong to this country and type of phone number.",
        Denial::EmergencyAddressRequired => {
            "An emergency address must be on file before this phone number can be acquired."
        }
    }
}

pub(crate) const JSON: &str = "application/json; charset=utf-8";
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");
