//! The operator's commands on the database of a gateway that runs meanwhile.

use crate::program::{self, Client, Program, config, import, run};
use crate::{VERSION, buy, create, search};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const DEFAULT: &str = "default_resource = \"contoso\"\n";
const CARRIER: &str =
    "[numbers]\nfictional = true\n[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.2\"]\n";

/// Runs a command that has to succeed.
fn done(config: &Path, arguments: &[&str]) -> String {
    let (status, printed) = run(config, arguments);
    assert_eq!(status, Some(0), "{arguments:?}: {printed}");
    printed
}

/// Runs a command that has to fail, and returns what it says.
fn fails(config: &Path, arguments: &[&str]) -> String {
    let (status, printed) = run(config, arguments);
    assert_eq!(status, Some(1), "{arguments:?}: {printed}");
    printed
}

fn document(config: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(config, &[arguments, &["--json"]].concat())).unwrap()
}

fn key(document: &Value, string: &str) -> String {
    document[string].as_str().unwrap().split_once(";accesskey=").unwrap().1.to_owned()
}

/// Asks until the answer is that: the gateway hears of what another program wrote a moment later.
fn becomes(status: u16, ask: impl Fn() -> u16) {
    let began = Instant::now();
    loop {
        let answer = ask();
        if answer == status {
            return;
        }
        assert!(began.elapsed() < program::PATIENCE, "{answer} and not {status}");
    }
}

fn owned(client: &Client) -> u16 {
    client.send("GET", &format!("/phoneNumbers?{VERSION}"), &Value::Null).status
}

#[test]
fn a_rotated_key_is_refused_and_the_new_one_and_the_other_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), DEFAULT, "");
    let old = create(&path);
    let gateway = Program::serve(&path);
    let client = |key: &str| Client::new(&gateway, "localhost", key);
    assert_eq!(owned(&client(&old)), 200);
    let secondary =
        key(&document(&path, &["resource", "show", "contoso", "--keys"]), "secondaryConnectionString");

    let rotated = document(&path, &["resource", "rotate-keys", "contoso", "--key", "primary"]);
    let new = key(&rotated, "connectionString");
    becomes(401, || owned(&client(&old)));
    assert_eq!(owned(&client(&new)), 200);
    assert_eq!(owned(&client(&secondary)), 200);

    done(&path, &["resource", "rotate-keys", "contoso", "--key", "secondary"]);
    becomes(401, || owned(&client(&secondary)));
    assert_eq!(owned(&client(&new)), 200);
}

#[test]
fn resources_are_listed_and_shown_without_their_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), "", "");
    let secret = create(&path);
    done(
        &path,
        &["resource", "create", "--name", "fabrikam", "--class", "trial", "--host", "sip.example:8443"],
    );
    let listed = document(&path, &["resource", "list"]);
    let names: Vec<_> =
        listed["resources"].as_array().unwrap().iter().map(|resource| &resource["name"]).collect();
    assert_eq!(names, ["contoso", "fabrikam"]);
    let shown = document(&path, &["resource", "show", "fabrikam"]);
    assert_eq!(shown["hosts"], json!(["sip.example"]));
    assert_eq!((&shown["class"], &shown["billingCountry"]), (&json!("trial"), &Value::Null));
    for arguments in [&["resource", "list"][..], &["resource", "show", "contoso"]] {
        let printed = done(&path, arguments);
        assert!(printed.contains("resource contoso (active)"), "{printed}");
        assert!(!printed.contains("accesskey") && !printed.contains(&secret), "{printed}");
    }
    let printed = fails(&path, &["resource", "show", "nobody"]);
    assert!(printed.contains("there is no resource \"nobody\""), "{printed}");
    let printed = fails(&path, &["resource", "create", "--name", "contoso"]);
    assert!(printed.contains("belongs to another resource"), "{printed}");
}

#[test]
fn a_billing_record_and_a_deletion_count_for_the_running_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), DEFAULT, CARRIER);
    let secret = create(&path);
    import(&path, directory.path(), "+12065550111,carrier\n+12065550112,carrier\n");
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &secret);
    assert_eq!(buy(&client), "+12065550111");

    let printed = done(&path, &["resource", "set-billing-profile", "contoso", "--billing-country", "FR"]);
    assert!(printed.contains("billing country    FR, verified"), "{printed}");
    becomes(403, || search(&client).status);
    assert_eq!(search(&client).json()["error"]["code"], "BillingCountryNotEligible");
    done(&path, &["resource", "set-billing-profile", "contoso", "--billing-country", "CA"]);
    becomes(202, || search(&client).status);

    let printed = fails(&path, &["resource", "delete", "contoso"]);
    assert!(printed.contains("resource contoso still owns numbers"), "{printed}");
    let printed = done(&path, &["resource", "delete", "contoso", "--release-numbers"]);
    assert!(printed.contains("1 numbers were released"), "{printed}");
    becomes(401, || owned(&client));
    assert_eq!(document(&path, &["resource", "list"])["resources"], json!([]));
    let shown = document(&path, &["number", "show", "+12065550111"]);
    assert_eq!(shown["state"], "releasing", "{shown:#}");
}

#[test]
fn a_number_is_shown_with_its_history_and_one_in_quarantine_is_not_sold() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), DEFAULT, CARRIER);
    let secret = create(&path);
    import(&path, directory.path(), "+12065550111,carrier\n+12065550112,carrier\n");
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &secret);
    assert_eq!(buy(&client), "+12065550111");
    let printed = done(&path, &["number", "show", "+12065550111"]);
    assert!(printed.contains("assigned") && printed.contains("owned by contoso from"), "{printed}");

    let printed = fails(&path, &["number", "quarantine", "+12065550111", "+12065550112"]);
    assert!(printed.contains("nothing was changed\n  +12065550111 is owned"), "{printed}");
    done(&path, &["number", "quarantine", "+12065550112", "--days", "7"]);
    let listed = document(&path, &["number", "list", "--state", "quarantine"]);
    assert_eq!(listed["numbers"][0]["number"], "+12065550112", "{listed:#}");
    let begun = search(&client);
    let operation = format!("/phoneNumbers/operations/{}?{VERSION}", begun.header("operation-id"));
    let operation = client.send("GET", &operation, &Value::Null).json();
    assert_eq!(operation["status"], "failed", "nothing is left to be sold: {operation:#}");
    let printed = done(&path, &["number", "show", "+12065550112"]);
    assert!(printed.contains("-> quarantine, by operator"), "{printed}");
    let printed = fails(&path, &["number", "show", "+12065550199"]);
    assert!(printed.contains("+12065550199 is not in the inventory"), "{printed}");
}

#[test]
fn a_statement_for_people_lists_each_charge_and_the_total() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), DEFAULT, CARRIER);
    let secret = create(&path);
    import(&path, directory.path(), "+12065550111,carrier\n");
    let gateway = Program::serve(&path);
    buy(&Client::new(&gateway, "localhost", &secret));

    let month = trunkline_storage::ledger::Month::of_unix_ms(program::now_unix_ms()).to_string();
    let printed = done(&path, &["billing", "statement", "--resource", "contoso", "--month", &month]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{printed}");
    assert_eq!(lines[0], format!("statement of contoso for {month} (UTC)"));
    assert!(lines[1].contains("purchase    +12065550111") && lines[1].contains("1.00 USD"), "{printed}");
    assert_eq!(lines[2], "total 1.00 USD");
    let printed = done(&path, &["billing", "statement", "--resource", "contoso", "--month", "2001-01"]);
    assert_eq!(printed, "statement of contoso for 2001-01 (UTC)\n  nothing\n");
}

#[test]
fn a_saved_invite_is_decided_by_numbers_and_routes_of_the_database_too() {
    let directory = tempfile::tempdir().unwrap();
    let trunks = "[numbers]\nfictional = true\ninbound = [\"carrier\"]\n[[trunk]]\nname = \"carrier\"\n\
                  sources = [\"192.0.2.0/24\"]\n[[trunk.gateway]]\nhost = \"192.0.2.1\"\n\
                  [[trunk]]\nname = \"pbx\"\nsources = [\"198.51.100.5\"]\nresource = \"contoso\"\n";
    let path = config(directory.path(), DEFAULT, trunks);
    let saved = directory.path().join("invite.txt");
    let decide = |number: &str, source: &str| {
        let invite = format!(
            "INVITE sip:{number}@192.0.2.200 SIP/2.0\nVia: SIP/2.0/UDP {source};branch=z9hG4bK1\n\
             From: <sip:+14255550199@{source}>;tag=1\nTo: <sip:{number}@192.0.2.200>\nCall-ID: 1\n\
             CSeq: 1 INVITE\nMax-Forwards: 70\nContact: <sip:{source}>\n"
        );
        std::fs::write(&saved, invite).unwrap();
        run(&path, &["trunk", "match", saved.to_str().unwrap()])
    };
    let (status, printed) = decide("+12065550111", "192.0.2.7");
    assert_eq!(status, Some(1), "{printed}");
    assert!(!directory.path().join("trunkline.db").exists(), "looking makes no database");

    let secret = create(&path);
    import(&path, directory.path(), "+12065550111,carrier\n+12065550112,carrier\n");
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &secret);
    assert_eq!(buy(&client), "+12065550111");
    let (status, printed) = decide("+12065550111", "192.0.2.7");
    assert_eq!(status, Some(0), "{printed}");
    assert!(printed.contains("DID +12065550111"), "{printed}");
    let (status, printed) = decide("+12065550112", "192.0.2.7");
    assert_eq!(status, Some(1), "{printed}");
    assert!(printed.contains("refused with 404"), "{printed}");

    let patch = json!({"trunks": {"sbc.contoso.com": {"sipSignalingPort": 5061}},
        "routes": [{"name": "us", "numberPattern": "^\\+1", "trunks": ["sbc.contoso.com"]}]});
    assert_eq!(client.send("PATCH", "/sip?api-version=2023-03-01", &patch).status, 200);
    let (status, printed) = decide("+13035550100", "198.51.100.5");
    assert_eq!(status, Some(0), "{printed}");
    assert!(printed.contains("sbc.contoso.com"), "{printed}");
}
