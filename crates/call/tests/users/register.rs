//! Who may register, and when a registration ends.

use super::world::{CONTOSO, FABRIKAM, ISSUED, World, user, values};
use std::time::Duration;
use trunkline_call::{Finding, Input};
use trunkline_sip::auth::{Algorithm, Secret};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::user_agent::Headers;

/// Returns what a client answers to a challenge, as RFC 7616 §3.4 has it.
fn digest(challenge: &str, user: &str, password: &str, count: u32, uri: &str) -> String {
    let param = |name: &str| {
        let start = challenge.find(&format!("{name}=")).unwrap() + name.len() + 1;
        challenge[start..].trim_start_matches('"').split(['"', ',']).next().unwrap().to_owned()
    };
    let algorithm = match param("algorithm").as_str() {
        "MD5" => Algorithm::Md5,
        "SHA-256" => Algorithm::Sha256,
        other => panic!("{other}"),
    };
    let secret = Secret::of(user, &param("realm"), password);
    let nonce = param("nonce");
    let response = secret.response(algorithm, "REGISTER", uri, &nonce, count, "c0ffee");
    format!(
        "Digest username=\"{user}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={algorithm}, \
         qop=auth, nc={count:08x}, cnonce=\"c0ffee\", response=\"{response}\"",
        param("realm")
    )
}

fn challenges(reply: &Message) -> Vec<String> {
    values(reply, Name::WwwAuthenticate)
}

#[test]
fn without_a_credential_every_way_to_show_one_is_named() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    let reply = world.register(browser, 600, Some("Basic YTpi"));
    assert_eq!(reply.status(), Some(401));
    let challenges = challenges(&reply);
    assert_eq!(challenges[0], "Bearer realm=\"trunkline\", scope=\"voip\"");
    assert!(challenges[1].contains("algorithm=SHA-256"), "{challenges:?}");
    // JsSIP and SIP.js keep the last alone, and know MD5 alone.
    assert!(
        challenges[2].starts_with("Digest ") && challenges[2].contains("algorithm=MD5"),
        "{challenges:?}"
    );
    assert_eq!(world.b2bua.registered(), (0, 0));
}

#[test]
fn a_good_token_registers_until_it_ends() {
    let mut world = World::new();
    let browser = world.online(1);
    assert_eq!(world.b2bua.registered(), (1, 1));
    // The token lasts an hour: no registration outlives it.
    let reply = world.register(browser, 86_400, None);
    assert_eq!(values(&reply, Name::Contact), ["<sip:u0@b0.invalid;transport=ws>;expires=3600"]);
    world.run(Duration::from_secs(3600));
    assert_eq!(world.b2bua.registered(), (0, 0));
    // It was good when it was asked about; the connection is nobody's any more.
    let reply = world.register(browser, 600, None);
    assert_eq!(reply.status(), Some(403));
}

#[test]
fn a_refused_token_says_why() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    world.tokens.insert("chat".into(), Finding::InsufficientScope);
    let reply = world.register(browser, 600, Some("Bearer unknown"));
    assert_eq!(reply.status(), Some(401));
    assert!(challenges(&reply)[0].ends_with("error=\"invalid_token\""), "{:?}", challenges(&reply));
    let reply = world.register(browser, 600, Some("Bearer chat"));
    assert_eq!(reply.status(), Some(403));
    assert!(challenges(&reply)[0].ends_with("error=\"insufficient_scope\""), "{:?}", challenges(&reply));
    world.answers = false;
    assert_eq!(world.b2bua.registered(), (0, 0));
}

#[test]
fn a_token_registers_its_own_user_in_its_own_domain_only() {
    let mut world = World::new();
    let (al, bo) = (user(CONTOSO, 1), user(CONTOSO, 2));
    let browser = world.open(&al);
    let bearer =
        format!("Contact: <sip:x@b0.invalid>\r\nAuthorization: Bearer {}\r\n", world.browsers[0].token);
    let own = format!("sip:{}@contoso.localhost", al.sip_user());
    for (uri, address) in [
        ("sip:contoso.localhost", format!("sip:{}@contoso.localhost", bo.sip_user())),
        ("sip:contoso.localhost", "sip:+14255550100@contoso.localhost".to_owned()),
        ("sip:fabrikam.localhost", own.clone()),
        ("sip:contoso.localhost", format!("sip:{}@FABRIKAM.localhost", al.sip_user())),
    ] {
        let reply = world.ask_register(browser, uri, &address, &bearer);
        assert_eq!(reply.status(), Some(403), "{uri} {address}");
    }
    for address in [
        own,
        format!("sip:8%3Aacs%3A{}@contoso.localhost", al.sip_user()),
        format!("sip:{}@203.0.113.1", al.user()),
    ] {
        let reply = world.ask_register(browser, "sip:contoso.localhost", &address, &bearer);
        assert_eq!(reply.status(), Some(200), "{address}");
    }
}

#[test]
fn a_connection_is_one_users() {
    let mut world = World::new();
    let browser = world.online(1);
    let other = user(CONTOSO, 2);
    let second = world.open(&other);
    let token = world.browsers[second].token.clone();
    let fields = format!("Contact: <sip:x@b0.invalid>\r\nAuthorization: Bearer {token}\r\n");
    let address = format!("sip:{}@contoso.localhost", other.sip_user());
    let reply = world.ask_register(browser, "sip:contoso.localhost", &address, &fields);
    assert_eq!(reply.status(), Some(403));
    let third = world.open(&user(FABRIKAM, 1));
    let fields =
        format!("Contact: <sip:x@b0.invalid>\r\nAuthorization: Bearer {}\r\n", world.browsers[third].token);
    let address = format!("sip:{}@contoso.localhost", user(FABRIKAM, 1).sip_user());
    let reply = world.ask_register(third, "sip:contoso.localhost", &address, &fields);
    assert_eq!(reply.status(), Some(403), "another tenant's token at this tenant's host");
}

#[test]
fn the_token_is_a_digest_password_by_either_hash_once_for_each_count() {
    for which in [1, 2] {
        let mut world = World::new();
        let al = user(CONTOSO, 1);
        let browser = world.open(&al);
        let token = world.browsers[browser].token.clone();
        let challenge = challenges(&world.register(browser, 600, Some("None"))).remove(which);
        let uri = "sip:contoso.localhost";
        let good = digest(&challenge, al.as_str(), &token, 1, uri);
        assert_eq!(world.register(browser, 600, Some(&good)).status(), Some(200), "{good}");
        // A replay is asked for another nonce.
        let reply = world.register(browser, 600, Some(&good));
        assert_eq!(reply.status(), Some(401));
        assert!(challenges(&reply)[which].contains("stale=true"));
        let next = digest(&challenge, al.as_str(), &token, 2, uri);
        assert_eq!(world.register(browser, 600, Some(&next)).status(), Some(200));
        for bad in [
            digest(&challenge, al.as_str(), "wrong", 3, uri),
            digest(&challenge, user(CONTOSO, 2).as_str(), &token, 3, uri),
            digest(&challenge, al.as_str(), &token, 3, "sip:fabrikam.localhost"),
            digest(&challenge.replace("realm=\"trunkline\"", "realm=\"x\""), al.as_str(), &token, 3, uri),
        ] {
            let reply = world.register(browser, 600, Some(&bad));
            assert_eq!(reply.status(), Some(401), "{bad}");
            assert!(!challenges(&reply)[which].contains("stale"), "{bad}");
        }
        // A nonce lasts five minutes.
        world.run(Duration::from_secs(301));
        let late = digest(&challenge, al.as_str(), &token, 4, uri);
        assert!(challenges(&world.register(browser, 600, Some(&late)))[which].contains("stale=true"));
    }
}

#[test]
fn a_revoked_token_ends_its_registration_and_its_connection_has_to_show_another() {
    let mut world = World::new();
    let browser = world.online(1);
    let (al, bo) = (user(CONTOSO, 1), user(CONTOSO, 2));
    world.b2bua.revoke_tokens(&bo, ISSUED + 1);
    world.b2bua.revoke_tokens(&al, ISSUED);
    assert_eq!(world.b2bua.registered(), (1, 1), "another's, and what was issued before");
    world.b2bua.revoke_tokens(&al, ISSUED + 1);
    assert_eq!(world.b2bua.registered(), (0, 0));
    let token = world.browsers[browser].token.clone();
    world.tokens.insert(token, Finding::Invalid);
    world.call(
        browser,
        "sip:+12065550111@contoso.localhost",
        "<sip:x@contoso.localhost>",
        Default::default(),
    );
    let statuses = world.end(browser).statuses(&trunkline_sip::method::Method::Invite);
    assert_eq!(statuses, [100, 401]);
}

#[test]
fn a_connection_that_is_gone_takes_the_registration_with_it() {
    let mut world = World::new();
    let (first, second) = (world.online(1), world.online(1));
    assert_eq!(world.b2bua.registered(), (1, 2));
    world.cut(first);
    assert_eq!(world.b2bua.registered(), (1, 1));
    world.cut(second);
    assert_eq!(world.b2bua.registered(), (0, 0));
}

#[test]
fn guessing_ends_after_a_number_of_tries() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    let statuses: Vec<_> = (0..25)
        .map(|n| world.register(browser, 600, Some(&format!("Bearer guess-{n}"))).status().unwrap())
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 20);
    assert_eq!(statuses[20..], [403; 5]);
    // Even the right one comes too late on this connection.
    assert_eq!(world.register(browser, 600, None).status(), Some(403));
}

#[test]
fn what_nobody_can_say_is_503_and_the_world_comes_back() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    let token = world.browsers[browser].token.clone();
    let good = world.tokens.insert(token.clone(), Finding::Unavailable).unwrap();
    let reply = world.register(browser, 600, None);
    assert_eq!((reply.status(), reply.header(Name::RetryAfter)), (Some(503), Some("5")));
    world.tokens.insert(token, good);
    assert_eq!(world.register(browser, 600, None).status(), Some(200));
}

#[test]
fn what_is_found_out_after_its_connection_is_gone_changes_nothing() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    world.answers = false;
    let bearer = format!("Bearer {}", world.browsers[browser].token);
    let headers = Headers::new().with(Name::Authorization, bearer);
    world.call(browser, "sip:+12065550111@contoso.localhost", "<sip:x@contoso.localhost>", headers);
    let question = world.asked.pop().expect("nobody was asked about");
    world.cut(browser);
    let granted = world.granted(&user(CONTOSO, 1), Duration::from_secs(60));
    let input = Input::Authenticated { id: question, finding: Finding::Good(granted) };
    world.b2bua.handle_input(world.now, input);
    world.settle();
    assert!(world.carrier.incoming().is_none());
    assert!(world.is_at_rest());
    world.run(Duration::from_secs(40));
    assert_eq!(world.b2bua.sip_counts().sessions, 0);
}
