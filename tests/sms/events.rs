//! Events at subscribers: handshakes, both envelopes as the official libraries read them, retries, dead letters, order,
//! and where the gateway does not go.

use super::scene::Scene;
use super::subscriber::{SECRET, Subscriber, packages, script, trusting};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use trunkline_tests::peers::{PATIENCE, wait_for, wait_up_to};

const RECEIVED: &str = "Microsoft.Communication.SMSReceived";
const REPORT: &str = "Microsoft.Communication.SMSDeliveryReportReceived";

/// The number of the sandbox that is delivered to, and its digits.
const TO: &str = "+14255550100";
const HANDSET: &str = "+12065550111";

#[test]
fn both_envelopes_are_read_by_the_official_libraries() {
    let scene = Scene::over_smpp_and(trusting);
    let subscriber = Subscriber::start(scene.folder(), "subscriber");
    subscribe(&scene, &subscriber, "/good", &["--schema", "eventgrid", "--bearer", "token-1"]);
    subscribe(&scene, &subscriber, "/signed", &["--schema", "cloudevents", "--hmac-secret", SECRET]);

    let id = scene.send(TO, "Grüße ☃");
    scene.text_in("smpp", HANDSET, "STOP");
    for path in ["/good", "/signed"] {
        let events = wait_for("a report and a text", || {
            let events = subscriber.events(path);
            (events.len() == 2).then_some(events)
        });
        let of =
            |kind| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("{events:?}"));
        let report = of(REPORT);
        let digits = scene.number.trim_start_matches('+');
        assert_eq!(report["id"], id);
        assert_eq!(report["subject"], format!("/phonenumber/{digits}"));
        assert_eq!(report["data"]["messageId"], id);
        assert_eq!((&report["data"]["from"], &report["data"]["to"]), (&json!(digits), &json!(TO)));
        assert_eq!(report["data"]["deliveryStatus"], "Delivered");
        assert_eq!(report["data"]["deliveryStatusDetails"], "No error.");
        assert_eq!(report["data"]["deliveryAttempts"][0]["segmentsSucceeded"], 1);
        let received = of(RECEIVED);
        assert_eq!(received["data"]["message"], "STOP");
        assert_eq!(received["data"]["from"], HANDSET.trim_start_matches('+'));
        assert_eq!(received["data"]["to"], digits);
        assert_eq!(received["id"], received["data"]["messageId"]);
        assert!(received["about"].as_str().expect("a topic").ends_with("/communicationServices/contoso"));
    }
    for event in subscriber.events("/signed") {
        assert_eq!(event["verified"], true);
    }
    let delivered = subscriber.requests("/good");
    let (first, last) = (&delivered[0]["headers"], &delivered[2]["headers"]);
    assert_eq!(first["aeg-event-type"], "SubscriptionValidation");
    assert_eq!((&last["aeg-event-type"], &last["aeg-delivery-count"]), (&json!("Notification"), &json!("0")));
    assert_eq!(
        (&last["aeg-subscription-name"], &last["authorization"]),
        (&json!("good"), &json!("Bearer token-1"))
    );
    assert_eq!(last["content-type"], "application/json; charset=utf-8");
    assert_eq!(parsed_by_javascript(subscriber.file()).len(), 4);
}

#[test]
fn an_endpoint_that_does_not_prove_that_it_wants_events_gets_none() {
    let scene = Scene::over_smpp_and(trusting);
    let subscriber = Subscriber::start(scene.folder(), "subscriber");
    for (path, schema) in [
        ("/wrong", "eventgrid"),
        ("/refuse", "eventgrid"),
        ("/redirect", "eventgrid"),
        ("/wrong", "cloudevents"),
        ("/refuse", "cloudevents"),
    ] {
        let name = format!("{}-{schema}", path.trim_start_matches('/'));
        let made = subscription(&scene, &subscriber.url(path), &["--schema", schema, "--name", &name]);
        assert_eq!(made["state"], "failed", "{made}");
        assert!(!made["detail"].as_str().expect("a reason").is_empty());
    }
    subscribe(&scene, &subscriber, "/good", &[]);
    scene.text_in("smpp", HANDSET, "Hello");
    wait_for("the text", || (!subscriber.events("/good").is_empty()).then_some(()));
    assert!(subscriber.requests("/good-elsewhere").is_empty(), "a redirect was followed");
    assert!(subscriber.requests("/wrong").iter().all(|request| request["event"].is_null()));
}

#[test]
fn a_person_may_follow_the_link_instead() {
    let scene = Scene::over_smpp_and(trusting);
    let subscriber = Subscriber::start(scene.folder(), "subscriber");
    let made = subscription(&scene, &subscriber.url("/link"), &["--wait", "0"]);
    assert_eq!(made["state"], "pending", "{made}");
    let asked = wait_for("the validation event", || subscriber.requests("/link").pop());
    let body: Value = serde_json::from_str(asked["body"].as_str().expect("a body")).expect("JSON");
    let link = body[0]["data"]["validationUrl"].as_str().expect("a link").to_owned();
    let target = link.split_once("/eventSubscriptions").expect("its path").1;
    let followed = scene.ask(&super::wire::Request::get(format!("/eventSubscriptions{target}")));
    assert_eq!(followed.status, 200);
    assert_eq!(show(&scene, "127-0-0-1")["state"], "active");
    scene.text_in("smpp", HANDSET, "Hello");
    wait_for("the text", || (!subscriber.events("/link").is_empty()).then_some(()));
}

#[test]
fn who_is_down_gets_everything_later_and_delays_nobody() {
    let scene = Scene::over_smpp_and(trusting);
    let subscriber = Subscriber::start(scene.folder(), "subscriber");
    for path in ["/good", "/down", "/hang"] {
        subscribe(&scene, &subscriber, path, &[]);
    }
    for line in 0..8 {
        scene.text_in("smpp", &format!("+120655501{line:02}"), "Hello");
    }
    let texts = |path: &str| subscriber.events(path).len();
    wait_for("the good one to have all", || (texts("/good") == 8).then_some(()));
    assert_eq!(texts("/down"), 0);
    assert!(show(&scene, "down")["waiting"].as_u64() >= Some(8));
    subscriber.mend();
    wait_up_to(PATIENCE * 2, "the one that was down to have all", || (texts("/down") == 8).then_some(()));
    wait_for("nothing to be left", || (show(&scene, "down")["waiting"] == 0).then_some(()));
    let counts: Vec<u64> = subscriber
        .requests("/down")
        .iter()
        .filter_map(|request| request["headers"]["aeg-delivery-count"].as_str()?.parse().ok())
        .collect();
    assert!(counts.iter().any(|count| *count > 0), "{counts:?}");
}

#[test]
fn what_is_refused_is_a_dead_letter_until_it_is_replayed() {
    let scene = Scene::over_smpp_and(trusting);
    let subscriber = Subscriber::start(scene.folder(), "subscriber");
    subscribe(&scene, &subscriber, "/bad", &[]);
    scene.text_in("smpp", HANDSET, "first");
    scene.text_in("smpp", HANDSET, "second");
    wait_for("two dead letters", || (show(&scene, "bad")["dead"] == 2).then_some(()));
    let dead = operator(&scene, &["dead", "--resource", "contoso", "bad"]);
    let said: Vec<&Value> =
        dead.as_array().expect("a list").iter().map(|one| &one["event"]["data"]["message"]).collect();
    assert_eq!(said, ["first", "second"]);
    assert!(dead[0]["lastError"].as_str().expect("a reason").contains("400"));

    subscriber.mend();
    let number = dead[1]["number"].to_string();
    let replayed = operator(&scene, &["replay", "--resource", "contoso", "bad", &number]);
    assert_eq!(replayed["replayed"], 1);
    let texts = || -> Vec<Value> {
        subscriber.events("/bad").iter().map(|event| event["data"]["message"].clone()).collect()
    };
    wait_for("the second", || (texts() == ["second"]).then_some(()));
    assert_eq!(operator(&scene, &["replay", "--resource", "contoso", "bad"])["replayed"], 1);
    wait_for("the first", || (texts() == ["second", "first"]).then_some(()));
    assert_eq!(operator(&scene, &["dead", "--resource", "contoso", "bad"]), json!([]));
}

#[test]
fn a_conversation_comes_in_its_order() {
    let scene = Scene::over_smpp_and(trusting);
    let subscriber = Subscriber::start(scene.folder(), "subscriber");
    subscribe(&scene, &subscriber, "/flaky", &["--schema", "cloudevents"]);
    let handsets = ["+12065550111", "+12065550112"];
    for line in 0..12 {
        scene.text_in("smpp", handsets[line % 2], &line.to_string());
    }
    let events = wait_up_to(PATIENCE * 2, "all texts", || {
        let events = subscriber.events("/flaky");
        (events.len() == 12).then_some(events)
    });
    for (at, handset) in handsets.iter().enumerate() {
        let digits = handset.trim_start_matches('+');
        let texts = events.iter().filter(|event| event["data"]["from"] == digits);
        let texts: Vec<&str> = texts.filter_map(|event| event["data"]["message"].as_str()).collect();
        let expected: Vec<String> = (at..12).step_by(2).map(|line| line.to_string()).collect();
        assert_eq!(texts, expected);
    }
}

#[test]
fn a_gateway_that_was_killed_delivers_what_it_had_promised() {
    let mut scene = Scene::over_smpp_and(trusting);
    let subscriber = Subscriber::start(scene.folder(), "subscriber");
    subscribe(&scene, &subscriber, "/down", &[]);
    for line in 0..5 {
        scene.text_in("smpp", &format!("+120655501{line:02}"), "Hello");
    }
    wait_for("all to be kept", || (show(&scene, "down")["waiting"].as_u64() == Some(5)).then_some(()));
    scene.kill();
    scene.serve();
    subscriber.mend();
    wait_up_to(PATIENCE * 2, "all texts", || (subscriber.events("/down").len() >= 5).then_some(()));
    let mut ids: Vec<String> =
        subscriber.events("/down").iter().map(|event| event["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_private_address_is_not_knocked_at() {
    let scene = Scene::over_smpp();
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("a socket");
    let port = trap.local_addr().expect("an address").port();
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
    ] {
        let made =
            subscription(&scene, &format!("https://{host}:{port}/"), &["--name", "trap", "--wait", "60"]);
        assert_eq!(made["state"], "failed", "{host}: {made}");
        assert!(made["detail"].as_str().is_some_and(|why| why.contains("private")), "{host}: {made}");
        operator(&scene, &["delete", "--resource", "contoso", "trap"]);
    }
    assert!(trap.accept().is_err(), "the gateway has connected to the trap");
    for url in ["http://127.0.0.1/", "https://user@127.0.0.1/", "ftp://app.example/", "app.example"] {
        let refused = scene.refused(&[
            "events",
            "subscribe",
            "--resource",
            "contoso",
            "--types",
            "SMSReceived",
            "--url",
            url,
        ]);
        assert!(refused.contains("the URL cannot be used"), "{url}: {refused}");
    }
}

/// Subscribes to everything, by `trunkline events subscribe`, and asserts that it is active.
fn subscribe(scene: &Scene, subscriber: &Subscriber, path: &str, more: &[&str]) {
    let name = path.trim_start_matches('/');
    let made = subscription(scene, &subscriber.url(path), &[&["--name", name], more].concat());
    assert_eq!(made["state"], "active", "{made}\n{}", scene.log());
}

/// Subscribes to everything, and returns what became of it.
fn subscription(scene: &Scene, url: &str, more: &[&str]) -> Value {
    let types = "SMSReceived,SMSDeliveryReportReceived";
    let arguments =
        ["events", "subscribe", "--json", "--resource", "contoso", "--url", url, "--types", types];
    let said = scene.attempt(&[&arguments[..], more].concat());
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}\n{}", scene.log()))
}

fn show(scene: &Scene, name: &str) -> Value {
    operator(scene, &["show", "--resource", "contoso", name])
}

/// Runs `trunkline events … --json`, and returns what it says.
fn operator(scene: &Scene, arguments: &[&str]) -> Value {
    let said = scene.command(&[&["events"], arguments, &["--json"]].concat());
    serde_json::from_str(&said).unwrap_or(Value::Null)
}

/// Returns what the official library for JavaScript makes of all events in a file.
fn parsed_by_javascript(file: &Path) -> Vec<Value> {
    let output = Command::new("node")
        .arg(script("parse.cjs"))
        .arg(file)
        .env("NODE_PATH", packages().join("sms-javascript/node_modules"))
        .output()
        .expect("Node.js");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("a list")
}
