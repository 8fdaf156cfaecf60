//! Programs of two versions on one database.

use crate::app::TestApp;
use std::sync::Arc;
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
