//! Search, its operation and its result.

use crate::shop::{SEARCH_US, Shop, geographic, toll_free};
use crate::support::Sent;
use serde_json::json;
use std::time::Duration;
use trunkline_model::NumberState;
use uuid::Uuid;

#[tokio::test]
async fn a_search_holds_numbers_and_tells_until_when() {
    let shop = Shop::new().await;
    let answer = shop.search(&geographic("206")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
    let id = answer.header("search-id");
    assert_eq!(answer.header("operation-id"), format!("search_{id}"));
    assert_eq!(
        answer.header("operation-location"),
        format!("/phoneNumbers/operations/search_{id}?api-version=2025-06-01")
    );
    let location = format!("/availablePhoneNumbers/searchResults/{id}?api-version=2025-06-01");
    assert_eq!(answer.header("location"), location);

    let operation = shop.operation(&answer).await;
    assert_eq!(operation["operationType"], "search");
    assert_eq!(operation["status"], "succeeded");
    assert_eq!(operation["resourceLocation"], location.as_str());

    let result = shop.world.get(&location).await;
    assert_eq!(
        result.json,
        json!({
            "searchId": id,
            "phoneNumbers": ["+12065550100"],
            "phoneNumberType": "geographic",
            "assignmentType": "application",
            "capabilities": { "calling": "inbound+outbound", "sms": "none" },
            "cost": { "amount": 1.0, "currencyCode": "USD", "billingFrequency": "monthly" },
            "searchExpiresBy": "2026-11-23T11:49:33.0000000+00:00",
            "isAgreementToNotResellRequired": false,
            "errorCode": 0,
            "error": "NoError",
        })
    );
    assert_eq!(shop.state("+12065550100").await, NumberState::Reserved);
}

#[tokio::test]
async fn several_numbers_are_found_or_none() {
    let shop = Shop::new().await;
    let mut body = geographic("425");
    body["quantity"] = json!(3);
    let (_, result) = shop.find(&body).await;
    assert_eq!(result["phoneNumbers"], json!(["+14255550100", "+14255550101", "+14255550102"]));

    // One of the five in Seattle is held, so five are not to be had, and none of the four is taken.
    shop.find(&geographic("206")).await;
    let mut body = geographic("206");
    body["quantity"] = json!(5);
    let answer = shop.search(&body).await;
    let operation = shop.operation(&answer).await;
    assert_eq!(operation["status"], "failed");
    assert_eq!(operation["error"]["code"], "NotEnoughNumbers");
    assert_eq!(shop.state("+12065550104").await, NumberState::Available);
    let result = shop.world.get(answer.header("location")).await;
    assert_eq!((result.status.as_u16(), result.error_code()), (404, "NotEnoughNumbers"));
}

#[tokio::test]
async fn the_quantity_and_the_area_code_may_be_left_out() {
    let shop = Shop::new().await;
    let mut body = toll_free();
    body.as_object_mut().unwrap().remove("quantity");
    let (_, result) = shop.find(&body).await;
    assert_eq!(result["phoneNumbers"], json!(["+18335550100"]));
    assert_eq!(result["cost"]["amount"], json!(2.0));
}

#[tokio::test]
async fn what_is_no_search_is_refused() {
    let shop = Shop::new().await;
    for (field, value, target) in [
        ("quantity", json!(0), "quantity"),
        ("quantity", json!(-1), "quantity"),
        ("quantity", json!(11), "quantity"),
        ("quantity", json!(1_000_000_000_000_i64), "quantity"),
        ("phoneNumberType", json!("satellite"), "body"),
        ("capabilities", json!({ "calling": "yes", "sms": "none" }), "body"),
        ("assignmentType", json!(null), "body"),
    ] {
        let mut body = geographic("206");
        body[field] = value;
        let answer = shop.search(&body).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{body}");
        assert_eq!(answer.json["error"]["target"], target, "{body}");
    }
    let answer = shop.world.send(Sent::new("POST", SEARCH_US)).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"));
    assert_eq!(shop.state("+12065550100").await, NumberState::Available);
}

#[tokio::test]
async fn a_hold_that_ran_out_says_so_and_the_number_is_found_again() {
    let shop = Shop::new().await;
    let (id, _) = shop.find(&geographic("212")).await;
    shop.find(&geographic("212")).await;
    let none_left = shop.search(&geographic("212")).await;
    assert_eq!(shop.operation(&none_left).await["status"], "failed");

    shop.world.pass(Duration::from_secs(900));
    let result = shop.world.get(&result_of(&id)).await;
    assert_eq!(result.json["error"], "ReservationExpired");
    let (_, again) = shop.find(&geographic("212")).await;
    assert_eq!(again["phoneNumbers"], json!(["+12125550100"]));
}

#[tokio::test]
async fn a_search_that_is_called_off_lets_go_of_its_numbers() {
    let shop = Shop::new().await;
    let answer = shop.search(&geographic("206")).await;
    let operation =
        format!("/phoneNumbers/operations/{}?api-version=2025-06-01", answer.header("operation-id"));
    let gone = shop.world.delete(&operation).await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
    assert_eq!(shop.state("+12065550100").await, NumberState::Available);
    assert_eq!(shop.world.get(answer.header("location")).await.status, 404);
    let bought = shop.purchase(answer.header("search-id")).await;
    assert_eq!((bought.status.as_u16(), bought.error_code()), (404, "NotFound"));
}

#[tokio::test]
async fn a_search_is_seen_by_its_resource_only() {
    let shop = Shop::new().await;
    let (host, key) = ("fabrikam.localhost:8443", b"another-key-0123456789-abcdefghi".as_slice());
    shop.world.add_resource(Uuid::from_u128(2), "fabrikam", host, key).await;
    let (id, _) = shop.find(&geographic("206")).await;
    for target in [result_of(&id), format!("/phoneNumbers/operations/search_{id}?api-version=2025-06-01")] {
        let answer = shop.send_as(host, key, Sent::new("GET", &target)).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (404, "NotFound"), "{target}");
    }
    assert_eq!(shop.world.get(&result_of("nonsense")).await.error_code(), "NotFound");
}

fn result_of(id: &str) -> String {
    format!("/availablePhoneNumbers/searchResults/{id}?api-version=2025-06-01")
}
