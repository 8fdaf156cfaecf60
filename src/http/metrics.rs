//! `/metrics`, for Prometheus: on the main port for the machine itself alone, or else where `METRICS_ADDR` says.

use super::docs::refusals::{Refusals, refuses};
use super::{deadline, headers, pages, panicked, request_id, strict};
use crate::app::App;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::server::Respond;
use crate::telemetry::metrics::CONTENT_TYPE;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use deadline::Allowance;
use std::net::SocketAddr;
use std::sync::Arc;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

const PATH: &str = "/metrics";

/// What proxies add: the request comes from elsewhere. Beside these, whatever begins with `x-forwarded-`.
const FORWARDING: [&str; 9] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fly-client-ip",
    "fastly-client-ip",
];

refuses!(
    /// Where the metrics are not to be had.
    Elsewhere: pages::nothing(),
);

/// On the main port, unless there is another for it: for this machine alone. To everybody else there is nothing.
pub(super) fn beside_the_rest(config: &Config) -> Router<Arc<App>> {
    match config.metrics_addr {
        None => Router::new().route(PATH, any(show_to_this_machine)),
        Some(_) => Router::new(),
    }
}

/// On a port of its own, where nothing else is: whoever reaches it may ask, without TLS.
pub(crate) fn apart(app: Arc<App>) -> impl Respond {
    let config = app.config.clone();
    let measured = (app.clock.clone(), app.metrics.clone());
    let router = Router::new()
        .route(PATH, any(show))
        .fallback(async || pages::nothing())
        .layer(from_fn_with_state(Allowance::REST, deadline::keep))
        .layer(CompressionLayer::new())
        .with_state(app);
    ServiceBuilder::new()
        .layer(from_fn_with_state(measured, request_id::trace))
        .layer(from_fn_with_state(config, headers::secure))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(strict::guard))
        .service(router)
}

/// Metrics for Prometheus
///
/// for requests from the machine itself that no proxy has passed on; where `METRICS_ADDR` is set they are there instead, for whoever reaches it.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses(
        (status = 200, description = "Prometheus' text format 0.0.4", body = String, content_type = "text/plain"),
        Refusals<Elsewhere>,
    ),
)]
pub(super) async fn show_to_this_machine(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    if !is_of_this_machine(&request) {
        return Err(pages::nothing());
    }
    show(State(app), request).await
}

async fn show(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(([(header::ALLOW, "GET,HEAD")], Error::MethodNotAllowed).into_response());
    }
    // Asks the database, if nobody has done so lately; what it said last is among the metrics.
    app.probe.glance().await;
    let metrics = Arc::clone(&app.metrics);
    let text = tokio::task::spawn_blocking(move || metrics.render()).await.map_err(Error::internal)??;
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

fn is_of_this_machine(request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
        && !was_forwarded(request.headers())
}

/// A proxy on this machine speaks for strangers.
fn was_forwarded(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .map(axum::http::HeaderName::as_str)
        .any(|name| name.starts_with("x-forwarded-") || FORWARDING.contains(&name))
}

#[cfg(test)]
mod tests {
    use crate::http::tests::Server;

    #[tokio::test]
    async fn for_another_machine_there_is_nothing() {
        // Whose address is 10.0.0.1.
        let server = Server::new(|_| {});
        assert_eq!(server.get("/metrics", &[]).await.refusal(), (404, "not_found"));
        assert_eq!(server.post("/metrics", "{}").await.refusal(), (404, "not_found"));
    }
}
