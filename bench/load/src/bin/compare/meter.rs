//! Who took how much of a processor.

use crate::house::{Contestant, House};
use std::time::Duration;
use test_kit::process::cpu_of;
use tokio::time::Instant;

/// Between two readings.
pub(crate) struct Meter<'a> {
    house: &'a House,
    contestant: &'a Contestant,
    began: Instant,
    before: [Duration; 3],
}

/// Seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// On the clock.
    pub(crate) wall: f64,
    /// Of a processor, by the server.
    pub(crate) server: f64,
    /// By this process.
    pub(crate) generator: f64,
    pub(crate) postgres: f64,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(house: &'a House, contestant: &'a Contestant) -> Self {
        Self { house, contestant, began: Instant::now(), before: times(house, contestant) }
    }

    pub(crate) fn read(&self) -> Spent {
        let after = times(self.house, self.contestant);
        let [server, generator, postgres] =
            [0, 1, 2].map(|who| after[who].saturating_sub(self.before[who]).as_secs_f64());
        Spent { wall: self.began.elapsed().as_secs_f64(), server, generator, postgres }
    }
}

fn times(house: &House, contestant: &Contestant) -> [Duration; 3] {
    [contestant.server.cpu(), cpu_of(rustix::process::getpid()), house.postgres.cpu()]
}

impl Spent {
    /// How busy each was: whether it was the server that could do no more.
    pub(crate) fn shares(&self) -> String {
        let share = |seconds: f64| seconds / self.wall * 100.0;
        let [server, generator, postgres] = [self.server, self.generator, self.postgres].map(share);
        format!("server {server:.0} %, generator {generator:.0} %, PostgreSQL {postgres:.0} % of a core")
    }
}
