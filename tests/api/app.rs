//! A server of the test's own.

use crate::database::TestDatabase;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use test_kit::{Account, PASSWORD, PATIENCE};
use test_kit::{Ask, Client, Server};
use tokio::time::timeout;
use video_call_server::clock::Clock;
use video_call_server::config::Config;
use video_call_server::service::Service;

/// A running server, its database and its clock.
pub(crate) struct TestApp {
    service: Option<Service>,
    pub(crate) address: SocketAddr,
    pub(crate) database: Arc<TestDatabase>,
    pub(crate) clock: Clock,
}

impl Server for TestApp {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl TestApp {
    /// With the contract's defaults, but for limits: those stand in the way of everything else.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(TestDatabase::create().await, Clock::machine(), adjust).await
    }

    /// Time stands still until the test moves it.
    pub(crate) async fn held(adjust: impl FnOnce(&mut Config)) -> Self {
        let noon: DateTime<Utc> = "2030-01-01T12:00:00Z".parse().unwrap();
        Self::start_on(TestDatabase::create().await, Clock::held(noon), adjust).await
    }

    pub(crate) async fn start_on(
        database: impl Into<Arc<TestDatabase>>,
        clock: Clock,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config {
            login_rate_per_minute: 0,
            api_rate_per_minute: 0,
            event_rate_per_second: 0,
            call_rate_per_minute: 0,
            ..Config::for_tests()
        };
        adjust(&mut config);
        let database = database.into();
        let service = Service::start(config, database.url.clone().into(), clock.clone()).await.unwrap();
        Self { address: service.address(), service: Some(service), database, clock }
    }

    /// One that runs in a process of its own.
    pub(crate) fn elsewhere(address: SocketAddr, database: Arc<TestDatabase>) -> Self {
        Self { service: None, address, database, clock: Clock::machine() }
    }

    /// Where its metrics are, if they are elsewhere.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.service.as_ref().and_then(Service::metrics_address)
    }

    /// Stops the server, and leaves its database.
    pub(crate) async fn stop(mut self) -> Arc<TestDatabase> {
        let service = self.service.take().unwrap();
        timeout(PATIENCE, service.stop()).await.expect("the server to stop");
        self.database
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.address, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Ask {
        self.ask("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask {
        self.ask("POST", path)
    }

    pub(crate) async fn register(&self, username: &str) -> Account {
        Account::register(self, username).await
    }

    pub(crate) async fn log_in(&self, username: &str) -> Account {
        Account::log_in(self, username).await
    }

    /// A new user with one device that has joined.
    pub(crate) async fn user(&self, username: &str) -> Client {
        Client::joined(self, &self.register(username).await).await
    }

    pub(crate) async fn pair(&self) -> (Client, Client) {
        tokio::join!(self.user("alice"), self.user("bob"))
    }

    /// Waits until a query of one value answers `true`: rows are written behind what clients see.
    pub(crate) async fn until(&self, condition: &str) {
        let sql = format!("select ({condition}) as holds");
        let found = timeout(PATIENCE, async {
            while self.database.rows(&sql).await[0]["holds"] != json!(true) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let in_time = found.await.is_ok();
        assert!(
            in_time,
            "waited for {condition}; calls: {:#?}",
            self.database.rows("select * from calls").await
        );
    }

    /// The row of a call that is over.
    pub(crate) async fn ended_row(&self, call: &str) -> Value {
        self.until(&format!("select ended_at is not null from calls where id = '{call}'")).await;
        self.row(call).await
    }

    pub(crate) async fn row(&self, call: &str) -> Value {
        let sql = format!("select * from calls where id = '{call}'");
        self.database.rows(&sql).await.pop().unwrap_or_else(|| panic!("no row of call {call}"))
    }

    /// `status/end_reason` of a call that is over.
    pub(crate) async fn outcome(&self, call: &str) -> String {
        let row = self.ended_row(call).await;
        format!("{}/{}", row["status"].as_str().unwrap(), row["end_reason"].as_str().unwrap())
    }
}
