//! `api-version`: which are served, per service.

use crate::error::ApiError;
use axum::http::StatusCode;

/// A group of operations that shares its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Users and their tokens.
    Identity,
    /// Phone numbers.
    PhoneNumbers,
    /// Trunks and routes.
    SipRouting,
    /// Texts.
    Sms,
    /// STUN and TURN servers.
    NetworkTraversal,
    /// What the console asks beyond that, which is of one piece with it and has no versions.
    Console,
    /// Public documents, which have no versions.
    Documents,
}

impl Service {
    /// Returns the versions served, oldest first.
    pub(crate) fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01"],
            Self::PhoneNumbers => &["2021-03-07", "2022-12-01", "2025-02-11", "2025-04-01", "2025-06-01"],
            Self::SipRouting => &["2023-03-01", "2024-11-15-preview"],
            Self::Sms => &[
                "2021-03-07",
                "2024-12-10-preview",
                "2025-05-29-preview",
                "2025-08-01-preview",
                "2026-01-23",
            ],
            Self::NetworkTraversal => &["2022-03-01-preview"],
            Self::Console | Self::Documents => &[],
        }
    }

    /// Returns the value of `api-supported-versions`.
    pub(crate) fn supported(self) -> Option<String> {
        let versions = self.versions();
        (!versions.is_empty()).then(|| versions.join(", "))
    }

    /// Returns the version asked for as it is known here.
    pub(crate) fn check(self, asked: Option<&str>, path: &str) -> Result<&'static str, ApiError> {
        if self.versions().is_empty() {
            return Ok("");
        }
        let known = asked.and_then(|asked| {
            self.versions().iter().copied().find(|version| version.eq_ignore_ascii_case(asked))
        });
        known.ok_or_else(|| {
            let message = match asked {
                Some(asked) => format!(
                    "The HTTP resource that matches the request URI '{path}' does not support the API version '{asked}'."
                ),
                None => "An API version is required, but was not specified.".to_owned(),
            };
            ApiError::new(StatusCode::BAD_REQUEST, "UnsupportedApiVersion", message).with_target("api-version")
        })
    }
}
