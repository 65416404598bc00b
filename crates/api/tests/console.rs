//! The console: its pages, and what they ask.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use support::{NOW_UNIX_MS, World};
use trunkline_model::E164;
use trunkline_storage::messages::inbound::{self, InboundText};
use trunkline_storage::messages::{self, Content, NewMessage, Purpose, Source};
use uuid::Uuid;

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
    for path in ["/console/statement", "/console/eligibility", "/console/messages"] {
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
    assert_eq!(last["rule"], "A.4/5", "{refused}");
    let answer = world.get("/console/eligibility?country=US&phoneNumberType=geographic&calling=none").await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[tokio::test]
async fn texts_of_the_resource_are_shown_and_nobody_elses() {
    let world = World::new().await;
    let other = Uuid::from_u128(7);
    world.add_resource(other, "fabrikam", "fabrikam.localhost:8443", support::KEY).await;
    let (mine, theirs) = (outgoing(world.resource, "mine"), outgoing(other, "theirs"));
    let came = InboundText {
        seq: 0,
        id: InboundText::new_id(NOW_UNIX_MS + 1),
        resource: Some(world.resource),
        trunk: "carrier".parse().unwrap(),
        from: "+12065550111".into(),
        to: "+18335550100".into(),
        body: "hello back".into(),
        received_unix_ms: NOW_UNIX_MS + 1,
        segments: 1,
        partial: false,
    };
    let write = world.store.write(move |db| {
        Box::pin(async move {
            messages::accept(db, &[mine, theirs], NOW_UNIX_MS).await?;
            inbound::insert(db, &[came]).await
        })
    });
    write.await.unwrap();
    let shown = world.get("/console/messages").await.json;
    let bodies: Vec<_> =
        shown["messages"].as_array().unwrap().iter().map(|text| text["body"].clone()).collect();
    assert_eq!(bodies, ["hello back", "mine"], "the latest first: {shown}");
    assert_eq!(shown["messages"][1]["state"], "queued");
    assert_eq!(shown["messages"][0]["direction"], "in");
}

fn outgoing(resource: Uuid, body: &str) -> NewMessage {
    NewMessage {
        resource,
        source: Source::Api,
        from: "+18335550100".into(),
        to: E164::parse("+12065550111").unwrap(),
        content: Content::Text(body.into()),
        purpose: Purpose::Transactional,
        wants_report: true,
        tag: None,
        request: None,
        expires_unix_ms: NOW_UNIX_MS + 86_400_000,
        report_by_unix_ms: NOW_UNIX_MS + 86_400_000,
    }
}
