//! Users and their tokens, as the clients see them.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::time::Duration;
use support::{Sent, World};
use trunkline_api::keys;
use trunkline_api::token::{TokenRefused, verify};
use trunkline_identity::{InvalidToken, Scope};
use trunkline_storage::{Error, identities, resources};
use uuid::Uuid;

const USERS: &str = "/identities?api-version=2023-10-01";

fn path(user: &str, verb: &str) -> String {
    format!("/identities/{}{verb}?api-version=2023-10-01", user.replace(':', "%3A"))
}

async fn user(world: &World) -> String {
    let answer = world.send(Sent::new("POST", USERS).header("content-type", "application/json")).await;
    assert_eq!(answer.status, 201);
    answer.json["identity"]["id"].as_str().unwrap().to_owned()
}

async fn token(world: &World, user: &str) -> String {
    let answer = world.post(&path(user, "/:issueAccessToken"), &json!({"scopes": ["voip"]})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn captured_requests_are_answered_as_the_clients_expect() {
    let world = World::new().await;
    let captured = support::captured("identity");
    for (sent, status) in captured.iter().map(|request| (request.sent(), request.status)) {
        // The user of the captures has to be there for each of them.
        let id = Uuid::parse_str("00000021-aaaa-bbbb-cccc-0123456789ab").unwrap();
        let (resource, now) = (world.resource, world.now_unix_ms());
        let kept: Result<(), Error> =
            world.store.write(move |db| Box::pin(identities::insert(db, resource, id, now))).await;
        assert!(matches!(kept, Ok(()) | Err(Error::Duplicate { .. })));
        let what = format!("{} {}", sent.method, sent.target);
        let request_id =
            sent.headers.iter().find(|(name, _)| *name == "x-ms-client-request-id").unwrap().1.clone();
        let answer = world.send(sent).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        assert_eq!(answer.header("x-ms-client-request-id"), request_id);
        match status {
            204 => assert_eq!(answer.text, ""),
            201 => {
                assert!(answer.json["identity"]["id"].as_str().unwrap().starts_with("8:acs:11111111-2222-"))
            }
            _ => assert!(answer.json["token"].is_string()),
        }
    }
}

#[tokio::test]
async fn a_user_is_made_with_a_token_when_scopes_are_given() {
    let world = World::new().await;
    let body = json!({"createTokenWithScopes": ["chat", "voip"], "expiresInMinutes": 120});
    let answer = world.post(USERS, &body).await;
    assert_eq!(answer.status, 201);
    let user = answer.json["identity"]["id"].as_str().unwrap();
    assert!(user.starts_with(&format!("8:acs:{}_", world.resource)));
    assert_eq!(user.matches('_').count(), 1, "three parts are another kind of user");
    assert_eq!(answer.json["accessToken"]["expiresOn"], "2026-11-23T13:34:33.0000000+00:00");
    let claims = verify(&world.state, answer.json["accessToken"]["token"].as_str().unwrap()).await.unwrap();
    assert_eq!(claims.user.to_string(), user);
    assert_eq!(claims.scopes, [Scope::Chat, Scope::Voip]);
    assert_eq!(claims.expires - claims.issued, 7200);
}

#[tokio::test]
async fn no_scopes_mean_no_token() {
    let world = World::new().await;
    for body in [json!({}), json!({"createTokenWithScopes": []}), json!({"createTokenWithScopes": null})] {
        let answer = world.post(USERS, &body).await;
        assert_eq!(answer.status, 201);
        assert_eq!(answer.json.as_object().unwrap().keys().collect::<Vec<_>>(), ["identity"]);
    }
}

#[tokio::test]
async fn a_token_can_be_read_in_both_base64_alphabets() {
    let world = World::new().await;
    let user = user(&world).await;
    for scopes in [json!(["chat"]), json!(["voip"]), json!(["chat.join.limited", "voip.join", "chat.join"])] {
        let answer = world.post(&path(&user, "/:issueAccessToken"), &json!({"scopes": scopes})).await;
        let token = answer.json["token"].as_str().unwrap();
        let payload = token.split('.').nth(1).unwrap();
        assert!(!payload.contains(['-', '_']), "{payload}");
        let padded = format!("{payload}{}", "=".repeat((4 - payload.len() % 4) % 4));
        let claims: Value = serde_json::from_slice(&BASE64.decode(padded).unwrap()).unwrap();
        assert_eq!(claims["skypeid"], user.trim_start_matches("8:"));
        assert_eq!(claims["iss"], "https://contoso.localhost:8443", "as in the OpenID document");
        assert_eq!(claims["resourceId"], world.resource.to_string());
        let expires = claims["exp"].as_i64().unwrap();
        assert_eq!(expires, claims["iat"].as_i64().unwrap() + 1440 * 60, "a day when no minutes are given");
        assert!(answer.json["expiresOn"].as_str().unwrap().ends_with(".0000000+00:00"));
    }
}

#[tokio::test]
async fn minutes_are_from_an_hour_to_a_day() {
    let world = World::new().await;
    let user = user(&world).await;
    for (minutes, status) in
        [(59, 400), (60, 200), (1440, 200), (1441, 400), (0, 400), (-60, 400), (i64::MAX, 400)]
    {
        let body = json!({"scopes": ["voip"], "expiresInMinutes": minutes});
        let answer = world.post(&path(&user, "/:issueAccessToken"), &body).await;
        assert_eq!(answer.status.as_u16(), status, "{minutes}");
        if status == 400 {
            assert_eq!(answer.error_code(), "BadRequest");
            assert_eq!(answer.json["error"]["target"], "expiresInMinutes");
        }
        let body = json!({"createTokenWithScopes": ["voip"], "expiresInMinutes": minutes});
        let created = world.post(USERS, &body).await;
        assert_eq!(created.status.as_u16(), if status == 200 { 201 } else { 400 }, "{minutes}");
    }
}

#[tokio::test]
async fn scopes_are_those_of_the_api_and_at_least_one() {
    let world = World::new().await;
    let user = user(&world).await;
    for scopes in [json!(["pstn"]), json!([]), json!(["VOIP"]), json!(["voip", ""])] {
        let answer = world.post(&path(&user, "/:issueAccessToken"), &json!({"scopes": scopes})).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{scopes}");
        assert_eq!(answer.json["error"]["target"], "scopes");
    }
    for body in [json!({}), json!({"scopes": null}), json!({"scopes": "voip"}), json!({"scopes": [1]})] {
        let answer = world.post(&path(&user, "/:issueAccessToken"), &body).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{body}");
    }
}

#[tokio::test]
async fn users_that_are_not_there_are_404_and_what_is_no_user_is_400() {
    let world = World::new().await;
    let nobody = format!("8:acs:{}_{}", world.resource, Uuid::from_u128(9));
    let answer = world.post(&path(&nobody, "/:issueAccessToken"), &json!({"scopes": ["voip"]})).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (404, "NotFound"));
    let answer = world.send(Sent::new("POST", &path(&nobody, "/:revokeAccessTokens"))).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (404, "NotFound"));
    for bad in ["x", "8:acs:a_b", "4:+12065550100"] {
        let answer = world.delete(&path(bad, "")).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{bad}");
    }
}

#[tokio::test]
async fn deleting_twice_is_as_good_as_once() {
    let world = World::new().await;
    let user = user(&world).await;
    let token = token(&world, &user).await;
    assert!(verify(&world.state, &token).await.is_ok());
    for _ in 0..2 {
        let answer = world.delete(&path(&user, "")).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    }
    assert!(matches!(verify(&world.state, &token).await, Err(TokenRefused::Revoked)));
    let answer = world.post(&path(&user, "/:issueAccessToken"), &json!({"scopes": ["voip"]})).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn revocation_ends_what_was_issued_before_and_nothing_issued_after() {
    let world = World::new().await;
    world.pass(Duration::from_millis(250));
    let user = user(&world).await;
    let before = token(&world, &user).await;
    world.pass(Duration::from_millis(250));
    let same_second = token(&world, &user).await;
    assert!(verify(&world.state, &before).await.is_ok());
    assert_eq!(world.send(Sent::new("POST", &path(&user, "/:revokeAccessTokens"))).await.status, 204);
    let after = token(&world, &user).await;
    for old in [&before, &same_second] {
        assert!(matches!(verify(&world.state, old).await, Err(TokenRefused::Revoked)));
    }
    assert!(verify(&world.state, &after).await.is_ok(), "issued within the same second, but after");
    world.pass(Duration::from_secs(10));
    assert!(verify(&world.state, &after).await.is_ok());
    assert!(matches!(verify(&world.state, &before).await, Err(TokenRefused::Revoked)));
}

#[tokio::test]
async fn tokens_end_with_their_time_and_with_their_resource() {
    let world = World::new().await;
    let user = user(&world).await;
    let token = token(&world, &user).await;
    let (resource, now) = (world.resource, world.now_unix_ms());
    let suspended: Result<bool, Error> = world
        .store
        .write(move |db| Box::pin(resources::set_suspended(db, resource, Some(now), support::ACT)))
        .await;
    assert!(suspended.unwrap());
    assert!(matches!(verify(&world.state, &token).await, Err(TokenRefused::ResourceInactive)));
    world.pass(Duration::from_secs(24 * 3600));
    let expired = verify(&world.state, &token).await;
    assert!(matches!(expired, Err(TokenRefused::Invalid(InvalidToken::Expired(_)))), "{expired:?}");
}

#[tokio::test]
async fn keys_outlive_the_program_and_a_rotated_one_still_verifies() {
    let world = World::new().await;
    let user = user(&world).await;
    let old = token(&world, &user).await;
    let key_set = world.get("/.well-known/jwks.json").await;
    assert_eq!(key_set.json["keys"].as_array().unwrap().len(), 1);

    let (again, _) = world.restarted();
    assert!(verify(&again, &old).await.is_ok(), "the key was kept");

    let new_key = keys::rotate(&world.store, world.now_unix_ms()).await.unwrap();
    // Another program signs with the new key before this one has read it.
    let (again, router) = world.restarted();
    let new = world
        .send_to(
            router,
            Sent::new("POST", &path(&user, "/:issueAccessToken")).json(&json!({"scopes": ["voip"]})),
        )
        .await;
    let new = new.json["token"].as_str().unwrap().to_owned();
    for state in [&world.state, &again] {
        assert!(verify(state, &new).await.is_ok(), "a key that is not known yet is looked up");
        assert!(verify(state, &old).await.is_ok(), "a retired key still verifies");
    }
    let key_set = world.get("/.well-known/jwks.json").await;
    let ids: Vec<_> = key_set.json["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&json!(new_key)));
    assert!(key_set.text.contains("\"crv\":\"P-256\"") && !key_set.text.contains("\"d\""), "no private half");

    world.pass(Duration::from_secs(26 * 3600));
    keys::rotate(&world.store, world.now_unix_ms()).await.unwrap();
    let key_set = world.get("/.well-known/jwks.json").await;
    assert_eq!(key_set.json["keys"].as_array().unwrap().len(), 2, "the oldest verifies nothing any more");
}

#[tokio::test]
async fn the_openid_document_names_the_issuer_and_leads_to_the_keys() {
    let world = World::new().await;
    let request =
        axum::http::Request::get("/.well-known/openid-configuration").header("host", "anyone.example");
    let answer = world.send_unsigned(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    let issuer = answer.json["issuer"].as_str().unwrap();
    assert_eq!(answer.json["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    assert_eq!(answer.json["id_token_signing_alg_values_supported"], json!(["ES256"]));
}
