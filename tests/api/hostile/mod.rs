//! What hostile clients send, and what they get: each case its exact outcome, and nobody else hears of any of it.

mod bodies;
mod events;
mod fields;
mod framing;
mod http;
mod jwt;
mod matrix;
mod rest;

use crate::app::TestApp;
use serde_json::Value;
use test_kit::Client;

/// Two who have nothing to do with it, and what was on record before it began.
struct Bystanders {
    carol: Client,
    dave: Client,
    before: Value,
}

impl Bystanders {
    /// To be called when everybody has an account.
    async fn arrive(app: &TestApp) -> Self {
        let (carol, dave) = tokio::join!(app.user("carol"), app.user("dave"));
        Self { before: on_record(app).await, carol, dave }
    }

    /// Nobody heard of it, it left nothing on record, and two others can still have a call.
    async fn are_undisturbed(&self, app: &TestApp) {
        self.are_undisturbed_but_for(app, 0).await;
    }

    /// The same, where `calls` calls were placed that may well be on record.
    async fn are_undisturbed_but_for(&self, app: &TestApp, calls: u64) {
        self.carol.silence().await;
        self.dave.silence().await;
        let call = self.carol.talk(&self.dave).await;
        self.carol.hang_up(&call, &self.dave).await;
        // Rows are written in order, so whatever came before this one is there when it is.
        app.ended_row(&call).await;
        let mut expected = self.before.clone();
        expected["calls"] = (self.before["calls"].as_u64().unwrap() + calls + 1).into();
        assert_eq!(on_record(app).await, expected, "what is on record");
    }
}

/// How many rows each table has.
async fn on_record(app: &TestApp) -> Value {
    let count = |table: &str| format!("(select count(*) from {table}) as {table}");
    let sql = format!("select {}, {}, {}", count("users"), count("sessions"), count("calls"));
    app.database.rows(&sql).await.remove(0)
}
