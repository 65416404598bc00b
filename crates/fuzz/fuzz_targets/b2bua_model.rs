//! A life of calls between two phones and the B2BUA. The first byte makes all that is random, the second the share of
//! packets lost; each two bytes after them are a step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_tests::sim::{Step, Weather, live};

/// Longer lives say no more, and take longer.
const STEPS_MAX: usize = 64;

/// Most packets lost, in percent: beyond, retransmissions run out and both sides may rightly disagree for a while.
const LOSS_MAX: u8 = 20;

fuzz_target!(|data: &[u8]| {
    let [seed, loss, steps @ ..] = data else { return };
    let weather = match loss % LOSS_MAX {
        0 => Weather::FAIR,
        percent => Weather::stormy(f64::from(percent) / 100.0),
    };
    let (steps, _) = steps.as_chunks::<2>();
    let steps: Vec<Step> = steps.iter().take(STEPS_MAX).copied().map(Step::from_bytes).collect();
    live(u64::from(*seed), weather, &steps);
});
