//! Users and their access tokens.
//!
//! Tokens count time in seconds, revocations in milliseconds. So a revocation takes effect at the next full
//! second, and a token that is issued before that is dated to it: whatever was issued before the revocation is
//! older than it, and whatever is issued after is not.

use crate::auth::Tenant;
use crate::call::{Call, json};
use crate::error::ApiError;
use crate::keys;
use crate::limits::Counted;
use crate::path::{Route, route};
use crate::state::State;
use crate::timestamp::iso8601;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trunkline_identity::{Claims, DigestSecrets, Scope, UserId};
use trunkline_storage::resources::Resource;
use trunkline_storage::users::DigestSecret;
use trunkline_storage::{Error, identities, users};
use uuid::Uuid;

pub(crate) static ROUTES: &[Route] = &[
    route!("CommunicationIdentity_Create", POST, "/identities", Identity, create),
    route!("CommunicationIdentity_Delete", DELETE, "/identities/{id}", Identity, delete),
    route!(
        "CommunicationIdentity_IssueAccessToken",
        POST,
        "/identities/{id}/:issueAccessToken",
        Identity,
        issue
    ),
    route!(
        "CommunicationIdentity_RevokeAccessTokens",
        POST,
        "/identities/{id}/:revokeAccessTokens",
        Identity,
        revoke
    ),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CreateRequest {
    create_token_with_scopes: Option<Vec<String>>,
    expires_in_minutes: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IssueRequest {
    scopes: Vec<String>,
    expires_in_minutes: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    identity: Identity,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<AccessToken>,
}

#[derive(Debug, Serialize)]
struct Identity {
    id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessToken {
    token: String,
    expires_on: String,
}

/// A token, and what it is as a password where it is good for calls.
struct Granted {
    token: AccessToken,
    secret: Option<DigestSecret>,
}

/// What a token is asked to be.
#[derive(Debug)]
struct Wish {
    scopes: Vec<Scope>,
    minutes: i64,
}

async fn create(call: Call) -> Result<Response, ApiError> {
    let request: CreateRequest = call.json_or_default()?;
    let scopes = request.create_token_with_scopes.unwrap_or_default();
    let wish = if scopes.is_empty() {
        check_minutes(request.expires_in_minutes)?;
        None
    } else {
        Some(Wish::read("createTokenWithScopes", &scopes, request.expires_in_minutes)?)
    };
    let tenant = call.tenant()?;
    call.state.limits.count(tenant.resource.id, Counted::Issue, call.state.now_unix_ms())?;
    let (user, access_token) = make(&call.state, tenant, wish).await?;
    let body = Created { identity: Identity { id: user.to_string() }, access_token };
    Ok(json(StatusCode::CREATED, &body))
}

/// Makes a user, and the token that is wished for.
async fn make(
    state: &State,
    tenant: &Tenant,
    wish: Option<Wish>,
) -> Result<(UserId, Option<AccessToken>), ApiError> {
    // The keys come first, so that nothing is left undone when there are none.
    let keys = keys::current(state).await?;
    let user = UserId { resource: tenant.id(), user: Uuid::now_v7() };
    let second = state.now_unix_ms().div_euclid(1000);
    let (resource, id) = (user.resource.0, user.user);
    let granted = wish.map(|wish| wish.grant(state, &keys, tenant, user, second));
    let secret = granted.as_ref().and_then(|granted| granted.secret.clone());
    let write = state.store.write(move |db| {
        Box::pin(async move {
            identities::insert(db, resource, id, second * 1000).await?;
            match secret {
                Some(secret) => users::keep_secret(db, resource, id, &secret).await,
                None => Ok(()),
            }
        })
    });
    write.await?;
    Ok((user, granted.map(|granted| granted.token)))
}

/// Makes a user who may call, with a token for a day: for an operator who wants to try it.
///
/// # Errors
/// Those of the database.
pub async fn new_caller(state: &State, resource: Resource) -> Result<Caller, ApiError> {
    let wish = Wish { scopes: vec![Scope::Voip], minutes: MINUTES_MAX };
    let tenant = Tenant { resource: Arc::new(resource) };
    let (user, token) = make(state, &tenant, Some(wish)).await?;
    let AccessToken { token, expires_on } = token.ok_or_else(ApiError::denied)?;
    Ok(Caller { user, token, expires_on })
}

/// A user who may call.
#[derive(Debug)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// A user access token with the scope `voip`.
    pub token: String,
    /// When the token ends, ISO 8601.
    pub expires_on: String,
}

async fn issue(call: Call) -> Result<Response, ApiError> {
    let request: IssueRequest = call.json()?;
    if request.scopes.is_empty() {
        return Err(ApiError::invalid("scopes", "At least one scope is required."));
    }
    let wish = Wish::read("scopes", &request.scopes, request.expires_in_minutes)?;
    let tenant = call.tenant()?;
    let user = user(&call, tenant)?;
    let now_unix_ms = call.state.now_unix_ms();
    call.state.limits.count(tenant.resource.id, Counted::Issue, now_unix_ms)?;
    let mut db = call.state.store.read().await?;
    let valid_from = identities::tokens_valid_from(&mut db, user.resource.0, user.user).await?;
    drop(db);
    let valid_from = valid_from.ok_or_else(|| unknown(user))?;
    let second = now_unix_ms.div_euclid(1000).max(valid_from.div_euclid(1000));
    let keys = keys::current(&call.state).await?;
    let Granted { token, secret } = wish.grant(&call.state, &keys, tenant, user, second);
    if let Some(secret) = secret {
        let (resource, id) = (user.resource.0, user.user);
        // A user that was deleted meanwhile has no row for it to belong to.
        let kept: Result<(), Error> = call
            .state
            .store
            .write(move |db| Box::pin(async move { users::keep_secret(db, resource, id, &secret).await }))
            .await;
        kept?;
    }
    Ok(json(StatusCode::OK, &token))
}

async fn revoke(call: Call) -> Result<Response, ApiError> {
    let tenant = call.tenant()?;
    let user = user(&call, tenant)?;
    let now_unix_ms = call.state.now_unix_ms();
    call.state.limits.count(tenant.resource.id, Counted::Revoke, now_unix_ms)?;
    let valid_from = (now_unix_ms.div_euclid(1000) + 1) * 1000;
    let (resource, id) = (user.resource.0, user.user);
    let known: bool = call
        .state
        .store
        .write(move |db| {
            Box::pin(async move {
                // False also when they are valid from later on only, which is as good.
                identities::revoke(db, resource, id, valid_from).await?;
                Ok::<_, Error>(identities::tokens_valid_from(db, resource, id).await?.is_some())
            })
        })
        .await?;
    if known { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown(user)) }
}

/// Deletes a user, and with it the validity of its tokens. One that is gone already is gone: the clients send
/// this again when they did not see the answer.
async fn delete(call: Call) -> Result<Response, ApiError> {
    let tenant = call.tenant()?;
    let user = user(&call, tenant)?;
    call.state.limits.count(tenant.resource.id, Counted::Revoke, call.state.now_unix_ms())?;
    let (resource, id) = (user.resource.0, user.user);
    call.state.store.write(move |db| Box::pin(identities::delete(db, resource, id))).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Reads the user of the path.
///
/// # Errors
/// 400 for what is no user; 401 for another resource's, as the public service has it.
fn user(call: &Call, tenant: &Tenant) -> Result<UserId, ApiError> {
    let user: UserId =
        call.parameters.value("id").parse().map_err(|error| ApiError::invalid("id", format!("{error}.")))?;
    if user.resource == tenant.id() { Ok(user) } else { Err(ApiError::denied()) }
}

fn unknown(user: UserId) -> ApiError {
    ApiError::not_found(format!("There is no user {user}.")).with_target("id")
}

fn check_minutes(minutes: Option<i64>) -> Result<i64, ApiError> {
    let minutes = minutes.unwrap_or(MINUTES_MAX);
    if (MINUTES_MIN..=MINUTES_MAX).contains(&minutes) {
        return Ok(minutes);
    }
    let message = format!("expiresInMinutes must be from {MINUTES_MIN} to {MINUTES_MAX}.");
    Err(ApiError::invalid("expiresInMinutes", message))
}

impl Wish {
    fn read(target: &str, words: &[String], minutes: Option<i64>) -> Result<Self, ApiError> {
        let mut scopes = Vec::new();
        for word in words {
            let scope = Scope::parse(word).ok_or_else(|| {
                let known = Scope::ALL.map(Scope::as_str).join(", ");
                ApiError::invalid(target, format!("A scope is one of {known}."))
            })?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Ok(Self { scopes, minutes: check_minutes(minutes)? })
    }

    fn grant(
        self,
        state: &State,
        keys: &keys::KeySet,
        tenant: &Tenant,
        user: UserId,
        issued: i64,
    ) -> Granted {
        let expires = issued + self.minutes * 60;
        let location = tenant.resource.data_location.clone();
        let issuer = state.settings.issuer.clone();
        let calls = self.scopes.contains(&Scope::Voip);
        let claims = Claims { issuer, user, scopes: self.scopes, issued, expires, location };
        let token = keys.signing.issue(&claims);
        let secret = calls.then(|| {
            let DigestSecrets { md5, sha256 } = DigestSecrets::of(&user, &token);
            let (md5, sha256) = (md5.to_vec(), sha256.to_vec());
            DigestSecret { issued_unix_s: issued, expires_unix_s: expires, md5, sha256 }
        });
        Granted { token: AccessToken { token, expires_on: iso8601(expires * 1000) }, secret }
    }
}

const MINUTES_MIN: i64 = 60;
/// A day, which is also what a token gets that asks for nothing.
const MINUTES_MAX: i64 = 1440;
