//! The same over PostgreSQL, where units run side by side.

use crate::buyers;
use crate::database::Database;
use crate::quotas;
use crate::shop::{Shop, geographic, toll_free};
use crate::support::{Sent, World};
use serde_json::json;
use tempfile::TempDir;

const RESERVATION: &str = "6227aeb8-8086-4824-9586-05cafe96f37b";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_is_sold_twice_and_each_charge_has_its_number() {
    let database = Database::postgres();
    buyers::sell_out(world(&database).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_at_once_stay_within_the_quota() {
    let database = Database::postgres();
    quotas::search_at_once(Shop::over(world(&database).await).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_searched_bought_changed_reserved_and_released() {
    let database = Database::postgres();
    let shop = Shop::over(world(&database).await).await;
    let number = shop.buy(&toll_free()).await.replace('+', "%2B");
    let target = format!("/phoneNumbers/{number}/capabilities?api-version=2025-06-01");
    let changed = shop.world.patch(&target, &json!({ "calling": "inbound" })).await;
    assert_eq!(shop.operation(&changed).await["status"], "succeeded");
    let owned = shop.world.get(changed.header("location")).await.json;
    assert_eq!(owned["capabilities"], json!({ "calling": "inbound", "sms": "inbound+outbound" }));

    let chosen = json!({
        "countryCode": "US",
        "capabilities": { "calling": "outbound", "sms": "none" },
        "phoneNumberType": "geographic",
        "assignmentType": "application",
    });
    let target = format!("/availablePhoneNumbers/reservations/{RESERVATION}?api-version=2025-06-01");
    let two = json!({ "phoneNumbers": { "12065550101": chosen, "14255550101": chosen } });
    assert_eq!(shop.world.patch(&target, &two).await.status, 201);
    let other = json!({ "phoneNumbers": { "12065550101": null, "12065550102": chosen } });
    assert_eq!(shop.world.patch(&target, &other).await.status, 200);
    let held = shop.world.get(&target).await.json;
    assert_eq!(
        held["phoneNumbers"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["12065550102", "14255550101"]
    );
    let purchase = target.replace('?', "/:purchase?");
    let bought = shop.world.send(Sent::new("POST", &purchase)).await;
    assert_eq!(shop.operation(&bought).await["status"], "succeeded");
    let listed = shop.world.get("/phoneNumbers?skip=0&top=2&api-version=2025-06-01").await.json;
    assert_eq!(listed["phoneNumbers"].as_array().unwrap().len(), 2);
    assert!(listed["nextLink"].is_string());

    let browse = "/availablePhoneNumbers/countries/US/:browse?api-version=2025-06-01";
    let body = json!({ "phoneNumberType": "geographic" });
    assert_eq!(shop.world.post(browse, &body).await.json["phoneNumbers"].as_array().unwrap().len(), 8);
    let area_codes = "/availablePhoneNumbers/countries/US/areaCodes?phoneNumberType=geographic\
        &administrativeDivision=WA&api-version=2025-06-01";
    assert_eq!(shop.world.get(area_codes).await.json["areaCodes"].as_array().unwrap().len(), 2);

    let target = format!("/phoneNumbers/{number}?api-version=2025-06-01");
    let released = shop.world.delete(&target).await;
    assert_eq!(shop.operation(&released).await["status"], "succeeded");
    assert_eq!(shop.world.get(&target).await.status, 404);
    let mut too_many = geographic("212");
    too_many["quantity"] = json!(3);
    let searched = shop.search(&too_many).await;
    assert_eq!(shop.operation(&searched).await["error"]["code"], "NotEnoughNumbers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_reaches_no_statement() {
    let database = Database::postgres();
    let shop = Shop::over(world(&database).await).await;
    for (target, status) in [
        ("/availablePhoneNumbers/countries/US/localities?administrativeDivision=%00&", 400),
        ("/availablePhoneNumbers/countries/US/areaCodes?phoneNumberType=geographic&locality=a%00b&", 400),
        ("/availablePhoneNumbers/countries/U%00/localities?", 404),
        ("/phoneNumbers/operations/search_%00?", 404),
        ("/phoneNumbers/%2B1%00?", 404),
    ] {
        let answer = shop.world.get(&format!("{target}api-version=2025-06-01")).await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
    }
    let mut body = geographic("206");
    body["areaCode"] = json!("2\0 6");
    assert_eq!(shop.search(&body).await.error_code(), "AreaCodeInvalid");
}

async fn world(database: &Database) -> World {
    World::over(database.open().await, TempDir::new().unwrap(), |_| {}).await
}
