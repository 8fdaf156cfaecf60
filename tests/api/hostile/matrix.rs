//! Every event, by everybody who has no business with it.

use super::Bystanders;
use crate::app::TestApp;
use serde_json::{Value, json};
use test_kit::client::{Client, accept, call_user, candidate, offer};

/// An event, and what it is answered: `ok`, or a code.
type Row = (&'static str, [&'static str; 6]);

/// By a socket that has not joined; by a stranger while the call rings, while it is active and when it is over; by a party
/// when it is over; and by another device of a party.
const MATRIX: [Row; 16] = [
    ("join", ["ok", "ok", "ok", "ok", "ok", "ok"]),
    ("ping", ["ok", "ok", "ok", "ok", "ok", "ok"]),
    ("accept_call", ["not_joined", "not_found", "not_found", "not_found", "invalid_state", "invalid_state"]),
    ("reject_call", ["not_joined", "not_found", "not_found", "not_found", "invalid_state", "invalid_state"]),
    (
        "ice_candidate",
        ["not_joined", "not_found", "not_found", "not_found", "invalid_state", "invalid_state"],
    ),
    (
        "ice_candidate without a call",
        ["not_joined", "not_found", "not_found", "not_found", "not_found", "invalid_state"],
    ),
    ("renegotiate", ["not_joined", "not_found", "not_found", "not_found", "invalid_state", "invalid_state"]),
    ("media_state", ["not_joined", "not_found", "not_found", "not_found", "invalid_state", "invalid_state"]),
    ("watch_users", ["not_joined", "ok", "ok", "ok", "ok", "ok"]),
    (
        "authenticate",
        [
            "not_joined",
            "identity_mismatch",
            "identity_mismatch",
            "identity_mismatch",
            "identity_mismatch",
            "identity_mismatch",
        ],
    ),
    (
        "call_user as another",
        [
            "not_joined",
            "identity_mismatch",
            "identity_mismatch",
            "identity_mismatch",
            "identity_mismatch",
            "identity_mismatch",
        ],
    ),
    (
        "call_user to nobody",
        ["not_joined", "not_found", "not_found", "not_found", "not_found", "invalid_state"],
    ),
    ("call_user to oneself", ["not_joined", "self_call", "self_call", "self_call", "self_call", "self_call"]),
    (
        "no_such_event",
        [
            "unknown_event",
            "unknown_event",
            "unknown_event",
            "unknown_event",
            "unknown_event",
            "unknown_event",
        ],
    ),
    (
        "incoming_call",
        [
            "unknown_event",
            "unknown_event",
            "unknown_event",
            "unknown_event",
            "unknown_event",
            "unknown_event",
        ],
    ),
    // The last of all: where it is granted there is nothing left to end.
    ("end_call", ["not_joined", "not_found", "not_found", "not_found", "ok", "ok"]),
];

/// The event's name and a payload without fault, about somebody else's call.
fn event(row: &'static str, call: &str, me: &str, alice: &Client, bob: &Client) -> (&'static str, Value) {
    let of_call = json!({"callId": call});
    match row {
        "accept_call" => (row, accept(call)),
        "ice_candidate" => (row, json!({"callId": call, "to": alice.id, "candidate": candidate(1)})),
        "ice_candidate without a call" => {
            ("ice_candidate", json!({"to": alice.id, "candidate": candidate(1)}))
        }
        "renegotiate" => (row, json!({"callId": call, "description": offer()})),
        "media_state" => (row, json!({"callId": call, "audio": true, "video": false})),
        "watch_users" => (row, json!({"ids": [alice.id, bob.id]})),
        "authenticate" => (row, json!({"token": alice.token()})),
        "call_user as another" => {
            let mut payload = call_user(&bob.id);
            payload["from"] = json!({"id": bob.id, "username": "nobody"});
            ("call_user", payload)
        }
        "call_user to nobody" => ("call_user", call_user("00000000-0000-7000-8000-00000000000c")),
        "call_user to oneself" => ("call_user", call_user(me)),
        "join" => (row, json!({"resume": call})),
        _ => (row, of_call),
    }
}

/// Sends every event of the matrix; `column` says what it is answered.
async fn try_column(who: &Client, column: usize, call: &str, alice: &Client, bob: &Client) {
    for (row, answers) in MATRIX {
        let (name, payload) = event(row, call, &who.id, alice, bob);
        let ack = who.ack(name, &payload).await;
        let got = if ack["ok"] == true { "ok" } else { ack["code"].as_str().unwrap() };
        assert_eq!(got, answers[column], "{row}, column {column}: {ack}");
        match got {
            "ok" if name == "join" => drop(who.expect("join_success").await),
            "ok" if name == "ping" => drop(who.expect("pong").await),
            "ok" => {}
            code => {
                // The same without an acknowledgement.
                who.emit(name, &payload);
                let error = who.expect("event_error").await;
                assert_eq!((&error["event"], &error["code"]), (&json!(name), &json!(code)), "{row}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_joined_a_socket_is_served_join_and_ping_alone() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let (mallory, eve) = (app.register("mallory").await, app.register("eve").await);
    let bystanders = Bystanders::arrive(&app).await;
    let call = alice.talk(&bob).await;
    for (row, answers) in MATRIX {
        // A socket each, since one of the events is `join`.
        let lurker = Client::connected(&app, if row == "join" { &mallory.token } else { &eve.token }).await;
        let (name, payload) = event(row, &call, &eve.id, &alice, &bob);
        let ack = lurker.ack(name, &payload).await;
        let got = if ack["ok"] == true { "ok" } else { ack["code"].as_str().unwrap() };
        assert_eq!(got, answers[0], "{row}: {ack}");
    }
    for device in [&alice, &bob] {
        device.silence().await;
    }
    alice.hang_up(&call, &bob).await;
    bystanders.are_undisturbed_but_for(&app, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_finds_no_call_whether_it_rings_is_active_or_over() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let mallory = app.user("mallory").await;
    let bystanders = Bystanders::arrive(&app).await;
    let call = alice.ring(&bob).await;
    for column in [1, 2, 3] {
        try_column(&mallory, column, &call, &alice, &bob).await;
        let path = format!("/api/calls/{call}");
        assert_eq!(app.get(&path).bearer(mallory.token()).send().await.outcome().1, "not_found");
        mallory.silence().await;
        alice.silence().await;
        bob.silence().await;
        match column {
            1 => {
                bob.ok("accept_call", &accept(&call)).await;
                alice.expect("call_accepted").await;
            }
            2 => alice.hang_up(&call, &bob).await,
            _ => {}
        }
    }
    bystanders.are_undisturbed_but_for(&app, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_over_takes_no_more_events_but_retries_of_its_end() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let bystanders = Bystanders::arrive(&app).await;
    let call = alice.talk(&bob).await;
    alice.hang_up(&call, &bob).await;
    try_column(&bob, 4, &call, &alice, &bob).await;
    try_column(&alice, 4, &call, &bob, &alice).await;
    for device in [&alice, &bob] {
        device.silence().await;
    }
    bystanders.are_undisturbed_but_for(&app, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_device_of_a_party_can_end_a_call_and_nothing_else() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let other = Client::joined(&app, &app.log_in("bob").await).await;
    let bystanders = Bystanders::arrive(&app).await;
    let call = alice.ring(&bob).await;
    other.expect("incoming_call").await;
    bob.ok("accept_call", &accept(&call)).await;
    alice.expect("call_accepted").await;
    other.expect("call_ended").await;
    try_column(&other, 5, &call, &alice, &bob).await;
    for device in [&alice, &bob] {
        assert_eq!(device.expect("call_ended").await, json!({"callId": call, "reason": "hangup"}));
        device.silence().await;
    }
    other.silence().await;
    bystanders.are_undisturbed_but_for(&app, 1).await;
}
