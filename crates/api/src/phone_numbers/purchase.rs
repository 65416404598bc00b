//! Purchase of what a search or a reservation holds.

use super::decide::{decide, may_be_sold};
use super::unit::{self, Undone};
use super::wire::{PurchaseRequest, ReservationPurchaseRequest};
use crate::call::Call;
use crate::error::ApiError;
use crate::operation::{self, Kind};
use crate::state::State;
use axum::http::StatusCode;
use axum::response::Response;
use std::collections::BTreeMap;
use trunkline_numbers::eligibility::{Request, Table};
use trunkline_numbers::{Denial, RuleBook};
use trunkline_storage::Connection;
use trunkline_storage::numbers::{self, Act};
use trunkline_storage::operations::{self, Operation};
use trunkline_storage::reservations::{self, Purchase, ToBuy};
use trunkline_storage::resources::{self, Resource};
use uuid::Uuid;

pub(super) async fn search(call: Call) -> Result<Response, ApiError> {
    let asked: PurchaseRequest = call.json()?;
    let id = asked.search_id.parse().map_err(|_| unknown(&asked.search_id))?;
    buy(&call, Kind::Purchase, reservations::Kind::Search, id).await
}

/// One client sends no body here.
pub(super) async fn reservation(call: Call) -> Result<Response, ApiError> {
    let _asked: ReservationPurchaseRequest = call.json_or_default()?;
    let text = call.parameters.value("reservationId");
    let id = text.parse().map_err(|_| unknown(text))?;
    buy(&call, Kind::ReservationPurchase, reservations::Kind::Reservation, id).await
}

async fn buy(call: &Call, kind: Kind, held_by: reservations::Kind, id: Uuid) -> Result<Response, ApiError> {
    let tenant = call.tenant()?;
    let resource = tenant.resource.id;
    let limit = call.state.rules.load().active().1.limits.purchase_requests_per_tenant;
    let Some(_under_way) = call.state.purchases.begin(resource, limit) else {
        let message = format!("The resource may have {limit} purchases under way at once.");
        let busy = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
        return Err(busy.with_retry_after(RETRY_AFTER_SECS));
    };
    let order = Order { state: call.state.clone(), resource, actor: tenant.actor(), kind, held_by, id };
    let outcome = unit::write(&call.state, move |db| {
        let order = order.clone();
        Box::pin(async move { order.run(db).await })
    });
    match outcome.await? {
        Outcome::Ended(operation) => Ok(operation::accepted(kind, &operation, call.version)),
        Outcome::Denied(denial) => Err(denial.into()),
    }
}

/// A purchase as its unit needs it.
#[derive(Clone)]
struct Order {
    state: State,
    resource: Uuid,
    actor: String,
    kind: Kind,
    held_by: reservations::Kind,
    id: Uuid,
}

/// What became of a unit that stays.
enum Outcome {
    /// The purchase was made, now or before, or came too late.
    Ended(Operation),
    /// The rules do not allow it any more; the numbers are free again.
    Denied(Denial),
}

impl Order {
    async fn run(self, db: &mut Connection) -> Result<Outcome, Undone> {
        let now_unix_ms = self.state.now_unix_ms();
        let act = Act { actor: &self.actor, now_unix_ms };
        let rules = self.state.rules.load_full();
        let (_, table) = rules.active();
        let record = if table.numbers_max.is_some() {
            // So that two purchases at once cannot both be the last one.
            resources::by_id_alone(db, self.resource).await?
        } else {
            resources::by_id_steady(db, self.resource).await?
        };
        let record = record.ok_or_else(ApiError::denied)?;
        let order = reservations::to_buy(db, self.resource, self.id, now_unix_ms).await?;
        let order =
            order.filter(|order| order.reservation.kind == self.held_by).ok_or_else(|| unknown(&self.id))?;
        let active = order.reservation.state == reservations::State::Active;
        if active {
            if let Err(denial) = self.decide_again(&rules, &record, &order) {
                reservations::cancel(db, self.resource, self.id, act).await?;
                return Ok(Outcome::Denied(denial));
            }
            self.within_quota(db, table, order.reservation.numbers.len()).await?;
        }
        let ends_unix_ms = table.term_days.map(|days| now_unix_ms + i64::from(days) * DAY_MS);
        let state = match reservations::buy(db, order, ends_unix_ms, act).await? {
            Purchase::Done(_) | Purchase::DoneBefore(_) => operations::State::Succeeded,
            Purchase::Expired => operations::State::Failed {
                code: "ReservationExpired".to_owned(),
                message: "The numbers were held until a time that has passed. Search again.".to_owned(),
            },
            Purchase::Empty if active => {
                return Err(ApiError::conflict("The reservation holds no numbers.").into());
            }
            Purchase::Empty | Purchase::Unknown => return Err(unknown(&self.id).into()),
        };
        // The operation has the id of what is bought: buying it again is asking after the same operation (INV-5).
        let operation =
            operation::record(self.resource, self.kind, self.id, self.id.to_string(), state, now_unix_ms);
        operations::insert_once(db, &operation).await?;
        Ok(Outcome::Ended(operation))
    }

    /// Refuses more numbers than a resource may own (PROV-04).
    async fn within_quota(&self, db: &mut Connection, table: &Table, more: usize) -> Result<(), Undone> {
        let Some(limit) = table.numbers_max else { return Ok(()) };
        let owned = numbers::owned_count(db, self.resource).await?;
        if owned.saturating_add(more as u64) <= u64::from(limit) {
            return Ok(());
        }
        let message = format!("The resource may own at most {limit} numbers, and owns {owned}.");
        Err(ApiError::new(StatusCode::FORBIDDEN, "QuotaExceeded", message).into())
    }

    /// Decides for each number, on what the record and the rule book say now (PROV-20).
    fn decide_again(&self, rules: &RuleBook, record: &Resource, order: &ToBuy) -> Result<(), Denial> {
        let held: BTreeMap<_, _> =
            order.reservation.numbers.iter().map(|(held, terms)| (*held, terms)).collect();
        for number in &order.numbers {
            let Some(terms) = held.get(&number.imported.number) else { continue };
            if !may_be_sold(&self.state, number) {
                return Err(Denial::AreaCodeInvalid);
            }
            let request = Request {
                number_country: number.imported.country.clone(),
                number_type: number.imported.number_type,
                assignment: terms.assignment_type,
                calling: terms.calling,
                sms: terms.sms,
                // The number was found, so its area code is one.
                area_code: None,
            };
            decide(rules, record, &request)?;
        }
        Ok(())
    }
}

fn unknown(id: &(impl std::fmt::Display + ?Sized)) -> ApiError {
    ApiError::not_found(format!("There is no search or reservation {id}."))
}

/// A purchase takes as long as a few syncs of the disk.
const RETRY_AFTER_SECS: u32 = 1;

const DAY_MS: i64 = 86_400_000;
