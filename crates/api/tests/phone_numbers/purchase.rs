//! Purchase of what a search holds.

use crate::shop::{PURCHASE, Shop, geographic, toll_free, wide};
use crate::support::Sent;
use serde_json::json;
use std::time::Duration;
use trunkline_model::NumberState;
use trunkline_storage::audit;
use trunkline_storage::ledger::Kind;
use trunkline_storage::numbers;
use uuid::Uuid;

#[tokio::test]
async fn a_bought_number_is_owned_charged_and_written_down() {
    let shop = Shop::new().await;
    let mut changed = shop.world.state.changed();
    let (id, _) = shop.find(&toll_free()).await;
    let answer = shop.purchase(&id).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
    assert_eq!(answer.header("operation-id"), format!("purchase_{}", answer.header("purchase-id")));
    assert_eq!(answer.header("location"), "");
    let operation = shop.operation(&answer).await;
    assert_eq!(operation["operationType"], "purchase");
    assert_eq!(operation["status"], "succeeded");
    assert_eq!(operation["resourceLocation"], json!(null));

    let owned = shop.world.get("/phoneNumbers/%2B18335550100?api-version=2025-06-01").await;
    assert_eq!(
        owned.json,
        json!({
            "id": "18335550100",
            "phoneNumber": "+18335550100",
            "countryCode": "US",
            "phoneNumberType": "tollFree",
            "capabilities": { "calling": "inbound+outbound", "sms": "inbound+outbound" },
            "assignmentType": "application",
            "purchaseDate": "2026-11-23T11:34:33.0000000+00:00",
            "cost": { "amount": 2.0, "currencyCode": "USD", "billingFrequency": "monthly" },
        })
    );
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Purchase, 200)]);
    let mut db = shop.world.store.read().await.unwrap();
    let log = audit::of_number(&mut db, "+18335550100".parse().unwrap(), 0, 10).await.unwrap();
    let states: Vec<_> = log.iter().filter_map(|entry| entry.to).collect();
    assert_eq!(
        states,
        [NumberState::Available, NumberState::Reserved, NumberState::Purchasing, NumberState::Assigned]
    );
    // The call router is told.
    changed.changed().await;
    let routed = numbers::owned_in_trunks(&mut db).await.unwrap();
    assert_eq!(routed.len(), 1);
    assert_eq!(routed[0].trunk.as_str(), "carrier");
    assert_eq!(routed[0].assignment.renews_unix_ms - shop.world.now_unix_ms(), 30 * 86_400_000);
}

#[tokio::test]
async fn buying_twice_buys_once() {
    let shop = Shop::new().await;
    let (id, _) = shop.find(&geographic("206")).await;
    let first = shop.purchase(&id).await;
    shop.world.pass(Duration::from_secs(3600));
    let second = shop.purchase(&id).await;
    assert_eq!(first.header("operation-id"), second.header("operation-id"));
    assert_eq!(shop.operation(&second).await["status"], "succeeded");
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Purchase, 100)]);
}

#[tokio::test]
async fn what_is_bought_too_late_fails_and_costs_nothing() {
    let shop = Shop::new().await;
    let (id, _) = shop.find(&geographic("206")).await;
    shop.world.pass(Duration::from_secs(900));
    let answer = shop.purchase(&id).await;
    let operation = shop.operation(&answer).await;
    assert_eq!(operation["status"], "failed");
    assert_eq!(operation["error"]["code"], "ReservationExpired");
    assert_eq!(shop.statement(shop.world.resource).await, []);
    let again = shop.purchase(&id).await;
    assert_eq!(shop.operation(&again).await["status"], "failed");
}

#[tokio::test]
async fn only_the_resource_that_searched_can_buy() {
    let shop = Shop::new().await;
    let (host, key) = ("fabrikam.localhost:8443", b"another-key-0123456789-abcdefghi".as_slice());
    shop.world.add_resource(Uuid::from_u128(2), "fabrikam", host, key).await;
    let (id, _) = shop.find(&geographic("206")).await;
    let theft = shop.send_as(host, key, Sent::new("POST", PURCHASE).json(&json!({ "searchId": id }))).await;
    assert_eq!((theft.status.as_u16(), theft.error_code()), (404, "NotFound"));
    assert_eq!(shop.state("+12065550100").await, NumberState::Reserved);
    for nonsense in ["", "nonsense", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(shop.purchase(nonsense).await.error_code(), "NotFound", "{nonsense}");
    }
    assert_eq!(shop.purchase(&id).await.status, 202);
}

#[tokio::test]
async fn a_billing_address_that_moved_away_before_the_purchase_ends_it_and_frees_the_numbers() {
    // A.5 row 23.
    let shop = Shop::new().await;
    let (id, _) = shop.find(&toll_free()).await;
    shop.bill(|billing| billing.country = Some("GB".into())).await;
    let answer = shop.purchase(&id).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (403, "BillingCountryNotEligible"));
    assert_eq!(shop.state("+18335550100").await, NumberState::Available);
    assert_eq!(shop.statement(shop.world.resource).await, []);
    // Moving back does not bring the hold back.
    shop.bill(|billing| billing.country = Some("US".into())).await;
    assert_eq!(shop.purchase(&id).await.error_code(), "NotFound");
}

#[tokio::test]
async fn the_rules_in_force_at_the_purchase_decide() {
    let shop = Shop::new().await;
    let (id, _) = shop.find(&geographic("206")).await;
    // It grants calling outbound only.
    shop.set_rules(&wide("acs-2020-10"));
    let answer = shop.purchase(&id).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "CapabilityNotSupported"));
    assert_eq!(shop.state("+12065550100").await, NumberState::Available);
}

#[tokio::test]
async fn what_was_bought_stays_when_the_billing_address_moves() {
    // PROV-21.
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("206")).await;
    shop.bill(|billing| billing.country = Some("GB".into())).await;
    let target = format!("/phoneNumbers/{}?api-version=2025-06-01", number.replace('+', "%2B"));
    assert_eq!(shop.world.get(&target).await.status, 200);
    assert_eq!(shop.search(&geographic("206")).await.error_code(), "BillingCountryNotEligible");
}
