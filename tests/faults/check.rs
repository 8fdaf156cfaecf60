//! What must be true after every fault.

use crate::invariants;
use crate::population::Population;
use crate::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use test_kit::{Answer, Ask, PASSWORD, PATIENCE, Server};
use tokio::time::{Instant, timeout};

/// How long REST may take, whatever is wrong behind it.
const REST_TIME: Duration = Duration::from_secs(3);

impl World {
    /// The fault is over: nothing is lost, nothing is left behind, everything works.
    pub(crate) async fn check(&self, people: &Population) {
        self.works_again(people).await;
        people.exchange().await;
        people.forget_events().await;
        people.ledger.settles(&self.database).await;
        invariants::hold(&self.database).await;
        self.presence_equals_sockets(people).await;
        assert_eq!(self.get("/health", people).await["activeCalls"], json!(people.calls.len()));
        self.log_is_clean();
    }

    /// REST serves again, in time.
    async fn works_again(&self, people: &Population) {
        let served = timeout(PATIENCE, async {
            loop {
                let answers = self.rest_answers(people).await;
                if answers.iter().all(|answer| answer.status == 200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        assert!(served.await.is_ok(), "REST does not serve again");
    }

    /// Each resource answers within its time: it serves, or says when to come back.
    pub(crate) async fn rest_answers(&self, people: &Population) -> Vec<Answer> {
        let account = &people.accounts[0];
        let ask = |method, path| Ask::new(self.address(), method, path).bearer(&account.token);
        let form = json!({"username": account.username, "password": PASSWORD});
        let requests = [
            ("/health", ask("GET", "/health")),
            ("/health/live", ask("GET", "/health/live")),
            ("/health/ready", ask("GET", "/health/ready")),
            ("/api/me", ask("GET", "/api/me")),
            ("/api/users", ask("GET", "/api/users?limit=5")),
            ("/api/online-users", ask("GET", "/api/online-users")),
            ("/api/calls", ask("GET", "/api/calls")),
            ("/api/ice-servers", ask("GET", "/api/ice-servers")),
            ("/api/login", ask("POST", "/api/login").json(&form)),
        ];
        join_all(requests.map(async |(path, request)| {
            let asked = Instant::now();
            let answer = request.send().await;
            let took = asked.elapsed();
            assert!(took < REST_TIME, "{path} took {took:?}: {} {}", answer.status, answer.text);
            let says_when = !answer.header("retry-after").is_empty();
            let fine = answer.status == 200 || (answer.status == 503 && says_when);
            assert!(fine, "{path}: {} {:?} {}", answer.status, answer.headers, answer.text);
            answer
        }))
        .await
    }

    /// Who is online is who has a socket.
    pub(crate) async fn presence_equals_sockets(&self, people: &Population) {
        let here = people.here();
        let mut told = BTreeSet::new();
        let equal = timeout(PATIENCE, async {
            loop {
                let online = self.get("/api/online-users", people).await;
                let name = |row: &Value| row["username"].as_str().unwrap().to_owned();
                told = online.as_array().unwrap().iter().map(name).collect();
                if told.iter().map(String::as_str).eq(here.iter().copied()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let equal = equal.await.is_ok();
        assert!(equal, "online are {told:?}, connected {here:?}");
        let health = self.get("/health", people).await;
        assert_eq!(health["activeUsers"], json!(here.len()));
    }

    async fn get(&self, path: &str, people: &Population) -> Value {
        let ask = Ask::new(self.address(), "GET", path).bearer(&people.accounts[0].token);
        ask.send().await.ok()
    }
}
