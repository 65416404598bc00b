use super::*;
use crate::party::Sender;
use crate::receipt::{CarrierId, Receipt, State};
use crate::status::{Class, CommandStatus, StatusTable};
use aws_lc_rs::{hmac, rand, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;
use trunkline_model::E164;

const TWILIO: &str = include_str!("../../../../config/carriers/twilio.toml");
const TELNYX: &str = include_str!("../../../../config/carriers/telnyx.toml");
const BANDWIDTH: &str = include_str!("../../../../config/carriers/bandwidth.toml");
const SANDBOX: &str = include_str!("../../../../config/carriers/sandbox.toml");
const NOW: i64 = 1_795_735_728;

fn carrier(description: &str, variables: &[(&str, &str)]) -> Carrier {
    let description: Description = toml::from_str(description).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Carrier::new(&description, &variables.collect()).unwrap()
}

fn twilio() -> Carrier {
    carrier(
        TWILIO,
        &[("account", "AC07"), ("token", "12345"), ("hooks", "https://sms.example/carriers/twilio")],
    )
}

fn bandwidth() -> Carrier {
    carrier(
        BANDWIDTH,
        &[
            ("account", "7"),
            ("user", "u"),
            ("password", "p"),
            ("application", "app"),
            ("hook_user", "hook"),
            ("hook_password", "secret"),
            ("hooks", "https://sms.example/carriers/bandwidth"),
        ],
    )
}

fn sandbox() -> Carrier {
    carrier(SANDBOX, &[("url", "http://127.0.0.2:2776"), ("key", "k"), ("hooks", "https://h")])
}

fn request(carrier: &Carrier, text: &str) -> Request {
    carrier.request(&Outgoing {
        id: "Outgoing_1",
        from: &Sender::parse("+14255550100").unwrap(),
        to: &E164::parse("+12065550111").unwrap(),
        text,
        receipts: true,
        validity_left: Duration::from_secs(3_600),
    })
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    &request.headers.iter().find(|(known, _)| known == name).unwrap().1
}

fn received<'a>(url: &'a str, headers: &'a [(String, String)], body: &'a [u8]) -> Received<'a> {
    Received { url, headers, body, now_unix: NOW }
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn report(id: &str, state: State, error: Option<&str>, from: &str, to: &str) -> HookEvent {
    let id = CarrierId::parse(id).unwrap();
    let receipt = Receipt { id, state, error: error.map(Into::into), done_unix: None };
    HookEvent::Report { receipt, from: from.into(), to: to.into() }
}

fn text(id: &str, text: &str) -> HookEvent {
    let (from, to) = ("+12065550111".into(), "+14255550100".into());
    HookEvent::Text { id: id.into(), from, to, text: text.into() }
}

#[test]
fn twilio_is_sent_a_form_with_basic_credentials() {
    let request = request(&twilio(), "a&b=ü €");
    assert_eq!(request.url, "https://api.twilio.com/2010-04-01/Accounts/AC07/Messages.json");
    assert_eq!(header(&request, "Authorization"), "Basic QUMwNzoxMjM0NQ==");
    assert_eq!(header(&request, "Content-Type"), "application/x-www-form-urlencoded");
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        "Body=a%26b%3D%C3%BC+%E2%82%AC&From=%2B14255550100&\
         StatusCallback=https%3A%2F%2Fsms.example%2Fcarriers%2Ftwilio%2Freports&To=%2B12065550111"
    );
}

#[test]
fn answers_are_read_by_status_and_by_the_carriers_own_codes() {
    let twilio = twilio();
    let refused = |status, error: Option<&str>| Sent::Refused {
        status: CommandStatus(status),
        error: error.map(Into::into),
        retry_after: None,
    };
    assert_eq!(
        twilio.response(201, None, br#"{"sid":"SM1","code":null}"#),
        Sent::Accepted { id: Some("SM1".into()) }
    );
    assert_eq!(twilio.response(201, None, b""), Sent::Accepted { id: None });
    assert_eq!(twilio.response(400, None, br#"{"code":21610}"#), refused(0x66, Some("21610")));
    assert_eq!(twilio.response(400, None, br#"{"code":1}"#), refused(0x400, Some("1")));
    assert_eq!(twilio.response(401, None, b"{}"), refused(0x0d, None));
    assert_eq!(twilio.response(502, None, b"<html>"), refused(0x08, None));
    // Only 201 is success here.
    assert_eq!(twilio.response(200, None, b"{}"), refused(0x08, None));
    let Sent::Refused { retry_after, .. } = twilio.response(429, Some("7"), b"{}") else { panic!() };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
    let table = StatusTable::default();
    assert_eq!(table.class(CommandStatus(0x400 + 22)), Class::Final);
}

#[test]
fn refusals_inside_a_success_are_refusals() {
    let sandbox = sandbox();
    let Sent::Refused { status, .. } = sandbox.response(202, None, br#"{"error":"0x14"}"#) else { panic!() };
    assert_eq!(status, CommandStatus::MESSAGE_QUEUE_FULL);
}

#[test]
fn twilios_signature_covers_the_url_and_the_sorted_fields() {
    // The worked example of Twilio's documentation of webhook security.
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let body =
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    let signed = headers(&[("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")]);
    // It is signed by the carrier, and has none of the fields of a report.
    assert_eq!(twilio().receive("reports", &received(url, &signed, body)), Err(HookError::Unreadable));
    let forged = headers(&[("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B9=")]);
    for headers in [&forged[..], &headers(&[("x-twilio-signature", "\u{fffd}")])] {
        assert_eq!(twilio().receive("reports", &received(url, headers, body)), Err(HookError::Forged));
    }
    assert_eq!(twilio().receive("reports", &received(url, &[], body)), Err(HookError::Unsigned));
    assert_eq!(twilio().receive("nothing", &received(url, &signed, body)), Err(HookError::Unknown));
}

#[test]
fn twilio_reports_and_texts() {
    let sign = |url: &str, fields: &[(&str, &str)]| {
        let mut sorted = fields.to_vec();
        sorted.sort();
        let signed: String = sorted.iter().map(|(key, value)| format!("{key}{value}")).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
        let tag = hmac::sign(&key, format!("{url}{signed}").as_bytes());
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        (headers(&[("X-Twilio-Signature", &BASE64.encode(tag))]), body)
    };
    let numbers = [("From", "+12065550111"), ("To", "+14255550100")];
    let (signed, body) = sign("u", &[&numbers[..], &[("MessageSid", "SM2"), ("Body", "STOP & go")]].concat());
    let read = twilio().receive("texts", &received("u", &signed, body.as_bytes()));
    assert_eq!(read, Ok(vec![text("SM2", "STOP & go")]));

    let numbers = [("To", "+12065550111"), ("From", "+14255550100")];
    let failed = [("MessageSid", "SM1"), ("MessageStatus", "undelivered"), ("ErrorCode", "30003")];
    let (signed, body) = sign("u", &[&numbers[..], &failed].concat());
    let read = twilio().receive("reports", &received("u", &signed, body.as_bytes()));
    let expected = report("SM1", State::Undeliverable, Some("30003"), "+14255550100", "+12065550111");
    assert_eq!(read, Ok(vec![expected]));
    let (signed, body) = sign("u", &[("MessageSid", "SM1"), ("MessageStatus", "invented")]);
    assert_eq!(twilio().receive("reports", &received("u", &signed, body.as_bytes())), Ok(vec![]));
}

#[test]
fn telnyx_signs_with_ed25519_and_tells_everything_on_one_path() {
    use signature::KeyPair as _;
    let random = rand::SystemRandom::new();
    let pair = signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = signature::Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
    let public = BASE64.encode(pair.public_key());
    let telnyx = carrier(TELNYX, &[("key", "KEY"), ("public_key", &public), ("hooks", "https://h")]);
    let request = request(&telnyx, "Hi");
    assert_eq!(header(&request, "Authorization"), "Bearer KEY");
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let expected = json!({"from": "+14255550100", "to": "+12065550111", "text": "Hi", "webhook_url": "https://h/events"});
    assert_eq!(body, expected);
    assert_eq!(
        telnyx.response(200, None, br#"{"data":{"id":"a-1"}}"#),
        Sent::Accepted { id: Some("a-1".into()) }
    );

    let receive = |unix: i64, body: &serde_json::Value| {
        let body = body.to_string();
        let tag = BASE64.encode(pair.sign(format!("{unix}|{body}").as_bytes()));
        let headers = headers(&[("Telnyx-Signature-Ed25519", &tag), ("Telnyx-Timestamp", &unix.to_string())]);
        telnyx.receive("events", &received("", &headers, body.as_bytes()))
    };
    let payload = json!({"id": "a-1", "from": {"phone_number": "+14255550100"}, "text": "Hi",
        "to": [{"phone_number": "+12065550111", "status": "delivery_failed"}], "errors": [{"code": "40001"}]});
    let finalized = json!({"data": {"event_type": "message.finalized", "payload": payload}});
    let expected = report("a-1", State::Undeliverable, Some("40001"), "+14255550100", "+12065550111");
    assert_eq!(receive(NOW - 300, &finalized), Ok(vec![expected]));
    assert_eq!(receive(NOW - 301, &finalized), Err(HookError::Stale));
    assert_eq!(receive(NOW + 301, &finalized), Err(HookError::Stale));
    let payload = json!({"id": "b", "from": {"phone_number": "+12065550111"}, "text": "Yes",
        "to": [{"phone_number": "+14255550100"}]});
    assert_eq!(
        receive(NOW, &json!({"data": {"event_type": "message.received", "payload": payload}})),
        Ok(vec![text("b", "Yes")])
    );
    assert_eq!(receive(NOW, &json!({"data": {"event_type": "call.hangup"}})), Ok(vec![]));
}

#[test]
fn bandwidth_tells_in_arrays_with_basic_credentials() {
    let bandwidth = bandwidth();
    let request = request(&bandwidth, "Hi");
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["to"], json!(["+12065550111"]));
    assert_eq!(body["tag"], "Outgoing_1");

    let body = json!([
        {"type": "message-delivered", "to": "+12065550111", "message": {"id": "m1", "from": "+14255550100"}},
        {"type": "message-failed", "to": "+12065550111", "errorCode": 4405, "message": {"id": "m2", "from": "+14255550100"}},
        {"type": "message-received", "to": "+14255550100", "message": {"id": "m3", "from": "+12065550111", "text": ""}},
        {"type": "message-read"},
    ]);
    let body = body.to_string();
    let right = headers(&[("authorization", "Basic aG9vazpzZWNyZXQ=")]);
    let read = bandwidth.receive("events", &received("", &right, body.as_bytes()));
    let expected = vec![
        report("m1", State::Delivered, None, "+14255550100", "+12065550111"),
        report("m2", State::Undeliverable, Some("4405"), "+14255550100", "+12065550111"),
        text("m3", ""),
    ];
    assert_eq!(read, Ok(expected));
    let wrong = headers(&[("authorization", "Basic aG9vazpzZWNyZXQ")]);
    assert_eq!(bandwidth.receive("events", &received("", &wrong, body.as_bytes())), Err(HookError::Forged));
    let many = serde_json::Value::from(vec![json!({}); 101]).to_string();
    assert_eq!(bandwidth.receive("events", &received("", &right, many.as_bytes())), Err(HookError::TooMany));
}

#[test]
fn an_hmac_covers_the_time_and_the_body() {
    let sandbox = sandbox();
    let body = r#"{"events":[{"type":"report","id":"9","state":"DELIVRD","error":"000"}]}"#;
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"k");
    let tag = hmac::sign(&key, format!("{NOW}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    let with = |tag: &str, unix: i64| {
        let headers = headers(&[
            ("X-Sandbox-Signature", &format!("sha256={tag}")),
            ("X-Sandbox-Timestamp", &unix.to_string()),
        ]);
        sandbox.receive("events", &received("", &headers, body.as_bytes()))
    };
    assert_eq!(with(&hex, NOW), Ok(vec![report("9", State::Delivered, Some("000"), "", "")]));
    for bad in [&hex[1..], "", "zz", "é"] {
        assert_eq!(with(bad, NOW), Err(HookError::Forged), "{bad}");
    }
    assert_eq!(with(&hex, NOW - 1), Err(HookError::Forged));
}

#[test]
fn numbers_and_booleans_are_sent_as_such() {
    let body: serde_json::Value = serde_json::from_slice(&request(&sandbox(), "Hi").body).unwrap();
    assert_eq!((&body["receipt"], &body["validitySecs"]), (&json!(true), &json!(3600)));
}

#[test]
fn what_is_filled_in_breaks_out_of_nothing() {
    let description = r#"
        [send]
        url = "https://c.example/{id}?t={text}"
        headers = { X-Text = "{text}" }
        form = { t = "{text}" }
        id = "id"
    "#;
    let request = request(&carrier(description, &[]), "a/b?c&d\r\nX: {to} ü");
    assert_eq!(request.url, "https://c.example/Outgoing_1?t=a%2Fb%3Fc%26d%0D%0AX%3A%20%7Bto%7D%20%C3%BC");
    assert_eq!(header(&request, "X-Text"), "a/b?c&d%0D%0AX: {to} %C3%BC");
}

#[test]
fn descriptions_that_make_no_carrier_say_why() {
    let fault = |changes: &str| {
        let text = format!("{changes}\nid = \"id\"");
        let description: Description = toml::from_str(&text).unwrap();
        Carrier::new(&description, &BTreeMap::from([("empty".into(), String::new())])).unwrap_err()
    };
    let send = "[send]\nurl = \"https://c.example\"";
    assert_eq!(
        fault("[send]\nurl = \"{nobody}\"\nform = {}"),
        InvalidDescription::UnknownName("nobody".into())
    );
    assert_eq!(fault("[send]\nurl = \"{id\"\nform = {}"), InvalidDescription::UnpairedBrace("{id".into()));
    assert_eq!(fault(send), InvalidDescription::Body);
    assert_eq!(fault(&format!("{send}\nform = {{}}\njson = {{}}")), InvalidDescription::Body);
    assert_eq!(
        fault(&format!("{send}\nmethod = \"A B\"\nform = {{}}")),
        InvalidDescription::NotHttp("A B".into())
    );
    let hook = |hook: &str| {
        let description: Description =
            toml::from_str(&format!("{send}\nid = \"id\"\nform = {{}}\n[[hook]]\n{hook}")).unwrap();
        Carrier::new(&description, &BTreeMap::from([("empty".into(), String::new())])).unwrap_err()
    };
    let text = "text = { id = \"i\", from = \"f\", to = \"t\", text = \"x\" }";
    let bearer = "signature = { kind = \"bearer\", token = \"x\" }";
    assert_eq!(hook(&format!("path = \"a/b\"\n{bearer}\n{text}")), InvalidDescription::Path("a/b".into()));
    assert_eq!(hook(&format!("path = \"a\"\n{bearer}")), InvalidDescription::Kind("a".into()));
    let empty = "signature = { kind = \"bearer\", token = \"{empty}\" }";
    assert_eq!(hook(&format!("path = \"a\"\n{empty}\n{text}")), InvalidDescription::Key);
    let unsigned = "signature = { kind = \"hmac\", header = \"h\", key = \"k\", signed = \"{url}\" }";
    assert_eq!(hook(&format!("path = \"a\"\n{unsigned}\n{text}")), InvalidDescription::Key);
    let twilio = "signature = { kind = \"twilio\", key = \"k\" }";
    assert_eq!(hook(&format!("path = \"a\"\n{twilio}\n{text}")), InvalidDescription::NeedsForm("a".into()));
    let twice = format!("path = \"a\"\n{bearer}\n{text}\n");
    assert_eq!(hook(&format!("{twice}[[hook]]\n{twice}")), InvalidDescription::Twice("a".into()));
}

#[test]
fn debug_tells_no_secrets() {
    let twilio = twilio();
    let request = request(&twilio, "private");
    for shown in [format!("{twilio:?}"), format!("{request:?}"), format!("{:?}", text("1", "private"))] {
        assert!(
            !shown.contains("12345") && !shown.contains("private") && !shown.contains("5550111"),
            "{shown}"
        );
    }
}

proptest! {
    #[test]
    fn no_answer_and_no_webhook_breaks_the_reader(status: u16, body: Vec<u8>, after: String) {
        let _ = twilio().response(status, Some(&after), &body);
        let right = headers(&[("authorization", "Basic aG9vazpzZWNyZXQ=")]);
        let _ = bandwidth().receive("events", &received("", &right, &body));
        let any = headers(&[("x-sandbox-signature", &after), ("x-sandbox-timestamp", &after)]);
        let _ = sandbox().receive("events", &received("", &any, &body));
    }
}
