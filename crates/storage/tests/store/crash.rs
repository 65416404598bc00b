//! What was acknowledged survives `kill -9`.

use crate::calls::answered_call;
use crate::database::Database;
use crate::inventory::{HOLD_MS, NOW, check_invariants, purchase, search, stock};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use trunkline_model::{CallRecord, E164};
use trunkline_storage::reservations::Purchase;
use trunkline_storage::{Error, Store, calls, numbers};
use uuid::Uuid;

crate::on_both_engines! {
    every_acknowledged_unit_survives_kill,
    buyers_that_are_killed_never_buy_twice_or_for_nothing,
}

/// Kills of one run. Each cuts at another point of the writer's work; many more belong to a longer suite.
const ROUNDS: u64 = 10;

/// Tells the child where the database is.
const URL: &str = "TRUNKLINE_CRASH_URL";

/// Tells the child what to write: where its serial numbers begin, or who buys.
const TASK: &str = "TRUNKLINE_CRASH_TASK";

async fn every_acknowledged_unit_survives_kill(database: Database) {
    database.open().await.close().await;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let base = round * 1_000_000;
        // Each round lives for another number of acknowledgements.
        let enough = 1 + 37 * usize::try_from(round).unwrap();
        let lines = run_and_kill("writes_until_it_is_killed", &database, &base.to_string(), enough).await;
        let serials: Vec<u64> = lines.iter().map(|serial| serial.parse().unwrap()).collect();

        let store = database.open().await;
        let mut db = store.read().await.unwrap();
        for serial in &serials {
            for part in [*serial, serial + 1] {
                let kept = calls::by_id(&mut db, answered_call(part).call).await.unwrap();
                assert!(kept.is_some(), "round {round}: call {part} was acknowledged and is gone");
            }
        }
        assert_units_are_whole(&mut db, base).await;
        acknowledged += serials.len();
        drop(db);
        store.close().await;
    }
    assert!(acknowledged as u64 >= ROUNDS);
}

async fn buyers_that_are_killed_never_buy_twice_or_for_nothing(database: Database) {
    const NUMBERS: u32 = 1_000;
    let store = database.open().await;
    let mut buyers = vec![stock(&store, NUMBERS, "buyer-0").await];
    for index in 1..64 {
        buyers.push(stock(&store, 0, &format!("buyer-{index}")).await);
    }
    store.close().await;
    let names: Vec<_> = buyers.iter().map(Uuid::to_string).collect();

    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let enough = 1 + 7 * usize::try_from(round).unwrap();
        for line in run_and_kill("buys_until_it_is_killed", &database, &names.join(" "), enough).await {
            let (number, buyer) = line.split_once(' ').unwrap();
            let buyer: Uuid = buyer.parse().unwrap();
            let sold_before = acknowledged.insert(number.parse::<E164>().unwrap(), buyer);
            assert_eq!(sold_before, None, "round {round}: {number} was sold twice");
        }
        let store = database.open().await;
        let owned = check_invariants(&store, &buyers).await;
        assert!(owned >= acknowledged.len());
        let mut db = store.read().await.unwrap();
        for (number, buyer) in &acknowledged {
            let kept = numbers::owned_number(&mut db, *buyer, *number).await.unwrap();
            assert!(kept.is_some(), "round {round}: {number} was acknowledged and is not owned");
        }
        drop(db);
        store.close().await;
    }

    // Holds that the dead left behind end by themselves.
    let store = database.open().await;
    let owned = check_invariants(&store, &buyers).await;
    let rest = u16::try_from(NUMBERS as usize - owned).unwrap();
    let found = search(&store, buyers[0], rest, NOW + HOLD_MS).await.unwrap();
    assert_eq!(found.unwrap().numbers.len(), usize::from(rest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_stops_the_writer_and_loses_nothing_acknowledged() {
    let database = Database::sqlite();
    database.open().await.close().await;
    // The kernel refuses to let a file of the child grow beyond this, as a failing disk would (EFBIG; with
    // SIGXFSZ ignored a write returns it).
    let limited = "trap '' XFSZ; ulimit -f 1024; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writes_until_its_disk_fails", "--ignored", "--nocapture"])
        .env(URL, database.url())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8(output.stdout).unwrap();
    let serials: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix(DONE))
        .map(|serial| serial.parse().unwrap())
        .collect();
    assert!(!serials.is_empty());

    let store = database.open().await;
    let mut db = store.read().await.unwrap();
    for serial in serials {
        let kept = calls::by_id(&mut db, answered_call(serial).call).await.unwrap();
        assert!(kept.is_some(), "call {serial} was acknowledged and is gone");
    }
    drop(db);
    insert(&store, 1 << 40).await.unwrap();
}

/// The child of the case above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by a_disk_that_fails_stops_the_writer_and_loses_nothing_acknowledged"]
async fn writes_until_its_disk_fails() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = Store::open(&url).await.unwrap();
    let mut serial = 0;
    let failure = loop {
        match insert(&store, serial).await {
            Ok(()) => acknowledge(format_args!("{serial}")),
            Err(error) => break error,
        }
        serial += 1;
    };
    assert!(matches!(failure, Error::CommitUnknown(_)), "{failure}");
    // No later sync is believed, even if the disk seems well again.
    assert!(matches!(insert(&store, serial + 1).await, Err(Error::Stopped)));
    // Reading goes on.
    let mut db = store.read().await.unwrap();
    assert!(calls::by_id(&mut db, answered_call(0).call).await.unwrap().is_some());
}

async fn insert(store: &Store, serial: u64) -> Result<(), Error> {
    store.write(move |db| Box::pin(async move { calls::insert(db, &[answered_call(serial)]).await })).await
}

/// Runs a child until it has acknowledged so many times, kills it, and returns all it has acknowledged.
async fn run_and_kill(child: &str, database: &Database, task: &str, enough: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("crash::{child}"), "--ignored", "--nocapture"])
        .env(URL, database.url())
        .env(TASK, task)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < enough
        && let Some(line) = lines.next_line().await.unwrap()
    {
        acknowledged.extend(line.strip_prefix(DONE).map(str::to_owned));
    }
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    // What was still in the pipe had been acknowledged too.
    while let Some(line) = lines.next_line().await.unwrap() {
        acknowledged.extend(line.strip_prefix(DONE).map(str::to_owned));
    }
    assert!(acknowledged.len() >= enough, "the child ended by itself");
    database.settle().await;
    acknowledged
}

/// Says that a unit was acknowledged. One write, so that a kill cannot cut the line.
fn acknowledge(what: std::fmt::Arguments<'_>) {
    let line = format!("{DONE}{what}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Before each acknowledgement of a child.
const DONE: &str = "done: ";

/// A unit of the child writes an even call and the odd one behind it: never one alone.
async fn assert_units_are_whole(db: &mut trunkline_storage::Connection, base: u64) {
    let from = answered_call(base).started_unix_ms;
    let filter = calls::Filter { from_unix_ms: Some(from), ..Default::default() };
    let (records, _) = calls::list(db, &filter, None, u16::MAX).await.unwrap();
    for pair in records.chunks(2) {
        let [odd, even] = pair else { panic!("half a unit: {:?}", pair[0].call) };
        assert_eq!(odd.call.serial, even.call.serial + 1);
    }
}

/// The child of `every_acknowledged_unit_survives_kill`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by every_acknowledged_unit_survives_kill"]
async fn writes_until_it_is_killed() {
    let (Ok(url), Ok(base)) = (std::env::var(URL), std::env::var(TASK)) else { return };
    let base: u64 = base.parse().unwrap();
    let store = Store::open(&url).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            for unit in 0.. {
                let serial = base + (unit * 16 + writer) * 2;
                let records: [CallRecord; 2] = [answered_call(serial), answered_call(serial + 1)];
                let written: Result<(), Error> =
                    store.write(move |db| Box::pin(async move { calls::insert(db, &records).await })).await;
                written.unwrap();
                acknowledge(format_args!("{serial}"));
            }
        });
    }
    writers.join_all().await;
}

/// The child of `buyers_that_are_killed_never_buy_twice_or_for_nothing`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by buyers_that_are_killed_never_buy_twice_or_for_nothing"]
async fn buys_until_it_is_killed() {
    let (Ok(url), Ok(names)) = (std::env::var(URL), std::env::var(TASK)) else { return };
    let store = Store::open(&url).await.unwrap();
    let mut buyers = JoinSet::new();
    for name in names.split(' ') {
        let buyer: Uuid = name.parse().unwrap();
        let store = store.clone();
        buyers.spawn(async move {
            // One number a round, so that there are enough for all rounds.
            loop {
                let found = match search(&store, buyer, 1, NOW).await {
                    Ok(found) => found.unwrap(),
                    Err(Error::Contended { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                match purchase(&store, buyer, found.id, NOW).await {
                    Ok(Purchase::Done(bought)) => {
                        break acknowledge(format_args!("{} {buyer}", bought[0].number));
                    }
                    Err(Error::Contended { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    buyers.join_all().await;
    std::future::pending().await
}
