//! Customers' own systems, made with other people's libraries, at the gateway's SMPP server.

use super::scene::{ACCOUNT, Esme, Scene};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use trunkline_tests::peers::wait_for;

const DELIVERED: u64 = 2;

/// Binds, sends a short and a long text, receives a long text that came before it bound, and the receipts.
fn sends_and_receives(esme: Esme) {
    let scene = Scene::over_smpp();
    let inbound = "This text came in while nobody was bound, and it is too long for one message. ".repeat(3);
    scene.text_in("smpp", "+12065550111", inbound.trim());
    let long = "A text of more than one segment, cut by whoever sends it. ".repeat(4);
    let number = scene.number.trim_start_matches('+');
    let plan = json!({
        "messages": [
            {"from": number, "to": "14255550100", "text": "Short"},
            {"from": number, "to": "12065550100", "text": long},
        ],
        // smpplib cuts the text itself, and each of its two parts is a message of its own.
        "expect": match esme { Esme::Smpplib => 5, Esme::Smpp34 | Esme::Smpp | Esme::SmppCommands => 4 },
    });
    let told = scene.esme(esme, &plan);

    let ids: Vec<&str> =
        told["ids"].as_array().expect("ids").iter().map(|id| id.as_str().unwrap_or_default()).collect();
    assert!(ids.iter().all(|id| id.starts_with("Outgoing_")), "{told}\n{}", scene.log());
    let delivered = told["delivered"].as_array().expect("a list");
    let (receipts, mut texts): (Vec<&Value>, Vec<&Value>) =
        delivered.iter().partition(|one| one["receipt"] == true);
    let mut of: Vec<&str> = receipts.iter().filter_map(|receipt| receipt["id"].as_str()).collect();
    of.sort_unstable();
    let mut sent = ids.clone();
    sent.sort_unstable();
    assert_eq!(of, sent, "{told}\n{}", scene.log());
    assert!(receipts.iter().all(|receipt| receipt["state"] == DELIVERED), "{told}");
    texts.sort_by_key(|text| text["seq"].as_u64());
    let came: String = texts.iter().filter_map(|text| text["text"].as_str()).collect();
    assert_eq!(came, inbound.trim(), "{told}");

    let received = scene.received("smpp");
    let to = |number: &str| -> String {
        let parts = received.iter().filter(|part| part["to"] == number);
        parts.filter_map(|part| part["text"].as_str()).collect()
    };
    assert_eq!(to("14255550100"), "Short");
    assert_eq!(to("12065550100"), long);
}

#[test]
fn smpplib_sends_and_receives() {
    sends_and_receives(Esme::Smpplib);
}

#[test]
fn smpp34_sends_and_receives() {
    sends_and_receives(Esme::Smpp34);
}

#[test]
fn npm_smpp_sends_and_receives() {
    sends_and_receives(Esme::Smpp);
}

#[test]
fn a_sender_of_someone_else_is_refused() {
    let scene = Scene::over_smpp();
    let message = json!({"from": "18335550199", "to": "14255550100", "text": "Hi"});
    let told = scene.esme(Esme::Smpp, &json!({"messages": [message], "expect": 0}));
    assert_eq!(told["ids"], json!([null]), "{told}");
    assert!(scene.received("smpp").is_empty());
}

/// Goes through commands, each answered before the next.
fn go_through(scene: &Scene, commands: &Value) -> Value {
    scene.esme(Esme::SmppCommands, &json!({ "commands": commands }))
}

#[test]
fn several_recipients_data_sm_and_questions() {
    let scene = Scene::over_smpp();
    let from = scene.number.trim_start_matches('+');
    let to = |number: &str| json!({"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": number});
    let told = go_through(
        &scene,
        &json!([
            ["submit_multi", {
                "source_addr": from, "registered_delivery": 1, "short_message": "To all",
                "dest_address": [to("14255550100"), to("12065550100"), to("12")],
            }],
            ["wait", 2],
            ["query_sm", {"message_id": "$0", "source_addr": from}],
            ["data_sm", {
                "source_addr": from, "destination_addr": "13125550100", "message_payload": "As data",
            }],
            ["query_sm", {"message_id": "Outgoing_nothing", "source_addr": from}],
        ]),
    );
    let answers = told["answers"].as_array().expect("answers");
    const INVALID_DESTINATION: u64 = 0x0b;
    const INVALID_MESSAGE_ID: u64 = 0x0c;
    assert_eq!(answers[0]["failed"], json!([["12", INVALID_DESTINATION]]), "{told}");
    // Both receipts speak of the one id that a submit_multi has.
    let receipts = told["delivered"].as_array().expect("receipts");
    assert!(receipts.iter().all(|one| one["id"] == answers[0]["message_id"]), "{told}\n{}", scene.log());
    assert_eq!((&answers[2]["status"], &answers[2]["state"]), (&json!(0), &json!(DELIVERED)), "{told}");
    assert_eq!(answers[3]["status"], 0, "{told}");
    assert_eq!(answers[4]["status"], INVALID_MESSAGE_ID, "{told}");
    let texts = wait_for("all texts", || {
        let received = scene.received("smpp");
        let texts: Vec<String> =
            received.iter().filter_map(|one| one["text"].as_str().map(str::to_owned)).collect();
        (texts.len() == 3).then_some(texts)
    });
    assert_eq!(texts.iter().filter(|text| *text == "To all").count(), 2);
    assert!(texts.contains(&"As data".to_owned()));
}

#[test]
fn what_no_carrier_has_can_be_taken_back() {
    const CANCEL_FAILED: u64 = 0x11;
    // A carrier that nobody can reach.
    let mut scene = Scene::prepare();
    let carrier = scene.smpp_carrier("trunkline", "sandbox");
    scene.open(&carrier);
    let from = scene.number.trim_start_matches('+');
    let told = go_through(
        &scene,
        &json!([
            ["submit_sm", {
                "source_addr": from, "destination_addr": "14255550100", "registered_delivery": 1,
                "short_message": "Too late?",
            }],
            ["query_sm", {"message_id": "$0", "source_addr": from}],
            // While the engine looks for a carrier that is up, it cannot be had.
            ["cancel_sm", {"message_id": "$0", "source_addr": from, "destination_addr": "14255550100"}, CANCEL_FAILED],
            ["wait", 1],
            ["query_sm", {"message_id": "$0", "source_addr": from}],
            ["cancel_sm", {"message_id": "$0", "source_addr": from, "destination_addr": "14255550100"}],
        ]),
    );
    const ENROUTE: u64 = 1;
    const DELETED: u64 = 4;
    let answers = told["answers"].as_array().expect("answers");
    assert_eq!((&answers[1]["state"], &answers[2]["status"]), (&json!(ENROUTE), &json!(0)), "{told}");
    assert_eq!(told["delivered"][0]["state"], DELETED, "{told}");
    assert_eq!(
        (&answers[4]["state"], &answers[5]["status"]),
        (&json!(DELETED), &json!(CANCEL_FAILED)),
        "{told}"
    );
}

#[test]
fn receipts_wait_for_a_system_that_is_away_and_outlive_the_gateway() {
    let mut scene = Scene::over_smpp();
    let from = scene.number.trim_start_matches('+').to_owned();
    let told = go_through(
        &scene,
        &json!([["submit_sm", {
            "source_addr": from, "destination_addr": "14255550100", "registered_delivery": 1,
            "short_message": "Bye",
        }]]),
    );
    wait_for("the text at the carrier", || (!scene.received("smpp").is_empty()).then_some(()));
    scene.kill();
    scene.serve();
    let receipts = go_through(&scene, &json!([["wait", 1]]));
    assert_eq!(
        receipts["delivered"][0]["id"],
        told["answers"][0]["message_id"],
        "{receipts}\n{}",
        scene.log()
    );
}

/// The octets of a bind_transceiver.
fn bind(system_id: &str, password: &str) -> Vec<u8> {
    let body = [system_id.as_bytes(), b"\0", password.as_bytes(), b"\0", b"\0\x34\0\0\0"].concat();
    [&(16 + body.len() as u32).to_be_bytes()[..], &9u32.to_be_bytes(), &[0; 4], &1u32.to_be_bytes(), &body]
        .concat()
}

/// Sends octets and returns command_id and command_status of the answer.
fn answer(scene: &Scene, octets: &[u8]) -> (u32, u32) {
    let mut stream = TcpStream::connect((scene.gateway(), 2775)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream.write_all(octets).expect("written");
    let mut header = [0; 16];
    stream.read_exact(&mut header).expect("an answer");
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    (word(4), word(8))
}

#[test]
fn strangers_are_refused_alike_and_a_bad_length_ends_the_connection() {
    let scene = Scene::over_smpp();
    const BIND_TRANSCEIVER_RESP: u32 = 0x8000_0009;
    const INVALID_PASSWORD: u32 = 0x0e;
    for (id, password) in [(ACCOUNT.0, "wrong"), ("nobody", ACCOUNT.1), ("", "")] {
        let refused = answer(&scene, &bind(id, password));
        assert_eq!(refused, (BIND_TRANSCEIVER_RESP, INVALID_PASSWORD), "{id}");
    }
    assert_eq!(answer(&scene, &bind(ACCOUNT.0, ACCOUNT.1)), (BIND_TRANSCEIVER_RESP, 0));
    const GENERIC_NACK: u32 = 0x8000_0000;
    const INVALID_COMMAND_LENGTH: u32 = 0x02;
    let endless = [&u32::MAX.to_be_bytes()[..], &[0; 12]].concat();
    assert_eq!(answer(&scene, &endless), (GENERIC_NACK, INVALID_COMMAND_LENGTH));
    assert!(!scene.log().contains(ACCOUNT.1), "a password is in the log");
}

#[test]
fn a_carrier_made_with_smpp34_is_spoken_to() {
    let mut scene = Scene::prepare();
    let host = scene.carrier().to_string();
    let carrier = scene.start_peer("smpp34", &host);
    let configuration = scene.smpp_carrier("trunkline", "any");
    scene.open(&configuration);
    let message =
        json!({"from": scene.number.trim_start_matches('+'), "to": "14255550100", "text": "Hello €"});
    let told = scene.esme(Esme::Smpplib, &json!({"messages": [message], "expect": 1}));
    assert_eq!(told["delivered"][0]["state"], DELIVERED, "{told}\n{}", scene.log());
    let taken: Value = serde_json::from_str(carrier.output().lines().nth(1).expect("a text")).expect("JSON");
    // "Hello " and the euro sign of the extension table (3GPP TS 23.038 §6.2.1.1).
    assert_eq!((&taken["to"], &taken["octets"]), (&json!("14255550100"), &json!("48656c6c6f201b65")));
}
