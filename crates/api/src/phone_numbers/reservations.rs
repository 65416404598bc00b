//! Reservations: numbers that a resource chose, held until it buys them or time runs out (PROV-11).

mod change;
mod view;

use super::unit::{self, Undone};
use super::wire::ReservationPatch;
use crate::call::{Call, json};
use crate::error::ApiError;
use crate::page::Page;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use change::Change;
use trunkline_storage::numbers::Act;
use trunkline_storage::reservations::{self, Kind, State};
use trunkline_storage::{Connection, Error};
use uuid::Uuid;

pub(super) async fn create_or_update(call: Call) -> Result<Response, ApiError> {
    let id = id(&call)?;
    let patch: ReservationPatch = call.json()?;
    let change = Change::of(&call, id, patch)?;
    let changed = unit::write(&call.state, move |db| {
        let change = change.clone();
        Box::pin(async move { change.run(db).await })
    });
    let changed = changed.await.map_err(|undone| match undone {
        // Ids are unique among all resources.
        Undone::Store(Error::Duplicate { .. }) => ApiError::conflict("This reservation id is taken."),
        undone => undone.into(),
    })?;
    let status = match (changed.failed.is_empty(), changed.created) {
        (false, _) => StatusCode::MULTI_STATUS,
        (true, true) => StatusCode::CREATED,
        (true, false) => StatusCode::OK,
    };
    let mut db = call.state.store.read().await?;
    let mut body = view::with_numbers(&mut db, &changed.reservation).await?;
    body.phone_numbers.get_or_insert_default().extend(changed.failed);
    Ok(json(status, &body))
}

pub(super) async fn by_id(call: Call) -> Result<Response, ApiError> {
    let id = id(&call)?;
    let resource = call.tenant()?.resource.id;
    let mut db = call.state.store.read().await?;
    let found = reservations::by_id(&mut db, resource, id, call.state.now_unix_ms()).await?;
    let found = found.filter(|found| found.kind == Kind::Reservation && found.state != State::Cancelled);
    let found = found.ok_or_else(|| unknown(id))?;
    Ok(json(StatusCode::OK, &view::with_numbers(&mut db, &found).await?))
}

/// Lists the reservations that were not deleted, in the order of their ids, without their numbers. A page begins behind
/// the last id of the page before it.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let page = Page::of(&call)?;
    let resource = call.tenant()?.resource.id;
    let after = call.query.parsed::<Uuid>("after")?.unwrap_or(Uuid::nil());
    let now_unix_ms = call.state.now_unix_ms();
    let mut db = call.state.store.read().await?;
    let found =
        reservations::list(&mut db, resource, Kind::Reservation, after, page.look_up(), now_unix_ms).await?;
    let last = found.get(usize::from(page.size).saturating_sub(1)).map(|reservation| reservation.id);
    let shown = found.iter().map(view::summary).collect();
    Ok(page.answer_after(&call, "reservations", shown, last))
}

pub(super) async fn delete(call: Call) -> Result<Response, ApiError> {
    let id = id(&call)?;
    let (resource, actor, state) = (call.tenant()?.resource.id, call.tenant()?.actor(), call.state.clone());
    let deleted = unit::write(&call.state, move |db| {
        let (actor, now_unix_ms) = (actor.clone(), state.now_unix_ms());
        Box::pin(async move { give_up(db, resource, id, Act { actor: &actor, now_unix_ms }).await })
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn give_up(db: &mut Connection, resource: Uuid, id: Uuid, act: Act<'_>) -> Result<(), Undone> {
    let found = reservations::to_change(db, resource, id, act.now_unix_ms).await?;
    let found = found.filter(|found| found.kind == Kind::Reservation).ok_or_else(|| unknown(id))?;
    match found.state {
        State::Active | State::Expired => {
            reservations::cancel(db, resource, id, act).await?;
            Ok(())
        }
        State::Completed => Err(ApiError::conflict("The numbers of the reservation were bought.").into()),
        State::Cancelled => Err(unknown(id).into()),
    }
}

fn id(call: &Call) -> Result<Uuid, ApiError> {
    let text = call.parameters.value("reservationId");
    let id = text.parse().ok().filter(|id: &Uuid| !id.is_nil());
    id.ok_or_else(|| ApiError::invalid("reservationId", "A reservation id is a UUID other than nil."))
}

fn unknown(id: Uuid) -> ApiError {
    ApiError::not_found(format!("There is no reservation {id}."))
}
