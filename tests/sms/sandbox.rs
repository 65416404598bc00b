//! Every magic number of the sandbox's message centre, through the running gateway; and texts from its handsets.

use super::scene::{Esme, Scene};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trunkline_tests::peers::{PATIENCE, wait_for, wait_up_to};

/// message_state of SMPP 3.4 §5.2.28.
const DELIVERED: u64 = 2;
const UNDELIVERABLE: u64 = 5;
const REJECTED: u64 = 8;

/// Sends a text to each number by an account, and returns the state that the receipt of each says. As many texts that
/// came in are told on the way.
fn states_beside(texts: usize, scene: &Scene, numbers: &[&str]) -> BTreeMap<String, u64> {
    let messages: Vec<Value> = numbers
        .iter()
        .map(|to| json!({"from": scene.number.trim_start_matches('+'), "to": to, "text": "Hello!"}))
        .collect();
    let plan = json!({"messages": messages, "expect": numbers.len() + texts});
    let told = scene.esme(Esme::Smpplib, &plan);
    let delivered = told["delivered"].as_array().expect("a list");
    assert_eq!(delivered.len(), numbers.len() + texts, "{told}\n{}", scene.log());
    let receipts = delivered.iter().filter(|one| one["receipt"] == true);
    let states = receipts.map(|receipt| {
        let state = receipt["state"].as_u64().expect("a state");
        (receipt["from"].as_str().expect("a number").to_owned(), state)
    });
    states.collect()
}

fn states(scene: &Scene, numbers: &[&str]) -> BTreeMap<String, u64> {
    states_beside(0, scene, numbers)
}

fn assert_states(expected: &[(&str, u64)]) {
    let scene = Scene::over_smpp();
    let numbers: Vec<&str> = expected.iter().map(|(number, _)| *number).collect();
    let expected: BTreeMap<String, u64> =
        expected.iter().map(|(number, state)| ((*number).to_owned(), *state)).collect();
    assert_eq!(states(&scene, &numbers), expected, "{}", scene.log());
}

#[test]
fn every_way_of_being_delivered() {
    assert_states(&[
        ("14255550100", DELIVERED),
        // A slow response, a receipt before its response.
        ("14255550101", DELIVERED),
        ("14255550106", DELIVERED),
        // Three receipts, of which one counts; and one of TLVs alone.
        ("14255550110", DELIVERED),
        ("14255550112", DELIVERED),
        // Refusals that pass: queue full, system error, temporary.
        ("14255550105", DELIVERED),
        ("14255550114", DELIVERED),
        ("14255550115", DELIVERED),
    ]);
}

#[test]
fn every_failure_by_receipt() {
    assert_states(&[
        ("14255550120", UNDELIVERABLE),
        ("14255550121", UNDELIVERABLE),
        ("14255550122", UNDELIVERABLE),
        ("14255550123", REJECTED),
        ("14255550151", UNDELIVERABLE),
        ("14255550179", UNDELIVERABLE),
    ]);
}

#[test]
fn every_refusal_for_good() {
    assert_states(&[
        ("14255550140", REJECTED),
        ("14255550141", REJECTED),
        ("14255550143", REJECTED),
        ("14255550144", REJECTED),
        ("14255550145", UNDELIVERABLE),
        ("14255550146", UNDELIVERABLE),
    ]);
}

#[test]
fn a_throttled_text_waits_with_its_session_and_arrives() {
    let scene = Scene::over_smpp();
    assert_eq!(states(&scene, &["14255550104"]).values().collect::<Vec<_>>(), [&DELIVERED]);
    let statuses: Vec<u64> = scene
        .received("smpp")
        .iter()
        .map(|received| received["status"].as_u64().expect("a status"))
        .collect();
    assert_eq!((statuses.first(), statuses.last()), (Some(&0x58), Some(&0)), "{statuses:?}");
}

#[test]
fn a_connection_that_is_lost_before_the_response_is_made_up_for() {
    let scene = Scene::over_smpp();
    assert_eq!(states(&scene, &["14255550103"]).values().collect::<Vec<_>>(), [&DELIVERED]);
    let outcomes: Vec<Value> =
        scene.received("smpp").iter().map(|received| received["outcome"].clone()).collect();
    assert_eq!(outcomes, ["disconnected", "accepted"]);
}

#[test]
fn ids_in_another_base_are_learned() {
    // Nothing is known of this carrier yet: a receipt is for the one text that its id fits in some base.
    let scene = Scene::over_smpp();
    let numbers = ["14255550107", "12065550107", "13125550107"];
    assert!(states(&scene, &numbers).values().all(|state| *state == DELIVERED));
    let scene = Scene::over_smpp();
    let numbers = ["14255550108", "12065550108", "13125550108"];
    assert!(states(&scene, &numbers).values().all(|state| *state == DELIVERED));
}

#[test]
fn whoever_texts_stop_gets_nothing_more() {
    let scene = Scene::over_smpp();
    scene.text_in("smpp", "+12065550111", "Stop.");
    // The number's network answers for toll-free numbers; what is sent then is stopped here.
    wait_for("the opt-out", || {
        let said = scene.command(&["sms", "opt-outs", "--json"]);
        said.contains("12065550111").then_some(())
    });
    // The keyword itself is told to the account.
    let rejected = states_beside(1, &scene, &["12065550111"]);
    assert_eq!(rejected.values().collect::<Vec<_>>(), [&REJECTED]);
    assert!(scene.received("smpp").is_empty(), "the carrier was given a text for someone who said stop");
    scene.text_in("smpp", "+12065550111", "START");
    wait_for("the end of the opt-out", || {
        let said = scene.command(&["sms", "opt-outs", "--json"]);
        (!said.contains("12065550111")).then_some(())
    });
    let delivered = states_beside(1, &scene, &["12065550111"]);
    assert_eq!(delivered.values().collect::<Vec<_>>(), [&DELIVERED]);
}

#[test]
fn a_long_text_by_rest_is_whole_at_the_carrier() {
    let scene = Scene::over_smpp();
    let text = "Dieser Text ist länger als eine Nachricht. ".repeat(10);
    scene.send("+14255550100", text.trim());
    let parts = wait_for("all segments", || {
        let received = scene.received("smpp");
        let total = received.first().and_then(|first| first["part"]["total"].as_u64())?;
        (received.len() as u64 == total).then_some(received)
    });
    let mut parts: Vec<(u64, String)> = parts
        .iter()
        .map(|part| {
            let seq = part["part"]["seq"].as_u64().expect("a place");
            (seq, part["text"].as_str().expect("words").to_owned())
        })
        .collect();
    parts.sort();
    let joined: String = parts.into_iter().map(|(_, text)| text).collect();
    assert_eq!(joined, text.trim());
}

#[test]
fn what_is_texted_back_reaches_the_account() {
    let scene = Scene::over_smpp();
    let plan = json!({
        "messages": [{"from": scene.number.trim_start_matches('+'), "to": "14255550134", "text": "Echo?"}],
        "expect": 2,
    });
    let told = scene.esme(Esme::Smpplib, &plan);
    let echo = told["delivered"].as_array().expect("a list").iter().find(|one| one["receipt"] == false);
    let echo = echo.unwrap_or_else(|| panic!("{told}\n{}", scene.log()));
    assert_eq!((&echo["from"], &echo["text"]), (&json!("14255550134"), &json!("Echo?")));
}

#[test]
fn a_silent_number_ends_when_its_time_is_over() {
    let scene = Scene::over_smpp();
    scene.send("+14255550102", "Anybody there?");
    // It is tried again and again, each time on a session that then gives up on the answer.
    let outcomes = wait_up_to(PATIENCE * 2, "a second attempt", || {
        let received = scene.received("smpp");
        (received.len() >= 2).then_some(received)
    });
    assert!(outcomes.iter().all(|received| received["outcome"] == "unanswered"), "{outcomes:?}");
}
