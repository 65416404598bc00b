//! How many units of work a second reach the disk, beside a bare `fdatasync` each on the same disk.
//!
//! `cargo bench -p trunkline-storage --bench write [-- --json]`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and may fail loudly"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use trunkline_model::{
    AssignmentType, CallId, CallRecord, Capability, Cause, E164, NodeId, NumberType, Party, Q850, Stage,
    SubscriptionClass, TrunkId,
};
use trunkline_storage::jobs::{self, NewJob};
use trunkline_storage::numbers::{self, Act, NewNumber, Terms, Wanted};
use trunkline_storage::reservations::{self, Kind, NewReservation, Purchase};
use trunkline_storage::resources::{self, Billing, Resource, Secret};
use trunkline_storage::{Error, Store, calls};
use uuid::Uuid;

/// Long enough that a slow sync or two does not decide the figure.
const MEASURED: Duration = Duration::from_secs(5);
const BUYERS: usize = 64;
const NUMBERS: u32 = 60_000;
const ACT: Act<'static> = Act { actor: "bench", now_unix_ms: 1_795_478_400_000 };

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let syncs = syncs_per_s(&directory.path().join("floor"));
    let store =
        Store::open(&format!("sqlite:{}", directory.path().join("bench.db").display())).await.unwrap();
    let buyer = stock(&store).await;
    report("purchases_per_s", "purchase/s", purchases_per_s(&store, buyer).await, syncs);
    report("jobs_per_s", "job/s", jobs_per_s(&store).await, syncs);
    report("call_records_per_s", "record/s", records_per_s(&store).await, syncs);
    report("reads_per_s", "read/s", reads_per_s(&store).await, syncs);
    store.close().await;
}

/// Search and purchase, each a unit of its own: two syncs where nobody shares.
async fn purchases_per_s(store: &Store, buyer: Uuid) -> f64 {
    let deadline = Instant::now() + MEASURED;
    let mut tasks = JoinSet::new();
    for _ in 0..BUYERS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut bought = 0;
            while Instant::now() < deadline {
                let found: Result<Option<Uuid>, Error> = store
                    .write(move |db| {
                        Box::pin(async move {
                            let new = NewReservation {
                                id: Uuid::now_v7(),
                                resource: buyer,
                                kind: Kind::Search,
                                expires_unix_ms: ACT.now_unix_ms + 900_000,
                                detail: None,
                            };
                            let found = reservations::search(db, &new, &wanted(), 1, &terms(), ACT).await?;
                            Ok(found.map(|found| found.id))
                        })
                    })
                    .await;
                let id = found.unwrap().expect("there are numbers enough");
                let done: Result<Purchase, Error> = store
                    .write(move |db| {
                        Box::pin(async move { reservations::purchase(db, buyer, id, None, ACT).await })
                    })
                    .await;
                assert!(matches!(done.unwrap(), Purchase::Done(_)));
                bought += 1;
            }
            bought
        });
    }
    rate(tasks.join_all().await)
}

/// One job a unit, as a request that must be on disk before it is answered.
async fn jobs_per_s(store: &Store) -> f64 {
    let deadline = Instant::now() + MEASURED;
    let mut tasks = JoinSet::new();
    for _ in 0..256 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut inserted = 0;
            while Instant::now() < deadline {
                let done: Result<i64, Error> = store
                    .write(|db| {
                        Box::pin(async move {
                            let job = NewJob {
                                queue: "bench",
                                ordering_key: None,
                                payload: serde_json::json!({ "to": "+14255550100", "text": "hello" }),
                                not_before_unix_ms: 0,
                                expires_unix_ms: None,
                                attempts_max: 5,
                            };
                            jobs::insert(db, job, ACT.now_unix_ms).await
                        })
                    })
                    .await;
                done.unwrap();
                inserted += 1;
            }
            inserted
        });
    }
    rate(tasks.join_all().await)
}

/// Call records in batches, as they are written behind the calls.
async fn records_per_s(store: &Store) -> f64 {
    const BATCH: u64 = 100;
    let began = Instant::now();
    let mut serial = 0;
    while began.elapsed() < MEASURED {
        let records: Vec<_> = (serial..serial + BATCH).map(record).collect();
        let done: Result<(), Error> =
            store.write(move |db| Box::pin(async move { calls::insert(db, &records).await })).await;
        done.unwrap();
        serial += BATCH;
    }
    serial as f64 / began.elapsed().as_secs_f64()
}

/// One number looked up by its owner, through the pool of readers.
async fn reads_per_s(store: &Store) -> f64 {
    let deadline = Instant::now() + MEASURED;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut read = 0;
            while Instant::now() < deadline {
                let mut db = store.read().await.unwrap();
                assert!(numbers::by_e164(&mut db, number(read % NUMBERS)).await.unwrap().is_some());
                read += 1;
            }
            read
        });
    }
    rate(tasks.join_all().await)
}

/// What the disk does when every unit is synced alone.
fn syncs_per_s(path: &Path) -> f64 {
    let mut file = File::create(path).unwrap();
    let began = Instant::now();
    let mut syncs = 0_u32;
    while began.elapsed() < MEASURED {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    f64::from(syncs) / began.elapsed().as_secs_f64()
}

fn rate(counts: Vec<u32>) -> f64 {
    f64::from(counts.into_iter().sum::<u32>()) / MEASURED.as_secs_f64()
}

fn report(metric: &str, unit: &str, ours: f64, syncs: f64) {
    if std::env::args().any(|argument| argument == "--json") {
        let line = serde_json::json!({
            "bench": "storage",
            "metric": metric,
            "ours": ours,
            "unit": unit,
            "peer": "one fdatasync each on the same disk",
            "peer_value": syncs,
            "ratio": ours / syncs,
        });
        println!("{line}");
    } else {
        println!(
            "{metric:<20} {ours:>10.0} {unit:<12} one fdatasync each: {syncs:.0}/s, {:.1}×",
            ours / syncs
        );
    }
}

async fn stock(store: &Store) -> Uuid {
    let id = Uuid::now_v7();
    let written: Result<(), Error> = store
        .write(move |db| {
            Box::pin(async move {
                let resource = Resource {
                    id,
                    name: "bench".into(),
                    created_unix_ms: 0,
                    data_location: "US".into(),
                    primary_key: Secret(vec![1; 32]),
                    secondary_key: Secret(vec![2; 32]),
                    billing: Billing {
                        country: Some("US".into()),
                        verified_unix_ms: Some(0),
                        emergency_address_unix_ms: None,
                        class: SubscriptionClass::Paid,
                    },
                    suspended_unix_ms: None,
                };
                resources::insert(db, &resource, &[], ACT).await?;
                let new: Vec<_> = (0..NUMBERS).map(new_number).collect();
                numbers::import(db, &new, ACT).await?;
                Ok(())
            })
        })
        .await;
    written.unwrap();
    id
}

fn number(index: u32) -> E164 {
    // The hundred fictional numbers of each of six hundred area codes.
    E164::parse(&format!("+1{}55501{:02}", 200 + index / 100, index % 100)).unwrap()
}

fn new_number(index: u32) -> NewNumber {
    NewNumber {
        number: number(index),
        trunk: TrunkId::parse("carrier-a").unwrap(),
        country: "US".into(),
        number_type: NumberType::Geographic,
        area_code: (200 + index / 100).to_string(),
        region: "WA".into(),
        city: "Seattle".into(),
        calling: Capability::InboundOutbound,
        sms: Capability::None,
        monthly_cost_minor: 50,
        currency: "USD".into(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        country: "US".into(),
        number_type: NumberType::Geographic,
        area_code: None,
        region: String::new(),
        city: String::new(),
        calling: Capability::Inbound,
        sms: Capability::None,
        fictional: true,
    }
}

fn terms() -> Terms {
    Terms {
        assignment_type: AssignmentType::Application,
        calling: Capability::InboundOutbound,
        sms: Capability::None,
        monthly_cost_minor: 100,
        currency: "USD".into(),
    }
}

fn record(serial: u64) -> CallRecord {
    CallRecord {
        call: CallId { node: NodeId(1), serial },
        from: "+14255550100".into(),
        to: "+14255550101".into(),
        trunk_in: Some(TrunkId::parse("carrier-a").unwrap()),
        trunk_out: Some(TrunkId::parse("carrier-b").unwrap()),
        signalling: Default::default(),
        attempts: 1,
        started_unix_ms: ACT.now_unix_ms,
        rang_after: Some(Duration::from_millis(180)),
        answered_after: Some(Duration::from_millis(2_345)),
        ended_after: Duration::from_secs(60),
        cause: Cause {
            sip: 200,
            q850: Q850::NORMAL_CLEARING,
            ended_by: Party::Caller,
            stage: Stage::Answered,
            trunk: None,
            detail: String::new(),
        },
        caller_media: Some(trunkline_model::LegQuality::default()),
        callee_media: Some(trunkline_model::LegQuality::default()),
    }
}
