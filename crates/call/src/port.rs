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

    /// Takes two RTP ports, one for each leg of a call.
    pub(crate) fn take_pair(&mut self) -> Option<[u16; 2]> {
        if self.free.len() < 2 {
            return None;
        }
        Some([self.free.pop_front()?, self.free.pop_front()?])
    }

    /// Takes ports back. They must have come from [`take_pair`](Self::take_pair), and their sockets be closed.
    pub(crate) fn give_back(&mut self, ports: [u16; 2]) {
        self.free.extend(ports);
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

    #[test]
    fn ports_are_even_with_their_odd_neighbour_in_the_range() {
        let mut pool = PortPool::new(20_001..=20_006).unwrap();
        assert_eq!(pool.take_pair(), Some([20_002, 20_004]), "20006 has no 20007");
        assert_eq!(pool.take_pair(), None);
        assert_eq!(pool.in_use(), 2);
    }

    #[test]
    fn a_port_given_back_is_the_last_to_be_used_again() {
        let mut pool = PortPool::new(20_000..=20_007).unwrap();
        let first = pool.take_pair().unwrap();
        pool.give_back(first);
        assert_eq!(pool.take_pair(), Some([20_004, 20_006]));
        assert_eq!(pool.take_pair(), Some(first));
        assert_eq!(pool.free(), 0);
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        assert_eq!(PortPool::new(20_001..=20_002).unwrap_err(), ConfigError::PortRange(20_001, 20_002));
        assert!(PortPool::new(65_534..=65_535).is_ok());
    }
}
