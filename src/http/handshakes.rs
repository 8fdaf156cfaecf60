//! What stands before Socket.IO: how often a client may begin a session, and how long its requests may take.

use super::client_addr::ClientAddr;
use crate::app::App;
use crate::error::{Error, Result};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// For the body of a long-polling POST, at most 64 KiB.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A handshake costs memory before anybody has shown a token, so an address may begin ten times as many sessions as it may
/// make requests: enough for an office that comes back all at once. Loopback is a proxy that nobody has named. While the server goes down it is refused in a way that lets the official client try again: elsewhere, or later.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response> {
    if !request.uri().path().starts_with("/socket.io") {
        return Ok(next.run(request).await);
    }
    let begins =
        !request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("sid=")));
    if begins {
        if app.draining.load(Ordering::Relaxed) {
            return Err(Error::unavailable());
        }
        if let Some(addr) = request.extensions().get::<ClientAddr>().filter(|addr| !addr.is_loopback()) {
            app.limits.handshakes.take(addr)?;
        }
    }
    if request.method() == Method::POST {
        let served = tokio::time::timeout(BODY_TIME, next.run(request)).await;
        return served.map_err(|_| Error::unavailable());
    }
    Ok(next.run(request).await)
}
