//! How much of everything.

use std::time::Duration;

/// As it is measured, or just enough to see that every scenario still runs.
pub(crate) struct Plan {
    pub(crate) rounds: u64,
    /// What the servers have for nothing before a window begins: just-in-time compilers, caches, pools.
    pub(crate) warm_up: Duration,
    /// What is measured at a time.
    pub(crate) window: Duration,
    /// Until memory has settled.
    pub(crate) settle: Duration,
    /// Of users who call each other.
    pub(crate) pairs: usize,
    /// Calls at once under full load.
    pub(crate) calls_at_once: usize,
    /// The same where nothing is said but that a call begins and ends.
    pub(crate) commits_at_once: [usize; 3],
    pub(crate) idle_sockets: [usize; 3],
    /// All their heartbeats.
    pub(crate) heartbeat: Duration,
    pub(crate) present_users: [usize; 3],
    /// For how long somebody comes or goes ten times a second.
    pub(crate) coming_and_going: Duration,
    pub(crate) filling_users: [usize; 3],
    pub(crate) listed_users: [usize; 3],
    /// Calls a second beside a flood of logins.
    pub(crate) calls_beside_logins: f64,
}

impl Plan {
    pub(crate) fn real(rounds: u64) -> Self {
        Self {
            rounds,
            warm_up: Duration::from_secs(4),
            window: Duration::from_secs(15),
            settle: Duration::from_secs(12),
            pairs: 4_000,
            calls_at_once: 128,
            commits_at_once: [16, 64, 256],
            idle_sockets: [2_500, 5_000, 10_000],
            heartbeat: crate::house::PING_INTERVAL,
            present_users: [500, 1_000, 2_000],
            coming_and_going: Duration::from_secs(12),
            filling_users: [250, 500, 1_000],
            listed_users: [25, 50, 100],
            calls_beside_logins: 50.0,
        }
    }

    pub(crate) fn quick() -> Self {
        Self {
            rounds: 1,
            warm_up: Duration::from_millis(200),
            window: Duration::from_secs(1),
            settle: Duration::from_millis(500),
            pairs: 100,
            calls_at_once: 8,
            commits_at_once: [2, 4, 8],
            idle_sockets: [20, 40, 80],
            heartbeat: Duration::from_secs(1),
            present_users: [10, 20, 40],
            coming_and_going: Duration::from_secs(2),
            filling_users: [10, 20, 40],
            listed_users: [5, 10, 20],
            calls_beside_logins: 10.0,
        }
    }

    /// Accounts that there must be: for everybody who is here, and those who come and go.
    pub(crate) fn users(&self) -> usize {
        let sizes = [self.idle_sockets, self.present_users, self.filling_users].concat();
        sizes.into_iter().max().unwrap_or_default().max(2 * self.pairs) + 500
    }
}
