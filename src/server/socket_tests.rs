//! The socket library on this server: a session ends when we say so, however its client is connected.

use super::tests::{NEVER, limits, run, within};
use super::*;
use axum::Router;
use futures_util::{SinkExt, StreamExt};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

type Client = tokio_tungstenite::WebSocketStream<TcpStream>;

/// A server that reports each socket as it comes and each as it goes.
fn sockets() -> (Router, mpsc::UnboundedReceiver<SocketRef>, mpsc::UnboundedReceiver<()>) {
    let (comes, come) = mpsc::unbounded_channel();
    let (goes, gone) = mpsc::unbounded_channel();
    let (layer, io) = SocketIo::builder().build_layer();
    io.ns("/", async move |socket: SocketRef| {
        socket.on_disconnect(async move || goes.send(()).unwrap());
        comes.send(socket).unwrap();
    });
    (Router::new().layer(layer), come, gone)
}

fn connection(socket: &SocketRef) -> Connection {
    socket.req_parts().extensions.get::<Connection>().unwrap().clone()
}

async fn open(address: SocketAddr, query: &str) -> Client {
    let tcp = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{query}");
    within(tokio_tungstenite::client_async(url, tcp)).await.unwrap().0
}

async fn say(client: &mut Client, text: &str) {
    client.send(Message::text(text.to_owned())).await.unwrap();
}

/// The next packet that is not a heartbeat.
async fn hear(client: &mut Client) -> Option<String> {
    loop {
        let text = within(client.next()).await?.ok()?.into_text().ok()?;
        if text.as_str() != "2" {
            return Some(text.to_string());
        }
    }
}

/// One request of the long-polling transport, on a connection of its own.
async fn poll(address: SocketAddr, method: &str, query: &str, body: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    within(tcp.read_to_string(&mut response)).await.unwrap();
    response
}

#[tokio::test]
async fn a_socket_whose_peer_stopped_reading_is_gone_as_soon_as_it_is_closed() {
    let (router, mut come, mut gone) = sockets();
    let server = run(router, limits(), NEVER);
    let mut client = open(server.address, "").await;
    say(&mut client, "40").await;
    let socket = within(come.recv()).await.unwrap();
    let filler = "x".repeat(64 * 1024);
    // Far past what the kernel holds: the writer waits, and then the library's own buffer is full.
    while socket.emit("filler", &filler).is_ok() {
        tokio::task::yield_now().await;
    }
    connection(&socket).close();
    within(gone.recv()).await.unwrap();
    server.stop.cancel();
    server.ends().await;
}

#[tokio::test]
async fn a_session_that_began_with_polling_ends_on_the_websocket_it_moved_to() {
    let (router, mut come, mut gone) = sockets();
    let server = run(router, limits(), NEVER);
    let opened = poll(server.address, "GET", "", "").await;
    let (_, rest) = opened.split_once(r#""sid":""#).unwrap();
    let session = format!("&sid={}", &rest[..16]);
    poll(server.address, "POST", &session, "40").await;
    let socket = within(come.recv()).await.unwrap();
    let mut client = open(server.address, &session).await;
    say(&mut client, "2probe").await;
    assert_eq!(hear(&mut client).await.unwrap(), "3probe");
    say(&mut client, "5").await;
    assert!(hear(&mut client).await.unwrap().starts_with("40"));

    // The connection that opened the session is long gone: closing it does nothing.
    connection(&socket).close();
    say(&mut client, r#"42["anything"]"#).await;
    connection(&socket).end_session(socket.id.as_str());

    within(gone.recv()).await.unwrap();
    assert_eq!(hear(&mut client).await, None);
    assert!(poll(server.address, "GET", &session, "").await.contains("Session ID unknown"));
}
