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
///
/// A page that this server itself served may connect whatever `CORS_ORIGIN` says (for REST, browsers ask no leave
/// of it anyway). That is safe even if its host is a name that somebody else has pointed here: tokens are not
/// ambient as cookies are, so a page can only connect as those whose token its own scripts hold.
pub(crate) async fn guard_sockets(
    State(config): State<Arc<Config>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let headers = request.headers();
    let may_connect = headers
        .get(header::ORIGIN)
        .is_none_or(|origin| is_allowed(&config, origin) || is_of_host(origin, headers.get(header::HOST)));
    if request.uri().path().starts_with("/socket.io") && !may_connect {
        return Err(Error::Forbidden("Pages of this origin may not connect"));
    }
    Ok(next.run(request).await)
}

fn is_allowed(config: &Config, origin: &HeaderValue) -> bool {
    config.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
}

/// Whether the origin is that of the host the request was sent to. The scheme may be either: a proxy may have taken
/// TLS off.
fn is_of_host(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.as_bytes();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    let (Some(authority), Some(host)) = (authority, host) else { return false };
    !authority.is_empty() && authority.eq_ignore_ascii_case(host.as_bytes())
}
