//! What the router answers where no database is needed.

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Registration, TlsFiles};
use crate::domain::ids::{SessionId, UserId};
use crate::domain::username::Username;
use crate::live::Live;
use crate::store;
use crate::telemetry::metrics::Metrics;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::Value;
use std::net::SocketAddr;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

const HOME: &str = "http://localhost:5173";

fn config() -> Config {
    Config {
        web_root: "web/no-such-build".into(),
        cors_origins: vec![HOME.into(), "https://calls.example".into()],
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        login_rate_per_minute: 0,
        api_rate_per_minute: 0,
        journal_capacity: 100,
        ..Config::for_tests()
    }
}

pub(super) struct Server {
    app: Arc<App>,
    service: BoxCloneSyncService<Request, Response, Infallible>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Server {
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let (live, metrics) = (Arc::new(Live::idle()), Metrics::new().unwrap());
        let app = App::new(Arc::new(config), Clock::machine(), store::nowhere(), live, metrics).unwrap();
        let extra = Router::new()
            .route("/socket.io/", get(async || "sockets"))
            .route("/api/panics", get(async || -> &'static str { panic!("on purpose") }));
        let service = wrap(router(app.clone()).merge(extra), &app);
        Self { app, service: BoxCloneSyncService::new(service) }
    }

    async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let peer: SocketAddr = "10.0.0.1:4711".parse().unwrap();
        let mut request = Request::builder().method(method).uri(uri).extension(ConnectInfo(peer));
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", "calls.test");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.service.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text, body }
    }

    pub(super) async fn post(&self, uri: &str, body: impl Into<Body>) -> Answer {
        self.send("POST", uri, &[("content-type", "application/json")], body).await
    }

    /// Without a body.
    pub(super) async fn ask(&self, method: &str, uri: &str) -> Answer {
        self.send(method, uri, &[], Body::empty()).await
    }

    pub(super) async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", uri, headers, Body::empty()).await
    }
}

impl Answer {
    /// Status and code, after what holds for every refusal.
    pub(super) fn refusal(&self) -> (u16, &str) {
        assert!(self.body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{}", self.body);
        assert_eq!(self.body["requestId"], self.headers["x-request-id"].to_str().unwrap());
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        (self.status, self.body["code"].as_str().unwrap())
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_json_404() {
    let server = Server::new(|_| ());
    for uri in ["/nothing", "/api", "/api/nothing", "/api/calls/x/y"] {
        assert_eq!(server.get(uri, &[]).await.refusal(), (404, "not_found"), "{uri}");
    }
}

#[tokio::test]
async fn under_tls_browsers_are_told_to_stay_with_it_except_on_a_developers_machine() {
    let plain = Server::new(|_| ());
    assert!(!plain.get("/", &[]).await.headers.contains_key("strict-transport-security"));
    let files = TlsFiles { cert: "cert.pem".into(), key: "key.pem".into() };
    let server = Server::new(|config| config.tls = Some(files));
    for uri in ["/", "/health/live", "/api/panics", "/socket.io/"] {
        assert_eq!(
            server.get(uri, &[]).await.headers["strict-transport-security"],
            "max-age=31536000",
            "{uri}"
        );
    }
    for host in ["localhost", "localhost:3001"] {
        let answer = server.get("/health/live", &[("host", host)]).await;
        assert!(!answer.headers.contains_key("strict-transport-security"));
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_json_405_that_names_the_right_ones() {
    let server = Server::new(|_| ());
    let answer = server.get("/api/login", &[]).await;
    assert_eq!(answer.refusal(), (405, "method_not_allowed"));
    assert_eq!(answer.headers["allow"], "POST");
    assert_eq!(server.post("/health", "").await.refusal(), (405, "method_not_allowed"));
    assert_eq!(server.send("BREW", "/api/me", &[], "").await.refusal(), (405, "method_not_allowed"));
}

#[tokio::test]
async fn a_body_must_be_json_and_say_so() {
    let server = Server::new(|_| ());
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let answer = server.send("POST", "/api/login", &[("content-type", content_type)], "{}").await;
        assert_eq!(answer.refusal(), (415, "unsupported_media_type"));
    }
    let answer = server.send("POST", "/api/login", &[], "{}").await;
    assert_eq!(answer.refusal(), (415, "unsupported_media_type"));
    for body in ["", "{", "username=ann", "{\"username\":\"a\"", "\u{0}"] {
        assert_eq!(server.post("/api/login", body).await.refusal(), (400, "invalid_json"), "{body}");
    }
    assert_eq!(server.post("/api/login", b"{\"username\":\"\xff\"}".to_vec()).await.refusal().0, 400);
}

#[tokio::test]
async fn a_body_over_16_kib_is_refused() {
    let server = Server::new(|_| ());
    let body = |length: usize| format!("{:length$}", "{}");
    assert_eq!(server.post("/api/login", body(16 * 1024 + 1)).await.refusal(), (413, "payload_too_large"));
    assert_eq!(server.post("/api/login", body(16 * 1024)).await.refusal(), (400, "validation_failed"));
}

#[tokio::test]
async fn a_login_without_its_fields_gets_the_demo_servers_sentence() {
    let server = Server::new(|_| ());
    for body in ["{}", r#"{"username":"ann"}"#, r#"{"username":"","password":"x"}"#, r#"{"password":null}"#] {
        let answer = server.post("/api/login", body).await;
        assert_eq!(answer.refusal(), (400, "validation_failed"));
        assert_eq!(answer.body["error"], "Username and password required");
    }
}

#[tokio::test]
async fn what_no_login_can_hold_is_refused_before_the_database_is_asked() {
    let server = Server::new(|_| ());
    let long = "x".repeat(129);
    for (username, password, field) in [
        ("a\\u0000nn", "12345678", "username"),
        ("ann", "1234\\u00005678", "password"),
        (long.as_str(), "12345678", "username"),
        ("ann", long.as_str(), "password"),
    ] {
        let body = format!(r#"{{"username":"{username}","password":"{password}"}}"#);
        let answer = server.post("/api/login", body).await;
        assert_eq!(answer.refusal(), (400, "validation_failed"));
        assert_eq!(answer.body["details"][0]["field"], field);
    }
    let answer = server.post("/api/register", r#"{"username":"a b","password":"short"}"#).await;
    assert_eq!(answer.refusal(), (400, "validation_failed"));
    assert_eq!(answer.body["details"].as_array().unwrap().len(), 2);
    let answer = server.post("/api/login", r#"{"username":7,"password":"x"}"#).await;
    assert_eq!(answer.body["details"][0]["message"], "must be a string");
}

#[tokio::test]
async fn a_closed_registration_says_so() {
    let server = Server::new(|config| config.registration = Registration::Closed);
    let answer = server.post("/api/register", r#"{"username":"ann","password":"12345678"}"#).await;
    assert_eq!(answer.refusal(), (403, "registration_closed"));
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    let server = Server::new(|_| ());
    let routes =
        ["/api/me", "/api/users", "/api/online-users", "/api/calls", "/api/calls/x", "/api/ice-servers"];
    for uri in routes {
        for headers in [&[][..], &[("authorization", "Bearer x.y.z")], &[("authorization", "Basic eDp5")]] {
            let answer = server.get(uri, headers).await;
            assert_eq!(answer.refusal(), (401, "unauthorized"), "{uri}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
    }
    let refused = server.post("/api/refresh", r#"{"refreshToken":"x"}"#).await;
    assert_eq!(refused.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn an_unknown_session_is_not_let_in_while_the_database_is_away() {
    let server = Server::new(|_| ());
    let (ann, now) = (Username::parse("ann").unwrap(), server.app.clock.now());
    let token = server.app.tokens.sign(UserId::new(), &ann, SessionId::new(), now).unwrap();
    let answer = server.get("/api/me", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(answer.refusal(), (503, "unavailable"));
    assert_eq!(answer.headers["retry-after"], "2");
}

#[tokio::test]
async fn health_is_always_200_and_tells_of_the_database() {
    let server = Server::new(|_| ());
    let answer = server.get("/health", &[]).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &"DEGRADED".into()));
    for field in ["timestamp", "uptime", "memory", "activeUsers", "activeCalls", "database", "version"] {
        assert!(!answer.body[field].is_null(), "{field}");
    }
    assert_eq!(server.get("/health/live", &[]).await.status, 200);
    assert_eq!(server.send("HEAD", "/health/live", &[], "").await.status, 200);
    let ready = server.get("/health/ready", &[]).await;
    assert_eq!((ready.status, &ready.body["reason"]), (503, &"database down".into()));
    server.app.draining.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(server.get("/health/ready", &[]).await.body["reason"], "draining");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_the_api() {
    let server = Server::new(|_| ());
    let preflight =
        [("access-control-request-method", "DELETE"), ("access-control-request-headers", "authorization")];
    let allowed =
        server.send("OPTIONS", "/api/me", &[&[("origin", HOME)], &preflight[..]].concat(), "").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.headers["access-control-allow-origin"], HOME);
    assert!(allowed.headers["access-control-allow-methods"].to_str().unwrap().contains("DELETE"));
    assert!(allowed.headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    let refused = [&[("origin", "http://evil")], &preflight[..]].concat();
    let refused = server.send("OPTIONS", "/api/me", &refused, "").await;
    assert!(refused.headers.get("access-control-allow-origin").is_none());
    let answer = server.get("/api/me", &[("origin", "https://calls.example")]).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://calls.example");
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_open_a_socket() {
    let server = Server::new(|_| ());
    for origin in ["http://evil", "null", "", "http://localhost:5173/", "http://localhost:51730"] {
        let answer = server.get("/socket.io/?EIO=4", &[("origin", origin)]).await;
        assert_eq!(answer.refusal(), (403, "forbidden"), "{origin}");
    }
    assert_eq!(server.get("/socket.io/?EIO=4", &[("origin", HOME)]).await.status, 200);
    assert_eq!(server.get("/socket.io/?EIO=4", &[]).await.status, 200);
}

#[tokio::test]
async fn a_page_the_server_itself_serves_may_open_a_socket() {
    let server = Server::new(|_| ());
    let ask = async |origin, host| {
        server.get("/socket.io/?EIO=4", &[("origin", origin), ("host", host)]).await.status
    };
    for (origin, host) in [
        ("http://127.0.0.1:3001", "127.0.0.1:3001"),
        ("https://calls.test", "calls.test"),
        ("https://calls.test", "Calls.Test"),
        ("http://[::1]:3001", "[::1]:3001"),
    ] {
        assert_eq!(ask(origin, host).await, 200, "{origin} {host}");
    }
    for (origin, host) in [
        ("http://127.0.0.1:3001", "127.0.0.1:3002"),
        ("http://calls.test.evil", "calls.test"),
        ("http://evil", "calls.test"),
        ("calls.test", "calls.test"),
        ("file://calls.test", "calls.test"),
        ("http://calls.test/", "calls.test"),
        ("http://", ""),
        ("null", "null"),
    ] {
        assert_eq!(ask(origin, host).await, 403, "{origin} {host}");
    }
}

#[tokio::test]
async fn a_safe_request_id_is_taken_over_and_any_other_replaced() {
    let server = Server::new(|_| ());
    let id = |answer: Answer| answer.headers["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(id(server.get("/health", &[("x-request-id", "trace-1_a.b")]).await), "trace-1_a.b");
    let long = "x".repeat(65);
    for bad in ["", "a b", "a\"b", "<script>", long.as_str()] {
        let made = id(server.get("/nothing", &[("x-request-id", bad)]).await);
        assert!(uuid::Uuid::parse_str(&made).is_ok(), "{made}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let server = Server::new(|_| ());
    let answer = server.get("/api/panics", &[("origin", HOME)]).await;
    assert_eq!(answer.refusal(), (500, "internal"));
    assert!(!answer.body.to_string().contains("purpose"));
    assert_eq!(answer.headers["access-control-allow-origin"], HOME);
}

#[tokio::test]
async fn one_address_may_ask_so_often_and_no_oftener() {
    let server = Server::new(|config| {
        config.api_rate_per_minute = 5;
        config.login_rate_per_minute = 2;
    });
    let from = |ip| [("content-type", "application/json"), ("x-forwarded-for", ip)];
    let logins = async |ip| server.send("POST", "/api/login", &from(ip), "{}").await;
    assert_eq!(logins("9.9.9.9").await.status, 400);
    assert_eq!(logins("9.9.9.9").await.status, 400);
    let limited = logins("9.9.9.9").await;
    assert_eq!(limited.refusal(), (429, "rate_limited"));
    let wait: u64 = limited.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((29..=30).contains(&wait), "{wait}");
    assert_eq!(logins("9.9.9.8").await.status, 400, "another address has its own limit");
    // The rest of the API has an allowance of its own, of which a refresh is a part.
    assert_eq!(server.send("POST", "/api/refresh", &from("9.9.9.9"), "{}").await.status, 400);
    for _ in 0..4 {
        assert_eq!(server.send("GET", "/api/me", &from("9.9.9.9"), "").await.status, 401);
    }
    assert_eq!(server.send("GET", "/api/me", &from("9.9.9.9"), "").await.refusal(), (429, "rate_limited"));
    assert_eq!(server.send("GET", "/health/live", &from("9.9.9.9"), "").await.status, 200);
    server.app.limits.api.prune();
    assert_eq!(server.send("GET", "/api/me", &from("9.9.9.9"), "").await.status, 429);
}

#[tokio::test]
async fn an_ipv6_customer_is_counted_by_the_64() {
    let server = Server::new(|config| config.api_rate_per_minute = 1);
    let ask = async |ip| server.get("/api/me", &[("x-forwarded-for", ip)]).await.status;
    assert_eq!(ask("2001:db8::1").await, 401);
    assert_eq!(ask("2001:db8::2").await, 429);
    assert_eq!(ask("2001:db8:0:1::1").await, 401);
}
