//! What a REST client can get wrong, and what it is told.

use super::Bystanders;
use crate::app::{PASSWORD, TestApp};
use serde_json::{Value, json};
use std::fmt::Debug;
use test_kit::Answer;

/// Who asks.
#[derive(Debug, Clone, Copy)]
enum Auth {
    Nobody,
    Alice,
    Raw(&'static str),
}
use Auth::{Alice, Nobody, Raw};

/// Method and path, who asks, content type, body; status and code.
type Case = (&'static str, Auth, &'static str, &'static str, u16, &'static str);

const JSON: &str = "application/json";
const NAMELESS: &str = r#"{"password":"correct horse battery"}"#;
const UNKNOWN: &str = r#"{"username":"nobody","password":"correct horse battery"}"#;
const OTHER_CALL: &str = "GET /api/calls/00000000-0000-7000-8000-000000000001";

const BAD_BODIES: [Case; 34] = [
    ("POST /api/login", Nobody, "", "{}", 415, "unsupported_media_type"),
    ("POST /api/login", Nobody, "text/plain", UNKNOWN, 415, "unsupported_media_type"),
    (
        "POST /api/login",
        Nobody,
        "application/x-www-form-urlencoded",
        "username=a&password=b",
        415,
        "unsupported_media_type",
    ),
    ("POST /api/login", Nobody, "application/jsonp", "{}", 415, "unsupported_media_type"),
    ("POST /api/login", Nobody, JSON, "", 400, "invalid_json"),
    ("POST /api/login", Nobody, JSON, "{", 400, "invalid_json"),
    ("POST /api/login", Nobody, JSON, "{'username':'a'}", 400, "invalid_json"),
    ("POST /api/login", Nobody, JSON, "{} {}", 400, "invalid_json"),
    ("POST /api/login", Nobody, JSON, r#"{"username":"\ud800","password":"x"}"#, 400, "invalid_json"),
    ("POST /api/login", Nobody, JSON, "[]", 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, "null", 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, "\"alice\"", 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, "{}", 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, NAMELESS, 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, r#"{"username":"alice"}"#, 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, r#"{"username":"","password":""}"#, 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, r#"{"username":null,"password":"x"}"#, 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, r#"{"username":7,"password":"x"}"#, 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, r#"{"username":["alice"],"password":"x"}"#, 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, r#"{"username":"alice","password":{}}"#, 400, "validation_failed"),
    ("POST /api/login", Nobody, JSON, r#"{"username":"a\u0000b","password":"x"}"#, 400, "validation_failed"),
    (
        "POST /api/login",
        Nobody,
        JSON,
        r#"{"username":"alice","password":"a\u0000b"}"#,
        400,
        "validation_failed",
    ),
    ("POST /api/login", Nobody, JSON, UNKNOWN, 401, "invalid_credentials"),
    (
        "POST /api/login",
        Nobody,
        JSON,
        r#"{"username":"alice","password":"wrong"}"#,
        401,
        "invalid_credentials",
    ),
    (
        "POST /api/login",
        Nobody,
        JSON,
        r#"{"username":"' or 1=1 --","password":"x"}"#,
        401,
        "invalid_credentials",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":"al","password":"long enough"}"#,
        400,
        "validation_failed",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":"-lead","password":"long enough"}"#,
        400,
        "validation_failed",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":"two words","password":"long enough"}"#,
        400,
        "validation_failed",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":"<b>bob</b>","password":"long enough"}"#,
        400,
        "validation_failed",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":"bob\u0000","password":"long enough"}"#,
        400,
        "validation_failed",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":"fresh","password":"1234567"}"#,
        400,
        "validation_failed",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":"ALICE","password":"long enough"}"#,
        409,
        "username_taken",
    ),
    (
        "POST /api/register",
        Nobody,
        JSON,
        r#"{"username":" alice ","password":"long enough"}"#,
        409,
        "username_taken",
    ),
    ("POST /api/register", Nobody, JSON, "{}", 400, "validation_failed"),
];

const BAD_CALLERS: [Case; 22] = [
    ("GET /api/me", Nobody, "", "", 401, "unauthorized"),
    ("GET /api/users", Nobody, "", "", 401, "unauthorized"),
    ("GET /api/online-users", Nobody, "", "", 401, "unauthorized"),
    ("GET /api/calls", Nobody, "", "", 401, "unauthorized"),
    (OTHER_CALL, Nobody, "", "", 401, "unauthorized"),
    ("GET /api/ice-servers", Nobody, "", "", 401, "unauthorized"),
    ("POST /api/logout", Nobody, "", "", 401, "unauthorized"),
    ("DELETE /api/me", Nobody, JSON, "{}", 401, "unauthorized"),
    ("PUT /api/me/password", Nobody, JSON, "{}", 401, "unauthorized"),
    ("GET /api/me", Raw(""), "", "", 401, "unauthorized"),
    ("GET /api/me", Raw("Bearer"), "", "", 401, "unauthorized"),
    ("GET /api/me", Raw("Bearer "), "", "", 401, "unauthorized"),
    ("GET /api/me", Raw("Bearer nonsense"), "", "", 401, "unauthorized"),
    ("GET /api/me", Raw("Basic YWxpY2U6eA=="), "", "", 401, "unauthorized"),
    ("GET /api/me", Raw("Bearer a.b.c"), "", "", 401, "unauthorized"),
    // {"alg":"none"} with a subject.
    ("GET /api/me", Raw("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."), "", "", 401, "unauthorized"),
    ("POST /api/refresh", Nobody, JSON, "{}", 400, "validation_failed"),
    ("POST /api/refresh", Nobody, JSON, r#"{"refreshToken":7}"#, 400, "validation_failed"),
    ("POST /api/refresh", Nobody, JSON, r#"{"refreshToken":""}"#, 401, "unauthorized"),
    ("POST /api/refresh", Nobody, JSON, r#"{"refreshToken":"AAAA"}"#, 401, "unauthorized"),
    ("POST /api/refresh", Nobody, JSON, r#"{"refreshToken":"a\u0000b"}"#, 401, "unauthorized"),
    ("POST /api/refresh", Nobody, "", "", 415, "unsupported_media_type"),
];

const BAD_QUESTIONS: [Case; 34] = [
    ("GET /api/users?limit=0", Alice, "", "", 400, "validation_failed"),
    ("GET /api/users?limit=1001", Alice, "", "", 400, "validation_failed"),
    ("GET /api/users?limit=-1", Alice, "", "", 400, "validation_failed"),
    ("GET /api/users?limit=many", Alice, "", "", 400, "validation_failed"),
    ("GET /api/users?limit=99999999999999999999", Alice, "", "", 400, "validation_failed"),
    ("GET /api/users?limit=1&limit=2", Alice, "", "", 400, "validation_failed"),
    ("GET /api/users?after=%00", Alice, "", "", 400, "validation_failed"),
    ("GET /api/users?after=a%20b", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?limit=0", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?limit=201", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?limit=1.5", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?before=yesterday", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?before=AAAA", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?before=", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?status=lost", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?status=Missed", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?with=bob", Alice, "", "", 400, "validation_failed"),
    ("GET /api/calls?with=1%20or%201", Alice, "", "", 400, "validation_failed"),
    (OTHER_CALL, Alice, "", "", 404, "not_found"),
    ("GET /api/calls/1", Alice, "", "", 404, "not_found"),
    ("GET /api/calls/%00", Alice, "", "", 404, "not_found"),
    ("GET /api/calls/..%2f..%2fetc%2fpasswd", Alice, "", "", 404, "not_found"),
    ("GET /api/nothing", Alice, "", "", 404, "not_found"),
    ("GET /nothing", Nobody, "", "", 404, "not_found"),
    ("GET /api/login", Nobody, "", "", 405, "method_not_allowed"),
    ("DELETE /api/users", Alice, "", "", 405, "method_not_allowed"),
    ("PATCH /api/me", Alice, JSON, "{}", 405, "method_not_allowed"),
    ("BREW /health", Nobody, "", "", 405, "method_not_allowed"),
    ("PUT /api/me/password", Alice, "", "{}", 415, "unsupported_media_type"),
    ("PUT /api/me/password", Alice, JSON, "{}", 400, "validation_failed"),
    (
        "PUT /api/me/password",
        Alice,
        JSON,
        r#"{"currentPassword":"correct horse battery","newPassword":"short"}"#,
        400,
        "validation_failed",
    ),
    (
        "PUT /api/me/password",
        Alice,
        JSON,
        r#"{"currentPassword":"not this one","newPassword":"long enough"}"#,
        403,
        "wrong_password",
    ),
    ("DELETE /api/me", Alice, JSON, r#"{"password":"not this one"}"#, 403, "wrong_password"),
    ("DELETE /api/me", Alice, JSON, r#"{"password":null}"#, 400, "validation_failed"),
];

async fn try_all(cases: &[Case]) {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let bystanders = Bystanders::arrive(&app).await;
    for case in cases {
        let (line, auth, content_type, body, status, code) = case;
        let (method, path) = line.split_once(' ').unwrap();
        let mut ask = app.ask(method, path).body(*body);
        if !content_type.is_empty() {
            ask = ask.header("content-type", content_type);
        }
        ask = match auth {
            Nobody => ask,
            Alice => ask.bearer(&alice.token),
            Raw(value) => ask.header("authorization", value),
        };
        let answer = ask.send().await;
        assert_eq!(answer.outcome(), (*status, (*code).to_owned()), "{case:?}: {}", answer.text);
        check_shape(case, &answer);
    }
    bystanders.are_undisturbed(&app).await;
    app.get("/api/me").bearer(&alice.token).send().await.ok();
}

/// Every error looks alike, and shows nothing of the inside.
pub(super) fn check_shape(case: &impl Debug, answer: &Answer) {
    let body = answer.json();
    let sentence = body["error"].as_str().unwrap();
    assert!(!sentence.is_empty(), "{case:?}");
    assert_eq!(body["requestId"], json!(answer.header("x-request-id")), "{case:?}");
    assert_eq!(body["details"] != Value::Null, body["code"] == "validation_failed", "{case:?}: {body}");
    assert_eq!(answer.header("www-authenticate"), if answer.status == 401 { "Bearer" } else { "" });
    for inside in ["sqlx", "postgres", "panicked", "src/", "argon2", "correct horse"] {
        assert!(!answer.text.contains(inside), "{case:?}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_body_is_refused_with_a_reason() {
    try_all(&BAD_BODIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_refused_whatever_it_asks_for() {
    try_all(&BAD_CALLERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_is_refused_with_a_reason() {
    try_all(&BAD_QUESTIONS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_name_or_password_gets_the_demo_servers_sentence() {
    let app = TestApp::start().await;
    for form in [json!({}), json!({"username": "alice"}), json!({"password": PASSWORD})] {
        let answer = app.post("/api/login").json(&form).send().await;
        assert_eq!(answer.json()["error"], "Username and password required");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_16_kib_is_too_large_and_unknown_fields_are_ignored() {
    let app = TestApp::start().await;
    let form =
        |padding: usize| json!({"username": "alice", "password": PASSWORD, "more": "x".repeat(padding)});
    app.post("/api/register").json(&form(15 * 1024)).send().await.ok();
    let answer = app.post("/api/login").json(&form(17 * 1024)).send().await;
    assert_eq!(answer.outcome(), (413, "payload_too_large".into()));
    let long = json!({"username": "a".repeat(33), "password": "p".repeat(129)});
    let answer = app.post("/api/register").json(&long).send().await;
    let fields: Vec<_> =
        answer.json()["details"].as_array().unwrap().iter().map(|d| d["field"].clone()).collect();
    assert_eq!(fields, [json!("password")], "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_secret_issuer_or_life_is_refused() {
    let app = TestApp::start().await;
    let other =
        TestApp::with(|config| config.jwt_secret = "another secret of thirty-two bytes!!".into()).await;
    let foreign = other.register("alice").await;
    let ours = app.register("alice").await;
    let spoil = |part: usize| {
        let mut parts: Vec<String> = ours.token.split('.').map(ToOwned::to_owned).collect();
        let other = if &parts[part][5..6] == "A" { "B" } else { "A" };
        parts[part].replace_range(5..6, other);
        parts.join(".")
    };
    for token in [foreign.token.clone(), spoil(0), spoil(1), spoil(2), format!("{}x", ours.token)] {
        assert_eq!(app.get("/api/me").bearer(&token).send().await.outcome(), (401, "unauthorized".into()));
    }
    app.get("/api/me").bearer(&ours.token).send().await.ok();
}
