//! Over real TCP on loopback. Timeouts are short where one is awaited, and an hour where it must not matter.

use super::*;
use axum::routing::{get, post};
use axum::{Extension, Router};
use std::net::Ipv4Addr;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

pub(super) const NEVER: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(50);
/// Far more than anything here takes, so that a hang fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut tcp = self.connect().await;
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp
    }

    pub(super) async fn ends(self) {
        within(self.served).await.unwrap();
    }
}

pub(super) fn limits() -> Limits {
    Limits { head_timeout: NEVER, idle_timeout: NEVER, ..Limits::default() }
}

pub(super) fn run(router: Router, limits: Limits, drain: Duration) -> Running {
    run_with(None, router, limits, drain)
}

pub(super) fn run_with(tls: Option<Arc<Tls>>, router: Router, limits: Limits, drain: Duration) -> Running {
    let listener = bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, tls, router, Registry::new(limits), stop.clone(), drain));
    Running { address, stop, served }
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

/// All that comes until the server closes; a reset counts as closing.
async fn read_to_end(tcp: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let _ = within(tcp.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// One response with a `Content-Length`.
async fn read_response(tcp: &mut TcpStream) -> String {
    let mut all = Vec::new();
    loop {
        assert_ne!(within(tcp.read_buf(&mut all)).await.unwrap(), 0, "closed before the response was whole");
        let text = String::from_utf8_lossy(&all);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.map_or(0, |length| length.parse().unwrap()) <= body.len() {
            return text.into_owned();
        }
    }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut() {
    let server = run(hello(), Limits { head_timeout: SOON, ..limits() }, NEVER);
    let mut tcp = server.connect().await;
    assert_eq!(read_to_end(&mut tcp).await, "");
}

#[tokio::test]
async fn a_half_sent_head_is_cut() {
    let server = run(hello(), Limits { head_timeout: SOON, ..limits() }, NEVER);
    let mut tcp = server.send("GET / HTTP/1.1\r\nHost: x\r\nX-Half: ").await;
    assert_eq!(read_to_end(&mut tcp).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_its_time_and_then_cut() {
    let server = run(hello(), Limits { head_timeout: SOON, idle_timeout: SOON * 4, ..limits() }, NEVER);
    let mut tcp = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_response(&mut tcp).await.ends_with("hello"));
    tokio::time::sleep(SOON * 2).await;
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT").await.unwrap();
    assert!(read_response(&mut tcp).await.ends_with("hello"));
    assert_eq!(read_to_end(&mut tcp).await, "");
}

#[tokio::test]
async fn every_request_knows_its_peer_and_its_connection() {
    let handler = |ConnectInfo(peer): ConnectInfo<SocketAddr>, _: Extension<Connection>| async move {
        peer.port().to_string()
    };
    let server = run(Router::new().route("/", get(handler)), limits(), NEVER);
    let mut tcp = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let port = tcp.local_addr().unwrap().port().to_string();
    assert!(read_response(&mut tcp).await.ends_with(&port));
}

#[tokio::test]
async fn requests_sent_ahead_take_turns_with_those_of_others() {
    let served = Arc::new(Mutex::new(Vec::new()));
    let note = |path: &'static str| {
        let served = Arc::clone(&served);
        async move || served.lock().unwrap().push(path)
    };
    let router = Router::new().route("/many", get(note("/many"))).route("/one", get(note("/one")));
    let server = run(router, limits(), NEVER);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    // Of the standard library: both have sent everything before the server gets the thread.
    let mut many = std::net::TcpStream::connect(server.address).unwrap();
    std::io::Write::write_all(&mut many, request("/many").repeat(100).as_bytes()).unwrap();
    let mut one = std::net::TcpStream::connect(server.address).unwrap();
    std::io::Write::write_all(&mut one, request("/one").as_bytes()).unwrap();
    one.set_nonblocking(true).unwrap();
    read_response(&mut TcpStream::from_std(one).unwrap()).await;
    let before = served.lock().unwrap().iter().position(|path| *path == "/one").unwrap();
    assert!(before <= 4, "{before} of the other client's came first");
}

#[tokio::test]
async fn closing_during_a_request_cuts_it() {
    let handler = |Extension(connection): Extension<Connection>| async move {
        connection.close();
        std::future::pending::<()>().await;
    };
    let server = run(Router::new().route("/", get(handler)), limits(), NEVER);
    let mut tcp = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(read_to_end(&mut tcp).await, "");
}

#[tokio::test]
async fn a_handle_cannot_cut_the_next_request_on_its_connection() {
    let holder = Arc::new(Mutex::new(None::<Connection>));
    let hold = {
        let holder = Arc::clone(&holder);
        move |Extension(connection): Extension<Connection>| async move {
            *holder.lock().unwrap() = Some(connection);
            "held"
        }
    };
    let server = run(hello().route("/hold", get(hold)), limits(), NEVER);
    let mut tcp = server.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_response(&mut tcp).await.ends_with("held"));
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_response(&mut tcp).await.ends_with("hello"));
    holder.lock().unwrap().as_ref().unwrap().close();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_response(&mut tcp).await.ends_with("hello"));
}

/// What the socket library does: takes the connection over and answers from a task of its own. The sender tells of
/// each stage; the writer writes until it fails.
fn upgrading(stages: mpsc::UnboundedSender<(Connection, JoinHandle<io::Error>)>) -> Router {
    let handler = move |mut request: Request<Body>| async move {
        let connection = request.extensions().get::<Connection>().unwrap().clone();
        let upgrade = hyper::upgrade::on(&mut request);
        let writer = tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let (mut reader, mut writer) = tokio::io::split(&mut io);
            let chunk = vec![0; 64 * 1024];
            let write = async {
                loop {
                    if let Err(error) = writer.write_all(&chunk).await {
                        break error;
                    }
                }
            };
            // A reader of its own, as the socket library has: it must end as well.
            let read = async { while !matches!(reader.read(&mut [0; 16]).await, Ok(0) | Err(_)) {} };
            tokio::join!(write, read).0
        });
        stages.send((connection, writer)).unwrap();
        (StatusCode::SWITCHING_PROTOCOLS, [("upgrade", "websocket"), ("connection", "upgrade")])
    };
    Router::new().route("/socket.io/", get(handler))
}

fn upgrade(query: &str) -> String {
    format!(
        "GET /socket.io/?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
}

/// Waits until the kernel's buffers are full: nothing more is taken from the peer that does not read.
async fn stalled(writer: &JoinHandle<io::Error>) {
    tokio::time::sleep(SOON * 4).await;
    assert!(!writer.is_finished());
}

#[tokio::test]
async fn closing_an_upgraded_connection_whose_peer_does_not_read_is_immediate() {
    let (stages, mut upgraded) = mpsc::unbounded_channel();
    let server = run(upgrading(stages), limits(), NEVER);
    let mut tcp = server.send(&upgrade("EIO=4")).await;
    let (connection, writer) = within(upgraded.recv()).await.unwrap();
    stalled(&writer).await;
    connection.close();
    assert_eq!(within(writer).await.unwrap().kind(), io::ErrorKind::BrokenPipe);
    assert!(read_to_end(&mut tcp).await.starts_with("HTTP/1.1 101"));
    server.stop.cancel();
    server.ends().await;
}

#[tokio::test]
async fn ending_a_session_closes_the_websocket_it_moved_to_and_refuses_it_from_then_on() {
    let (stages, mut upgraded) = mpsc::unbounded_channel();
    let opened = Arc::new(Mutex::new(None::<Connection>));
    let open = {
        let opened = Arc::clone(&opened);
        move |Extension(connection): Extension<Connection>| async move {
            *opened.lock().unwrap() = Some(connection);
            "opened"
        }
    };
    let server = run(upgrading(stages).route("/socket.io/", post(open)), limits(), NEVER);
    let mut first = server.send("POST /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_response(&mut first).await.ends_with("opened"));
    let mut socket = server.send(&upgrade("EIO=4&sid=AAAAAAAAAAAAAAAA")).await;
    let (_, writer) = within(upgraded.recv()).await.unwrap();
    let connection = opened.lock().unwrap().take().unwrap();

    connection.end_session("AAAAAAAAAAAAAAAA");

    assert_eq!(within(writer).await.unwrap().kind(), io::ErrorKind::BrokenPipe);
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 101"));
    assert_eq!(read_to_end(&mut first).await, "");
    let mut again = server.send(&upgrade("EIO=4&sid=AAAAAAAAAAAAAAAA")).await;
    let refused = read_response(&mut again).await;
    assert!(refused.starts_with("HTTP/1.1 400") && refused.ends_with(r#""Session ID unknown"}"#));
}

#[tokio::test]
async fn draining_lets_a_running_request_finish_closes_idle_connections_and_takes_no_new_ones() {
    let (started, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (started, finish) = (Arc::clone(&started), Arc::clone(&finish));
        move || async move {
            started.notify_one();
            finish.notified().await;
            "done"
        }
    };
    let server = run(hello().route("/slow", get(handler)), limits(), NEVER);
    let mut silent = server.connect().await;
    let mut idle = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    read_response(&mut idle).await;
    let mut running = server.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    within(started.notified()).await;

    server.stop.cancel();

    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut silent).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.served.is_finished());
    finish.notify_one();
    assert!(read_to_end(&mut running).await.ends_with("done"));
    server.ends().await;
}

#[tokio::test]
async fn after_the_drain_everything_is_cut_even_a_websocket_that_does_not_read() {
    let (stages, mut upgraded) = mpsc::unbounded_channel();
    let endless = Router::new().route("/", get(std::future::pending::<()>));
    let server = run(upgrading(stages).merge(endless), limits(), SOON);
    let mut request = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let _socket = server.send(&upgrade("EIO=4")).await;
    let (_, writer) = within(upgraded.recv()).await.unwrap();
    stalled(&writer).await;
    server.stop.cancel();
    server.ends().await;
    assert_eq!(within(writer).await.unwrap().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(read_to_end(&mut request).await, "");
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_a_place_given_back_is_taken() {
    let server = run(hello(), Limits { max_connections: 1, ..limits() }, NEVER);
    let mut first = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    read_response(&mut first).await;
    let mut second = server.connect().await;
    assert_eq!(read_to_end(&mut second).await, "");
    first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut first).await.ends_with("hello"));
    // The place is free a moment after the peer has seen the end.
    let taken = async {
        loop {
            let mut next = server.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            if read_to_end(&mut next).await.ends_with("hello") {
                break;
            }
        }
    };
    within(taken).await;
}

#[test]
fn refusals_are_counted_per_handle() {
    let connection = Connection::detached();
    assert_eq!([1, 2, 3].map(|_| connection.clone().count_refusal()), [1, 2, 3]);
    assert_eq!(Connection::detached().count_refusal(), 1);
}
