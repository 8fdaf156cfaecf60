//! What the demo server's README shows, over both transports, and what stays of it in the database.

use crate::app::TestApp;
use serde_json::json;
use std::time::Duration;
use test_kit::Transport;
use test_kit::client::{Client, accept, answer, call_user, candidate, offer};

/// Login, join, call, accept, candidates both ways, end.
async fn sequence(app: &TestApp, alice: &Client, bob: &Client) -> String {
    let payload = json!({
        "to": bob.id, "from": {"id": alice.id, "username": alice.name}, "callType": "video", "offer": offer(),
    });
    let ack = alice.ok("call_user", &payload).await;
    let call = ack["callId"].as_str().unwrap().to_owned();
    assert_eq!(ack, json!({"ok": true, "callId": call, "status": "ringing"}));
    assert_eq!(alice.expect("call_status").await, json!({"callId": call, "status": "ringing"}));
    let from = json!({"id": alice.id, "username": alice.name});
    assert_eq!(
        bob.expect("incoming_call").await,
        json!({"callId": call, "from": from, "callType": "video", "offer": offer()})
    );
    app.clock.advance(Duration::from_secs(4));
    bob.emit("accept_call", &accept(&call));
    assert_eq!(alice.expect("call_accepted").await, json!({"callId": call, "answer": answer()}));
    for (from, to, number) in [(alice, bob, 1), (bob, alice, 2)] {
        from.emit("ice_candidate", &json!({"to": to.id, "candidate": candidate(number)}));
        assert_eq!(
            to.expect("ice_candidate").await,
            json!({"from": from.id, "candidate": candidate(number), "callId": call})
        );
    }
    app.clock.advance(Duration::from_millis(61_500));
    alice.emit("end_call", &json!({"callId": call}));
    assert_eq!(bob.expect("call_ended").await, json!({"callId": call, "reason": "hangup"}));
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_sequence_works_over_both_transports_and_leaves_its_rows() {
    for transport in [Transport::WebSocket, Transport::Polling] {
        let app = TestApp::held(|_| {}).await;
        let alice = Client::joined_by(&app, &app.register("alice").await, transport).await;
        let bob = Client::joined_by(&app, &app.register("bob").await, transport).await;
        let call = sequence(&app, &alice, &bob).await;
        alice.silence().await;
        bob.silence().await;
        let row = app.ended_row(&call).await;
        assert_eq!(row["caller_id"], json!(alice.id));
        assert_eq!(row["callee_id"], json!(bob.id));
        assert_eq!(
            app.database.rows(&format!("select * from call_history where id = '{call}'")).await,
            [json!({
                "id": call, "caller": "alice", "callee": "bob", "call_type": "video",
                "status": "completed", "end_reason": "hangup", "started_at": "2030-01-01T12:00:00+00:00",
                "answered_at": "2030-01-01T12:00:04+00:00", "ended_at": "2030-01-01T12:01:05.5+00:00",
                "ring_seconds": 4.0, "talk_seconds": 61.5,
            })]
        );
        assert_eq!(
            app.database.rows("select * from call_daily_stats").await,
            [json!({
                "day": "2030-01-01", "calls": 1, "answered": 1, "missed": 0, "rejected": 0, "failed": 0,
                "success_rate": 1.0, "avg_talk_seconds": 61.5,
            })]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_every_outcome_adds_up() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let absent = app.register("absent").await;
    let carol = app.user("carol").await;
    let talk = alice.talk(&bob).await;
    let busy = carol.ok("call_user", &call_user(&bob.id)).await;
    assert_eq!(busy["status"], "user_busy");
    alice.hang_up(&talk, &bob).await;
    let offline = alice.ok("call_user", &call_user(&absent.id)).await;
    assert_eq!(alice.expect("call_status").await["status"], "user_offline");
    let rejected = alice.ring(&bob).await;
    bob.ok("reject_call", &json!({"callId": rejected})).await;
    assert_eq!(alice.expect("call_rejected").await, json!({"callId": rejected}));
    let cancelled = alice.ring(&bob).await;
    alice.hang_up(&cancelled, &bob).await;
    for (call, outcome) in [
        (talk.as_str(), "completed/hangup"),
        (busy["callId"].as_str().unwrap(), "missed/user_busy"),
        (offline["callId"].as_str().unwrap(), "missed/user_offline"),
        (&rejected, "rejected/rejected"),
        (&cancelled, "cancelled/cancelled"),
    ] {
        assert_eq!(app.outcome(call).await, outcome);
    }
    let stats = app.database.rows("select * from call_daily_stats").await;
    assert_eq!(
        stats,
        [json!({
            "day": "2030-01-01", "calls": 5, "answered": 1, "missed": 2, "rejected": 1, "failed": 0,
            "success_rate": 0.2, "avg_talk_seconds": 0.0,
        })]
    );
    let mine = app.get("/api/calls").bearer(alice.token()).send().await.ok();
    assert_eq!(mine["calls"].as_array().unwrap().len(), 4, "a call of others is not shown");
}
