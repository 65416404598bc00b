//! Drivers of real programs: Trunkline as it is shipped, SIPp, baresip, and phones that play and record RTP.
//!
//! Every test claims a block of loopback addresses of its own ([`Addresses`]), so that all can use the well-known
//! ports and still run beside each other, and a capture of one is easy to read.

mod addresses;
mod audio;
mod baresip;
mod heard;
mod phone;
mod process;
mod sipp;
mod stage;
mod swarm;
mod trunkline;

pub use addresses::{Addresses, free_port};
pub use audio::{Speech, decode_alaw, decode_ulaw};
pub use baresip::Baresip;
pub use heard::{Digit, Heard, Packet};
pub use phone::{Phone, Playing};
pub use process::Process;
pub use sipp::{Caller, Direction, Message, Sipp};
pub use stage::{Carrier, EAST_NUMBER, Stage, WEST_NUMBER};
pub use swarm::{Stream, Swarm, SwarmAtWork};
pub use trunkline::{Metrics, Trunk, Trunkline, binary, udp_ports_of, wait_for_free_ports};

use std::time::{Duration, Instant};

/// How long a test waits for anything that has to happen, before it says what did not.
///
/// Longer than any pause of a scenario and than the retransmissions of a lost datagram; only a failing test waits
/// for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the question has an answer.
///
/// # Panics
/// When there is none after [`PATIENCE`]; `what` says what was waited for.
pub fn wait_for<T>(what: &str, question: impl FnMut() -> Option<T>) -> T {
    wait_up_to(PATIENCE, what, question)
}

/// Waits until the question has an answer, up to `limit`.
///
/// # Panics
/// When there is none by then.
pub fn wait_up_to<T>(limit: Duration, what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
