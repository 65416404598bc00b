//! Resources, users, signing keys, operations, repeated requests, SIP routing.

use crate::database::Database;
use crate::inventory::{NOW, at, number, purchase, resource, search, stock};
use crate::writing::write;
use serde_json::{Value, json};
use trunkline_model::{E164, SubscriptionClass};
use trunkline_storage::operations::{self, Operation};
use trunkline_storage::repeatability::{self, Answer, Found, Key};
use trunkline_storage::resources::{self, ANY_HOST, Billing, Secret, Which};
use trunkline_storage::routing::{self, Stamp};
use trunkline_storage::trunks::{self, Versioned};
use trunkline_storage::{Error, Store, Topic, audit, identities};
use uuid::Uuid;

crate::on_both_engines! {
    a_resource_is_found_by_its_host_and_the_default_one_by_any,
    names_and_hosts_are_taken_once_and_a_refused_resource_leaves_nothing,
    a_unit_that_goes_on_after_a_failed_statement_is_undone,
    keys_rotate_and_billing_changes,
    revoked_tokens_stay_revoked,
    the_newest_signing_key_comes_first_and_retired_ones_remain,
    an_operation_that_has_ended_stays_as_it_is,
    a_repeated_request_gets_the_same_answer,
    a_patch_of_an_older_configuration_is_refused,
    what_calls_are_routed_by_changes_its_stamp,
}

async fn a_resource_is_found_by_its_host_and_the_default_one_by_any(database: Database) {
    let store = database.open().await;
    let (contoso, default) = (resource("contoso"), resource("default"));
    let mut changes = store.subscribe(Topic::Resources);
    let kept = contoso.clone();
    write!(store, |db| resources::insert(db, &kept, &["contoso.localhost:8443".into()], at(NOW)).await);
    changes.changed().await;
    let mut db = store.read().await.unwrap();
    assert_eq!(resources::by_host(&mut db, "contoso.localhost:8443").await.unwrap(), Some(contoso.clone()));
    assert_eq!(resources::by_host(&mut db, "other.localhost:8443").await.unwrap(), None);
    drop(db);

    let kept = default.clone();
    write!(store, |db| resources::insert(db, &kept, &[ANY_HOST.into()], at(NOW)).await);
    let mut db = store.read().await.unwrap();
    assert_eq!(resources::by_host(&mut db, "contoso.localhost:8443").await.unwrap(), Some(contoso.clone()));
    assert_eq!(resources::by_host(&mut db, "other.localhost:8443").await.unwrap(), Some(default.clone()));
    assert_eq!(resources::by_id(&mut db, contoso.id).await.unwrap(), Some(contoso.clone()));
    assert_eq!(resources::by_name(&mut db, "default").await.unwrap(), Some(default.clone()));
    assert_eq!(resources::list(&mut db).await.unwrap(), [contoso.clone(), default]);
    assert_eq!(resources::hosts(&mut db, contoso.id).await.unwrap(), ["contoso.localhost:8443"]);
    drop(db);

    assert_eq!(format!("{:?}", contoso.primary_key), "Secret(…)");
    write!(store, |db| resources::delete(db, contoso.id, at(NOW)).await);
    let mut db = store.read().await.unwrap();
    let found = resources::by_host(&mut db, "contoso.localhost:8443").await.unwrap().unwrap();
    assert_eq!(found.name, "default");
    assert_eq!(resources::by_id(&mut db, contoso.id).await.unwrap(), None);
    drop(db);
    // The name is free again.
    write!(store, |db| resources::insert(db, &resource("contoso"), &[], at(NOW)).await);
}

async fn names_and_hosts_are_taken_once_and_a_refused_resource_leaves_nothing(database: Database) {
    let store = database.open().await;
    write!(store, |db| resources::insert(db, &resource("contoso"), &["a.localhost".into()], at(NOW)).await);
    for (name, host) in [("contoso", "b.localhost"), ("fabrikam", "a.localhost")] {
        let refused: Result<(), Error> = store
            .write(move |db| {
                Box::pin(
                    async move { resources::insert(db, &resource(name), &[host.to_owned()], at(NOW)).await },
                )
            })
            .await;
        assert!(matches!(refused, Err(Error::Duplicate { .. })), "{refused:?}");
    }
    let mut db = store.read().await.unwrap();
    assert_eq!(resources::list(&mut db).await.unwrap().len(), 1);
    assert_eq!(resources::by_host(&mut db, "b.localhost").await.unwrap(), None);
}

async fn a_unit_that_goes_on_after_a_failed_statement_is_undone(database: Database) {
    let store = database.open().await;
    let user = Uuid::now_v7();
    let contoso = stock(&store, 0, "contoso").await;
    let result: Result<(), Error> = store
        .write(move |db| {
            Box::pin(async move {
                identities::insert(db, contoso, user, NOW).await?;
                let again = identities::insert(db, contoso, user, NOW).await;
                assert!(matches!(again, Err(Error::Duplicate { .. })));
                Ok(())
            })
        })
        .await;
    assert!(matches!(result, Err(Error::Undone)), "{result:?}");
    let mut db = store.read().await.unwrap();
    assert_eq!(identities::tokens_valid_from(&mut db, contoso, user).await.unwrap(), None);
}

async fn keys_rotate_and_billing_changes(database: Database) {
    let store = database.open().await;
    let id = stock(&store, 0, "contoso").await;
    let moved = Billing {
        country: Some("GB".into()),
        verified_unix_ms: None,
        emergency_address_unix_ms: Some(NOW),
        class: SubscriptionClass::Trial,
    };
    let billing = moved.clone();
    assert!(write!(store, |db| resources::set_billing(db, id, &billing, at(NOW)).await));
    assert!(
        write!(store, |db| resources::set_key(db, id, Which::Secondary, &Secret(vec![9; 64]), at(NOW)).await)
    );
    assert!(write!(store, |db| resources::set_suspended(db, id, Some(NOW + 1), at(NOW + 1)).await));
    assert!(!write!(store, |db| resources::set_key(
        db,
        Uuid::nil(),
        Which::Primary,
        &Secret(vec![]),
        at(NOW)
    )
    .await));

    let mut db = store.read().await.unwrap();
    let found = resources::by_id(&mut db, id).await.unwrap().unwrap();
    assert_eq!(found.billing, moved);
    assert_eq!((found.primary_key, found.secondary_key), (Secret(vec![1; 32]), Secret(vec![9; 64])));
    assert_eq!(found.suspended_unix_ms, Some(NOW + 1));

    // Each change is in the audit log, with what was there before, and no key.
    let log = audit::of_resource(&mut db, id, 0, 10).await.unwrap();
    let actions: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["create resource", "set billing profile", "rotate key", "suspend resource"]);
    let billing = log[1].detail.as_ref().unwrap();
    assert_eq!((&billing["from"]["country"], &billing["to"]["country"]), (&json!("CA"), &json!("GB")));
    assert_eq!(log[2].detail, Some(json!({ "key": "secondary" })));
}

async fn revoked_tokens_stay_revoked(database: Database) {
    let store = database.open().await;
    let (contoso, fabrikam) = (stock(&store, 0, "contoso").await, stock(&store, 0, "fabrikam").await);
    let user = Uuid::now_v7();
    write!(store, |db| identities::insert(db, contoso, user, NOW).await);
    assert!(write!(store, |db| identities::revoke(db, contoso, user, NOW + 60_000).await));
    // An older wish that comes late does not bring revoked tokens back.
    assert!(!write!(store, |db| identities::revoke(db, contoso, user, NOW + 1_000).await));
    let mut db = store.read().await.unwrap();
    assert_eq!(identities::tokens_valid_from(&mut db, contoso, user).await.unwrap(), Some(NOW + 60_000));
    assert_eq!(identities::tokens_valid_from(&mut db, fabrikam, user).await.unwrap(), None);
    drop(db);
    assert!(!write!(store, |db| identities::delete(db, fabrikam, user).await));
    assert!(write!(store, |db| identities::delete(db, contoso, user).await));
    let mut db = store.read().await.unwrap();
    assert_eq!(identities::tokens_valid_from(&mut db, contoso, user).await.unwrap(), None);
}

async fn the_newest_signing_key_comes_first_and_retired_ones_remain(database: Database) {
    let store = database.open().await;
    for (id, created_unix_ms) in [("old", 1), ("new", 2)] {
        write!(store, |db| {
            let key = identities::StoredKey {
                id: id.into(),
                algorithm: "ES256".into(),
                private_key: Secret(vec![7; 100]),
                created_unix_ms,
                retired_unix_ms: None,
            };
            identities::insert_key(db, &key).await
        });
    }
    assert!(!write!(store, |db| identities::delete_key(db, "old").await));
    assert!(write!(store, |db| identities::retire_key(db, "old", 3).await));
    let mut db = store.read().await.unwrap();
    let keys = identities::keys(&mut db).await.unwrap();
    let seen: Vec<_> = keys.iter().map(|key| (key.id.as_str(), key.retired_unix_ms)).collect();
    assert_eq!(seen, [("new", None), ("old", Some(3))]);
    drop(db);
    assert!(write!(store, |db| identities::delete_key(db, "old").await));
}

async fn an_operation_that_has_ended_stays_as_it_is(database: Database) {
    let store = database.open().await;
    let contoso = stock(&store, 0, "contoso").await;
    let operation = Operation {
        resource: contoso,
        id: "search_1".into(),
        kind: "search".into(),
        state: operations::State::Running,
        created_unix_ms: NOW,
        changed_unix_ms: NOW,
        subject: "the search".into(),
    };
    let kept = operation.clone();
    write!(store, |db| operations::insert(db, &kept).await);
    let failed = operations::State::Failed { code: "NotEnoughNumbers".into(), message: "none".into() };
    let advance = async |state: operations::State, now| {
        write!(store, |db| operations::advance(db, contoso, "search_1", &state, now).await)
    };
    assert!(advance(failed.clone(), NOW + 1).await);
    assert!(!advance(operations::State::Succeeded, NOW + 2).await);
    let mut db = store.read().await.unwrap();
    let found = operations::by_id(&mut db, contoso, "search_1").await.unwrap();
    assert_eq!(found, Some(Operation { state: failed, changed_unix_ms: NOW + 1, ..operation }));
    assert_eq!(operations::by_id(&mut db, Uuid::nil(), "search_1").await.unwrap(), None);
    drop(db);
    assert_eq!(write!(store, |db| operations::prune(db, NOW + 1, 10).await), 0);
    assert_eq!(write!(store, |db| operations::prune(db, NOW + 2, 10).await), 1);
    assert!(!write!(store, |db| operations::delete(db, contoso, "search_1").await));
}

async fn a_repeated_request_gets_the_same_answer(database: Database) {
    let store = database.open().await;
    let contoso = stock(&store, 0, "contoso").await;
    let key = Key { resource: contoso, operation: "purchase", request: "11111111" };
    let answer = Answer {
        status: 202,
        headers: vec![("operation-id".into(), "purchase_1".into())],
        body: b"{\"z\":1,\"a\":2}".to_vec(),
    };
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..8_u8 {
        let (store, answer) = (store.clone(), answer.clone());
        tasks.spawn(async move {
            let user = Uuid::from_u128(u128::from(index));
            let written: Result<(), Error> = store
                .write(move |db| {
                    Box::pin(async move {
                        // The effect, which must happen once.
                        identities::insert(db, contoso, user, NOW).await?;
                        repeatability::insert(db, key_of(contoso), b"print", &answer, NOW, NOW + 10).await
                    })
                })
                .await;
            written.is_ok()
        });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    let mut db = store.read().await.unwrap();
    let mut users = 0;
    for index in 0..8_u8 {
        let user = Uuid::from_u128(u128::from(index));
        users += usize::from(identities::tokens_valid_from(&mut db, contoso, user).await.unwrap().is_some());
    }
    assert_eq!(users, 1);
    let found = repeatability::find(&mut db, key, b"print", NOW + 9).await.unwrap();
    assert_eq!(found, Found::Answered(answer.clone()));
    assert_eq!(repeatability::find(&mut db, key, b"other", NOW + 9).await.unwrap(), Found::Different);
    assert_eq!(repeatability::find(&mut db, key, b"print", NOW + 10).await.unwrap(), Found::New);
    let other = Key { operation: "release", ..key };
    assert_eq!(repeatability::find(&mut db, other, b"print", NOW + 9).await.unwrap(), Found::New);
    drop(db);
    write!(store, |db| {
        repeatability::insert(db, key_of(contoso), b"other", &answer, NOW + 10, NOW + 20).await
    });
    assert_eq!(write!(store, |db| repeatability::prune(db, NOW + 20, 10).await), 1);
}

fn key_of(resource: Uuid) -> Key<'static> {
    Key { resource, operation: "purchase", request: "11111111" }
}

async fn a_patch_of_an_older_configuration_is_refused(database: Database) {
    let store = database.open().await;
    let contoso = stock(&store, 0, "contoso").await;
    let first = json!({ "trunks": { "sbc1.contoso.com": { "sipSignalingPort": 5061 } }, "routes": [] });
    let replace = async |version, value: Value| {
        write!(store, |db| trunks::replace(db, contoso, version, &value, NOW).await)
    };
    let mut db = store.read().await.unwrap();
    let empty: Versioned<Value> = trunks::configuration(&mut db, contoso).await.unwrap();
    drop(db);
    assert_eq!((empty.version, &empty.configuration), (0, &Value::Null));
    assert!(replace(0, first.clone()).await);
    assert!(!replace(0, json!({})).await);
    let second = json!({ "trunks": {}, "routes": [{ "name": "b" }, { "name": "a" }] });
    assert!(replace(1, second.clone()).await);
    assert!(!replace(1, first).await);
    let mut db = store.read().await.unwrap();
    let now: Versioned<Value> = trunks::configuration(&mut db, contoso).await.unwrap();
    assert_eq!(now, Versioned { configuration: second.clone(), version: 2 });
    let all: Vec<(Uuid, Value)> = trunks::list(&mut db).await.unwrap();
    assert_eq!(all, [(contoso, second)]);
}

async fn what_calls_are_routed_by_changes_its_stamp(database: Database) {
    let store = database.open().await;
    let contoso = stock(&store, 3, "contoso").await;
    let mut stamps = vec![stamp(&store).await];
    assert_eq!(unowned(&store).await, [number(0), number(1), number(2)]);

    let held = search(&store, contoso, 1, NOW).await.unwrap().unwrap();
    assert_eq!(unowned(&store).await.len(), 3, "a number that is held has no owner yet");
    stamps.push(stamp(&store).await);
    purchase(&store, contoso, held.id, NOW).await.unwrap();
    stamps.push(stamp(&store).await);
    assert_eq!(unowned(&store).await, [number(1), number(2)]);

    assert!(write!(store, |db| trunks::replace(db, contoso, 0, &json!({ "routes": [] }), NOW).await));
    stamps.push(stamp(&store).await);
    for pair in stamps.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
}

async fn stamp(store: &Store) -> Stamp {
    routing::stamp(&mut store.read().await.unwrap()).await.unwrap()
}

async fn unowned(store: &Store) -> Vec<E164> {
    routing::unowned(&mut store.read().await.unwrap()).await.unwrap()
}
