//! Which users the numbers of the resource ring at.

use crate::call::{Call, json};
use crate::error::ApiError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::collections::BTreeMap;
use trunkline_identity::UserId;
use trunkline_model::{E164, RingOrder};
use trunkline_storage::numbers::{self, Act};
use trunkline_storage::users::{self, RingDocument};
use trunkline_storage::{Error, identities};

/// How long a user rings: five rings or so. Who wants otherwise, or several users, uses the command line.
const RING_SECS: u16 = 30;

/// Answers with the first user of each number that rings at users.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let resource = call.tenant()?.resource.id;
    let mut db = call.state.store.read().await?;
    let rings = users::rings_of(&mut db, resource).await?;
    let users: BTreeMap<String, String> = rings
        .into_iter()
        .filter_map(|(number, _, ring)| Some((number.to_string(), ring.users.into_iter().next()?)))
        .collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "users": users })))
}

#[derive(Debug, Deserialize)]
struct Wish {
    /// The raw id of a user; null for none.
    user: Option<String>,
}

/// Has a number of the resource ring at a user, or at none any more.
pub(super) async fn set(call: Call) -> Result<Response, ApiError> {
    let tenant = call.tenant()?;
    let (resource, actor) = (tenant.resource.id, tenant.actor());
    let wish: Wish = call.json()?;
    let text = call.parameters.value("phoneNumber");
    let not_owned = || ApiError::not_found("The resource owns no such number.");
    let number = E164::parse(text).map_err(|_| not_owned())?;
    let mut db = call.state.store.read().await?;
    numbers::owned_number(&mut db, resource, number).await?.ok_or_else(not_owned)?;
    if let Some(user) = &wish.user {
        let unknown = || ApiError::invalid("user", "There is no such user in this resource.");
        let user: UserId = user.parse().map_err(|_| unknown())?;
        if user.resource.0 != resource {
            return Err(unknown());
        }
        identities::tokens_valid_from(&mut db, resource, user.user).await?.ok_or_else(unknown)?;
    }
    drop(db);
    let ring = wish.user.map(|user| RingDocument {
        users: vec![user],
        order: RingOrder::default(),
        ring_secs: RING_SECS,
        overflow: None,
    });
    let now_unix_ms = call.state.now_unix_ms();
    let kept: Result<(), Error> = call
        .state
        .store
        .write(move |db| {
            let (ring, actor) = (ring.clone(), actor.clone());
            Box::pin(async move {
                let act = Act { actor: &actor, now_unix_ms };
                users::set_ring(db, number, resource, ring.as_ref(), act).await
            })
        })
        .await;
    kept?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
