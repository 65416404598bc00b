//! How much a tenant may ask for in a time.

use crate::error::ApiError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// So many requests in so many seconds; as many at once, when none came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a window.
    pub requests: u32,
    /// Length of the window.
    pub window_secs: u32,
}

/// The rates of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// All requests together.
    pub all: Rate,
    /// New users and tokens.
    pub issue: Rate,
    /// Deleted users and revoked tokens.
    pub revoke: Rate,
    /// Everything that may change something.
    pub write: Rate,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// All requests.
    All,
    /// New users and tokens.
    Issue,
    /// Deleted users and revoked tokens.
    Revoke,
    /// Everything that may change something.
    Write,
}

/// What the tenants have left of their rates, in this program.
pub(crate) struct Limits {
    rates: Rates,
    buckets: Mutex<HashMap<(Uuid, Counted), Bucket>>,
    in_progress: Arc<AtomicUsize>,
    in_progress_max: usize,
}

/// A request in progress.
pub(crate) struct InProgress(Arc<AtomicUsize>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Thousandths of requests left.
    left: i64,
    filled_unix_ms: i64,
}

/// Buckets above which full ones are thrown away: they say no more than none. Only tenants that exist and have
/// signed their request get one, so they are few; it is those deleted since that would pile up.
const BUCKETS_BEFORE_PRUNING: usize = 4096;

impl Default for Rates {
    /// Those of the public service for identities; for everything together about what a small machine can do, so
    /// that one tenant cannot pile up more than that; for writes, which all wait for one disk, about half of what that
    /// can do, so that one tenant leaves the others their share.
    fn default() -> Self {
        Self {
            all: Rate { requests: 300_000, window_secs: 30 },
            issue: Rate { requests: 1_000, window_secs: 30 },
            revoke: Rate { requests: 500, window_secs: 30 },
            write: Rate { requests: 30_000, window_secs: 30 },
        }
    }
}

impl Rate {
    /// The size of the bucket, in thousandths.
    fn full(self) -> i64 {
        i64::from(self.requests).saturating_mul(1000)
    }

    /// Thousandths that a time brings.
    fn in_ms(self, ms: i64) -> i64 {
        ms.saturating_mul(self.requests.into()) / i64::from(self.window_secs.max(1))
    }

    /// Seconds until a whole request is there again.
    fn pause_secs(self, missing: i64) -> u32 {
        let per_sec = self.in_ms(1000).max(1);
        u32::try_from(missing.div_euclid(per_sec) + 1).unwrap_or(self.window_secs)
    }
}

impl Limits {
    pub(crate) fn new(rates: Rates, in_progress_max: usize) -> Self {
        Self { rates, buckets: Mutex::default(), in_progress: Arc::default(), in_progress_max }
    }

    /// Counts a request as in progress until what is returned is dropped.
    ///
    /// # Errors
    /// 503 when as many are as may be.
    pub(crate) fn begin(&self) -> Result<InProgress, ApiError> {
        let begun = InProgress(Arc::clone(&self.in_progress));
        if self.in_progress.fetch_add(1, Ordering::Relaxed) >= self.in_progress_max {
            return Err(ApiError::unavailable());
        }
        Ok(begun)
    }

    /// Counts a request of a tenant.
    ///
    /// # Errors
    /// 429 with the pause after which it would pass.
    pub(crate) fn count(&self, resource: Uuid, counted: Counted, now_unix_ms: i64) -> Result<(), ApiError> {
        let rate = match counted {
            Counted::All => self.rates.all,
            Counted::Issue => self.rates.issue,
            Counted::Revoke => self.rates.revoke,
            Counted::Write => self.rates.write,
        };
        // A bucket is whole between any two statements, so a panic elsewhere spoils nothing.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_BEFORE_PRUNING {
            buckets.retain(|_, bucket| now_unix_ms - bucket.filled_unix_ms < FULL_AGAIN_MS);
        }
        let fresh = Bucket { left: rate.full(), filled_unix_ms: now_unix_ms };
        let bucket = buckets.entry((resource, counted)).or_insert(fresh);
        // The clock may be set back: that brings nothing, and time counts from there.
        bucket.filled_unix_ms = bucket.filled_unix_ms.min(now_unix_ms);
        let brought = rate.in_ms(now_unix_ms.saturating_sub(bucket.filled_unix_ms));
        if brought > 0 {
            bucket.left = bucket.left.saturating_add(brought).min(rate.full());
            bucket.filled_unix_ms = now_unix_ms;
        }
        if bucket.left < 1000 {
            return Err(ApiError::too_many_requests(rate.pause_secs(1000 - bucket.left)));
        }
        bucket.left -= 1000;
        Ok(())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// No window that an operator would set is longer than an hour.
const FULL_AGAIN_MS: i64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_rate_and_no_more_and_others_have_theirs() {
        let rate = Rate { requests: 10, window_secs: 5 };
        let limits = Limits::new(Rates { all: rate, ..Rates::default() }, 1);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let passes = |tenant, now| limits.count(tenant, Counted::All, now).is_ok();
        assert_eq!((0..20).filter(|_| passes(one, 0)).count(), 10);
        assert!(passes(other, 0));
        assert!(!passes(one, 499));
        assert!(passes(one, 500));
        assert!(!passes(one, 500));
        assert_eq!((0..20).filter(|_| passes(one, 60_000)).count(), 10);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let rate = Rate { requests: 10, window_secs: 10 };
        let limits = Limits::new(Rates { write: rate, ..Rates::default() }, 1);
        let one = Uuid::from_u128(1);
        let passes = |now| limits.count(one, Counted::Write, now).is_ok();
        let day = 86_400_000;
        assert_eq!((0..20).filter(|_| passes(day)).count(), 10);
        assert!(!passes(0));
        assert!(passes(1_000));
        assert_eq!((0..20).filter(|_| passes(60_000)).count(), 10);
    }

    #[test]
    fn who_comes_when_all_places_are_taken_is_asked_to_come_again() {
        let limits = Limits::new(Rates::default(), 2);
        let (first, second) = (limits.begin().unwrap(), limits.begin().unwrap());
        assert_eq!(limits.begin().err().map(|error| error.status().as_u16()), Some(503));
        drop(first);
        assert!(limits.begin().is_ok());
        drop(second);
    }
}
