//! Slows down guessing: failed logins are counted for each account name and client address.

use crate::domain::rate::{Gcra, Rate};
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const FAILURES: Rate = Rate { burst: 5, period: Duration::from_secs(60) };
const PRUNED_FROM: usize = 4096;

/// Five failures at once and one more each minute, for a name at an address, whether or not the name exists. Nobody
/// can lock somebody else out: the owner comes from another address.
///
/// A token is taken before the password is looked at and given back when it was right, so that a hundred parallel
/// guesses cannot slip by.
#[derive(Default)]
pub(crate) struct LoginThrottle {
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    /// By a keyed hash of name and address: a key of any length costs eight bytes.
    failures: HashMap<u64, Gcra>,
    prune_at: usize,
}

/// One attempt under way. Abandoned, it counts as a failure: else leaving before the answer would be a way round.
#[must_use]
pub(crate) struct Attempt<'a> {
    throttle: &'a LoginThrottle,
    key: u64,
}

impl LoginThrottle {
    /// `name` in its folded form; `address` as it is bucketed.
    pub(crate) fn attempt(&self, name: &str, address: IpAddr, now: Moment) -> Result<Attempt<'_>> {
        let key = self.hasher.hash_one((name, address));
        let mut buckets = self.buckets();
        buckets.prune_if_grown(now);
        let taken = buckets.failures.entry(key).or_default().take(&FAILURES, now);
        taken.map_err(|retry_after| Error::RateLimited { retry_after })?;
        Ok(Attempt { throttle: self, key })
    }

    /// Forgets who has not failed lately.
    pub(crate) fn prune(&self, now: Moment) {
        self.buckets().prune(now);
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        // Every change under the lock is complete in itself.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Counts as a failure if the password was wrong, and not if it was right or could not be looked at.
    pub(crate) fn settle<T>(self, outcome: Result<T>) -> Result<T> {
        if !matches!(outcome, Err(Error::InvalidCredentials | Error::WrongPassword)) {
            self.forgive();
        }
        outcome
    }

    fn forgive(self) {
        if let Some(bucket) = self.throttle.buckets().failures.get_mut(&self.key) {
            bucket.give_back(&FAILURES);
        }
    }
}

impl Buckets {
    /// Every entry stands for a hash computed in the last five minutes, so what is left is bounded by the processor.
    fn prune_if_grown(&mut self, now: Moment) {
        if self.failures.len() >= self.prune_at.max(PRUNED_FROM) {
            self.prune(now);
            self.prune_at = self.failures.len() * 2;
        }
    }

    fn prune(&mut self, now: Moment) {
        self.failures.retain(|_, bucket| !bucket.is_full(now));
        self.failures.shrink_to(PRUNED_FROM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Moment {
        Moment { wall: DateTime::UNIX_EPOCH, mono: Duration::from_secs(seconds) }
    }

    fn fail(throttle: &LoginThrottle, name: &str, address: IpAddr, now: Moment) -> bool {
        throttle.attempt(name, address, now).is_ok()
    }

    #[test]
    fn the_sixth_failure_waits_a_minute() {
        let throttle = LoginThrottle::default();
        assert_eq!((0..9).filter(|_| fail(&throttle, "ann", HERE, at(0))).count(), 5);
        let Err(Error::RateLimited { retry_after }) = throttle.attempt("ann", HERE, at(20)) else { panic!() };
        assert_eq!(retry_after, Duration::from_secs(40));
        assert!(fail(&throttle, "ann", HERE, at(60)));
        assert!(!fail(&throttle, "ann", HERE, at(60)));
    }

    #[test]
    fn another_name_or_address_is_another_matter() {
        let throttle = LoginThrottle::default();
        while fail(&throttle, "ann", HERE, at(0)) {}
        assert!(fail(&throttle, "bob", HERE, at(0)));
        assert!(fail(&throttle, "ann", "10.0.0.1".parse().unwrap(), at(0)));
    }

    #[test]
    fn only_a_wrong_password_counts() {
        let throttle = LoginThrottle::default();
        for _ in 0..50 {
            throttle.attempt("ann", HERE, at(0)).unwrap().settle(Ok(())).unwrap();
            let busy = throttle.attempt("ann", HERE, at(0)).unwrap().settle::<()>(Err(Error::unavailable()));
            assert_eq!(busy.unwrap_err().code(), "unavailable");
        }
        for wrong in [Error::InvalidCredentials, Error::WrongPassword] {
            assert!(throttle.attempt("ann", HERE, at(0)).unwrap().settle::<()>(Err(wrong)).is_err());
        }
        assert_eq!((0..9).filter(|_| fail(&throttle, "ann", HERE, at(0))).count(), 3);
    }

    #[test]
    fn an_abandoned_attempt_counts() {
        let throttle = LoginThrottle::default();
        for _ in 0..5 {
            drop(throttle.attempt("ann", HERE, at(0)).unwrap());
        }
        assert!(!fail(&throttle, "ann", HERE, at(0)));
    }

    #[test]
    fn attempts_under_way_count_as_failures() {
        let throttle = LoginThrottle::default();
        let under_way: Vec<_> = (0..100).filter_map(|_| throttle.attempt("ann", HERE, at(0)).ok()).collect();
        assert_eq!(under_way.len(), 5);
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let throttle = LoginThrottle::default();
        for i in 0..50_000_u32 {
            let _ = fail(&throttle, &format!("name{i}"), HERE, at(u64::from(i)));
        }
        assert!(throttle.buckets().failures.len() < 2 * PRUNED_FROM);
        throttle.prune(at(60_000));
        assert!(throttle.buckets().failures.is_empty());
    }
}
