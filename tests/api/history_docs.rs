//! Every query in `docs/history.md` works as it stands there.

use crate::app::TestApp;
use serde_json::json;
use test_kit::client::{Client, call_user};

const PAGE: &str = include_str!("../../docs/history.md");

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
    let queries: Vec<_> = blocks().into_iter().filter(|block| !block.starts_with("grant ")).collect();
    assert!(queries.len() >= 10, "{} queries", queries.len());
    for query in queries {
        let found = app.database.rows(query.trim_end().trim_end_matches(';')).await;
        assert!(!found.is_empty(), "finds nothing:\n{query}");
    }
}
