//! What the numbering plan lets be sold, and the limits of what one resource may hold and own.

use crate::shop::{SEARCH_US, Shop, geographic, rules_with, stock, toll_free, wide};
use crate::support::{Sent, World};
use serde_json::json;
use std::time::Duration;
use trunkline_api::Environment;
use trunkline_model::{NumberState, NumberType};
use trunkline_storage::ledger::Kind;

const DAY: Duration = Duration::from_secs(86_400);
const RESERVATION: &str = "/availablePhoneNumbers/reservations/6227aeb8-8086-4824-9586-05cafe96f37b";

/// Adds a reservation of one number, and returns the code of the number's error.
async fn reserve(shop: &Shop, key: &str) -> (u16, Option<String>) {
    let chosen = json!({
        "countryCode": "US",
        "capabilities": { "calling": "outbound", "sms": "none" },
        "phoneNumberType": "geographic",
        "assignmentType": "application",
    });
    let target = format!("{RESERVATION}?api-version=2025-06-01");
    let answer = shop.world.patch(&target, &json!({ "phoneNumbers": { key: chosen } })).await;
    let error = answer.json["phoneNumbers"]
        .as_object()
        .and_then(|numbers| numbers.values().find_map(|number| number["error"]["code"].as_str()));
    (answer.status.as_u16(), error.map(str::to_owned))
}

#[tokio::test]
async fn live_a_fictional_number_is_neither_found_nor_shown_nor_reserved() {
    let world = World::with(|settings| settings.environment = Environment::Live).await;
    let shop = Shop::over(world).await;
    let answer = shop.search(&geographic("206")).await;
    assert_eq!(shop.operation(&answer).await["error"]["code"], "NotEnoughNumbers");
    let browse = SEARCH_US.replace(":search", ":browse");
    let shown = shop.world.post(&browse, &json!({ "phoneNumberType": "geographic" })).await;
    assert_eq!(shown.json, json!({ "phoneNumbers": [] }));
    assert_eq!(reserve(&shop, "12065550100").await, (207, Some("FailedToReserveNumber".to_owned())));
    assert_eq!(shop.state("+12065550100").await, NumberState::Available);
}

#[tokio::test]
async fn a_number_under_the_wrong_country_is_not_sold() {
    let shop = Shop::new().await;
    // 416 is Toronto; it came into the inventory as a number of the US.
    stock(&shop.world.store, NumberType::Geographic, "416", "WA", "Seattle", 100..101).await;
    assert_eq!(reserve(&shop, "14165550100").await, (207, Some("FailedToReserveNumber".to_owned())));

    // A search for any area code may come upon it: then it is not bought, and let go of.
    let mut any = geographic("206");
    any.as_object_mut().unwrap().remove("areaCode");
    any["quantity"] = json!(10);
    for area_code in ["206", "425", "212"] {
        let mut all = geographic(area_code);
        all["quantity"] = json!(match area_code {
            "206" => 5,
            "425" => 3,
            _ => 2,
        });
        shop.find(&all).await;
    }
    any["quantity"] = json!(1);
    let (search, result) = shop.find(&any).await;
    assert_eq!(result["phoneNumbers"], json!(["+14165550100"]));
    let refused = shop.purchase(&search).await;
    assert_eq!((refused.status.as_u16(), refused.error_code()), (400, "AreaCodeInvalid"));
    assert_eq!(shop.state("+14165550100").await, NumberState::Available);
}

#[tokio::test]
async fn a_reserved_number_may_be_named_with_its_plus() {
    let shop = Shop::new().await;
    assert_eq!(reserve(&shop, "+12065550100").await, (201, None));
    assert_eq!(shop.state("+12065550100").await, NumberState::Reserved);
}

#[tokio::test]
async fn a_release_that_comes_again_is_the_same_operation() {
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("206")).await;
    let target = format!("/phoneNumbers/{}?api-version=2025-06-01", number.replace('+', "%2B"));
    let id = "0a0b0c0d-1111-4222-8333-444455556666";
    let again = async || {
        let sent = Sent::new("DELETE", &target).header("x-ms-client-request-id", id);
        shop.world.send(sent).await
    };
    let first = again().await;
    assert_eq!(first.header("operation-id"), format!("release_{id}"));
    assert_eq!(again().await.header("operation-id"), first.header("operation-id"));
    // Another request is another wish.
    assert_eq!(shop.world.delete(&target).await.status, 404);
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Purchase, 100), (Kind::Release, 0)]);

    // The id of another release does not stand in the way.
    let other = shop.buy(&geographic("425")).await;
    let target = format!("/phoneNumbers/{}?api-version=2025-06-01", other.replace('+', "%2B"));
    let sent = Sent::new("DELETE", &target).header("x-ms-client-request-id", id);
    let released = shop.world.send(sent).await;
    assert_eq!(shop.operation(&released).await["status"], "succeeded");
    assert_ne!(released.header("operation-id"), first.header("operation-id"));
}

#[tokio::test]
async fn a_month_that_began_before_the_release_is_owed() {
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("206")).await;
    shop.world.pass(31 * DAY);
    let target = format!("/phoneNumbers/{}?api-version=2025-06-01", number.replace('+', "%2B"));
    assert_eq!(shop.world.delete(&target).await.status, 202);
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Renewal, 100), (Kind::Release, 0)]);
    let released = shop.number(&number).await;
    assert_eq!(released.state, NumberState::Releasing);
    assert!(released.rests_until_unix_ms.unwrap() > shop.world.now_unix_ms());
}

#[tokio::test]
async fn a_trial_has_one_number_for_thirty_days() {
    let shop = Shop::new().await;
    shop.set_rules(&wide("trial"));
    let mut wanted = toll_free();
    wanted["capabilities"]["sms"] = json!("none");
    let number = shop.buy(&wanted).await;
    let (search, _) = shop.find(&wanted).await;
    let second = shop.purchase(&search).await;
    assert_eq!((second.status.as_u16(), second.error_code()), (403, "QuotaExceeded"));

    shop.world.pass(30 * DAY);
    let done = shop.world.state.upkeep().await.unwrap();
    assert_eq!((done.ended, done.renewed), (1, 0));
    assert_eq!(shop.state(&number).await, NumberState::Quarantine);
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Release, 0)]);
    shop.buy(&wanted).await;
}

#[tokio::test]
async fn one_resource_holds_only_so_many_numbers() {
    let shop = Shop::new().await;
    shop.set_rules(&rules_with("numbers_held_per_tenant = 2000", "numbers_held_per_tenant = 3"));
    let mut three = geographic("206");
    three["quantity"] = json!(3);
    shop.find(&three).await;
    let more = shop.search(&geographic("425")).await;
    assert_eq!((more.status.as_u16(), more.error_code()), (403, "QuotaExceeded"));
    shop.world.pass(Duration::from_secs(900));
    shop.find(&geographic("425")).await;
}

#[tokio::test]
async fn a_search_that_finds_nothing_counts_too() {
    let shop = Shop::new().await;
    shop.set_rules(&rules_with("searches_per_tenant_per_week = 5", "searches_per_tenant_per_week = 2"));
    let nothing = geographic("253");
    for _ in 0..2 {
        let answer = shop.search(&nothing).await;
        assert_eq!(shop.operation(&answer).await["error"]["code"], "NotEnoughNumbers");
        let result = shop.world.get(answer.header("location")).await;
        assert_eq!((result.status.as_u16(), result.error_code()), (404, "NotEnoughNumbers"));
    }
    assert_eq!(shop.search(&nothing).await.error_code(), "QuotaExceeded");
}
