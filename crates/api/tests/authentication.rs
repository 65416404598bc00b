//! Who is let in.

mod support;

use axum::body::Body;
use axum::http::Request;
use http_body_util::{BodyExt as _, Full};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{ACT, HOST, KEY, Sent, World};
use trunkline_storage::resources::{self, ANY_HOST, Secret, Which};
use trunkline_storage::{Error, resources::Deleted};
use uuid::Uuid;

const SIP: &str = "/sip?api-version=2023-03-01";
const USERS: &str = "/identities?api-version=2023-10-01";
const SECOND_KEY: &[u8] = b"trunkline-second-key-0123456789a";

async fn assert_denied(world: &World, request: Request<Body>, what: &str) {
    let answer = world.send_unsigned(request).await;
    assert_eq!(answer.status, 401, "{what}");
    assert_eq!(
        answer.json,
        serde_json::json!({"error": {"code": "Denied", "message": "Denied by the resource provider."}}),
        "{what}"
    );
}

#[tokio::test]
async fn either_key_signs_and_no_other() {
    let world = World::new().await;
    assert_eq!(world.send(Sent::new("GET", SIP).to(HOST, KEY)).await.status, 200);
    assert_eq!(world.send(Sent::new("GET", SIP).to(HOST, SECOND_KEY)).await.status, 200);
    let wrong = Sent::new("GET", SIP).to(HOST, b"not-the-key-not-the-key-not-the-");
    assert_denied(&world, wrong.sign(world.now_unix_ms()), "another key").await;
}

#[tokio::test]
async fn a_rotated_key_is_refused_at_once() {
    let world = World::new().await;
    let resource = world.resource;
    let new: &[u8] = b"trunkline-third-key-0123456789ab";
    let set = world.store.write(move |db| {
        Box::pin(
            async move { resources::set_key(db, resource, Which::Primary, &Secret(new.to_vec()), ACT).await },
        )
    });
    let set: Result<bool, Error> = set.await;
    assert!(set.unwrap());
    assert_denied(&world, Sent::new("GET", SIP).sign(world.now_unix_ms()), "the old key").await;
    assert_eq!(world.send(Sent::new("GET", SIP).to(HOST, new)).await.status, 200);
    assert_eq!(world.send(Sent::new("GET", SIP).to(HOST, SECOND_KEY)).await.status, 200);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_refused() {
    let world = World::new().await;
    let signed = || {
        let mut sent = Sent::new("POST", USERS).header("content-type", "application/json");
        sent.body = br#"{"createTokenWithScopes":["voip"]}"#.to_vec();
        sent.sign(world.now_unix_ms())
    };
    assert_eq!(world.send_unsigned(signed()).await.status, 201);

    for name in ["x-ms-date", "x-ms-content-sha256", "authorization", "host"] {
        let value = signed().headers()[name].to_str().unwrap().to_owned();
        for at in 0..value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(flipped) = axum::http::HeaderValue::from_bytes(&bytes) else { continue };
            let mut request = signed();
            request.headers_mut().insert(name, flipped);
            assert_denied(&world, request, &format!("{name} byte {at}")).await;
        }
    }
    for at in 0..34 {
        let (parts, body) = signed().into_parts();
        let mut bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        bytes[at] ^= 1;
        assert_denied(&world, Request::from_parts(parts, Body::from(bytes)), &format!("body byte {at}"))
            .await;
    }
    let (mut parts, body) = signed().into_parts();
    parts.uri = "/identities?api-version=2022-10-01".parse().unwrap();
    assert_denied(&world, Request::from_parts(parts, body), "another query").await;
    let (mut parts, body) = signed().into_parts();
    parts.method = "DELETE".parse().unwrap();
    parts.uri = format!("/phoneNumbers/%2B12065550100?{}", parts.uri.query().unwrap()).parse().unwrap();
    assert_denied(&world, Request::from_parts(parts, body), "another path and method").await;
}

#[tokio::test]
async fn an_absent_or_doubled_header_is_refused() {
    let world = World::new().await;
    for name in ["x-ms-date", "x-ms-content-sha256", "authorization", "host"] {
        let mut request = Sent::new("GET", SIP).sign(world.now_unix_ms());
        let value = request.headers_mut().remove(name).unwrap();
        assert_denied(&world, request, &format!("without {name}")).await;
        let mut request = Sent::new("GET", SIP).sign(world.now_unix_ms());
        request.headers_mut().append(name, value);
        assert_denied(&world, request, &format!("{name} twice")).await;
    }
    for authorization in
        ["", "Bearer x", "HMAC-SHA256", "HMAC-SHA256 SignedHeaders=&Signature=", "Basic eDp5"]
    {
        let mut request = Sent::new("GET", SIP).sign(world.now_unix_ms());
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        assert_denied(&world, request, authorization).await;
    }
}

#[tokio::test]
async fn a_request_is_good_for_a_quarter_of_an_hour_either_way() {
    let world = World::new().await;
    let request = |secs: i64| Sent::new("GET", SIP).sign(world.now_unix_ms() + secs * 1000);
    assert_eq!(world.send_unsigned(request(900)).await.status, 200);
    assert_eq!(world.send_unsigned(request(-900)).await.status, 200);
    assert_denied(&world, request(901), "too early").await;
    assert_denied(&world, request(-901), "too late").await;
}

#[tokio::test]
async fn every_form_that_a_shipped_client_signs_is_accepted() {
    let world = World::new().await;
    let now = world.now_unix_ms();
    let user = format!("8:acs:{}_00000021-aaaa-bbbb-cccc-0123456789ab", world.resource);
    let encoded = user.replace(':', "%3A");
    let spaced = "/sip?api-version=2023-03-01&note=New%20York";
    for (target, signed, host) in [
        (SIP.to_owned(), SIP.to_owned(), HOST.to_owned()),
        (spaced.to_owned(), spaced.replace("%20", "+"), HOST.to_owned()),
        (
            format!("/identities/{user}?api-version=2023-10-01"),
            format!("/identities/{encoded}?api-version=2023-10-01"),
            HOST.to_owned(),
        ),
        (
            format!("/identities/{encoded}?api-version=2023-10-01"),
            format!("/identities/{user}?api-version=2023-10-01"),
            HOST.to_owned(),
        ),
        (SIP.to_owned(), SIP.to_owned(), format!("{HOST}/")),
    ] {
        let method = if target.starts_with("/sip") { "GET" } else { "DELETE" };
        let request = Sent::new(method, &target).sign_as(now, &signed, &host);
        let answer = world.send_unsigned(request).await;
        assert!(answer.status.is_success(), "{target} signed as {signed} for {host}: {answer:?}");
    }
}

#[tokio::test]
async fn a_host_that_nobody_has_looks_like_a_wrong_key() {
    let world = World::new().await;
    let request = Sent::new("GET", SIP).to("nobody.localhost:8443", KEY).sign(world.now_unix_ms());
    assert_denied(&world, request, "unknown host").await;
}

#[tokio::test]
async fn the_default_resource_claims_every_host_that_no_other_has() {
    let world = World::new().await;
    let key: &[u8] = b"the-key-of-the-default-resource-";
    world.add_resource(Uuid::from_u128(7), "default", ANY_HOST, key).await;
    for host in ["localhost:18443", "127.0.0.1:9", "anything.example"] {
        assert_eq!(world.send(Sent::new("GET", SIP).to(host, key)).await.status, 200, "{host}");
    }
    assert_denied(&world, Sent::new("GET", SIP).to(HOST, key).sign(world.now_unix_ms()), "a named host")
        .await;
    assert_eq!(world.send(Sent::new("GET", SIP).to(&HOST.to_uppercase(), KEY)).await.status, 200, "case");
}

#[tokio::test]
async fn tenants_see_nothing_of_each_other() {
    let world = World::new().await;
    let (host, key): (&str, &[u8]) = ("fabrikam.localhost:8443", b"the-key-of-another-tenant-012345");
    world.add_resource(Uuid::from_u128(2), "fabrikam", host, key).await;
    let patch = serde_json::json!({"trunks": {"sbc.contoso.com": {"sipSignalingPort": 5061}}});
    assert_eq!(world.patch(SIP, &patch).await.status, 200);
    let created = world.post(USERS, &serde_json::json!({})).await;
    let user = created.json["identity"]["id"].as_str().unwrap().to_owned();

    let theirs = world.send(Sent::new("GET", SIP).to(host, key)).await;
    assert_eq!(theirs.json, serde_json::json!({"trunks": {}, "routes": []}));
    for (method, path) in [
        ("DELETE", format!("/identities/{user}?api-version=2023-10-01")),
        ("POST", format!("/identities/{user}/:revokeAccessTokens?api-version=2023-10-01")),
    ] {
        let answer = world.send(Sent::new(method, &path).to(host, key)).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (401, "Denied"), "{method}");
    }
    let issue = format!("/identities/{user}/:issueAccessToken?api-version=2023-10-01");
    let scopes = serde_json::json!({"scopes": ["voip"]});
    assert_eq!(world.send(Sent::new("POST", &issue).json(&scopes).to(host, key)).await.status, 401);
    assert_eq!(world.post(&issue, &scopes).await.status, 200, "the user is still there");
    let answer = world.send_unsigned(Sent::new("GET", SIP).to(host, KEY).sign(world.now_unix_ms())).await;
    assert_eq!(answer.status, 401, "a key opens its own resource only");
}

#[tokio::test]
async fn a_suspended_resource_is_403_and_a_deleted_one_is_401() {
    let world = World::new().await;
    let (resource, now) = (world.resource, world.now_unix_ms());
    let suspend = |since: Option<i64>| {
        world.store.write(move |db| Box::pin(resources::set_suspended(db, resource, since, ACT)))
    };
    let suspended: Result<bool, Error> = suspend(Some(now)).await;
    assert!(suspended.unwrap());
    let answer = world.get(SIP).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (403, "ResourceInactive"));
    let resumed: Result<bool, Error> = suspend(None).await;
    assert!(resumed.unwrap());
    assert_eq!(world.get(SIP).await.status, 200);

    let deleted: Result<Deleted, Error> =
        world.store.write(move |db| Box::pin(resources::delete(db, resource, ACT))).await;
    assert_eq!(deleted.unwrap(), Deleted::Done);
    world.pass(Duration::from_secs(1));
    assert_denied(&world, Sent::new("GET", SIP).sign(world.now_unix_ms()), "deleted").await;
}

#[tokio::test]
async fn the_body_of_a_request_that_its_head_refuses_is_not_read() {
    let world = World::new().await;
    for (key, read) in [(KEY, true), (b"not-the-key-not-the-key-not-the-".as_slice(), false)] {
        let asked = Arc::new(AtomicBool::new(false));
        let seen = asked.clone();
        let body = Full::from("{}").map_frame(move |frame| {
            seen.store(true, Ordering::Relaxed);
            frame
        });
        let mut sent = Sent::new("POST", USERS).to(HOST, key).header("content-type", "application/json");
        sent.body = b"{}".to_vec();
        let (parts, _) = sent.sign(world.now_unix_ms()).into_parts();
        let answer = world.send_unsigned(Request::from_parts(parts, Body::new(body))).await;
        assert_eq!(answer.status, if read { 201 } else { 401 });
        assert_eq!(asked.load(Ordering::Relaxed), read);
    }
}

#[tokio::test]
async fn a_request_signed_for_another_host_by_a_header_is_refused() {
    let world = World::new().await;
    let mut request = Sent::new("GET", SIP).sign_as(world.now_unix_ms(), SIP, "elsewhere.localhost");
    let headers = request.headers_mut();
    headers.insert("x-ms-host", "elsewhere.localhost".parse().unwrap());
    let authorization = headers["authorization"].to_str().unwrap().replace(";host;", ";x-ms-host;");
    headers.insert("authorization", authorization.parse().unwrap());
    assert_denied(&world, request, "x-ms-host").await;
}

#[tokio::test]
async fn a_resource_made_after_its_host_was_asked_for_is_found() {
    let world = World::new().await;
    let (host, key) = ("fabrikam.localhost:8443", b"another-key-0123456789-abcdefghi".as_slice());
    let ask = || Sent::new("GET", SIP).to(host, key);
    let before = world.send(ask()).await;
    assert_eq!((before.status.as_u16(), before.header("www-authenticate")), (401, "HMAC-SHA256"));
    world.add_resource(Uuid::from_u128(2), "fabrikam", host, key).await;
    assert_eq!(world.send(ask()).await.status, 200);
}
