//! Every query in `docs/history.md` works as it stands there.

use crate::app::TestApp;
use serde_json::json;
use test_kit::client::{Client, call_user};

const PAGE: &str = include_str!("../../docs/history.md");
const ROLE: &str = "history_reader";

fn blocks() -> Vec<&'static str> {
    let blocks = PAGE.split("```sql\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("a closed block").0).collect()
}

/// A call of every outcome that does not need a restart.
async fn some_history(app: &TestApp) {
    let (alice, bob) = app.pair().await;
    let absent = app.register("carol").await;
    let talk = alice.talk(&bob).await;
    alice.hang_up(&talk, &bob).await;
    let rejected = bob.ring(&alice).await;
    alice.ok("reject_call", &json!({"callId": rejected})).await;
    alice.ok("call_user", &call_user(&absent.id)).await;
    Client::joined(app, &app.log_in("bob").await).await.dial(&alice).await;
    app.until("select count(*) = 4 from calls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_page_runs_and_most_find_something() {
    let app = TestApp::start().await;
    some_history(&app).await;
    let queries: Vec<_> = blocks().into_iter().filter(|block| !block.contains("create role")).collect();
    assert!(queries.len() >= 10, "{} queries", queries.len());
    for query in queries {
        let found = app.database.rows(query.trim_end().trim_end_matches(';')).await;
        assert!(!found.is_empty(), "finds nothing:\n{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_only_role_of_the_page_reads_history_and_nothing_secret() {
    let app = TestApp::start().await;
    some_history(&app).await;
    let role = format!("{ROLE}_{}", std::process::id());
    let block = blocks().into_iter().find(|block| block.contains("create role")).unwrap();
    app.database.execute(&block.replace(ROLE, &role)).await;
    app.database.execute(&format!("grant {role} to current_user")).await;
    for allowed in [
        "select * from call_history",
        "select * from call_daily_stats",
        "select * from calls",
        "select id, username, created_at, last_seen_at, disabled_at from users",
        "select id, user_id, created_at, last_used_at, expires_at, revoked_at, user_agent, ip from sessions",
    ] {
        app.database.try_as(&role, allowed).await.expect(allowed);
    }
    for forbidden in [
        "select password_hash from users",
        "select * from users",
        "select refresh_generation from sessions",
        "insert into calls (id) values (gen_random_uuid())",
        "update calls set status = 'missed'",
        "delete from calls",
        "delete from users",
        "update sessions set revoked_at = now()",
        "truncate calls",
        "create table mine (n int)",
        "drop table calls",
    ] {
        let error = app.database.try_as(&role, forbidden).await.expect_err(forbidden);
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{forbidden}: {error}");
    }
    let read_only = format!("select rolconfig::text as config from pg_roles where rolname = '{role}'");
    assert_eq!(
        app.database.rows(&read_only).await,
        [json!({"config": "{default_transaction_read_only=on}"})]
    );
    app.database.execute(&format!("drop owned by {role}; drop role {role}")).await;
}
