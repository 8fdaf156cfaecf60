//! Clients that say everything slowly, or only half.

use crate::ground::{Ground, run};
use serde_json::json;
use std::time::Duration;
use test_kit::{Account, Client, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What the server allows a head, and a body, with some time for a busy machine.
const CUT_WITHIN: Duration = Duration::from_secs(14);
/// `PING_INTERVAL` and `PING_TIMEOUT` of these tests.
const HEARTBEAT: &str = "2s";

/// Sends `head` at once and then a byte every half second, until the server ends the connection; gives what it said.
async fn dribble(ground: &Ground, head: &str) -> String {
    let mut tcp = TcpStream::connect(ground.address()).await.unwrap();
    tcp.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = tcp.into_split();
    let dribbling = tokio::spawn(async move {
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let mut said = Vec::new();
    let start = Instant::now();
    let ended = timeout(CUT_WITHIN, read.read_to_end(&mut said)).await;
    dribbling.abort();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ended.is_ok(), "not cut after {:?}: {head:?}; it said {said:?}", start.elapsed());
    said
}

fn post(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    )
}

#[test]
fn slow_heads_are_cut_without_an_answer() {
    run(async {
        let ground = Ground::start(&[]).await;
        let heads = [
            "",
            "G",
            "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n",
        ];
        for said in futures_util::future::join_all(heads.map(|head| dribble(&ground, head))).await {
            assert_eq!(said, "");
        }
    });
}

#[test]
fn slow_bodies_are_answered_with_when_to_come_back_and_cut() {
    run(async {
        let ground = Ground::start(&[]).await;
        let session = Client::open(ground.address(), test_kit::Transport::Polling).await;
        let poll = format!("/socket.io/?EIO=4&transport=polling&sid={}", session.session());
        let slow = ["/api/login", "/api/register", "/api/refresh", poll.as_str()].map(post);
        for said in futures_util::future::join_all(slow.iter().map(|head| dribble(&ground, head))).await {
            assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
            assert!(said.to_lowercase().contains("retry-after: "), "{said}");
        }
    });
}

#[test]
fn half_a_websocket_frame_holds_its_connection_no_longer_than_the_heartbeat() {
    run(async {
        let ground = Ground::start(&[("PING_INTERVAL", HEARTBEAT), ("PING_TIMEOUT", HEARTBEAT)]).await;
        let account = Account::register(&ground, "alice").await;
        let other = Client::joined(&ground, &account).await;
        let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        // The head of a masked text frame of 60,000 bytes; the rest dribbles.
        let mut tcp = TcpStream::connect(ground.address()).await.unwrap();
        tcp.write_all(upgrade.as_bytes()).await.unwrap();
        tcp.write_all(&[0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0]).await.unwrap();
        let (mut read, mut write) = tcp.into_split();
        let dribbling = tokio::spawn(async move {
            while write.write_all(b"4").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        let ended = timeout(CUT_WITHIN, read.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "not cut");
        dribbling.abort();
        other.ok("ping", &json!(null)).await;
    });
}
