//! User access tokens: what a good one carries, and every bad one refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use trunkline_identity::UserId;
use trunkline_identity::token::{Claims, InvalidToken, Scope, SigningKey, VerifyingKey};

const NOW: i64 = 1_795_431_600;

#[test]
fn a_token_says_who_and_what_until_when() {
    let key = SigningKey::generate("k1");
    let token = key.issue(&claims());
    assert_eq!(VerifyingKey::verify(&[key.verifying_key()], &token, NOW), Ok(claims()));
}

#[test]
fn the_payload_reads_in_both_base64_alphabets() {
    let key = SigningKey::generate("k1");
    for minute in 0..200 {
        let token = key.issue(&Claims { issued: NOW + minute, expires: NOW + 3600 + minute, ..claims() });
        let payload = token.split('.').nth(1).unwrap();
        let body = STANDARD_NO_PAD.decode(payload).expect("no - or _ in the payload");
        assert!(body.is_ascii());
    }
}

#[test]
fn a_token_ends_when_it_says() {
    let key = SigningKey::generate("k1");
    let (token, keys) = (key.issue(&claims()), [key.verifying_key()]);
    assert!(VerifyingKey::verify(&keys, &token, NOW + 3599).is_ok());
    assert_eq!(VerifyingKey::verify(&keys, &token, NOW + 3600), Err(InvalidToken::Expired(0)));
    assert_eq!(VerifyingKey::verify(&keys, &token, NOW - 61), Err(InvalidToken::NotYet(61)));
}

#[test]
fn another_key_or_none_does_not_do() {
    let (ours, theirs) = (SigningKey::generate("k1"), SigningKey::generate("k1"));
    let token = theirs.issue(&claims());
    assert_eq!(VerifyingKey::verify(&[ours.verifying_key()], &token, NOW), Err(InvalidToken::Signature));
    assert_eq!(VerifyingKey::verify(&[], &token, NOW), Err(InvalidToken::UnknownKey));
    let kept = SigningKey::from_pkcs8("k1", ours.to_pkcs8()).unwrap();
    assert!(VerifyingKey::verify(&[ours.verifying_key()], &kept.issue(&claims()), NOW).is_ok());
}

#[test]
fn no_other_algorithm_is_taken_whatever_the_token_says() {
    let key = SigningKey::generate("k1");
    let token = key.issue(&claims());
    let rest = token.split_once('.').unwrap().1;
    for algorithm in ["none", "HS256", "RS256", "es256", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "kid": "k1"}).to_string());
        let forged = format!("{header}.{rest}");
        assert_eq!(VerifyingKey::verify(&[key.verifying_key()], &forged, NOW), Err(InvalidToken::Algorithm));
    }
}

#[test]
fn any_change_breaks_the_signature() {
    let key = SigningKey::generate("k1");
    let (token, keys) = (key.issue(&claims()), [key.verifying_key()]);
    for place in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(VerifyingKey::verify(&keys, &changed, NOW).is_err(), "place {place}");
    }
    for junk in ["", ".", "..", "a.b.c", &"x".repeat(5000)] {
        assert!(VerifyingKey::verify(&keys, junk, NOW).is_err(), "{junk}");
    }
}

#[test]
fn the_key_set_lets_others_verify() {
    let key = SigningKey::generate("k1");
    let jwk = key.verifying_key().to_jwk();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let rebuilt = VerifyingKey { id: "k1".into(), point };
    assert_eq!(VerifyingKey::verify(&[rebuilt], &key.issue(&claims()), NOW), Ok(claims()));
    assert_eq!(jwk.get("d"), None::<&Value>);
}

fn claims() -> Claims {
    let user: UserId =
        "8:acs:11111111-2222-4333-8444-555555555555_00000021-aaaa-bbbb-cccc-0123456789ab".parse().unwrap();
    Claims {
        issuer: "https://contoso.localhost:8443".into(),
        user,
        scopes: vec![Scope::Chat, Scope::Voip],
        issued: NOW,
        expires: NOW + 3600,
        location: "unitedstates".into(),
    }
}
