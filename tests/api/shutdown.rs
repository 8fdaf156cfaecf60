//! The server goes down in order.

use crate::app::TestApp;
use serde_json::json;
use test_kit::Transport;
use test_kit::client::{Client, End};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_calls_on_record_and_lets_clients_come_back() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let carol = Client::joined_by(&app, &app.register("carol").await, Transport::Polling).await;
    let dave = app.user("dave").await;
    let talk = alice.talk(&bob).await;
    let ringing = carol.ring(&dave).await;
    let database = app.stop().await;
    for (device, call) in [(&alice, &talk), (&bob, &talk), (&carol, &ringing), (&dave, &ringing)] {
        assert_eq!(device.expect("call_ended").await, json!({"callId": call, "reason": "server_shutdown"}));
        assert_eq!(device.ended().await, End::Close, "{}", device.name);
    }
    let rows = database.rows("select id, status, end_reason from calls order by id").await;
    assert_eq!(
        rows,
        [
            json!({"id": talk, "status": "completed", "end_reason": "server_shutdown"}),
            json!({"id": ringing, "status": "failed", "end_reason": "server_shutdown"}),
        ]
    );
    let seen = database.rows("select username from users where last_seen_at is null").await;
    assert_eq!(seen, [] as [serde_json::Value; 0], "everybody was last seen when the server went down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_writes_what_is_left_or_gives_up_in_time() {
    let app = TestApp::with(|config| config.shutdown_timeout = std::time::Duration::from_secs(2)).await;
    let (alice, bob) = app.pair().await;
    app.database.go_away().await;
    alice.talk(&bob).await;
    app.stop().await;
    assert_eq!(alice.expect("call_ended").await["reason"], "server_shutdown");
}
