//! How long PostgreSQL takes for the least that there is: one row, committed.

use crate::house::House;
use sqlx::{Connection, Executor, PgConnection};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Often enough for a percentile, seldom enough to disturb nobody.
const EVERY: Duration = Duration::from_millis(15);

/// Commits, one after the other, on a connection of their own.
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
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut taken = Vec::new();
    while !ends.get() {
        ticks.tick().await;
        let start = Instant::now();
        connection.execute("insert into bare_commits (at) values (now())").await.unwrap();
        taken.push(start.elapsed());
    }
    taken
}
