use super::super::{ReceiptTlvs, State};
use super::*;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trunkline_model::clock::first_instant;

const ALICE: &str = "+12065550111";
const BOB: &str = "+12065550112";

type Table = Correlator<u32, u32>;

fn table(policy: IdPolicy) -> Table {
    Correlator::new(policy, Limits::default())
}

fn sent(table: &mut Table, segment: u32, to: &str, id: &str) {
    table.handle_sent(Sent { segment, recipient: to.into() });
    table.handle_response(&segment, CarrierId::parse(id));
}

fn receipt(handle: u32, from: &str, id: &str) -> Receipted<u32> {
    let receipt = Receipt::read(&format!("id:{id} stat:DELIVRD"), &ReceiptTlvs::default()).unwrap();
    Receipted { receipt, source: from.into(), destination: "14255550100".into(), handle }
}

/// What became of the receipts: segment, receipt; no segment for unmatched.
fn answers(table: &mut Table) -> Vec<(Option<u32>, u32)> {
    std::iter::from_fn(|| table.poll_answer())
        .map(|answer| match answer {
            Answer::Matched { segment, receipt } => (Some(segment), receipt.handle),
            Answer::Unmatched(receipt) => (None, receipt.handle),
        })
        .collect()
}

#[test]
fn every_spelling_of_an_id_is_matched() {
    let now = first_instant();
    for (response, spelled) in [
        ("1AB", "1ab"),
        ("000123", "123"),
        ("123", "\"000123\""),
        ("1a2b3c", "1715004"),
        ("1715004", "001A2B3C"),
        ("ff", "0xFF"),
        ("77", "smsc:77"),
        ("smsc:77", "77"),
        ("7220bb6b-d0be-98fa", "7220BB6B-D0BE-98FA"),
    ] {
        let mut table = table(IdPolicy::Auto);
        sent(&mut table, 1, ALICE, response);
        table.handle_receipt(now, receipt(9, "12065550111", spelled));
        assert_eq!(answers(&mut table), [(Some(1), 9)], "{response} {spelled}");
    }
}

#[test]
fn a_receipt_before_its_response_waits_for_it() {
    let now = first_instant();
    let mut table = table(IdPolicy::Auto);
    table.handle_sent(Sent { segment: 1, recipient: ALICE.into() });
    table.handle_receipt(now, receipt(9, ALICE, "5"));
    assert_eq!(answers(&mut table), []);
    table.handle_response(&1, CarrierId::parse("05"));
    assert_eq!(answers(&mut table), [(Some(1), 9)]);
    assert_eq!(table.poll_timeout(), None);
}

#[test]
fn a_receipt_of_nothing_is_unmatched_after_a_minute() {
    let now = first_instant();
    let mut table = table(IdPolicy::Auto);
    table.handle_receipt(now, receipt(9, ALICE, "5"));
    let due = table.poll_timeout().unwrap();
    assert_eq!(due, now + Duration::from_secs(60));
    table.handle_timeout(due);
    assert_eq!(answers(&mut table), [(None, 9)]);
}

#[test]
fn an_id_that_may_mean_two_segments_waits_until_the_form_is_known() {
    let now = first_instant();
    let mut table = table(IdPolicy::Auto);
    // The responses are hexadecimal: segment 1 is 16, segment 2 is 22.
    sent(&mut table, 1, ALICE, "10");
    sent(&mut table, 2, ALICE, "16");
    table.handle_receipt(now, receipt(91, ALICE, "16"));
    assert_eq!(answers(&mut table), []);
    sent(&mut table, 3, ALICE, "1F");
    table.handle_receipt(now, receipt(93, ALICE, "31"));
    table.handle_receipt(now, receipt(92, ALICE, "22"));
    assert_eq!(answers(&mut table), [(Some(3), 93), (Some(2), 92), (Some(1), 91)]);
    assert_eq!(table.dialect().form(), Some(Form::ResponseHex));
}

#[test]
fn an_id_of_the_wrong_recipient_is_no_match() {
    let now = first_instant();
    let mut table = table(IdPolicy::Fixed(Form::AsIs));
    sent(&mut table, 1, ALICE, "10");
    table.handle_receipt(now, receipt(9, BOB, "10"));
    assert_eq!(answers(&mut table), []);
    // A carrier that swaps the addresses, and one that leaves them out.
    let swapped = Receipted { destination: "2065550111".into(), ..receipt(8, "14255550100", "10") };
    table.handle_receipt(now, swapped);
    table.handle_receipt(now, Receipted { destination: String::new(), ..receipt(7, "", "10") });
    assert_eq!(answers(&mut table), [(Some(1), 8), (Some(1), 7)]);
}

#[test]
fn a_fixed_form_reads_ids_in_no_other() {
    let now = first_instant();
    let mut table = table(IdPolicy::Fixed(Form::ResponseHex));
    sent(&mut table, 1, ALICE, "10");
    sent(&mut table, 2, ALICE, "16");
    table.handle_receipt(now, receipt(9, ALICE, "16"));
    assert_eq!(answers(&mut table), [(Some(1), 9)]);
}

#[test]
fn a_carrier_that_changes_its_form_is_learned_anew() {
    let now = first_instant();
    let mut table = table(IdPolicy::Auto);
    for n in 0..2u32 {
        sent(&mut table, n, ALICE, &(5_000_000 + n).to_string());
        table.handle_receipt(now, receipt(n, ALICE, &(5_000_000 + n).to_string()));
    }
    assert_eq!(table.dialect().form(), Some(Form::AsIs));
    for n in 2..6u32 {
        sent(&mut table, n, ALICE, &format!("{:x}", 6_000_000 + n));
        table.handle_receipt(now, receipt(n, ALICE, &(6_000_000 + n).to_string()));
    }
    let got = answers(&mut table);
    assert_eq!(got.len(), 6);
    assert!(got.iter().all(|(segment, handle)| *segment == Some(*handle)), "{got:?}");
}

#[test]
fn what_is_forgotten_or_refused_is_not_matched() {
    let now = first_instant();
    let mut table: Table =
        Correlator::new(IdPolicy::Auto, Limits { segments_max: 2, held_max: 2, ..Limits::default() });
    for n in 1..=3u32 {
        sent(&mut table, n, ALICE, &n.to_string());
    }
    table.forget(&2);
    table.handle_sent(Sent { segment: 4, recipient: BOB.into() });
    table.handle_response(&4, None);
    for n in 1..=3u32 {
        table.handle_receipt(now, receipt(n, ALICE, &n.to_string()));
    }
    table.handle_receipt(now, receipt(4, ALICE, "99"));
    assert_eq!(answers(&mut table), [(Some(3), 3), (None, 1)]);
}

/// One carrier's way of writing an id.
fn spell(style: u32, id: u64, rng: &mut impl Rng) -> (String, String) {
    let hex = format!("{id:x}");
    match style % 7 {
        0 => (id.to_string(), id.to_string()),
        1 => (hex.clone(), if rng.random() { hex.to_uppercase() } else { format!("00{hex}") }),
        2 => (format!("{id:X}"), id.to_string()),
        3 => (id.to_string(), format!("{id:08x}")),
        4 => (format!("{id:012}"), format!("\"{id}\"")),
        5 => (format!("gw-{id}"), id.to_string()),
        _ => (hex, format!("gw-{id:x}")),
    }
}

/// Sends in bursts, answers out of order, receipts before and after responses; small ids, so that readings collide.
#[test]
fn simulated_carriers_are_matched_always_and_never_wrongly() {
    for seed in 0..120u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut now = first_instant();
        let mut table = table(IdPolicy::Auto);
        let mut next_id: u64 = rng.random_range(1..5_000);
        let (mut total, mut seen) = (0u32, Vec::new());
        for _ in 0..40 {
            let mut steps = Vec::new();
            for _ in 0..rng.random_range(1..12u32) {
                let segment = total;
                total += 1;
                next_id += rng.random_range(1..9);
                let to = format!("1206555{:04}", 100 + rng.random_range(0..100u32));
                let (response, spelled) = spell(seed as u32, next_id, &mut rng);
                table.handle_sent(Sent { segment, recipient: format!("+{to}") });
                steps.push((segment, to.clone(), Some(response), None));
                steps.push((segment, to, None, Some(spelled)));
            }
            steps.shuffle(&mut rng);
            for (segment, to, response, spelled) in steps {
                now += Duration::from_millis(rng.random_range(0..50));
                if let Some(response) = response {
                    table.handle_response(&segment, CarrierId::parse(&response));
                }
                if let Some(spelled) = spelled {
                    table.handle_receipt(now, receipt(segment, &to, &spelled));
                }
                seen.extend(answers(&mut table));
            }
        }
        table.handle_timeout(now + Duration::from_secs(60));
        seen.extend(answers(&mut table));
        let wrong = seen.iter().filter(|(segment, handle)| segment.is_some_and(|s| s != *handle)).count();
        let matched = seen.iter().filter(|(segment, _)| segment.is_some()).count();
        assert_eq!((wrong, matched, seen.len()), (0, total as usize, total as usize), "seed {seed}");
    }
}

#[test]
fn states_that_are_no_end_are_matched_too() {
    let mut table = table(IdPolicy::Auto);
    sent(&mut table, 1, ALICE, "5");
    let mut enroute = receipt(9, ALICE, "5");
    enroute.receipt.state = State::Enroute;
    table.handle_receipt(first_instant(), enroute);
    assert_eq!(answers(&mut table), [(Some(1), 9)]);
}
