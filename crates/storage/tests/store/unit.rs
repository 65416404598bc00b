//! Units of work: atomic, isolated from each other, grouped, durable.

use crate::calls::answered_call;
use crate::database::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;
use trunkline_storage::{Error, Store, calls};

crate::on_both_engines! {
    a_unit_that_fails_leaves_nothing_and_spares_its_neighbours,
    a_unit_that_panics_leaves_nothing_and_the_store_goes_on,
    a_caller_that_stops_waiting_does_not_stop_its_unit,
    a_store_opened_twice_at_once_is_migrated_once,
    every_statement_is_understood,
}

/// What a unit of these cases answers when it refuses.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Storage(#[from] Error),
}

async fn a_unit_that_fails_leaves_nothing_and_spares_its_neighbours(database: Database) {
    let store = database.open().await;
    let mut writers = JoinSet::new();
    for serial in 1..=100 {
        let store = store.clone();
        writers.spawn(async move {
            let result = store
                .write(move |db| {
                    Box::pin(async move {
                        calls::insert(db, &[answered_call(serial)]).await?;
                        if serial % 2 == 0 { Err(Refusal::Refused) } else { Ok(serial) }
                    })
                })
                .await;
            (serial, result)
        });
    }
    for (serial, result) in writers.join_all().await {
        match result {
            Ok(answer) => assert!(serial % 2 == 1 && answer == serial),
            Err(Refusal::Refused) => assert_eq!(serial % 2, 0),
            Err(Refusal::Storage(error)) => panic!("{error}"),
        }
    }
    let odd: Vec<u64> = (1..=100).filter(|serial| serial % 2 == 1).collect();
    assert_eq!(serials(&store).await, odd);
}

async fn a_unit_that_panics_leaves_nothing_and_the_store_goes_on(database: Database) {
    let store = database.open().await;
    let panicked: Result<(), Error> = store
        .write(|db| {
            Box::pin(async move {
                calls::insert(db, &[answered_call(1)]).await?;
                panic!("a bug in a unit");
            })
        })
        .await;
    assert!(matches!(panicked, Err(Error::Panicked)));
    insert(&store, 2).await.unwrap();
    assert_eq!(serials(&store).await, [2]);
}

async fn a_caller_that_stops_waiting_does_not_stop_its_unit(database: Database) {
    let store = database.open().await;
    let started = Arc::new(AtomicU64::new(0));
    let (proceed, wait) = tokio::sync::oneshot::channel();
    let caller = tokio::spawn({
        let (store, started) = (store.clone(), started.clone());
        async move {
            let written: Result<(), Error> = store
                .write(move |db| {
                    Box::pin(async move {
                        started.store(1, Ordering::SeqCst);
                        let _ = wait.await;
                        calls::insert(db, &[answered_call(1)]).await
                    })
                })
                .await;
            written
        }
    });
    while started.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    proceed.send(()).unwrap();
    while serials(&store).await != [1] {
        tokio::task::yield_now().await;
    }
}

async fn a_store_opened_twice_at_once_is_migrated_once(database: Database) {
    let (first, second) = tokio::join!(database.open(), database.open());
    insert(&first, 1).await.unwrap();
    insert(&second, 2).await.unwrap();
    assert_eq!(serials(&first).await, [1, 2]);
}

async fn every_statement_is_understood(database: Database) {
    let store = database.open().await;
    assert!(store.prepare_all().await.unwrap() > 0);
}

async fn insert(store: &Store, serial: u64) -> Result<(), Error> {
    store.write(move |db| Box::pin(async move { calls::insert(db, &[answered_call(serial)]).await })).await
}

async fn serials(store: &Store) -> Vec<u64> {
    let mut db = store.read().await.unwrap();
    let (records, _) = calls::list(&mut db, &calls::Filter::default(), None, 1_000).await.unwrap();
    records.iter().rev().map(|record| record.call.serial).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_arrive_during_a_sync_share_the_next_one() {
    let database = Database::sqlite();
    let store = database.open().await;
    let before = store.statistics();
    let (proceed, wait) = tokio::sync::oneshot::channel::<()>();
    let held: tokio::task::JoinHandle<Result<(), Error>> = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .write(move |_| {
                    Box::pin(async move {
                        let _ = wait.await;
                        Ok(())
                    })
                })
                .await
        }
    });
    let mut writers = JoinSet::new();
    for serial in 1..=200 {
        let store = store.clone();
        writers.spawn(async move { insert(&store, serial).await });
    }
    while store.statistics().waiting < 200 {
        tokio::task::yield_now().await;
    }
    proceed.send(()).unwrap();
    held.await.unwrap().unwrap();
    for written in writers.join_all().await {
        written.unwrap();
    }
    let after = store.statistics();
    assert_eq!(after.units - before.units, 201);
    // How many exactly depends on how long each group may gather; alone they would be 201.
    assert!(after.commits - before.commits <= 100, "{} commits", after.commits - before.commits);
    assert_eq!(serials(&store).await.len(), 200);
}
