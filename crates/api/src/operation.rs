//! Long-running operations: how they are begun, asked after and called off.

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::path::{Route, encode, route};
use crate::timestamp::iso8601;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use trunkline_storage::Connection;
use trunkline_storage::numbers::Act;
use trunkline_storage::operations::{self, Operation, State};
use trunkline_storage::reservations;
use uuid::Uuid;

pub(crate) static ROUTES: &[Route] = &[
    route!("PhoneNumbers_GetOperation", GET, "/phoneNumbers/operations/{operationId}", PhoneNumbers, poll),
    route!(
        "PhoneNumbers_CancelOperation",
        DELETE,
        "/phoneNumbers/operations/{operationId}",
        PhoneNumbers,
        cancel
    ),
];

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Looks for numbers and holds them. Its subject is the search's id.
    Search,
    /// Buys what a search holds.
    Purchase,
    /// Changes what a number may be used for. Its subject is the number.
    UpdateCapabilities,
    /// Gives a number back.
    Release,
    /// Buys what a reservation holds.
    ReservationPurchase,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Search, Self::Purchase, Self::UpdateCapabilities, Self::Release, Self::ReservationPurchase];

    /// Returns the word for it in the API and in storage.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Purchase => "purchase",
            Self::UpdateCapabilities => "updatePhoneNumberCapabilities",
            Self::Release => "releasePhoneNumber",
            Self::ReservationPurchase => "reservationPurchase",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Purchase => "purchase",
            Self::UpdateCapabilities => "capabilities",
            Self::Release => "release",
            Self::ReservationPurchase => "reservationPurchase",
        }
    }

    /// The header that repeats the id without its prefix.
    fn id_header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Search => "search-id",
            Self::Purchase => "purchase-id",
            Self::UpdateCapabilities => "capabilities-id",
            Self::Release => "release-id",
            Self::ReservationPurchase => "reservation-purchase-id",
        })
    }

    /// Where the result will be, for the kinds that have one to fetch.
    fn result(self, subject: &str, version: &str) -> Option<String> {
        match self {
            Self::Search => Some(format!(
                "/availablePhoneNumbers/searchResults/{}?api-version={version}",
                encode(subject)
            )),
            Self::UpdateCapabilities => {
                Some(format!("/phoneNumbers/{}?api-version={version}", encode(subject)))
            }
            Self::Purchase | Self::Release | Self::ReservationPurchase => None,
        }
    }
}

/// Makes the record of an operation, to be kept with [`operations::insert`] in the unit of its effect. For a
/// search, `id` is also the id of the search.
pub(crate) fn record(
    resource: Uuid,
    kind: Kind,
    id: Uuid,
    subject: impl Into<String>,
    state: State,
    now_unix_ms: i64,
) -> Operation {
    Operation {
        resource,
        id: self::id(kind, id),
        kind: kind.as_str().to_owned(),
        state,
        created_unix_ms: now_unix_ms,
        changed_unix_ms: now_unix_ms,
        subject: subject.into(),
    }
}

/// Returns the id of an operation, as it stands in its URL.
pub(crate) fn id(kind: Kind, id: Uuid) -> String {
    format!("{}_{id}", kind.prefix())
}

/// Answers 202 to the request that began an operation. Links are relative, as the public service's are.
pub(crate) fn accepted(kind: Kind, operation: &Operation, version: &str) -> Response {
    let mut response = StatusCode::ACCEPTED.into_response();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    let id = operation.id.split_once('_').map_or("", |(_, id)| id);
    set(kind.id_header(), id.to_owned());
    set(OPERATION_ID, operation.id.clone());
    set(OPERATION_LOCATION, format!("/phoneNumbers/operations/{}?api-version={version}", operation.id));
    if let Some(result) = kind.result(&operation.subject, version) {
        set(header::LOCATION, result);
    }
    let exposed = format!("Location,Operation-Location,operation-id,{}", kind.id_header());
    set(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    response
}

async fn poll(call: Call) -> Result<Response, ApiError> {
    let resource = call.tenant()?.resource.id;
    let id = call.parameters.value("operationId");
    let mut db = call.state.store.read().await?;
    let operation = operations::by_id(&mut db, resource, id).await?.ok_or_else(|| unknown(id))?;
    let result = Kind::of(&operation.kind).and_then(|kind| kind.result(&operation.subject, call.version));
    let mut body = serde_json::json!({
        "operationType": operation.kind,
        "status": operation.state.as_str(),
        "resourceLocation": result,
        "createdDateTime": iso8601(operation.created_unix_ms),
        "id": operation.id,
        "lastActionDateTime": iso8601(operation.changed_unix_ms),
    });
    let ended = match operation.state {
        State::NotStarted | State::Running => false,
        State::Succeeded => true,
        State::Failed { code, message } => {
            if let Some(body) = body.as_object_mut() {
                body.insert("error".to_owned(), serde_json::json!({ "code": code, "message": message }));
            }
            true
        }
    };
    let mut response = json(StatusCode::OK, &body);
    let headers = response.headers_mut();
    if let Some(result) = result.and_then(|result| HeaderValue::try_from(result).ok()) {
        headers.insert(header::LOCATION, result);
    }
    if !ended {
        // Nothing here takes long; without this the clients wait two seconds.
        headers.insert(header::RETRY_AFTER, 1_u32.into());
    }
    Ok(response)
}

/// Forgets an operation. What has ended stays as it is, except that a search lets go of what it holds.
async fn cancel(call: Call) -> Result<Response, ApiError> {
    let resource = call.tenant()?.resource.id;
    let id = call.parameters.value("operationId").to_owned();
    let now_unix_ms = call.state.now_unix_ms();
    call.state
        .store
        .write(move |db| Box::pin(async move { forget(db, resource, &id, now_unix_ms).await }))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn forget(db: &mut Connection, resource: Uuid, id: &str, now_unix_ms: i64) -> Result<(), ApiError> {
    let operation = operations::by_id(db, resource, id).await?.ok_or_else(|| unknown(id))?;
    operations::delete(db, resource, id).await?;
    if let (Some(Kind::Search), Ok(search)) = (Kind::of(&operation.kind), operation.subject.parse()) {
        let actor = format!("resource:{resource}");
        reservations::cancel(db, resource, search, Act { actor: &actor, now_unix_ms }).await?;
    }
    Ok(())
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("There is no operation {id}."))
}

const OPERATION_ID: HeaderName = HeaderName::from_static("operation-id");
const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");
