//! The numbers that a resource owns.

use crate::shop::{Shop, geographic, toll_free};
use serde_json::{Value, json};
use std::time::Duration;
use trunkline_model::NumberState;
use trunkline_storage::ledger::Kind;
use trunkline_storage::numbers;
use uuid::Uuid;

#[tokio::test]
async fn a_number_is_found_however_its_path_is_written() {
    let shop = Shop::new().await;
    shop.buy(&geographic("206")).await;
    for path in ["%2B12065550100", "%2b12065550100", "+12065550100", "12065550100"] {
        let answer = shop.world.get(&format!("/phoneNumbers/{path}?api-version=2025-06-01")).await;
        assert_eq!(answer.json["phoneNumber"], "+12065550100", "{path}");
    }
    let unknown = shop.world.get("/phoneNumbers/%2B12065550199?api-version=2025-06-01").await;
    assert_eq!((unknown.status.as_u16(), unknown.error_code()), (404, "NotFound"));
    let nonsense = shop.world.get("/phoneNumbers/me?api-version=2025-06-01").await;
    assert_eq!((nonsense.status.as_u16(), nonsense.error_code()), (400, "BadRequest"));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let shop = Shop::new().await;
    let mut body = geographic("206");
    body["quantity"] = json!(5);
    shop.buy(&body).await;
    shop.buy(&geographic("425")).await;
    for (top, pages) in [(1, 6), (2, 3), (4, 2), (6, 1), (100, 1)] {
        let mut link = Some(format!("/phoneNumbers?skip=0&top={top}&api-version=2025-06-01"));
        let (mut seen, mut count) = (Vec::new(), 0);
        while let Some(target) = link.take() {
            let page = shop.world.get(&target).await;
            assert_eq!(page.status, 200, "{page:?}");
            let numbers = page.json["phoneNumbers"].as_array().unwrap();
            seen.extend(numbers.iter().map(|number| number["id"].as_str().unwrap().to_owned()));
            link = page.json.get("nextLink").map(|link| link.as_str().unwrap().to_owned());
            count += 1;
        }
        assert_eq!(count, pages, "{top}");
        assert!(seen.is_sorted() && seen.len() == 6, "{seen:?}");
    }
    for bad in ["top=0", "top=x", "skip=-1"] {
        let answer = shop.world.get(&format!("/phoneNumbers?{bad}&api-version=2025-06-01")).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{bad}");
    }
}

#[tokio::test]
async fn capabilities_change_within_the_offer() {
    let shop = Shop::new().await;
    let number = shop.buy(&toll_free()).await;
    let answer = patch(&shop, &number, &json!({ "calling": "inbound", "sms": "inbound+outbound" })).await;
    let location = "/phoneNumbers/%2B18335550100?api-version=2025-06-01";
    assert_eq!(answer.header("location"), location);
    assert_eq!(answer.header("operation-id"), format!("capabilities_{}", answer.header("capabilities-id")));
    let operation = shop.operation(&answer).await;
    assert_eq!(operation["operationType"], "updatePhoneNumberCapabilities");
    assert_eq!(operation["status"], "succeeded");
    assert_eq!(operation["resourceLocation"], location);
    let owned = shop.world.get(location).await.json;
    assert_eq!(owned["capabilities"], json!({ "calling": "inbound", "sms": "inbound+outbound" }));
    // A client would take it for an operation.
    assert!(owned.get("status").is_none());

    // What is not named stays.
    let answer = patch(&shop, &number, &json!({ "sms": "outbound" })).await;
    assert_eq!(shop.operation(&answer).await["status"], "succeeded");
    let owned = shop.world.get(location).await.json;
    assert_eq!(owned["capabilities"], json!({ "calling": "inbound", "sms": "outbound" }));
}

#[tokio::test]
async fn what_the_offer_does_not_grant_stays_as_it_is() {
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("206")).await;
    for body in [json!({ "sms": "outbound" }), json!({ "calling": "none" })] {
        let answer = patch(&shop, &number, &body).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "CapabilityNotSupported"), "{body}");
    }
    let unknown = patch(&shop, "+12065550104", &json!({ "calling": "inbound" })).await;
    assert_eq!((unknown.status.as_u16(), unknown.error_code()), (404, "NotFound"));

    // With a billing address elsewhere, less may be asked for and no more.
    shop.bill(|billing| billing.country = Some("GB".into())).await;
    let less = patch(&shop, &number, &json!({ "calling": "inbound" })).await;
    assert_eq!(shop.operation(&less).await["status"], "succeeded");
    let more = patch(&shop, &number, &json!({ "calling": "inbound+outbound" })).await;
    assert_eq!((more.status.as_u16(), more.error_code()), (403, "BillingCountryNotEligible"));
}

#[tokio::test]
async fn a_released_number_rests_before_anyone_gets_it() {
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("212")).await;
    let target = format!("/phoneNumbers/{}?api-version=2025-06-01", number.replace('+', "%2B"));
    let answer = shop.world.delete(&target).await;
    assert_eq!(answer.header("operation-id"), format!("release_{}", answer.header("release-id")));
    assert_eq!(answer.header("location"), "");
    let operation = shop.operation(&answer).await;
    assert_eq!(operation["operationType"], "releasePhoneNumber");
    assert_eq!(operation["status"], "succeeded");

    assert_eq!(shop.world.get(&target).await.status, 404);
    assert_eq!(shop.world.delete(&target).await.error_code(), "NotFound");
    let mut db = shop.world.store.read().await.unwrap();
    assert!(numbers::owned_in_trunks(&mut db).await.unwrap().is_empty());
    drop(db);
    // Until the month that was paid is over; nothing comes back.
    let released = shop.number(&number).await;
    assert_eq!(released.state, NumberState::Releasing);
    assert_eq!(released.rests_until_unix_ms, Some(shop.world.now_unix_ms() + 30 * 86_400_000));
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Purchase, 100), (Kind::Release, 0)]);

    shop.world.pass(Duration::from_secs(3600));
    let mut both = geographic("212");
    both["quantity"] = json!(2);
    let answer = shop.search(&both).await;
    assert_eq!(shop.operation(&answer).await["error"]["code"], "NotEnoughNumbers");
}

#[tokio::test]
async fn nobody_touches_the_numbers_of_another() {
    let shop = Shop::new().await;
    let number = shop.buy(&geographic("206")).await;
    let (host, key) = ("fabrikam.localhost:8443", b"another-key-0123456789-abcdefghi".as_slice());
    shop.world.add_resource(Uuid::from_u128(2), "fabrikam", host, key).await;
    let target = format!("/phoneNumbers/{number}?api-version=2025-06-01");
    for method in ["GET", "DELETE"] {
        let answer = shop.send_as(host, key, crate::support::Sent::new(method, &target)).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (404, "NotFound"), "{method}");
    }
    assert_eq!(shop.state(&number).await, NumberState::Assigned);
}

async fn patch(shop: &Shop, number: &str, body: &Value) -> crate::support::Answer {
    let number = number.replace('+', "%2B");
    shop.world.patch(&format!("/phoneNumbers/{number}/capabilities?api-version=2025-06-01"), body).await
}
