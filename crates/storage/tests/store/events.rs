//! Event subscriptions and their outbox; many jobs in few statements.

use crate::database::Database;
use crate::inventory::{at, resource};
use crate::writing::write;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::task::JoinSet;
use trunkline_model::event::{Event, EventData, EventKind, Notice, SmsReceived};
use trunkline_storage::events::{self, Auth, Schema, State, Subscription};
use trunkline_storage::jobs::{self, Depth, Job, Lease, NewJob};
use trunkline_storage::resources::{self, Secret};
use trunkline_storage::{Error, Store, Topic};
use uuid::Uuid;

crate::on_both_engines! {
    a_subscription_is_pending_until_it_is_settled,
    a_name_is_taken_once_in_a_resource,
    an_event_goes_to_every_active_subscription_to_its_kind,
    an_event_exists_only_if_the_change_that_caused_it_does,
    a_full_subscription_gets_no_more_until_it_has_caught_up,
    events_of_a_conversation_come_one_after_the_other_and_others_do_not_wait,
    a_batch_keeps_its_order_and_finishes_in_one_go,
    a_lease_that_was_lost_finishes_nothing,
    what_is_past_its_expiry_is_buried_and_lets_its_followers_go,
    concurrent_publishers_and_workers_never_overtake_within_a_conversation,
    queues_say_when_they_are_due_and_are_emptied_in_portions,
}

const NOW: i64 = 1_795_428_000_000;
const LEASE_MS: i64 = 30_000;

async fn a_subscription_is_pending_until_it_is_settled(database: Database) {
    let store = database.open().await;
    let tenant = tenant(&store).await;
    let mut word = store.subscribe(Topic::Resources);
    let auth = Auth::Hmac(Secret(b"secret".to_vec()));
    let new = Subscription { schema: Schema::CloudEvents, auth, ..subscription(tenant, "texts") };
    let kept = new.clone();
    write!(store, |db| events::subscribe(db, &kept, NOW).await);
    let jobs = claim(&store, events::VALIDATIONS).await;
    assert_eq!(jobs[0].payload, json!({ "subscription": new.id }));

    let found = by_id(&store, new.id).await;
    assert_eq!(found, new);
    assert!(!format!("{found:?}").contains("secret"));
    let mut db = store.read().await.unwrap();
    assert_eq!(events::by_name(&mut db, tenant, "texts").await.unwrap(), Some(new.clone()));
    assert_eq!(events::list(&mut db, tenant).await.unwrap(), std::slice::from_ref(&new));
    assert_eq!(events::active(&mut db).await.unwrap(), []);
    drop(db);

    let (id, code) = (new.id, new.validation_code);
    assert!(!write!(store, |db| events::settle_by_code(db, id, Uuid::new_v4(), NOW + 1).await));
    word.changed().await;
    assert!(write!(store, |db| events::settle_by_code(db, id, code, NOW + 2).await));
    word.changed().await;
    assert!(!write!(store, |db| events::settle(db, id, Ok(()), NOW + 3).await));
    let active = Subscription { state: State::Active, state_unix_ms: NOW + 2, ..new };
    assert_eq!(events::active(&mut store.read().await.unwrap()).await.unwrap(), [active]);

    assert!(write!(store, |db| events::settle(db, id, Err("it says no"), NOW + 4).await));
    let failed = by_id(&store, id).await;
    assert_eq!((failed.state, failed.detail.as_deref()), (State::Failed, Some("it says no")));
    assert!(!write!(store, |db| events::settle_by_code(db, id, code, NOW + 5).await));
    assert!(write!(store, |db| events::unsubscribe(db, id).await));
    assert!(!write!(store, |db| events::unsubscribe(db, id).await));
}

async fn a_name_is_taken_once_in_a_resource(database: Database) {
    let store = database.open().await;
    let tenant = tenant(&store).await;
    subscribed(&store, subscription(tenant, "texts")).await;
    let again = subscription(tenant, "texts");
    let refused: Result<(), Error> =
        store.write(move |db| Box::pin(async move { events::subscribe(db, &again, NOW).await })).await;
    assert!(matches!(refused, Err(Error::Duplicate { .. })), "{refused:?}");
}

async fn an_event_goes_to_every_active_subscription_to_its_kind(database: Database) {
    let store = database.open().await;
    let tenant = tenant(&store).await;
    let one = subscribed(&store, subscription(tenant, "one")).await;
    let two = subscribed(&store, subscription(tenant, "two")).await;
    let other_kind =
        Subscription { kinds: vec![EventKind::SmsDeliveryReportReceived], ..subscription(tenant, "reports") };
    let other_kind = subscribed(&store, other_kind).await;
    let pending = subscription(tenant, "pending");
    let kept = pending.clone();
    write!(store, |db| events::subscribe(db, &kept, NOW).await);
    let elsewhere = subscribed(&store, subscription(tenant_named(&store, "fabrikam").await, "one")).await;

    assert_eq!(publish(&store, vec![received(tenant, 1, 0)]).await, 2);
    let notice = json!(received(tenant, 1, 0).notice());
    for subscription in [&one, &two] {
        let jobs = claim(&store, &subscription.queue()).await;
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[0].payload, notice);
        assert_eq!(jobs[0].lease.ordering_key(), Some("+14255550100 +12065550101"));
    }
    for subscription in [&other_kind, &pending, &elsewhere] {
        assert_eq!(claim(&store, &subscription.queue()).await, []);
    }
    assert_eq!(publish(&store, vec![]).await, 0);
    assert_eq!(publish(&store, vec![received(Uuid::new_v4(), 1, 0)]).await, 0);
}

async fn an_event_exists_only_if_the_change_that_caused_it_does(database: Database) {
    let store = database.open().await;
    let tenant = tenant(&store).await;
    let one = subscribed(&store, subscription(tenant, "one")).await;
    let refused: Result<(), Error> = store
        .write(move |db| {
            Box::pin(async move {
                events::publish(db, &[received(tenant, 1, 0)], NOW).await?;
                Err(Error::Undone)
            })
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(depth(&store, &one).await, Depth { ready: 0, waiting: 0, dead: 0 });
}

async fn a_full_subscription_gets_no_more_until_it_has_caught_up(database: Database) {
    let store = database.open().await;
    let tenant = tenant(&store).await;
    let one = subscribed(&store, subscription(tenant, "one")).await;
    write!(store, |db| events::set_full(db, one.id, Some(NOW)).await);
    assert_eq!(by_id(&store, one.id).await.full_unix_ms, Some(NOW));
    assert_eq!(publish(&store, vec![received(tenant, 1, 0)]).await, 0);
    write!(store, |db| events::set_full(db, one.id, None).await);
    assert_eq!(publish(&store, vec![received(tenant, 1, 0)]).await, 1);
}

async fn events_of_a_conversation_come_one_after_the_other_and_others_do_not_wait(database: Database) {
    let store = database.open().await;
    let tenant = tenant(&store).await;
    let queue = subscribed(&store, subscription(tenant, "one")).await.queue();
    publish(&store, vec![received(tenant, 1, 0), received(tenant, 2, 0), received(tenant, 1, 1)]).await;
    publish(&store, vec![received(tenant, 1, 2), received(tenant, 3, 0)]).await;
    let first = claim(&store, &queue).await;
    assert_eq!(parts(&first), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(claim(&store, &queue).await, []);
    assert_eq!(finish(&store, &first[..2]).await, 2);
    let second = claim(&store, &queue).await;
    assert_eq!(parts(&second), [(1, 1)]);
    assert_eq!(finish(&store, &second).await, 1);
    assert_eq!(parts(&claim(&store, &queue).await), [(1, 2)]);
}

async fn a_batch_keeps_its_order_and_finishes_in_one_go(database: Database) {
    const BATCH: i64 = 500;
    let store = database.open().await;
    write!(store, |db| {
        let jobs = (0..BATCH).map(|number| NewJob { payload: json!({ "number": number }), ..job() });
        jobs::insert_all(db, jobs.collect(), NOW).await
    });
    let jobs = claim(&store, "q").await;
    let numbers: Vec<_> = jobs.iter().map(|job| job.payload["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (0..BATCH).collect::<Vec<_>>());
    assert!(jobs.iter().all(|job| job.attempt == 1 && job.created_unix_ms == NOW));
    assert_eq!(finish(&store, &jobs).await, BATCH as u64);
    let mut db = store.read().await.unwrap();
    assert_eq!(jobs::depth(&mut db, "q").await.unwrap(), Depth { ready: 0, waiting: 0, dead: 0 });
}

async fn a_lease_that_was_lost_finishes_nothing(database: Database) {
    let store = database.open().await;
    write!(store, |db| jobs::insert_all(db, vec![job(), NewJob { ordering_key: Some("k"), ..job() }], NOW)
        .await);
    let first = claim(&store, "q").await;
    let again = write!(store, |db| jobs::claim(db, "q", NOW + LEASE_MS, NOW + 2 * LEASE_MS, 100).await);
    assert_eq!((first.len(), again.len()), (2, 2));
    assert_eq!(finish(&store, &first).await, 0);
    assert_eq!(finish(&store, &again).await, 2);
}

async fn what_is_past_its_expiry_is_buried_and_lets_its_followers_go(database: Database) {
    let store = database.open().await;
    write!(store, |db| {
        let keyed = NewJob { ordering_key: Some("k"), ..job() };
        let expiring = NewJob { expires_unix_ms: Some(NOW + 1_000), ..keyed.clone() };
        let free = NewJob { ordering_key: None, ..expiring.clone() };
        jobs::insert_all(db, vec![expiring.clone(), expiring, keyed, free], NOW).await
    });
    assert_eq!(write!(store, |db| jobs::expire(db, "q", NOW + 999, 100).await), 0);
    assert_eq!(write!(store, |db| jobs::expire(db, "q", NOW + 1_000, 100).await), 2);
    assert_eq!(write!(store, |db| jobs::expire(db, "q", NOW + 1_000, 100).await), 1);
    assert_eq!(write!(store, |db| jobs::expire(db, "q", NOW + 1_000, 100).await), 0);
    let mut db = store.read().await.unwrap();
    assert_eq!(jobs::depth(&mut db, "q").await.unwrap(), Depth { ready: 1, waiting: 0, dead: 3 });
    let dead = jobs::list_dead(&mut db, "q", 0, 1).await.unwrap();
    assert_eq!(dead[0].last_error.as_deref(), Some("it expired before it could be done"));
    drop(db);
    assert_eq!(write!(store, |db| jobs::discard_older(db, "q", NOW + 1_000, 100).await), 0);
    assert_eq!(write!(store, |db| jobs::discard_older(db, "q", NOW + 1_001, 2).await), 2);
}

async fn concurrent_publishers_and_workers_never_overtake_within_a_conversation(database: Database) {
    const PEERS: usize = 3;
    const EACH: i64 = 40;
    let store = database.open().await;
    let tenant = tenant(&store).await;
    let queue = subscribed(&store, subscription(tenant, "one")).await.queue();
    let started: Arc<[AtomicI64; PEERS]> = Arc::default();
    let mut tasks = JoinSet::new();
    for peer in 0..PEERS {
        let store = store.clone();
        tasks.spawn(async move {
            for part in (0..EACH).step_by(2) {
                // Two of one conversation in a unit, and one of a conversation that nobody counts.
                let events = vec![
                    received(tenant, peer as i64, part),
                    received(tenant, 90 + part, 0),
                    received(tenant, peer as i64, part + 1),
                ];
                publish_until_done(&store, events).await;
            }
        });
    }
    for _ in 0..4 {
        let (store, started, queue) = (store.clone(), started.clone(), queue.clone());
        tasks.spawn(async move {
            while started.iter().any(|count| count.load(Ordering::SeqCst) < EACH) {
                let jobs = claim(&store, &queue).await;
                for (peer, part) in parts(&jobs).into_iter().filter(|(peer, _)| *peer < PEERS as i64) {
                    // Nobody is told of an event before the one in front of it was finished.
                    assert_eq!(started[peer as usize].fetch_add(1, Ordering::SeqCst), part);
                }
                assert_eq!(finish(&store, &jobs).await, jobs.len() as u64);
            }
        });
    }
    tasks.join_all().await;
}

async fn queues_say_when_they_are_due_and_are_emptied_in_portions(database: Database) {
    let store = database.open().await;
    write!(store, |db| {
        let later = NewJob { not_before_unix_ms: NOW + 5, ..job() };
        let other = NewJob { queue: "other", not_before_unix_ms: NOW + 7, ..job() };
        jobs::insert_all(db, vec![later.clone(), later, other], NOW).await
    });
    let mut db = store.read().await.unwrap();
    let mut dues = jobs::next_dues(&mut db, &["q", "none", "other"]).await.unwrap();
    dues.sort();
    assert_eq!(dues, [("other".to_owned(), NOW + 7), ("q".to_owned(), NOW + 5)]);
    drop(db);
    assert_eq!(write!(store, |db| jobs::purge(db, "q", 1).await), 1);
    assert_eq!(write!(store, |db| jobs::purge(db, "q", 5).await), 1);
    assert_eq!(write!(store, |db| jobs::purge(db, "q", 5).await), 0);
    let mut db = store.read().await.unwrap();
    assert_eq!(jobs::depth(&mut db, "other").await.unwrap().ready, 1);
}

async fn tenant(store: &Store) -> Uuid {
    tenant_named(store, "contoso").await
}

async fn tenant_named(store: &Store, name: &str) -> Uuid {
    let tenant = resource(name);
    let id = tenant.id;
    write!(store, |db| resources::insert(db, &tenant, &[], at(NOW)).await);
    id
}

fn subscription(resource: Uuid, name: &str) -> Subscription {
    Subscription {
        id: Uuid::now_v7(),
        resource,
        name: name.to_owned(),
        url: "https://app.example/events".to_owned(),
        kinds: vec![EventKind::SmsReceived],
        schema: Schema::EventGrid,
        auth: Auth::None,
        validation_code: Uuid::new_v4(),
        state: State::Pending,
        state_unix_ms: NOW,
        detail: None,
        full_unix_ms: None,
    }
}

async fn subscribed(store: &Store, new: Subscription) -> Subscription {
    let kept = new.clone();
    write!(store, |db| {
        events::subscribe(db, &kept, NOW).await?;
        events::settle(db, kept.id, Ok(()), NOW).await
    });
    new
}

async fn by_id(store: &Store, id: Uuid) -> Subscription {
    events::by_id(&mut store.read().await.unwrap(), id).await.unwrap().unwrap()
}

/// Part `part` of what the far end `peer` says.
fn received(resource: Uuid, peer: i64, part: i64) -> Event {
    let data = EventData::SmsReceived(SmsReceived {
        message_id: format!("Incoming_{peer}_{part}"),
        from: format!("+120655501{peer:02}"),
        to: "+14255550100".to_owned(),
        message: "hello".to_owned(),
        received_unix_ms: NOW,
        segment_count: 1,
    });
    Event { resource, unix_ms: NOW, data }
}

async fn publish(store: &Store, events: Vec<Event>) -> usize {
    write!(store, |db| events::publish(db, &events, NOW).await)
}

/// Two units that publish in several conversations may hold each other up, but one of them always gets on.
async fn publish_until_done(store: &Store, events: Vec<Event>) {
    loop {
        let batch = events.clone();
        let done: Result<usize, Error> =
            store.write(move |db| Box::pin(async move { events::publish(db, &batch, NOW).await })).await;
        match done {
            Ok(_) => return,
            Err(error) => assert!(matches!(error, Error::Contended { .. }), "{error}"),
        }
    }
}

fn job() -> NewJob<'static> {
    NewJob {
        queue: "q",
        ordering_key: None,
        payload: json!({}),
        not_before_unix_ms: NOW,
        expires_unix_ms: None,
        attempts_max: 5,
    }
}

async fn claim(store: &Store, queue: &str) -> Vec<Job> {
    let queue = queue.to_owned();
    write!(store, |db| jobs::claim(db, &queue, NOW, NOW + LEASE_MS, 1_000).await)
}

async fn finish(store: &Store, jobs: &[Job]) -> u64 {
    let leases: Vec<Lease> = jobs.iter().map(|job| job.lease.clone()).collect();
    write!(store, |db| jobs::finish_all(db, &leases, NOW).await)
}

async fn depth(store: &Store, subscription: &Subscription) -> Depth {
    jobs::depth(&mut store.read().await.unwrap(), &subscription.queue()).await.unwrap()
}

/// The far end and the part of each event.
fn parts(jobs: &[Job]) -> Vec<(i64, i64)> {
    let ids = jobs.iter().map(|job| serde_json::from_value::<Notice>(job.payload.clone()).unwrap().id);
    ids.map(|id| {
        let mut numbers = id.split('_').skip(1).map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    })
    .collect()
}
