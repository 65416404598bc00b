//! One event on its way to one endpoint.

use super::{Shared, now_unix_ms, signature};
use crate::http_client::{Answer, HttpError};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use serde_json::json;
use std::time::Duration;
use trunkline_model::event::{DATA_VERSION, METADATA_VERSION, Notice};
use trunkline_storage::events::{Auth, Schema, Subscription};
use trunkline_storage::jobs::Job;
use trunkline_storage::resources::Secret;

/// Where events of a subscription go, and how.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) subscription: Subscription,
    /// What stands for the resource in its events.
    pub(super) topic: String,
}

/// How a delivery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The endpoint has it.
    Delivered,
    /// It may have it later.
    Failed {
        /// Why.
        why: String,
        /// The pause that it asks for.
        pause: Option<Duration>,
    },
    /// It will never have it.
    Refused {
        /// Why.
        why: String,
    },
}

/// What is asked of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To take an event; how often it was tried before.
    Notification {
        /// Attempts before this one.
        before: u16,
    },
    /// To prove that it wants events.
    Validation,
}

impl Endpoint {
    /// Delivers an event.
    pub(super) async fn deliver(&self, shared: &Shared, job: &Job) -> Outcome {
        let Ok(notice) = serde_json::from_value::<Notice>(job.payload.clone()) else {
            return Outcome::Refused { why: "it is no event that this program knows".to_owned() };
        };
        let body = match self.subscription.schema {
            Schema::EventGrid => json!([notice.event_grid(&self.topic)]),
            Schema::CloudEvents => notice.cloud_event(&self.topic),
        };
        let purpose = Purpose::Notification { before: job.attempt.saturating_sub(1) };
        match self.post(shared, purpose, &notice.id, body.to_string()).await {
            Ok(answer) => judge(&answer),
            Err(error) => Outcome::Failed { why: error.to_string(), pause: None },
        }
    }

    /// Posts a body.
    pub(super) async fn post(
        &self,
        shared: &Shared,
        purpose: Purpose,
        id: &str,
        body: String,
    ) -> Result<Answer, HttpError> {
        let url = shared.client.url(&self.subscription.url)?;
        let request = self.request(Method::POST, url, purpose, id, Bytes::from(body))?;
        shared.client.send(request, shared.limits()).await
    }

    /// Makes a request with everything in its header that an endpoint may look at.
    pub(super) fn request(
        &self,
        method: Method,
        url: Uri,
        purpose: Purpose,
        id: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let subscription = &self.subscription;
        let mut headers = HeaderMap::new();
        if method == Method::POST {
            let media_type = match subscription.schema {
                Schema::EventGrid => "application/json; charset=utf-8",
                Schema::CloudEvents => "application/cloudevents+json; charset=utf-8",
            };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let (kind, before) = match purpose {
            Purpose::Notification { before } => ("Notification", before),
            Purpose::Validation => ("SubscriptionValidation", 0),
        };
        headers.insert("aeg-event-type", HeaderValue::from_static(kind));
        headers.insert("aeg-subscription-name", value(&subscription.name)?);
        headers.insert("aeg-delivery-count", before.into());
        headers.insert("aeg-data-version", HeaderValue::from_static(DATA_VERSION));
        headers.insert("aeg-metadata-version", HeaderValue::from_static(METADATA_VERSION));
        match &subscription.auth {
            Auth::None => {}
            Auth::Bearer(Secret(token)) => {
                let mut bearer = value(&format!("Bearer {}", String::from_utf8_lossy(token)))?;
                bearer.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, bearer);
            }
            Auth::Hmac(Secret(secret)) => {
                let timestamp = now_unix_ms() / 1_000;
                headers.insert(signature::ID, value(id)?);
                headers.insert(signature::TIMESTAMP, timestamp.into());
                headers.insert(signature::SIGNATURE, value(&signature::sign(secret, id, timestamp, &body))?);
            }
        }
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, url, headers);
        Ok(request)
    }
}

/// Returns a value of a header.
pub(super) fn value(text: &str) -> Result<HeaderValue, HttpError> {
    HeaderValue::from_str(text).map_err(|_| HttpError::Url("a header would hold characters that it may not"))
}

/// Any success will do; 400 and 413 would come again for the same event, as the public service takes them too.
fn judge(answer: &Answer) -> Outcome {
    let status = answer.status;
    if status.is_success() {
        return Outcome::Delivered;
    }
    let why = format!("it answered {status}");
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Outcome::Refused { why },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Outcome::Failed { why, pause: retry_after(answer) }
        }
        _ => Outcome::Failed { why, pause: None },
    }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let secs =
        answer.headers.get(HeaderName::from_static("retry-after"))?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&'static str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert("retry-after", HeaderValue::from_static(text));
        }
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::new() }
    }

    #[test]
    fn what_would_be_refused_again_is_not_tried_again() {
        for status in [200, 201, 202, 204] {
            assert_eq!(judge(&answer(status, None)), Outcome::Delivered);
        }
        for status in [400, 413] {
            assert!(matches!(judge(&answer(status, None)), Outcome::Refused { .. }), "{status}");
        }
        // A redirect is not followed: it may lead where the guard would not let us.
        for status in [301, 307, 401, 403, 404, 408, 410, 500, 502, 504] {
            assert!(matches!(judge(&answer(status, None)), Outcome::Failed { pause: None, .. }), "{status}");
        }
    }

    #[test]
    fn the_pause_that_an_endpoint_asks_for_counts() {
        let pause = |text| match judge(&answer(503, Some(text))) {
            Outcome::Failed { pause, .. } => pause,
            other => panic!("{other:?}"),
        };
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("soon"), None);
        assert_eq!(pause("-1"), None);
    }
}
