//! `trunkline number assign`: numbers that ring at users.

use super::{ACTOR, now_unix_ms, patiently, print_json};
use crate::cli::Database;
use crate::config::USERS_MAX;
use anyhow::Context;
use serde_json::json;
use trunkline_model::{E164, RingOrder, UserAddress};
use trunkline_storage::numbers::{self, Act};
use trunkline_storage::users::RingDocument;
use trunkline_storage::{Connection, Store, identities, users};
use uuid::Uuid;

/// Whom a number is to ring at.
pub(super) struct Wish {
    pub(super) users: Vec<UserAddress>,
    pub(super) in_order: bool,
    pub(super) ring_secs: u16,
    pub(super) overflow: Option<UserAddress>,
}

pub(super) async fn assign(
    store: &Store,
    number: E164,
    wish: &Wish,
    database: &Database,
) -> anyhow::Result<()> {
    anyhow::ensure!(wish.users.len() <= USERS_MAX, "a number rings at {USERS_MAX} users at most");
    let mut db = store.read().await?;
    let held = numbers::by_e164(&mut db, number).await?;
    let owner = held.with_context(|| format!("{number} is not in the inventory"))?.owner;
    let owner = owner.with_context(|| format!("{number} is owned by no resource"))?;
    for user in wish.users.iter().chain(&wish.overflow) {
        check(&mut db, user, owner).await?;
    }
    drop(db);
    let document = (!wish.users.is_empty()).then(|| RingDocument {
        users: wish.users.iter().map(ToString::to_string).collect(),
        order: if wish.in_order { RingOrder::InOrder } else { RingOrder::Together },
        ring_secs: wish.ring_secs,
        overflow: wish.overflow.as_ref().map(ToString::to_string),
    });
    patiently(async || {
        let document = document.clone();
        let act = Act { actor: ACTOR, now_unix_ms: now_unix_ms() };
        let write = store.write(move |db| {
            Box::pin(async move { users::set_ring(db, number, owner, document.as_ref(), act).await })
        });
        write.await
    })
    .await?;
    if database.json {
        print_json(&json!({ "number": number, "ring": document }));
    } else if document.is_some() {
        println!("{number} rings at {} users now", wish.users.len());
    } else {
        println!("{number} rings at no user any more");
    }
    Ok(())
}

/// Makes sure that a user is one of the owner's.
async fn check(db: &mut Connection, user: &UserAddress, owner: Uuid) -> anyhow::Result<()> {
    anyhow::ensure!(
        user.resource() == owner.to_string(),
        "{user} is a user of another resource than the one that owns the number"
    );
    let id: Uuid = user.user().parse().context("the user's id is no GUID")?;
    let known = identities::tokens_valid_from(db, owner, id).await?;
    known.map(drop).with_context(|| format!("there is no user {user}"))
}
