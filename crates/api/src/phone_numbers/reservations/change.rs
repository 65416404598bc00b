//! What a merge patch does to a reservation.

use super::super::decide::{decide, may_be_sold, terms};
use super::super::unit::Undone;
use super::super::wire::{
    Availability, AvailableNumber, ChosenNumber, NumberError, ReservationPatch, number_of_id,
};
use super::unknown;
use crate::call::Call;
use crate::error::ApiError;
use crate::state::State;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use trunkline_numbers::eligibility::Request;
use trunkline_numbers::{Denial, RuleBook};
use trunkline_storage::Connection;
use trunkline_storage::numbers::{self, Act};
use trunkline_storage::reservations::{self, Kind, NewReservation, Reservation};
use trunkline_storage::resources::{self, Resource};
use uuid::Uuid;

/// A patch as its unit needs it.
#[derive(Clone)]
pub(super) struct Change {
    state: State,
    resource: Uuid,
    actor: String,
    id: Uuid,
    removed: Vec<String>,
    added: BTreeMap<String, ChosenNumber>,
}

/// What eligibility is decided by.
#[derive(Clone, Copy)]
struct By<'a> {
    state: &'a State,
    rules: &'a RuleBook,
    record: &'a Resource,
}

/// What a patch did.
pub(super) struct Changed {
    pub(super) reservation: Reservation,
    pub(super) created: bool,
    /// What could not be added, by its id.
    pub(super) failed: BTreeMap<String, AvailableNumber>,
}

impl Change {
    pub(super) fn of(call: &Call, id: Uuid, patch: ReservationPatch) -> Result<Self, ApiError> {
        let tenant = call.tenant()?;
        let (mut removed, mut added) = (Vec::new(), BTreeMap::new());
        for (key, value) in patch.phone_numbers.unwrap_or_default() {
            match value {
                Some(chosen) => drop(added.insert(key, chosen)),
                None => removed.push(key),
            }
        }
        if added.len() > NUMBERS_MAX || removed.len() > NUMBERS_MAX {
            return Err(too_many());
        }
        let (state, resource, actor) = (call.state.clone(), tenant.resource.id, tenant.actor());
        Ok(Self { state, resource, actor, id, removed, added })
    }

    pub(super) async fn run(self, db: &mut Connection) -> Result<Changed, Undone> {
        let now_unix_ms = self.state.now_unix_ms();
        let act = Act { actor: &self.actor, now_unix_ms };
        // Alone, so that two reservations made at once are both counted.
        let record = resources::by_id_alone(db, self.resource).await?.ok_or_else(ApiError::denied)?;
        let rules = self.state.rules.load_full();
        let by = By { state: &self.state, rules: &rules, record: &record };
        let life = &rules.active().1.reservation;
        let until = now_unix_ms + i64::from(life.ttl_s) * 1000;
        let (mut reservation, created) = self.begin(db, until, act).await?;
        for number in self.removed.iter().filter_map(|key| number_of_id(key)) {
            reservations::remove(db, &mut reservation, number, act).await?;
        }
        let changes = !self.added.is_empty() || !self.removed.is_empty();
        if changes && !created {
            let end = reservation.created_unix_ms + i64::from(life.max_life_s) * 1000;
            reservations::extend(db, &mut reservation, until.min(end), act).await?;
        }
        let mut failed = BTreeMap::new();
        for (key, chosen) in &self.added {
            if let Err(error) = add(db, by, &mut reservation, key, chosen, act).await? {
                failed.insert(key.clone(), not_reserved(key, chosen, error));
            }
        }
        if reservation.numbers.len() > NUMBERS_MAX {
            return Err(too_many().into());
        }
        Ok(Changed { reservation, created, failed })
    }

    /// Keeps one resource from holding all there is.
    async fn within_quota(&self, db: &mut Connection, now_unix_ms: i64) -> Result<(), Undone> {
        if reservations::holding(db, self.resource, now_unix_ms).await? < HOLDING_MAX {
            return Ok(());
        }
        let message = format!("The resource may have {HOLDING_MAX} active reservations at once.");
        Err(ApiError::new(StatusCode::FORBIDDEN, "QuotaExceeded", message).into())
    }

    /// Returns the reservation to change, or makes it.
    async fn begin(
        &self,
        db: &mut Connection,
        until: i64,
        act: Act<'_>,
    ) -> Result<(Reservation, bool), Undone> {
        let found = reservations::to_change(db, self.resource, self.id, act.now_unix_ms).await?;
        let Some(found) = found else {
            self.within_quota(db, act.now_unix_ms).await?;
            let new = NewReservation {
                id: self.id,
                resource: self.resource,
                kind: Kind::Reservation,
                expires_unix_ms: until,
                detail: None,
            };
            return Ok((reservations::insert(db, &new, act).await?, true));
        };
        match (found.kind, found.state) {
            (Kind::Reservation, reservations::State::Active) => Ok((found, false)),
            (Kind::Reservation, reservations::State::Expired) => {
                let message = "The reservation has expired.";
                Err(ApiError::new(StatusCode::CONFLICT, "ReservationExpired", message).into())
            }
            (Kind::Reservation, reservations::State::Completed) => {
                Err(ApiError::conflict("The numbers of the reservation were bought.").into())
            }
            (Kind::Reservation, reservations::State::Cancelled) => Err(unknown(self.id).into()),
            (Kind::Search, _) => Err(ApiError::conflict("This id is that of a search.").into()),
        }
    }
}

/// Adds one number. A refusal that is about the customer refuses the whole request; one that is about the
/// number is told of the number.
async fn add(
    db: &mut Connection,
    by: By<'_>,
    reservation: &mut Reservation,
    key: &str,
    chosen: &ChosenNumber,
    act: Act<'_>,
) -> Result<Result<(), NumberError>, Undone> {
    let request = request(chosen);
    let granted = match decide(by.rules, by.record, &request) {
        Ok(granted) => granted,
        Err(denial) if denial.http_status() == 403 => return Err(ApiError::from(denial).into()),
        Err(denial) => return Ok(Err(denied(denial))),
    };
    let Some(number) = number_of_id(key) else { return Ok(Err(not_available())) };
    let able = numbers::by_e164(db, number).await?.is_some_and(|found| {
        found.imported.country == request.number_country
            && found.imported.number_type == request.number_type
            && found.imported.calling.includes(request.calling)
            && found.imported.sms.includes(request.sms)
            && may_be_sold(by.state, &found)
    });
    if !able {
        return Ok(Err(not_available()));
    }
    let terms = terms(granted, &request);
    let other_terms = reservation.numbers.iter().any(|(held, under)| *held == number && *under != terms);
    if other_terms {
        reservations::remove(db, reservation, number, act).await?;
    }
    let added = reservations::add(db, reservation, number, &terms, act).await?;
    Ok(if added { Ok(()) } else { Err(not_available()) })
}

fn request(chosen: &ChosenNumber) -> Request {
    Request {
        number_country: chosen.country_code.to_ascii_uppercase(),
        number_type: chosen.phone_number_type,
        assignment: chosen.assignment_type,
        calling: chosen.capabilities.calling,
        sms: chosen.capabilities.sms,
        area_code: None,
    }
}

fn not_reserved(key: &str, chosen: &ChosenNumber, error: NumberError) -> AvailableNumber {
    AvailableNumber {
        id: key.to_owned(),
        country_code: chosen.country_code.clone(),
        phone_number: number_of_id(key).map(|number| number.to_string()),
        capabilities: chosen.capabilities,
        phone_number_type: chosen.phone_number_type,
        assignment_type: chosen.assignment_type,
        cost: None,
        status: Availability::Error,
        is_agreement_to_not_resell_required: false,
        error: Some(error),
    }
}

fn denied(denial: Denial) -> NumberError {
    NumberError { code: denial.code(), message: ApiError::from(denial).message().to_owned() }
}

fn not_available() -> NumberError {
    let message = "Failed to add the number to the reservation: it is not available.".to_owned();
    NumberError { code: "FailedToReserveNumber", message }
}

fn too_many() -> ApiError {
    ApiError::invalid("phoneNumbers", format!("A reservation holds at most {NUMBERS_MAX} numbers."))
}

/// Numbers of one reservation. A purchase is one transaction, and others wait for it.
const NUMBERS_MAX: usize = 100;

/// Active reservations of one resource. A customer fills one after the other; this many, full, hold twenty
/// times what the five searches of a week do.
const HOLDING_MAX: u64 = 10;
