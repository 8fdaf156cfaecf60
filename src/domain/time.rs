//! A reading of the clock: what the wall says, and a monotonic reading that nobody can set.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Further than any deadline.
const FAR: Duration = Duration::from_hours(24);

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
        let since = TimeDelta::from_std(self.since(start)).unwrap_or(TimeDelta::MAX);
        start.wall.checked_add_signed(since).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// What another machine's monotonic clock called `at` when it read `then`, on the clock that read this: only their wall clocks
    /// can be compared.
    pub(crate) fn same_instant(self, then: Self, at: Duration) -> Duration {
        let passed = (self.wall - then.wall).to_std().unwrap_or(Duration::ZERO);
        let instant = self.mono.saturating_add(at).saturating_sub(then.mono.saturating_add(passed));
        // Nothing of a call lies further ahead, whatever the other machine says.
        instant.min(self.mono.saturating_add(FAR))
    }

    /// How long until the wall clock says `date`, zero if it has passed.
    pub(crate) fn until(self, date: DateTime<Utc>) -> Duration {
        (date - self.wall).to_std().unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_of_another_machine_that_make_no_sense_do_no_harm() {
        let wall = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let here = Moment { wall, mono: Duration::from_secs(100) };
        let never = Moment { wall: DateTime::<Utc>::MAX_UTC, mono: Duration::MAX };
        let always = Moment { wall: DateTime::<Utc>::MIN_UTC, mono: Duration::ZERO };
        for then in [never, always] {
            for at in [Duration::ZERO, Duration::MAX] {
                assert!(here.same_instant(then, at) <= here.mono + FAR);
            }
        }
        let later = Moment { wall, mono: Duration::MAX };
        assert_eq!(later.dated_from(never), DateTime::<Utc>::MAX_UTC);
        assert_eq!(later.dated_from(Moment { mono: Duration::ZERO, ..never }), DateTime::<Utc>::MAX_UTC);
    }
}
