//! Power cuts: the gateway is killed while texts pass, again and again, and nothing that it said yes to is lost.

use super::scene::Scene;
use super::wire::{Connection, Request, Resource, Trust};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;
use trunkline_tests::peers::{PATIENCE, wait_up_to};

/// How often the gateway is killed, unless TRUNKLINE_SMS_KILLS says so.
const KILLS: u32 = 20;

/// The carrier's window: what is on its way when the power fails may come twice.
const WINDOW: usize = 10;

/// Recipients of one request.
const RECIPIENTS: [&str; 5] =
    ["+14255550100", "+12065550100", "+13125550100", "+12125550100", "+14155550100"];

/// Where handsets are that opt out.
const AREAS: [&str; 10] = ["425", "206", "312", "212", "415", "503", "617", "702", "303", "404"];

/// Most requests of a round: the gateway is killed before, and its carrier has its receipts acknowledged in time.
const REQUESTS_MAX: u32 = 150;

/// Between two requests, so that traffic goes on until the power fails.
const PACE: Duration = Duration::from_millis(5);

/// What the gateway said yes to: ids of messages, by recipient and text.
type Accepted = BTreeMap<(String, String), String>;

#[test]
fn every_text_that_was_accepted_reaches_the_carrier_whatever_the_gateway_was_killed_at() {
    let kills = std::env::var("TRUNKLINE_SMS_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut scene = Scene::over_smpp();
    let (mut accepted, mut ledger) = (Accepted::new(), BTreeMap::new());
    let mut silent: BTreeMap<String, u64> = BTreeMap::new();
    for kill in 0..kills {
        if kill > 0 {
            scene.serve();
        }
        // These endings do nothing but take texts.
        let area = AREAS[kill as usize / 20 % AREAS.len()];
        let handset = format!("+1{area}55501{}", 80 + kill % 20);
        let quiet: Vec<String> = silent.keys().cloned().collect();
        thread::scope(|threads| {
            let sender = threads.spawn(|| send_until_killed(&scene, kill, &handset, &quiet));
            // Texts to it are on their way when its owner has had enough.
            scene.text_in("smpp", &handset, "STOP");
            // It comes behind the receipts that the carrier has.
            wait_up_to(PATIENCE * 3, "the opt-out", || {
                scene.command(&["sms", "opt-outs", &handset]).contains(&handset).then_some(())
            });
            silent.insert(handset.clone(), last_serial(&scene));
            thread::sleep(Duration::from_millis(random.random_range(20..250)));
            scene.signal_kill();
            accepted.extend(sender.join().expect("the sender ends"));
        });
        scene.kill();
        ledger.extend(received(&scene));
    }
    scene.serve();
    assert!(accepted.len() as u32 > kills * 20, "{} texts in {kills} rounds", accepted.len());

    let ends = wait_up_to(PATIENCE * 10, "every message to end", || {
        let said = scene.command(&["sms", "list", "--limit", "65535", "--json"]);
        let listed: Vec<Value> = serde_json::from_str(&said).expect("JSON");
        listed.iter().all(|message| message["state"] == "ended").then_some(listed)
    });
    ledger.extend(received(&scene));
    check(&accepted, &ends, &ledger, &silent, kills);
}

/// Sends texts until the gateway is gone; returns what it said yes to.
fn send_until_killed(scene: &Scene, kill: u32, handset: &str, quiet: &[String]) -> Accepted {
    let mut accepted = Accepted::new();
    let resource = Resource::parse(scene.connection());
    let port = scene.connection().split("localhost:").nth(1).and_then(|rest| rest.split('/').next());
    let port = port.and_then(|port| port.parse().ok()).expect("a port");
    let trust = Trust::read(&scene.authority());
    let Ok(mut connection) = Connection::open(port, &trust) else { return accepted };
    for serial in 0..REQUESTS_MAX {
        thread::sleep(PACE);
        let text = format!("Text {serial} of round {kill}");
        let always = RECIPIENTS.iter().map(|to| (*to).to_owned());
        let to = always.chain([handset.to_owned()]).chain(quiet.last().cloned());
        let to: Vec<Value> = to.map(|to| json!({ "to": to })).collect();
        let body = json!({ "from": scene.number, "message": text, "smsRecipients": to });
        let request = Request::post("/sms?api-version=2021-03-07", &body);
        let Ok(answer) = connection.exchange(&resource.sign(&request)) else { break };
        if answer.puts_off() {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        assert_eq!(answer.status, 202, "{answer:?}");
        for result in answer.json()["value"].as_array().expect("results") {
            if result["httpStatusCode"] == 202 {
                let id = result["messageId"].as_str().expect("an id").to_owned();
                accepted.insert((result["to"].as_str().expect("a number").to_owned(), text.clone()), id);
            }
        }
    }
    accepted
}

/// Returns what the sandbox has received, by its serials.
fn received(scene: &Scene) -> BTreeMap<u64, Value> {
    let attempts = scene.received("smpp").into_iter();
    attempts.map(|attempt| (attempt["serial"].as_u64().expect("a serial"), attempt)).collect()
}

fn last_serial(scene: &Scene) -> u64 {
    received(scene).last_key_value().map_or(0, |(serial, _)| *serial)
}

fn check(
    accepted: &Accepted,
    ends: &[Value],
    ledger: &BTreeMap<u64, Value>,
    silent: &BTreeMap<String, u64>,
    kills: u32,
) {
    let mut came: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (serial, attempt) in ledger {
        let to = format!("+{}", attempt["to"].as_str().expect("a number"));
        if let Some(since) = silent.get(&to) {
            assert!(serial <= since, "a text for {to} went out after its STOP was on disk");
        }
        let text = attempt["text"].as_str().expect("a text").to_owned();
        *came.entry((to, text)).or_default() += 1;
    }
    let flagged: BTreeSet<&str> = ends
        .iter()
        .filter(|message| message["possibleDuplicate"] == true)
        .filter_map(|message| message["id"].as_str())
        .collect();
    let ended: BTreeMap<&str, &Value> =
        ends.iter().filter_map(|message| Some((message["id"].as_str()?, message))).collect();
    let mut twice = 0;
    for ((to, text), id) in accepted {
        let end = ended.get(id.as_str()).unwrap_or_else(|| panic!("{id} is not known any more"));
        let times = came.get(&(to.clone(), text.clone())).copied().unwrap_or(0);
        if end["code"] == 4007 {
            continue;
        }
        assert!(times >= 1, "{to} {text} never came to the carrier: {end}");
        assert_eq!(end["outcome"], "delivered", "{end}");
        if times > 1 {
            twice += times - 1;
            assert!(flagged.contains(id.as_str()), "{to} {text} came {times} times and is not marked: {end}");
        }
    }
    assert!(twice <= WINDOW * kills as usize, "{twice} texts came twice in {kills} rounds");
}
