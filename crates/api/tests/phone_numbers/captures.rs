//! Every recorded request of the official clients, sent again as it was.

use crate::shop::{Shop, wide};
use crate::support::{Answer, Sent};
use serde::Deserialize;
use serde_json::Value;
use trunkline_model::{AssignmentType, Capability};
use trunkline_storage::Error;
use trunkline_storage::numbers::{Act, Terms};
use trunkline_storage::reservations::{self, Kind, NewReservation};
use uuid::Uuid;

#[derive(Deserialize)]
struct Recorded {
    captures: Vec<Capture>,
}

#[derive(Deserialize)]
struct Capture {
    name: String,
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Exchange {
    method: String,
    target: String,
    content_type: Option<String>,
    accept: Option<String>,
    body: String,
    status: u16,
    answer: Value,
}

const SEARCH: &str = "11111111-1111-4111-8111-111111111111";
const RESERVATION: &str = "6227aeb8-8086-4824-9586-05cafe96f37b";

#[tokio::test]
async fn every_recorded_request_is_answered_in_the_recorded_shape() {
    let text = include_str!("../../../../fixtures/acs/phone_numbers.json");
    // The stand-in server made up ids; here the id of a number is its digits.
    let text = text
        .replace("n1", "12065550101")
        .replace("\"n2\"", "\"12065550102\"")
        .replace("\\\"n2\\\"", "\\\"12065550102\\\"");
    let recorded: Recorded = serde_json::from_str(&text).unwrap();
    assert!(recorded.captures.len() >= 40);
    for capture in &recorded.captures {
        let shop = shop_for(&capture.name).await;
        let begun = send(&shop, &capture.exchanges[0]).await;
        let expected = expected_status(&capture.name, capture.exchanges[0].status);
        assert_eq!(begun.status, expected, "{}: {begun:?}", capture.name);
        assert!(begun.header("api-supported-versions").contains("2025-06-01"));
        if expected == 202 {
            follow(&shop, capture, &begun).await;
        } else if capture.name == "py.phonenumbers.reservation_remove_number" {
            // The stand-in server always showed the number.
            assert_eq!(begun.json["phoneNumbers"], serde_json::json!({}));
        } else if expected < 400 {
            alike(&capture.name, &capture.exchanges[0].answer, &begun.json);
            for exchange in &capture.exchanges[1..] {
                let answer = send(&shop, exchange).await;
                assert_eq!(answer.status, exchange.status, "{}: {answer:?}", capture.name);
                alike(&capture.name, &exchange.answer, &answer.json);
            }
        } else {
            begun.error_code();
        }
    }
}

/// Where the stand-in server answered otherwise than the rules say.
fn expected_status(name: &str, recorded: u16) -> u16 {
    match name {
        // It always answered that the reservation was new.
        "py.phonenumbers.reservation_remove_number" => 200,
        // It asked for a number that can do nothing.
        "py.phonenumbers.search_lro_failed" => 400,
        _ => recorded,
    }
}

/// Asks after an operation and fetches its result as the client did.
async fn follow(shop: &Shop, capture: &Capture, begun: &Answer) {
    let polled = &capture.exchanges[1];
    let operation = shop.operation(begun).await;
    assert_eq!(operation["status"], "succeeded", "{}: {operation}", capture.name);
    alike(&capture.name, &polled.answer, &operation);
    assert_eq!(operation["operationType"], polled.answer["operationType"]);
    let last = capture.exchanges.last().unwrap();
    let fetched = !last.target.contains("/operations/");
    assert_eq!(!begun.header("location").is_empty(), fetched, "{}", capture.name);
    if fetched {
        let result = shop.world.get(begun.header("location")).await;
        assert_eq!(result.status, last.status, "{}: {result:?}", capture.name);
        alike(&capture.name, &last.answer, &result.json);
    }
}

/// Everything recorded is there, of the same type.
fn alike(name: &str, recorded: &Value, answered: &Value) {
    match (recorded, answered) {
        (Value::Object(recorded), Value::Object(answered)) => {
            for (key, value) in recorded {
                // Not known here; and as many pages as there are numbers.
                if key == "operatorDetails" || key == "nextLink" {
                    continue;
                }
                let there =
                    answered.get(key).unwrap_or_else(|| panic!("{name}: {key} is missing in {answered:?}"));
                alike(name, value, there);
            }
        }
        (Value::Array(recorded), Value::Array(answered)) => {
            if let (Some(recorded), Some(answered)) = (recorded.first(), answered.first()) {
                alike(name, recorded, answered);
            }
        }
        (recorded, answered) => {
            assert_eq!(
                std::mem::discriminant(recorded),
                std::mem::discriminant(answered),
                "{name}: {recorded} {answered}"
            );
        }
    }
}

/// Numbers under rules that allow messages to local numbers, three of them owned, a search and a reservation.
async fn shop_for(name: &str) -> Shop {
    let shop = Shop::new().await;
    shop.set_rules(&wide("acs-ga"));
    hold(
        &shop,
        Kind::Search,
        "5b6eae36-67c1-4e6c-9ba0-94f5c0a8bcd1",
        &["+12065550100", "+12065550103", "+12065550104"],
    )
    .await;
    shop.purchase("5b6eae36-67c1-4e6c-9ba0-94f5c0a8bcd1").await;
    hold(&shop, Kind::Search, SEARCH, &["+14255550100"]).await;
    if !name.ends_with("reservation_create") {
        hold(&shop, Kind::Reservation, RESERVATION, &["+12065550101"]).await;
    }
    shop.stock("206", "WA", "Seattle", 110..112).await;
    shop
}

async fn hold(shop: &Shop, kind: Kind, id: &'static str, numbers: &'static [&'static str]) {
    let (resource, now_unix_ms) = (shop.world.resource, shop.world.now_unix_ms());
    let work = shop.world.store.write(move |db| {
        Box::pin(async move {
            let new = NewReservation {
                id: id.parse::<Uuid>().unwrap(),
                resource,
                kind,
                expires_unix_ms: now_unix_ms + 900_000,
                detail: None,
            };
            let act = Act { actor: "test", now_unix_ms };
            let mut made = reservations::insert(db, &new, act).await?;
            let terms = Terms {
                assignment_type: AssignmentType::Application,
                calling: Capability::InboundOutbound,
                sms: Capability::InboundOutbound,
                monthly_cost_minor: 100,
                currency: "USD".into(),
            };
            for number in numbers {
                assert!(reservations::add(db, &mut made, number.parse().unwrap(), &terms, act).await?);
            }
            Ok(())
        })
    });
    let held: Result<(), Error> = work.await;
    held.unwrap();
}

async fn send(shop: &Shop, exchange: &Exchange) -> Answer {
    let mut sent = Sent::new(&exchange.method, &exchange.target);
    for (name, value) in [("content-type", &exchange.content_type), ("accept", &exchange.accept)] {
        if let Some(value) = value {
            sent = sent.header(name, value.clone());
        }
    }
    sent.body = exchange.body.clone().into_bytes();
    shop.world.send(sent).await
}
