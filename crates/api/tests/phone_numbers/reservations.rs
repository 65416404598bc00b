//! Reservations: numbers that a resource chose.

use crate::shop::{Shop, geographic};
use crate::support::{Answer, Sent};
use serde_json::{Value, json};
use std::time::Duration;
use trunkline_model::NumberState;
use trunkline_storage::ledger::Kind;
use uuid::Uuid;

const ID: &str = "6227aeb8-8086-4824-9586-05cafe96f37b";

#[tokio::test]
async fn a_reservation_holds_the_numbers_that_were_chosen() {
    let shop = Shop::new().await;
    let made = patch(&shop, ID, &json!({ "12065550101": chosen(), "14255550100": chosen() })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let number = |id: &str| {
        json!({
            "id": id,
            "countryCode": "US",
            "phoneNumber": format!("+{id}"),
            "capabilities": { "calling": "outbound", "sms": "none" },
            "phoneNumberType": "geographic",
            "assignmentType": "application",
            "cost": { "amount": 1.0, "currencyCode": "USD", "billingFrequency": "monthly" },
            "status": "reserved",
            "isAgreementToNotResellRequired": false,
        })
    };
    let whole = json!({
        "id": ID,
        "expiresAt": "2026-11-23T11:49:33.0000000+00:00",
        "status": "active",
        "phoneNumbers": { "12065550101": number("12065550101"), "14255550100": number("14255550100") },
    });
    assert_eq!(made.json, whole);
    assert_eq!(shop.world.get(&target(ID)).await.json, whole);
    assert_eq!(shop.state("+12065550101").await, NumberState::Reserved);
    // Nobody is offered them meanwhile.
    let mut all = geographic("206");
    all["quantity"] = json!(4);
    assert!(!shop.find(&all).await.1["phoneNumbers"].to_string().contains("+12065550101"));
}

#[tokio::test]
async fn null_takes_a_number_out_and_each_change_gives_fifteen_minutes_up_to_two_hours() {
    let shop = Shop::new().await;
    patch(&shop, ID, &json!({ "12065550100": chosen(), "12065550101": chosen() })).await;
    shop.world.pass(Duration::from_secs(600));
    let changed =
        patch(&shop, ID, &json!({ "12065550100": null, "14255550100": chosen(), "n9": null })).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(keys(&changed.json), ["12065550101", "14255550100"]);
    assert_eq!(changed.json["expiresAt"], "2026-11-23T11:59:33.0000000+00:00");
    assert_eq!(shop.state("+12065550100").await, NumberState::Available);

    // The number that was there from the start is held as long as the reservation.
    shop.world.pass(Duration::from_secs(890));
    assert_eq!(shop.world.get(&target(ID)).await.json["status"], "active");
    for _ in 0..7 {
        assert_eq!(patch(&shop, ID, &json!({ "14255550100": chosen() })).await.status, 200);
        shop.world.pass(Duration::from_secs(800));
    }
    // 600 + 890 + 7 * 800 s have passed; two hours are 7200 s.
    let last = patch(&shop, ID, &json!({ "14255550100": chosen() })).await;
    assert_eq!(last.json["expiresAt"], "2026-11-23T13:34:33.0000000+00:00");
    shop.world.pass(Duration::from_secs(200));
    let late = patch(&shop, ID, &json!({ "14255550101": chosen() })).await;
    assert_eq!((late.status.as_u16(), late.error_code()), (409, "ReservationExpired"));
    let expired = shop.world.get(&target(ID)).await.json;
    assert_eq!(expired["status"], "expired");
    assert_eq!(expired["phoneNumbers"]["14255550100"]["status"], "expired");
    // Anyone may have them now, whether or not a sweeper came by.
    let other =
        patch(&shop, "00000000-0000-4000-8000-000000000001", &json!({ "14255550100": chosen() })).await;
    assert_eq!(other.status, 201, "{other:?}");
}

#[tokio::test]
async fn a_question_does_not_prolong_a_reservation() {
    let shop = Shop::new().await;
    patch(&shop, ID, &json!({ "12065550100": chosen() })).await;
    shop.world.pass(Duration::from_secs(600));
    let same = shop.world.send(merge_patch(ID, &json!({}))).await;
    assert_eq!(same.json["expiresAt"], "2026-11-23T11:49:33.0000000+00:00");
}

#[tokio::test]
async fn what_cannot_be_had_is_told_beside_what_can() {
    let shop = Shop::new().await;
    let sold = shop.buy(&geographic("206")).await;
    assert_eq!(sold, "+12065550100");
    let mut messages = chosen();
    messages["capabilities"]["sms"] = json!("outbound");
    let mut toll_free = chosen();
    toll_free["phoneNumberType"] = json!("tollFree");
    let mut canada = chosen();
    canada["countryCode"] = json!("CA");
    let answer = patch(
        &shop,
        ID,
        &json!({
            "12065550100": chosen(),
            "12065550101": chosen(),
            "12065550102": messages,
            "12065550103": toll_free,
            "12065550104": canada,
            "n1": chosen(),
            "13605550100": chosen(),
        }),
    )
    .await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let numbers = &answer.json["phoneNumbers"];
    assert_eq!(numbers["12065550101"]["status"], "reserved");
    for (id, code) in [
        ("12065550100", "FailedToReserveNumber"),
        ("12065550102", "CapabilityNotSupported"),
        ("12065550103", "FailedToReserveNumber"),
        ("12065550104", "NumberCountryNotOffered"),
        ("n1", "FailedToReserveNumber"),
        ("13605550100", "FailedToReserveNumber"),
    ] {
        assert_eq!(numbers[id]["status"], "error", "{id}");
        assert_eq!(numbers[id]["error"]["code"], code, "{id}");
    }
    assert_eq!(keys(&shop.world.get(&target(ID)).await.json), ["12065550101"]);
}

#[tokio::test]
async fn who_may_not_buy_may_not_reserve() {
    let shop = Shop::new().await;
    shop.bill(|billing| billing.country = Some("GB".into())).await;
    let answer = patch(&shop, ID, &json!({ "12065550101": chosen() })).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (403, "BillingCountryNotEligible"));
    assert_eq!(shop.world.get(&target(ID)).await.error_code(), "NotFound");
    assert_eq!(shop.state("+12065550101").await, NumberState::Available);
}

#[tokio::test]
async fn a_reservation_is_bought_whole_with_a_body_or_without() {
    let shop = Shop::new().await;
    for (id, numbers, body) in [
        (ID, ["12065550100", "12065550101"], Some(json!({ "agreeToNotResell": false }))),
        ("7227aeb8-8086-4824-9586-05cafe96f37b", ["12065550102", "14255550100"], None),
    ] {
        patch(&shop, id, &json!({ numbers[0]: chosen(), numbers[1]: chosen() })).await;
        let target_of_purchase =
            format!("/availablePhoneNumbers/reservations/{id}/:purchase?api-version=2025-06-01");
        let sent = Sent::new("POST", &target_of_purchase);
        let sent = match &body {
            Some(body) => sent.json(body),
            None => sent,
        };
        let answer = shop.world.send(sent).await;
        assert_eq!(
            answer.header("operation-id"),
            format!("reservationPurchase_{}", answer.header("reservation-purchase-id"))
        );
        let operation = shop.operation(&answer).await;
        assert_eq!(operation["operationType"], "reservationPurchase");
        assert_eq!(operation["status"], "succeeded");
        let bought = shop.world.get(&target(id)).await.json;
        assert_eq!(bought["status"], "completed");
        assert_eq!(bought["phoneNumbers"][numbers[0]]["status"], "purchased");
        // Bought is bought: no further number, and it cannot be given up.
        assert_eq!(patch(&shop, id, &json!({ "14255550101": chosen() })).await.error_code(), "Conflict");
        assert_eq!(shop.world.delete(&target(id)).await.error_code(), "Conflict");
    }
    assert_eq!(shop.statement(shop.world.resource).await, [(Kind::Purchase, 100); 4]);
}

#[tokio::test]
async fn a_reservation_is_not_bought_as_a_search_nor_without_numbers_nor_too_late() {
    let shop = Shop::new().await;
    patch(&shop, ID, &json!({})).await;
    assert_eq!(shop.purchase(ID).await.error_code(), "NotFound");
    let purchase = format!("/availablePhoneNumbers/reservations/{ID}/:purchase?api-version=2025-06-01");
    let empty = shop.world.send(Sent::new("POST", &purchase)).await;
    assert_eq!((empty.status.as_u16(), empty.error_code()), (409, "Conflict"));
    patch(&shop, ID, &json!({ "12065550100": chosen() })).await;
    shop.world.pass(Duration::from_secs(900));
    let late = shop.world.send(Sent::new("POST", &purchase)).await;
    assert_eq!(shop.operation(&late).await["error"]["code"], "ReservationExpired");
}

#[tokio::test]
async fn a_deleted_reservation_is_gone_and_its_numbers_free() {
    let shop = Shop::new().await;
    patch(&shop, ID, &json!({ "12065550100": chosen() })).await;
    let gone = shop.world.delete(&target(ID)).await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
    assert_eq!(shop.state("+12065550100").await, NumberState::Available);
    for answer in [
        shop.world.get(&target(ID)).await,
        shop.world.delete(&target(ID)).await,
        patch(&shop, ID, &json!({ "12065550100": chosen() })).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.error_code()), (404, "NotFound"));
    }
    let nonsense = shop.world.get(&target("mine")).await;
    assert_eq!((nonsense.status.as_u16(), nonsense.error_code()), (400, "BadRequest"));
}

#[tokio::test]
async fn reservations_are_listed_page_by_page_without_their_numbers() {
    let shop = Shop::new().await;
    let ids: Vec<_> = (1..=5_u128).map(|id| Uuid::from_u128(id << 64).to_string()).collect();
    for id in &ids {
        patch(&shop, id, &json!({})).await;
    }
    shop.world.delete(&target(&ids[1])).await;
    let mut link =
        Some("/availablePhoneNumbers/reservations?api-version=2025-06-01&maxPageSize=3".to_owned());
    let mut pages = Vec::new();
    while let Some(next) = link.take() {
        let page = shop.world.get(&next).await.json;
        let listed = page["reservations"].as_array().unwrap();
        assert!(listed.iter().all(|entry| entry.get("phoneNumbers").is_none()), "{page}");
        pages.push(listed.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        link = page.get("nextLink").map(|link| link.as_str().unwrap().to_owned());
    }
    assert_eq!(pages, [vec![ids[0].clone(), ids[2].clone(), ids[3].clone()], vec![ids[4].clone()]]);
}

#[tokio::test]
async fn the_reservation_of_another_is_neither_seen_nor_taken() {
    let shop = Shop::new().await;
    let (host, key) = ("fabrikam.localhost:8443", b"another-key-0123456789-abcdefghi".as_slice());
    shop.world.add_resource(Uuid::from_u128(2), "fabrikam", host, key).await;
    patch(&shop, ID, &json!({ "12065550100": chosen() })).await;
    let theirs = target(ID);
    let seen = shop.send_as(host, key, Sent::new("GET", &theirs)).await;
    assert_eq!((seen.status.as_u16(), seen.error_code()), (404, "NotFound"));
    let taken = shop.send_as(host, key, merge_patch(ID, &json!({ "12065550100": null }))).await;
    assert_eq!((taken.status.as_u16(), taken.error_code()), (409, "Conflict"));
    assert_eq!(shop.state("+12065550100").await, NumberState::Reserved);
}

#[tokio::test]
async fn a_reservation_has_a_limit() {
    let shop = Shop::new().await;
    let many: serde_json::Map<String, Value> =
        (0..101).map(|line| (format!("1360555{:04}", 100 + line % 100 + line / 100), chosen())).collect();
    let many: serde_json::Map<String, Value> =
        many.into_iter().chain([("n1".to_owned(), chosen()), ("n2".to_owned(), chosen())]).collect();
    assert!(many.len() > 100);
    let answer = patch(&shop, ID, &Value::Object(many)).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"));
}

fn chosen() -> Value {
    json!({
        "countryCode": "US",
        "capabilities": { "calling": "outbound", "sms": "none" },
        "phoneNumberType": "geographic",
        "assignmentType": "application",
    })
}

async fn patch(shop: &Shop, id: &str, numbers: &Value) -> Answer {
    shop.world.send(merge_patch(id, &json!({ "phoneNumbers": numbers }))).await
}

fn merge_patch(id: &str, body: &Value) -> Sent<'static> {
    // The tests leak a few dozen bytes rather than pass a buffer through each of them.
    let target: &'static str = Box::leak(target(id).into_boxed_str());
    let body = if body.get("phoneNumbers").is_some() || body == &json!({}) {
        body.clone()
    } else {
        json!({ "phoneNumbers": body })
    };
    let mut sent = Sent::new("PATCH", target).header("content-type", "application/merge-patch+json");
    sent.body = body.to_string().into_bytes();
    sent
}

fn target(id: &str) -> String {
    format!("/availablePhoneNumbers/reservations/{id}?api-version=2025-06-01")
}

fn keys(reservation: &Value) -> Vec<&str> {
    reservation["phoneNumbers"].as_object().unwrap().keys().map(String::as_str).collect()
}
