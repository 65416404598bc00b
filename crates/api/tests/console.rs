//! The console: its pages, and what they ask.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use support::World;

#[tokio::test]
async fn pages_are_public_and_load_nothing_from_elsewhere() {
    let world = World::new().await;
    let request = Request::get("/").header("host", "any.example").body(Body::empty()).unwrap();
    let answer = world.send_unsigned(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn what_the_pages_ask_is_signed_like_everything_else() {
    let world = World::new().await;
    for path in ["/console/statement", "/console/eligibility"] {
        let request = Request::get(path).header("host", support::HOST).body(Body::empty()).unwrap();
        let answer = world.send_unsigned(request).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (401, "Denied"), "{path}");
    }
}

#[tokio::test]
async fn a_month_without_charges_is_an_empty_statement_and_another_word_is_no_month() {
    let world = World::new().await;
    let answer = world.get("/console/statement?month=2026-10").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json, json!({ "month": "2026-10", "rows": [], "totalsMinor": {} }));
    assert_eq!(world.get("/console/statement").await.json["month"], "2026-11", "this month");
    let answer = world.get("/console/statement?month=October").await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[tokio::test]
async fn the_rules_that_decide_are_named_in_order() {
    let world = World::new().await;
    let ask = async |country: &str| {
        let target = format!(
            "/console/eligibility?country={country}&phoneNumberType=geographic&calling=inbound%2Boutbound&sms=none"
        );
        world.get(&target).await.json
    };
    let granted = ask("US").await;
    assert_eq!(granted["allowed"], true, "{granted}");
    assert_eq!(granted["denial"], Value::Null);
    let refused = ask("FR").await;
    assert_eq!(refused["allowed"], false, "{refused}");
    let last = refused["path"].as_array().unwrap().last().unwrap();
    assert!(last["outcome"].as_str().unwrap().starts_with("NumberCountry refused"), "{refused}");
    assert!(last["rule"].as_str().unwrap().starts_with("PROV-"), "{refused}");
    let answer = world.get("/console/eligibility?country=US&phoneNumberType=geographic&calling=none").await;
    assert_eq!(answer.status, 400, "{answer:?}");
}
