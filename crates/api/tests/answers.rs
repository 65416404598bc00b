//! What every answer is like, whatever was asked.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use support::{Sent, World};
use trunkline_api::{Rate, Rates};

const USERS: &str = "/identities?api-version=2023-10-01";

#[tokio::test]
async fn what_a_client_sent_for_correlation_comes_back() {
    let world = World::new().await;
    let sent = Sent::new("GET", "/sip?api-version=2023-03-01")
        .header("x-ms-client-request-id", "dabe0096-e731-11f1-af7d-02fc00000001")
        .header("x-ms-return-client-request-id", "true");
    let answer = world.send(sent).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-ms-client-request-id"), "dabe0096-e731-11f1-af7d-02fc00000001");
    assert_eq!(answer.header("api-supported-versions"), "2023-03-01, 2024-11-15-preview");
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert!(answer.header("ms-cv").ends_with(".0"), "{answer:?}");
}

#[tokio::test]
async fn refusals_carry_them_too() {
    let world = World::new().await;
    let unsigned = Request::get("/sip?api-version=2023-03-01")
        .header("host", support::HOST)
        .header("x-ms-client-request-id", "7d3e")
        .body(Body::empty())
        .unwrap();
    let answer = world.send_unsigned(unsigned).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (401, "Denied"));
    assert_eq!(answer.header("x-ms-client-request-id"), "7d3e");
    assert_eq!(answer.header("api-supported-versions"), "2023-03-01, 2024-11-15-preview");
    assert!(answer.headers.contains_key("ms-cv"));
    assert!(!answer.headers.contains_key("retry-after"), "clients send again whatever carries it");
}

#[tokio::test]
async fn unknown_paths_are_404_in_the_one_shape() {
    let world = World::new().await;
    for path in ["/console", "/nowhere", "/sip/", "/identities/x/:frobnicate", "/availablePhoneNumbers/%zz"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (404, "NotFound"), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_told_the_right_ones() {
    let world = World::new().await;
    for (method, path, allow) in [
        ("PUT", "/sip?api-version=2023-03-01", "GET, PATCH"),
        ("GET", USERS, "POST"),
        ("POST", "/openapi.json", "GET"),
        ("OPTIONS", "/sip", "GET, PATCH"),
    ] {
        let answer = world.send(Sent::new(method, path)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error_code()),
            (405, "MethodNotAllowed"),
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), allow);
    }
}

#[tokio::test]
async fn a_version_that_is_not_served_is_refused_and_every_served_one_is_not() {
    let world = World::new().await;
    for target in ["/sip", "/sip?api-version=", "/sip?api-version=2019-01-01", "/sip?api-version=2023-10-01"]
    {
        let answer = world.get(target).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "UnsupportedApiVersion"), "{target}");
        assert_eq!(answer.header("api-supported-versions"), "2023-03-01, 2024-11-15-preview");
    }
    for (path, versions) in [
        ("/sip", &["2023-03-01", "2024-11-15-preview"][..]),
        ("/phoneNumbers", &["2021-03-07", "2022-12-01", "2025-02-11", "2025-04-01", "2025-06-01"][..]),
    ] {
        for version in versions {
            let answer = world.get(&format!("{path}?api-version={version}")).await;
            assert_eq!(answer.status, 200, "{path} {version}");
        }
    }
    for version in ["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01"] {
        let answer = world.send(Sent::new("POST", &format!("/identities?api-version={version}"))).await;
        assert_eq!(answer.status, 201, "{version}");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_400_and_say_where() {
    let world = World::new().await;
    for body in ["{", "[]", "\"x\"", "{\"createTokenWithScopes\":1}", "{\"expiresInMinutes\":60.5}", "\u{0}"]
    {
        let mut sent = Sent::new("POST", USERS).header("content-type", "application/json");
        sent.body = body.as_bytes().to_vec();
        let answer = world.send(sent).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{body}");
        assert_eq!(answer.json["error"]["target"], "body", "{body}");
    }
    let deep = "[".repeat(100_000);
    let mut sent = Sent::new("PATCH", "/sip?api-version=2023-03-01");
    sent.body = deep.into_bytes();
    assert_eq!(world.send(sent).await.status, 400);
}

#[tokio::test]
async fn other_media_types_are_415() {
    let world = World::new().await;
    let mut sent = Sent::new("POST", USERS).header("content-type", "text/xml");
    sent.body = b"<a/>".to_vec();
    let answer = world.send(sent).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (415, "UnsupportedMediaType"));
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_413() {
    let world = World::new().await;
    let mut sent = Sent::new("POST", USERS);
    sent.body = vec![b' '; 1024 * 1024 + 1];
    let answer = world.send(sent).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (413, "RequestTooLarge"));
}

#[tokio::test]
async fn a_broken_escape_in_the_query_is_400() {
    let world = World::new().await;
    let answer = world.get("/sip?api-version=2023-03-01&x=%zz").await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"));
}

#[tokio::test]
async fn too_much_too_fast_is_429_with_the_pause_after_which_it_passes() {
    let rate = Rate { requests: 3, window_secs: 30 };
    let world = World::with(|settings| settings.rates = Rates { issue: rate, ..Rates::default() }).await;
    world.add_resource(uuid::Uuid::from_u128(2), "other", "other.localhost", support::KEY).await;
    for _ in 0..3 {
        assert_eq!(world.send(Sent::new("POST", USERS)).await.status, 201);
    }
    let answer = world.send(Sent::new("POST", USERS)).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (429, "TooManyRequests"));
    let pause: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&pause), "{pause}");

    let other = world.send(Sent::new("POST", USERS).to("other.localhost", support::KEY)).await;
    assert_eq!(other.status, 201, "one tenant's haste is not another's");

    world.pass(std::time::Duration::from_secs(pause));
    assert_eq!(world.send(Sent::new("POST", USERS)).await.status, 201);
}

#[tokio::test]
async fn writes_have_a_rate_of_their_own() {
    let few = Rate { requests: 2, window_secs: 10 };
    let world = World::with(|settings| settings.rates = Rates { write: few, ..Rates::default() }).await;
    let write = async || world.send(Sent::new("POST", USERS)).await.status.as_u16();
    assert_eq!([write().await, write().await, write().await], [201, 201, 429]);
    assert_eq!(world.get("/sip?api-version=2023-03-01").await.status, 200);
}

#[tokio::test]
async fn every_published_operation_answers_and_none_fails() {
    let world = World::new().await;
    let document = world.get("/openapi.json").await.json;
    let user = format!("8%3Aacs%3A{}_00000021-aaaa-bbbb-cccc-0123456789ab", world.resource);
    let fill = |path: &str| {
        path.replace("{id}", &user)
            .replace("{countryCode}", "US")
            .replace("{phoneNumber}", "%2B12065550100")
            .replace("{reservationId}", "6227aeb8-8086-4824-9586-05cafe96f37b")
            .replace("{searchId}", "6227aeb8-8086-4824-9586-05cafe96f37b")
            .replace("{operationId}", "search_6227aeb8-8086-4824-9586-05cafe96f37b")
    };
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let version = parameters
                .iter()
                .filter_map(|parameter| parameter["$ref"].as_str())
                .find_map(|name| document.pointer(&format!("{}/schema/enum", name.trim_start_matches('#'))))
                .and_then(Value::as_array)
                .and_then(|versions| versions.last()?.as_str())
                .unwrap_or("none");
            let target = format!("{}?api-version={version}", fill(path));
            for body in ["", "{}", "[]", "null", "{\"trunks\":{\"a\":null}}", "nonsense"] {
                let method = method.to_uppercase();
                let mut sent = Sent::new(&method, &target);
                sent.body = body.as_bytes().to_vec();
                let answer = world.send(sent).await;
                let status = answer.status.as_u16();
                assert!(status < 500 && status != 405, "{method} {path} {body}: {answer:?}");
                assert_ne!(answer.json["error"]["message"], "The path leads nowhere.", "{method} {path}");
                if status >= 400 {
                    answer.error_code();
                } else if answer.text.is_empty() {
                    assert!([202, 204].contains(&status), "{method} {path}: {status}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_error_of_the_database_is_503_with_a_pause_and_not_500() {
    let world = World::new().await;
    world.store.close().await;
    let answer = world.get("/sip?api-version=2023-03-01").await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (503, "ServiceUnavailable"));
    assert_eq!(answer.header("retry-after"), "1");
}
