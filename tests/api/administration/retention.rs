//! Old calls are forgotten: each hour by the server, and at once by `db prune`.

use super::Desk;
use crate::app::TestApp;
use crate::database::TestDatabase;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use video_call_server::clock::Clock;
use video_call_server::config::{Config, RetentionAction};

const HOUR: Duration = Duration::from_hours(1);
const DAYS: u64 = 90;
/// Of the first turn of a server that started at noon, one hour later.
const HORIZON: &str = "timestamptz '2030-01-01 13:00Z' - interval '90 days'";

fn keep(action: RetentionAction) -> impl FnOnce(&mut Config) {
    move |config| {
        config.history_retention = Some(Duration::from_hours(24 * DAYS));
        config.history_retention_action = action;
    }
}

/// The hours begin when upkeep does, and so does the watch on notices.
async fn upkeep_runs(app: &TestApp) {
    app.until("select exists (select from pg_stat_activity where datname = current_database() and query ilike 'listen%')").await;
}

/// `count` calls of alice and bob that ended at `ended`, an SQL expression of `n`.
async fn ended_calls(database: &TestDatabase, count: u32, ended: &str) {
    database
        .execute(&format!(
            "insert into users (id, username, password_hash) values
                 ('00000000-0000-7000-8000-00000000000a', 'old-alice', '$argon2id$x'),
                 ('00000000-0000-7000-8000-00000000000b', 'old-bob', '$argon2id$x')
             on conflict do nothing;
             insert into calls (id, caller_id, callee_id, call_type, status, end_reason, started_at, answered_at, ended_at, node_id)
             select gen_random_uuid(), '00000000-0000-7000-8000-00000000000a', '00000000-0000-7000-8000-00000000000b',
                    'audio', 'completed', 'hangup', {ended} - interval '1 hour', {ended} - interval '1 hour', {ended}, gen_random_uuid()
             from generate_series(1, {count}) n"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_deleted_when_they_ended_before_the_horizon_and_neither_later_nor_while_they_live() {
    let database = Arc::new(TestDatabase::create().await);
    let noon = Clock::held("2030-01-01T12:00:00Z".parse().unwrap());
    let app = TestApp::start_on(Arc::clone(&database), noon, keep(RetentionAction::Delete)).await;
    let (alice, bob) = app.pair().await;
    ended_calls(&database, 1, &format!("{HORIZON} - interval '1 microsecond'")).await;
    ended_calls(&database, 1, &format!("{HORIZON} - interval '10 years'")).await;
    ended_calls(&database, 1, HORIZON).await;
    // Began long before the horizon, and lives.
    let live = alice.talk(&bob).await;
    app.until(&format!("select status = 'active' from calls where id = '{live}'")).await;
    let long_ago = format!("update calls set started_at = {HORIZON} - interval '1 day' where id = '{live}'");
    database.execute(&long_ago).await;
    upkeep_runs(&app).await;
    assert_eq!(database.rows("select from calls").await.len(), 4);
    app.clock.advance(HOUR);
    app.until("select count(*) = 2 from calls").await;
    let left =
        database.rows(&format!("select id = '{live}' or ended_at = {HORIZON} as stays from calls")).await;
    assert_eq!(left, [json!({"stays": true}), json!({"stays": true})]);
    alice.hang_up(&live, &bob).await;
    assert_eq!(app.outcome(&live).await, "completed/hangup");
    let stats = database.rows("select sum(calls)::int as calls from call_daily_stats").await;
    assert_eq!(stats, [json!({"calls": 2})], "the figures of a day lose what is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymised_calls_keep_everything_but_their_parties() {
    let database = Arc::new(TestDatabase::create().await);
    let noon = Clock::held("2030-01-01T12:00:00Z".parse().unwrap());
    ended_calls(&database, 2, &format!("{HORIZON} - n * interval '1 day'")).await;
    ended_calls(&database, 1, HORIZON).await;
    let kept = "select id, call_type, status, end_reason, started_at, answered_at, ended_at, node_id from calls order by id";
    let before = database.rows(kept).await;
    // Of one that lost a party already, the other one goes too.
    database
        .execute(
            "update calls set caller_id = null where id = (select id from calls order by ended_at limit 1)",
        )
        .await;
    let app = TestApp::start_on(Arc::clone(&database), noon, keep(RetentionAction::Anonymise)).await;
    upkeep_runs(&app).await;
    app.clock.advance(HOUR);
    app.until("select count(*) = 2 from calls where caller_id is null and callee_id is null").await;
    assert_eq!(database.rows(kept).await, before);
    let named = database.rows("select caller, callee from call_history where caller is not null").await;
    assert_eq!(named, [json!({"caller": "old-alice", "callee": "old-bob"})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_go_in_small_batches_and_what_is_locked_waits_for_the_next_hour() {
    let database = Arc::new(TestDatabase::create().await);
    let noon = Clock::held("2030-01-01T12:00:00Z".parse().unwrap());
    ended_calls(&database, 10_000, &format!("{HORIZON} - n * interval '1 minute'")).await;
    database
        .execute(
            "create table batches (calls bigint);
             create function count_batch() returns trigger language plpgsql as
                 'begin insert into batches select count(*) from gone having count(*) > 0; return null; end';
             create trigger count_batches after delete on calls referencing old table as gone
                 for each statement execute function count_batch()",
        )
        .await;
    let app = TestApp::start_on(Arc::clone(&database), noon, keep(RetentionAction::Delete)).await;
    upkeep_runs(&app).await;
    let locked = database.lock("select from calls order by ended_at limit 1 for update").await;
    app.clock.advance(HOUR);
    app.until("select count(*) = 1 from calls").await;
    let batches =
        database.rows("select max(calls) <= 1000 as small, sum(calls)::int as all from batches").await;
    assert_eq!(batches, [json!({"small": true, "all": 9999})]);
    // Meanwhile calls are written as ever.
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    alice.hang_up(&call, &bob).await;
    assert_eq!(app.outcome(&call).await, "completed/hangup");
    TestDatabase::unlock(locked).await;
    app.clock.advance(HOUR);
    app.until("select count(*) = 1 from calls").await;
    assert_eq!(app.outcome(&call).await, "completed/hangup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_cleaned_when_it_is_back() {
    let database = Arc::new(TestDatabase::create().await);
    let noon = Clock::held("2030-01-01T12:00:00Z".parse().unwrap());
    ended_calls(&database, 3, &format!("{HORIZON} - n * interval '1 minute'")).await;
    let app = TestApp::start_on(Arc::clone(&database), noon, keep(RetentionAction::Delete)).await;
    upkeep_runs(&app).await;
    database.go_away().await;
    app.clock.advance(HOUR);
    // The minute's and the hour's turns are tried, and fail.
    let health = app.get("/health/ready").send().await;
    assert_eq!(health.status, 503);
    database.come_back().await;
    let cleaned = tokio::time::timeout(test_kit::PATIENCE, async {
        while !database.rows("select from calls").await.is_empty() {
            app.clock.advance(HOUR);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    cleaned.await.expect("the calls to be forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_server_that_owns_the_history_forgets_calls() {
    let database = Arc::new(TestDatabase::create().await);
    let noon = || Clock::held("2030-01-01T12:00:00Z".parse().unwrap());
    ended_calls(&database, 3, &format!("{HORIZON} - n * interval '1 day'")).await;
    let owner = TestApp::start_on(Arc::clone(&database), noon(), keep(RetentionAction::Delete)).await;
    let second = TestApp::start_on(Arc::clone(&database), noon(), keep(RetentionAction::Delete)).await;
    second.until("select count(*) = 2 from pg_stat_activity where datname = current_database() and query ilike 'listen%'").await;
    // Each hour begins with the sessions: when those of the second hour are gone, the first is over.
    for _ in 0..2 {
        database
            .execute(
                "insert into sessions (id, user_id, created_at, expires_at)
                 values (gen_random_uuid(), '00000000-0000-7000-8000-00000000000a', '2020-01-01', '2020-01-02')",
            )
            .await;
        second.clock.advance(HOUR);
        second.until("select count(*) = 0 from sessions").await;
    }
    assert_eq!(database.rows("select from calls").await.len(), 3);
    owner.clock.advance(HOUR);
    owner.until("select count(*) = 0 from calls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_prunes_at_once_and_only_by_a_rule() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    ended_calls(&database, 5, "now() - n * interval '10 days'").await;
    let unset = desk.run(&["db", "prune"]).await;
    assert_eq!(unset.failure(), "HISTORY_RETENTION is not set: history is kept for ever");
    let done = desk
        .run(&["db", "prune", "--history-retention", "35d", "--history-retention-action", "anonymise"])
        .await
        .ok();
    assert!(done.starts_with("calls that ended before 2") && done.ends_with("Z, anonymised: 2\n"), "{done}");
    assert_eq!(database.rows("select from calls where caller_id is null").await.len(), 2);
    let done = desk.run(&["db", "prune", "--history-retention", "25d"]).await.ok();
    assert!(done.ends_with("Z, deleted: 3\n"), "{done}");
    for (name, value, problem) in [
        ("--history-retention", "1h", "HISTORY_RETENTION: \"1h\" is not between 1day and 100years"),
        (
            "--history-retention",
            "90",
            "HISTORY_RETENTION: \"90\" is not a duration with its unit, such as 500ms, 60s, 1h or 30d",
        ),
        (
            "--history-retention-action",
            "burn",
            "HISTORY_RETENTION_ACTION: \"burn\" is not delete or anonymise",
        ),
    ] {
        assert_eq!(desk.run(&["db", "prune", name, value]).await.failure(), problem);
    }
    assert_eq!(database.rows("select from calls").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_calls_are_found_by_an_index() {
    let database = TestDatabase::create().await;
    ended_calls(&database, 5000, "now() - n * interval '1 day'").await;
    database.execute("analyze calls").await;
    for (query, index) in [
        (
            "select id from calls where started_at < now() - interval '4900 days' and ended_at < now() - interval '4900 days' order by started_at limit 1000 for update skip locked",
            "calls_by_start",
        ),
        (
            "select id from calls where ended_at < now() - interval '4900 days' and ended_at is not null and (caller_id is not null or callee_id is not null) order by ended_at limit 1000 for update skip locked",
            "calls_named_by_end",
        ),
    ] {
        let plan = database.plan(query).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{plan}");
    }
}
