//! Whether the time of a failed login tells if the account exists: `bench/login-timing`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement reads the clock and says what it saw"
)]

use load::{Ground, setting};
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use test_kit::load::median;
use test_kit::{Account, Ask, Server};

/// One fewer than the failures that an account may have at once.
const FAILURES_A_NAME: u64 = 4;
/// From here on the medians differ too much, in per cent.
const TOO_MUCH: f64 = 5.0;

#[tokio::main]
async fn main() -> ExitCode {
    let pairs = setting("PAIRS", 200);
    let ground = Ground::start().await;
    let names = pairs.div_ceil(FAILURES_A_NAME);
    for number in 0..names {
        Account::register(&ground, &known(number)).await;
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let (here, nowhere) = (known(pair % names), format!("nobody{pair:06}"));
        // Whoever comes second finds what the first has warmed up: they take turns.
        if pair.is_multiple_of(2) {
            with.push(failed_login(&ground, &here).await);
            without.push(failed_login(&ground, &nowhere).await);
        } else {
            without.push(failed_login(&ground, &nowhere).await);
            with.push(failed_login(&ground, &here).await);
        }
    }
    let (with, without) = (median(&mut with), median(&mut without));
    let difference = (with.as_secs_f64() / without.as_secs_f64() - 1.0) * 100.0;
    println!("{pairs} pairs: known {with:.2?}, unknown {without:.2?}, difference {difference:+.2} %");
    if difference.abs() < TOO_MUCH { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// As long as the name of nobody.
fn known(number: u64) -> String {
    format!("holder{number:06}")
}

async fn failed_login(ground: &Ground, username: &str) -> Duration {
    let form = json!({"username": username, "password": "not the password"});
    let ask = Ask::new(ground.address(), "POST", "/api/login").json(&form);
    let start = Instant::now();
    let answer = ask.send().await;
    let took = start.elapsed();
    assert_eq!(answer.outcome(), (401, "invalid_credentials".to_owned()));
    took
}
