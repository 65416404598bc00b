//! The pool of RTP ports.

use crate::error::ConfigError;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Even ports for RTP; the odd port after each is its RTCP (RFC 3550 §11).
///
/// The port that was given back longest ago is given out first, so that late packets of an old call have the
/// longest time to die out before they could meet a new one.
#[derive(Debug)]
pub(crate) struct PortPool {
    free: VecDeque<u16>,
    size: usize,
}

impl PortPool {
    /// Returns a pool of all even ports of the range whose odd neighbour is in it too.
    ///
    /// # Errors
    /// [`ConfigError::PortRange`] when there is none.
    pub(crate) fn new(range: RangeInclusive<u16>) -> Result<Self, ConfigError> {
        let (first, last) = (*range.start(), *range.end());
        let free: VecDeque<u16> = range.filter(|port| *port != 0 && port % 2 == 0 && *port < last).collect();
        if free.is_empty() {
            return Err(ConfigError::PortRange(first, last));
        }
        Ok(Self { size: free.len(), free })
    }

    /// Takes an RTP port for each leg of a call that wants one; none at all when there are too few.
    pub(crate) fn take(&mut self, wanted: [bool; 2]) -> Option<[Option<u16>; 2]> {
        if self.free.len() < wanted.into_iter().filter(|wanted| *wanted).count() {
            return None;
        }
        Some(wanted.map(|wanted| if wanted { self.free.pop_front() } else { None }))
    }

    /// Takes ports back. They must have come from [`take`](Self::take), and their sockets be closed.
    pub(crate) fn give_back(&mut self, ports: [Option<u16>; 2]) {
        self.free.extend(ports.into_iter().flatten());
    }

    /// Returns how many RTP ports are in use.
    pub(crate) fn in_use(&self) -> usize {
        self.size - self.free.len()
    }

    /// Returns how many RTP ports are free.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [bool; 2] = [true; 2];

    #[test]
    fn ports_are_even_with_their_odd_neighbour_in_the_range() {
        let mut pool = PortPool::new(20_001..=20_006).unwrap();
        assert_eq!(pool.take(BOTH), Some([Some(20_002), Some(20_004)]), "20006 has no 20007");
        assert_eq!((pool.take(BOTH), pool.take([true, false])), (None, None));
        assert_eq!(pool.take([false, false]), Some([None, None]));
        assert_eq!(pool.in_use(), 2);
    }

    #[test]
    fn a_port_given_back_is_the_last_to_be_used_again() {
        let mut pool = PortPool::new(20_000..=20_007).unwrap();
        let first = pool.take(BOTH).unwrap();
        pool.give_back(first);
        assert_eq!(pool.take(BOTH), Some([Some(20_004), Some(20_006)]));
        assert_eq!(pool.take([false, true]), Some([None, Some(20_000)]));
        assert_eq!(pool.take([true, false]), Some([Some(20_002), None]));
        assert_eq!(pool.free(), 0);
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        assert_eq!(PortPool::new(20_001..=20_002).unwrap_err(), ConfigError::PortRange(20_001, 20_002));
        assert!(PortPool::new(65_534..=65_535).is_ok());
    }
}
