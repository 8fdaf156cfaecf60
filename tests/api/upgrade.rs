//! Programs of two versions on one database.

use crate::app::TestApp;
use crate::database::TestDatabase;
use serde_json::json;
use std::sync::Arc;
use test_kit::PATIENCE;
use tokio::time::timeout;
use video_call_server::admin;
use video_call_server::clock::Clock;
use video_call_server::config::Config;
use video_call_server::service::Service;

const OF_THE_FUTURE: &str =
    "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    values (99991231000001, 'of the future', true, '', 0)";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_while_a_newer_one_has_migrated_and_does_not_start_again() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    app.database.execute(OF_THE_FUTURE).await;
    assert_eq!(app.get("/health/ready").send().await.status, 200);
    let call = alice.talk(&bob).await;
    alice.hang_up(&call, &bob).await;

    let database = Arc::clone(&app.database);
    app.stop().await;
    let again = Service::start(Config::for_tests(), database.url.clone().into(), Clock::machine()).await;
    let error = again.err().expect("an older program to refuse").to_string();
    assert_eq!(
        error,
        "the database's schema is newer than this program: it has the migration 99991231000001"
    );
}

/// As a server of the version before leaves it.
const OF_THE_VERSION_BEFORE: &str = "
    drop index if exists calls_named_by_end;
    drop trigger calls_end_requested_notify on calls;
    drop function notify_call_end_requested;
    alter table calls drop column end_requested_at cascade;
    delete from _sqlx_migrations where version >= 20261126000001";
const INDEX: &str =
    "select indisvalid as valid from pg_index where indexrelid = to_regclass('calls_named_by_end')";

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_migrate_once_and_do_not_wait_for_each_other() {
    let database = TestDatabase::create().await;
    let url = database.url.clone().into();
    for _ in 0..5 {
        database.execute(OF_THE_VERSION_BEFORE).await;
        let starts = async {
            tokio::join!(
                admin::migrate(&url),
                admin::migrate(&url),
                admin::migrate(&url),
                admin::migrate(&url)
            )
        };
        let (first, second, third, fourth) = timeout(PATIENCE, starts).await.expect("no deadlock");
        for migrated in [first, second, third, fourth] {
            migrated.unwrap();
        }
        assert_eq!(database.rows(INDEX).await, [json!({"valid": true})]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_keep_everybody_from_a_table_that_a_backup_reads() {
    let database = TestDatabase::create().await;
    let url = database.url.clone().into();
    database.execute(OF_THE_VERSION_BEFORE).await;
    let backup = database.lock("lock table calls in access share mode").await;
    let refused = timeout(PATIENCE, admin::migrate(&url)).await.unwrap().unwrap_err().to_string();
    assert_eq!(
        refused,
        "cannot bring the database's schema up to date: a table that the migration 20261126000001 changes is in use (by a backup that runs, say); start again"
    );
    TestDatabase::unlock(backup).await;
    admin::migrate(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_left_half_made_is_made_anew() {
    let database = TestDatabase::create().await;
    let url = database.url.clone().into();
    database
        .execute(
            "delete from _sqlx_migrations where version = 20261126000002;
             drop index calls_named_by_end;
             insert into calls (id, call_type, status, end_reason, started_at, ended_at, node_id)
             select gen_random_uuid(), 'video', 'missed', 'no_answer', now(), now(), gen_random_uuid()
             from generate_series(1, 2)",
        )
        .await;
    // One that fails half-way leaves just that.
    let unique = "create unique index concurrently calls_named_by_end on calls (ended_at)";
    assert!(database.try_execute(unique).await.is_err());
    assert_eq!(database.rows(INDEX).await, [json!({"valid": false})]);
    admin::migrate(&url).await.unwrap();
    assert_eq!(database.rows(INDEX).await, [json!({"valid": true})]);
}
