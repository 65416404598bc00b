//! Quotas of a resource (PROV-05).

use crate::shop::{PURCHASE, Shop, geographic};
use crate::support::{Sent, World};
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use trunkline_numbers::RuleBook;
use trunkline_storage::Error;

#[tokio::test]
async fn five_searches_a_week_and_no_pause_is_asked_for_that_a_client_would_sit_out() {
    let shop = Shop::new().await;
    shop.set_rules(&RuleBook::default());
    for area_code in ["206", "206", "425", "425", "212"] {
        assert_eq!(shop.search(&geographic(area_code)).await.status, 202);
    }
    let sixth = shop.search(&geographic("206")).await;
    assert_eq!((sixth.status.as_u16(), sixth.error_code()), (403, "QuotaExceeded"));
    assert_eq!(sixth.header("retry-after"), "");

    // What the rules deny is denied as such, whatever the quota.
    let denied = shop.search(&geographic("416")).await;
    assert_eq!(denied.error_code(), "AreaCodeInvalid");
    // Another resource has its own.
    let (host, key) = ("fabrikam.localhost:8443", b"another-key-0123456789-abcdefghi".as_slice());
    shop.world.add_resource(uuid::Uuid::from_u128(2), "fabrikam", host, key).await;
    let sent = Sent::new("POST", crate::shop::SEARCH_US).json(&geographic("206"));
    assert_eq!(shop.send_as(host, key, sent).await.status, 202);

    shop.world.pass(Duration::from_secs(7 * 86_400));
    assert_eq!(shop.search(&geographic("206")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_at_once_stay_within_the_quota() {
    search_at_once(Shop::new().await).await;
}

/// Searches many times at once under a quota of five.
pub(crate) async fn search_at_once(shop: Shop) {
    shop.set_rules(&RuleBook::default());
    let shop = Arc::new(shop);
    let mut searches = JoinSet::new();
    for _ in 0..16 {
        let shop = shop.clone();
        searches.spawn(async move { shop.search(&geographic("206")).await.status.as_u16() });
    }
    let statuses = searches.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 11, "{statuses:?}");
}

#[tokio::test]
async fn a_search_called_off_still_counts() {
    let shop = Shop::new().await;
    shop.set_rules(&RuleBook::default());
    for _ in 0..5 {
        let answer = shop.search(&geographic("206")).await;
        let operation = answer.header("operation-location").to_owned();
        assert_eq!(shop.world.delete(&operation).await.status, 204);
    }
    assert_eq!(shop.search(&geographic("206")).await.error_code(), "QuotaExceeded");
}

#[tokio::test]
async fn ten_reservations_are_active_at_once() {
    let shop = Shop::new().await;
    let make = async |id: u128| {
        let id = uuid::Uuid::from_u128(id);
        let target = format!("/availablePhoneNumbers/reservations/{id}?api-version=2025-06-01");
        let made = shop.world.patch(&target, &json!({})).await;
        (made.status.as_u16(), made.json["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    for id in 1..=10 {
        assert_eq!(make(id).await, (201, String::new()));
    }
    assert_eq!(make(11).await, (403, "QuotaExceeded".to_owned()));
    assert_eq!(make(10).await, (200, String::new()));
    let target = format!("/availablePhoneNumbers/reservations/{}", uuid::Uuid::from_u128(1));
    assert_eq!(shop.world.delete(&format!("{target}?api-version=2025-06-01")).await.status, 204);
    assert_eq!(make(11).await, (201, String::new()));
    shop.world.pass(Duration::from_secs(900));
    assert_eq!(make(12).await, (201, String::new()));
}

#[tokio::test]
async fn a_second_purchase_at_once_is_asked_to_wait() {
    let shop = Shop::new().await;
    shop.set_rules(&RuleBook::default());
    let (first, _) = shop.find(&geographic("206")).await;
    let (second, _) = shop.find(&geographic("206")).await;
    let (release, held) = oneshot::channel::<()>();
    let store = shop.world.store.clone();
    let writer = tokio::spawn(async move {
        let waited: Result<(), Error> = store
            .write(|_| {
                Box::pin(async move {
                    // The writer stands still until both requests are under way.
                    let _ = held.await;
                    Ok(())
                })
            })
            .await;
        waited.unwrap();
    });
    let mut one = Box::pin(shop.world.router.clone().oneshot(purchase(&shop.world, &first)));
    let mut other = Box::pin(shop.world.router.clone().oneshot(purchase(&shop.world, &second)));
    let (refused, left) = tokio::select! {
        answer = &mut one => (answer.unwrap(), other),
        answer = &mut other => (answer.unwrap(), one),
    };
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["x-ms-error-code"], "TooManyRequests");
    release.send(()).unwrap();
    assert_eq!(left.await.unwrap().status(), 202);
    writer.await.unwrap();
    // The pause is over as soon as the purchase is.
    assert_eq!(shop.purchase(&first).await.status, 202);
    assert_eq!(shop.purchase(&second).await.status, 202);
}

fn purchase(world: &World, search: &str) -> Request<Body> {
    Sent::new("POST", PURCHASE).json(&json!({ "searchId": search })).sign(world.now_unix_ms())
}
