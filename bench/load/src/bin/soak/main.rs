//! Whether the server keeps what its clients leave behind: `bench/soak`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement panics where the server answers otherwise than it must, and says what it saw"
)]

mod churn;
mod samples;

use churn::{Pace, Pair};
use load::{Ground, setting};
use samples::Samples;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Between two samples.
const STEP: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let rate = setting("SOAK_RATE", 50);
    let length = Duration::from_secs(setting("SOAK_SECONDS", 3600));
    let ground = Arc::new(Ground::start().await);
    let mut pairs = Vec::new();
    // So many that none of them calls more often than a user may.
    for number in 0..rate * 2 {
        pairs.push(Pair::register(&ground, number).await);
    }
    let pace = Arc::new(Pace::new(rate));
    let start = Instant::now();
    let mut churn = JoinSet::new();
    for pair in pairs {
        churn.spawn(pair.live(Arc::clone(&ground), Arc::clone(&pace), start + length));
    }
    let mut samples = Samples::default();
    let mut next = start;
    while next <= start + length {
        sleep_until(next).await;
        samples.take(&ground.server, start.elapsed());
        // Who met something unexpected says so at once.
        while let Some(ended) = churn.try_join_next() {
            ended.unwrap();
        }
        next += STEP;
    }
    while let Some(ended) = churn.join_next().await {
        ended.unwrap();
    }
    println!("{} connects in {:.0?}, {} calls", pace.connects(), start.elapsed(), pace.calls());
    if samples.report(length) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
