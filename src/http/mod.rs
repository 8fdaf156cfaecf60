//! REST: one file a resource, read downward from its router; around them the layers that every request passes.

mod accounts;
mod calls;
pub(crate) mod client_addr;
mod cors;
mod error_body;
mod extract;
mod headers;
pub(crate) mod health;
mod ice;
pub(crate) mod limits;
mod me;
mod request_id;
#[cfg(test)]
mod tests;
mod users;
mod wire;

use crate::app::App;
use crate::error::Error;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

/// Longer than any handler's own waits together; it is for bodies that trickle in.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Every REST route, with what belongs to REST alone: limits, timeouts, compression.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .merge(accounts::router())
        .merge(me::router())
        .merge(users::router())
        .merge(calls::router())
        .merge(ice::router());
    app.limits
        .api
        .on(api)
        .merge(app.limits.logins.on(accounts::entrance()))
        .merge(health::router())
        .fallback(async || Error::NotFound("There is nothing here"))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(extract::BODY_LIMIT))
        .layer(from_fn(in_time))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(1024)))
        .with_state(app)
}

/// What every request passes, to Socket.IO too: its name and log lines, the headers of its response, CORS, the
/// origin check, the client's address, and a net under panics.
pub(crate) fn wrap(router: Router, app: &App) -> Router {
    let config = || app.config.clone();
    // The last one is the outermost.
    router
        .layer(from_fn_with_state(config(), client_addr::find_out))
        .layer(from_fn_with_state(config(), cors::guard_sockets))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors::layer(config()))
        .layer(from_fn(headers::secure))
        .layer(from_fn_with_state(app.clock.clone(), request_id::trace))
}

async fn in_time(request: Request, next: Next) -> Response {
    let served = tokio::time::timeout(REQUEST_TIME, next.run(request)).await;
    served.unwrap_or_else(|_| Error::unavailable().into_response())
}

#[expect(clippy::needless_pass_by_value, reason = "the layer asks for this signature")]
fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text =
        cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("panic: {}", text.unwrap_or("of an unknown kind"))).into_response()
}
