//! Headers that keep a browser from being too helpful (OWASP REST security cheat sheet).

use crate::config::Config;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;

/// A page that needs another policy sets its own.
const DEFAULTS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// A year (RFC 6797): from then on a browser takes nothing but HTTPS from this host.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// On every response, those of Socket.IO and of panics too.
pub(crate) async fn secure(State(config): State<Arc<Config>>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api");
    let https_only = config.tls.is_some() && !is_for_localhost(&request);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_api {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if https_only {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    headers.remove(header::SERVER);
    response
}

/// The header counts for every port of a host, so it would lock a developer out of everything else on theirs.
fn is_for_localhost(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| host == "localhost" || host.starts_with("localhost:"))
}
