//! What a socket can get wrong, and what it is told. Nobody else hears of any of it.

use super::Bystanders;
use crate::app::TestApp;
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::Transport;
use test_kit::client::{Client, End, accept, call_user, candidate, offer};

/// What stands in for an id in the tables: alice herself, bob who is here, a call that never was.
const NO_CALL: &str = "00000000-0000-7000-8000-00000000000c";

/// Event, payload, code. `ALICE` and `BOB` stand for their ids.
const CASES: [(&str, &str, &str); 84] = [
    ("call_user", "null", "validation_failed"),
    ("call_user", "7", "validation_failed"),
    ("call_user", "\"BOB\"", "validation_failed"),
    ("call_user", "[]", "validation_failed"),
    ("call_user", "{}", "validation_failed"),
    ("call_user", r#"{"to":"BOB"}"#, "validation_failed"),
    ("call_user", r#"{"to":"BOB","callType":"video"}"#, "validation_failed"),
    ("call_user", r#"{"to":"BOB","offer":{"type":"offer","sdp":"v=0"}}"#, "validation_failed"),
    ("call_user", r#"{"callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#, "validation_failed"),
    (
        "call_user",
        r#"{"to":"bob","callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    ("call_user", r#"{"to":7,"callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#, "validation_failed"),
    (
        "call_user",
        r#"{"to":null,"callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":["BOB"],"callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":"BOB","to":"BOB","callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":"BOB","callType":"hologram","offer":{"type":"offer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":"BOB","callType":"Video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    ("call_user", r#"{"to":"BOB","callType":"video","offer":null}"#, "validation_failed"),
    ("call_user", r#"{"to":"BOB","callType":"video","offer":"v=0"}"#, "validation_failed"),
    ("call_user", r#"{"to":"BOB","callType":"video","offer":{}}"#, "validation_failed"),
    ("call_user", r#"{"to":"BOB","callType":"video","offer":{"type":"offer"}}"#, "validation_failed"),
    ("call_user", r#"{"to":"BOB","callType":"video","offer":{"type":"offer","sdp":7}}"#, "validation_failed"),
    (
        "call_user",
        r#"{"to":"BOB","callType":"video","offer":{"type":"offer","sdp":null}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":"BOB","callType":"video","offer":{"type":"answer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":"BOB","callType":"video","offer":{"type":"offer","sdp":"a\u0000b"}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":"BOB","from":7,"callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "validation_failed",
    ),
    (
        "call_user",
        r#"{"to":"BOB","from":{"id":"BOB"},"callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "identity_mismatch",
    ),
    (
        "call_user",
        r#"{"to":"BOB","from":{"username":"bob"},"callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "identity_mismatch",
    ),
    ("call_user", r#"{"to":"ALICE","callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#, "self_call"),
    (
        "call_user",
        r#"{"to":"00000000-0000-7000-8000-00000000000c","callType":"video","offer":{"type":"offer","sdp":"v=0"}}"#,
        "not_found",
    ),
    ("accept_call", "null", "validation_failed"),
    ("accept_call", "{}", "validation_failed"),
    ("accept_call", r#"{"callId":"CALL"}"#, "validation_failed"),
    ("accept_call", r#"{"callId":"x","answer":{"type":"answer","sdp":"v=0"}}"#, "validation_failed"),
    ("accept_call", r#"{"callId":7,"answer":{"type":"answer","sdp":"v=0"}}"#, "validation_failed"),
    ("accept_call", r#"{"callId":"CALL","answer":{"type":"offer","sdp":"v=0"}}"#, "validation_failed"),
    ("accept_call", r#"{"callId":"CALL","answer":[]}"#, "validation_failed"),
    ("accept_call", r#"{"callId":"CALL","answer":{"type":"answer","sdp":"\u0000"}}"#, "validation_failed"),
    ("accept_call", r#"{"callId":"CALL","answer":{"type":"answer","sdp":"v=0"}}"#, "not_found"),
    ("reject_call", "null", "validation_failed"),
    ("reject_call", "[\"CALL\"]", "not_found"),
    ("reject_call", "{}", "validation_failed"),
    ("reject_call", r#"{"callId":null}"#, "validation_failed"),
    ("reject_call", r#"{"callId":{"$ne":1}}"#, "validation_failed"),
    ("reject_call", r#"{"callId":"CALL"}"#, "not_found"),
    ("end_call", "null", "validation_failed"),
    ("end_call", "true", "validation_failed"),
    ("end_call", "{}", "validation_failed"),
    ("end_call", r#"{"callId":"' or 1=1"}"#, "validation_failed"),
    ("end_call", r#"{"callId":"CALL"}"#, "not_found"),
    ("ice_candidate", "null", "validation_failed"),
    ("ice_candidate", "{}", "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB"}"#, "validation_failed"),
    ("ice_candidate", r#"{"candidate":null}"#, "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB","candidate":7}"#, "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB","candidate":"candidate:1"}"#, "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB","candidate":{}}"#, "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB","candidate":{"candidate":7}}"#, "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB","candidate":{"candidate":"\u0000"}}"#, "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB","candidate":null,"callId":"x"}"#, "validation_failed"),
    ("ice_candidate", r#"{"to":"BOB","candidate":null,"callId":"CALL"}"#, "not_found"),
    ("ice_candidate", r#"{"to":"BOB","candidate":null}"#, "not_found"),
    ("ice_candidate", r#"{"to":"ALICE","candidate":null}"#, "not_found"),
    ("renegotiate", "{}", "validation_failed"),
    ("renegotiate", r#"{"callId":"CALL"}"#, "validation_failed"),
    ("renegotiate", r#"{"callId":"CALL","description":{"type":"wish","sdp":"v=0"}}"#, "validation_failed"),
    ("renegotiate", r#"{"callId":"CALL","description":{"type":"offer","sdp":"v=0"}}"#, "not_found"),
    ("media_state", "{}", "validation_failed"),
    ("media_state", r#"{"callId":"CALL"}"#, "validation_failed"),
    ("media_state", r#"{"callId":"CALL","audio":true}"#, "validation_failed"),
    ("media_state", r#"{"callId":"CALL","audio":"yes","video":"no"}"#, "validation_failed"),
    ("media_state", r#"{"callId":"CALL","audio":1,"video":0}"#, "validation_failed"),
    ("media_state", r#"{"callId":"CALL","audio":true,"video":true,"screen":"x"}"#, "validation_failed"),
    ("media_state", r#"{"callId":"CALL","audio":true,"video":true}"#, "not_found"),
    ("watch_users", "{}", "validation_failed"),
    ("watch_users", r#"{"ids":"BOB"}"#, "validation_failed"),
    ("watch_users", r#"{"ids":["bob"]}"#, "validation_failed"),
    ("authenticate", "{}", "validation_failed"),
    ("authenticate", r#"{"token":7}"#, "validation_failed"),
    ("authenticate", r#"{"token":""}"#, "unauthorized"),
    ("authenticate", r#"{"token":"a.b.c"}"#, "unauthorized"),
    ("no_such_event", "{}", "unknown_event"),
    ("disconnect", "null", "unknown_event"),
    ("connect", "null", "unknown_event"),
    ("__proto__", r#"{"callId":"CALL"}"#, "unknown_event"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_payload_is_answered_with_its_code_and_reaches_nobody() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let bystanders = Bystanders::arrive(&app).await;
    for (event, payload, code) in CASES {
        let text = payload.replace("ALICE", &alice.id).replace("BOB", &bob.id).replace("CALL", NO_CALL);
        let frame = format!(r#"["{event}",{text}]"#);
        let ack = alice.ack_raw(&frame).await;
        assert_eq!((&ack["ok"], &ack["code"]), (&json!(false), &json!(code)), "{event} {payload}: {ack}");
        assert!(ack["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{ack}");
        alice.raw(&format!("42{frame}"));
        let error = alice.expect("event_error").await;
        assert_eq!((&error["event"], &error["code"]), (&json!(event), &json!(code)), "{payload}");
    }
    alice.silence().await;
    bob.silence().await;
    bystanders.are_undisturbed(&app).await;
    alice.talk(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_told_from_malformed() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let sdp = |kind: &str| json!({"type": kind, "sdp": "x".repeat(48 * 1024 + 1)});
    let large = json!({"candidate": "x".repeat(2048)});
    for (event, payload) in [
        ("call_user", json!({"to": bob.id, "callType": "video", "offer": sdp("offer")})),
        ("accept_call", json!({"callId": NO_CALL, "answer": sdp("answer")})),
        ("renegotiate", json!({"callId": NO_CALL, "description": sdp("offer")})),
        ("ice_candidate", json!({"to": bob.id, "candidate": large})),
    ] {
        assert_eq!(alice.refused(event, &payload).await, "payload_too_large", "{event}");
    }
    let many = json!({"ids": vec![bob.id.clone(); 501]});
    assert_eq!(alice.refused("watch_users", &many).await, "validation_failed");
    bob.silence().await;
    alice.talk(&bob).await;
}

/// What a join says, and the code.
async fn refused_join(app: &TestApp, token: &str, join: &Value) -> String {
    let socket = Client::connected(app, token).await;
    let code = socket.refused("join", join).await;
    let error = socket.expect("join_error").await;
    assert_eq!(error["code"], json!(code), "{join}");
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_as_somebody_else_is_refused() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    let watcher = app.user("watcher").await;
    for (join, code) in [
        (json!(null), "validation_failed"),
        (json!("alice"), "validation_failed"),
        (json!({"id": 7}), "validation_failed"),
        (json!({"id": "alice", "username": "alice"}), "validation_failed"),
        (json!({"id": alice.id, "username": 7}), "validation_failed"),
        (json!({"id": alice.id, "username": "alice", "presence": "all"}), "validation_failed"),
        (json!({"id": alice.id, "username": "alice", "resume": "x"}), "validation_failed"),
        (json!({"id": alice.id, "username": "alice", "token": 7}), "validation_failed"),
        (json!({"id": bob.id, "username": "alice"}), "identity_mismatch"),
        (json!({"id": alice.id, "username": "bob"}), "identity_mismatch"),
        (json!({"id": bob.id, "username": "bob"}), "identity_mismatch"),
        (json!({"id": bob.id, "username": "bob", "token": bob.token}), "identity_mismatch"),
        (json!({"id": alice.id, "username": "alice", "token": "a.b.c"}), "unauthorized"),
    ] {
        assert_eq!(refused_join(&app, &alice.token, &join).await, code, "{join}");
    }
    let online = app.get("/api/online-users").bearer(watcher.token()).send().await.ok();
    assert_eq!(online.as_array().unwrap().len(), 1, "nobody but the watcher is here");
    let mut alice_socket = Client::connected(&app, &alice.token).await;
    alice_socket.join(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_refused_join_or_connect_ends_the_connection() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let joining = Client::connected(&app, &alice.token).await;
    for _ in 0..3 {
        joining.emit("join", &json!({"id": NO_CALL}));
        assert_eq!(joining.expect("join_error").await["code"], "identity_mismatch");
    }
    assert_eq!(joining.ended().await, End::Disconnect);
    let connecting = Client::open(app.address, Transport::WebSocket).await;
    let bad = json!({"token": "x"});
    for _ in 0..3 {
        // The library ignores a CONNECT that comes before it has put the last one away, so an ignored one is sent again.
        let refused = loop {
            let attempt = tokio::time::timeout(Duration::from_secs(1), connecting.connect(&bad));
            if let Ok(answer) = attempt.await {
                break answer;
            }
        };
        assert_eq!(refused, Err("unauthorized".into()));
    }
    connecting.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_wrong_party_or_at_the_wrong_time_changes_nothing() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let call = alice.ring(&bob).await;
    let of_call = json!({"callId": call});
    let early = json!({"callId": call, "description": offer()});
    let media = json!({"callId": call, "audio": true, "video": true});
    assert_eq!(alice.refused("accept_call", &accept(&call)).await, "invalid_state");
    assert_eq!(alice.refused("reject_call", &of_call).await, "invalid_state");
    for device in [&alice, &bob] {
        assert_eq!(device.refused("renegotiate", &early).await, "invalid_state");
        assert_eq!(device.refused("media_state", &media).await, "invalid_state");
    }
    let carol = app.user("carol").await;
    assert_eq!(alice.refused("call_user", &call_user(&carol.id)).await, "invalid_state");
    bob.silence().await;
    bob.ok("accept_call", &accept(&call)).await;
    bob.ok("accept_call", &accept(&call)).await;
    alice.expect("call_accepted").await;
    assert_eq!(bob.refused("reject_call", &of_call).await, "invalid_state");
    assert_eq!(alice.refused("accept_call", &accept(&call)).await, "invalid_state");
    let third = json!({"to": carol.id, "candidate": candidate(1)});
    assert_eq!(alice.refused("ice_candidate", &third).await, "not_found");
    for device in [&alice, &bob, &carol] {
        device.silence().await;
    }
    app.until("select count(*) = 1 from calls").await;
}
