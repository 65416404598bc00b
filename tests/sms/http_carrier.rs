//! A carrier over HTTP, with its webhooks: the sandbox's own.

use super::scene::{Esme, Scene};
use serde_json::{Value, json};
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
    assert_eq!(states(&scene, &["12065550111"]), [("12065550111".to_owned(), 8)]);
    assert_eq!(scene.received("http").len(), 1);
}
