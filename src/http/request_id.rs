//! Every request has an id, every response carries it, every log line of the request is under it; and it is measured.

use crate::clock::Clock;
use crate::domain::ids::RequestId;
use crate::telemetry::metrics::Metrics;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::{Arc, OnceLock};
use tracing::Instrument;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: Current;
}

/// The request that this task serves.
struct Current {
    id: HeaderValue,
    /// Found by the router, somewhere inside.
    route: OnceLock<MatchedPath>,
}

/// The id of the request that this task serves.
pub(crate) fn current() -> Option<String> {
    CURRENT.try_with(|current| current.id.to_str().ok().map(str::to_owned)).ok().flatten()
}

/// Notes which route the request has taken, for its measurement.
pub(crate) fn note_route(request: &Request) {
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        // Outside of a request there is nothing to measure.
        let _ = CURRENT.try_with(|current| current.route.set(route.clone()));
    }
}

/// Names the request, logs how it went, and measures how long it took.
pub(crate) async fn trace(
    State((clock, metrics)): State<(Clock, Arc<Metrics>)>,
    request: Request,
    next: Next,
) -> Response {
    let start = clock.now();
    let id = request.headers().get(HEADER).filter(|id| is_safe(id)).cloned().unwrap_or_else(new_id);
    // Only the path: a query may hold a long-polling session id.
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let method_asked = method.clone();
    let span = tracing::info_span!("http", request_id = id.to_str().unwrap_or_default(), %method, path);
    let serve = async {
        let mut response = next.run(request).await;
        let took = clock.now().since(start);
        CURRENT.with(|current| {
            let route = current.route.get().map_or_else(|| unmatched(&path), MatchedPath::as_str);
            metrics.requests.answered(route, &method_asked, response.status(), took);
        });
        let (status, millis) = (response.status().as_u16(), took.as_millis());
        // Whoever floods us should not fill the log as well.
        let is_refusal = matches!(status, 429 | 503);
        if path.starts_with("/api/") && !is_refusal {
            tracing::info!(status, millis, "answered");
        } else {
            tracing::debug!(status, millis, "answered");
        }
        response.headers_mut().insert(HEADER, id.clone());
        response
    };
    let current = Current { id: id.clone(), route: OnceLock::new() };
    CURRENT.scope(current, serve.instrument(span)).await
}

/// What stands for the route of a request that no route of ours has taken.
fn unmatched(path: &str) -> &'static str {
    if path == "/socket.io" || path.starts_with("/socket.io/") { "/socket.io" } else { "unmatched" }
}

/// A proxy's id is taken over if it can go into logs and bodies as it is.
fn is_safe(id: &HeaderValue) -> bool {
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&id.len()) && id.as_bytes().iter().all(safe)
}

fn new_id() -> HeaderValue {
    // A UUID is always a valid header value.
    HeaderValue::from_str(&RequestId::new().to_string()).unwrap_or_else(|_| HeaderValue::from_static("none"))
}
