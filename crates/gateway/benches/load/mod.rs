//! What the benches of the whole gateway share: a server in a process of its own on the first core, a load
//! generator on the second, and one shape of result.

pub mod calls;
pub mod process;
pub mod report;
pub mod rtp;

use anyhow::{Context as _, Result};
use rustix::thread::CpuSet;

/// The core that the measured server runs on.
pub const SERVER_CORE: usize = 0;

/// The core that the generator runs on, so that it does not take time from what it measures.
pub const GENERATOR_CORE: usize = 1;

/// Keeps this thread on the generator's core.
pub fn pin_generator() -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(GENERATOR_CORE);
    rustix::thread::sched_setaffinity(None, &cores).context("this bench needs two cores")
}
