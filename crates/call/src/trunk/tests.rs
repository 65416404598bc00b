use super::*;
use crate::testing::{gateway, trunk};
use trunkline_model::clock::first_instant;

fn trunks_of(trunk: Trunk, now: Instant) -> Trunks {
    Trunks::new(&RoutingTable::new(vec![trunk], vec![], vec![]).unwrap(), 7, now)
}

fn id(name: &str) -> TrunkId {
    TrunkId::parse(name).unwrap()
}

fn probed(gateways: Vec<Gateway>) -> Trunk {
    let health = HealthPolicy { interval: Duration::from_secs(10), down_after: 3, up_after: 2 };
    Trunk { health: Some(health), ..trunk("a", &["192.0.2.0/24"], gateways) }
}

#[test]
fn a_trunk_takes_as_many_calls_as_it_may_and_no_more() {
    let now = first_instant();
    let mut trunks = trunks_of(Trunk { calls_max: Some(2), ..trunk("a", &["192.0.2.0/24"], vec![]) }, now);
    assert_eq!(trunks.take_call(&id("a"), now), Ok(()));
    assert_eq!(trunks.take_call(&id("a"), now), Ok(()));
    assert_eq!(trunks.take_call(&id("a"), now), Err(Criterion::CallsMax(2)));
    trunks.release_call(&id("a"));
    assert_eq!(trunks.take_call(&id("a"), now), Ok(()));
}

#[test]
fn a_new_table_keeps_the_calls_and_health_of_trunks_that_stay() {
    let now = first_instant();
    let (a, b) = (gateway("192.0.2.1"), gateway("192.0.2.2"));
    let mut trunks = trunks_of(Trunk { calls_max: Some(1), ..probed(vec![a.clone(), b.clone()]) }, now);
    trunks.take_call(&id("a"), now).unwrap();
    for _ in 0..3 {
        trunks.report(&id("a"), &a, Behaviour::Silent);
    }

    let heavier = Gateway { weight: 9, ..a };
    let again = Trunk { calls_max: Some(1), ..probed(vec![heavier.clone(), b]) };
    trunks.reload(&RoutingTable::new(vec![again], vec![], vec![]).unwrap(), now);

    assert_eq!(trunks.check_call(&id("a"), now), Err(Criterion::CallsMax(1)));
    let load = trunks.load();
    assert_eq!(load[0].calls, 1);
    assert_eq!(load[0].gateways[0], (heavier, false));
    assert!(load[0].gateways[1].1);
}

#[test]
fn a_trunk_taken_out_of_the_table_lives_until_its_last_call_has_ended() {
    let now = first_instant();
    let mut trunks = trunks_of(trunk("a", &["192.0.2.0/24"], vec![]), now);
    trunks.take_call(&id("a"), now).unwrap();
    trunks.reload(&RoutingTable::default(), now);
    assert_eq!(trunks.load().len(), 1);
    trunks.release_call(&id("a"));
    assert!(trunks.load().is_empty());
}

#[test]
fn three_failures_in_a_row_take_a_gateway_down_and_two_answers_bring_it_back() {
    let now = first_instant();
    let a = gateway("192.0.2.1");
    let mut trunks = trunks_of(probed(vec![a.clone()]), now);
    let mut see = |seen| trunks.report(&id("a"), &a, seen).map(|change| change.up);
    assert_eq!(see(Behaviour::Silent), None);
    assert_eq!(see(Behaviour::Silent), None);
    assert_eq!(see(Behaviour::Alive), None, "an answer starts the count again");
    assert_eq!(see(Behaviour::Silent), None);
    assert_eq!(see(Behaviour::Silent), None);
    assert_eq!(see(Behaviour::Silent), Some(false));
    assert_eq!(see(Behaviour::Alive), None);
    assert_eq!(see(Behaviour::Silent), None);
    assert_eq!(see(Behaviour::Alive), None);
    assert_eq!(see(Behaviour::Alive), Some(true));
}

#[test]
fn a_probe_that_is_never_answered_counts_when_the_next_one_is_due() {
    let start = first_instant();
    let a = gateway("192.0.2.1");
    let mut trunks = trunks_of(probed(vec![a.clone()]), start);
    let first = trunks.next_probe().unwrap();
    assert!(first < start + Duration::from_secs(10));
    let mut downs = Vec::new();
    for n in 0..5 {
        let at = first + n * Duration::from_secs(10);
        assert!(trunks.due_probe(at - Duration::from_millis(1)).is_none());
        let (_, _, change) = trunks.due_probe(at).unwrap();
        assert!(trunks.due_probe(at).is_none(), "one probe an interval");
        downs.extend(change.map(|change| (n, change.up)));
    }
    assert_eq!(downs, [(3, false)], "when three intervals have passed");
    assert_eq!(trunks.probe_done(&id("a"), &a, Behaviour::Alive), None);
    let (_, _, change) = trunks.due_probe(first + Duration::from_secs(50)).unwrap();
    assert_eq!(change, None);
    assert!(trunks.probe_done(&id("a"), &a, Behaviour::Alive).unwrap().up);
}

#[test]
fn gateways_share_calls_by_weight_and_later_priorities_wait() {
    let now = first_instant();
    let heavy = Gateway { weight: 30, ..gateway("192.0.2.1") };
    let light = Gateway { weight: 10, ..gateway("192.0.2.2") };
    let spare = Gateway { priority: 2, weight: 100, ..gateway("192.0.2.3") };
    let all = vec![spare.clone(), light.clone(), heavy.clone()];
    let mut trunks = trunks_of(trunk("a", &["192.0.2.0/24"], all), now);
    let mut heavies = 0;
    for _ in 0..4000 {
        let chosen = trunks.select(&id("a"), Choice::Well, &[], now).unwrap();
        assert_ne!(chosen, spare);
        heavies += usize::from(chosen == heavy);
    }
    assert!((2850..3150).contains(&heavies), "three of four: {heavies}");
    let tried = [heavy, light];
    assert_eq!(trunks.select(&id("a"), Choice::Well, &tried, now), Ok(spare.clone()));
    let tried = [tried[0].clone(), tried[1].clone(), spare];
    assert_eq!(trunks.select(&id("a"), Choice::Well, &tried, now), Err(Criterion::AllTried));
}

#[test]
fn a_gateway_that_is_down_is_only_a_last_resort() {
    let now = first_instant();
    let (a, b) = (gateway("192.0.2.1"), gateway("192.0.2.2"));
    let mut trunks = trunks_of(probed(vec![a.clone(), b.clone()]), now);
    for _ in 0..3 {
        trunks.report(&id("a"), &a, Behaviour::Silent);
    }
    for _ in 0..50 {
        assert_eq!(trunks.select(&id("a"), Choice::Well, &[], now), Ok(b.clone()));
    }
    assert_eq!(trunks.select(&id("a"), Choice::Well, &[b], now), Err(Criterion::AllDown));
    assert_eq!(trunks.select(&id("a"), Choice::LastResort, &[], now), Ok(a));
}

#[test]
fn a_gateway_that_asked_to_be_left_alone_is_left_alone() {
    let now = first_instant();
    let a = gateway("192.0.2.1");
    let mut trunks = trunks_of(trunk("a", &["192.0.2.0/24"], vec![a.clone()]), now);
    trunks.retry_after(&id("a"), &a, Duration::from_secs(86_400), now);
    assert_eq!(trunks.select(&id("a"), Choice::Well, &[], now), Err(Criterion::RetryLater));
    assert_eq!(trunks.select(&id("a"), Choice::LastResort, &[], now), Err(Criterion::RetryLater));
    let later = now + RETRY_AFTER_MAX;
    assert_eq!(trunks.select(&id("a"), Choice::Well, &[], later), Ok(a));
}
