//! Ten thousand logins a second.

use crate::ground::{Ground, mib, run};
use crate::health::Watch;
use crate::torrent::{Tally, pour};
use serde_json::json;
use std::net::Ipv4Addr;
use std::time::Duration;
use test_kit::load::{median, percentile};
use test_kit::{Account, PASSWORD, Server};

const PER_SECOND: u32 = 10_000;
const SECONDS: u32 = 20;
const MEMORY: u64 = 512 << 20;
const HEALTH_P99: Duration = Duration::from_millis(100);
const ROUNDS: usize = 3;

/// One round: what became of the logins, and the 99th percentile of `/health` meanwhile.
async fn round(ground: &Ground, request: impl Fn(usize) -> String) -> (Tally, Duration) {
    let watch = Watch::start(ground.address());
    let tally = pour(ground.address(), PER_SECOND, Duration::from_secs(SECONDS.into()), request).await;
    let mut taken = watch.stop();
    let (p50, p99) = (median(&mut taken), percentile(&mut taken, 0.99));
    let peak = ground.server.peak_memory();
    println!("{tally:?}; /health p50 {p50:.1?}, p99 {p99:.1?} of {}; peak memory {}", taken.len(), mib(peak));
    assert!(peak < MEMORY, "{}", mib(peak));
    (tally, p99)
}

async fn flood(ground: &Ground, request: impl Fn(usize) -> String) -> Vec<Tally> {
    let (mut tallies, mut p99s) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (tally, p99) = round(ground, &request).await;
        assert_eq!(tally.offered, (PER_SECOND * SECONDS) as usize);
        assert_eq!(tally.cut, 0, "{tally:?}");
        assert!(tally.answered() <= tally.offered - tally.held_back, "{tally:?}");
        tallies.push(tally);
        p99s.push(p99);
    }
    let p99 = median(&mut p99s);
    assert!(p99 < HEALTH_P99, "/health takes {p99:?}");
    tallies
}

fn login(number: usize, from: Ipv4Addr) -> String {
    let body = json!({"username": format!("user-{number}"), "password": PASSWORD}).to_string();
    format!(
        "POST /api/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {from}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn ten_thousand_logins_a_second_from_one_address_are_refused_and_health_answers() {
    run(async {
        let ground = Ground::start(&[("LOGIN_RATE_PER_MINUTE", "10")]).await;
        for tally in flood(&ground, |number| login(number, Ipv4Addr::new(192, 0, 2, 1))).await {
            assert!(tally.of(429) > tally.answered() * 9 / 10, "{tally:?}");
            // Ten at once, and ten a minute.
            assert!(tally.of(401) <= 14, "{tally:?}");
            assert_eq!(tally.answered(), tally.of(429) + tally.of(401), "{tally:?}");
        }
    });
}

#[test]
fn ten_thousand_logins_a_second_from_as_many_addresses_are_refused_and_health_answers() {
    run(async {
        let ground =
            Ground::start(&[("TRUSTED_PROXIES", "127.0.0.0/8"), ("LOGIN_RATE_PER_MINUTE", "10")]).await;
        let somebody =
            |number: usize| login(number, Ipv4Addr::from_bits(0x0b00_0000 + u32::try_from(number).unwrap()));
        for tally in flood(&ground, somebody).await {
            assert!(tally.of(401) > 0, "none is served: {tally:?}");
            assert_eq!(tally.answered(), tally.of(503) + tally.of(401), "{tally:?}");
        }
        // The server is itself again.
        Account::register(&ground, "after").await;
    });
}
