//! Session timers (RFC 4028). They keep real time: 90 s is the least that the RFC allows, so a refresh by us comes after
//! 45 s, and the end of a session that is not refreshed after 60 s.

use crate::{End, TALK, assert_answered, converse};
use std::time::Duration;
use trunkline_model::Party;
use trunkline_tests::peers::{Direction, Message, Stage, Trunk};

/// Longer than the 60 s after which a session of 90 s that is not refreshed is ended (RFC 4028 §10).
const SESSION_MAX: Duration = Duration::from_secs(80);

/// Asserts that every 200 received for these methods tells the interval, and who refreshes.
fn assert_session(messages: &[Message], refresher: &str, count: usize) {
    let answers: Vec<&Message> = messages
        .iter()
        .filter(|message| message.direction == Direction::Received)
        .filter(|message| message.answers(200, "INVITE") || message.answers(200, "UPDATE"))
        .collect();
    assert_eq!(answers.len(), count);
    for answer in answers {
        let session =
            answer.header("Session-Expires").unwrap_or_else(|| panic!("no interval in {}", answer.text));
        let (interval, parameter) = session.split_once(';').unwrap_or((session, ""));
        assert_eq!((interval.trim(), parameter.trim()), ("90", refresher), "{}", answer.text);
        if refresher == "refresher=uac" {
            // RFC 4028 §9: the peer that refreshes must know that it has to.
            assert!(
                answer.header("Require").is_some_and(|require| require.contains("timer")),
                "{}",
                answer.text
            );
        }
    }
}

/// Asserts that the last request received that can refresh a session does, and says that its sender goes on doing so.
fn assert_refreshed(messages: &[Message]) {
    let refreshes = |message: &&Message| {
        message.direction == Direction::Received
            && ["INVITE", "UPDATE"].iter().any(|method| message.text.starts_with(method))
    };
    let refresh = messages.iter().rfind(refreshes).expect("a refresh");
    let session = refresh.header("Session-Expires").map(|session| session.replace(' ', ""));
    assert_eq!(session.as_deref(), Some("90;refresher=uac"), "{}", refresh.text);
}

#[test]
fn a_caller_that_refreshes_is_answered_with_the_interval_each_time() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee_may_be_changed.xml").start();
    let caller = stage.calls(&west, "caller_refreshes.xml", &trunkline).pauses(TALK).start();

    let _ = caller.waits_for("SIP/2.0 200", 2);
    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let (caller, _) = (caller.finish(), callee.finish());

    assert_session(&caller, "refresher=uac", 3);
    assert_answered(&stage.records(trunkline), Party::Caller);
}

#[test]
fn trunkline_refreshes_both_sessions_at_half_of_their_interval() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east).session_expires(90)]);
    let callee = stage.answers(&east, "callee_is_refreshed.xml").within(SESSION_MAX).start();
    let caller = stage.calls(&west, "caller_is_refreshed.xml", &trunkline).within(SESSION_MAX).start();

    let _ = caller.waits_for("SIP/2.0 200", 0);
    converse(&mut End::west(&west, &caller), &mut End::east(&east, &callee));
    let (caller, callee) = (caller.finish(), callee.finish());

    assert_session(&caller, "refresher=uas", 1);
    assert_refreshed(&caller);
    assert_refreshed(&callee);
    let invite = callee.iter().find(|message| message.text.starts_with("INVITE")).expect("an INVITE");
    assert!(
        invite.header("Supported").is_some_and(|supported| supported.contains("timer")),
        "{}",
        invite.text
    );
    assert!(
        invite.header("Session-Expires").is_some_and(|session| session.starts_with("90")),
        "{}",
        invite.text
    );
    let records = stage.records(trunkline);
    assert_answered(&records, Party::Caller);
    assert!(records[0].ended_after > Duration::from_secs(45));
}

#[test]
fn a_session_that_is_not_refreshed_is_ended_on_both_sides() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east).session_expires(0)]);
    let callee = stage.answers(&east, "callee.xml").within(SESSION_MAX).start();
    let caller = stage.calls(&west, "caller_never_refreshes.xml", &trunkline).within(SESSION_MAX).start();

    let _ = (caller.finish(), callee.finish());

    let records = stage.records(trunkline);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].cause.ended_by, Party::Trunkline, "{}", records[0].cause);
    // RFC 4028 §10: the smaller of 32 s and a third of the interval before it is over.
    assert!(
        records[0].ended_after >= Duration::from_secs(55) && records[0].ended_after < Duration::from_secs(90)
    );
}

#[test]
fn an_interval_below_the_minimum_is_refused_with_the_minimum() {
    let stage = Stage::new();
    let (west, east) = (stage.carrier(0, "west"), stage.carrier(1, "east"));
    let trunkline = stage.trunkline(&[Trunk::to(&west), Trunk::to(&east)]);
    let callee = stage.answers(&east, "callee.xml").start();
    let caller = stage.calls(&west, "caller_too_short.xml", &trunkline).start();

    let (caller, _) = (caller.finish(), callee.finish());

    let refusal = caller.iter().find(|message| message.answers(422, "INVITE")).expect("a refusal");
    assert_eq!(refusal.header("Min-SE"), Some("90"));
    let records = stage.records(trunkline);
    let last = records.len().saturating_sub(1);
    assert_answered(&records[last..], Party::Caller);
}
