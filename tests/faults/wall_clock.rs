//! The wall clock moved while the server runs. Calls and sockets know nothing of it; tokens expire by it.

use crate::database::{all_is_as_before, settled};
use crate::population::Population;
use crate::rounds;
use crate::world::{World, needs};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;
use test_kit::{Account, Ask, PATIENCE, Server};
use tokio::time::timeout;

/// Of Debian's package; it moves the clock of whoever loads it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wall_clock_moved_by_an_hour_ends_no_call() {
    needs("faketime", "faketime");
    let folder = tempfile::tempdir().unwrap();
    let hands = folder.path().join("clock");
    fs::write(&hands, "+0").unwrap();
    let mut world = World::start(&[
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", hands.to_str().unwrap()),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        // Shorter than the way the clock is moved.
        ("ACCESS_TOKEN_TTL", "45m"),
    ])
    .await;
    let mut people = settled(&world).await;
    for _ in 0..rounds() {
        for hours in [1, 0, -1, 0] {
            move_clock(&world, &hands, hours).await;
            people.talk_while(people.new_calls()).await;
            people.all_stayed();
            tokens_follow_the_wall_clock(&world, &people, hours).await;
        }
        all_is_as_before(&world, &mut people).await;
    }
    world.stop_server().await;
}

/// Moves the clock and waits until the server has looked at it.
async fn move_clock(world: &World, hands: &Path, hours: i64) {
    fs::write(hands, format!("{:+}", hours * 3600)).unwrap();
    let wanted = TimeDelta::hours(hours);
    let moved = timeout(PATIENCE, async {
        loop {
            let health = Ask::new(world.address(), "GET", "/health").send().await.ok();
            let shown: DateTime<Utc> = health["timestamp"].as_str().unwrap().parse().unwrap();
            if (shown - Utc::now() - wanted).abs() < TimeDelta::minutes(1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(moved.await.is_ok(), "the clock does not move");
}

/// A token of another hour has expired or is not valid yet; whoever has one logs in or refreshes, and goes on.
async fn tokens_follow_the_wall_clock(world: &World, people: &Population, hours: i64) {
    let me = |token: &str| Ask::new(world.address(), "GET", "/api/me").bearer(token).send();
    let code = match hours {
        0 => (200, ""),
        1 => (401, "token_expired"),
        _ => (401, "unauthorized"),
    };
    let (status, found) = me(&people.accounts[0].token).await.outcome();
    assert_eq!((status, found.as_str()), code);
    let account = Account::log_in(world, &people.accounts[0].username).await;
    assert_eq!(me(&account.token).await.status, 200);
    let form = json!({"refreshToken": account.refresh_token});
    let renewed = Ask::new(world.address(), "POST", "/api/refresh").json(&form).send().await.ok();
    assert_eq!(me(renewed["token"].as_str().unwrap()).await.status, 200);
}
