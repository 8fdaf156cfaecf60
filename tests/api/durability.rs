//! What is on record when, and what becomes of it while the database is away.

use crate::app::{PASSWORD, TestApp};
use crate::database::TestDatabase;
use serde_json::json;
use test_kit::client::{accept, call_user};
use video_call_server::clock::Clock;

#[tokio::test(flavor = "multi_thread")]
async fn once_a_call_is_acknowledged_its_row_is_committed() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let absent = app.register("absent").await;
    for _ in 0..50 {
        let call = alice.dial(&bob).await;
        let row = app.row(&call).await;
        assert_eq!((&row["status"], &row["ended_at"]), (&json!("ringing"), &json!(null)));
        bob.expect("incoming_call").await;
        alice.hang_up(&call, &bob).await;
        let missed = alice.ok("call_user", &call_user(&absent.id)).await;
        assert_eq!(app.row(missed["callId"].as_str().unwrap()).await["end_reason"], "user_offline");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_the_database_is_away_and_are_on_record_when_it_is_back() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let (carol, dave) = (app.user("carol").await, app.user("dave").await);
    let before = alice.talk(&bob).await;
    app.database.go_away().await;
    let mut during = Vec::new();
    for _ in 0..5 {
        let call = carol.talk(&dave).await;
        carol.hang_up(&call, &dave).await;
        during.push(call);
    }
    let ringing = carol.ring(&dave).await;
    bob.emit("ice_candidate", &json!({"to": alice.id, "candidate": test_kit::client::candidate(1)}));
    alice.expect("ice_candidate").await;
    alice.hang_up(&before, &bob).await;
    assert_eq!(app.get("/health").send().await.ok()["database"], "down");
    assert_eq!(app.get("/health/ready").send().await.status, 503);
    let log_in = json!({"username": "alice", "password": PASSWORD});
    let refused = app.post("/api/login").json(&log_in).send().await;
    assert_eq!(refused.outcome(), (503, "unavailable".into()));
    assert!(!refused.header("retry-after").is_empty());
    app.database.come_back().await;
    for call in std::iter::once(&before).chain(&during) {
        assert_eq!(app.outcome(call).await, "completed/hangup");
    }
    app.until(&format!("select status = 'ringing' from calls where id = '{ringing}'")).await;
    let rows = app.database.rows("select id from calls order by started_at").await;
    let order: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let dialled: Vec<&str> =
        [&before].into_iter().chain(&during).chain([&ringing]).map(String::as_str).collect();
    assert_eq!(order, dialled);
    dave.ok("accept_call", &accept(&ringing)).await;
    app.until("select count(*) = 1 from calls where status = 'active'").await;
    app.post("/api/login").json(&log_in).send().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_renamed_is_away_and_not_a_fault_of_the_server() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let name = app.database.name.clone();
    app.database.go_away().await;
    TestDatabase::as_admin(&format!("alter database {name} rename to {name}_elsewhere")).await;
    let call = alice.talk(&bob).await;
    let log_in = json!({"username": "alice", "password": PASSWORD});
    let refused = app.post("/api/login").json(&log_in).send().await;
    assert_eq!(refused.outcome(), (503, "unavailable".into()));
    TestDatabase::as_admin(&format!("alter database {name}_elsewhere rename to {name}")).await;
    app.database.come_back().await;
    alice.hang_up(&call, &bob).await;
    assert_eq!(app.outcome(&call).await, "completed/hangup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_refuses_new_calls_and_drops_nothing() {
    let app = TestApp::with(|config| config.journal_capacity = 1).await;
    let (alice, bob) = app.pair().await;
    let (carol, dave) = (app.user("carol").await, app.user("dave").await);
    app.database.go_away().await;
    let call = alice.ring(&bob).await;
    assert_eq!(carol.refused("call_user", &call_user(&dave.id)).await, "unavailable");
    carol.emit("call_user", &call_user(&dave.id));
    let error = carol.expect("event_error").await;
    assert_eq!((&error["event"], &error["code"]), (&json!("call_user"), &json!("unavailable")));
    dave.silence().await;
    bob.ok("accept_call", &accept(&call)).await;
    alice.expect("call_accepted").await;
    alice.hang_up(&call, &bob).await;
    app.database.come_back().await;
    assert_eq!(app.outcome(&call).await, "completed/hangup");
    carol.talk(&dave).await;
    assert_eq!(app.database.rows("select id from calls").await.len(), 2);
}

/// Two users and their calls as another server left them.
const LEFT_BEHIND: &str = "
    insert into users (id, username, password_hash) values
        ('00000000-0000-7000-8000-000000000001', 'ann', '$argon2id$x'),
        ('00000000-0000-7000-8000-000000000002', 'ben', '$argon2id$x');
    insert into calls (id, caller_id, callee_id, call_type, status, end_reason, started_at, answered_at, ended_at, node_id)
    select ('00000000-0000-7000-8000-00000000001' || n)::uuid, '00000000-0000-7000-8000-000000000001',
           '00000000-0000-7000-8000-000000000002', 'audio', status, reason, '2026-01-01 10:00Z', answered, ended,
           '00000000-0000-7000-8000-0000000000ff'
    from (values (1, 'ringing', null, null::timestamptz, null::timestamptz),
                 (2, 'active', null, '2026-01-01 10:00:05Z', null),
                 (3, 'completed', 'hangup', '2026-01-01 10:00:05Z', '2026-01-01 10:01Z'),
                 (4, 'missed', 'no_answer', null, '2026-01-01 10:01Z')) as c (n, status, reason, answered, ended)";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_dead_server_left_live_are_closed_at_the_start_and_no_others() {
    let database = TestDatabase::create().await;
    database.execute(LEFT_BEHIND).await;
    let app = TestApp::start_on(database, Clock::machine(), |_| {}).await;
    let rows = app.database.rows("select status, end_reason, answered_at is null as missed, ended_at > now() - interval '1 minute' as now from calls order by id").await;
    let row = |status: &str, reason: &str, missed: bool, now: bool| json!({"status": status, "end_reason": reason, "missed": missed, "now": now});
    assert_eq!(
        rows,
        [
            row("failed", "server_restart", true, true),
            row("failed", "server_restart", false, true),
            row("completed", "hangup", false, false),
            row("missed", "no_answer", true, false),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_database_leaves_the_calls_of_the_first_alone() {
    let first = TestApp::start().await;
    let (alice, bob) = first.pair().await;
    let call = alice.talk(&bob).await;
    first.until("select count(*) = 1 from calls where status = 'active'").await;
    let second = TestApp::start_on(first.database.clone(), Clock::machine(), |_| {}).await;
    assert_eq!(first.row(&call).await["status"], "active");
    second.stop().await;
    alice.hang_up(&call, &bob).await;
    assert_eq!(first.outcome(&call).await, "completed/hangup");
}
