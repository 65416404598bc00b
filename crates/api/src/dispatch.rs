//! The straight line of a request: path, body, tenant, version, operation.

use crate::auth;
use crate::call::{Call, Query};
use crate::error::ApiError;
use crate::headers::Echo;
use crate::limits::Counted;
use crate::path::{self, Found, Parameters, Route};
use crate::state::State;
use crate::version::Service;
use crate::{identity, openapi, openid, operation, phone_numbers, sip_routing};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Makes the router of the REST plane.
pub fn router(state: State) -> Router {
    Router::new().fallback(answer).with_state(state)
}

/// Every operation.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> + Clone {
    [
        identity::ROUTES,
        phone_numbers::ROUTES,
        operation::ROUTES,
        sip_routing::ROUTES,
        openid::ROUTES,
        openapi::ROUTES,
    ]
    .into_iter()
    .flatten()
}

async fn answer(axum::extract::State(state): axum::extract::State<State>, request: Request) -> Response {
    let echo = Echo::of(request.headers());
    let (service, answer) = match path::find(routes(), request.method(), request.uri().path()) {
        Found::Operation(route, parameters) => {
            let answer = run(state, route, parameters, request).await;
            if let Err(error) = &answer {
                tracing::debug!(operation = route.id, status = %error.status(), code = error.code(), "refused");
            }
            (Some(route.service), answer)
        }
        Found::OtherMethods(route, allow) => (Some(route.service), Err(ApiError::method_not_allowed(allow))),
        Found::Nothing => (None, Err(ApiError::not_found("The path leads nowhere."))),
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    echo.write(service, response.headers_mut());
    response
}

async fn run(
    state: State,
    route: &'static Route,
    parameters: Parameters,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read(body).await?;
    let tenant = match route.service {
        Service::Identity | Service::PhoneNumbers | Service::SipRouting => {
            let tenant = auth::authenticate(&state, &parts, &body).await?;
            state.limits.count(tenant.resource.id, Counted::All, state.now_unix_ms())?;
            Some(tenant)
        }
        Service::Documents => None,
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let path = parts.uri.path().to_owned();
    let version = route.service.check(query.value("api-version"), &path)?;
    let call = Call { state, tenant, version, path, parameters, query, headers: parts.headers, body };
    (route.handler)(call).await
}

async fn read(body: Body) -> Result<axum::body::Bytes, ApiError> {
    to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let message = format!("The body is longer than {BODY_BYTES_MAX} bytes, or ended early.");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", message)
    })
}

/// Longest body. The largest that a client sends, 250 trunks with 250 routes, is below 700 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;
