//! How long PostgreSQL takes for the least that there is: one row, committed.

use crate::house::House;
use sqlx::{Connection, Executor, PgConnection};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Often enough for a percentile, seldom enough to disturb nobody much.
const EVERY: Duration = Duration::from_millis(10);

/// Commits on a connection of their own, at a steady rate: one that is late because of the one before counts from when it was
/// due, as a ring does that waits for a commit.
pub(super) struct Commits {
    ends: Rc<Cell<bool>>,
    taken: JoinHandle<Vec<Duration>>,
}

impl Commits {
    pub(super) async fn begin(house: &House) -> Self {
        let mut connection = PgConnection::connect(&house.url).await.unwrap();
        let table = "create table if not exists bare_commits (id bigint generated always as identity primary key, at timestamptz)";
        connection.execute(table).await.unwrap();
        let ends = Rc::new(Cell::new(false));
        let taken = tokio::task::spawn_local(commit(connection, Rc::clone(&ends)));
        Self { ends, taken }
    }

    /// How long each took.
    pub(super) async fn end(self) -> Vec<Duration> {
        self.ends.set(true);
        self.taken.await.unwrap()
    }
}

async fn commit(mut connection: PgConnection, ends: Rc<Cell<bool>>) -> Vec<Duration> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut taken, mut ended) = (Vec::new(), Instant::now());
    while !ends.get() {
        let due = ticks.tick().await;
        let start = if ended > due { due } else { Instant::now() };
        connection.execute("insert into bare_commits (at) values (now())").await.unwrap();
        ended = Instant::now();
        taken.push(ended - start);
    }
    taken
}
