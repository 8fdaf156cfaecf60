//! What somebody can do who has no part in a call, or has seen an id that others publish: nothing.

use crate::app::TestApp;
use crate::client::{Client, accept, candidate, offer};
use crate::transport::Transport;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_a_socket_id_can_do_nothing_with_it() {
    let app = TestApp::start().await;
    for transport in [Transport::Polling, Transport::WebSocket] {
        let name = format!("{transport:?}");
        let account = app.register(&format!("{name}-alice")).await;
        let mut alice = Client::open(app.address, transport).await;
        alice.connect(&json!({"token": account.token})).await.unwrap();
        let joined = alice.join(&account).await;
        let mallory = app.user(&format!("{name}-mallory")).await;
        let online = app.get("/api/online-users").bearer(mallory.token()).send().await.ok();
        let row = online.as_array().unwrap().iter().find(|row| row["id"] == json!(alice.id)).unwrap();
        let id = row["socketId"].as_str().unwrap();
        assert_eq!(joined["socketId"], json!(id));
        assert_ne!(id, alice.session(), "the published id is not the transport's");
        as_a_session(&app, id).await;
        in_events(&mallory, id).await;
        as_a_credential(&app, &mallory, id).await;
        alice.silence().await;
        assert!(alice.is_open());
    }
}

/// On the transport.
async fn as_a_session(app: &TestApp, id: &str) {
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={id}");
    let read = app.get(&path).send().await;
    assert_eq!((read.status, read.json()["message"].clone()), (400, json!("Session ID unknown")));
    let written = app.post(&path).body(r#"42["end_call",{}]"#).send().await;
    assert_eq!(written.status, 400);
    let upgraded =
        connect_async(format!("ws://{}/socket.io/?EIO=4&transport=websocket&sid={id}", app.address));
    assert!(upgraded.await.is_err(), "an upgrade of somebody else's session");
}

/// As anything an event takes an id for.
async fn in_events(mallory: &Client, id: &str) {
    for (event, payload) in [
        ("call_user", json!({"to": id, "callType": "video", "offer": offer()})),
        ("ice_candidate", json!({"to": id, "candidate": candidate(1)})),
        ("accept_call", accept(id)),
        ("reject_call", json!({"callId": id})),
        ("end_call", json!({"callId": id})),
        ("renegotiate", json!({"callId": id, "description": offer()})),
        ("media_state", json!({"callId": id, "audio": true, "video": true})),
    ] {
        assert_eq!(mallory.refused(event, &payload).await, "not_found", "{event}");
    }
    assert_eq!(mallory.refused("authenticate", &json!({"token": id})).await, "unauthorized");
    let watched = mallory.ok("watch_users", &json!({"ids": [id]})).await;
    assert_eq!(watched["users"], json!([{"id": id, "isOnline": false}]));
}

async fn as_a_credential(app: &TestApp, mallory: &Client, id: &str) {
    let refused = Client::open(app.address, Transport::WebSocket).await.connect(&json!({"token": id})).await;
    assert_eq!(refused, Err("unauthorized".to_owned()));
    let stranger = Client::open(app.address, Transport::WebSocket).await;
    stranger.connect(&Value::Null).await.unwrap();
    let join = json!({"id": mallory.id, "username": mallory.name, "token": id});
    assert_eq!(stranger.refused("join", &join).await, "unauthorized");
    assert_eq!(app.get("/api/me").bearer(id).send().await.outcome(), (401, "unauthorized".into()));
    let refresh = app.post("/api/refresh").json(&json!({"refreshToken": id})).send().await;
    assert_eq!(refresh.outcome(), (401, "unauthorized".into()));
}

/// Every event of a call, given its id.
fn every_event(call: &str, to: &str) -> [(&'static str, Value); 6] {
    [
        ("accept_call", accept(call)),
        ("reject_call", json!({"callId": call})),
        ("end_call", json!({"callId": call})),
        ("ice_candidate", json!({"callId": call, "to": to, "candidate": candidate(1)})),
        ("renegotiate", json!({"callId": call, "description": offer()})),
        ("media_state", json!({"callId": call, "audio": true, "video": false})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_finds_no_call_whether_it_rings_is_active_or_over() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let mallory = app.user("mallory").await;
    let refused = async |call: &str, state: &str| {
        for (event, payload) in every_event(call, &bob.id) {
            assert_eq!(mallory.refused(event, &payload).await, "not_found", "{event}, {state}");
        }
        let path = format!("/api/calls/{call}");
        assert_eq!(app.get(&path).bearer(mallory.token()).send().await.outcome().1, "not_found");
        mallory.silence().await;
    };
    let call = alice.ring(&bob).await;
    refused(&call, "ringing").await;
    bob.ok("accept_call", &accept(&call)).await;
    alice.expect("call_accepted").await;
    refused(&call, "active").await;
    alice.hang_up(&call, &bob).await;
    refused(&call, "over").await;
    alice.silence().await;
    bob.silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_joined_a_socket_is_served_join_and_ping_alone() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let call = alice.ring(&bob).await;
    let lurker = Client::connected(&app, bob.token()).await;
    let dial = ("call_user", json!({"to": alice.id, "callType": "audio", "offer": offer()}));
    let others =
        [dial, ("watch_users", json!({"ids": [alice.id]})), ("authenticate", json!({"token": bob.token()}))];
    for (event, payload) in every_event(&call, &alice.id).into_iter().chain(others) {
        assert_eq!(lurker.refused(event, &payload).await, "not_joined", "{event}");
    }
    lurker.silence().await;
    alice.silence().await;
    bob.silence().await;
    bob.ok("accept_call", &accept(&call)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_over_takes_no_more_events_but_retries() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    alice.hang_up(&call, &bob).await;
    for (who, peer) in [(&alice, &bob), (&bob, &alice)] {
        for (event, payload) in every_event(&call, &peer.id) {
            let ack = who.ack(event, &payload).await;
            if event == "end_call" {
                assert_eq!(ack, json!({"ok": true}), "ending what just ended is what was wanted");
            } else {
                assert_eq!(ack["code"], "invalid_state", "{event} by {}", who.name);
            }
        }
        who.silence().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_device_of_a_party_can_end_a_call_and_nothing_else() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let other = Client::joined(&app, &app.log_in("bob").await).await;
    let call = alice.ring(&bob).await;
    other.expect("incoming_call").await;
    bob.ok("accept_call", &accept(&call)).await;
    other.expect("call_ended").await;
    for (event, payload) in every_event(&call, &alice.id) {
        if event != "end_call" {
            assert_eq!(other.refused(event, &payload).await, "invalid_state", "{event}");
        }
    }
    alice.expect("call_accepted").await;
    alice.silence().await;
    other.ok("end_call", &json!({"callId": call})).await;
    for device in [&alice, &bob] {
        assert_eq!(device.expect("call_ended").await, json!({"callId": call, "reason": "hangup"}));
    }
    other.silence().await;
}
