//! Requests a second and their 99th percentile, through the whole router, on SQLite and on PostgreSQL, beside a bare
//! axum handler that is asked the same by the same generator. Both cores serve and generate at once.
//!
//! SQLite syncs each group of commits to the disk. PostgreSQL is the server of the tests, which does not: there it is
//! our side that is measured.
//!
//! `cargo bench -p trunkline-api --bench rest [-- --json]`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench reads the clock and may fail loudly"
)]

#[path = "../../storage/tests/store/database.rs"]
#[allow(dead_code, reason = "the tests of storage use all of it")]
mod database;
#[path = "../tests/support/mod.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use database::Database;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::{NOW_UNIX_MS, Sent, World};
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use trunkline_api::{Rate, Rates};
use trunkline_model::{Capability, NumberType};
use trunkline_numbers::{AreaKind, RuleBook, nanp};
use trunkline_storage::Error;
use trunkline_storage::numbers::{self, Act, NewNumber};

const MEASURED: Duration = Duration::from_secs(5);
/// Clients at once: enough that the writer's groups are worth their sync.
const CLIENTS: usize = 64;
/// Searches a second that are offered where what counts is how soon they are answered.
const OFFERED_PER_S: u32 = 1_000;
/// Purchases of searches made before: as many as there are numbers to hold at once, beside what else is measured.
const PURCHASES: usize = 5_000;
/// How long a search holds its numbers here, so that the next measurement has them again: far less than the
/// skew of a signature, for the requests are signed for one time.
const HOLD_SECS: i64 = 60;
const SEARCH: &str = "/availablePhoneNumbers/countries/US/:search?api-version=2025-06-01";
const PURCHASE: &str = "/availablePhoneNumbers/:purchase?api-version=2025-06-01";

/// What was measured of one operation.
struct Measured {
    per_s: f64,
    p99: Duration,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let bare = Router::new().fallback(|| async { "{}" });
    let floor = measure(&bare, Asked::get("/sip?api-version=2023-03-01".into())).await;
    for (name, database) in [("sqlite", Database::sqlite()), ("postgres", Database::postgres())] {
        operations(name, &database, &floor).await;
    }
}

/// Measures each kind of request on a database.
async fn operations(name: &str, database: &Database, floor: &Measured) {
    let plenty = Rate { requests: 10_000_000, window_secs: 1 };
    let rates = Rates { all: plenty, issue: plenty, revoke: plenty, write: plenty };
    let directory = tempfile::tempdir().unwrap();
    let world = World::over(database.open().await, directory, |settings| settings.rates = rates).await;
    let world = Arc::new(world);
    world.state.rules.store(Arc::new(wide()));
    stock(&world).await;
    let user = world.send(Sent::new("POST", "/identities?api-version=2023-10-01")).await;
    let user = user.json["identity"]["id"].as_str().unwrap().replace(':', "%3A");
    let number = buy(&world).await;
    let told = |metric: &str, unit, ours: &Measured| report(&format!("{name}_{metric}"), unit, ours, floor);

    let read = Asked::get(format!("/phoneNumbers/{number}?api-version=2025-06-01"));
    told("reads_per_s", "read/s", &measure(&world.router, read).await);
    let tokens = Asked {
        method: "POST",
        target: format!("/identities/{user}/:issueAccessToken?api-version=2023-10-01"),
        body: Some(json!({"scopes": ["voip"]})),
    };
    told("tokens_per_s", "token/s", &measure(&world.router, tokens).await);
    let users = Asked { method: "POST", target: "/identities?api-version=2023-10-01".into(), body: None };
    told("users_per_s", "user/s", &measure(&world.router, users).await);
    let searches = Asked { method: "POST", target: SEARCH.into(), body: Some(wanted()) };
    told("searches_per_s", "search/s", &measure(&world.router, searches.clone()).await);
    world.let_holds_end();
    told("offered_searches_per_s", "search/s", &offered(&world.router, searches).await);
    world.let_holds_end();
    told("purchases_per_s", "purchase/s", &purchases(&world).await);
    world.let_holds_end();
    told("orders_per_s", "order/s", &orders(&world).await);
    world.store.close().await;
}

/// One request, asked again and again.
#[derive(Clone)]
struct Asked {
    method: &'static str,
    target: String,
    body: Option<serde_json::Value>,
}

impl Asked {
    fn get(target: String) -> Self {
        Self { method: "GET", target, body: None }
    }

    fn request(&self) -> Request<Body> {
        let sent = Sent::new(self.method, &self.target);
        match &self.body {
            Some(body) => sent.json(body).sign(NOW_UNIX_MS),
            None => sent.sign(NOW_UNIX_MS),
        }
    }
}

/// Clients that each ask again when they were answered: the most there can be.
async fn measure(router: &Router, asked: Asked) -> Measured {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let (router, asked) = (router.clone(), asked.clone());
        tasks.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < MEASURED {
                took.push(answered(&router, asked.request(), Instant::now()).await);
            }
            took
        });
    }
    Measured::of(tasks.join_all().await.concat(), began.elapsed())
}

/// Requests that come when they come, [`OFFERED_PER_S`], whether or not those before were answered: each has waited
/// since it was due.
async fn offered(router: &Router, asked: Asked) -> Measured {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let mut due = began;
    while due < began + MEASURED {
        tokio::time::sleep_until(due.into()).await;
        // The timer wakes once a millisecond; whatever is due by then goes.
        let now = Instant::now();
        while due <= now {
            let (router, request) = (router.clone(), asked.request());
            tasks.spawn(async move { answered(&router, request, due).await });
            due += Duration::from_secs(1) / OFFERED_PER_S;
        }
    }
    let took = tasks.join_all().await;
    Measured::of(took, began.elapsed())
}

/// Sends a request and returns how long after `since` it was answered.
async fn answered(router: &Router, request: Request<Body>, since: Instant) -> Duration {
    let response = router.clone().oneshot(request).await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    since.elapsed()
}

/// Purchases of what was searched before.
async fn purchases(world: &Arc<World>) -> Measured {
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let world = world.clone();
        tasks.spawn(async move {
            let mut found = Vec::new();
            for _ in 0..PURCHASES / CLIENTS {
                found.push(search(&world).await);
            }
            found
        });
    }
    let found = tasks.join_all().await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for found in found {
        let world = world.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            for found in found {
                took.push(purchase(&world, &found).await);
            }
            took
        });
    }
    Measured::of(tasks.join_all().await.concat(), began.elapsed())
}

/// Search and purchase; the purchase is timed, and both are waited for.
async fn orders(world: &Arc<World>) -> Measured {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let world = world.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < MEASURED {
                let found = search(&world).await;
                took.push(purchase(&world, &found).await);
            }
            took
        });
    }
    Measured::of(tasks.join_all().await.concat(), began.elapsed())
}

/// Searches, and returns the id of the search.
async fn search(world: &World) -> String {
    let found = world.post(SEARCH, &wanted()).await;
    assert_eq!(found.status, 202, "{found:?}");
    found.header("search-id").to_owned()
}

/// Buys what a search found, and returns how long that took.
async fn purchase(world: &World, found: &str) -> Duration {
    let body = json!({ "searchId": found, "agreeToNotResell": false });
    let began = Instant::now();
    let bought = world.post(PURCHASE, &body).await;
    assert_eq!(bought.status, 202, "{bought:?}");
    began.elapsed()
}

impl Measured {
    fn of(mut took: Vec<Duration>, within: Duration) -> Self {
        took.sort_unstable();
        let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
        Self { per_s: took.len() as f64 / within.as_secs_f64(), p99 }
    }
}

fn report(metric: &str, unit: &str, ours: &Measured, floor: &Measured) {
    if std::env::args().any(|argument| argument == "--json") {
        let line = json!({
            "bench": "rest",
            "metric": metric,
            "ours": ours.per_s,
            "unit": unit,
            "p99_ms": ours.p99.as_secs_f64() * 1000.0,
            "peer": "a bare axum handler",
            "peer_value": floor.per_s,
            "ratio": ours.per_s / floor.per_s,
        });
        println!("{line}");
    } else {
        println!(
            "{metric:<24} {:>8.0} {unit:<11} p99 {:>6.1} ms   bare axum: {:.0}/s, p99 {:.1} ms",
            ours.per_s,
            ours.p99.as_secs_f64() * 1000.0,
            floor.per_s,
            floor.p99.as_secs_f64() * 1000.0,
        );
    }
}

impl World {
    fn let_holds_end(&self) {
        self.clock.fetch_add(HOLD_SECS * 1000, Ordering::Relaxed);
    }
}

async fn buy(world: &World) -> String {
    let found = search(world).await;
    purchase(world, &found).await;
    let owned = world.get("/phoneNumbers?api-version=2025-06-01").await;
    owned.json["phoneNumbers"][0]["phoneNumber"].as_str().unwrap().replace('+', "%2B")
}

fn wanted() -> serde_json::Value {
    json!({
        "phoneNumberType": "geographic",
        "assignmentType": "application",
        "capabilities": { "calling": "inbound+outbound", "sms": "none" },
        "quantity": 1,
    })
}

/// The built-in rules without quotas that a load generator would meet at once.
fn wide() -> RuleBook {
    let text = include_str!("../../numbers/data/rules.toml");
    let text = text
        .replace("ttl_s = 900", &format!("ttl_s = {HOLD_SECS}"))
        .replace("purchase_requests_per_tenant = 1\n", "purchase_requests_per_tenant = 100000\n")
        .replace("searches_per_tenant_per_week = 5\n", "searches_per_tenant_per_week = 100000000\n")
        .replace("numbers_held_per_tenant = 2000 ", "numbers_held_per_tenant = 100000000 ");
    RuleBook::parse(&text).unwrap()
}

async fn stock(world: &World) {
    let geographic =
        nanp::area_codes().filter(|area| area.country == "US" && area.kind == AreaKind::Geographic);
    let new: Vec<NewNumber> =
        geographic.flat_map(|area| (0..100).map(|line| number(area.npa, line))).collect();
    let act = Act { actor: "bench", now_unix_ms: NOW_UNIX_MS };
    let work = world.store.write(move |db| Box::pin(async move { numbers::import(db, &new, act).await }));
    let there_already: Result<Vec<_>, Error> = work.await;
    assert!(there_already.unwrap().is_empty());
}

/// One of the hundred fictional numbers of an area code: with all of them there is enough for what is searched and
/// bought.
fn number(area: u16, line: u16) -> NewNumber {
    NewNumber {
        number: format!("+1{area}55501{line:02}").parse().unwrap(),
        trunk: "carrier".parse().unwrap(),
        country: "US".into(),
        number_type: NumberType::Geographic,
        area_code: area.to_string(),
        region: "WA".into(),
        city: "Seattle".into(),
        calling: Capability::InboundOutbound,
        sms: Capability::None,
        monthly_cost_minor: 50,
        currency: "USD".into(),
    }
}
