//! Search: numbers chosen for the resource and held for a while.

use super::decide::{decide, terms};
use super::unit::{self, Undone};
use super::wire::{Capabilities, Cost, SearchRequest, SearchResult};
use super::{country, new_id};
use crate::call::{Call, json};
use crate::error::ApiError;
use crate::operation::{self, Kind};
use crate::state::{Environment, State};
use crate::timestamp::iso8601;
use axum::http::StatusCode;
use axum::response::Response;
use trunkline_model::NumberType;
use trunkline_numbers::eligibility::{Limits, Request};
use trunkline_storage::numbers::{self, Act, Wanted};
use trunkline_storage::operations::{self, Operation};
use trunkline_storage::reservations::{self, NewReservation, Reservation};
use trunkline_storage::{Connection, Error, resources};
use uuid::Uuid;

pub(super) async fn search(call: Call) -> Result<Response, ApiError> {
    let asked: SearchRequest = call.json()?;
    let work = Search {
        id: new_id(call.state.now_unix_ms()),
        state: call.state.clone(),
        resource: call.tenant()?.resource.id,
        actor: call.tenant()?.actor(),
        quantity: quantity(asked.quantity)?,
        area_code: asked.area_code.clone().filter(|code| !code.is_empty()),
        request: Request {
            number_country: country(&call),
            number_type: asked.phone_number_type,
            assignment: asked.assignment_type,
            calling: asked.capabilities.calling,
            sms: asked.capabilities.sms,
            area_code: asked.area_code.as_deref().filter(|code| !code.is_empty()).map(area_code),
        },
    };
    let mut db = call.state.store.read().await?;
    let there = work.look(&mut db).await?;
    drop(db);
    let operation = unit::write(&call.state, move |db| {
        let work = work.clone();
        Box::pin(async move { work.run(db, there).await })
    });
    Ok(operation::accepted(Kind::Search, &operation.await?, call.version))
}

pub(super) async fn result(call: Call) -> Result<Response, ApiError> {
    let resource = call.tenant()?.resource.id;
    let text = call.parameters.value("searchId");
    let unknown = || ApiError::not_found(format!("There is no search {text}."));
    let id: Uuid = text.parse().map_err(|_| unknown())?;
    let mut db = call.state.store.read().await?;
    let found = reservations::by_id(&mut db, resource, id, call.state.now_unix_ms()).await?;
    let held = |found: &Reservation| {
        found.kind == reservations::Kind::Search && found.state != reservations::State::Cancelled
    };
    let Some(found) = found.filter(held) else {
        return Err(failure(&mut db, resource, id).await?.unwrap_or_else(unknown));
    };
    let (first, error_code, error) = match found.state {
        reservations::State::Active | reservations::State::Completed => {
            (found.numbers.first(), Some(0), "NoError")
        }
        reservations::State::Expired => (found.numbers.first(), None, "ReservationExpired"),
        reservations::State::Cancelled => (None, None, ""),
    };
    let Some((_, terms)) = first else { return Err(unknown()) };
    let body = SearchResult {
        search_id: id.to_string(),
        phone_numbers: found.numbers.iter().map(|(number, _)| number.to_string()).collect(),
        phone_number_type: number_type(&mut db, &found).await?.ok_or_else(unknown)?,
        assignment_type: terms.assignment_type,
        capabilities: Capabilities::of(terms),
        cost: Cost::of(terms),
        search_expires_by: iso8601(found.expires_unix_ms),
        is_agreement_to_not_resell_required: false,
        error_code,
        error,
    };
    Ok(json(StatusCode::OK, &body))
}

/// A search as its unit needs it.
#[derive(Clone)]
struct Search {
    state: State,
    id: Uuid,
    resource: Uuid,
    actor: String,
    quantity: u32,
    area_code: Option<String>,
    request: Request,
}

impl Search {
    /// Looks whether there are numbers enough, so that a search which finds too few keeps no writer waiting while it
    /// looks at everything.
    async fn look(&self, db: &mut Connection) -> Result<bool, Error> {
        let Ok(quantity) = self.within(&self.state.rules.load().active().1.limits) else { return Ok(false) };
        numbers::are_there(db, &self.wanted(), quantity, self.state.now_unix_ms()).await
    }

    async fn run(self, db: &mut Connection, there: bool) -> Result<Operation, Undone> {
        let now_unix_ms = self.state.now_unix_ms();
        let act = Act { actor: &self.actor, now_unix_ms };
        let rules = self.state.rules.load_full();
        let (_, table) = rules.active();
        let counted = table.limits.searches_per_tenant_per_week < COUNTED_MAX;
        let record = if counted {
            // So that two searches at once cannot both be the last of the week.
            resources::by_id_alone(db, self.resource).await?
        } else {
            resources::by_id_steady(db, self.resource).await?
        };
        let record = record.ok_or_else(ApiError::denied)?;
        let granted = decide(&rules, &record, &self.request).map_err(ApiError::from)?;
        let quantity = self.within(&table.limits)?;
        if counted {
            self.within_week(db, &table.limits, now_unix_ms).await?;
        }
        self.within_holds(db, &table.limits, quantity, now_unix_ms).await?;
        let new = NewReservation {
            id: self.id,
            resource: self.resource,
            kind: reservations::Kind::Search,
            expires_unix_ms: now_unix_ms + i64::from(table.reservation.ttl_s) * 1000,
            detail: None,
        };
        let terms = terms(granted, &self.request);
        let held =
            there && reservations::search(db, &new, &self.wanted(), quantity, &terms, act).await?.is_some();
        let state = if held {
            operations::State::Succeeded
        } else {
            reservations::insert_failed(db, &new, act).await?;
            operations::State::Failed { code: NOT_ENOUGH_NUMBERS.to_owned(), message: too_few(quantity) }
        };
        let operation =
            operation::record(self.resource, Kind::Search, self.id, self.id.to_string(), state, now_unix_ms);
        operations::insert(db, &operation).await?;
        Ok(operation)
    }

    fn within(&self, limits: &Limits) -> Result<u16, ApiError> {
        let most = limits.max_quantity_per_search.min(QUANTITY_MAX);
        u16::try_from(self.quantity)
            .ok()
            .filter(|quantity| u32::from(*quantity) <= most)
            .ok_or_else(|| ApiError::invalid("quantity", format!("A search is for at most {most} numbers.")))
    }

    /// Refuses without asking for a pause, which the clients would sit out, though it may be days (PROV-05).
    async fn within_week(
        &self,
        db: &mut Connection,
        limits: &Limits,
        now_unix_ms: i64,
    ) -> Result<(), Undone> {
        let limit = limits.searches_per_tenant_per_week;
        let made = reservations::searches_since(db, self.resource, now_unix_ms - WEEK_MS).await?;
        if made < u64::from(limit) {
            return Ok(());
        }
        let message = format!("The resource may make {limit} searches in seven days, and has made {made}.");
        Err(ApiError::new(StatusCode::FORBIDDEN, "QuotaExceeded", message).into())
    }

    /// Keeps one resource from holding all there is. On PostgreSQL searches of one resource run side by side, so a few
    /// that began together may each be the last within the limit.
    async fn within_holds(
        &self,
        db: &mut Connection,
        limits: &Limits,
        quantity: u16,
        now_unix_ms: i64,
    ) -> Result<(), Undone> {
        let limit = limits.numbers_held_per_tenant;
        if limit >= COUNTED_MAX {
            return Ok(());
        }
        let held = reservations::numbers_held(db, self.resource, now_unix_ms).await?;
        if held.saturating_add(u64::from(quantity)) <= u64::from(limit) {
            return Ok(());
        }
        let message = format!("The resource may hold {limit} numbers at once, and holds {held}.");
        Err(ApiError::new(StatusCode::FORBIDDEN, "QuotaExceeded", message).into())
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            country: self.request.number_country.clone(),
            number_type: self.request.number_type,
            area_code: self.area_code.clone(),
            region: String::new(),
            city: String::new(),
            calling: self.request.calling,
            sms: self.request.sms,
            fictional: self.state.settings.environment == Environment::Test,
        }
    }
}

fn quantity(asked: Option<i64>) -> Result<u32, ApiError> {
    let asked = asked.unwrap_or(1);
    u32::try_from(asked)
        .ok()
        .filter(|asked| *asked > 0)
        .ok_or_else(|| ApiError::invalid("quantity", "quantity must be at least 1."))
}

fn too_few(quantity: u16) -> String {
    match quantity {
        1 => "No number matches the search.".to_owned(),
        _ => format!("Fewer than {quantity} numbers match the search."),
    }
}

/// Reads an area code for the rules; what cannot be one becomes one that no country has, for the rules to refuse
/// at their step.
pub(super) fn area_code(text: &str) -> u16 {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).unwrap_or(0)
}

/// Why a search has no result: because its operation failed.
async fn failure(db: &mut Connection, resource: Uuid, id: Uuid) -> Result<Option<ApiError>, ApiError> {
    let operation = operations::by_id(db, resource, &format!("search_{id}")).await?;
    Ok(match operation.map(|operation| operation.state) {
        Some(operations::State::Failed { code, message }) => {
            Some(ApiError::new(StatusCode::NOT_FOUND, code, message))
        }
        Some(operations::State::NotStarted | operations::State::Running | operations::State::Succeeded)
        | None => None,
    })
}

/// All numbers of a search are of one kind.
async fn number_type(db: &mut Connection, found: &Reservation) -> Result<Option<NumberType>, ApiError> {
    let Some((number, _)) = found.numbers.first() else { return Ok(None) };
    Ok(numbers::by_e164(db, *number).await?.map(|number| number.imported.number_type))
}

/// The code of a search that found too few (A.4, step 14).
const NOT_ENOUGH_NUMBERS: &str = "NotEnoughNumbers";

/// Numbers of one search, whatever a rule table allows: a purchase is one transaction, and every other waits for it.
const QUANTITY_MAX: u32 = 1_000;

/// From this on a limit on searches, or on numbers held, stands for none: counting that many for each search costs more
/// than the limit is worth.
const COUNTED_MAX: u32 = 100_000;

const WEEK_MS: i64 = 7 * 86_400_000;
