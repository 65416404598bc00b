//! One request as its operation gets it.

use crate::auth::Tenant;
use crate::error::ApiError;
use crate::path::{Parameters, decode};
use crate::state::State;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// One request as its operation gets it: authenticated, of a known version, its body read.
pub(crate) struct Call {
    /// What every request shares.
    pub(crate) state: State,
    /// Who asks. None for the public documents only.
    pub(crate) tenant: Option<Tenant>,
    /// The `api-version`, as it goes into links.
    pub(crate) version: &'static str,
    /// The raw path.
    pub(crate) path: String,
    /// What the parameters of the path took.
    pub(crate) parameters: Parameters,
    /// The query.
    pub(crate) query: Query,
    /// The header.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// The query, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Call {
    /// Returns who asks.
    ///
    /// # Errors
    /// 401 for nobody, which no authenticated operation ever sees.
    pub(crate) fn tenant(&self) -> Result<&Tenant, ApiError> {
        self.tenant.as_ref().ok_or_else(ApiError::denied)
    }

    /// Reads the body, which must be there.
    ///
    /// # Errors
    /// 415 for another type than JSON, 400 for what cannot be read.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.check_content_type()?;
        if self.body.is_empty() {
            return Err(ApiError::bad_request("A JSON body is required."));
        }
        // Read into a structure, a list would be taken for its fields in order.
        if self.body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(ApiError::invalid("body", "The body must be a JSON object."));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::invalid("body", format!("The body cannot be read: {error}.")))
    }

    /// Reads the body where it may be left out.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub(crate) fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }

    fn check_content_type(&self) -> Result<(), ApiError> {
        let Some(value) = self.headers.get(header::CONTENT_TYPE) else { return Ok(()) };
        let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        let media_type = media_type.trim().to_ascii_lowercase();
        if media_type == "application/json" || media_type.ends_with("+json") {
            return Ok(());
        }
        let message = "The body must be application/json or application/merge-patch+json.";
        Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
            .with_target("Content-Type"))
    }
}

impl Query {
    /// Reads a raw query.
    ///
    /// # Errors
    /// 400 when an escape is broken.
    pub(crate) fn parse(raw: &str) -> Result<Self, ApiError> {
        let broken = || ApiError::invalid("query", "The query holds a broken percent-escape.");
        raw.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name, true).ok_or_else(broken)?, decode(value, true).ok_or_else(broken)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns the first value of a name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the first value of a name, parsed.
    ///
    /// # Errors
    /// 400 naming the parameter, when its value is not one.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let parse = |value: &str| {
            let invalid =
                |_| ApiError::invalid(name, format!("The query parameter {name} has no valid value."));
            value.parse().map_err(invalid)
        };
        self.value(name).map(parse).transpose()
    }
}

/// Answers with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, crate::error::JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "an answer cannot be written as JSON");
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                "The answer cannot be written.",
            )
            .into_response()
        }
    }
}
