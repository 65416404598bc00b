use super::*;
use std::path::Path;
use trunkline_model::{CallId, Cause, NodeId, Party, Q850, Stage};

/// Returns the record of a call.
pub(super) fn record(serial: u64) -> CallRecord {
    CallRecord {
        call: CallId { node: NodeId(1), serial },
        from: "+14255550100".to_owned(),
        to: "+14255550101".to_owned(),
        trunk_in: None,
        trunk_out: None,
        signalling: Default::default(),
        attempts: 0,
        started_unix_ms: 1,
        rang_after: None,
        answered_after: Some(Duration::from_millis(1500)),
        ended_after: Duration::from_secs(3),
        cause: Cause {
            sip: 200,
            q850: Q850::NORMAL_CLEARING,
            ended_by: Party::Caller,
            stage: Stage::Answered,
            trunk: None,
            detail: "line\nend".to_owned(),
        },
        caller_media: None,
        callee_media: None,
    }
}

async fn open(directory: &Path) -> Store {
    Store::open(&format!("sqlite:{}/calls.db", directory.display())).await.unwrap()
}

/// Returns a store that takes nothing.
async fn broken(directory: &Path) -> Store {
    let store = open(directory).await;
    store.close().await;
    store
}

fn journal(directory: &Path, store: Store) -> Journal {
    let config = JournalConfig { waiting_max: 4, spill: directory.join("calls.spill.jsonl") };
    Journal::new(store, config, Arc::default()).0
}

fn end(journal: &mut Journal, serials: std::ops::RangeInclusive<u64>) {
    for serial in serials {
        journal.take(CallEvent::Ended { record: Box::new(record(serial)) });
    }
}

/// Has one batch tried; returns whether there was one.
async fn step(journal: &mut Journal) -> bool {
    journal.retry = journal.retry.map(|(_, pause)| (Instant::now(), pause));
    journal.begin_batch();
    if journal.writing.is_none() {
        return false;
    }
    let result = finished(&mut journal.writing).await;
    journal.batch_done(result);
    true
}

async fn stored(store: &Store) -> Vec<u64> {
    let mut db = store.read().await.unwrap();
    let (records, _) = calls::list(&mut db, &calls::Filter::default(), None, 100).await.unwrap();
    let mut serials: Vec<u64> = records.iter().map(|record| record.call.serial).collect();
    serials.sort_unstable();
    serials
}

#[tokio::test]
async fn what_waits_for_long_is_spilled_and_stored_when_storage_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path(), broken(directory.path()).await);
    end(&mut journal, 1..=2);
    assert!(step(&mut journal).await);
    journal.spill_overdue();
    assert_eq!(journal.waiting.len(), 2, "not yet");

    journal.spill_after = Duration::ZERO;
    journal.spill_overdue();
    assert_eq!((journal.waiting.len(), journal.metrics.journal_spilled.value()), (0, 2));
    end(&mut journal, 3..=3);
    assert!(step(&mut journal).await, "storage is still tried");

    journal.store = open(directory.path()).await;
    while step(&mut journal).await {}
    assert_eq!(stored(&journal.store).await, [1, 2, 3]);
    assert!(!spill::exists(&journal.config.spill));
    assert_eq!(journal.metrics.journal_lost.value(), 0);
}

#[tokio::test]
async fn a_batch_that_storage_does_not_give_back_is_spilled_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path(), open(directory.path()).await);
    end(&mut journal, 1..=1);
    journal.begin_batch();
    end(&mut journal, 2..=2);
    journal.spill_after = Duration::ZERO;
    journal.spill_overdue();
    assert_eq!(journal.metrics.journal_spilled.value(), 2);
    let result = finished(&mut journal.writing).await;
    journal.batch_done(result);
    while step(&mut journal).await {}
    assert_eq!(stored(&journal.store).await, [1, 2], "each once");
}

#[tokio::test]
async fn spilled_records_that_cannot_be_stored_stay_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.spill.jsonl");
    spill::append(&path, &[record(1), record(2)]).unwrap();
    let mut failing = journal(directory.path(), broken(directory.path()).await);
    assert!(step(&mut failing).await && step(&mut failing).await);
    failing.flush().await;

    let mut next = journal(directory.path(), open(directory.path()).await);
    while step(&mut next).await {}
    assert_eq!(stored(&next.store).await, [1, 2]);
}

#[tokio::test]
async fn where_neither_storage_nor_the_disk_takes_records_the_newest_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = journal(directory.path(), broken(directory.path()).await);
    // Nothing can be appended to a directory.
    std::fs::create_dir(&journal.config.spill).unwrap();
    end(&mut journal, 1..=6);
    journal.spill_overdue();
    assert_eq!(journal.metrics.journal_lost.value(), 2);
    std::fs::remove_dir(&journal.config.spill).unwrap();
    journal.spill_again = None;
    journal.store = open(directory.path()).await;
    while step(&mut journal).await {}
    assert_eq!(stored(&journal.store).await, [3, 4, 5, 6]);
}

#[test]
fn a_refusal_names_each_trunk_and_no_number() {
    let trunk = |name: &str| trunkline_model::TrunkId::parse(name).unwrap();
    let inbound = [
        Verdict { trunk: trunk("a"), failed: Some(trunkline_call::Criterion::Source) },
        Verdict { trunk: trunk("b"), failed: None },
    ];
    assert_eq!(verdicts(&inbound), "a: no, source: in none of its networks; b: yes");
}
