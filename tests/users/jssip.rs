//! JsSIP, check by check.

use crate::place::{NUMBER, OUTSIDE, Place};
use std::time::Duration;

#[test]
fn a_user_calls_out_and_the_carrier_hangs_up() {
    let place = Place::new();
    let callee =
        place.stage.answers(&place.carrier, "callee_hangs_up.xml").pauses(Duration::from_secs(1)).start();
    place.check("calls_out_and_the_carrier_hangs_up");
    let invite = callee.waits_for("INVITE", 0);
    assert!(invite.start().contains(OUTSIDE), "{}", invite.start());
    let from = invite.header("From").unwrap_or_default();
    assert!(from.contains(NUMBER), "the caller shows the number of its resource: {from}");
    let _ = callee.finish();
}

#[test]
fn a_call_to_the_number_rings_at_the_user() {
    let place = Place::new();
    place.assign(&[0]);
    let mut check = place.start("a_call_from_outside_rings");
    check.says("ready");
    let caller = place.stage.calls_at(&place.carrier, "caller.xml", place.sip());
    let caller = caller.dials(NUMBER).pauses(Duration::from_secs(1)).start();
    check.passes();
    let _ = caller.finish();
}

#[test]
fn users_register_with_their_tokens_and_nothing_else_will_do() {
    let place = Place::new();
    place.check("registers_with_a_bearer_token");
    place.check("registers_with_the_token_as_digest_password");
    place.check("tokens_that_are_no_good_are_refused");
}

#[test]
fn users_call_and_text_each_other() {
    let place = Place::new();
    place.check("calls_another_user_and_hangs_up");
    place.check("every_contact_rings_and_one_answers");
    place.check("texts_reach_another_user");
    place.check("a_number_that_is_not_the_resources_is_not_shown");
}

#[test]
fn a_lost_connection_comes_back_and_a_revoked_token_does_not() {
    let place = Place::new();
    place.check("a_lost_connection_ends_the_registration_and_the_next_one_brings_it_back");
    let mut check = place.start("a_registration_ends_when_its_token_is_revoked");
    check.says("ready");
    place.revoke(&place.users[1].id);
    check.go_on();
    check.passes();
}
