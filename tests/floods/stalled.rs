//! Two hundred who stop reading while others talk to them.

use crate::ground::{Ground, mib, run};
use serde_json::json;
use std::time::Duration;
use test_kit::{Account, Ask, Client, Server};
use tokio::task::JoinSet;
use tokio::time::Instant;

const READERS: usize = 200;
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// A call whose callee is going to stop reading.
struct Pair {
    feeder: Client,
    reader: Client,
    call: String,
}

impl Pair {
    async fn talk(ground: &Ground, number: usize) -> Self {
        let mut parties = Vec::new();
        for side in ["feeder", "reader"] {
            let account = Account::register(ground, &format!("{side}-{number}")).await;
            parties.push(Client::joined(ground, &account).await);
        }
        let (reader, feeder) = (parties.pop().unwrap(), parties.pop().unwrap());
        let call = feeder.talk(&reader).await;
        Self { feeder, reader, call }
    }

    /// Sends until the server says that nobody is there any more: more than any buffer on the way holds.
    async fn feed(&self) {
        let sdp = format!("v=0\r\n{}", "a=x\r\n".repeat(8_000));
        let offer = json!({"callId": self.call, "description": {"type": "offer", "sdp": sdp}});
        while self.feeder.ack("renegotiate", &offer).await["ok"] == json!(true) {
            if self.feeder.heard().await.iter().any(|(event, _)| event == "peer_reconnecting") {
                return;
            }
        }
    }
}

async fn active_users(ground: &Ground) -> u64 {
    Ask::new(ground.address(), "GET", "/health").send().await.ok()["activeUsers"].as_u64().unwrap()
}

#[test]
fn two_hundred_stalled_readers_are_gone_within_thirty_seconds_and_their_peers_stay() {
    run(async {
        let ground = Ground::start(&[("EVENT_RATE_PER_SECOND", "0"), ("RECONNECT_GRACE", "60s")]).await;
        let mut pairs = Vec::new();
        for number in 0..READERS {
            pairs.push(Pair::talk(&ground, number).await);
        }
        assert_eq!(active_users(&ground).await, READERS as u64 * 2);
        let start = Instant::now();
        let mut feeding = JoinSet::new();
        for pair in pairs {
            pair.reader.stop_reading();
            feeding.spawn(async move {
                pair.feed().await;
                pair
            });
        }
        while active_users(&ground).await > READERS as u64 {
            let peak = mib(ground.server.peak_memory());
            assert!(start.elapsed() < GONE_WITHIN, "{} users are left; {peak}", active_users(&ground).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("gone after {:.1?}, peak memory {}", start.elapsed(), mib(ground.server.peak_memory()));
        let pairs = feeding.join_all().await;
        assert!(pairs.iter().all(|pair| pair.feeder.is_open()));
        assert_eq!(active_users(&ground).await, READERS as u64);
    });
}
