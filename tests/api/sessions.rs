//! Login sessions: prolonged, reused, ended, by whomever.

use crate::app::{Account, PASSWORD, TestApp};
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::Answer;
use test_kit::client::{Client, End};
use tokio::task::JoinSet;

const NEW_PASSWORD: &str = "another good password";

async fn refresh(app: &TestApp, token: &Value) -> Answer {
    app.post("/api/refresh").json(&json!({"refreshToken": token})).send().await
}

async fn me(app: &TestApp, token: &str) -> (u16, String) {
    app.get("/api/me").bearer(token).send().await.outcome()
}

fn revoked() -> (u16, String) {
    (401, "session_revoked".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_traded_once_and_its_reuse_ends_the_session() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    let first = json!(alice.account.as_ref().unwrap().refresh_token);
    let second = refresh(&app, &first).await.ok();
    assert_eq!(second["expiresIn"], 3600);
    assert_ne!(second["refreshToken"], first);
    let third = refresh(&app, &second["refreshToken"]).await.ok();
    for token in [alice.token(), second["token"].as_str().unwrap(), third["token"].as_str().unwrap()] {
        assert_eq!(me(&app, token).await.0, 200, "access tokens live on");
    }
    assert_eq!(refresh(&app, &first).await.outcome(), revoked());
    assert_eq!(alice.expect("call_ended").await, json!({"callId": call, "reason": "session_revoked"}));
    assert_eq!(bob.expect("call_ended").await["reason"], "session_revoked");
    assert_eq!(alice.ended().await, End::Disconnect);
    assert_eq!(refresh(&app, &third["refreshToken"]).await.outcome(), revoked());
    assert_eq!(me(&app, third["token"].as_str().unwrap()).await, revoked());
    let back = Client::open(app.address, test_kit::Transport::WebSocket).await;
    assert_eq!(back.connect(&json!({"token": third["token"]})).await, Err("session_revoked".into()));
    assert!(bob.is_open());
    assert_eq!(app.outcome(&call).await, "completed/session_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_can_be_asked_for_again_for_ten_seconds() {
    let app = TestApp::held(|_| {}).await;
    let first = json!(app.register("alice").await.refresh_token);
    let child = refresh(&app, &first).await.ok();
    app.clock.advance(Duration::from_millis(9_999));
    let again = refresh(&app, &first).await.ok();
    assert_eq!(again["refreshToken"], child["refreshToken"], "the same child");
    app.clock.advance(Duration::from_millis(2));
    assert_eq!(refresh(&app, &first).await.outcome(), revoked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_cannot_be_asked_for_once_its_token_was_used() {
    let app = TestApp::held(|_| {}).await;
    let first = json!(app.register("alice").await.refresh_token);
    let child = refresh(&app, &first).await.ok();
    refresh(&app, &child["refreshToken"]).await.ok();
    assert_eq!(refresh(&app, &first).await.outcome(), revoked());
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_refreshes_at_once_get_the_same_child() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let form = json!({"refreshToken": alice.refresh_token});
        let ask = app.post("/api/refresh").json(&form);
        tasks.spawn(async move { ask.send().await.ok()["refreshToken"].clone() });
    }
    let children = tasks.join_all().await;
    assert!(children.iter().all(|child| *child == children[0]), "{children:?}");
    let next = refresh(&app, &children[0]).await.ok();
    assert_eq!(me(&app, next["token"].as_str().unwrap()).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_used_for_thirty_days_is_over() {
    let app = TestApp::held(|_| {}).await;
    let alice = app.register("alice").await;
    app.clock.advance(Duration::from_hours(29 * 24));
    let kept = refresh(&app, &json!(alice.refresh_token)).await.ok();
    app.clock.advance(Duration::from_hours(30 * 24) + Duration::from_secs(1));
    assert_eq!(refresh(&app, &kept["refreshToken"]).await.outcome(), (401, "token_expired".into()));
}

/// Two devices of one user, in a session each.
async fn two_sessions(app: &TestApp) -> (Client, Client) {
    let first = app.user("alice").await;
    let second = Client::joined(app, &app.log_in("alice").await).await;
    (first, second)
}

async fn stays(app: &TestApp, device: &Client) {
    device.heard().await;
    assert!(device.is_open());
    assert_eq!(me(app, device.token()).await.0, 200);
}

async fn is_cut(app: &TestApp, device: &Client, account: &Account) {
    assert_eq!(device.ended().await, End::Disconnect);
    assert_eq!(me(app, &account.token).await, revoked());
    assert_eq!(refresh(app, &json!(account.refresh_token)).await.outcome(), revoked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_its_own_session_and_no_other() {
    let app = TestApp::start().await;
    let (first, second) = two_sessions(&app).await;
    let answer = app.post("/api/logout").bearer(first.token()).send().await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    is_cut(&app, &first, first.account.as_ref().unwrap()).await;
    stays(&app, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_every_other_session() {
    let app = TestApp::start().await;
    let (first, second) = two_sessions(&app).await;
    let form = json!({"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD});
    let answer = app.ask("PUT", "/api/me/password").bearer(first.token()).json(&form).send().await;
    assert_eq!(answer.status, 204);
    is_cut(&app, &second, second.account.as_ref().unwrap()).await;
    stays(&app, &first).await;
    let log_in =
        |password: &str| app.post("/api/login").json(&json!({"username": "alice", "password": password}));
    assert_eq!(log_in(PASSWORD).send().await.outcome(), (401, "invalid_credentials".into()));
    log_in(NEW_PASSWORD).send().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_leaves_its_calls_without_its_name() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    let form = json!({"password": PASSWORD});
    let answer = app.ask("DELETE", "/api/me").bearer(alice.token()).json(&form).send().await;
    assert_eq!(answer.status, 204);
    assert_eq!(bob.expect("call_ended").await["reason"], "session_revoked");
    assert_eq!(alice.ended().await, End::Disconnect);
    assert_eq!(me(&app, alice.token()).await, revoked());
    app.ended_row(&call).await;
    let history = app.database.rows("select caller, callee, status from call_history").await;
    assert_eq!(history, [json!({"caller": null, "callee": "bob", "status": "completed"})]);
    let shown = app.get(&format!("/api/calls/{call}")).bearer(bob.token()).send().await.ok();
    assert_eq!(shown["from"], json!({"id": null, "username": null}));
    let log_in = json!({"username": "alice", "password": PASSWORD});
    let refused = app.post("/api/login").json(&log_in).send().await;
    assert_eq!(refused.outcome(), (401, "invalid_credentials".into()));
    let again = app.register("alice").await;
    assert_ne!(again.id, alice.id, "the name is free for somebody else");
    let theirs = app.get("/api/calls").bearer(&again.token).send().await.ok();
    assert_eq!(theirs["calls"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_admin_does_in_sql_cuts_the_sockets_of_the_running_server() {
    let app = TestApp::start().await;
    for (name, sql, code) in [
        ("ann", "update sessions set revoked_at = now() where user_id = 'ID'", 200),
        ("ben", "delete from sessions where user_id = 'ID'", 200),
        ("cat", "update users set disabled_at = now() where id = 'ID'", 403),
        ("dan", "delete from users where id = 'ID'", 401),
    ] {
        let (user, peer) = (app.user(name).await, app.user(&format!("{name}-peer")).await);
        let call = user.talk(&peer).await;
        app.database.execute(&sql.replace("ID", &user.id)).await;
        assert_eq!(
            peer.expect("call_ended").await,
            json!({"callId": call, "reason": "session_revoked"}),
            "{sql}"
        );
        assert_eq!(user.ended().await, End::Disconnect, "{sql}");
        assert_eq!(me(&app, user.token()).await, revoked(), "{sql}");
        let form = json!({"username": name, "password": PASSWORD});
        let log_in = app.post("/api/login").json(&form).send().await;
        assert_eq!(log_in.status, code, "{sql}: {}", log_in.text);
        peer.silence().await;
    }
    let form = json!({"username": "cat", "password": PASSWORD});
    assert_eq!(app.post("/api/login").json(&form).send().await.outcome().1, "account_disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_registration_makes_no_account_and_on_login_makes_one() {
    use video_call_server::config::Registration;
    let form = json!({"username": "fresh", "password": PASSWORD});
    let closed = TestApp::with(|config| config.registration = Registration::Closed).await;
    let refused = closed.post("/api/register").json(&form).send().await;
    assert_eq!(refused.outcome(), (403, "registration_closed".into()));
    let log_in = closed.post("/api/login").json(&form).send().await;
    assert_eq!(log_in.outcome(), (401, "invalid_credentials".into()));
    let lenient = TestApp::with(|config| config.registration = Registration::OnLogin).await;
    let made = lenient.post("/api/login").json(&form).send().await.ok();
    let again = lenient.post("/api/login").json(&form).send().await.ok();
    assert_eq!(made["user"]["id"], again["user"]["id"]);
    let wrong = json!({"username": "fresh", "password": "some other password"});
    assert_eq!(lenient.post("/api/login").json(&wrong).send().await.status, 401);
}
