//! `user show|rename|delete`.

use super::Desk;
use crate::app::{PASSWORD, TestApp};
use crate::database::TestDatabase;
use serde_json::json;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use test_kit::client::{Client, End};

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_shown_with_its_sessions_and_calls() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (alice, bob) = app.pair().await;
    app.log_in("alice").await;
    let call = alice.talk(&bob).await;
    alice.hang_up(&call, &bob).await;
    app.outcome(&call).await;
    let live = bob.ring(&alice).await;
    let shown = desk.json(&["user", "show", "ALICE"]).await;
    assert_eq!((&shown["username"], &shown["id"]), (&json!("alice"), &json!(alice.id)));
    assert_eq!(
        (&shown["liveSessions"], &shown["calls"], &shown["liveCall"]),
        (&json!(2), &json!(2), &json!(live))
    );
    assert_eq!((&shown["lastSeenAt"], &shown["disabledAt"]), (&json!(null), &json!(null)));
    let text = desk.run(&["user", "show", "alice"]).await.ok();
    for line in
        [format!("id              {}", alice.id), "live sessions   2".into(), "disabled        -".into()]
    {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_user_is_cut_at_once_and_has_the_new_name_everywhere() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    assert_eq!(
        desk.run(&["user", "rename", "aLICE", "Carol"]).await.ok(),
        "renamed alice to Carol; sessions ended: 1\n"
    );
    assert_eq!(bob.expect("call_ended").await, json!({"callId": call, "reason": "session_revoked"}));
    assert_eq!(alice.ended().await, End::Disconnect);
    let login = app.post("/api/login").json(&json!({"username": "alice", "password": PASSWORD})).send().await;
    assert_eq!(login.outcome(), (401, "invalid_credentials".into()));
    let carol = app.log_in("carol").await;
    assert_eq!((&carol.id, carol.username.as_str()), (&alice.id, "Carol"));
    assert_eq!(app.outcome(&call).await, "completed/session_revoked");
    assert_eq!(app.database.rows("select caller from call_history").await, [json!({"caller": "Carol"})]);
    // Another case of the same name is free to its owner, another's name is not.
    assert_eq!(
        desk.run(&["user", "rename", "carol", "CAROL"]).await.ok(),
        "renamed Carol to CAROL; sessions ended: 1\n"
    );
    assert_eq!(desk.run(&["user", "rename", "carol", "BOB"]).await.failure(), "the username is taken");
    assert_eq!(
        desk.run(&["user", "rename", "carol", "x"]).await.failure(),
        "the username must be 3 to 32 characters long"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_by_the_old_name_survives_a_rename_at_that_instant() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let alice = app.register("alice").await;
    let someone_waits = "select exists (select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock')";
    // The rename is written and not committed when the login, which has read the old name, comes to it.
    let rename = app.database.lock("update users set username = 'Carol' where username = 'alice'").await;
    let login = json!({"username": "alice", "password": PASSWORD});
    let (login, ()) = tokio::join!(app.post("/api/login").json(&login).send(), async {
        app.until(someone_waits).await;
        TestDatabase::commit(rename).await;
    });
    assert_eq!(login.outcome(), (401, "invalid_credentials".into()));
    // The login's session is written and not committed when the rename comes to it.
    let login = format!(
        "insert into sessions (id, user_id, created_at, last_used_at, expires_at)
         select gen_random_uuid(), id, now(), now(), now() + interval '1 day' from users where id = '{}' for share",
        alice.id
    );
    let login = app.database.lock(&login).await;
    let (renamed, ()) = tokio::join!(desk.run(&["user", "rename", "carol", "dave"]), async {
        app.until(someone_waits).await;
        TestDatabase::commit(login).await;
    });
    assert_eq!(renamed.ok(), "renamed Carol to dave; sessions ended: 2\n");
    assert_eq!(desk.json(&["session", "list"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_is_cut_at_once_and_history_keeps_the_call_without_the_name() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    let unsure = desk.run(&["user", "delete", "alice"]).await;
    assert_eq!(unsure.failure(), "deleting an account wants --yes where there is nobody to ask");
    // An answer that nobody was asked for is none.
    assert_eq!(desk.run_with(&["user", "delete", "alice"], "y\n").await.code, Some(1));
    alice.silence().await;
    assert_eq!(
        desk.run(&["user", "delete", "ALICE", "--yes"]).await.ok(),
        "deleted alice; sessions ended: 1\n"
    );
    assert_eq!(bob.expect("call_ended").await, json!({"callId": call, "reason": "session_revoked"}));
    assert_eq!(alice.ended().await, End::Disconnect);
    assert_eq!(app.outcome(&call).await, "completed/session_revoked");
    let row = app.database.rows("select caller, callee from call_history").await;
    assert_eq!(row, [json!({"caller": null, "callee": "bob"})]);
    assert_eq!(desk.run(&["user", "delete", "alice", "--yes"]).await.failure(), "there is no user \"alice\"");
    // The name is free again.
    Client::joined(&app, &app.register("alice").await).await.talk(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be_are_unknown_and_passwords_with_nul_are_refused() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let long = "x".repeat(10_000);
    for name in
        ["nobody", "", " ", "a\nb", "'; drop table users; --", "ünïcode", "\u{202e}evil", "%", long.as_str()]
    {
        let expected = format!("there is no user {name:?}");
        assert_eq!(desk.run(&["user", "show", name]).await.failure(), expected);
        assert_eq!(desk.run(&["user", "delete", "--yes", "--", name]).await.failure(), expected);
    }
    let mut command = desk.command(&["user", "show"]);
    command.arg(OsStr::from_bytes(b"\xff\xfe"));
    super::finish(&mut command, "").await.usage();
    let nul = desk.run_with(&["user", "add", "alice"], "a password\0with nul\n").await;
    assert!(nul.failure().starts_with("the password "), "{nul:?}");
    assert_eq!(app.database.rows("select from users").await.len(), 0);
}
