//! The listener: who is let in, how long they may take, and how it all ends.
//!
//! `axum::serve` would wait for ever for a request that never comes, so connections are accepted here.

mod bind;
mod connection;
mod registry;
mod request;
mod signal;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use bind::{BindError, MetricsBindError, bind, bind_metrics};
pub(crate) use connection::Connection;
pub(crate) use registry::Registry;
pub use signal::shutdown_signal;
pub(crate) use tls::{Tls, read_pair};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode, header};
use connection::{Gate, GatedStream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};
use wire::Wire;

/// How long a connection that was told to go may take, before it is left behind.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The most a request's head may take: hyper's buffer, which grows from 8 KiB.
const MAX_HEAD: usize = 64 * 1024;
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// What a connection may take.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections at once; more are closed as they come.
    pub(crate) max_connections: usize,
    /// Connections at once of one IPv4 address or IPv6 /64, unless it is exempt.
    pub(crate) max_per_address: usize,
    /// Peers that speak for many: reverse proxies. Loopback always is.
    pub(crate) exempt: Vec<IpNet>,
    /// From the connection to the end of its first request's head.
    pub(crate) head_timeout: Duration,
    /// From one request's end to the end of the next one's head. Longer than the 60 s for which common proxies keep
    /// an idle connection, so that it is they who close it and never while they send.
    pub(crate) idle_timeout: Duration,
    /// How long sent bytes may stay unacknowledged before the kernel gives up.
    pub(crate) user_timeout: Duration,
    /// How long an Engine.IO session lives without its client: ping interval plus ping timeout.
    pub(crate) session_life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_per_address: 2_000,
            exempt: Vec::new(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            user_timeout: Duration::from_secs(20),
            session_life: Duration::from_mins(1),
        }
    }
}

impl Limits {
    fn is_exempt(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.exempt.iter().any(|net| net.contains(&peer))
    }
}

/// What answers requests.
pub(crate) trait Respond:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Respond for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Serves `service` on `listener`, within the limits of `registry` and over TLS where there is a certificate, until `stop`; then takes no more connections, lets the running requests finish, and
/// after `drain` cuts whatever is left, every WebSocket too. Returns when every connection is gone.
///
/// Every request carries a [`Connection`] and a [`ConnectInfo`] in its extensions.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    service: impl Respond,
    registry: Arc<Registry>,
    stop: CancellationToken,
    drain: Duration,
) {
    let server = Arc::new(Server { service, tls, registry, stop });
    server.accept(listener).await;
    let registry = &server.registry;
    if tokio::time::timeout(drain, registry.emptied()).await.is_err() {
        tracing::warn!(open = registry.len(), "cutting the connections that are left");
        registry.close_all();
        let _ = tokio::time::timeout(LAST_WORDS, registry.emptied()).await;
    }
}

struct Server<S> {
    service: S,
    tls: Option<Arc<Tls>>,
    registry: Arc<Registry>,
    stop: CancellationToken,
}

impl<S: Respond> Server<S> {
    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, peer)) => self.admit(tcp, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: those that close make room.
                    tracing::error!(%error, "cannot accept connections");
                    let pause = tokio::time::sleep(Duration::from_millis(200));
                    tokio::select! { () = self.stop.cancelled() => return, () = pause => {} }
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr) {
        let gate = Gate::new();
        let Some(entry) = self.registry.admit(peer.ip(), &gate) else { return };
        tune(&tcp, self.registry.limits().user_timeout);
        let id = entry.id();
        let address = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let peer = Peer { id, address, gate: Arc::clone(&gate) };
        let (server, head_due) = (Arc::clone(self), Instant::now() + self.registry.limits().head_timeout);
        match self.tls.clone() {
            None => {
                let stream = GatedStream::new(Wire::Plain(tcp), entry, gate);
                tokio::spawn(server.attend(stream, peer, head_due));
            }
            // A task of another kind, so that the one of a plain connection does not carry the handshake's state.
            Some(tls) => {
                tokio::spawn(async move {
                    if let Some(wire) = server.encrypt(&tls, tcp, &peer.gate, head_due).await {
                        server.attend(GatedStream::new(wire, entry, gate), peer, head_due).await;
                    }
                });
            }
        }
    }

    /// The handshake of TLS, which takes from the time of the first request's head.
    async fn encrypt(&self, tls: &Tls, tcp: TcpStream, gate: &Gate, due: Instant) -> Option<Wire> {
        tokio::select! {
            stream = tls.accept(tcp) => stream.map(Wire::Tls),
            () = gate.closed() => None,
            () = tokio::time::sleep_until(due) => None,
            () = self.stop.cancelled() => None,
        }
    }

    /// Serves one connection until it closes, or until the socket library takes it over.
    async fn attend(self: Arc<Self>, stream: GatedStream, peer: Peer, head_due: Instant) {
        let service = service_fn(|request| {
            let (server, peer) = (Arc::clone(&self), peer.clone());
            async move { server.answer(request, &peer).await }
        });
        let limits = self.registry.limits();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.idle_timeout).max_buf_size(MAX_HEAD);
        let mut exchange = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let mut head_due = pin!(tokio::time::sleep_until(head_due));
        let (mut first, mut stopping) = (true, false);
        loop {
            tokio::select! {
                result = &mut exchange => {
                    if let Err(error) = result {
                        tracing::trace!(%error, "connection");
                    }
                    return;
                }
                () = peer.gate.closed() => return,
                () = &mut head_due, if first => {
                    first = false;
                    if !peer.gate.was_used() {
                        return;
                    }
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    exchange.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Result<Response<Body>, Infallible> {
        let mut request = request.map(Body::new);
        let connection = Connection::begin_request(&peer.gate, &self.registry);
        if !connection.is_first_request() {
            // hyper serves a number of requests in one go to whoever has sent them ahead. One each in turn, so that
            // nobody waits longer than one request of everybody else's.
            tokio::task::yield_now().await;
        }
        if request::is_for_sockets(&request) {
            if let Some(sid) = request::session(&request)
                && self.registry.carry(peer.id, sid, &connection).is_err()
            {
                return Ok(unknown_session());
            }
            request::detach(&mut request);
        }
        request.extensions_mut().insert(ConnectInfo(peer.address));
        request.extensions_mut().insert(connection);
        self.service.clone().oneshot(request).await
    }
}

#[derive(Clone)]
struct Peer {
    id: u64,
    address: SocketAddr,
    gate: Arc<Gate>,
}

/// What the socket library says of a session it does not know.
fn unknown_session() -> Response<Body> {
    let mut response = Response::new(Body::from(r#"{"code":1,"message":"Session ID unknown"}"#));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Whether an accept failed because of the connection it would have given, so that the next one may well work.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted].contains(&error.kind())
}

/// Small packets leave at once, and a peer that vanished or stopped reading is noticed.
fn tune(tcp: &TcpStream, user_timeout: Duration) {
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let socket = socket2::SockRef::from(tcp);
    // Each of these fails only on a connection that is already gone.
    let _ = tcp.set_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_user_timeout(Some(user_timeout));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = user_timeout;
}
