//! A rate limit as a value: the generic cell rate algorithm, one instant per bucket and no timer.

use super::time::Moment;
use std::time::Duration;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many may happen at once, from rest.
    pub(crate) burst: u32,
    /// One more each period.
    pub(crate) period: Duration,
}

/// One bucket. The default is a full one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gcra {
    /// The monotonic time at which the bucket is full again.
    full_at: Duration,
}

impl Gcra {
    /// Takes a token, or says how long until there is one. A refused take costs nothing.
    pub(crate) fn take(&mut self, rate: &Rate, now: Moment) -> Result<(), Duration> {
        let full_at = self.full_at.max(now.mono).saturating_add(rate.period);
        let wait = full_at.saturating_sub(now.mono).saturating_sub(rate.period.saturating_mul(rate.burst));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Puts a token back that turned out not to count.
    pub(crate) fn give_back(&mut self, rate: &Rate) {
        self.full_at = self.full_at.saturating_sub(rate.period);
    }

    /// Whether it says no more than a new one would, so that it can be forgotten.
    pub(crate) fn is_full(&self, now: Moment) -> bool {
        self.full_at <= now.mono
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    const RATE: Rate = Rate { burst: 5, period: Duration::from_mins(1) };

    fn at(seconds: u64) -> Moment {
        Moment { wall: DateTime::UNIX_EPOCH, mono: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_burst_passes_and_then_one_each_period() {
        let mut bucket = Gcra::default();
        for _ in 0..5 {
            assert_eq!(bucket.take(&RATE, at(1000)), Ok(()));
        }
        assert_eq!(bucket.take(&RATE, at(1000)), Err(Duration::from_mins(1)));
        assert_eq!(bucket.take(&RATE, at(1045)), Err(Duration::from_secs(15)));
        assert_eq!(bucket.take(&RATE, at(1060)), Ok(()));
        assert_eq!(bucket.take(&RATE, at(1060)), Err(Duration::from_mins(1)));
    }

    #[test]
    fn a_rest_fills_the_bucket_but_never_beyond_the_burst() {
        let mut bucket = Gcra::default();
        let _ = bucket.take(&RATE, at(0));
        assert!(!bucket.is_full(at(59)));
        assert!(bucket.is_full(at(60)));
        let passed = (0..20).filter(|_| bucket.take(&RATE, at(1_000_000)).is_ok()).count();
        assert_eq!(passed, 5);
    }

    #[test]
    fn a_token_given_back_can_be_taken_again() {
        let mut bucket = Gcra::default();
        for _ in 0..100 {
            assert_eq!(bucket.take(&RATE, at(7)), Ok(()));
            bucket.give_back(&RATE);
        }
        assert!(bucket.is_full(at(7)));
        bucket.give_back(&RATE);
        let passed = (0..20).filter(|_| bucket.take(&RATE, at(7)).is_ok()).count();
        assert_eq!(passed, 5, "giving back too often wins nothing");
    }

    #[test]
    fn a_rate_without_burst_lets_nothing_pass() {
        let none = Rate { burst: 0, period: Duration::from_secs(1) };
        assert!(Gcra::default().take(&none, at(99)).is_err());
    }
}
