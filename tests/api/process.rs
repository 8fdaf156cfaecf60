//! The program itself: what its log says, what it never says, and how it ends.

use crate::app::{PASSWORD, TestApp};
use crate::database::TestDatabase;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use test_kit::client::{Client, End, answer, candidate, offer};
use test_kit::process::Ended;
use test_kit::{Server, ServerProcess, Transport};
use video_call_server::clock::Clock;

const JWT_SECRET: &str = "a secret that no line of a log may show";

/// A server in a process of its own, with everything in its log.
async fn start(database: &Arc<TestDatabase>, format: &str) -> (ServerProcess, TestApp) {
    let server = ServerProcess::start(
        Path::new(env!("CARGO_BIN_EXE_video-call-server")),
        &[
            ("DATABASE_URL", &database.url),
            ("RUST_LOG", "trace"),
            ("LOG_FORMAT", format),
            ("JWT_SECRET", JWT_SECRET),
            ("LOGIN_RATE_PER_MINUTE", "0"),
        ],
    )
    .await;
    let app = TestApp::elsewhere(server.address(), Arc::clone(database));
    (server, app)
}

/// Everything that happens on a day, with everything that is nobody's business. Gives what must not be logged, and a call.
async fn a_busy_day(app: &TestApp) -> (Vec<String>, String) {
    let mut secrets: Vec<String> =
        [PASSWORD, JWT_SECRET, "offer-of-a-test", "answer-of-a-test", "udp 2113937151", "192.0.2.1"]
            .map(ToOwned::to_owned)
            .into();
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    let mut devices = Vec::new();
    for (account, transport) in [(&alice, Transport::WebSocket), (&bob, Transport::Polling)] {
        let device = Client::joined_by(app, account, transport).await;
        secrets.extend([account.token.clone(), account.refresh_token.clone(), device.session()]);
        devices.push(device);
    }
    let (caller, callee) = (&devices[0], &devices[1]);
    let call = caller.talk(callee).await;
    for (from, to) in [(caller, callee), (callee, caller)] {
        from.ok("ice_candidate", &json!({"to": to.id, "candidate": candidate(7)})).await;
        to.expect("ice_candidate").await;
    }
    caller.ok("renegotiate", &json!({"callId": call, "description": offer()})).await;
    caller.refused("accept_call", &json!({"callId": call, "answer": offer()})).await;
    caller.refused("reject_call", &json!({"callId": "192.0.2.1", "answer": answer()})).await;
    caller.refused("no-such-event", &json!({"candidate": candidate(8)})).await;
    caller.hang_up(&call, callee).await;
    for bad in ["bad-token-of-a-stranger", &format!("{}x", alice.token)] {
        app.get("/api/me").bearer(bad).send().await;
        let stranger = Client::open(app.address, Transport::WebSocket).await;
        stranger.connect(&json!({"token": bad})).await.unwrap_err();
        secrets.extend([bad.to_owned(), stranger.session()]);
    }
    let form = json!({"username": "alice", "password": "a-mistyped-password"});
    app.post("/api/login").json(&form).send().await;
    app.post("/api/login")
        .header("content-type", "application/json")
        .body("{\"password\":\"half-a-password")
        .send()
        .await;
    let renewed =
        app.post("/api/refresh").json(&json!({"refreshToken": alice.refresh_token})).send().await.ok();
    let form = json!({"currentPassword": PASSWORD, "newPassword": "the-next-password"});
    let token = renewed["token"].as_str().unwrap();
    app.ask("PUT", "/api/me/password").bearer(token).json(&form).send().await;
    app.post("/api/refresh").json(&json!({"refreshToken": "a-made-up-refresh-token"})).send().await;
    app.post("/api/logout").bearer(&bob.token).send().await;
    assert_eq!(callee.ended().await, End::Disconnect);
    secrets.extend([token.to_owned(), renewed["refreshToken"].as_str().unwrap().to_owned()]);
    secrets.extend(
        ["a-mistyped-password", "half-a-password", "the-next-password", "a-made-up-refresh-token"]
            .map(ToOwned::to_owned),
    );
    (secrets, call)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_what_happens_and_no_secret_even_at_trace() {
    for format in ["pretty", "json"] {
        let database = Arc::new(TestDatabase::create().await);
        let (server, app) = start(&database, format).await;
        let (mut secrets, call) = a_busy_day(&app).await;
        secrets.extend(database.password());
        let Ended { code, log, complaints } = server.stop().await;
        assert_eq!(code, Some(0), "{complaints}");
        assert_eq!(complaints, "");
        for secret in secrets {
            let shown = log.lines().find(|line| line.contains(&secret));
            assert_eq!(shown, None, "{format}: {secret}");
        }
        tells(&log, format, &call);
    }
}

/// The five kinds of line that the demo server promised: connections, joins and leaves, calls, ICE, errors.
fn tells(log: &str, format: &str, call: &str) {
    let line = |words: &[&str]| {
        let found = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{format}: no line with {words:?} in\n{log}");
    };
    line(&["INFO", "socket connects"]);
    line(&["INFO", "user joins"]);
    line(&["INFO", "socket gone"]);
    line(&["INFO", "call dialled", call]);
    line(&["INFO", "call answered", call]);
    line(&["INFO", "call ended", call, "hangup"]);
    line(&["DEBUG", "ice candidate"]);
    line(&["INFO", "socket refused", "unauthorized"]);
    line(&["DEBUG", "event refused", "unknown_event"]);
    line(&["DEBUG", "a request was refused", "invalid_credentials"]);
    line(&["INFO", "stopped"]);
    if format == "json" {
        for line in log.lines() {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            assert!(object["timestamp"].is_string() && object["level"].is_string(), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_no_call_and_the_next_one_closes_it() {
    let database = Arc::new(TestDatabase::create().await);
    let (server, app) = start(&database, "json").await;
    let (alice, bob) = app.pair().await;
    let call = alice.dial(&bob).await;
    assert_eq!(server.kill().await.code, None, "killed");
    let next = TestApp::start_on(database, Clock::machine(), |_| {}).await;
    assert_eq!(next.outcome(&call).await, "failed/server_restart");
}
