//! Calls to users and of users.

use super::world::{
    CONTOSO, DID, FABRIKAM, OUTSIDE, SECOND_NUMBER, World, sdp, table, together, user, values,
};
use bytes::Bytes;
use std::time::Duration;
use trunkline_call::{BridgeCommand, Side};
use trunkline_model::{Party, Ring, RingOrder};
use trunkline_sip::header::Name;
use trunkline_sip::method::Method;
use trunkline_sip::user_agent::{ChangeKind, Event, Headers, Reply, RequestParams, Scope};

const ME: &str = "<sip:me@contoso.localhost>";

fn seconds(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn outside() -> String {
    format!("sip:{OUTSIDE}@contoso.localhost")
}

#[test]
fn a_call_from_a_carrier_rings_at_a_user_who_answers_and_hangs_up() {
    let mut world = World::new();
    let browser = world.online(1);
    world.dial_in();
    let (session, invite) = world.end(browser).incoming().expect("nothing rings");
    assert_eq!(invite.uri_text(), "sip:u0@b0.invalid;transport=ws");
    assert!(values(&invite, Name::Via)[0].starts_with("SIP/2.0/WSS 203.0.113.1:8443;"), "{invite:?}");
    assert!(values(&invite, Name::From)[0].starts_with(&format!("\"Bo\" <sip:{OUTSIDE}@")), "{invite:?}");
    world.alert(browser, session);
    assert_eq!(world.carrier.statuses(&Method::Invite), [100, 180]);
    world.answer(browser, session);
    assert_eq!(world.carrier.statuses(&Method::Invite), [100, 180, 200]);
    assert_eq!(world.end(browser).requests(&Method::Ack).len(), 1);
    assert_eq!(world.bridges, 1);

    let now = world.now;
    world.end(browser).ua.hangup(now, session, Headers::new()).unwrap();
    world.settle();
    assert_eq!(world.carrier.requests(&Method::Bye).len(), 1);
    let record = world.records()[0].clone();
    assert_eq!((record.cause.sip, record.cause.ended_by), (200, Party::Callee));
    assert_eq!(record.trunk_out.unwrap().as_str(), "users");
    assert!(world.is_at_rest());
}

#[test]
fn a_user_who_is_not_there_is_480_at_once() {
    let mut world = World::new();
    world.dial_in();
    assert_eq!(world.carrier.statuses(&Method::Invite), [100, 480]);
    let browser = world.online(1);
    world.cut(browser);
    world.dial_in();
    assert_eq!(world.carrier.statuses(&Method::Invite), [100, 480, 100, 480]);
    assert!(world.is_at_rest());
}

#[test]
fn every_contact_rings_and_the_first_to_answer_has_the_call() {
    let mut world = World::with(table(together(&[1, 2], None), false));
    let browsers = [world.online(1), world.online(1), world.online(2)];
    world.dial_in();
    let sessions = browsers.map(|browser| world.end(browser).incoming().expect("nothing rings").0);
    for (browser, session) in browsers.into_iter().zip(sessions) {
        world.alert(browser, session);
    }
    assert_eq!(world.carrier.statuses(&Method::Invite), [100, 180], "it is told once");
    world.answer(browsers[1], sessions[1]);
    assert_eq!(world.carrier.statuses(&Method::Invite), [100, 180, 200]);
    for loser in [browsers[0], browsers[2]] {
        let cancels = world.end(loser).requests(&Method::Cancel);
        let reasons = values(cancels[0], Name::Reason);
        assert_eq!(reasons, ["SIP;cause=200;text=\"Call completed elsewhere\""]);
    }
    assert!(world.end(browsers[1]).requests(&Method::Cancel).is_empty());
}

#[test]
fn a_call_that_its_caller_gives_up_stops_ringing_everywhere() {
    let mut world = World::new();
    let browsers = [world.online(1), world.online(1)];
    let call = world.dial_in();
    for browser in browsers {
        let (session, _) = world.end(browser).incoming().unwrap();
        world.alert(browser, session);
    }
    let now = world.now;
    world.carrier.ua.hangup(now, call, Headers::new()).unwrap();
    world.settle();
    for browser in browsers {
        assert_eq!(world.end(browser).requests(&Method::Cancel).len(), 1);
    }
    assert!(world.is_at_rest());
}

#[test]
fn users_ring_in_order_then_the_overflow_and_then_the_trunk() {
    let ring = Ring { order: RingOrder::InOrder, ..together(&[1, 2], Some(3)) };
    let mut world = World::with(table(ring, true));
    let browsers = [world.online(1), world.online(2), world.online(3)];
    world.dial_in();
    let (first, _) = world.end(browsers[0]).incoming().unwrap();
    world.alert(browsers[0], first);
    assert!(world.end(browsers[1]).incoming().is_none());
    // The first does not answer in time.
    world.run(seconds(21));
    assert_eq!(world.end(browsers[0]).requests(&Method::Cancel).len(), 1);
    let (second, _) = world.end(browsers[1]).incoming().expect("the second does not ring");
    // The second is busy.
    let now = world.now;
    world.end(browsers[1]).ua.reject(now, second, Reply::new(486)).unwrap();
    world.settle();
    let (third, _) = world.end(browsers[2]).incoming().expect("the overflow does not ring");
    let now = world.now;
    world.end(browsers[2]).ua.reject(now, third, Reply::new(603)).unwrap();
    world.settle();
    let (at_trunk, invite) = world.carrier.incoming().expect("the trunk is not called");
    assert!(invite.uri_text().starts_with(&format!("sip:{OUTSIDE}@")), "{}", invite.uri_text());
    let now = world.now;
    world.carrier.ua.accept(now, at_trunk, Headers::new(), Some(sdp("trunk"))).unwrap();
    world.settle();
    assert_eq!(world.carrier.statuses(&Method::Invite).last(), Some(&200));
}

#[test]
fn what_persons_say_comes_before_what_machines_say() {
    for (answers, shown) in [([480, 486], 486), ([486, 480], 486), ([500, 480], 480), ([404, 603], 603)] {
        let mut world = World::with(table(together(&[1, 2], None), false));
        let browsers = [world.online(1), world.online(2)];
        world.dial_in();
        for (browser, status) in browsers.into_iter().zip(answers) {
            let (session, _) = world.end(browser).incoming().unwrap();
            let now = world.now;
            world.end(browser).ua.reject(now, session, Reply::new(status)).unwrap();
            world.settle();
        }
        assert_eq!(world.carrier.statuses(&Method::Invite), [100, shown], "{answers:?}");
        assert!(world.is_at_rest());
    }
}

#[test]
fn a_user_calls_out_as_its_resources_number_whatever_it_says_that_it_is() {
    for (from, headers, shown) in [
        (ME, Headers::new(), Some(DID)),
        ("\"Al\" <sip:+14255550101@contoso.localhost>", Headers::new(), Some(SECOND_NUMBER)),
        (ME, Headers::new().with(Name::PPreferredIdentity, "<sip:4255550101@x>"), Some(SECOND_NUMBER)),
        (ME, Headers::new().with(Name::PAssertedIdentity, "<sip:+12065550199@x>"), Some(DID)),
        (ME, Headers::new().with(Name::PPreferredIdentity, "<sip:+12065550199@x>"), None),
        ("<sip:+12065550199@contoso.localhost>", Headers::new(), None),
    ] {
        let mut world = World::new();
        let browser = world.online(1);
        world.call(browser, &outside(), from, headers);
        let Some(shown) = shown else {
            assert_eq!(world.end(browser).statuses(&Method::Invite), [100, 403], "{from}");
            assert!(world.carrier.incoming().is_none(), "{from}");
            continue;
        };
        let (session, invite) = world.carrier.incoming().expect("nothing comes out");
        assert!(values(&invite, Name::From)[0].contains(&format!("<sip:{shown}@")), "{invite:?}");
        assert_eq!(values(&invite, Name::PAssertedIdentity), [format!("<sip:{shown}@192.0.2.10>")]);
        assert!(values(&invite, Name::Authorization).is_empty());
        let now = world.now;
        world.carrier.ua.accept(now, session, Headers::new(), Some(sdp("carrier"))).unwrap();
        world.settle();
        assert_eq!(world.end(browser).statuses(&Method::Invite), [100, 200]);
        let now = world.now;
        world.carrier.ua.hangup(now, session, Headers::new().with(Name::Reason, "Q.850;cause=31")).unwrap();
        world.settle();
        let bye = world.end(browser).requests(&Method::Bye)[0].clone();
        assert_eq!(values(&bye, Name::Reason), ["Q.850;cause=31"]);
        assert!(world.is_at_rest());
    }
}

#[test]
fn a_user_whose_resource_has_no_number_calls_users_only() {
    let mut world = World::new();
    let stranger = user(FABRIKAM, 1);
    let browser = world.open(&stranger);
    let fields = format!("Authorization: Bearer {}\r\n", world.browsers[browser].token);
    let address = format!("sip:{}@fabrikam.localhost", stranger.sip_user());
    assert_eq!(world.ask_register(browser, "sip:fabrikam.localhost", &address, &fields).status(), Some(200));
    world.call(browser, &outside(), ME, Headers::new());
    assert_eq!(world.end(browser).statuses(&Method::Invite), [100, 403]);
    // Users of another resource are as if they were not there.
    world.online(1);
    let other = format!("sip:{}@contoso.localhost", user(CONTOSO, 1).sip_user());
    world.call(browser, &other, ME, Headers::new());
    assert_eq!(world.end(browser).statuses(&Method::Invite), [100, 403, 100, 404]);
}

#[test]
fn what_a_status_of_the_carrier_means_reaches_the_browser() {
    for (status, shown) in [(486, 486), (404, 404), (603, 603), (503, 500), (401, 403)] {
        let mut world = World::new();
        let browser = world.online(1);
        world.call(browser, &outside(), ME, Headers::new());
        let (session, _) = world.carrier.incoming().unwrap();
        let now = world.now;
        world.carrier.ua.reject(now, session, Reply::new(status)).unwrap();
        world.settle();
        assert_eq!(world.end(browser).statuses(&Method::Invite), [100, shown]);
    }
}

#[test]
fn browsers_agree_with_each_other_and_there_is_no_media_of_ours() {
    let mut world = World::new();
    let (al, bo) = (world.online(1), world.online(2));
    let target = format!("sip:{}@contoso.localhost", user(CONTOSO, 2).sip_user());
    let call = world.call(al, &target, "\"Al\" <sip:x@contoso.localhost>", Headers::new());
    let (session, invite) = world.end(bo).incoming().expect("nothing rings");
    assert_eq!(*invite.body(), sdp("browser-0"), "byte for byte");
    assert!(values(&invite, Name::From)[0].starts_with(&format!("\"Al\" <sip:{DID}@")), "{invite:?}");
    world.alert(bo, session);
    world.answer(bo, session);
    assert_eq!(*world.end(al).last_ok().body(), sdp("browser-1"), "byte for byte");
    assert_eq!((world.bridges, world.commands.len()), (0, 0));

    // A change of one is the other's to agree to.
    let now = world.now;
    let video = Bytes::from_static(b"v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=video\r\nt=0 0\r\nm=video 9 x 1\r\n");
    world.end(al).ua.reinvite(now, call, Some(video.clone()), Headers::new()).unwrap();
    world.settle();
    let asked = world.end(bo).events.iter().find_map(|event| match event {
        Event::Change { offer, kind: ChangeKind::ReInvite, .. } => offer.clone(),
        _ => None,
    });
    assert_eq!(asked, Some(video));
    let now = world.now;
    world.end(bo).ua.accept_change(now, session, Headers::new(), Some(sdp("agreed"))).unwrap();
    world.settle();
    assert_eq!(*world.end(al).last_ok().body(), sdp("agreed"));

    let now = world.now;
    world.end(al).ua.hangup(now, call, Headers::new()).unwrap();
    world.settle();
    assert_eq!(world.end(bo).requests(&Method::Bye).len(), 1);
    assert!(world.is_at_rest());
    assert_eq!(world.records().len(), 1);
}

#[test]
fn a_change_that_one_browser_refuses_is_refused_to_the_other_and_the_call_goes_on() {
    let mut world = World::new();
    let (al, bo) = (world.online(1), world.online(2));
    let target = format!("sip:{}@contoso.localhost", user(CONTOSO, 2).user());
    let call = world.call(al, &target, ME, Headers::new());
    let (session, _) = world.end(bo).incoming().unwrap();
    world.answer(bo, session);
    let now = world.now;
    world.end(al).ua.reinvite(now, call, Some(sdp("change")), Headers::new()).unwrap();
    world.settle();
    let now = world.now;
    world.end(bo).ua.reject_change(now, session, Reply::new(488)).unwrap();
    world.settle();
    assert_eq!(world.end(al).statuses(&Method::Invite).last(), Some(&488));
    assert_eq!(world.b2bua.counts().calls, 1);
}

#[test]
fn an_unregistered_browser_is_asked_who_it_is_and_a_token_in_its_invite_will_do() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    world.call(browser, &outside(), ME, Headers::new());
    assert_eq!(world.end(browser).statuses(&Method::Invite), [100, 401]);
    let bearer = format!("Bearer {}", world.browsers[browser].token);
    world.call(browser, &outside(), ME, Headers::new().with(Name::Authorization, bearer));
    assert!(world.carrier.incoming().is_some());
}

#[test]
fn a_caller_that_gives_up_before_it_is_known_leaves_nothing() {
    let mut world = World::new();
    let browser = world.open(&user(CONTOSO, 1));
    world.answers = false;
    let bearer = format!("Bearer {}", world.browsers[browser].token);
    let call = world.call(browser, &outside(), ME, Headers::new().with(Name::Authorization, bearer));
    let now = world.now;
    world.end(browser).ua.hangup(now, call, Headers::new()).unwrap();
    world.settle();
    assert_eq!(world.end(browser).statuses(&Method::Invite), [100, 487]);
    assert!(world.is_at_rest());
}

#[test]
fn a_second_call_waits_beside_the_first() {
    let mut world = World::new();
    let browser = world.online(1);
    world.dial_in();
    let (first, _) = world.end(browser).incoming().unwrap();
    world.answer(browser, first);
    world.dial_in();
    let (second, _) = world.end(browser).incoming().expect("the second call does not ring");
    world.alert(browser, second);
    world.answer(browser, second);
    assert_eq!(world.b2bua.counts().calls, 2);
}

#[test]
fn a_user_calls_its_own_number_and_does_not_ring_itself() {
    let mut world = World::new();
    let (here, there) = (world.online(1), world.online(1));
    world.call(here, &format!("sip:{DID}@contoso.localhost"), ME, Headers::new());
    assert!(world.end(here).incoming().is_none());
    assert!(world.end(there).incoming().is_some());
}

#[test]
fn a_key_that_a_browser_says_by_info_goes_to_the_carrier_as_media() {
    let mut world = World::new();
    let browser = world.online(1);
    let call = world.call(browser, &outside(), ME, Headers::new());
    let (session, _) = world.carrier.incoming().unwrap();
    let now = world.now;
    world.carrier.ua.accept(now, session, Headers::new(), Some(sdp("carrier"))).unwrap();
    world.settle();
    let params = |body: &'static str| RequestParams {
        method: Method::Info,
        scope: Scope::Session(call),
        headers: Headers::new(),
        body: Some(("application/dtmf-relay".to_owned(), Bytes::from_static(body.as_bytes()))),
    };
    for body in ["Signal=5\r\nDuration=160\r\n", "Signal=x\r\n"] {
        let now = world.now;
        world.end(browser).ua.request(now, params(body)).unwrap();
        world.settle();
    }
    assert_eq!(world.end(browser).statuses(&Method::Info), [200, 400]);
    assert!(world.carrier.requests(&Method::Info).is_empty());
    let digits: Vec<_> =
        world.commands.iter().filter(|it| matches!(it, BridgeCommand::Digits { .. })).collect();
    let [BridgeCommand::Digits { side, digits, timing }] = digits[..] else { panic!("{digits:?}") };
    assert_eq!((*side, digits.as_str(), timing.duration), (Side::Callee, "5", Duration::from_millis(160)));
}
