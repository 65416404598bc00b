//! Whatever is sent, signed or not, the answer is never a failure of ours and always has its one shape.

mod support;

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use support::{Answer, HOST, Sent, World};

/// Field names of the requests, so that a body gets past its first line.
const NAMES: &[&str] = &[
    "phoneNumberType",
    "assignmentType",
    "capabilities",
    "calling",
    "sms",
    "areaCode",
    "quantity",
    "searchId",
    "agreeToNotResell",
    "phoneNumbers",
    "options",
    "includeAdditionalOperatorDetails",
    "phoneNumberPrefixes",
    "trunks",
    "routes",
    "domains",
    "name",
    "numberPattern",
    "sipSignalingPort",
    "createTokenWithScopes",
    "expiresInMinutes",
    "scopes",
    "countryCode",
    "12065550100",
    "sbc1.contoso.com",
    "error",
    "enabled",
];
const WORDS: &[&str] = &[
    "geographic",
    "tollFree",
    "mobile",
    "shortCode",
    "person",
    "application",
    "inbound",
    "outbound",
    "none",
    "inbound+outbound",
    "206",
    "833",
    "US",
    "CA",
    "+12065550100",
    "voip",
    "chat",
    "^\\+1",
    "(?=x)",
    "",
    "6227aeb8-8086-4824-9586-05cafe96f37b",
];
const SEGMENTS: &[&str] = &[
    "identities",
    "phoneNumbers",
    "availablePhoneNumbers",
    "countries",
    "reservations",
    "operations",
    "sip",
    "sip:testRoutesWithNumber",
    ":search",
    ":browse",
    ":purchase",
    ":issueAccessToken",
    ":revokeAccessTokens",
    "capabilities",
    "areaCodes",
    "localities",
    "offerings",
    "operatorInformation",
    "searchResults",
    "US",
    "ca",
    "%2B12065550100",
    "12065550100",
    "6227aeb8-8086-4824-9586-05cafe96f37b",
    "openapi.json",
    ".well-known",
    "8%3Aacs%3A11111111-2222-4333-8444-555555555555_00000021-aaaa-bbbb-cccc-0123456789ab",
];
const QUERIES: &[&str] = &[
    "skip=0",
    "skip=-1",
    "skip=4294967295",
    "skip=99999999999",
    "top=0",
    "top=1",
    "top=x",
    "maxPageSize=4294967295",
    "phoneNumberType=geographic",
    "phoneNumberType=%00",
    "assignmentType=person",
    "locality=New%20York",
    "administrativeDivision=NY",
    "expand=trunks/health",
    "targetPhoneNumber=+12065550100",
    "a",
    "=",
    "%",
    "&&",
];

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(|word| json!(word)),
        1 => ".{0,12}".prop_map(|text| json!(text)),
        2 => any::<i64>().prop_map(|number| json!(number)),
        2 => (-2..2000_i64).prop_map(|number| json!(number)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(|value| json!(value)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            3 => prop::collection::vec((prop::sample::select(NAMES), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => json_value().prop_map(|value| value.to_string().into_bytes()),
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

fn operation() -> impl Strategy<Value = String> {
    // Every pattern of the document, with something in its parameters.
    let document: Value = serde_json::from_str(include_str!("../src/openapi.json")).unwrap();
    let paths: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let value = prop_oneof![
        3 => prop::sample::select(SEGMENTS).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9:+._~%-]{0,16}",
    ];
    (prop::sample::select(paths), value.clone()).prop_map(|(path, value)| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { value.as_str() } else { part });
        parts.collect::<Vec<_>>().join("/")
    })
}

fn path() -> impl Strategy<Value = String> {
    let any = prop_oneof![
        3 => prop::sample::select(SEGMENTS).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9:+._~%-]{0,16}",
    ];
    let wild = prop::collection::vec(any, 0..6).prop_map(|segments| format!("/{}", segments.join("/")));
    prop_oneof![5 => operation(), 1 => wild]
}

fn query() -> impl Strategy<Value = String> {
    let version =
        prop::sample::select(&["2025-06-01", "2023-10-01", "2023-03-01", "2024-11-15-preview", "x"][..]);
    (version, prop::collection::vec(prop::sample::select(QUERIES), 0..3))
        .prop_map(|(version, others)| format!("?api-version={version}&{}", others.join("&")))
}

fn check(answer: &Answer, what: &str) {
    let status = answer.status.as_u16();
    assert!(status < 500, "{what}: {answer:?}");
    assert!(answer.headers.contains_key("ms-cv"), "{what}");
    if status >= 400 {
        answer.error_code();
    }
}

#[test]
fn no_request_makes_it_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let methods = prop::sample::select(&["GET", "POST", "PATCH", "DELETE", "PUT"][..]);
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 1500, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let result = runner.run(&(methods, path(), query(), body()), |(method, path, query, body)| {
        let target = format!("{path}{query}");
        // What is no target at all never gets as far as the router.
        prop_assume!(target.parse::<axum::http::Uri>().is_ok_and(|uri| uri.authority().is_none()));
        let mut sent = Sent::new(method, &target).header("content-type", "application/json");
        sent.body = body;
        let what = format!("{method} {target} {:?}", String::from_utf8_lossy(&sent.body));
        check(&runtime.block_on(world.send(sent)), &what);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn no_header_makes_it_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let names = prop::sample::select(
        &[
            "host",
            "x-ms-date",
            "x-ms-content-sha256",
            "authorization",
            "x-ms-client-request-id",
            "ms-cv",
            "x-ms-host",
        ][..],
    );
    let values = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::sample::select(&["HMAC-SHA256 SignedHeaders=a;b;c&Signature=AAAA", "*", HOST, "localhost"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 500, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let result = runner.run(&prop::collection::vec((names, values), 0..4), |changes| {
        let mut request: Request<Body> =
            Sent::new("GET", "/sip?api-version=2023-03-01").sign(world.now_unix_ms());
        for (name, value) in &changes {
            let Ok(value) = axum::http::HeaderValue::from_bytes(value) else { continue };
            request.headers_mut().insert(*name, value);
        }
        let answer = runtime.block_on(world.send_unsigned(request));
        check(&answer, &format!("{changes:?}"));
        Ok(())
    });
    result.unwrap();
}
