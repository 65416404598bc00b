//! The REST plane of the real binary: HTTPS, the operator's commands, and what they do to calls.

#[path = "rest/operator.rs"]
mod operator;
#[path = "rest/overload.rs"]
mod overload;
#[path = "rest/program.rs"]
mod program;

use program::{Answer, Client, Program, config, import, invite, run};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const VERSION: &str = "api-version=2025-06-01";

/// A carrier that the numbers belong to and that answers calls, a phone of ours, and where bought numbers ring.
fn routes(sandbox: &Program) -> String {
    let port = sandbox.address("sip_udp").port();
    format!(
        "[numbers]\nfictional = true\ninbound = [\"carrier\"]\n[[trunk]]\nname = \"carrier\"\n\
         sources = [\"127.0.0.2\"]\n[[trunk.gateway]]\nhost = \"127.0.0.2\"\nport = {port}\n\
         [[trunk]]\nname = \"us\"\nsources = [\"127.0.0.1\"]\nresource = \"contoso\"\n"
    )
}

fn sandbox() -> Program {
    Program::start(&["sandbox", "--listen", "127.0.0.2:0", "--ready-json"])
}

/// Makes the resource that every request belongs to, and returns its key.
fn create(config: &Path) -> String {
    let (status, printed) =
        run(config, &["resource", "create", "--name", "contoso", "--billing-country", "US", "--json"]);
    assert_eq!(status, Some(0), "{printed}");
    let resource: Value = serde_json::from_str(&printed).unwrap();
    let string = resource["connectionString"].as_str().unwrap();
    string.split_once(";accesskey=").unwrap().1.to_owned()
}

/// Searches for a number in Seattle.
fn search(client: &Client) -> Answer {
    let wanted = json!({"phoneNumberType": "geographic", "assignmentType": "application", "areaCode": "206",
        "capabilities": {"calling": "inbound+outbound", "sms": "none"}});
    let path = format!("/availablePhoneNumbers/countries/US/:search?{VERSION}");
    client.send("POST", &path, &wanted)
}

/// Buys the first number in Seattle.
fn buy(client: &Client) -> String {
    let search = search(client);
    assert_eq!(search.status, 202, "{search:?}");
    let id = search.header("search-id").to_owned();
    let purchase = json!({ "searchId": id });
    let bought = client.send("POST", &format!("/availablePhoneNumbers/:purchase?{VERSION}"), &purchase);
    assert_eq!(bought.status, 202, "{bought:?}");
    let owned = client.send("GET", &format!("/phoneNumbers?{VERSION}"), &Value::Null);
    owned.json()["phoneNumbers"][0]["phoneNumber"].as_str().unwrap().to_owned()
}

#[test]
fn the_ca_of_the_first_run_vouches_for_the_api_and_its_key_is_for_us_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), "", "");
    create(&path);
    let gateway = Program::serve(&path);
    let ca = gateway.ready["ca_certificate"].as_str().unwrap();
    let key = Path::new(ca).with_extension("key");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    for host in ["localhost", "contoso.localhost", "127.0.0.1"] {
        let client = Client::new(&gateway, host, "");
        assert_eq!(client.send("GET", "/openapi.json", &Value::Null).status, 200, "{host}");
    }
    let metrics = gateway.address("metrics");
    let shown = program::get(metrics, "/metrics");
    let line = "trunkline_http_requests_total{operation=\"OpenApi_Get\",status=\"200\"} 3\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn a_number_rings_once_it_is_bought_and_is_refused_once_it_is_released() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    let path = config(directory.path(), "default_resource = \"contoso\"\n", &routes(&sandbox));
    let key = create(&path);
    import(&path, directory.path(), "+12065550111,carrier\n");
    let mut gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(invite(&gateway, &phone, "+12065550111"), 404, "nobody has it");

    assert_eq!(buy(&client), "+12065550111");
    gateway.logged("routes replaced");
    assert_eq!(invite(&gateway, &phone, "+12065550111"), 200);

    let released = client.send("DELETE", &format!("/phoneNumbers/%2B12065550111?{VERSION}"), &Value::Null);
    assert_eq!(released.status, 202, "{released:?}");
    gateway.logged("routes replaced");
    assert_eq!(invite(&gateway, &phone, "+12065550111"), 404, "it was given back");

    gateway.signal("-TERM");
    let log = gateway.ended_log();
    assert!(!log.iter().any(|line| line.contains("2065550111") || line.contains(&key)), "{log:#?}");
}

#[test]
fn routes_of_a_resource_decide_on_the_next_call() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    let allowed = format!("[sip_routing]\nprivate_addresses = true\n{}", routes(&sandbox));
    let path = config(directory.path(), "default_resource = \"contoso\"\n", &allowed);
    let key = create(&path);
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(invite(&gateway, &phone, "+14255550111"), 404, "no route at all");

    let port = sandbox.address("sip_udp").port();
    let patch = json!({"trunks": {"127.0.0.2": {"sipSignalingPort": port}},
        "routes": [{"name": "us", "numberPattern": "^\\+1", "trunks": ["127.0.0.2"]}]});
    let patched = client.send("PATCH", "/sip?api-version=2023-03-01", &patch);
    assert_eq!(patched.status, 200, "{patched:?}");
    gateway.logged("routes replaced");
    assert_eq!(invite(&gateway, &phone, "+14255550111"), 200);
}

/// Has a resource route its calls to `localhost`, where a carrier answers, and returns what a call ends with.
fn call_localhost(allowed: bool) -> u16 {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Program::start(&["sandbox", "--listen", "127.0.0.1:0", "--ready-json"]);
    let rest = format!("[sip_routing]\nprivate_addresses = {allowed}\n{}", routes(&sandbox));
    let path = config(directory.path(), "default_resource = \"contoso\"\n", &rest);
    let key = create(&path);
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let port = sandbox.address("sip_udp").port();
    let trunk = |host: &str| {
        let patch = json!({"trunks": {host: {"sipSignalingPort": port}},
            "routes": [{"name": "us", "numberPattern": "^\\+1", "trunks": [host]}]});
        client.send("PATCH", "/sip?api-version=2023-03-01", &patch).status
    };
    assert_eq!(trunk("127.0.0.1"), if allowed { 200 } else { 422 });
    assert_eq!(trunk("localhost"), 200, "where a name leads shows when it is looked up");
    gateway.logged("routes replaced");
    invite(&gateway, &UdpSocket::bind("127.0.0.1:0").unwrap(), "+14255550111")
}

#[test]
fn a_resource_reaches_the_network_of_the_operator_only_where_that_is_allowed() {
    assert_eq!(call_localhost(true), 200);
    assert_eq!(call_localhost(false), 500, "as for a name that is not there");
}

#[test]
fn what_an_operator_does_meanwhile_counts_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox();
    let path = config(directory.path(), "default_resource = \"contoso\"\n", &routes(&sandbox));
    let key = create(&path);
    let gateway = Program::serve(&path);
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    import(&path, directory.path(), "+12065550111,carrier\n+12065550112,carrier\n");
    gateway.logged("routes replaced");
    let client = Client::new(&gateway, "localhost", &key);
    assert_eq!(buy(&client), "+12065550111");
    gateway.logged("routes replaced");

    let (status, printed) = run(&path, &["number", "retire", "+12065550111", "+12065550112"]);
    assert_eq!(status, Some(1));
    assert!(printed.contains("+12065550111 is owned"), "{printed}");
    assert_eq!(run(&path, &["number", "retire", "--force", "+12065550111"]).0, Some(0));
    gateway.logged("routes replaced");
    assert_eq!(invite(&gateway, &phone, "+12065550111"), 404);

    let month = trunkline_storage::ledger::Month::of_unix_ms(program::now_unix_ms()).to_string();
    let statement = ["billing", "statement", "--resource", "contoso", "--month", &month, "--format"];
    let printed = run(&path, &[&statement[..], &["csv"]].concat()).1;
    assert!(printed.contains("purchase,+12065550111,"), "{printed}");
    let printed = run(&path, &[&statement[..], &["json"]].concat()).1;
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(document["totalsMinor"]["USD"], 100, "{document:#}");
}

#[test]
fn a_file_with_a_bad_row_imports_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let trunk = "[numbers]\nfictional = true\n[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.2\"]\n";
    let path = config(directory.path(), "", trunk);
    let file = directory.path().join("bad.csv");
    std::fs::write(&file, "number,trunk\n+12065550100,carrier\n+12065550101,nobody\n").unwrap();
    let (status, printed) = run(&path, &["number", "import", file.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(printed.contains("bad.csv:3: trunk: no trunk is named nobody"), "{printed}");
    let listed: Value = serde_json::from_str(&run(&path, &["number", "list", "--json"]).1).unwrap();
    assert_eq!(listed["numbers"], json!([]));

    create(&path);
    let explain =
        ["number", "explain", "--resource", "contoso", "--number-type", "geographic", "--area-code"];
    let (status, printed) = run(&path, &[&explain[..], &["416"]].concat());
    assert_eq!(status, Some(1));
    assert!(printed.contains("FAIL  AreaCode") && printed.contains("AreaCodeInvalid"), "{printed}");
    assert_eq!(run(&path, &[&explain[..], &["206"]].concat()).0, Some(0));
}

/// Writes a new certificate of localhost and its key; returns it, and the lines of `[http]` that name the files.
fn certify(directory: &Path) -> (String, String) {
    let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&chain, made.cert.pem()).unwrap();
    let http = format!("certificate = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display());
    (made.cert.pem(), http)
}

#[test]
fn a_certificate_that_changes_on_disk_is_taken_without_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let (_, http) = certify(directory.path());
    let gateway = Program::serve(&config(directory.path(), &http, ""));
    let (second, _) = certify(directory.path());
    gateway.logged("certificate replaced");
    let document = Client::trusting(&gateway, &second).send("GET", "/openapi.json", &Value::Null);
    assert_eq!(document.status, 200);
}

#[test]
fn a_certificate_is_replaced_under_open_connections_and_a_bad_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (first, http) = certify(directory.path());
    let gateway = Program::serve(&config(directory.path(), &http, ""));
    assert_eq!(gateway.ready["ca_certificate"], Value::Null);
    let mut open = Client::trusting(&gateway, &first).open();

    let (second, _) = certify(directory.path());
    gateway.signal("-HUP");
    gateway.logged("certificate replaced");
    let document = Client::trusting(&gateway, &second).send("GET", "/openapi.json", &Value::Null);
    assert_eq!(document.status, 200);
    assert_eq!(open.get("/openapi.json"), 200, "the connection from before goes on");

    std::fs::write(directory.path().join("chain.pem"), "no certificate at all").unwrap();
    gateway.signal("-HUP");
    gateway.logged("the new certificate cannot be used; the old one stays");
    let document = Client::trusting(&gateway, &second).send("GET", "/openapi.json", &Value::Null);
    assert_eq!(document.status, 200);
}

#[test]
fn rule_tables_are_read_again_and_a_bad_file_keeps_the_old_ones() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.toml");
    let built_in = include_str!("../../numbers/data/rules.toml");
    std::fs::write(&rules, built_in).unwrap();
    let rest = "[numbers]\nrules = \"rules.toml\"\nfictional = true\n[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.2\"]\n";
    let path = config(directory.path(), "default_resource = \"contoso\"\n", rest);
    let key = create(&path);
    import(&path, directory.path(), "+14165550100,carrier\n");
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let wanted = json!({"phoneNumberType": "geographic", "assignmentType": "application",
        "capabilities": {"calling": "inbound+outbound", "sms": "none"}});
    let search = || {
        client.send("POST", &format!("/availablePhoneNumbers/countries/CA/:search?{VERSION}"), &wanted).status
    };
    assert_eq!(search(), 404, "numbers of Canada are not offered");

    std::fs::write(&rules, built_in.replace("active = \"us-ca-preview\"", "active = \"acs-ga\"")).unwrap();
    gateway.signal("-HUP");
    gateway.logged("rule tables replaced");
    assert_eq!(search(), 202);

    std::fs::write(&rules, built_in.replace("schema = 1", "schema = 2")).unwrap();
    gateway.signal("-HUP");
    gateway.logged("the rule tables were not reloaded; the old ones stay in force");
    assert_eq!(search(), 202);
}

#[test]
fn slow_clients_are_left_and_hold_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let limits = "[http.limits]\nper_source_max = 20\nhandshake_secs = 1\nheader_secs = 1\nbody_secs = 1\n";
    let path = config(directory.path(), &format!("default_resource = \"contoso\"\n{limits}"), "");
    let key = create(&path);
    let gateway = Program::serve(&path);
    let client = Client::new(&gateway, "localhost", &key);
    let silent: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(gateway.address("https")).unwrap()).collect();
    let mut half_a_header = client.open();
    half_a_header.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    let request = client.signed("PATCH", "/sip?api-version=2023-03-01", &json!({"routes": []}));
    let mut half_a_body = client.open();
    half_a_body.write(&request.as_bytes()[..request.len() - 1]);

    assert_eq!(client.send("GET", "/openapi.json", &Value::Null).status, 200, "meanwhile");
    for mut stream in silent {
        stream.set_read_timeout(Some(program::PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "closed by the gateway");
    }
    assert_eq!(half_a_header.read_to_end(), "", "closed without an answer");
    let answer = half_a_body.read_to_end();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn connections_beyond_the_limit_are_closed_and_the_rest_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = Program::serve(&config(directory.path(), "[http.limits]\nper_source_max = 2\n", ""));
    let client = Client::new(&gateway, "localhost", "");
    let (mut first, _second) = (client.open(), client.open());
    assert_eq!(first.get("/openapi.json"), 200);
    let mut third = TcpStream::connect(gateway.address("https")).unwrap();
    third.set_read_timeout(Some(program::PATIENCE)).unwrap();
    // Whether the close is seen as an end or as a reset is the system's choice.
    let _ = third.write_all(b"\x16");
    assert_eq!(third.read(&mut [0; 16]).unwrap_or(0), 0);
    assert_eq!(first.get("/openapi.json"), 200);
}
