//! The straight line of a request: path, tenant, body, version, operation.

use crate::auth::{self, Tenant};
use crate::call::{Call, Query};
use crate::error::ApiError;
use crate::headers::Echo;
use crate::limits::Counted;
use crate::path::{self, Found, Parameters, Route};
use crate::state::State;
use crate::version::Service;
use crate::{
    console, event_subscriptions, identity, openapi, openid, operation, phone_numbers, relay, sip_routing,
    sms,
};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use std::error::Error as _;

/// Makes the router of the REST plane.
pub fn router(state: State) -> Router {
    Router::new().fallback(answer).with_state(state)
}

/// Which operation an answer is of, by its id in the OpenAPI document: an extension of every answer to a request
/// that was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationId(pub &'static str);

/// Every operation.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> + Clone {
    [
        identity::ROUTES,
        phone_numbers::ROUTES,
        operation::ROUTES,
        sip_routing::ROUTES,
        sms::ROUTES,
        relay::ROUTES,
        event_subscriptions::ROUTES,
        openid::ROUTES,
        openapi::ROUTES,
        console::ROUTES,
    ]
    .into_iter()
    .flatten()
}

async fn answer(axum::extract::State(state): axum::extract::State<State>, request: Request) -> Response {
    let echo = Echo::of(request.headers());
    if let Some(mut page) = console::page(request.method(), request.uri().path()) {
        echo.write(None, page.headers_mut());
        return page;
    }
    let (route, answer) = match path::find(routes(), request.method(), request.uri().path()) {
        Found::Operation(route, parameters) => {
            let answer = run(state, route, parameters, request).await;
            if let Err(error) = &answer {
                tracing::debug!(operation = route.id, status = %error.status(), code = error.code(), "refused");
            }
            (Some(route), answer)
        }
        Found::OtherMethods(route, allow) => (Some(route), Err(ApiError::method_not_allowed(allow))),
        Found::Nothing => (None, Err(ApiError::not_found("The path leads nowhere."))),
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    echo.write(route.map(|route| route.service), response.headers_mut());
    if let Some(route) = route {
        response.extensions_mut().insert(OperationId(route.id));
    }
    response
}

async fn run(
    state: State,
    route: &'static Route,
    parameters: Parameters,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let (tenant, body) = match route.service {
        Service::Identity
        | Service::PhoneNumbers
        | Service::SipRouting
        | Service::Sms
        | Service::NetworkTraversal
        | Service::Console => {
            // What the head alone tells comes first: nobody's body is kept for a request that is refused.
            let tenant = auth::authenticate(&state, &parts).await?;
            count(&state, &tenant, &parts.method)?;
            let body = read(body, state.settings.body_bytes_max).await?;
            auth::check_body(&parts, &body)?;
            (Some(tenant), body)
        }
        Service::Documents => (None, Bytes::new()),
    };
    let _in_progress = state.limits.begin()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let path = parts.uri.path().to_owned();
    let version = route.service.check(query.value("api-version"), &path)?;
    let call = Call { state, tenant, version, path, parameters, query, headers: parts.headers, body };
    (route.handler)(call).await
}

fn count(state: &State, tenant: &Tenant, method: &Method) -> Result<(), ApiError> {
    let now_unix_ms = state.now_unix_ms();
    state.limits.count(tenant.resource.id, Counted::All, now_unix_ms)?;
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    state.limits.count(tenant.resource.id, Counted::Write, now_unix_ms)
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    to_bytes(body, bytes_max).await.map_err(|error| {
        if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            let message = format!("The body is longer than {bytes_max} bytes.");
            return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", message);
        }
        // What is in front of this router gives up on bodies that do not come.
        let message = "The body ended early, or did not come in time.";
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message)
    })
}
