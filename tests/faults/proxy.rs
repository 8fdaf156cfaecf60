//! A TCP proxy in front of PostgreSQL, which can be told to misbehave.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of connections and of what they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// All is well.
    Good,
    /// Whatever is said arrives this much later.
    Slow(Duration),
    /// Connections end, and new ones end as soon as they are made.
    Cut,
    /// The far end is gone without a word: connections stay, new ones are taken, and nothing ever answers on any of
    /// them, also when the line is good again.
    HalfOpen,
}

/// Listens on a port of its own. Dropping it ends every connection.
pub(crate) struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, seen) = watch::channel(Line::Good);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, upstream, seen.clone()));
            }
        });
        Self { address, line, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Line::Cut);
    }
}

/// One connection, for as long as the line lets it be.
async fn carry(mut client: TcpStream, upstream: SocketAddr, mut line: watch::Receiver<Line>) {
    let now = *line.borrow_and_update();
    if matches!(now, Line::Good | Line::Slow(_)) {
        let Ok(mut server) = TcpStream::connect(upstream).await else { return };
        // Small packets, each awaited: without this a statement takes 40 ms.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (there, back) = (line.clone(), line.clone());
        tokio::select! {
            () = pump(&mut from_client, &mut to_server, &there) => return,
            () = pump(&mut from_server, &mut to_client, &back) => return,
            _ = line.wait_for(|line| matches!(line, Line::Cut | Line::HalfOpen)) => {}
        }
    }
    if *line.borrow() == Line::HalfOpen {
        // The far end is dropped by now; this one does not hear of it.
        let mut unheard = [0; 4096];
        while client.read(&mut unheard).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    line: &watch::Receiver<Line>,
) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        let slow = match *line.borrow() {
            Line::Slow(delay) => Some(delay),
            Line::Good | Line::Cut | Line::HalfOpen => None,
        };
        if let Some(delay) = slow {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
