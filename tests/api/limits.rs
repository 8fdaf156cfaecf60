//! Whoever asks too often is told when to ask again, and nobody else is held up.

use crate::app::{PASSWORD, TestApp};
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::Answer;
use test_kit::client::call_user;

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.outcome(), (429, "rate_limited".into()), "{}", answer.text);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "Retry-After: {wait}");
}

fn form(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_registrations_share_a_limit_for_each_address() {
    let app = TestApp::with(|config| config.login_rate_per_minute = 3).await;
    let alice = app.register("alice").await;
    app.log_in("alice").await;
    app.post("/api/login").json(&form("alice", "wrong")).send().await;
    assert_limited(&app.post("/api/login").json(&form("alice", PASSWORD)).send().await);
    assert_limited(&app.post("/api/register").json(&form("bob", PASSWORD)).send().await);
    let elsewhere = app.post("/api/login").header("x-forwarded-for", "203.0.113.7");
    assert_limited(&elsewhere.json(&form("alice", PASSWORD)).send().await);
    app.get("/api/me").bearer(&alice.token).send().await.ok();
    app.post("/api/refresh").json(&json!({"refreshToken": alice.refresh_token})).send().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_tells_addresses_apart() {
    let app = TestApp::with(|config| {
        config.login_rate_per_minute = 1;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let log_in = async |from: &str| {
        app.post("/api/login")
            .header("x-forwarded-for", from)
            .json(&form("nobody", PASSWORD))
            .send()
            .await
            .status
    };
    assert_eq!(log_in("203.0.113.7").await, 401);
    assert_eq!(log_in("203.0.113.7").await, 429);
    assert_eq!(log_in("203.0.113.8, 203.0.113.7").await, 429, "the rightmost untrusted hop counts");
    assert_eq!(log_in("203.0.113.8").await, 401);
    assert_eq!(log_in("2001:db8:1:2::1").await, 401);
    assert_eq!(log_in("2001:db8:1:2::2").await, 429, "the same /64");
    assert_eq!(log_in("2001:db8:1:3::1").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_has_a_limit_for_each_address_and_health_has_none() {
    let app = TestApp::with(|config| config.api_rate_per_minute = 4).await;
    let alice = app.register("alice").await;
    for _ in 0..4 {
        app.get("/api/me").bearer(&alice.token).send().await.ok();
    }
    assert_limited(&app.get("/api/users").bearer(&alice.token).send().await);
    assert_limited(&app.post("/api/refresh").json(&json!({"refreshToken": "x"})).send().await);
    for _ in 0..10 {
        app.get("/health").send().await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_guessed_five_times_and_then_once_a_minute() {
    let app = TestApp::held(|_| {}).await;
    app.register("alice").await;
    app.register("bob").await;
    let log_in =
        async |name: &str, password: &str| app.post("/api/login").json(&form(name, password)).send().await;
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            assert_eq!(log_in(name, "a wrong one").await.status, 401);
        }
        assert_limited(&log_in(name, "a wrong one").await);
        assert_limited(&log_in(name, PASSWORD).await);
    }
    assert_eq!(log_in("bob", PASSWORD).await.status, 200, "others are not held up");
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(log_in("alice", PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_has_150_events_at_once_and_30_more_each_second() {
    let app = TestApp::held(|config| config.event_rate_per_second = 30).await;
    let alice = app.user("alice").await;
    let spend = async |count: usize| {
        for number in 0..count {
            assert_eq!(
                alice.ack("ping", &Value::Null).await,
                json!({"ok": true}),
                "ping {number} of {count}"
            );
        }
        let refused = alice.ack("ping", &Value::Null).await;
        assert_eq!(refused["code"], "rate_limited");
        let wait = refused["retryAfterMs"].as_u64().unwrap();
        assert!((1..=34).contains(&wait), "{refused}");
    };
    // The join was one.
    spend(149).await;
    app.clock.advance(Duration::from_secs(1));
    spend(30).await;
    alice.emit("end_call", &json!({}));
    assert_eq!(alice.expect("event_error").await["code"], "rate_limited");
    app.clock.advance(Duration::from_secs(1));
    assert!(alice.is_open());
    alice.ok("ping", &Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_ten_calls_at_once_and_one_more_each_two_seconds() {
    let app = TestApp::held(|config| config.call_rate_per_minute = 30).await;
    let alice = app.user("alice").await;
    let absent = app.register("absent").await;
    for _ in 0..10 {
        alice.ok("call_user", &call_user(&absent.id)).await;
    }
    let refused = alice.ack("call_user", &call_user(&absent.id)).await;
    assert_eq!((&refused["code"], &refused["retryAfterMs"]), (&json!("rate_limited"), &json!(2000)));
    let second = test_kit::client::Client::joined(&app, &app.log_in("alice").await).await;
    assert_eq!(
        second.refused("call_user", &call_user(&absent.id)).await,
        "rate_limited",
        "of the user, not the socket"
    );
    app.clock.advance(Duration::from_secs(2));
    alice.ok("call_user", &call_user(&absent.id)).await;
    assert_eq!(alice.refused("call_user", &call_user(&absent.id)).await, "rate_limited");
    app.until("select count(*) = 11 from calls").await;
}
