//! Deadlines, on a clock that is held: to the millisecond, and at once.
#![expect(clippy::unchecked_time_subtraction, reason = "of constants that anybody can compare")]

use crate::app::TestApp;
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::Transport;
use test_kit::client::{Client, End, accept, offer};

const INSTANT: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const GRACE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_and_the_ringing_ends_at_exactly_ring_timeout() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.ring(&bob).await;
    app.clock.advance(MINUTE - INSTANT);
    alice.silence().await;
    bob.silence().await;
    app.clock.advance(INSTANT);
    for device in [&alice, &bob] {
        assert_eq!(device.expect("call_ended").await, json!({"callId": call, "reason": "no_answer"}));
    }
    assert_eq!(app.outcome(&call).await, "missed/no_answer");
    assert_eq!(app.row(&call).await["ended_at"], "2030-01-01T12:01:00+00:00");
    assert_eq!(bob.refused("accept_call", &accept(&call)).await, "invalid_state");
    alice.talk(&bob).await;
}

/// The device's connection breaks, and its peer knows.
async fn breaks(device: Client, peer: &Client, call: &str) -> crate::app::Account {
    let account = device.account.clone().unwrap();
    drop(device);
    assert_eq!(peer.expect("peer_reconnecting").await, json!({"callId": call}));
    account
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_comes_back_within_the_grace_goes_on_with_its_call() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    let account = breaks(bob, &alice, &call).await;
    let third = app.user("third").await;
    let busy = third.ok("call_user", &test_kit::client::call_user(&account.id)).await;
    assert_eq!(busy["status"], "user_busy", "during a grace");
    app.clock.advance(GRACE - INSTANT);
    alice.emit("renegotiate", &json!({"callId": call, "description": offer()}));
    alice.silence().await;
    let mut bob = Client::open(app.address, Transport::WebSocket).await;
    bob.connect(&json!({"token": account.token})).await.unwrap();
    let active = bob.join(&account).await["activeCall"].clone();
    assert_eq!(
        active,
        json!({
            "callId": call, "role": "callee", "peer": {"id": alice.id, "username": "alice"},
            "callType": "video", "status": "active", "startTime": 1_893_499_200_000_i64,
        })
    );
    assert_eq!(alice.expect("peer_reconnected").await, json!({"callId": call}));
    assert_eq!(bob.expect("renegotiate").await["from"], json!(alice.id));
    app.clock.advance(GRACE);
    alice.silence().await;
    alice.hang_up(&call, &bob).await;
    assert_eq!(app.outcome(&call).await, "completed/hangup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_stays_away_loses_its_call_at_the_end_of_the_grace() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    breaks(bob, &alice, &call).await;
    app.clock.advance(GRACE - INSTANT);
    alice.silence().await;
    app.clock.advance(INSTANT);
    assert_eq!(alice.expect("call_ended").await, json!({"callId": call, "reason": "connection_lost"}));
    assert_eq!(app.outcome(&call).await, "completed/connection_lost");
    assert_eq!(app.row(&call).await["ended_at"], "2030-01-01T12:00:15+00:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_vanishes_while_it_rings_cancels_at_the_end_of_the_grace() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.ring(&bob).await;
    breaks(alice, &bob, &call).await;
    app.clock.advance(GRACE);
    assert_eq!(bob.expect("call_ended").await, json!({"callId": call, "reason": "connection_lost"}));
    assert_eq!(app.outcome(&call).await, "cancelled/connection_lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_on_purpose_gets_no_grace() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    bob.leave().await;
    assert_eq!(alice.expect("call_ended").await, json!({"callId": call, "reason": "hangup"}));
    let carol = app.user("carol").await;
    let ringing = alice.ring(&carol).await;
    alice.leave().await;
    assert_eq!(carol.expect("call_ended").await, json!({"callId": ringing, "reason": "cancelled"}));
    assert_eq!(app.outcome(&ringing).await, "cancelled/cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_said_to_expire_a_minute_before_and_a_newer_one_keeps_the_socket() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    app.clock.advance(HOUR - MINUTE - INSTANT);
    alice.silence().await;
    app.clock.advance(INSTANT);
    for device in [&alice, &bob] {
        assert_eq!(device.expect("token_expiring").await, json!({"expiresInSeconds": 60.0}));
    }
    let refresh = json!({"refreshToken": alice.account.as_ref().unwrap().refresh_token});
    let renewed = app.post("/api/refresh").json(&refresh).send().await.ok();
    alice.ok("authenticate", &json!({"token": renewed["token"]})).await;
    let stranger = alice.refused("authenticate", &json!({"token": bob.token()})).await;
    assert_eq!(stranger, "identity_mismatch");
    app.clock.advance(MINUTE - INSTANT);
    bob.silence().await;
    app.clock.advance(INSTANT);
    bob.disconnected().await;
    alice.silence().await;
    assert!(alice.is_open());
    let dial = alice.ok("call_user", &test_kit::client::call_user(&bob.id)).await;
    assert_eq!(dial["status"], "user_offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_in_a_call_ends_the_socket_after_the_call() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    app.clock.advance(2 * HOUR);
    bob.emit("media_state", &json!({"callId": call, "audio": true, "video": false}));
    assert_eq!(alice.expect("media_state").await["video"], json!(false));
    assert!(alice.is_open() && bob.is_open());
    alice.ok("end_call", &json!({"callId": call})).await;
    assert_eq!(bob.expect("call_ended").await["reason"], "hangup");
    alice.disconnected().await;
    bob.disconnected().await;
    assert_eq!(alice.ended().await, End::Disconnect);
    assert_eq!(app.outcome(&call).await, "completed/hangup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_over_lets_nobody_in_and_one_that_nearly_is_says_so_at_once() {
    let app = TestApp::held(|_| {}).await;
    let account = app.register("alice").await;
    app.clock.advance(HOUR - Duration::from_secs(20));
    let alice = Client::joined(&app, &account).await;
    assert_eq!(alice.expect("token_expiring").await, json!({"expiresInSeconds": 20.0}));
    app.clock.advance(Duration::from_secs(30));
    alice.disconnected().await;
    let again = Client::open(app.address, Transport::WebSocket).await;
    assert_eq!(again.connect(&json!({"token": account.token})).await, Err("token_expired".to_owned()));
    let inside = Client::open(app.address, Transport::WebSocket).await;
    inside.connect(&Value::Null).await.unwrap();
    let join = json!({"id": account.id, "username": "alice", "token": account.token});
    assert_eq!(inside.refused("join", &join).await, "token_expired");
    assert_eq!(inside.expect("join_error").await["code"], "token_expired");
    let answer = app.get("/api/me").bearer(&account.token).send().await;
    assert_eq!(answer.outcome(), (401, "token_expired".into()));
    assert_eq!(answer.header("www-authenticate"), "Bearer");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_joined_within_join_timeout_is_disconnected() {
    let app = TestApp::held(|_| {}).await;
    let account = app.register("alice").await;
    let (late, with_token) = (
        Client::open(app.address, Transport::WebSocket).await,
        Client::connected(&app, &account.token).await,
    );
    late.connect(&Value::Null).await.unwrap();
    let joined = Client::joined(&app, &account).await;
    app.clock.advance(Duration::from_secs(10) - INSTANT);
    late.silence().await;
    with_token.silence().await;
    app.clock.advance(INSTANT);
    late.disconnected().await;
    with_token.disconnected().await;
    joined.silence().await;
    assert!(joined.is_open());
}
