//! Which web pages may talk to the server.

use super::request_id;
use crate::config::Config;
use crate::error::{Error, Result};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Answers preflights and marks responses for the origins of `CORS_ORIGIN`. Cookies are not used, but Socket.IO
/// clients behind sticky load balancers send them.
pub(crate) fn layer(config: Arc<Config>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(&config, origin)))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, request_id::HEADER])
        .expose_headers([header::LINK, header::RETRY_AFTER, request_id::HEADER])
        .allow_credentials(true)
        .max_age(Duration::from_mins(10))
}

/// A browser asks nobody before it opens a WebSocket, so the server looks at `Origin` itself. What is no browser
/// sends none.
pub(crate) async fn guard_sockets(
    State(config): State<Arc<Config>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let origin = request.headers().get(header::ORIGIN);
    if request.uri().path().starts_with("/socket.io") && !origin.is_none_or(|o| is_allowed(&config, o)) {
        return Err(Error::Forbidden("Pages of this origin may not connect"));
    }
    Ok(next.run(request).await)
}

fn is_allowed(config: &Config, origin: &HeaderValue) -> bool {
    config.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
}
