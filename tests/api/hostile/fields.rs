//! Every field of every event: absent, null, of every wrong type, at its limit and beyond.

use super::Bystanders;
use crate::app::TestApp;
use serde_json::{Value, json};
use test_kit::Client;
use test_kit::client::{accept, answer, call_user, candidate, offer};

const NO_CALL: &str = "00000000-0000-7000-8000-00000000000c";

/// Event, field by its pointer, and what it may also be: `?` absent, `n` null, `o` an object without fields of ours,
/// `b` a boolean, `*` anything.
const FIELDS: [(&str, &str, &str); 36] = [
    ("join", "/id", "?n"),
    ("join", "/username", "?n"),
    ("join", "/token", "?n"),
    ("join", "/presence", "?n"),
    ("join", "/resume", "?n"),
    ("call_user", "/to", ""),
    ("call_user", "/from", "?no"),
    ("call_user", "/from/id", "?n"),
    ("call_user", "/from/username", "?n"),
    ("call_user", "/callType", ""),
    ("call_user", "/offer", ""),
    ("call_user", "/offer/type", ""),
    ("call_user", "/offer/sdp", ""),
    ("accept_call", "/callId", ""),
    ("accept_call", "/answer", ""),
    ("accept_call", "/answer/type", ""),
    ("accept_call", "/answer/sdp", ""),
    ("reject_call", "/callId", ""),
    ("end_call", "/callId", ""),
    ("ice_candidate", "/to", ""),
    ("ice_candidate", "/candidate", "n"),
    ("ice_candidate", "/candidate/candidate", ""),
    ("ice_candidate", "/candidate/sdpMid", "?n*"),
    ("ice_candidate", "/candidate/sdpMLineIndex", "?n*"),
    ("ice_candidate", "/callId", "?n"),
    ("renegotiate", "/callId", ""),
    ("renegotiate", "/description", ""),
    ("renegotiate", "/description/type", ""),
    ("renegotiate", "/description/sdp", ""),
    ("media_state", "/callId", ""),
    ("media_state", "/audio", "b"),
    ("media_state", "/video", "b"),
    ("media_state", "/screen", "?nb"),
    ("watch_users", "/ids", ""),
    ("watch_users", "/ids/0", ""),
    ("authenticate", "/token", ""),
];

/// A payload without fault, as `me` would send it to somebody about a call that is not there.
fn good(event: &str, me: &Client, to: &Client) -> Value {
    match event {
        "join" => {
            json!({"id": me.id, "username": me.name, "token": me.token(), "presence": "full", "resume": NO_CALL})
        }
        "call_user" => {
            let mut payload = call_user(&to.id);
            payload["from"] = json!({"id": me.id, "username": me.name});
            payload
        }
        "accept_call" => accept(NO_CALL),
        "ice_candidate" => json!({"to": to.id, "candidate": candidate(1), "callId": NO_CALL}),
        "renegotiate" => json!({"callId": NO_CALL, "description": offer()}),
        "media_state" => json!({"callId": NO_CALL, "audio": true, "video": true, "screen": false}),
        "watch_users" => json!({"ids": [to.id]}),
        "authenticate" => json!({"token": me.token()}),
        _ => json!({"callId": NO_CALL}),
    }
}

fn remove(payload: &mut Value, pointer: &str) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    payload.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
}

/// The payload with a field that is not what it must be, each in turn, and what it was made.
fn spoilt(payload: &Value, pointer: &str, allowed: &str) -> Vec<(Value, Value)> {
    let mut made = Vec::new();
    if !allowed.contains('?') && !pointer.ends_with("/0") {
        let mut without = payload.clone();
        remove(&mut without, pointer);
        made.push((json!("absent"), without));
    }
    let numbers = [json!(0), json!(-1), json!(1.5), json!(u64::MAX), json!(1e308)];
    let strings = [
        json!(""),
        json!("x"),
        json!("\u{0}"),
        json!("🦀"),
        json!("__proto__"),
        json!("00000000-0000-7000-8000-00000000000"),
    ];
    let others = [
        json!(null),
        json!(true),
        json!([]),
        json!([payload.pointer(pointer)]),
        json!({}),
        json!({"toString": 1}),
    ];
    for wrong in numbers.into_iter().chain(strings).chain(others) {
        let is_allowed = allowed.contains('*')
            || (wrong.is_null() && allowed.contains('n'))
            || (wrong.is_boolean() && allowed.contains('b'))
            || (wrong.is_object() && allowed.contains('o'))
            || (wrong.is_string() && is_free_text(pointer, &wrong))
            || (pointer == "/ids" && wrong == json!([]));
        if !is_allowed {
            let mut spoilt = payload.clone();
            *spoilt.pointer_mut(pointer).unwrap() = wrong.clone();
            made.push((wrong, spoilt));
        }
    }
    made
}

/// Whatever is a string is an SDP or a candidate, and a name or a token that is not the right one.
fn is_free_text(pointer: &str, text: &Value) -> bool {
    match pointer {
        "/offer/sdp" | "/answer/sdp" | "/description/sdp" | "/candidate/candidate" => text != "\u{0}",
        "/username" | "/from/username" | "/token" => true,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_not_what_it_must_be_is_refused_whichever_it_is() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let eve = app.register("eve").await;
    let bystanders = Bystanders::arrive(&app).await;
    let mut surprises = Vec::new();
    let mut cases = 0;
    for (event, pointer, allowed) in FIELDS {
        for (wrong, payload) in spoilt(&good(event, &alice, &bob), pointer, allowed) {
            cases += 1;
            let got = if event == "join" {
                // A socket may have two joins refused.
                Client::connected(&app, &eve.token).await.ack(event, &payload).await
            } else {
                alice.ack(event, &payload).await
            };
            if (&got["ok"], &got["code"]) != (&json!(false), &json!("validation_failed")) {
                surprises.push(format!("{event} {pointer} {wrong}: {got}"));
            }
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    assert!(cases > 400, "{cases} cases");
    alice.silence().await;
    bob.silence().await;
    bystanders.are_undisturbed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_the_wrong_shape_is_refused_whatever_the_event() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let bystanders = Bystanders::arrive(&app).await;
    let events = [
        "call_user",
        "accept_call",
        "reject_call",
        "end_call",
        "ice_candidate",
        "renegotiate",
        "media_state",
        "watch_users",
        "authenticate",
    ];
    for event in events {
        for payload in [
            "",
            ",null",
            ",true",
            ",0",
            ",\"x\"",
            ",\"\"",
            ",[]",
            ",{}",
            ",[{}]",
            ",{\"__proto__\":{\"callId\":\"x\"}}",
            ",null,{}",
            ",[[[[]]]]",
        ] {
            let ack = alice.ack_raw(&format!("[\"{event}\"{payload}]")).await;
            assert_eq!(ack["code"], "validation_failed", "{event}{payload}: {ack}");
        }
        // What is given twice may have been judged by one and used by another.
        let good = good(event, &alice, &bob);
        for field in good.as_object().unwrap().keys() {
            let twice = good.to_string().replacen('{', &format!("{{\"{field}\":{},", good[field]), 1);
            let ack = alice.ack_raw(&format!("[\"{event}\",{twice}]")).await;
            assert_eq!(ack["code"], "validation_failed", "{event} with {field} twice: {ack}");
        }
    }
    alice.silence().await;
    bob.silence().await;
    bystanders.are_undisturbed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_than_asked_for_is_ignored_and_never_passed_on() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let bystanders = Bystanders::arrive(&app).await;
    let mut dial = call_user(&bob.id);
    for (field, value) in [
        ("__proto__", json!({"isAdmin": true})),
        ("constructor", json!(1)),
        ("from_", json!("x")),
        ("callId", json!(NO_CALL)),
        ("secret", json!("s3cret")),
    ] {
        dial[field] = value;
    }
    let ack = alice.ack_raw(&format!("[\"call_user\",{dial},\"s3cret\",[[]],null]")).await;
    let call = ack["callId"].as_str().unwrap();
    let incoming = bob.expect("incoming_call").await;
    assert_eq!(incoming["callId"], json!(call));
    assert_eq!(incoming["from"], json!({"id": alice.id, "username": "alice"}));
    assert_eq!(incoming.as_object().unwrap().len(), 4, "{incoming}");
    assert!(!incoming.to_string().contains("s3cret"));
    let mut accepted = accept(call);
    accepted["secret"] = json!("s3cret");
    bob.ok("accept_call", &accepted).await;
    let heard = alice.expect("call_accepted").await;
    assert_eq!(heard, json!({"callId": call, "answer": answer()}));
    let media = json!({"callId": call, "audio": true, "video": false, "from": bob.id, "secret": "s3cret"});
    alice.ok("media_state", &media).await;
    let heard = bob.expect("media_state").await;
    assert_eq!(heard, json!({"callId": call, "from": alice.id, "audio": true, "video": false}));
    alice.expect("call_status").await;
    alice.hang_up(call, &bob).await;
    bystanders.are_undisturbed_but_for(&app, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_kept_to_the_byte() {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let bystanders = Bystanders::arrive(&app).await;
    let sdp = |kind: &str, bytes: usize| json!({"type": kind, "sdp": "x".repeat(bytes)});
    let line = |bytes: usize| {
        let around = json!({"candidate": ""}).to_string().len();
        json!({"candidate": "x".repeat(bytes - around)})
    };
    let ids = |count: usize| json!({"ids": vec![bob.id.clone(); count]});
    let (most, candidate_most) = (48 * 1024, 2 * 1024);
    for (event, good, bad, when_good, when_bad) in [
        (
            "accept_call",
            json!({"callId": NO_CALL, "answer": sdp("answer", most)}),
            json!({"callId": NO_CALL, "answer": sdp("answer", most + 1)}),
            "not_found",
            "payload_too_large",
        ),
        (
            "renegotiate",
            json!({"callId": NO_CALL, "description": sdp("offer", most)}),
            json!({"callId": NO_CALL, "description": sdp("offer", most + 1)}),
            "not_found",
            "payload_too_large",
        ),
        (
            "ice_candidate",
            json!({"to": bob.id, "candidate": line(candidate_most)}),
            json!({"to": bob.id, "candidate": line(candidate_most + 1)}),
            "not_found",
            "payload_too_large",
        ),
        ("watch_users", ids(500), ids(501), "ok", "validation_failed"),
    ] {
        for (payload, expected) in [(good, when_good), (bad, when_bad)] {
            let ack = alice.ack(event, &payload).await;
            let got = if ack["ok"] == true { "ok" } else { ack["code"].as_str().unwrap() };
            assert_eq!(got, expected, "{event}");
        }
    }
    let dial = |bytes: usize| json!({"to": bob.id, "callType": "video", "offer": sdp("offer", bytes)});
    assert_eq!(alice.refused("call_user", &dial(most + 1)).await, "payload_too_large");
    bob.silence().await;
    let ack = alice.ok("call_user", &dial(most)).await;
    assert_eq!(bob.expect("incoming_call").await["offer"], sdp("offer", most));
    alice.hang_up(ack["callId"].as_str().unwrap(), &bob).await;
    bystanders.are_undisturbed_but_for(&app, 1).await;
}
