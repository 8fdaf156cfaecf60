//! Five thousand who connect and never join.

use crate::ground::{Ground, mib, run, until};
use serde_json::json;
use std::time::Duration;
use test_kit::{Ask, Client, Server, Transport};
use tokio::task::JoinSet;
use tokio::time::Instant;

const CONNECTS: usize = 5_000;
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Log, listener, timers and the connections to the database.
const FILES_AT_REST: usize = 40;
/// The allocator gives pages back now and then, not at once.
const GIVEN_BACK_WITHIN: Duration = Duration::from_mins(1);
const UNCHANGED_FOR: Duration = Duration::from_secs(10);

async fn connect(ground: &Ground, count: usize) -> Vec<Client> {
    let address = ground.address();
    let mut clients = Vec::new();
    let mut connecting = JoinSet::new();
    for number in 0..count {
        let transport = if number % 2 == 0 { Transport::WebSocket } else { Transport::Polling };
        connecting.spawn(async move {
            let client = Client::open(address, transport).await;
            client.connect(&json!({})).await.unwrap();
            client
        });
        if connecting.len() >= 100 {
            clients.push(connecting.join_next().await.unwrap().unwrap());
        }
    }
    clients.extend(connecting.join_all().await);
    clients
}

/// Connects that many, and waits until the server has sent them all away.
async fn wave(ground: &Ground) {
    let clients = connect(ground, CONNECTS).await;
    println!("{} with {CONNECTS} connected", mib(ground.server.memory()));
    let due = Instant::now() + JOIN_TIMEOUT * 2;
    for client in &clients {
        client.disconnected().await;
    }
    until(due, "the connections to be closed", || ground.server.open_files() < FILES_AT_REST).await;
}

#[test]
fn five_thousand_connects_that_never_join_are_gone_after_join_timeout_and_so_is_their_memory() {
    run(async {
        let ground = Ground::start(&[]).await;
        // The first wave is for what any crowd leaves behind for good: tables, threads, connections to the database.
        wave(&ground).await;
        let before = settled(&ground).await;
        println!("{} before", mib(before));
        wave(&ground).await;
        let due = Instant::now() + GIVEN_BACK_WITHIN;
        while memory_a_moment_later(&ground).await > before * 6 / 5 {
            let memory = mib(ground.server.memory());
            assert!(Instant::now() < due, "{memory} are left of what was {}", mib(before));
        }
        println!("{} after", mib(ground.server.memory()));
    });
}

/// The memory once it has not shrunk for a while.
async fn settled(ground: &Ground) -> u64 {
    let (mut least, mut since) = (ground.server.memory(), Instant::now());
    while since.elapsed() < UNCHANGED_FOR {
        let memory = memory_a_moment_later(ground).await;
        if memory < least {
            (least, since) = (memory, Instant::now());
        }
    }
    least
}

/// The memory of a server that is asked for its health now and then, as any is: an allocator tidies up when it is used.
async fn memory_a_moment_later(ground: &Ground) -> u64 {
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ask::new(ground.address(), "GET", "/health").send().await.ok();
    ground.server.memory()
}
