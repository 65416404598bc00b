//! Where tests of sans-IO machines take their first instant.

use std::time::Instant;

/// Returns an instant to count from in a test or a simulation.
///
/// Machines never read a clock: `now` is an argument. A test needs one real `Instant` to start from,
/// because the standard library offers no other way to make one; everything after it is arithmetic.
#[expect(clippy::disallowed_methods, reason = "the one place where a test's first instant is made")]
pub fn first_instant() -> Instant {
    Instant::now()
}
