use super::*;
use proptest::prelude::*;

fn failed(state: State) -> Terminal {
    Terminal::Failed(Failure::Receipt { state, error: None })
}

#[test]
fn a_message_is_delivered_when_its_last_segment_is() {
    let mut message = Progress::new(3, Settles::EachSegment);
    (0..3).for_each(|segment| message.submitted(segment));
    assert_eq!(message.reported(2, State::Delivered, None), None);
    assert_eq!(message.reported(0, State::Delivered, None), None);
    assert_eq!(message.reported(0, State::Delivered, None), None);
    assert_eq!(message.reported(1, State::Delivered, None), Some(Terminal::Delivered));
    assert_eq!(message.counts(), Counts { succeeded: 3, failed: 0 });
}

#[test]
fn one_lost_segment_fails_the_message_once_all_are_known() {
    let mut message = Progress::new(2, Settles::EachSegment);
    assert_eq!(message.reported(1, State::Expired, None), None);
    assert_eq!(message.reported(0, State::Delivered, None), Some(failed(State::Expired)));
    assert_eq!(message.counts(), Counts { succeeded: 1, failed: 1 });
    assert_eq!(message.terminal().unwrap().report_code(), 4006);
}

#[test]
fn a_state_never_moves_back() {
    let mut message = Progress::new(1, Settles::EachSegment);
    assert_eq!(message.reported(0, State::Accepted, None), None);
    assert_eq!(message.reported(0, State::Enroute, None), None);
    assert_eq!(message.reported(0, State::Delivered, None), Some(Terminal::Delivered));
    for late in [State::Undeliverable, State::Enroute, State::Delivered] {
        assert_eq!(message.reported(0, late, Some("001")), None);
    }
    assert_eq!(message.refused(CommandStatus::SYSTEM_ERROR), None);
    assert_eq!(message.time_over(), None);
    assert_eq!(message.terminal(), Some(&Terminal::Delivered));
}

#[test]
fn a_trunk_with_one_receipt_a_message_settles_it_with_any() {
    let mut message = Progress::new(4, Settles::AnySegment);
    assert_eq!(message.reported(3, State::Enroute, None), None);
    assert_eq!(message.reported(3, State::Delivered, None), Some(Terminal::Delivered));
}

#[test]
fn when_time_is_over_a_message_has_failed_expired_or_is_unknown() {
    let mut taken = Progress::new(2, Settles::EachSegment);
    (0..2).for_each(|segment| taken.submitted(segment));
    assert_eq!(taken.clone().time_over(), Some(Terminal::Unknown));
    taken.reported(0, State::Rejected, None);
    assert_eq!(taken.time_over(), Some(failed(State::Rejected)));
    let mut half = Progress::new(2, Settles::EachSegment);
    half.submitted(0);
    assert_eq!(half.time_over(), Some(Terminal::Expired));
}

#[test]
fn refusals_have_the_codes_of_the_contract() {
    let code = |status| Terminal::Failed(Failure::Refused(status)).report_code();
    assert_eq!(code(CommandStatus::INVALID_SOURCE), 4001);
    assert_eq!(code(CommandStatus::INVALID_DESTINATION), 4002);
    assert_eq!(code(CommandStatus(0x400)), 5000);
    assert_eq!(Terminal::Delivered.report_code(), 2000);
    assert_eq!(Terminal::Unknown.report_code(), 5002);
}

#[derive(Debug, Clone)]
enum Step {
    Submitted(u8),
    Reported(u8, u8),
    Refused,
    TimeOver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6).prop_map(Step::Submitted),
        12 => (0u8..6, 0u8..12).prop_map(|(segment, state)| Step::Reported(segment, state)),
        1 => Just(Step::Refused),
        1 => Just(Step::TimeOver),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_there_is_at_most_one_end(
        segments in 1u8..6,
        any: bool,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let settles = if any { Settles::AnySegment } else { Settles::EachSegment };
        let mut message = Progress::new(segments, settles);
        let mut ends = Vec::new();
        for step in steps {
            let ended = match step {
                Step::Submitted(segment) => {
                    message.submitted(segment);
                    None
                }
                Step::Reported(segment, state) => State::from_tlv(state)
                    .and_then(|state| message.reported(segment, state, None)),
                Step::Refused => message.refused(CommandStatus::SUBMIT_FAILED),
                Step::TimeOver => message.time_over(),
            };
            ends.extend(ended);
            prop_assert_eq!(message.terminal(), ends.first());
            prop_assert!(ends.len() <= 1);
        }
        ends.extend(message.time_over());
        prop_assert_eq!(ends.len(), 1);
    }
}
