//! Numbers that ring at users, and what tokens are as digest passwords.

use crate::database::Database;
use crate::inventory::{NOW, at, number, purchase, search, stock};
use crate::writing::write;
use trunkline_model::RingOrder;
use trunkline_storage::numbers::{self, Rest};
use trunkline_storage::routing;
use trunkline_storage::users::{self, DigestSecret, RingDocument, SECRETS_MAX};
use trunkline_storage::{Error, identities};
use uuid::Uuid;

crate::on_both_engines! {
    a_number_rings_at_users_for_as_long_as_it_is_owned,
    a_secret_dies_with_its_token_its_user_and_their_revocation,
    only_the_newest_secrets_of_a_user_are_kept,
}

async fn a_number_rings_at_users_for_as_long_as_it_is_owned(database: Database) {
    let store = database.open().await;
    let owner = stock(&store, 1, "contoso").await;
    let reservation = search(&store, owner, 1, NOW).await.unwrap().unwrap();
    purchase(&store, owner, reservation.id, NOW).await.unwrap();
    let mut db = store.read().await.unwrap();
    let before = routing::stamp(&mut db).await.unwrap();
    drop(db);
    let ring = |user: &str, ring_secs| RingDocument {
        users: vec![user.to_owned()],
        order: RingOrder::default(),
        ring_secs,
        overflow: None,
    };
    for ring in [ring("8:acs:a_b", 30), ring("8:acs:a_c", 20)] {
        let set = Some(ring.clone());
        write!(store, |db| users::set_ring(db, number(0), owner, set.as_ref(), at(NOW)).await);
        let mut db = store.read().await.unwrap();
        let rings = [(number(0), owner, ring)];
        assert_eq!(users::rings(&mut db).await.unwrap(), rings);
        assert_eq!(users::rings_of(&mut db, owner).await.unwrap(), rings);
        assert_eq!(users::rings_of(&mut db, Uuid::now_v7()).await.unwrap(), []);
        assert_ne!(routing::stamp(&mut db).await.unwrap(), before, "the routing table is built again");
    }
    write!(store, |db| numbers::release(db, number(0), owner, Rest::None, 0, at(NOW)).await);
    let mut db = store.read().await.unwrap();
    assert_eq!(users::rings(&mut db).await.unwrap(), []);
    drop(db);
    write!(store, |db| users::set_ring(db, number(0), owner, None, at(NOW)).await);
}

fn secret(issued: i64, lasts: i64, n: u8) -> DigestSecret {
    DigestSecret {
        issued_unix_s: issued,
        expires_unix_s: issued + lasts,
        md5: vec![n; 16],
        sha256: vec![n; 32],
    }
}

async fn a_secret_dies_with_its_token_its_user_and_their_revocation(database: Database) {
    let store = database.open().await;
    let (resource, user) = (stock(&store, 0, "contoso").await, Uuid::now_v7());
    let second = NOW / 1000;
    write!(store, |db| identities::insert(db, resource, user, second * 1000).await);
    for (issued, n) in [(second, 1), (second + 10, 2)] {
        write!(store, |db| users::keep_secret(db, resource, user, &secret(issued, 3600, n)).await);
    }
    let good = async |now: i64| {
        let mut db = store.read().await.unwrap();
        let found = users::secrets(&mut db, resource, user, now).await.unwrap();
        found.iter().map(|secret| secret.md5[0]).collect::<Vec<_>>()
    };
    assert_eq!(good(second + 20).await, [2, 1]);
    assert_eq!(good(second + 3600).await, [2], "the first has ended");
    write!(store, |db| identities::revoke(db, resource, user, (second + 10) * 1000).await);
    assert_eq!(good(second + 20).await, [2]);
    write!(store, |db| identities::delete(db, resource, user).await);
    assert_eq!(good(second + 20).await, Vec::<u8>::new());
    // Nobody can be given a secret who is not there.
    let refused: Result<(), Error> = store
        .write(move |db| {
            Box::pin(async move { users::keep_secret(db, resource, user, &secret(second, 3600, 3)).await })
        })
        .await;
    assert!(refused.is_err());
    assert!(!format!("{:?}", secret(1, 1, 77)).contains("77"));
}

async fn only_the_newest_secrets_of_a_user_are_kept(database: Database) {
    let store = database.open().await;
    let (resource, user, other) = (stock(&store, 0, "contoso").await, Uuid::now_v7(), Uuid::now_v7());
    let second = NOW / 1000;
    for id in [user, other] {
        write!(store, |db| identities::insert(db, resource, id, second * 1000).await);
    }
    write!(store, |db| users::keep_secret(db, resource, other, &secret(second, 3600, 0)).await);
    let many = u8::try_from(SECRETS_MAX).unwrap() + 5;
    for n in 0..many {
        write!(store, |db| {
            users::keep_secret(db, resource, user, &secret(second + i64::from(n), 3600, n)).await
        });
    }
    let mut db = store.read().await.unwrap();
    let found = users::secrets(&mut db, resource, user, second + 100).await.unwrap();
    let kept: Vec<u8> = found.iter().map(|secret| secret.md5[0]).collect();
    assert_eq!(kept, (5..many).rev().collect::<Vec<_>>());
    assert_eq!(users::secrets(&mut db, resource, other, second + 100).await.unwrap().len(), 1);
}
