//! One TCP connection, and the handle by which anybody who was given a request can close it.
//!
//! After a WebSocket upgrade the socket library owns the connection and offers no way to cut it, least of all while
//! its writer waits for a peer that does not read. So the stream it owns looks at a gate before it does anything,
//! and whoever closes the gate wakes it.

use super::registry::{Entry, Registry};
use super::wire::Wire;
use futures_util::task::AtomicWaker;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A peer that takes nothing for this long is not read from until it does.
const STALL: Duration = Duration::from_secs(1);

/// How long nothing is read from a client that sends more than it may.
const HELD_BACK: Duration = Duration::from_millis(2);

/// Set in [`Gate::state`] once the connection is closed; the bits above it count requests.
const CLOSED: u64 = 1;
const ONE_REQUEST: u64 = 2;

/// What the stream, the task that serves it and the handles share.
pub(super) struct Gate {
    /// Closed or not and the number of the current request, in one word, so that a handle of an earlier request
    /// can never cut a later one, whoever it belongs to.
    state: AtomicU64,
    /// The client sends more than it may: it is read from a little later.
    held_back: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
    task: AtomicWaker,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU64::new(0),
            held_back: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            task: AtomicWaker::new(),
        })
    }

    /// Closes the connection, whatever it carries.
    pub(super) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        self.wake();
    }

    /// Closes the connection if it still carries `request`.
    fn close_request(&self, request: u64) {
        let closed = request | CLOSED;
        if self.state.compare_exchange(request, closed, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.wake();
        }
    }

    /// Lets the next read wait if the connection still carries `request`.
    fn hold_back_request(&self, request: u64) {
        if self.state.load(Ordering::Acquire) == request {
            self.held_back.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until somebody closes the connection. One waiter only.
    pub(super) async fn closed(&self) {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            if self.is_closed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether a request has come in.
    pub(super) fn was_used(&self) -> bool {
        self.state.load(Ordering::Acquire) >= ONE_REQUEST
    }

    fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    fn begin_request(&self) -> u64 {
        (self.state.fetch_add(ONE_REQUEST, Ordering::AcqRel) & !CLOSED) + ONE_REQUEST
    }

    fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
        self.task.wake();
    }
}

/// A handle on the TCP connection that brought a request, found in the extensions of every request. Cheap to clone.
///
/// It is the request's, not the connection's: behind a proxy that keeps its connections, the next request may be
/// another user's, and closing then does nothing.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Handle>);

struct Handle {
    gate: Arc<Gate>,
    request: u64,
    refusals: AtomicU32,
    connects: AtomicU32,
    registry: Weak<Registry>,
}

impl Connection {
    /// The handle of the request that begins now.
    pub(super) fn begin_request(gate: &Arc<Gate>, registry: &Arc<Registry>) -> Self {
        Self::new(gate, gate.begin_request(), Arc::downgrade(registry))
    }

    /// Whether the connection has carried no request before.
    pub(super) fn is_first_request(&self) -> bool {
        self.0.request == ONE_REQUEST
    }

    /// A handle on nothing, for tests that have no TCP.
    pub(crate) fn detached() -> Self {
        let gate = Gate::new();
        Self::new(&gate, gate.begin_request(), Weak::new())
    }

    fn new(gate: &Arc<Gate>, request: u64, registry: Weak<Registry>) -> Self {
        let (refusals, connects) = (AtomicU32::new(0), AtomicU32::new(0));
        Self(Arc::new(Handle { gate: Arc::clone(gate), request, refusals, connects, registry }))
    }

    /// Closes the TCP connection at once: before, during or after a WebSocket upgrade, and even when the peer has
    /// stopped reading. Does nothing once the connection carries another request.
    pub(crate) fn close(&self) {
        self.0.gate.close_request(self.0.request);
    }

    /// Closes every TCP connection that carries the Engine.IO session `sid`, this one included, and refuses it from
    /// now on.
    ///
    /// This is how a session ends for certain: a client that began with long-polling has its WebSocket, and each of
    /// its polls, on other connections than the one that opened the session.
    pub(crate) fn end_session(&self, sid: &str) {
        self.close();
        if let Some(registry) = self.0.registry.upgrade() {
            registry.end_session(sid);
        }
    }

    /// Reads a little later from the connections that carry the session `sid`, this one included. A read from a WebSocket brings 2 KiB at most, so a client that
    /// is held back for each event too many keeps a few hundredths of the processor busy, whatever it sends.
    pub(crate) fn hold_back(&self, sid: &str) {
        self.hold_back_request();
        if let Some(registry) = self.0.registry.upgrade() {
            registry.hold_back(sid);
        }
    }

    /// Reads a little later from this connection, if it still carries this request.
    pub(super) fn hold_back_request(&self) {
        self.0.gate.hold_back_request(self.0.request);
    }

    /// [`Connection::end_session`] after `delay`, so that a last packet can leave first.
    pub(crate) fn end_session_after(&self, sid: &str, delay: Duration) {
        let (connection, sid) = (self.clone(), sid.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            connection.end_session(&sid);
        });
    }

    /// Counts one more refusal and tells how many there were.
    pub(crate) fn count_refusal(&self) -> u32 {
        self.0.refusals.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Counts one more CONNECT of a session and tells how many there were.
    pub(crate) fn count_connect(&self) -> u32 {
        self.0.connects.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Whether the connection was closed, by this handle or another.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.gate.is_closed()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// The stream behind its gate: once the gate is closed, reads end and writes fail.
///
/// While the peer takes nothing of what we write, nothing is read from it: whoever floods us with events and does not
/// read the answers is held back by TCP, and the answers do not pile up. One that reads slowly is heard.
pub(super) struct GatedStream {
    /// None once the connection is gone; the socket library may hold the rest a little longer.
    live: Option<(Wire, Entry)>,
    gate: Arc<Gate>,
    /// Since when the peer has taken nothing of what we write.
    stalled: Option<Instant>,
    /// Until when nothing is read.
    pause: Option<Pin<Box<Sleep>>>,
}

impl GatedStream {
    pub(super) fn new(wire: Wire, entry: Entry, gate: Arc<Gate>) -> Self {
        Self { live: Some((wire, entry)), gate, stalled: None, pause: None }
    }

    /// The stream, unless the gate is closed.
    fn wire(&mut self) -> Option<Pin<&mut Wire>> {
        if self.gate.is_closed() {
            self.hang_up();
        }
        self.live.as_mut().map(|(wire, _)| Pin::new(wire))
    }

    /// Whether flushing can take time, so that a close has to wake whoever does it.
    fn flushing_waits(&self) -> bool {
        self.live.as_ref().is_some_and(|(wire, _)| wire.keeps_what_is_written())
    }

    fn hang_up(&mut self) {
        if let Some((wire, _entry)) = self.live.take()
            && self.stalled.is_some()
        {
            // Without this the kernel would go on offering what is in its buffer to a peer that does not read.
            let _ = socket2::SockRef::from(wire.tcp()).set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether a client that sends more than it may has waited long enough.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.held_back.swap(false, Ordering::Relaxed) {
            self.pause.get_or_insert_with(|| Box::pin(sleep(HELD_BACK)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn note_stall<T>(&mut self, result: Poll<T>) -> Poll<T> {
        if result.is_pending() {
            self.stalled.get_or_insert_with(Instant::now);
        } else if self.stalled.take().is_some() {
            self.gate.reader.wake();
        }
        result
    }
}

impl Drop for GatedStream {
    fn drop(&mut self) {
        if self.gate.is_closed() {
            self.hang_up();
        }
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before looking, so that a close in between is not missed.
        self.gate.reader.register(cx.waker());
        let waits =
            self.stalled.is_some_and(|since| since.elapsed() > STALL) || self.poll_pause(cx).is_pending();
        match self.wire() {
            None => Poll::Ready(Ok(())),
            Some(_) if waits => Poll::Pending,
            Some(wire) => wire.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.gate.writer.register(cx.waker());
        let result = self.wire().map_or_else(closed, |wire| wire.poll_write(cx, buf));
        self.note_stall(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.gate.writer.register(cx.waker());
        let result = self.wire().map_or_else(closed, |wire| wire.poll_write_vectored(cx, bufs));
        self.note_stall(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.flushing_waits() {
            return self.wire().map_or_else(closed, |wire| wire.poll_flush(cx));
        }
        self.gate.writer.register(cx.waker());
        let result = self.wire().map_or_else(closed, |wire| wire.poll_flush(cx));
        self.note_stall(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flushing_waits() {
            self.gate.writer.register(cx.waker());
        }
        self.wire().map_or_else(closed, |wire| wire.poll_shutdown(cx))
    }
}

fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Limits;
    use futures_util::FutureExt;
    use std::net::{IpAddr, Ipv4Addr};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn nothing_is_read_from_a_peer_that_does_not_read() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let gate = Gate::new();
        let entry = Registry::new(Limits::default()).admit(IpAddr::V4(Ipv4Addr::LOCALHOST), &gate).unwrap();
        let mut stream = GatedStream::new(Wire::Plain(tcp), entry, gate);

        let block = vec![0_u8; 65536];
        let mut written = 0;
        while let Some(more) = stream.write(&block).now_or_never() {
            written += more.unwrap();
            tokio::task::yield_now().await;
        }
        peer.write_all(b"event").await.unwrap();
        let mut event = [0_u8; 5];
        assert!(stream.stalled.is_some());
        stream.stalled = Instant::now().checked_sub(STALL * 2);
        assert!(stream.read_exact(&mut event).now_or_never().is_none());

        let mut taken = vec![0_u8; written];
        peer.read_exact(&mut taken).await.unwrap();
        assert!(stream.write(b"x").await.is_ok());
        stream.read_exact(&mut event).await.unwrap();
        assert_eq!(&event, b"event");
    }

    #[tokio::test]
    async fn a_client_that_sends_more_than_it_may_is_read_from_a_little_later() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let gate = Gate::new();
        let registry = Registry::new(Limits::default());
        let entry = registry.admit(IpAddr::V4(Ipv4Addr::LOCALHOST), &gate).unwrap();
        let connection = Connection::begin_request(&gate, &registry);
        let mut stream = GatedStream::new(Wire::Plain(tcp), entry, Arc::clone(&gate));

        peer.write_all(b"one two").await.unwrap();
        stream.read_exact(&mut [0; 3]).await.unwrap();
        connection.hold_back("a session of another connection");
        assert!(stream.read_exact(&mut [0; 1]).now_or_never().is_none());
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b" two");

        gate.begin_request();
        connection.hold_back("a session of another connection");
        assert!(!gate.held_back.load(Ordering::Relaxed), "the next request is somebody else's");
    }
}
