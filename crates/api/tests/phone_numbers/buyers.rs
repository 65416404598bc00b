//! Many buyers, few numbers.

use crate::shop::{PURCHASE, SEARCH_US, stock, wide};
use crate::support::{Answer, Sent, World};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;
use trunkline_model::{NumberState, NumberType};
use trunkline_storage::ledger::{self, Kind, Month};
use trunkline_storage::numbers;
use uuid::Uuid;

const TENANTS: u32 = 8;
const BUYERS: u32 = 64;
const NUMBERS: u32 = 40;
const KEY: &[u8] = b"one-key-for-all-0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_is_sold_twice_and_each_charge_has_its_number() {
    sell_out(World::new().await).await;
}

/// Has many buyers of several tenants buy all there is, and looks at what is left.
pub(crate) async fn sell_out(world: World) {
    world.state.rules.store(Arc::new(wide("us-ca-preview")));
    stock(&world.store, NumberType::Geographic, "206", "WA", "Seattle", 100..100 + NUMBERS).await;
    for tenant in 0..TENANTS {
        world.add_resource(id(tenant), &format!("tenant{tenant}"), &host(tenant), KEY).await;
    }
    let world = Arc::new(world);
    let mut buyers = JoinSet::new();
    for buyer in 0..BUYERS {
        let world = world.clone();
        buyers.spawn(async move { buy_until_sold_out(&world, buyer % TENANTS, buyer % 3).await });
    }
    let bought: Vec<String> = buyers.join_all().await.into_iter().flatten().collect();

    // Every number was sold, and to one buyer.
    let distinct: BTreeSet<_> = bought.iter().collect();
    assert_eq!((bought.len(), distinct.len()), (NUMBERS as usize, NUMBERS as usize));
    let mut db = world.store.read().await.unwrap();
    let all = numbers::list(&mut db, None, None, 1000).await.unwrap();
    assert!(all.iter().all(|number| number.state == NumberState::Assigned));

    // Every charge has its number, and every number its charge.
    let month = Month::of_unix_ms(world.now_unix_ms());
    let mut charged = BTreeSet::new();
    for tenant in 0..TENANTS {
        let owned = numbers::owned(&mut db, id(tenant), 0, 1000).await.unwrap();
        let rows = ledger::statement(&mut db, id(tenant), month).await.unwrap();
        assert_eq!(rows.len(), owned.len());
        for row in rows {
            assert_eq!((row.kind, row.amount_minor), (Kind::Purchase, 100));
            let paid = owned.iter().find(|owned| Some(owned.assignment.id) == row.assignment).unwrap();
            assert_eq!(Some(paid.assignment.number), row.number);
            assert!(charged.insert(paid.assignment.number));
        }
    }
    assert_eq!(charged.len(), NUMBERS as usize);
}

/// Searches and buys, some searches bought twice or three times at once, until no number is left.
async fn buy_until_sold_out(world: &World, tenant: u32, extra: u32) -> Vec<String> {
    let mut bought = Vec::new();
    loop {
        let body = json!({
            "phoneNumberType": "geographic",
            "assignmentType": "application",
            "capabilities": { "calling": "inbound", "sms": "none" },
        });
        let begun = post(world, tenant, SEARCH_US, &body).await;
        assert_eq!(begun.status, 202, "{begun:?}");
        let operation = get(world, tenant, begun.header("operation-location")).await;
        if operation.json["status"] == "failed" {
            assert_eq!(operation.json["error"]["code"], "NotEnoughNumbers");
            return bought;
        }
        let result = get(world, tenant, begun.header("location")).await;
        bought.push(result.json["phoneNumbers"][0].as_str().unwrap().to_owned());
        let body = json!({ "searchId": begun.header("search-id") });
        let purchase = || post(world, tenant, PURCHASE, &body);
        let answers = match extra {
            0 => vec![purchase().await],
            1 => <[Answer; 2]>::from(tokio::join!(purchase(), purchase())).into(),
            _ => <[Answer; 3]>::from(tokio::join!(purchase(), purchase(), purchase())).into(),
        };
        for answer in answers {
            assert_eq!(answer.status, 202, "{answer:?}");
            let operation = get(world, tenant, answer.header("operation-location")).await;
            assert_eq!(operation.json["status"], "succeeded", "{operation:?}");
        }
    }
}

async fn post(world: &World, tenant: u32, target: &str, body: &serde_json::Value) -> Answer {
    world.send(Sent::new("POST", target).json(body).to(&host(tenant), KEY)).await
}

async fn get(world: &World, tenant: u32, target: &str) -> Answer {
    world.send(Sent::new("GET", target).to(&host(tenant), KEY)).await
}

fn id(tenant: u32) -> Uuid {
    Uuid::from_u128(100 + u128::from(tenant))
}

fn host(tenant: u32) -> String {
    format!("tenant{tenant}.localhost:8443")
}
