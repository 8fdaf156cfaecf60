//! Every request has an id, every response carries it, every log line of the request is under it.

use crate::clock::Clock;
use crate::domain::ids::RequestId;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: HeaderValue;
}

/// The id of the request that this task serves.
pub(crate) fn current() -> Option<String> {
    CURRENT.try_with(|id| id.to_str().ok().map(str::to_owned)).ok().flatten()
}

/// Names the request, and logs how it went.
pub(crate) async fn trace(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let start = clock.now();
    let id = request.headers().get(HEADER).filter(|id| is_safe(id)).cloned().unwrap_or_else(new_id);
    // Only the path: a query may hold a long-polling session id.
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("http", request_id = id.to_str().unwrap_or_default(), %method, path);
    let serve = async {
        let mut response = next.run(request).await;
        let (status, millis) = (response.status().as_u16(), clock.now().since(start).as_millis());
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
    CURRENT.scope(id.clone(), serve.instrument(span)).await
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
