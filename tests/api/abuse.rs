//! What a hostile client gets out of beginning again and again.

use crate::app::{PASSWORD, TestApp};
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use test_kit::Transport;
use test_kit::client::{Client, candidate};

#[tokio::test(flavor = "multi_thread")]
async fn an_address_begins_ten_times_as_many_sessions_as_it_makes_requests_and_no_more() {
    let app = TestApp::with(|config| {
        config.api_rate_per_minute = 1;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let handshake = async |from: &str| {
        app.get("/socket.io/?EIO=4&transport=polling").header("x-forwarded-for", from).send().await
    };
    for _ in 0..10 {
        assert_eq!(handshake("203.0.113.7").await.status, 200);
    }
    assert_eq!(handshake("203.0.113.8").await.status, 200);
    let refused = handshake("203.0.113.7").await;
    assert_eq!(refused.outcome(), (429, "rate_limited".into()));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_namespace_cannot_stay_on_the_connection() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.raw("41");
    alice.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_again_is_fine_now_and_then_but_not_all_the_time() {
    let app = TestApp::held(|_| {}).await;
    let alice = app.user("alice").await;
    for _ in 0..5 {
        alice.ok("join", &json!({})).await;
    }
    let refused = alice.ack("join", &json!({})).await;
    assert_eq!(refused["code"], "rate_limited", "{refused}");
    app.clock.advance(Duration::from_secs(1));
    alice.ok("join", &json!({"presence": "delta"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_socket_is_one_user_however_its_joins_are_sent() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    let guest = Client::open(app.address, Transport::Polling).await;
    guest.connect(&json!({})).await.unwrap();
    let join = |token: &str| guest.emit_with_ack("join", &json!({"token": token}));
    let (first, second) = (join(&alice.token), join(&bob.token));
    assert_eq!(guest.acknowledged(first).await["ok"], true);
    assert_eq!(guest.acknowledged(second).await["ok"], false);
    let online = app.get("/api/online-users").bearer(&bob.token).send().await.ok();
    let names: Vec<_> = online.as_array().unwrap().iter().map(|user| user["username"].clone()).collect();
    assert_eq!(names, ["alice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_the_servers_fault_is_not_held_against_the_client() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let mut devices = Vec::new();
    for _ in 0..8 {
        devices.push(Client::joined(&app, &alice).await);
    }
    let ninth = Client::connected(&app, &alice.token).await;
    for _ in 0..4 {
        assert_eq!(ninth.refused("join", &json!({})).await, "rate_limited");
    }
    devices.remove(0).leave().await;
    let deadline = tokio::time::Instant::now() + crate::app::PATIENCE;
    while ninth.ack("join", &json!({})).await["ok"] != true {
        assert!(tokio::time::Instant::now() < deadline, "the ninth device never gets the free place");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_events_are_refused_and_disturb_nobody() {
    let app = TestApp::with(|config| config.event_rate_per_second = 30).await;
    let (carol, dora) = (app.user("carol").await, app.user("dora").await);
    let (alice, bob) = app.pair().await;
    let call = carol.talk(&dora).await;
    for number in 0..100_000 {
        alice.emit("ice_candidate", &json!({"to": bob.id, "candidate": null}));
        if number % 10_000 == 0 {
            let trickle = json!({"to": dora.id, "callId": call, "candidate": candidate(number)});
            carol.ok("ice_candidate", &trickle).await;
            assert_eq!(dora.expect("ice_candidate").await["candidate"], candidate(number));
        }
    }
    let mut refused = Value::Null;
    while refused["code"] != "rate_limited" {
        refused = alice.expect("event_error").await;
    }
    assert!(alice.is_open(), "the socket stays");
    carol.hang_up(&call, &dora).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_logins_is_served_as_far_as_it_can_be_and_the_rest_is_told_to_come_again() {
    let app = Arc::new(TestApp::start().await);
    let logins: Vec<_> = (0..300)
        .map(|n| {
            let app = Arc::clone(&app);
            let form = json!({"username": format!("nobody-{n}"), "password": PASSWORD});
            tokio::spawn(async move { app.post("/api/login").json(&form).send().await })
        })
        .collect();
    app.get("/health/live").send().await.ok();
    let mut outcomes = HashMap::new();
    for login in logins {
        let answer = login.await.unwrap();
        if answer.status == 503 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
        *outcomes.entry(answer.outcome()).or_insert(0) += 1;
    }
    let of = |status, code: &str| outcomes.get(&(status, code.to_owned())).copied().unwrap_or(0);
    assert!(of(401, "invalid_credentials") >= 1 && of(503, "unavailable") >= 1, "{outcomes:?}");
    assert_eq!(of(401, "invalid_credentials") + of(503, "unavailable"), 300, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_of_other_parameters_is_replaced_at_login() {
    let app = TestApp::start().await;
    app.register("alice").await;
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8192, 1, 1, None).unwrap());
    let hash = weak.hash_password(PASSWORD.as_bytes()).unwrap().to_string();
    app.database.execute(&format!("update users set password_hash = '{hash}'")).await;
    app.log_in("alice").await;
    app.until("select password_hash like '$argon2id$v=19$m=19456,t=2,p=1$%' from users").await;
    app.log_in("alice").await;
}
