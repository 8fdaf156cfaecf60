//! `call list|end`.

use super::Desk;
use crate::app::TestApp;
use crate::database::TestDatabase;
use serde_json::{Value, json};
use std::sync::Arc;
use test_kit::client::{Client, call_user};
use video_call_server::clock::Clock;

fn ids(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn live_calls_are_listed_and_all_others_when_asked_for() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    assert_eq!(desk.json(&["call", "list"]).await, json!([]));
    let (alice, bob) = app.pair().await;
    let carol = app.user("carol").await;
    let over = alice.talk(&bob).await;
    alice.hang_up(&over, &bob).await;
    app.outcome(&over).await;
    let live = alice.talk(&bob).await;
    carol.ok("call_user", &call_user(&bob.id)).await;
    app.until("select status = 'active' from calls where ended_at is null").await;

    let listed = desk.json(&["call", "list"]).await;
    let call = &listed[0];
    assert_eq!(ids(&listed), [live.as_str()]);
    assert_eq!(
        (&call["status"], &call["caller"], &call["callee"]),
        (&json!("active"), &json!("alice"), &json!("bob"))
    );
    assert_eq!(
        (&call["callType"], &call["endedAt"], &call["endReason"]),
        (&json!("video"), &json!(null), &json!(null))
    );
    assert!(call["startedAt"].as_str().unwrap().ends_with('Z') && call["answeredAt"].is_string());
    let table = desk.run(&["call", "list"]).await.ok();
    assert!(table.starts_with("ID ") && table.contains(&live) && table.lines().count() == 2, "{table}");

    assert_eq!(desk.json(&["call", "list", "--all"]).await.as_array().unwrap().len(), 3);
    let missed = desk.json(&["call", "list", "--status", "missed"]).await;
    assert_eq!((missed.as_array().unwrap().len(), &missed[0]["endReason"]), (1, &json!("user_busy")));
    assert_eq!(
        ids(&desk.json(&["call", "list", "--all", "--user", "ALICE"]).await),
        [live.as_str(), over.as_str()]
    );
    assert_eq!(ids(&desk.json(&["call", "list", "--user", "carol"]).await), [] as [&str; 0]);
    assert_eq!(desk.json(&["call", "list", "--since", "1h"]).await.as_array().unwrap().len(), 3);
    assert_eq!(desk.json(&["call", "list", "--since", "2999-01-01"]).await, json!([]));
    assert_eq!(desk.json(&["call", "list", "--all", "--limit", "1"]).await.as_array().unwrap().len(), 1);
    assert_eq!(
        desk.run(&["call", "list", "--user", "nobody"]).await.failure(),
        "there is no user \"nobody\""
    );
    for wrong in [["--since", "yesterday"], ["--status", "dead"], ["--limit", "0"], ["--limit", "-1"]] {
        desk.run(&["call", "list", wrong[0], wrong[1]]).await.usage();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_a_talk_and_a_ring_and_both_sides_hear_of_it() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (alice, bob) = app.pair().await;
    let talk = alice.talk(&bob).await;
    let done = desk.run(&["call", "end", &talk]).await.ok();
    assert_eq!(done, format!("ended the call {talk}: completed, hangup\n"));
    for device in [&alice, &bob] {
        assert_eq!(device.expect("call_ended").await, json!({"callId": talk, "reason": "hangup"}));
    }
    let ring = bob.ring(&alice).await;
    let done = desk.run(&["call", "end", &ring]).await.ok();
    assert_eq!(done, format!("ended the call {ring}: cancelled, cancelled\n"));
    for device in [&alice, &bob] {
        assert_eq!(device.expect("call_ended").await, json!({"callId": ring, "reason": "cancelled"}));
    }
    let again = desk.run(&["call", "end", &ring]).await.ok();
    assert!(again.starts_with(&format!("the call {ring} was not live: it ended at 2")), "{again}");
    assert!(again.ends_with("Z (cancelled, cancelled)\n"), "{again}");
    alice.talk(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_there_or_whose_server_is_dead_is_said_to_be_so() {
    let database = Arc::new(TestDatabase::create().await);
    let desk = Desk::at(&database);
    for id in ["", "x", "00000000-0000-7000-8000-000000000001", "'; drop table calls; --"] {
        assert_eq!(desk.run(&["call", "end", id]).await.failure(), format!("there is no call {id:?}"));
    }
    let call = "00000000-0000-7000-8000-000000000002";
    let insert = "insert into calls (id, call_type, status, started_at, node_id)";
    database
        .execute(&format!("{insert} values ('{call}', 'audio', 'ringing', now(), gen_random_uuid())"))
        .await;
    let dead = desk.run(&["call", "end", call]).await;
    assert!(dead.failure().starts_with("no server answered: "), "{dead:?}");
    assert!(dead.failure().ends_with("the next one that starts closes the call (failed, server_restart)"));
    let app = TestApp::start_on(database, Clock::machine(), |_| {}).await;
    assert_eq!(app.outcome(call).await, "failed/server_restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_may_ask_for_the_end_in_sql_and_nobody_by_a_notice_alone() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    let session = "select id::text as id from sessions order by created_at limit 1";
    let session = app.database.rows(session).await[0]["id"].as_str().unwrap().to_owned();
    for forged in [
        format!("notify call_end_requested, '{call}'"),
        format!("notify session_ended, '{session}'"),
        "notify call_end_requested, 'no id'".to_owned(),
        "notify call_end_requested".to_owned(),
        format!("select pg_notify('call_end_requested', repeat('{call}', 200))"),
        "select pg_notify('session_ended', '00000000-0000-7000-8000-0000000000' || n) from generate_series(10, 99) n"
            .to_owned(),
    ] {
        app.database.execute(&forged).await;
    }
    app.until("select status = 'active' from calls").await;
    // Notices come in order: what was heard before this one was thought nothing of.
    app.database.execute(&format!("update calls set end_requested_at = now() where id = '{call}'")).await;
    assert_eq!(alice.expect("call_ended").await, json!({"callId": call, "reason": "hangup"}));
    assert_eq!(app.outcome(&call).await, "completed/hangup");
    assert!(alice.is_open() && bob.is_open());
    bob.talk(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_while_the_server_could_not_hear_is_done_when_it_can() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    app.until("select status = 'active' from calls").await;
    // In one transaction, so that the request is committed when the listener's connection is already gone.
    app.database
        .execute(&format!(
            "begin;
             select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
               and query ilike '%listen%';
             alter table calls disable trigger calls_end_requested_notify;
             update calls set end_requested_at = now() where id = '{call}';
             alter table calls enable trigger calls_end_requested_notify;
             commit"
        ))
        .await;
    assert_eq!(bob.expect("call_ended").await, json!({"callId": call, "reason": "hangup"}));
    assert_eq!(alice.expect("call_ended").await["reason"], "hangup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_on_the_server_that_has_it_when_two_share_a_database() {
    let first = TestApp::start().await;
    let second = TestApp::start_on(Arc::clone(&first.database), Clock::machine(), |_| {}).await;
    let (alice, bob) = first.pair().await;
    let call = alice.talk(&bob).await;
    let carol = Client::joined(&second, &second.register("carol").await).await;
    let dave = Client::joined(&second, &second.register("dave").await).await;
    let other = carol.talk(&dave).await;
    let desk = Desk::of(&second);
    desk.run(&["call", "end", &call]).await.ok();
    assert_eq!(alice.expect("call_ended").await["callId"], json!(call));
    desk.run(&["call", "end", &other]).await.ok();
    assert_eq!(dave.expect("call_ended").await["callId"], json!(other));
    carol.expect("call_ended").await;
}
