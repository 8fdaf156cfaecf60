//! `session list|revoke`.

use super::Desk;
use crate::app::TestApp;
use serde_json::json;
use test_kit::client::{Client, End};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_with_where_they_come_from_and_what_strangers_wrote_is_harmless() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    app.register("alice").await;
    app.register("bob").await;
    app.log_in("alice").await;
    let mine = "user_id = (select id from users where username = 'alice')";
    app.database
        .execute(&format!(
            "update sessions set revoked_at = now() where id = (select id from sessions where {mine} order by created_at limit 1);
             update sessions set user_agent = e'evil \\x1b[2J\\r\\n\"quoted\"', ip = '2001:db8::1' where {mine} and revoked_at is null"
        ))
        .await;
    assert_eq!(desk.json(&["session", "list"]).await.as_array().unwrap().len(), 2);
    let listed = desk.json(&["session", "list", "ALICE"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let session = &listed[0];
    assert_eq!(
        (&session["username"], &session["state"], &session["ip"]),
        (&json!("alice"), &json!("live"), &json!("2001:db8::1"))
    );
    assert_eq!(session["userAgent"], "evil \u{1b}[2J\r\n\"quoted\"");
    for time in ["createdAt", "lastUsedAt", "expiresAt"] {
        assert!(session[time].as_str().unwrap().ends_with('Z'), "{session}");
    }
    let table = desk.run(&["session", "list", "alice"]).await.ok();
    assert_eq!(table.lines().count(), 2, "{table:?}");
    assert!(table.contains("evil \\u{1b}[2J\\r\\n\"quoted\"") && !table.contains('\u{1b}'), "{table:?}");

    app.database
        .execute("update sessions set expires_at = created_at + interval '1 ms' where revoked_at is null")
        .await;
    assert_eq!(desk.json(&["session", "list"]).await, json!([]));
    let all = desk.json(&["session", "list", "--all"]).await;
    let mut states: Vec<_> =
        all.as_array().unwrap().iter().map(|session| session["state"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["expired", "expired", "revoked"]);
    assert_eq!(desk.json(&["session", "list", "--all", "--limit", "2"]).await.as_array().unwrap().len(), 2);
    assert_eq!(desk.run(&["session", "list", "nobody"]).await.failure(), "there is no user \"nobody\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_loses_its_sockets_at_once_and_the_others_stay() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (alice, bob) = app.pair().await;
    let phone = Client::joined(&app, &app.log_in("alice").await).await;
    let call = alice.talk(&bob).await;
    let first = "select id::text from sessions where user_id = (select id from users where username = 'alice') order by created_at limit 1";
    let session = app.database.rows(first).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        desk.run(&["session", "revoke", &session]).await.ok(),
        format!("ended the session {session} of alice\n")
    );
    assert_eq!(alice.ended().await, End::Disconnect);
    assert_eq!(bob.expect("call_ended").await, json!({"callId": call, "reason": "session_revoked"}));
    assert_eq!(
        app.get("/api/me").bearer(alice.token()).send().await.outcome(),
        (401, "session_revoked".into())
    );
    assert!(phone.is_open() && phone.answers().await);
    let again = desk.run(&["session", "revoke", &session]).await.ok();
    assert!(
        again.starts_with(&format!("the session {session} of alice was not live: it ended at 2")),
        "{again}"
    );
    for id in ["", "x", "00000000-0000-7000-8000-000000000001"] {
        assert_eq!(
            desk.run(&["session", "revoke", id]).await.failure(),
            format!("there is no session {id:?}")
        );
    }
}
