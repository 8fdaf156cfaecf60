//! Two people who call each other again and again, and come and go in every way there is.

use load::Ground;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use test_kit::client::candidate;
use test_kit::{Account, Client, Server, Transport};
use tokio::sync::Mutex;
use tokio::time::{Instant, Interval, interval};

/// Lets so many connect in a second, all together, and counts.
pub(crate) struct Pace {
    ticks: Mutex<Interval>,
    connects: AtomicU64,
    calls: AtomicU64,
}

impl Pace {
    pub(crate) fn new(rate: u64) -> Self {
        let ticks = Mutex::new(interval(Duration::from_secs(1) / rate.try_into().unwrap()));
        Self { ticks, connects: AtomicU64::new(0), calls: AtomicU64::new(0) }
    }

    pub(crate) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn connect(&self, ground: &Ground, account: &Account, by: Transport, call: Option<&str>) -> Client {
        self.ticks.lock().await.tick().await;
        self.connects.fetch_add(1, Ordering::Relaxed);
        let mut client = Client::open(ground.address(), by).await;
        client.connect(&json!({"token": account.token})).await.expect("to be let in");
        client.join_with(account, &json!({"presence": "none", "resume": call})).await;
        client
    }
}

/// Caller and callee.
pub(crate) struct Pair {
    caller: Account,
    callee: Account,
    /// Of the first round: not everybody does the same at the same time.
    first: u64,
}

impl Pair {
    pub(crate) async fn register(ground: &Ground, number: u64) -> Self {
        let caller = Account::register(ground, &format!("caller{number}")).await;
        let callee = Account::register(ground, &format!("callee{number}")).await;
        Self { caller, callee, first: number }
    }

    /// Round after round until the deadline.
    pub(crate) async fn live(self, ground: Arc<Ground>, pace: Arc<Pace>, deadline: Instant) {
        for round in self.first.. {
            if Instant::now() >= deadline {
                return;
            }
            self.round(&ground, &pace, round).await;
        }
    }

    /// Every course of a call with every transport of the caller and every way to leave, in 5 × 2 × 2 rounds.
    async fn round(&self, ground: &Ground, pace: &Pace, round: u64) {
        let by = if (round / 5).is_multiple_of(2) { Transport::WebSocket } else { Transport::Polling };
        let caller = pace.connect(ground, &self.caller, by, None).await;
        // A dropped WebSocket is noticed at once, a poll that does not come again only by its missing heartbeat.
        let mut callee = pace.connect(ground, &self.callee, Transport::WebSocket, None).await;
        pace.calls.fetch_add(1, Ordering::Relaxed);
        match round % 5 {
            0 => answered(&caller, &callee).await,
            1 => rejected(&caller, &callee).await,
            2 => cancelled(&caller, &callee).await,
            3 => {
                let call = caller.talk(&callee).await;
                drop(callee);
                caller.expect("peer_reconnecting").await;
                callee = pace.connect(ground, &self.callee, by, Some(&call)).await;
                caller.expect("peer_reconnected").await;
                caller.hang_up(&call, &callee).await;
            }
            // The disconnect packet of one side ends the call.
            _ => {
                caller.talk(&callee).await;
                callee.leave().await;
                assert_eq!(caller.expect("call_ended").await["reason"], "hangup");
                return leave(caller, round).await;
            }
        }
        leave(caller, round).await;
        leave(callee, round + 10).await;
    }
}

async fn answered(caller: &Client, callee: &Client) {
    let call = caller.talk(callee).await;
    caller.ok("ice_candidate", &json!({"to": callee.id, "callId": call, "candidate": candidate(1)})).await;
    callee.expect("ice_candidate").await;
    callee.hang_up(&call, caller).await;
}

async fn rejected(caller: &Client, callee: &Client) {
    let call = caller.ring(callee).await;
    callee.ok("reject_call", &json!({"callId": call})).await;
    caller.expect("call_rejected").await;
}

async fn cancelled(caller: &Client, callee: &Client) {
    let call = caller.ring(callee).await;
    caller.ok("end_call", &json!({"callId": call})).await;
    assert_eq!(callee.expect("call_ended").await["reason"], "cancelled");
}

/// By the disconnect packet, or without a word.
async fn leave(client: Client, round: u64) {
    if (round / 10).is_multiple_of(2) {
        client.leave().await;
    }
}
