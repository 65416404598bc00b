//! A carrier over HTTP, with its webhooks: the sandbox's own.

use super::scene::{Esme, Scene};
use aws_lc_rs::hmac;
use serde_json::{Value, json};
use std::time::SystemTime;
use trunkline_tests::peers::wait_for;

fn states(scene: &Scene, numbers: &[&str]) -> Vec<(String, u64)> {
    let messages: Vec<Value> = numbers
        .iter()
        .map(|to| json!({"from": scene.number.trim_start_matches('+'), "to": to, "text": "Hello, web €"}))
        .collect();
    let told = scene.esme(Esme::Smpplib, &json!({"messages": messages, "expect": numbers.len()}));
    let delivered = told["delivered"].as_array().expect("a list");
    assert_eq!(delivered.len(), numbers.len(), "{told}\n{}", scene.log());
    let mut states: Vec<(String, u64)> = delivered
        .iter()
        .map(|one| (one["from"].as_str().unwrap_or_default().to_owned(), one["state"].as_u64().unwrap_or(0)))
        .collect();
    states.sort();
    states
}

#[test]
fn texts_go_out_and_their_receipts_come_by_webhook() {
    let scene = Scene::over_http();
    let expected = [
        ("14255550100", 2),
        // A slow answer, and those that pass: throttled, full, broken.
        ("14255550101", 2),
        ("14255550104", 2),
        ("14255550105", 2),
        ("14255550114", 2),
        // Failures by receipt, and a refusal.
        ("14255550120", 5),
        ("14255550123", 8),
        ("14255550141", 8),
    ];
    let numbers: Vec<&str> = expected.iter().map(|(number, _)| *number).collect();
    let expected: Vec<(String, u64)> =
        expected.iter().map(|(number, state)| ((*number).to_owned(), *state)).collect();
    assert_eq!(states(&scene, &numbers), expected, "{}", scene.log());
    let received = scene.received("http");
    assert!(received.iter().all(|one| one["text"] == "Hello, web €"), "{received:?}");
}

#[test]
fn an_answer_that_never_comes_is_made_up_for() {
    let scene = Scene::over_http();
    assert_eq!(states(&scene, &["14255550103"]), [("14255550103".to_owned(), 2)]);
    let outcomes: Vec<Value> = scene.received("http").iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["disconnected", "accepted"]);
}

#[test]
fn texts_come_in_by_webhook_and_stop_is_heard() {
    let scene = Scene::over_http();
    // The carrier learns by the first text where its webhooks go.
    states(&scene, &["14255550100"]);
    scene.text_in("http", "+12065550111", "Where are you? 😀");
    let told = scene.esme(Esme::Smpplib, &json!({"messages": [], "expect": 1}));
    let came = &told["delivered"][0];
    assert_eq!(
        (&came["from"], &came["text"]),
        (&json!("12065550111"), &json!("Where are you? 😀")),
        "{told}"
    );
    scene.text_in("http", "+12065550111", "STOP");
    wait_for("the opt-out", || {
        scene.command(&["sms", "opt-outs", "--json"]).contains("12065550111").then_some(())
    });
    let message = json!({"from": scene.number.trim_start_matches('+'), "to": "12065550111", "text": "Sale!"});
    // The keyword itself is told too.
    let told = scene.esme(Esme::Smpplib, &json!({"messages": [message], "expect": 2}));
    let receipt = told["delivered"].as_array().expect("a list").iter().find(|one| one["receipt"] == true);
    assert_eq!(receipt.map(|receipt| &receipt["state"]), Some(&json!(8)), "{told}");
    assert_eq!(scene.received("http").len(), 1);
}

#[test]
fn a_webhook_that_the_carrier_did_not_sign_is_refused() {
    let scene = Scene::over_http();
    let body =
        br#"{"events":[{"type":"text","id":"1","from":"+12065550111","to":"+18335550100","text":"Forged"}]}"#;
    let signed = |unix: u64, tag: &str| {
        format!("x-sandbox-timestamp: {unix}\r\nx-sandbox-signature: sha256={tag}\r\n")
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"sandbox");
    let tag = |unix: u64| -> String {
        let tag = hmac::sign(&key, &[format!("{unix}.").as_bytes(), body].concat());
        tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
    };
    let events = "/carriers/web/events";
    assert_eq!(scene.post(events, "", body), 401);
    assert_eq!(scene.post(events, &signed(now, &"0".repeat(64)), body), 403);
    // Signed, and heard too late.
    assert_eq!(scene.post(events, &signed(now - 600, &tag(now - 600)), body), 403);
    assert_eq!(scene.post("/carriers/web/other", &signed(now, &tag(now)), body), 404);
    assert_eq!(scene.post("/carriers/nobody/events", &signed(now, &tag(now)), body), 404);
    assert_eq!(scene.post(events, "", &vec![b' '; 300 * 1024]), 413);
    let kept = || {
        let said = scene.command(&["sms", "list", "--with", "+12065550111", "--json"]);
        serde_json::from_str::<Vec<Value>>(&said).expect("a list").len()
    };
    assert_eq!(kept(), 0, "a forged text was believed");
    // The same, signed by the carrier, twice: it is heard once.
    let right = signed(now, &tag(now));
    assert_eq!((scene.post(events, &right, body), scene.post(events, &right, body)), (200, 200));
    assert_eq!(kept(), 1, "a text that came twice was taken for two");
    let told = scene.esme(Esme::Smpplib, &json!({"messages": [], "expect": 1}));
    assert_eq!(told["delivered"][0]["text"], "Forged");
}
