//! A request of which a single bit is not as it was signed is refused.

use super::edge::{Edge, Rules};
use super::wire::{Answer, Connection, Request, Resource};
use serde_json::json;
use std::io;
use std::ops::Range;

const USERS: &str = "/identities?api-version=2023-10-01";

/// Where a part of a signed request is among its bytes.
struct Part {
    name: &'static str,
    bytes: Range<usize>,
}

/// A gateway and a connection to it, opened again when the gateway has closed it.
struct Line<'a> {
    edge: &'a Edge,
    connection: Option<Connection>,
}

#[test]
fn any_flipped_bit_of_date_host_hash_signature_or_body_is_401() {
    let edge = Edge::start(Rules::WIDE);
    let mut line = Line { edge: &edge, connection: None };
    let request = Request::post(USERS, &json!({ "createTokenWithScopes": ["voip"] }));
    let signed = edge.eligible().sign(&request);
    assert_eq!(line.ask(&signed).expect("an answer").status, 201);

    for part in parts(&signed, &request) {
        for (place, flipped) in flips(&signed, part.bytes) {
            let what = format!("{} with bit {place:?} flipped", part.name);
            match line.ask(&flipped) {
                Ok(answer) if is_field_text(flipped[place.0]) || part.name == "body" => {
                    assert_denied(&answer, &what);
                }
                // A header with such a byte is no HTTP (RFC 9110 §5.5): it may be refused as a whole.
                Ok(answer) => assert!([400, 401].contains(&answer.status), "{what}: {answer:?}"),
                Err(error) => assert!(!is_field_text(flipped[place.0]), "{what}: {error}"),
            }
        }
    }
    assert_eq!(
        line.ask(&signed).expect("an answer").status,
        201,
        "it was the bits, and not the number of tries"
    );
}

#[test]
fn any_flipped_bit_of_method_path_or_query_is_refused() {
    let edge = Edge::start(Rules::WIDE);
    let mut line = Line { edge: &edge, connection: None };
    // The plus may be left out, and what is not escaped has one form only.
    let request = Request::get("/phoneNumbers/12065550100?api-version=2025-06-01");
    let signed = edge.eligible().sign(&request);
    let unchanged = line.ask(&signed).expect("an answer");
    assert_eq!(unchanged.status, 404, "nobody has bought it: {unchanged:?}");
    let bought = buy(&edge, edge.eligible(), &mut line);
    let request = Request::get(format!("/phoneNumbers/{bought}?api-version=2025-06-01"));
    let signed = edge.eligible().sign(&request);
    assert_eq!(line.ask(&signed).expect("an answer").status, 200);

    let start = request.method.len() + 1;
    let number = start + "/phoneNumbers/".len()..start + "/phoneNumbers/".len() + bought.len();
    for (place, flipped) in flips(&signed, 0..start + request.target.len()) {
        let what = format!("bit {place:?} flipped: {}", String::from_utf8_lossy(&flipped[..start + 50]));
        let Ok(answer) = line.ask(&flipped) else {
            // The gateway hung up on what is no request (RFC 9112 §3).
            assert!(!flipped[place.0].is_ascii_graphic() || place.0 < start, "{what}");
            continue;
        };
        if number.contains(&place.0) && flipped[place.0].is_ascii_alphanumeric() {
            assert_denied(&answer, &what);
        } else {
            // Another path leads nowhere, another method is not for this one.
            assert!([400, 401, 404, 405].contains(&answer.status), "{what}: {answer:?}");
        }
    }
    assert_eq!(line.ask(&signed).expect("an answer").status, 200);
}

/// Returns every request with one bit of these bytes flipped, and which bit it is: its byte and its place there.
fn flips(signed: &[u8], bytes: Range<usize>) -> impl Iterator<Item = ((usize, u32), Vec<u8>)> {
    bytes.flat_map(move |at| {
        (0..8).map(move |bit| {
            let mut flipped = signed.to_vec();
            flipped[at] ^= 1 << bit;
            ((at, bit), flipped)
        })
    })
}

/// Returns where the values of the signed headers, the signature and the body are.
fn parts(signed: &[u8], request: &Request) -> Vec<Part> {
    let text = std::str::from_utf8(signed).expect("a request in ASCII");
    let value = |name: &'static str, before: &str| {
        let start = text.find(before).expect("a part of the request") + before.len();
        let length = text[start..].find("\r\n").expect("an end of line");
        Part { name, bytes: start..start + length }
    };
    vec![
        value("date", "x-ms-date: "),
        value("host", "host: "),
        value("hash", "x-ms-content-sha256: "),
        value("signature", "&Signature="),
        Part { name: "body", bytes: signed.len() - request.body.len()..signed.len() },
    ]
}

/// Whether a byte may be within a header's value (RFC 9110 §5.5).
fn is_field_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' ' || byte == b'\t'
}

fn assert_denied(answer: &Answer, what: &str) {
    let denied = json!({ "error": { "code": "Denied", "message": "Denied by the resource provider." } });
    assert_eq!((answer.status, answer.json()), (401, denied), "{what}");
}

/// Buys a number, and returns its digits.
fn buy(edge: &Edge, resource: &Resource, line: &mut Line<'_>) -> String {
    let search = json!({
        "phoneNumberType": "geographic",
        "assignmentType": "application",
        "capabilities": { "calling": "outbound", "sms": "none" },
    });
    let target = "/availablePhoneNumbers/countries/US/:search?api-version=2025-06-01";
    let found = line.ask(&resource.sign(&Request::post(target, &search))).expect("an answer");
    assert_eq!(found.status, 202, "{}", edge.log());
    let purchase = json!({ "searchId": found.header("search-id") });
    let target = "/availablePhoneNumbers/:purchase?api-version=2025-06-01";
    assert_eq!(line.ask(&resource.sign(&Request::post(target, &purchase))).expect("an answer").status, 202);
    let owned = line.ask(&resource.sign(&Request::get("/phoneNumbers?api-version=2025-06-01")));
    let owned = owned.expect("an answer").json();
    owned["phoneNumbers"][0]["id"].as_str().expect("a number").to_owned()
}

impl Line<'_> {
    fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.edge.connect()?,
        };
        let answer = connection.exchange(request)?;
        if !answer.header("connection").eq_ignore_ascii_case("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}
