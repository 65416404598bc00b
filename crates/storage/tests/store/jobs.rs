//! The outbox and the job queue.

use crate::database::Database;
use crate::writing::write;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use trunkline_storage::jobs::{self, Backoff, Depth, Failed, Job, Lease, NewJob};
use trunkline_storage::{Error, Store, Topic};

crate::on_both_engines! {
    a_job_exists_only_if_the_change_that_caused_it_does,
    concurrent_workers_never_claim_the_same_job,
    a_job_is_due_again_when_its_lease_runs_out_and_the_old_lease_is_worthless,
    a_failing_job_pauses_longer_each_time_and_is_buried_at_last,
    a_job_that_kills_its_workers_is_buried,
    a_job_is_not_retried_past_its_expiry,
    a_dead_job_can_be_listed_replayed_and_discarded,
    jobs_of_one_key_run_in_order_and_others_do_not_wait,
    a_dead_job_lets_its_followers_go,
    concurrent_writers_and_workers_never_overtake_within_a_key,
    a_job_inserted_while_the_one_before_it_finishes_is_not_forgotten,
    a_postponed_job_keeps_its_attempts,
    word_of_a_job_comes_after_its_commit_and_from_other_programs,
}

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(10), max: Duration::from_secs(60) };
const LEASE_MS: i64 = 30_000;

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Storage(#[from] Error),
}

async fn a_job_exists_only_if_the_change_that_caused_it_does(database: Database) {
    let store = database.open().await;
    let refused: Result<(), Refusal> = store
        .write(|db| {
            Box::pin(async move {
                jobs::insert(db, job(1, None), 0).await?;
                Err(Refusal::Refused)
            })
        })
        .await;
    assert!(matches!(refused, Err(Refusal::Refused)));
    assert_eq!(depth(&store).await, Depth { ready: 0, waiting: 0, dead: 0 });

    insert(&store, 2, None).await;
    let store = database.open().await;
    assert_eq!(numbers(&claim(&store, 0).await), [2]);
}

async fn concurrent_workers_never_claim_the_same_job(database: Database) {
    let store = database.open().await;
    for number in 0..200 {
        insert(&store, number, None).await;
    }
    let mut workers = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let jobs = write!(store, |db| jobs::claim(db, "q", 0, LEASE_MS, 5).await);
                if jobs.is_empty() {
                    return mine;
                }
                mine.extend(numbers(&jobs));
            }
        });
    }
    let mut claimed: Vec<i64> = workers.join_all().await.into_iter().flatten().collect();
    claimed.sort_unstable();
    // A worker may meet only rows that others have locked, and give up early.
    let rest = claim(&store, 0).await;
    claimed.extend(numbers(&rest));
    claimed.sort_unstable();
    assert_eq!(claimed, (0..200).collect::<Vec<_>>());
}

async fn a_job_is_due_again_when_its_lease_runs_out_and_the_old_lease_is_worthless(database: Database) {
    let store = database.open().await;
    insert(&store, 1, None).await;
    let first = only(claim(&store, 1_000).await);
    assert_eq!(first.attempt, 1);
    assert_eq!(claim(&store, 1_000 + LEASE_MS - 1).await, []);

    let second = only(claim(&store, 1_000 + LEASE_MS).await);
    assert_eq!(second.attempt, 2);
    let now = 40_000;
    assert!(!finish(&store, &first.lease, now).await);
    assert_eq!(fail(&store, &first.lease, now).await, Failed::LeaseLost);
    let lease = first.lease.clone();
    assert!(!write!(store, |db| jobs::bury(db, &lease, "", now).await));
    let lease = first.lease;
    assert!(!write!(store, |db| jobs::extend(db, &lease, 99_000).await));

    let lease = second.lease.clone();
    assert!(write!(store, |db| jobs::extend(db, &lease, 99_000).await));
    assert_eq!(claim(&store, 98_999).await, []);
    assert!(finish(&store, &second.lease, 99_000).await);
    assert_eq!(depth(&store).await, Depth { ready: 0, waiting: 0, dead: 0 });
}

async fn a_failing_job_pauses_longer_each_time_and_is_buried_at_last(database: Database) {
    let store = database.open().await;
    insert(&store, 1, None).await;
    let mut now = 0;
    let mut pauses = Vec::new();
    for attempt in 1..=5 {
        let job = only(claim(&store, now).await);
        assert_eq!(job.attempt, attempt);
        match fail(&store, &job.lease, now).await {
            Failed::RetryAt(due) => {
                assert_eq!(claim(&store, due - 1).await, []);
                pauses.push(due - now);
                now = due;
            }
            Failed::Dead => assert_eq!(attempt, 5),
            Failed::LeaseLost => panic!("the lease was held"),
        }
    }
    for (pause, whole) in pauses.iter().zip([10_000, 20_000, 40_000, 60_000]) {
        assert!((whole / 2..=whole).contains(pause), "{pauses:?}");
    }
    assert_eq!(depth(&store).await, Depth { ready: 0, waiting: 0, dead: 1 });
}

async fn a_job_that_kills_its_workers_is_buried(database: Database) {
    let store = database.open().await;
    insert(&store, 1, None).await;
    for attempt in 0..5 {
        assert_eq!(claim(&store, attempt * LEASE_MS).await.len(), 1);
    }
    assert_eq!(claim(&store, 5 * LEASE_MS).await, []);
    assert_eq!(depth(&store).await, Depth { ready: 0, waiting: 0, dead: 1 });
}

async fn a_job_is_not_retried_past_its_expiry(database: Database) {
    let store = database.open().await;
    write!(store, |db| {
        let job = NewJob { expires_unix_ms: Some(12_000), ..job(1, None) };
        jobs::insert(db, job, 0).await
    });
    let first = only(claim(&store, 0).await);
    let Failed::RetryAt(due) = fail(&store, &first.lease, 0).await else { panic!("ten seconds are left") };
    let second = only(claim(&store, due).await);
    assert_eq!(fail(&store, &second.lease, due).await, Failed::Dead);
}

async fn a_dead_job_can_be_listed_replayed_and_discarded(database: Database) {
    let store = database.open().await;
    for number in 1..=3 {
        insert(&store, number, None).await;
    }
    for job in claim(&store, 0).await {
        write!(store, |db| jobs::bury(db, &job.lease, "410 Gone", 5).await);
    }
    let mut db = store.read().await.unwrap();
    let dead = jobs::list_dead(&mut db, "q", 0, 2).await.unwrap();
    let rest = jobs::list_dead(&mut db, "q", dead[1].id, 2).await.unwrap();
    drop(db);
    assert_eq!((dead.len(), rest.len()), (2, 1));
    assert_eq!(dead[0].payload, json!({ "number": 1 }));
    assert_eq!((dead[0].attempts, dead[0].dead_unix_ms), (1, 5));
    assert_eq!(dead[0].last_error.as_deref(), Some("410 Gone"));

    let (replayed, discarded) = (dead[0].id, dead[1].id);
    assert!(write!(store, |db| jobs::replay(db, replayed, 6).await));
    assert!(!write!(store, |db| jobs::replay(db, replayed, 6).await));
    assert!(write!(store, |db| jobs::discard(db, discarded).await));
    let again = only(claim(&store, 6).await);
    assert_eq!((again.payload, again.attempt), (json!({ "number": 1 }), 1));
    assert_eq!(depth(&store).await, Depth { ready: 1, waiting: 0, dead: 1 });
}

async fn jobs_of_one_key_run_in_order_and_others_do_not_wait(database: Database) {
    let store = database.open().await;
    for (number, key) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
        insert(&store, number, Some(key)).await;
    }
    assert_eq!(depth(&store).await, Depth { ready: 2, waiting: 2, dead: 0 });
    let first = claim(&store, 0).await;
    assert_eq!(numbers(&first), [1, 3]);
    assert_eq!(claim(&store, 1).await, []);

    // A retry keeps the place: the follower still waits.
    let Failed::RetryAt(due) = fail(&store, &first[0].lease, 1).await else { panic!("the first attempt") };
    assert_eq!(claim(&store, due - 1).await, []);
    let again = only(claim(&store, due).await);
    assert_eq!(again.payload, json!({ "number": 1 }));

    assert!(finish(&store, &again.lease, due).await);
    let second = only(claim(&store, due).await);
    assert_eq!(second.payload, json!({ "number": 2 }));
    assert!(finish(&store, &second.lease, due).await);
    let fourth = only(claim(&store, due).await);
    assert!(finish(&store, &fourth.lease, due).await);
    insert(&store, 5, Some("a")).await;
    assert_eq!(numbers(&claim(&store, due).await), [5]);
}

async fn a_dead_job_lets_its_followers_go(database: Database) {
    let store = database.open().await;
    insert(&store, 1, Some("a")).await;
    insert(&store, 2, Some("a")).await;
    let first = only(claim(&store, 0).await);
    let lease = first.lease.clone();
    assert!(write!(store, |db| jobs::bury(db, &lease, "no", 0).await));
    let second = only(claim(&store, 0).await);
    assert_eq!(second.payload, json!({ "number": 2 }));

    // Replayed while another of its key is under way, it waits; then it goes first.
    insert(&store, 3, Some("a")).await;
    let mut db = store.read().await.unwrap();
    let dead = jobs::list_dead(&mut db, "q", 0, 1).await.unwrap()[0].id;
    drop(db);
    assert!(write!(store, |db| jobs::replay(db, dead, 1).await));
    assert_eq!(claim(&store, 1).await, []);
    assert!(finish(&store, &second.lease, 1).await);
    assert_eq!(numbers(&claim(&store, 1).await), [1]);
}

async fn concurrent_writers_and_workers_never_overtake_within_a_key(database: Database) {
    const KEYS: [&str; 3] = ["0", "1", "2"];
    const EACH: i64 = 40;
    let store = database.open().await;
    let started: Arc<[AtomicI64; 3]> = Arc::default();
    let mut tasks = JoinSet::new();
    for key in KEYS {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..EACH {
                insert(&store, number, Some(key)).await;
            }
        });
    }
    for _ in 0..4 {
        let (store, started) = (store.clone(), started.clone());
        tasks.spawn(async move {
            while started.iter().any(|count| count.load(Ordering::SeqCst) < EACH) {
                for job in claim(&store, 0).await {
                    let key: usize = job.lease.ordering_key().unwrap().parse().unwrap();
                    // Nobody starts a job before the one in front of it was finished.
                    let before = started[key].fetch_add(1, Ordering::SeqCst);
                    assert_eq!(job.payload, json!({ "number": before }));
                    assert!(finish(&store, &job.lease, 0).await);
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(depth(&store).await, Depth { ready: 0, waiting: 0, dead: 0 });
}

async fn a_job_inserted_while_the_one_before_it_finishes_is_not_forgotten(database: Database) {
    let store = database.open().await;
    insert(&store, 1, Some("a")).await;
    let first = only(claim(&store, 0).await);
    let (inserted, wait_inserted) = tokio::sync::oneshot::channel();
    let (commit, wait_commit) = tokio::sync::oneshot::channel::<()>();
    let inserting = tokio::spawn({
        let store = store.clone();
        async move {
            write!(store, |db| {
                // It found the first job alive, so it is to wait for that one's end.
                jobs::insert(db, job(2, Some("a")), 0).await?;
                inserted.send(()).unwrap();
                let _ = wait_commit.await;
                Ok(())
            });
        }
    });
    wait_inserted.await.unwrap();
    let mut finishing = tokio::spawn({
        let store = store.clone();
        async move { finish(&store, &first.lease, 0).await }
    });
    // The end of the first must not pass by the second, which it cannot see yet: it waits. A fifth of a second
    // would be ample for it to go wrong in.
    let early = tokio::time::timeout(Duration::from_millis(200), &mut finishing).await;
    commit.send(()).unwrap();
    inserting.await.unwrap();
    match early {
        Ok(finished) => assert!(finished.unwrap()),
        Err(_) => assert!(finishing.await.unwrap()),
    }
    assert_eq!(numbers(&claim(&store, 0).await), [2]);
}

async fn a_postponed_job_keeps_its_attempts(database: Database) {
    let store = database.open().await;
    insert(&store, 1, None).await;
    for round in 0..20 {
        let job = only(claim(&store, round).await);
        assert_eq!(job.attempt, 1);
        assert!(write!(store, |db| jobs::postpone(db, &job.lease, round + 1).await));
    }
    let mut db = store.read().await.unwrap();
    assert_eq!(jobs::next_due(&mut db, "q").await.unwrap(), Some(20));
    assert_eq!(jobs::next_due(&mut db, "other").await.unwrap(), None);
}

async fn word_of_a_job_comes_after_its_commit_and_from_other_programs(database: Database) {
    let store = database.open().await;
    let other = database.open().await;
    let mut here = store.subscribe(Topic::Jobs);
    insert(&store, 1, None).await;
    here.changed().await;
    assert_eq!(numbers(&claim(&store, 0).await), [1]);

    let mut here = store.subscribe(Topic::Jobs);
    loop {
        // The first word may be late word of what this store wrote itself.
        insert(&other, 2, None).await;
        here.changed().await;
        if !claim(&store, 0).await.is_empty() {
            break;
        }
    }
}

fn job(number: i64, ordering_key: Option<&str>) -> NewJob<'_> {
    NewJob {
        queue: "q",
        ordering_key,
        payload: json!({ "number": number }),
        not_before_unix_ms: 0,
        expires_unix_ms: None,
        attempts_max: 5,
    }
}

async fn insert(store: &Store, number: i64, key: Option<&'static str>) {
    write!(store, |db| jobs::insert(db, job(number, key), 0).await);
}

async fn claim(store: &Store, now: i64) -> Vec<Job> {
    write!(store, |db| jobs::claim(db, "q", now, now + LEASE_MS, 100).await)
}

async fn finish(store: &Store, lease: &Lease, now: i64) -> bool {
    let lease = lease.clone();
    write!(store, |db| jobs::finish(db, &lease, now).await)
}

async fn fail(store: &Store, lease: &Lease, now: i64) -> Failed {
    let lease = lease.clone();
    write!(store, |db| jobs::fail(db, &lease, "503", &BACKOFF, 7, now).await)
}

async fn depth(store: &Store) -> Depth {
    jobs::depth(&mut store.read().await.unwrap(), "q").await.unwrap()
}

fn numbers(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().map(|job| job.payload["number"].as_i64().unwrap()).collect()
}

fn only(jobs: Vec<Job>) -> Job {
    let [job] = <[Job; 1]>::try_from(jobs).unwrap();
    job
}
