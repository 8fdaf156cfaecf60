//! TLS of the server's own, for who runs it without a reverse proxy.

mod expiry;
mod follow;
mod pair;
#[cfg(test)]
mod tests;

pub(crate) use pair::{Pair, read_pair};

use crate::config::{ConfigError, TlsFiles};
use crate::domain::ids::RequestId;
use follow::Traces;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

/// What may wait in a connection for a peer that does not read, beside what the kernel holds.
const WAITING: usize = 16 * 1024;
/// How a TLS handshake begins (RFC 8446, section 5.1); a request of HTTP begins with a letter.
const HANDSHAKE: u8 = 22;

/// The certificate that new connections are shown. A connection keeps the one it began with.
pub(crate) struct Tls {
    files: TlsFiles,
    /// What the files were like before they were read.
    first: Traces,
    current: RwLock<Arc<Pair>>,
}

impl Tls {
    /// Reads the certificate and its key, which must be good.
    pub(crate) fn load(files: &TlsFiles) -> Result<Arc<Self>, ConfigError> {
        let first = follow::traces(files);
        let pair = read_pair(files)?;
        Ok(Arc::new(Self { files: files.clone(), first, current: RwLock::new(Arc::new(pair)) }))
    }

    fn current(&self) -> Arc<Pair> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, pair: Pair) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
    }

    /// The handshake; whoever calls it bounds its time. None: the peer is gone, or does not speak TLS.
    pub(super) async fn accept(&self, mut tcp: TcpStream) -> Option<Box<TlsStream<TcpStream>>> {
        let mut first = [0];
        if tcp.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        if first.iter().any(|byte| *byte != HANDSHAKE) {
            refuse(&mut tcp).await;
            return None;
        }
        let handshake = TlsAcceptor::from(Arc::clone(&self.current().config))
            .accept_with(tcp, |connection| connection.set_buffer_limit(Some(WAITING)));
        match handshake.await {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                // Scanners and old clients cause these; no operator has to act on one.
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    }
}

/// What somebody gets who forgot the s of https; it looks like every other refusal.
fn not_tls() -> String {
    let id = Uuid::from(RequestId::new());
    let sentence = "This port speaks TLS: use https:// or wss://";
    let body = format!(r#"{{"error":"{sentence}","code":"validation_failed","requestId":"{id}"}}"#);
    let length = body.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         x-request-id: {id}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// Tells a client that it should have spoken TLS, and reads what it has sent, so that no reset overtakes the answer.
async fn refuse(tcp: &mut TcpStream) {
    let _ = tcp.write_all(not_tls().as_bytes()).await;
    let _ = tcp.shutdown().await;
    let mut sent = [0; 1024];
    // Bounded like the handshake; a client that goes on is cut by that bound.
    while matches!(tcp.read(&mut sent).await, Ok(1..)) {}
}
