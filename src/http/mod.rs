//! REST: one file a resource, read downward from its router; around them the layers that every request passes.

mod accounts;
mod calls;
pub(crate) mod client_addr;
mod cors;
mod deadline;
mod docs;
mod error_body;
mod extract;
mod handshakes;
mod headers;
pub(crate) mod health;
mod ice;
pub(crate) mod limits;
mod me;
pub(crate) mod metrics;
mod pages;
mod request_id;
mod strict;
#[cfg(test)]
mod tests;
mod users;
mod wire;

use crate::app::{App, Limits};
use crate::error::Error;
use crate::server::Respond;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::ETAG;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use deadline::Allowance;
use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use utoipa_axum::router::OpenApiRouter;

/// Every REST route, with what belongs to REST alone: limits, timeouts, compression.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (routes, _) = routes(Some(&app.limits)).split_for_parts();
    routes
        .merge(docs::page())
        .merge(metrics::beside_the_rest(&app.config))
        .fallback(pages::serve)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(extract::BODY_LIMIT))
        .layer(from_fn_with_state(Allowance::REST, deadline::keep))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(1024).and(is_asked_for_again)))
        .with_state(app)
}

/// What the document of the API describes: a route is here with its description, or not at all.
fn routes(limits: Option<&Limits>) -> OpenApiRouter<Arc<App>> {
    let api = OpenApiRouter::new()
        .merge(accounts::router())
        .merge(me::router())
        .merge(users::router())
        .merge(calls::router())
        .merge(ice::router());
    let entrance = accounts::entrance();
    let (api, entrance) = match limits {
        Some(limits) => (limits.api.on(api), limits.logins.on(entrance)),
        None => (api, entrance),
    };
    OpenApiRouter::with_openapi(docs::frame())
        .merge(api)
        .merge(entrance)
        .merge(health::router())
        .merge(docs::router())
}

/// What every request passes, to Socket.IO too: its name and log lines, the headers of its response, CORS, a
/// look at its framing, the origin check, the client's address, and a net under panics.
///
/// Around the whole, not by [`Router::layer`], which would put all of it on each route, in a box for each layer, to be
/// cloned for each request (docs/performance.md, "Requests").
pub(crate) fn wrap<S>(inner: S, app: &Arc<App>) -> impl Respond
where
    S: Service<Request, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
{
    let config = || app.config.clone();
    // The first one is the outermost.
    ServiceBuilder::new()
        .layer(from_fn_with_state((app.clock.clone(), app.metrics.clone()), request_id::trace))
        .layer(from_fn_with_state(config(), headers::secure))
        .layer(cors::layer(config()))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(strict::guard))
        .layer(from_fn_with_state(config(), cors::guard_sockets))
        .layer(from_fn_with_state(config(), client_addr::find_out))
        .layer(from_fn_with_state(app.clone(), handshakes::guard))
        .service(inner)
}

/// What has a tag is fetched once by whoever keeps it, and always the same: to compress it anew for anybody would cost more
/// than to send it, outside of every limit.
fn is_asked_for_again(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    !headers.contains_key(ETAG)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer asks for this signature")]
fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text =
        cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("panic: {}", text.unwrap_or("of an unknown kind"))).into_response()
}
