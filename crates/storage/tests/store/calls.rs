//! Call records.

use crate::database::Database;
use std::time::Duration;
use trunkline_model::{
    CallId, CallRecord, Cause, LegQuality, NodeId, Party, Q850, Signalling, Stage, TrunkId,
};
use trunkline_storage::{Error, Store, calls};

crate::on_both_engines! {
    a_record_reads_back_as_it_was_written,
    a_record_written_twice_is_kept_once,
    pages_hold_every_call_once_and_the_latest_first,
    calls_are_found_by_time_and_trunk,
    what_a_peer_sent_cannot_break_a_record,
}

async fn a_record_reads_back_as_it_was_written(database: Database) {
    let store = database.open().await;
    let answered = answered_call(1);
    let refused = refused_call(2);
    insert(&store, vec![answered.clone(), refused.clone()]).await;

    let store = database.open().await;
    let mut db = store.read().await.unwrap();
    assert_eq!(calls::by_id(&mut db, answered.call).await.unwrap(), Some(answered));
    assert_eq!(calls::by_id(&mut db, refused.call).await.unwrap(), Some(refused));
    assert_eq!(calls::by_id(&mut db, call(3)).await.unwrap(), None);
}

async fn a_record_written_twice_is_kept_once(database: Database) {
    let store = database.open().await;
    insert(&store, vec![answered_call(1)]).await;
    insert(&store, vec![answered_call(1), refused_call(2)]).await;

    let mut db = store.read().await.unwrap();
    let (records, next) = calls::list(&mut db, &calls::Filter::default(), None, 10).await.unwrap();
    assert_eq!(records.iter().map(|record| record.call).collect::<Vec<_>>(), [call(2), call(1)]);
    assert_eq!(next, None);
}

async fn pages_hold_every_call_once_and_the_latest_first(database: Database) {
    let store = database.open().await;
    // Three calls started in the same millisecond: time alone does not order them.
    let records = (1..=7).map(|serial| CallRecord {
        started_unix_ms: 1_000 + i64::try_from(serial / 3).unwrap(),
        ..answered_call(serial)
    });
    insert(&store, records.collect()).await;

    let mut db = store.read().await.unwrap();
    let (mut serials, mut after) = (Vec::new(), None);
    loop {
        let page = calls::list(&mut db, &calls::Filter::default(), after.as_ref(), 2).await.unwrap();
        assert!(page.0.len() <= 2);
        serials.extend(page.0.iter().map(|record| record.call.serial));
        after = page.1;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(serials, [7, 6, 5, 4, 3, 2, 1]);
}

async fn calls_are_found_by_time_and_trunk(database: Database) {
    let store = database.open().await;
    insert(&store, (1..=4).map(answered_call).chain([refused_call(5)]).collect()).await;
    let mut db = store.read().await.unwrap();
    let filter = calls::Filter { from_unix_ms: Some(2_000), until_unix_ms: Some(4_000), trunk: None };
    let (records, _) = calls::list(&mut db, &filter, None, 10).await.unwrap();
    assert_eq!(records.iter().map(|record| record.call.serial).collect::<Vec<_>>(), [3, 2]);

    let filter = calls::Filter { trunk: Some(TrunkId::parse("carrier-b").unwrap()), ..Default::default() };
    let (records, _) = calls::list(&mut db, &filter, None, 10).await.unwrap();
    assert_eq!(records.iter().map(|record| record.call.serial).collect::<Vec<_>>(), [4, 3, 2, 1]);
}

async fn what_a_peer_sent_cannot_break_a_record(database: Database) {
    let store = database.open().await;
    let record = CallRecord { from: "al\0ice'; --".into(), to: "\u{1f4de}".repeat(300), ..refused_call(1) };
    insert(&store, vec![record.clone()]).await;

    let mut db = store.read().await.unwrap();
    let kept = calls::by_id(&mut db, record.call).await.unwrap().unwrap();
    assert_eq!(kept.from, "al\u{fffd}ice'; --");
    assert_eq!(kept.to, record.to);
}

async fn insert(store: &Store, records: Vec<CallRecord>) {
    let written: Result<(), Error> =
        store.write(move |db| Box::pin(async move { calls::insert(db, &records).await })).await;
    written.unwrap();
}

fn call(serial: u64) -> CallId {
    CallId { node: NodeId(1), serial }
}

/// A call that started at that second.
pub(crate) fn answered_call(serial: u64) -> CallRecord {
    CallRecord {
        call: call(serial),
        from: "+14255550100".into(),
        to: "+14255550101".into(),
        trunk_in: Some(TrunkId::parse("carrier-a").unwrap()),
        trunk_out: Some(TrunkId::parse("carrier-b").unwrap()),
        signalling: Signalling {
            source: Some("192.0.2.1:5060".parse().unwrap()),
            caller_call_id: "a84b4c76e66710@192.0.2.1".into(),
            callee_call_id: Some("1".repeat(32)),
            gateway: Some("192.0.2.9:5060/udp".into()),
            callee_status: Some(200),
        },
        attempts: 2,
        started_unix_ms: i64::try_from(serial).unwrap() * 1_000,
        rang_after: Some(Duration::from_millis(180)),
        answered_after: Some(Duration::from_millis(2_345)),
        ended_after: Duration::from_secs(3_600),
        cause: Cause {
            sip: 200,
            q850: Q850::NORMAL_CLEARING,
            ended_by: Party::Callee,
            stage: Stage::Answered,
            trunk: Some(TrunkId::parse("carrier-b").unwrap()),
            detail: String::new(),
        },
        caller_media: Some(quality("PCMU")),
        callee_media: Some(quality("PCMA")),
    }
}

fn refused_call(serial: u64) -> CallRecord {
    CallRecord {
        trunk_in: None,
        trunk_out: None,
        signalling: Signalling::default(),
        attempts: 0,
        rang_after: None,
        answered_after: None,
        ended_after: Duration::ZERO,
        cause: Cause {
            sip: 403,
            q850: Q850::REJECTED,
            ended_by: Party::Trunkline,
            stage: Stage::Admission,
            trunk: None,
            detail: "no trunk matches 192.0.2.1".into(),
        },
        caller_media: None,
        callee_media: None,
        ..answered_call(serial)
    }
}

fn quality(codec: &str) -> LegQuality {
    LegQuality {
        codec: codec.into(),
        packets_received: 180_000,
        packets_sent: 179_998,
        packets_lost: 7,
        packets_refused: 1,
        jitter_ms_max: 3.7,
        mos: Some(4.4),
    }
}
