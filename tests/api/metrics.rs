//! Who may read the metrics, where, and that they are of one server alone.

use crate::app::TestApp;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use test_kit::{Answer, Ask};

async fn scrape(address: SocketAddr) -> HashMap<String, String> {
    let answer = Ask::new(address, "GET", "/metrics").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let samples = answer.text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.to_owned())
    });
    samples.collect()
}

fn assert_nothing(answer: &Answer) {
    assert_eq!(answer.outcome(), (404, "not_found".into()), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_main_port_they_are_for_this_machine_and_for_no_proxy() {
    let app = TestApp::start().await;
    assert!(scrape(app.address).await.contains_key("video_call_ready"));
    for (header, value) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "a.example"),
        ("forwarded", "for=203.0.113.7"),
    ] {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = app.ask(method, "/metrics").header(header, value).send().await;
            assert_eq!(answer.status, 404, "{method} {header}");
            if method != "HEAD" {
                assert_nothing(&answer);
            }
        }
    }
    assert_eq!(app.post("/metrics").send().await.outcome(), (405, "method_not_allowed".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_address_of_their_own_they_are_there_and_nothing_else_is() {
    let app = TestApp::with(|config| config.metrics_addr = Some(([127, 0, 0, 1], 0).into())).await;
    let apart = app.metrics_address().unwrap();
    assert_nothing(&app.get("/metrics").send().await);
    assert!(scrape(apart).await.contains_key("video_call_ready"));
    let proxied = Ask::new(apart, "GET", "/metrics").header("x-forwarded-for", "203.0.113.7");
    assert_eq!(proxied.send().await.status, 200);
    for path in ["/", "/health", "/api/me", "/socket.io/?EIO=4&transport=polling"] {
        assert_nothing(&Ask::new(apart, "GET", path).send().await);
    }
    app.stop().await;
    assert!(Ask::new(apart, "GET", "/metrics").exchange().await.is_err(), "it ends with the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_in_one_process_count_each_for_itself() {
    let (one, other) = tokio::join!(TestApp::start(), TestApp::start());
    let (alice, bob) = one.pair().await;
    let call = alice.talk(&bob).await;
    alice.hang_up(&call, &bob).await;
    let ended = r#"video_call_calls_ended_total{end_reason="hangup",status="completed"}"#;
    let joined = r#"video_call_socket_events_total{event="join",result="ok"}"#;
    let of = async |app: &TestApp| {
        let found = scrape(app.address).await;
        [ended, joined, "video_call_users_online"].map(|name| found[name].clone())
    };
    assert_eq!(of(&one).await, ["1", "2", "2"]);
    assert_eq!(of(&other).await, ["0", "0", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_measured_by_the_time_that_passes() {
    let app = TestApp::held(|_| {}).await;
    let (alice, bob) = app.pair().await;
    let call = alice.ring(&bob).await;
    app.clock.advance(Duration::from_secs(7));
    bob.ok("accept_call", &test_kit::client::accept(&call)).await;
    alice.expect("call_accepted").await;
    app.clock.advance(Duration::from_secs(90));
    assert_eq!(scrape(app.address).await[r#"video_call_calls{state="active"}"#], "1");
    alice.hang_up(&call, &bob).await;
    let found = scrape(app.address).await;
    assert_eq!(found[r#"video_call_call_ring_seconds_sum{outcome="answered"}"#], "7");
    assert_eq!(found["video_call_call_talk_seconds_sum"], "90");
    assert_eq!(found["video_call_call_setup_seconds_count"], "1");
    assert_eq!(found["video_call_call_setup_seconds_sum"], "0");
    assert_eq!(found[r#"video_call_calls{state="active"}"#], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_contract_is_a_route_of_its_own() {
    let app = TestApp::start().await;
    let contract = include_str!("../../docs/protocol.md");
    let rows = contract.lines().filter_map(|line| {
        let (method, rest) = line.strip_prefix("| ")?.split_once(' ')?;
        let path = rest.strip_prefix('`')?.split(['`', ' ']).next()?;
        (["GET", "POST", "PUT", "DELETE"].contains(&method) && path.starts_with('/'))
            .then_some((method, path))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 12, "{rows:?}");
    for (method, path) in &rows {
        app.ask(method, &path.replace("{id}", "0199")).send().await;
    }
    let found = scrape(app.address).await;
    for (method, path) in rows {
        let labels = format!(r#"method="{method}",route="{path}""#);
        let counted = |name: &&String| name.contains("_duration_seconds_count") && name.contains(&labels);
        assert!(found.keys().find(counted).is_some(), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_one_of_rows_and_not_of_when_people_were_last_seen() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    alice.leave().await;
    bob.leave().await;
    app.until("select count(*) = 2 from users where last_seen_at is not null").await;
    let read = scrape(app.address).await;
    assert_eq!(read["video_call_journal_commit_seconds_count"], "0");
    assert_eq!(read["video_call_journal_rows_written_total"], "0");
}
