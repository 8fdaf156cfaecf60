//! `src/store/invariants.sql`, and that each of its queries can fail.

use serde_json::Value;
use std::time::Duration;
use test_kit::postgres::{execute, rows};
use test_kit::{Cluster, PATIENCE};
use tokio::time::timeout;
use video_call_server::admin;

const FILE: &str = include_str!("../../src/store/invariants.sql");

/// The queries of the file.
fn queries() -> impl Iterator<Item = &'static str> {
    FILE.split(";\n").map(str::trim).filter(|query| !query.is_empty())
}

/// Waits until nothing is wrong: a server may take a moment to find its way back.
pub(crate) async fn hold(database: &str) {
    let mut broken = Vec::new();
    let holds = timeout(PATIENCE, async {
        loop {
            broken = offenders(database).await;
            if broken.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let holds = holds.await.is_ok();
    assert!(holds, "{broken:#?}");
}

async fn offenders(database: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for query in queries() {
        found.extend(rows(database, query).await);
    }
    found
}

/// The constraints of the schema, gone, so that what they forbid can be written.
const UNGUARDED: &str = "
    alter table calls drop constraint calls_ended_exactly_when_over, drop constraint calls_reason_exactly_when_over,
        drop constraint calls_answered_after_start, drop constraint calls_ended_after_start,
        drop constraint calls_ended_after_answer;
    alter table sessions drop constraint sessions_rotated_with_generation";

const PEOPLE: &str = "
    insert into users (id, username, password_hash)
    select ('00000000-0000-7000-8000-00000000000' || n)::uuid, 'user-' || n, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA'
    from generate_series(1, 4) n;
    insert into sessions (id, user_id, expires_at) select id, id, now() + interval '1 day' from users";

/// A call of users 1 and 2, as this row.
fn call(columns: &str, values: &str) -> String {
    format!(
        "insert into calls (id, caller_id, callee_id, call_type, node_id, {columns})
         values (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002',
                 'audio', gen_random_uuid(), {values})"
    )
}

/// What breaks each invariant, in the order of the file.
fn breaches() -> [String; 8] {
    let ended = "status, end_reason, started_at, answered_at, ended_at";
    let live = call("status, started_at", "'ringing', now()");
    [
        call("status, started_at", "'ringing', now() - interval '66 seconds'"),
        live.clone(),
        call("status, started_at, ended_at", "'ringing', now(), now()"),
        call(ended, "'completed', 'hangup', now(), now(), now() - interval '1 second'"),
        format!("{live};{live}"),
        "update sessions set refresh_generation = 2".into(),
        "update users set password_hash = '$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHQ$aGFzaA'".into(),
        String::new(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_invariant_finds_what_breaks_it() {
    let cluster = Cluster::start(&[]).await;
    let database = cluster.create_database("broken").await;
    admin::migrate(&database.clone().into()).await.unwrap();
    execute(&database, UNGUARDED).await;
    execute(&database, PEOPLE).await;
    assert_eq!(offenders(&database).await, [] as [Value; 0]);
    let queries: Vec<_> = queries().collect();
    let breaches = breaches();
    assert_eq!(queries.len(), breaches.len());
    for (query, breach) in queries.iter().zip(&breaches).filter(|(_, breach)| !breach.is_empty()) {
        execute(&database, breach).await;
        assert!(!rows(&database, query).await.is_empty(), "{breach} is not found by {query}");
        execute(&database, "truncate users cascade").await;
        execute(&database, PEOPLE).await;
    }
    idle_transactions_are_found(&database, queries[7]).await;
}

/// The last one is about connections, not about rows.
async fn idle_transactions_are_found(database: &str, query: &str) {
    use sqlx::Connection;
    let url = format!("{database}?application_name=video-call-server");
    let mut idle = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut idle).await.unwrap();
    let found = timeout(PATIENCE, async {
        while rows(database, query).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    assert!(found.await.is_ok(), "an idle transaction is not found");
    idle.close().await.unwrap();
}
