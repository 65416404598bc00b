//! Signatures as the official clients make them, and what must never pass for one.

use serde_json::Value;
use trunkline_identity::AccessKey;
use trunkline_identity::signature::{Refusal, SignedRequest, verify, verify_body};

/// 23 November 2026, 11:00:00 GMT: the date of every vector.
const NOW: i64 = 1_795_431_600;

#[test]
fn every_form_that_a_client_signs_is_accepted() {
    for vector in vectors() {
        let name = vector["name"].as_str().unwrap();
        let signed = request(&vector);
        assert_eq!(verify(&signed, &[key(&vector)], NOW), Ok(0), "{name}");
        assert_eq!(verify_body(signed.content_sha256, body(&vector)), Ok(()), "{name}");
    }
}

#[test]
fn the_second_key_opens_too() {
    let vector = &vectors()[0];
    assert_eq!(verify(&request(vector), &[AccessKey::generate(), key(vector)], NOW), Ok(1));
    assert_eq!(verify(&request(vector), &[AccessKey::generate()], NOW), Err(Refusal::WrongSignature));
}

#[test]
fn a_date_more_than_a_quarter_of_an_hour_off_is_refused() {
    let vector = &vectors()[0];
    for (offset, refused) in [(900, false), (-900, false), (901, true), (-901, true)] {
        let answer = verify(&request(vector), &[key(vector)], NOW + offset);
        assert_eq!(answer, if refused { Err(Refusal::Skew(-offset)) } else { Ok(0) }, "{offset}");
    }
}

#[test]
fn what_is_not_signed_is_refused() {
    let vector = &vectors()[0];
    let keys = [key(vector)];
    let good = request(vector);
    assert_eq!(verify(&SignedRequest { authorization: None, ..good }, &keys, NOW), Err(Refusal::Unsigned));
    assert_eq!(verify(&SignedRequest { date: None, ..good }, &keys, NOW), Err(Refusal::HeaderMissing));
    assert_eq!(
        verify(&SignedRequest { content_sha256: None, ..good }, &keys, NOW),
        Err(Refusal::HeaderMissing)
    );
    assert_eq!(verify(&SignedRequest { date: Some("yesterday"), ..good }, &keys, NOW), Err(Refusal::BadDate));
    let unsigned_date = good.authorization.unwrap().replace("x-ms-date;", "");
    let request = SignedRequest { authorization: Some(&unsigned_date), ..good };
    assert_eq!(verify(&request, &keys, NOW), Err(Refusal::HeaderMissing));
}

#[test]
fn flipping_any_bit_is_noticed() {
    let mut flipped = 0;
    for vector in vectors() {
        let (good, keys) = (request(&vector), [key(&vector)]);
        for field in 0..4 {
            let text =
                [good.target, good.date.unwrap(), good.authorization.unwrap(), good.content_sha256.unwrap()]
                    [field];
            for bit in 0..text.len() * 8 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                // %2b is %2B (RFC 3986 §2.1), and names of headers have no case.
                let escape = text[..bit / 8].bytes().rev().take(2).any(|byte| byte == b'%');
                if changed.eq_ignore_ascii_case(text) && (field == 2 || (field == 0 && escape)) {
                    continue;
                }
                let mut request = good;
                match field {
                    0 => request.target = &changed,
                    1 => request.date = Some(&changed),
                    2 => request.authorization = Some(&changed),
                    _ => request.content_sha256 = Some(&changed),
                }
                assert!(verify(&request, &keys, NOW).is_err(), "field {field}, bit {bit}: {changed}");
                flipped += 1;
            }
        }
        for bit in 0..body(&vector).len() * 8 {
            let mut body = body(&vector).to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify_body(good.content_sha256, &body), Err(Refusal::BodyMismatch));
            flipped += 1;
        }
    }
    assert!(flipped > 5_000, "only {flipped} bits were flipped");
}

fn vectors() -> Vec<Value> {
    let text = include_str!("../../../fixtures/acs/hmac.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all["vectors"].as_array().unwrap().clone()
}

fn key(vector: &Value) -> AccessKey {
    vector["accesskey_base64"].as_str().unwrap().parse().unwrap()
}

fn request(vector: &Value) -> SignedRequest<'_> {
    let text = |name: &str| vector[name].as_str().unwrap();
    SignedRequest {
        method: text("method"),
        target: text("wire_target"),
        host: text("host_header"),
        ms_host: None,
        date: Some(text("x-ms-date")),
        content_sha256: Some(text("x-ms-content-sha256")),
        authorization: Some(text("authorization")),
    }
}

fn body(vector: &Value) -> &[u8] {
    vector["body"].as_str().unwrap().as_bytes()
}
