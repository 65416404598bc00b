//! What was acknowledged survives `kill -9`.

use crate::calls::answered_call;
use crate::database::Database;
use std::io::Write;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use trunkline_model::CallRecord;
use trunkline_storage::{Error, Store, calls};

crate::on_both_engines! {
    every_acknowledged_unit_survives_kill,
}

/// Kills of one run. Each cuts at another point of the writer's work; many more belong to a longer suite.
const ROUNDS: u64 = 10;

/// Tells the child where the database is.
const URL: &str = "TRUNKLINE_CRASH_URL";

/// Tells the child where its serial numbers begin.
const BASE: &str = "TRUNKLINE_CRASH_BASE";

async fn every_acknowledged_unit_survives_kill(database: Database) {
    database.open().await.close().await;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let base = round * 1_000_000;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(URL, database.url())
            .env(BASE, base.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut serials = Vec::new();
        // Each round lives for another number of acknowledgements.
        let enough = 1 + 37 * usize::try_from(round).unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            serials.extend(line.strip_prefix("written ").map(|serial| serial.parse::<u64>().unwrap()));
            if serials.len() >= enough {
                break;
            }
        }
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        // What was still in the pipe had been acknowledged too.
        while let Some(line) = lines.next_line().await.unwrap() {
            serials.extend(line.strip_prefix("written ").and_then(|serial| serial.parse::<u64>().ok()));
        }
        assert!(serials.len() >= enough);

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

/// The child of the case above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by every_acknowledged_unit_survives_kill"]
async fn writes_until_it_is_killed() {
    let (Ok(url), Ok(base)) = (std::env::var(URL), std::env::var(BASE)) else { return };
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
                let mut stdout = std::io::stdout().lock();
                writeln!(stdout, "written {serial}").and_then(|()| stdout.flush()).unwrap();
            }
        });
    }
    writers.join_all().await;
}
