//! What happens to numbers when nobody asks.

use crate::shop::{Shop, geographic};
use serde_json::json;
use std::time::Duration;
use trunkline_model::NumberState;
use trunkline_storage::ledger::{self, Kind};
use trunkline_storage::numbers;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn each_month_of_a_number_is_charged_once_on_the_day_it_was_bought() {
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("206")).await;
    shop.world.pass(29 * DAY);
    assert_eq!(shop.world.state.upkeep().await.unwrap().renewed, 0);
    // Bought on 23 November at 11:34:33.
    for (days, charged) in [(1, 1), (0, 0), (30, 0), (1, 1), (31, 1)] {
        shop.world.pass(days * DAY);
        assert_eq!(shop.world.state.upkeep().await.unwrap().renewed, charged, "{days}");
    }
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Renewal, 100)]);

    // Months nobody looked are charged late, each for itself.
    shop.world.pass(90 * DAY);
    assert_eq!(shop.world.state.upkeep().await.unwrap().renewed, 3);
    let target = format!("/phoneNumbers/{}?api-version=2025-06-01", number.replace('+', "%2B"));
    assert_eq!(shop.world.delete(&target).await.status, 202);
    shop.world.pass(90 * DAY);
    assert_eq!(shop.world.state.upkeep().await.unwrap().renewed, 0);
    let mut db = shop.world.store.read().await.unwrap();
    let mut charges = 0;
    for month in ["2026-11", "2026-12", "2027-01", "2027-02", "2027-03", "2027-04", "2027-05"] {
        let rows = ledger::statement(&mut db, shop.world.resource, month.parse().unwrap()).await.unwrap();
        charges += rows.iter().filter(|row| row.kind != Kind::Release).count();
    }
    assert_eq!(charges, 7);
}

#[tokio::test]
async fn a_released_number_ages_and_is_sold_again() {
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("212")).await;
    let target = format!("/phoneNumbers/{}?api-version=2025-06-01", number.replace('+', "%2B"));
    assert_eq!(shop.world.delete(&target).await.status, 202);
    for (days, state) in [
        (29, NumberState::Releasing),
        (1, NumberState::Quarantine),
        (44, NumberState::Quarantine),
        (1, NumberState::Available),
    ] {
        shop.world.pass(days * DAY);
        shop.world.state.upkeep().await.unwrap();
        assert_eq!(shop.state(&number).await, state, "{days}");
    }
    let mut both = geographic("212");
    both["quantity"] = json!(2);
    shop.find(&both).await;
    let mut db = shop.world.store.read().await.unwrap();
    assert_eq!(numbers::assignments_of(&mut db, number.parse().unwrap()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn holds_that_ran_out_are_cleared_and_old_records_forgotten() {
    let shop = Shop::new().await;
    let (search, _) = shop.find(&geographic("206")).await;
    shop.world.pass(Duration::from_secs(900));
    assert_eq!(shop.world.state.upkeep().await.unwrap().moved, 1);
    assert_eq!(shop.state("+12065550100").await, NumberState::Available);
    shop.world.pass(32 * DAY);
    assert_eq!(shop.world.state.upkeep().await.unwrap().forgotten, 2);
    let target = format!("/availablePhoneNumbers/searchResults/{search}?api-version=2025-06-01");
    assert_eq!(shop.world.get(&target).await.error_code(), "NotFound");
}
