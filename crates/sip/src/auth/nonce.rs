//! Nonces: known again without being kept, good for a while, and each count of one good once (RFC 7616 §3.3, §3.4).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Makes nonces and knows them again.
pub struct Nonces {
    key: [u8; 32],
    start: Instant,
    issued: u64,
    /// What was used of each nonce that was used, by its serial.
    used: BTreeMap<u64, Window>,
    /// Nonces before this one count as stale: what was used of them is forgotten.
    floor: u64,
}

/// What a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It may be used, and this count of it is used now.
    Fresh,
    /// It was ours, and its time is over.
    Stale,
    /// This count of it was used before.
    Replayed,
    /// We never gave it out.
    Foreign,
}

/// The counts that were used.
#[derive(Debug, Clone, Copy)]
struct Window {
    highest: u32,
    /// Bit `n` says that `highest - n` was used.
    seen: u64,
}

/// How long a nonce is good. A client answers a challenge at once, and goes on with the nonce for its next few
/// requests; after that it costs it one round trip to get another.
const LIFETIME: Duration = Duration::from_secs(300);

/// Most nonces whose use is remembered, which is some 4 MB. Beyond that the oldest count as stale, early.
const USED_MAX: usize = 50_000;

impl Nonces {
    /// Returns a maker of nonces. The key must be unpredictable.
    pub fn new(key: [u8; 32], now: Instant) -> Self {
        Self { key, start: now, issued: 0, used: BTreeMap::new(), floor: 0 }
    }

    /// Returns a nonce that was never given out before.
    pub fn issue(&mut self, now: Instant) -> String {
        self.issued += 1;
        let ms = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        format!("{:016x}{ms:016x}{:032x}", self.issued, self.mac(self.issued, ms))
    }

    /// Says what a nonce is worth with a count of its uses, and takes note of the use.
    ///
    /// Ask only for a response that is right in everything else: anybody can write the nonce and the count of another.
    pub fn take(&mut self, now: Instant, nonce: &str, count: u32) -> Freshness {
        let Some((serial, issued)) = self.read(nonce) else { return Freshness::Foreign };
        self.make_room();
        if now.saturating_duration_since(issued) > LIFETIME || serial < self.floor {
            return Freshness::Stale;
        }
        let window = self.used.entry(serial).or_insert(Window { highest: 0, seen: 1 });
        if window.take(count) { Freshness::Fresh } else { Freshness::Replayed }
    }

    /// Whether we gave out a nonce, whatever it is worth by now.
    pub fn is_ours(&self, nonce: &str) -> bool {
        self.read(nonce).is_some()
    }

    fn read(&self, nonce: &str) -> Option<(u64, Instant)> {
        if nonce.len() != 64 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = |range| nonce.get(range).and_then(|text| u64::from_str_radix(text, 16).ok());
        let (serial, ms) = (number(0..16)?, number(16..32)?);
        let mac = u128::from_str_radix(nonce.get(32..64)?, 16).ok()?;
        let is_ours: bool = mac.to_be_bytes().ct_eq(&self.mac(serial, ms).to_be_bytes()).into();
        Some((serial, self.start.checked_add(Duration::from_millis(ms))?)).filter(|_| is_ours)
    }

    /// A keyed hash of what has one length only, so that nobody can add to it.
    fn mac(&self, serial: u64, ms: u64) -> u128 {
        let hash = Sha256::new().chain_update(self.key).chain_update(serial.to_be_bytes());
        let hash: [u8; 32] = hash.chain_update(ms.to_be_bytes()).finalize().into();
        hash.first_chunk().map_or(0, |half| u128::from_be_bytes(*half))
    }

    /// Forgets the oldest: serials are in the order of time.
    fn make_room(&mut self) {
        while self.used.len() >= USED_MAX {
            let Some((serial, _)) = self.used.pop_first() else { return };
            self.floor = serial + 1;
        }
    }
}

impl Window {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
            self.highest = count;
            return true;
        }
        let bit = match self.highest - count {
            // Too far behind to be known.
            64.. => return false,
            behind => 1_u64 << behind,
        };
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    fn nonces() -> (Nonces, Instant) {
        let now = first_instant();
        (Nonces::new([7; 32], now), now)
    }

    #[test]
    fn a_count_of_a_nonce_is_good_once_in_any_order() {
        let (mut nonces, now) = nonces();
        let nonce = nonces.issue(now);
        for (count, expected) in [
            (1, Freshness::Fresh),
            (1, Freshness::Replayed),
            (5, Freshness::Fresh),
            (3, Freshness::Fresh),
            (3, Freshness::Replayed),
            (0, Freshness::Replayed),
            (200, Freshness::Fresh),
            (100, Freshness::Replayed),
            (u32::MAX, Freshness::Fresh),
            (u32::MAX, Freshness::Replayed),
        ] {
            assert_eq!(nonces.take(now, &nonce, count), expected, "{count}");
        }
    }

    #[test]
    fn a_nonce_grows_stale_and_another_server_does_not_know_it() {
        let (mut nonces, now) = nonces();
        let nonce = nonces.issue(now);
        assert_eq!(nonces.take(now + LIFETIME, &nonce, 1), Freshness::Fresh);
        assert_eq!(nonces.take(now + LIFETIME + Duration::from_millis(1), &nonce, 2), Freshness::Stale);
        let mut other = Nonces::new([8; 32], now);
        assert_eq!(other.take(now, &nonce, 1), Freshness::Foreign);
        let mut forged = nonce.clone();
        forged.replace_range(15..16, if nonce.get(15..16) == Some("1") { "2" } else { "1" });
        assert_eq!(nonces.take(now, &forged, 1), Freshness::Foreign);
        for nonsense in ["", "x", &"+".repeat(64), &"é".repeat(32)] {
            assert_eq!(nonces.take(now, nonsense, 1), Freshness::Foreign);
        }
    }

    #[test]
    fn forgetting_the_use_of_a_nonce_never_makes_it_good_again() {
        let (mut nonces, now) = nonces();
        let first = nonces.issue(now);
        assert_eq!(nonces.take(now, &first, 1), Freshness::Fresh);
        for _ in 0..USED_MAX {
            let nonce = nonces.issue(now);
            assert_eq!(nonces.take(now, &nonce, 1), Freshness::Fresh);
        }
        assert!(nonces.used.len() <= USED_MAX);
        assert_eq!(nonces.take(now, &first, 1), Freshness::Stale);
    }
}
