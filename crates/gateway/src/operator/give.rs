//! `trunkline number give`: a number for a resource without its asking, by the same rules and at the same price.

use super::{ACTOR, find, now_unix_ms, patiently, print_json};
use crate::cli::Database;
use anyhow::Context;
use serde_json::json;
use trunkline_model::{AssignmentType, Capability, E164};
use trunkline_numbers::RuleBook;
use trunkline_numbers::eligibility::Request;
use trunkline_storage::numbers::{self, Act, Number, Terms};
use trunkline_storage::reservations::{self, Kind, NewReservation, Purchase};
use trunkline_storage::resources::Resource;
use trunkline_storage::{Error, Store};
use uuid::Uuid;

/// How long the number is held for what buys it in the same unit.
const HELD_MS: i64 = 60_000;

const DAY_MS: i64 = 86_400_000;

/// Which number, and what it is to be able to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gift {
    pub(super) number: E164,
    pub(super) calling: Capability,
    pub(super) sms: Capability,
}

pub(super) async fn give(
    store: &Store,
    book: &RuleBook,
    gift: Gift,
    name: &str,
    database: &Database,
) -> anyhow::Result<()> {
    let number = gift.number;
    let mut db = store.read().await?;
    let resource = find(&mut db, name).await?;
    let held = numbers::by_e164(&mut db, number).await?;
    drop(db);
    let held = held.with_context(|| format!("{number} is not in the inventory"))?;
    let terms = terms(book, &resource, &held, gift)?;
    let term_days = book.active().1.term_days;
    let purchase = patiently(async || buy(store, &resource, number, terms.clone(), term_days).await).await?;
    anyhow::ensure!(
        matches!(purchase, Some(Purchase::Done(_))),
        "{number} is not free; `trunkline number show {number}` tells why"
    );
    if database.json {
        print_json(&json!({ "number": number, "resource": resource.name }));
    } else {
        println!("{number} is owned by {} now", resource.name);
    }
    Ok(())
}

/// What the number is to be able to do, at the price of the rules in force.
fn terms(book: &RuleBook, resource: &Resource, number: &Number, gift: Gift) -> anyhow::Result<Terms> {
    let imported = &number.imported;
    let assignment_type = AssignmentType::Application;
    let request = Request {
        number_country: imported.country.clone(),
        number_type: imported.number_type,
        assignment: assignment_type,
        calling: gift.calling,
        sms: gift.sms,
        area_code: None,
    };
    let decision = book.decide(&trunkline_api::profile(resource), &request);
    let granted = decision.outcome.map_err(|denial| {
        anyhow::anyhow!("the rules refuse it: {}; `trunkline number explain` tells more", denial.code())
    })?;
    Ok(Terms {
        assignment_type,
        calling: request.calling,
        sms: request.sms,
        monthly_cost_minor: granted.monthly_cost_minor,
        currency: granted.currency,
    })
}

/// Holds the number and buys it; none when it is not free.
async fn buy(
    store: &Store,
    resource: &Resource,
    number: E164,
    terms: Terms,
    term_days: Option<u32>,
) -> Result<Option<Purchase>, Error> {
    let resource = resource.id;
    let write = store.write(move |db| {
        let terms = terms.clone();
        Box::pin(async move {
            let now_unix_ms = now_unix_ms();
            let act = Act { actor: ACTOR, now_unix_ms };
            let id = Uuid::now_v7();
            let expires_unix_ms = now_unix_ms + HELD_MS;
            let new = NewReservation { id, resource, kind: Kind::Reservation, expires_unix_ms, detail: None };
            let mut reservation = reservations::insert(db, &new, act).await?;
            if !reservations::add(db, &mut reservation, number, &terms, act).await? {
                reservations::cancel(db, resource, id, act).await?;
                return Ok(None);
            }
            let ends_unix_ms = term_days.map(|days| now_unix_ms + i64::from(days) * DAY_MS);
            reservations::purchase(db, resource, id, ends_unix_ms, act).await.map(Some)
        })
    });
    write.await
}
