//! JSON bodies, paths and queries that are odd rather than plainly wrong.

use super::Bystanders;
use super::rest::check_shape;
use crate::app::{PASSWORD, TestApp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What it is, a body that is sent as a login of alice, and the outcome. `PASS` stands for her password.
const LOGINS: [(&str, &[u8], u16, &str); 38] = [
    ("a byte order mark", b"\xef\xbb\xbf{\"username\":\"alice\",\"password\":\"PASS\"}", 400, "invalid_json"),
    ("UTF-16", b"\xff\xfe{\0}\0", 400, "invalid_json"),
    ("Latin-1", b"{\"username\":\"\xe9lise\",\"password\":\"PASS\"}", 400, "invalid_json"),
    ("an overlong NUL", b"{\"username\":\"\xc0\x80\",\"password\":\"PASS\"}", 400, "invalid_json"),
    ("a surrogate in UTF-8", b"{\"username\":\"\xed\xa0\x80\",\"password\":\"PASS\"}", 400, "invalid_json"),
    ("half a surrogate pair", br#"{"username":"\ud83d","password":"PASS"}"#, 400, "invalid_json"),
    (
        "a surrogate pair turned round",
        br#"{"username":"\ude00\ud83d","password":"PASS"}"#,
        400,
        "invalid_json",
    ),
    (
        "half a surrogate pair in a field nobody reads",
        br#"{"username":"alice","password":"PASS","x":"\ud83d"}"#,
        400,
        "invalid_json",
    ),
    ("a raw NUL in a string", b"{\"username\":\"al\0ice\",\"password\":\"PASS\"}", 400, "invalid_json"),
    ("a raw line feed in a string", b"{\"username\":\"al\nice\",\"password\":\"PASS\"}", 400, "invalid_json"),
    ("a NUL behind the end", b"{\"username\":\"alice\",\"password\":\"PASS\"}\0", 400, "invalid_json"),
    ("something behind the end", br#"{"username":"alice","password":"PASS"}x"#, 400, "invalid_json"),
    ("a trailing comma", br#"{"username":"alice","password":"PASS",}"#, 400, "invalid_json"),
    ("a comment", br#"{"username":"alice",/* */"password":"PASS"}"#, 400, "invalid_json"),
    ("single quotes", b"{'username':'alice','password':'PASS'}", 400, "invalid_json"),
    ("a name without quotes", br#"{username:"alice","password":"PASS"}"#, 400, "invalid_json"),
    ("an escape of no character", br#"{"username":"\x61lice","password":"PASS"}"#, 400, "invalid_json"),
    ("an escape cut short", br#"{"username":"\u00","password":"PASS"}"#, 400, "invalid_json"),
    ("not a number", br#"{"username":"alice","password":"PASS","x":NaN}"#, 400, "invalid_json"),
    ("infinity", br#"{"username":"alice","password":"PASS","x":1e999}"#, 400, "invalid_json"),
    (
        "a number that begins with 0",
        br#"{"username":"alice","password":"PASS","x":007}"#,
        400,
        "invalid_json",
    ),
    (
        "two bodies",
        br#"{"username":"alice","password":"PASS"}{"username":"alice","password":"PASS"}"#,
        400,
        "invalid_json",
    ),
    ("a form", b"username=alice&password=PASS", 400, "invalid_json"),
    ("XML", b"<login><username>alice</username></login>", 400, "invalid_json"),
    ("the fields as a list", br#"["alice","PASS"]"#, 400, "validation_failed"),
    (
        "the fields one deeper",
        br#"{"body":{"username":"alice","password":"PASS"}}"#,
        400,
        "validation_failed",
    ),
    ("the fields in another case", br#"{"Username":"alice","Password":"PASS"}"#, 400, "validation_failed"),
    (
        "the fields of a prototype",
        br#"{"__proto__":{"username":"alice","password":"PASS"}}"#,
        400,
        "validation_failed",
    ),
    (
        "an operator for a password",
        br#"{"username":"alice","password":{"$ne":null}}"#,
        400,
        "validation_failed",
    ),
    ("true for a password", br#"{"username":"alice","password":true}"#, 400, "validation_failed"),
    ("a list of passwords", br#"{"username":"alice","password":["PASS","x"]}"#, 400, "validation_failed"),
    (
        "the name twice, the last nobody's",
        br#"{"username":"alice","username":"nobody","password":"PASS"}"#,
        401,
        "invalid_credentials",
    ),
    (
        "a name in another alphabet",
        "{\"username\":\"\u{430}lice\",\"password\":\"PASS\"}".as_bytes(),
        401,
        "invalid_credentials",
    ),
    (
        "a name with a zero-width space",
        "{\"username\":\"alice\u{200b}\",\"password\":\"PASS\"}".as_bytes(),
        401,
        "invalid_credentials",
    ),
    (
        "a name that is right to left",
        "{\"username\":\"\u{202e}ecila\",\"password\":\"PASS\"}".as_bytes(),
        401,
        "invalid_credentials",
    ),
    (
        "a password with a space more",
        br#"{"username":"alice","password":"PASS "}"#,
        401,
        "invalid_credentials",
    ),
    ("a pattern for a name", br#"{"username":"al%","password":"PASS"}"#, 401, "invalid_credentials"),
    (
        "a quote that would end a statement",
        br#"{"username":"alice'--","password":"PASS"}"#,
        401,
        "invalid_credentials",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_body_is_no_login() {
    // A minute gives back one wrong guess.
    let app = TestApp::held(|_| {}).await;
    app.register("alice").await;
    let bystanders = Bystanders::arrive(&app).await;
    for (what, body, status, code) in LOGINS {
        let (before, after) = match body.windows(4).position(|word| word == b"PASS") {
            Some(at) => (&body[..at], &body[at + 4..]),
            None => (body, &b""[..]),
        };
        let password = if before.len() == body.len() { "" } else { PASSWORD };
        let body = [before, password.as_bytes(), after].concat();
        let answer =
            app.post("/api/login").header("content-type", "application/json").body(body).send().await;
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{what}: {}", answer.text);
        check_shape(&what, &answer);
        if status == 401 {
            app.clock.advance(Duration::from_mins(1));
        }
    }
    bystanders.are_undisturbed(&app).await;
    app.log_in("alice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_to_a_depth_of_127_and_a_size_of_16_kib() {
    let app = TestApp::start().await;
    let bystanders = Bystanders::arrive(&app).await;
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let padded = |size: usize| format!("{:size$}", r#"{"username":"alice"}"#);
    let fields =
        |count: usize| json!((0..count).map(|n| (n.to_string(), 1)).collect::<BTreeMap<_, _>>()).to_string();
    for (what, body, status, code) in [
        ("depth 127", nested(126), 400, "validation_failed"),
        ("depth 128", nested(127), 400, "invalid_json"),
        ("depth 5000", nested(5000), 400, "invalid_json"),
        ("16 KiB", padded(16 * 1024), 400, "validation_failed"),
        ("a byte more", padded(16 * 1024 + 1), 413, "payload_too_large"),
        ("1000 fields", fields(1000), 400, "validation_failed"),
        ("a number of 10,000 digits", format!("{{\"x\":{}}}", "9".repeat(10_000)), 400, "invalid_json"),
        (
            "a field of 10,000 characters",
            format!("{{\"{}\":1}}", "x".repeat(10_000)),
            400,
            "validation_failed",
        ),
        ("a name of 128 characters", credentials(&"a".repeat(128)), 401, "invalid_credentials"),
        ("a name of 129 characters", credentials(&"a".repeat(129)), 400, "validation_failed"),
        ("a name of 128 crabs", credentials(&"🦀".repeat(128)), 401, "invalid_credentials"),
    ] {
        let answer =
            app.post("/api/login").header("content-type", "application/json").body(body).send().await;
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{what}: {}", answer.text);
        check_shape(&what, &answer);
    }
    bystanders.are_undisturbed(&app).await;
}

fn credentials(username: &str) -> String {
    json!({"username": username, "password": PASSWORD}).to_string()
}

/// Names nobody may have, and passwords nobody may choose.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_made_by_the_rules_or_not_at_all() {
    let app = TestApp::start().await;
    let bystanders = Bystanders::arrive(&app).await;
    let names = [
        json!(""),
        json!("ab"),
        json!("  ab  "),
        json!("a".repeat(33)),
        json!("_abc"),
        json!(".abc"),
        json!("-abc"),
        json!("a b"),
        json!("a\tb"),
        json!("abc\u{a0}d"),
        json!("a/b"),
        json!("a\\b"),
        json!("a@b"),
        json!("a'b"),
        json!("a\"b"),
        json!("a<b"),
        json!("a%00b"),
        json!("abc\u{0}"),
        json!("abc\u{7f}"),
        json!("äbc"),
        json!("аbc"),
        json!("abc\u{200b}"),
        json!("abc\u{202e}"),
        json!("a\u{301}bc"),
        json!("🦀🦀🦀"),
        json!("１２３"),
        json!(null),
        json!(123),
        json!(true),
        json!(["abc"]),
        json!({"toString": "abc"}),
    ];
    let passwords = [
        json!(""),
        json!("1234567"),
        json!("p".repeat(129)),
        json!("1234567\u{0}"),
        json!("é\u{301}é\u{301}é"),
        json!(null),
        json!(12_345_678),
        json!(true),
        json!(["12345678"]),
        json!({"length": 8}),
    ];
    let forms = names.map(|name| json!({"username": name, "password": PASSWORD}));
    let more = passwords.map(|password| json!({"username": "mallory", "password": password}));
    for form in forms.into_iter().chain(more) {
        let answer = app.post("/api/register").json(&form).send().await;
        assert_eq!(answer.outcome(), (400, "validation_failed".into()), "{form}: {}", answer.text);
        check_shape(&form, &answer);
    }
    bystanders.are_undisturbed(&app).await;
}

/// A path or query as it is sent, and the outcome for alice.
const QUESTIONS: [(&str, u16, &str); 44] = [
    ("/api//me", 404, "not_found"),
    ("//api/me", 404, "not_found"),
    ("/api/me/", 404, "not_found"),
    ("/api/./me", 404, "not_found"),
    ("/api/../api/me", 404, "not_found"),
    ("/api/%2e%2e/api/me", 404, "not_found"),
    ("/api/..%2f..%2fetc/passwd", 404, "not_found"),
    ("/api/..%5c..%5cwindows", 404, "not_found"),
    ("/%61pi/me", 404, "not_found"),
    ("/API/me", 404, "not_found"),
    ("/api/ME", 404, "not_found"),
    ("/api/me%00", 404, "not_found"),
    ("/api/me%20", 404, "not_found"),
    ("/api/me;x=y", 404, "not_found"),
    ("/api/me%3fx=y", 404, "not_found"),
    ("/api/me%0d%0aX-Injected:%20y", 404, "not_found"),
    ("/api/me.json", 404, "not_found"),
    ("/.env", 404, "not_found"),
    ("/.git/config", 404, "not_found"),
    ("/api/calls/%ff", 404, "not_found"),
    ("/api/calls/%zz", 404, "not_found"),
    ("/api/calls/%", 404, "not_found"),
    ("/api/calls/%c0%80", 404, "not_found"),
    ("/api/calls/00000000-0000-7000-8000-00000000000", 404, "not_found"),
    ("/api/calls/00000000-0000-7000-8000-0000000000001", 404, "not_found"),
    ("/api/calls/%7b00000000-0000-7000-8000-000000000001%7d", 404, "not_found"),
    ("/api/calls/urn:uuid:00000000-0000-7000-8000-000000000001", 404, "not_found"),
    ("/api/calls/null", 404, "not_found"),
    ("/api/calls/1%20or%201=1", 404, "not_found"),
    ("/api/users?limit=%31%00", 400, "validation_failed"),
    ("/api/users?limit=+5x", 400, "validation_failed"),
    ("/api/users?limit=0x10", 400, "validation_failed"),
    ("/api/users?limit=1e3", 400, "validation_failed"),
    ("/api/users?limit=%D9%A1", 400, "validation_failed"),
    ("/api/users?limit[]=1&limit=0", 400, "validation_failed"),
    ("/api/users?limit=1;limit=2", 400, "validation_failed"),
    ("/api/users?after=%ff", 400, "validation_failed"),
    ("/api/users?after=%c0%80", 400, "validation_failed"),
    ("/api/users?after='", 400, "validation_failed"),
    ("/api/users?after=..%2f..%2f", 400, "validation_failed"),
    ("/api/calls?before=%00", 400, "validation_failed"),
    ("/api/calls?before=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 400, "validation_failed"),
    ("/api/calls?with=%7b%7d", 400, "validation_failed"),
    ("/api/calls?status=missed&status=missed", 400, "validation_failed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_path_leads_nowhere_and_an_odd_query_is_told() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let bystanders = Bystanders::arrive(&app).await;
    for (path, status, code) in QUESTIONS {
        let answer = app.get(path).bearer(&alice.token).send().await;
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{path}: {}", answer.text);
        check_shape(&path, &answer);
        assert_eq!(answer.header("x-injected"), "");
    }
    for path in
        ["/api/users?__proto__[x]=1", "/api/users?limit=%31", "/api/users?&&&==&", "/api/me?_method=DELETE"]
    {
        app.get(path).bearer(&alice.token).send().await.ok();
    }
    let users: Value = app.get("/api/users").bearer(&alice.token).send().await.ok();
    assert_eq!(users.as_array().unwrap().len(), 3, "nobody was deleted");
    bystanders.are_undisturbed(&app).await;
}
