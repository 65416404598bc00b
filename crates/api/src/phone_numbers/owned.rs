//! The numbers that a resource owns.

use super::decide::decide;
use super::unit::{self, Undone};
use super::wire::{PurchasedNumber, SomeCapabilities};
use super::{new_id, number};
use crate::call::{Call, json};
use crate::error::ApiError;
use crate::operation::{self, Kind};
use crate::page::Page;
use crate::state::State;
use axum::http::StatusCode;
use axum::response::Response;
use trunkline_model::{Capability, E164};
use trunkline_numbers::Denial;
use trunkline_numbers::eligibility::{Hold, Request};
use trunkline_storage::numbers::{self, Act, Owned, Released, Rest};
use trunkline_storage::operations::{self, Operation};
use trunkline_storage::{Connection, resources};
use uuid::Uuid;

pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let page = Page::of(&call)?;
    let resource = call.tenant()?.resource.id;
    let mut db = call.state.store.read().await?;
    let found = numbers::owned(&mut db, resource, page.skip, page.look_up()).await?;
    Ok(page.answer(&call, "phoneNumbers", found.iter().map(PurchasedNumber::from).collect()))
}

pub(super) async fn by_number(call: Call) -> Result<Response, ApiError> {
    let number = number(&call)?;
    let resource = call.tenant()?.resource.id;
    let mut db = call.state.store.read().await?;
    let owned = numbers::owned_number(&mut db, resource, number).await?.ok_or_else(|| unknown(number))?;
    Ok(json(StatusCode::OK, &PurchasedNumber::from(&owned)))
}

pub(super) async fn update_capabilities(call: Call) -> Result<Response, ApiError> {
    let asked: SomeCapabilities = call.json()?;
    let change = Change::of(&call)?;
    let operation = unit::write(&call.state, move |db| {
        let change = change.clone();
        Box::pin(async move { change.update_capabilities(db, asked).await })
    });
    Ok(operation::accepted(Kind::UpdateCapabilities, &operation.await?, call.version))
}

pub(super) async fn release(call: Call) -> Result<Response, ApiError> {
    let change = Change::of(&call)?;
    let operation = unit::write(&call.state, move |db| {
        let change = change.clone();
        Box::pin(async move { change.release(db).await })
    });
    Ok(operation::accepted(Kind::Release, &operation.await?, call.version))
}

/// A change of an owned number as its unit needs it.
#[derive(Clone)]
struct Change {
    state: State,
    resource: Uuid,
    actor: String,
    number: E164,
    id: Uuid,
    /// What the client calls the request, the same when it comes again.
    request: Option<Uuid>,
}

impl Change {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let tenant = call.tenant()?;
        Ok(Self {
            state: call.state.clone(),
            resource: tenant.resource.id,
            actor: tenant.actor(),
            number: number(call)?,
            id: new_id(call.state.now_unix_ms()),
            request: call.headers.get("x-ms-client-request-id").and_then(|id| id.to_str().ok()?.parse().ok()),
        })
    }

    async fn update_capabilities(
        self,
        db: &mut Connection,
        asked: SomeCapabilities,
    ) -> Result<Operation, Undone> {
        let now_unix_ms = self.state.now_unix_ms();
        let owned = self.owned(db).await?;
        let terms = &owned.assignment.terms;
        let calling = asked.calling.unwrap_or(terms.calling);
        let sms = asked.sms.unwrap_or(terms.sms);
        self.check(db, &owned, calling, sms).await?;
        let act = Act { actor: &self.actor, now_unix_ms };
        let done = numbers::set_capabilities(db, self.number, self.resource, calling, sms, act).await?;
        done.ok_or_else(|| unknown(self.number))?;
        self.record(db, Kind::UpdateCapabilities, now_unix_ms).await
    }

    /// What is more than before has to be granted anew, and the number has to be able to do it. To give something
    /// up is always allowed, down to one capability: a number that can do nothing is released instead.
    async fn check(
        &self,
        db: &mut Connection,
        owned: &Owned,
        calling: Capability,
        sms: Capability,
    ) -> Result<(), Undone> {
        let terms = &owned.assignment.terms;
        let something = calling != Capability::None || sms != Capability::None;
        if something && terms.calling.includes(calling) && terms.sms.includes(sms) {
            return Ok(());
        }
        let record = resources::by_id_steady(db, self.resource).await?.ok_or_else(ApiError::denied)?;
        let request = Request {
            number_country: owned.country.clone(),
            number_type: owned.number_type,
            assignment: terms.assignment_type,
            calling,
            sms,
            area_code: None,
        };
        decide(&self.state.rules.load(), &record, &request).map_err(ApiError::from)?;
        let able = numbers::by_e164(db, self.number).await?.is_some_and(|number| {
            number.imported.calling.includes(calling) && number.imported.sms.includes(sms)
        });
        if able { Ok(()) } else { Err(ApiError::from(Denial::CapabilityNotSupported).into()) }
    }

    /// The month is paid, so nothing is credited, and until it ends nobody else gets the number.
    ///
    /// A client that did not see the answer sends the request again, under the same id: the operation is named after
    /// that, and found by it.
    async fn release(mut self, db: &mut Connection) -> Result<Operation, Undone> {
        let now_unix_ms = self.state.now_unix_ms();
        let before = match self.request {
            Some(request) => {
                operations::by_id(db, self.resource, &operation::id(Kind::Release, request)).await?
            }
            None => None,
        };
        match before {
            Some(before) if before.subject == self.number.to_string() => return Ok(before),
            Some(_) => {}
            None => self.id = self.request.unwrap_or(self.id),
        }
        let rest = match self.state.rules.load().active().1.release.hold {
            Hold::EndOfBillingCycle => Rest::EndOfCycle,
            Hold::None => Rest::None,
        };
        let act = Act { actor: &self.actor, now_unix_ms };
        match numbers::release(db, self.number, self.resource, rest, 0, act).await? {
            Released::Done(_) => self.record(db, Kind::Release, now_unix_ms).await,
            Released::NotOwned => Err(unknown(self.number).into()),
        }
    }

    async fn owned(&self, db: &mut Connection) -> Result<Owned, Undone> {
        let owned = numbers::owned_number(db, self.resource, self.number).await?;
        Ok(owned.ok_or_else(|| unknown(self.number))?)
    }

    async fn record(&self, db: &mut Connection, kind: Kind, now_unix_ms: i64) -> Result<Operation, Undone> {
        let (number, done) = (self.number.to_string(), operations::State::Succeeded);
        let operation = operation::record(self.resource, kind, self.id, number, done, now_unix_ms);
        operations::insert(db, &operation).await?;
        Ok(operation)
    }
}

/// A number of somebody else is as unknown as one that does not exist.
fn unknown(number: E164) -> ApiError {
    ApiError::not_found(format!("Input phoneNumber {number} cannot be found."))
}
