//! What must hold when things happen at the same instant, or very fast.

use crate::app::TestApp;
use serde_json::json;
use std::sync::Arc;
use test_kit::client::{Client, accept, call_user, candidate};
use tokio::sync::Barrier;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_devices_that_accept_at_the_same_instant_exactly_one_wins() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let bob = app.register("bob").await;
    let other_session = app.log_in("bob").await;
    let devices =
        [Client::joined(&app, &bob).await, Client::joined(&app, &other_session).await].map(Arc::new);
    for round in 0..500 {
        let call = alice.dial(&devices[0]).await;
        for device in &devices {
            assert_eq!(device.expect("incoming_call").await["callId"], json!(call));
        }
        let both = Arc::new(Barrier::new(2));
        let tasks = devices.clone().map(|device| {
            let (both, payload) = (Arc::clone(&both), accept(&call));
            tokio::spawn(async move {
                both.wait().await;
                device.ack("accept_call", &payload).await
            })
        });
        let [first, second] = tasks;
        let acks = [first.await.unwrap(), second.await.unwrap()];
        let winners: Vec<usize> = (0..2).filter(|at| acks[*at]["ok"] == true).collect();
        let [winner] = winners[..] else { panic!("round {round}: {acks:?}") };
        let (winner, loser) = (&devices[winner], &devices[1 - winner]);
        assert!(acks.iter().any(|ack| ack["code"] == "invalid_state"), "round {round}: {acks:?}");
        assert_eq!(loser.expect("call_ended").await, json!({"callId": call, "reason": "answered_elsewhere"}));
        alice.ok("end_call", &json!({"callId": call})).await;
        assert_eq!(winner.expect("call_ended").await["reason"], "hangup");
        loser.silence().await;
        winner.silence().await;
        let heard: Vec<_> = alice.heard().await.into_iter().map(|(event, _)| event).collect();
        assert_eq!(heard, ["call_status", "call_accepted"], "round {round}");
    }
    app.until("select count(*) = 500 from calls where status = 'completed' and end_reason = 'hangup'").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_thousand_candidates_arrive_in_order_and_none_is_missing() {
    const COUNT: usize = 20_000;
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    for number in 0..COUNT {
        alice.emit("ice_candidate", &json!({"to": bob.id, "candidate": candidate(number)}));
    }
    for number in 0..COUNT {
        let heard = bob.expect("ice_candidate").await;
        assert_eq!(heard["candidate"], candidate(number), "candidate {number}");
    }
    bob.silence().await;
    alice.silence().await;
    alice.hang_up(&call, &bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_call_each_other_at_the_same_instant_one_rings_and_the_other_is_told_so() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    for round in 0..100 {
        let (to_bob, to_alice) = (call_user(&bob.id), call_user(&alice.id));
        let (first, second) = tokio::join!(alice.ack("call_user", &to_bob), bob.ack("call_user", &to_alice));
        let mut statuses = [first["status"].clone(), second["status"].clone()];
        statuses.sort_by_key(ToString::to_string);
        assert_eq!(statuses, [json!("glare"), json!("ringing")], "round {round}: {first} {second}");
        assert_eq!(first["callId"], second["callId"]);
        alice.ok("end_call", &json!({"callId": first["callId"]})).await;
        alice.heard().await;
        bob.heard().await;
    }
    app.until("select count(*) = 100 from calls").await;
}
