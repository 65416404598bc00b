//! Random lives of calls, held against what must always be so: once things are quiet, both phones agree whether
//! a call is up, and once all is over nothing is left.

use std::time::Duration;
use trunkline_tests::sim::{Answering, CALLEE, CARRIER, State, Step, Steps, Weather, World};

/// How many lives, times how many steps each. The long run sets `TRUNKLINE_LIVES`.
fn lives() -> u64 {
    std::env::var("TRUNKLINE_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn both_sides_always_agree_in_fair_weather() {
    for seed in 0..lives() {
        live(seed, Weather::FAIR);
    }
}

#[test]
fn both_sides_always_agree_in_a_storm() {
    for seed in 0..lives() {
        live(10_000 + seed, Weather::stormy(0.15));
    }
}

fn live(seed: u64, weather: Weather) {
    let mut world = World::new(seed);
    for phone in &mut world.phones {
        phone.speaks = false;
        phone.answering = Answering::ByHand;
    }
    let steps: Vec<Step> = Steps::new(seed, 40).collect();
    let mut crashed = false;
    world.net.weather = weather;
    for step in &steps {
        crashed |= matches!(step, Step::Crash(_));
        step.take(&mut world);
    }
    // Longer than a callee may ring, and than timer B.
    world.net.weather = Weather::FAIR;
    world.run_for(Duration::from_secs(160));
    if !crashed {
        let up =
            |phone: usize| world.phones[phone].calls.values().filter(|call| call.state == State::Up).count();
        let (carrier, callee) = (up(CARRIER), up(CALLEE));
        assert_eq!(carrier, callee, "seed {seed}: {steps:?}\n{}", world.net.ladder());
        assert_eq!(world.gateway.counts().bridges, bridges_expected(&world), "seed {seed}: {steps:?}");
    }
    // A side that crashed hangs up nothing: its calls end by the session timer of the other.
    for phone in [CARRIER, CALLEE] {
        let sessions: Vec<_> = world.phones[phone].calls.keys().copied().collect();
        for session in sessions {
            world.act(phone, |phone, now| phone.hang_up_call(now, session));
        }
    }
    if crashed {
        world.run_for(Duration::from_secs(2 * 3600));
    }
    world.assert_nothing_left();
}

/// A bridge for each call that is up or ringing.
fn bridges_expected(world: &World) -> usize {
    world.phones[CARRIER].calls.values().filter(|call| !matches!(call.state, State::Over(_))).count()
}
