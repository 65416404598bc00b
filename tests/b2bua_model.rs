//! Random lives of calls through the B2BUA, in fair weather and in a storm.

use trunkline_tests::sim::{Step, Steps, Weather, live, live_by_reference};

/// How many lives, of 40 steps each. The long run sets `TRUNKLINE_LIVES`.
fn lives() -> u64 {
    std::env::var("TRUNKLINE_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

fn steps(seed: u64) -> Vec<Step> {
    Steps::new(seed, 40).collect()
}

#[test]
fn both_sides_always_agree_in_fair_weather() {
    for seed in 0..lives() {
        live(seed, Weather::FAIR, &steps(seed));
    }
}

#[test]
fn both_sides_always_agree_in_a_storm() {
    for seed in 10_000..10_000 + lives() {
        live(seed, Weather::stormy(0.15), &steps(seed));
    }
}

#[test]
fn after_each_step_every_phone_believes_what_the_reference_says() {
    for seed in 20_000..20_000 + lives() {
        live_by_reference(seed, &steps(seed));
    }
}

#[test]
fn any_bytes_are_a_life() {
    // What the fuzz target does, with every step that two bytes can say.
    let steps: Vec<Step> = (0..=255).map(|what| Step::from_bytes([what, what.wrapping_mul(37)])).collect();
    for (seed, steps) in steps.chunks(32).enumerate() {
        live(seed as u64, Weather::stormy(0.1), steps);
    }
}
