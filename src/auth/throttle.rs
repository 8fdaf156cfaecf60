//! Slows down guessing: failed logins are counted for each account name and client address.

use crate::domain::rate::{Gcra, Rate};
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

const FAILURES: Rate = Rate { burst: 5, period: Duration::from_mins(1) };
const PRUNED_FROM: usize = 4096;

/// Five failures at once and one more each minute, for a name at an address, whether or not the name exists. Nobody
/// can lock somebody else out: the owner comes from another address.
///
/// A token is taken before the password is looked at and given back when it was right, so that a hundred parallel
/// guesses cannot slip by. Whoever finds no token while others are still being looked at waits for those, so that
/// many honest logins at once all get in.
#[derive(Default)]
pub(crate) struct LoginThrottle {
    hasher: RandomState,
    buckets: Mutex<Buckets>,
    settled: Notify,
}

#[derive(Default)]
struct Buckets {
    /// By a keyed hash of name and address: a key of any length costs eight bytes.
    failures: HashMap<u64, Bucket>,
    prune_at: usize,
}

#[derive(Default)]
struct Bucket {
    failures: Gcra,
    /// Attempts that hold a token and may yet give it back.
    under_way: u32,
}

enum Taken {
    Yes,
    No { retry_after: Duration },
    NotYetKnown,
}

/// One attempt under way. Abandoned, it counts as a failure: else leaving before the answer would be a way round.
#[must_use]
pub(crate) struct Attempt<'a> {
    throttle: &'a LoginThrottle,
    key: u64,
}

impl LoginThrottle {
    /// `name` in its folded form; `address` as it is bucketed.
    pub(crate) async fn attempt(&self, name: &str, address: IpAddr, now: Moment) -> Result<Attempt<'_>> {
        let key = self.hasher.hash_one((name, address));
        loop {
            // Made before the look: what settles after it is not missed.
            let settled = self.settled.notified();
            let taken = self.buckets().take(key, now);
            match taken {
                Taken::Yes => return Ok(Attempt { throttle: self, key }),
                Taken::No { retry_after } => return Err(Error::RateLimited { retry_after }),
                Taken::NotYetKnown => settled.await,
            }
        }
    }

    /// Somebody has failed at another server.
    pub(crate) fn count_failure(&self, name: &str, address: IpAddr, now: Moment) {
        let mut buckets = self.buckets();
        buckets.prune_if_grown(now);
        let bucket = buckets.failures.entry(self.hasher.hash_one((name, address))).or_default();
        // Refused or not: it has happened.
        let _ = bucket.failures.take(&FAILURES, now);
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
        if !matches!(outcome, Err(Error::InvalidCredentials | Error::WrongPassword))
            && let Some(bucket) = self.throttle.buckets().failures.get_mut(&self.key)
        {
            bucket.failures.give_back(&FAILURES);
        }
        outcome
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(bucket) = self.throttle.buckets().failures.get_mut(&self.key) {
            bucket.under_way = bucket.under_way.saturating_sub(1);
        }
        self.throttle.settled.notify_waiters();
    }
}

impl Buckets {
    fn take(&mut self, key: u64, now: Moment) -> Taken {
        self.prune_if_grown(now);
        let bucket = self.failures.entry(key).or_default();
        match bucket.failures.take(&FAILURES, now) {
            Ok(()) => {
                bucket.under_way += 1;
                Taken::Yes
            }
            Err(retry_after) if bucket.under_way == 0 => Taken::No { retry_after },
            Err(_) => Taken::NotYetKnown,
        }
    }

    /// Every entry stands for a hash computed in the last five minutes, so what is left is bounded by the processor.
    fn prune_if_grown(&mut self, now: Moment) {
        if self.failures.len() >= self.prune_at.max(PRUNED_FROM) {
            self.prune(now);
            self.prune_at = self.failures.len() * 2;
        }
    }

    fn prune(&mut self, now: Moment) {
        self.failures.retain(|_, bucket| bucket.under_way > 0 || !bucket.failures.is_full(now));
        self.failures.shrink_to(PRUNED_FROM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Moment {
        Moment { wall: DateTime::UNIX_EPOCH, mono: Duration::from_secs(seconds) }
    }

    /// One wrong password; whether it was looked at.
    async fn fail(throttle: &LoginThrottle, name: &str, address: IpAddr, now: Moment) -> bool {
        match throttle.attempt(name, address, now).await {
            Ok(attempt) => attempt.settle::<()>(Err(Error::InvalidCredentials)).is_err(),
            Err(_) => false,
        }
    }

    async fn failures(throttle: &LoginThrottle, name: &str, now: Moment) -> usize {
        let mut looked_at = 0;
        while fail(throttle, name, HERE, now).await {
            looked_at += 1;
        }
        looked_at
    }

    #[tokio::test]
    async fn the_sixth_failure_waits_a_minute() {
        let throttle = LoginThrottle::default();
        assert_eq!(failures(&throttle, "ann", at(0)).await, 5);
        let Err(Error::RateLimited { retry_after }) = throttle.attempt("ann", HERE, at(20)).await else {
            panic!("it was let through")
        };
        assert_eq!(retry_after, Duration::from_secs(40));
        assert_eq!(failures(&throttle, "ann", at(60)).await, 1);
    }

    #[tokio::test]
    async fn another_name_or_address_is_another_matter() {
        let throttle = LoginThrottle::default();
        failures(&throttle, "ann", at(0)).await;
        assert!(fail(&throttle, "bob", HERE, at(0)).await);
        assert!(fail(&throttle, "ann", "10.0.0.1".parse().unwrap(), at(0)).await);
    }

    #[tokio::test]
    async fn only_a_wrong_password_counts() {
        let throttle = LoginThrottle::default();
        for _ in 0..50 {
            throttle.attempt("ann", HERE, at(0)).await.unwrap().settle(Ok(())).unwrap();
            let busy = throttle.attempt("ann", HERE, at(0)).await.unwrap();
            assert_eq!(busy.settle::<()>(Err(Error::unavailable())).unwrap_err().code(), "unavailable");
        }
        let wrong = throttle.attempt("ann", HERE, at(0)).await.unwrap();
        assert!(wrong.settle::<()>(Err(Error::WrongPassword)).is_err());
        assert_eq!(failures(&throttle, "ann", at(0)).await, 4);
    }

    #[tokio::test]
    async fn an_abandoned_attempt_counts() {
        let throttle = LoginThrottle::default();
        for _ in 0..5 {
            drop(throttle.attempt("ann", HERE, at(0)).await.unwrap());
        }
        assert!(!fail(&throttle, "ann", HERE, at(0)).await);
    }

    async fn in_parallel(outcome: fn() -> Result<()>) -> (usize, usize) {
        let throttle = LoginThrottle::default();
        let looked_at = AtomicUsize::new(0);
        let guess = async || {
            let attempt = throttle.attempt("ann", HERE, at(0)).await?;
            looked_at.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            attempt.settle(outcome())
        };
        let outcomes = futures_util::future::join_all((0..100).map(|_| guess())).await;
        (looked_at.load(Relaxed), outcomes.iter().filter(|outcome| outcome.is_ok()).count())
    }

    #[tokio::test]
    async fn of_a_hundred_parallel_guesses_five_are_looked_at() {
        assert_eq!(in_parallel(|| Err(Error::InvalidCredentials)).await, (5, 0));
    }

    #[tokio::test]
    async fn a_hundred_parallel_honest_logins_all_get_in() {
        assert_eq!(in_parallel(|| Ok(())).await, (100, 100));
    }

    #[tokio::test]
    async fn what_is_long_ago_is_forgotten() {
        let throttle = LoginThrottle::default();
        for i in 0..50_000_u32 {
            fail(&throttle, &format!("name{i}"), HERE, at(u64::from(i))).await;
        }
        assert!(throttle.buckets().failures.len() < 2 * PRUNED_FROM);
        let under_way = throttle.attempt("ann", HERE, at(50_000)).await.unwrap();
        throttle.prune(at(60_000));
        assert_eq!(throttle.buckets().failures.len(), 1);
        drop(under_way);
        throttle.prune(at(60_000));
        assert!(throttle.buckets().failures.is_empty());
    }
}
