//! What somebody can do who has seen an id that others publish: nothing.

use crate::app::TestApp;
use serde_json::{Value, json};
use test_kit::Transport;
use test_kit::client::{Client, accept, candidate, offer};
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
