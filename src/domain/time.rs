//! A reading of the clock: what the wall says, and a monotonic reading that nobody can set.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One instant, read twice. Deadlines use [`Moment::mono`], so that a wall clock that is set an hour
/// forward ends no call; rows and tokens use [`Moment::wall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The date, in UTC.
    pub wall: DateTime<Utc>,
    /// Time since an arbitrary start; never runs backwards.
    pub mono: Duration,
}

impl Moment {
    /// The monotonic time from `earlier` to here, zero if it lies ahead.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono)
    }

    /// This instant dated by the wall clock as it stood at `start`: the times of one call stay in order
    /// whatever happens to the wall clock in between.
    pub(crate) fn dated_from(self, start: Self) -> DateTime<Utc> {
        start.wall + TimeDelta::from_std(self.since(start)).unwrap_or(TimeDelta::MAX)
    }

    /// What another machine's monotonic clock called `at` when it read `then`, on the clock that read this: only their wall clocks
    /// can be compared.
    pub(crate) fn same_instant(self, then: Self, at: Duration) -> Duration {
        let passed = (self.wall - then.wall).to_std().unwrap_or(Duration::ZERO);
        (self.mono + at).saturating_sub(then.mono + passed)
    }

    /// How long until the wall clock says `date`, zero if it has passed.
    pub(crate) fn until(self, date: DateTime<Utc>) -> Duration {
        (date - self.wall).to_std().unwrap_or(Duration::ZERO)
    }
}
