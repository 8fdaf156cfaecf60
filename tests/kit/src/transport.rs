//! Engine.IO, by WebSocket or by long-polling: packets in, packets out.

use crate::http::Ask;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One connection, a frame a packet.
    WebSocket,
    /// A GET that waits for packets, and POSTs.
    Polling,
}

/// Whoever hears what comes.
pub(crate) trait Ear: Send + Sync + 'static {
    fn packet(&self, packet: &str);
    /// The connection is gone.
    fn closed(&self);
}

/// The tasks that write and read; they end with the connection.
pub(crate) struct Link {
    pub(crate) writing: JoinHandle<()>,
    pub(crate) reading: JoinHandle<()>,
}

impl Transport {
    /// Opens an Engine.IO session and gives its open packet to the ear. The connection ends when `packets` does.
    pub(crate) async fn open(
        self,
        address: SocketAddr,
        packets: UnboundedReceiver<String>,
        ear: Arc<impl Ear>,
    ) -> Link {
        match self {
            Self::WebSocket => open_websocket(address, packets, ear).await,
            Self::Polling => open_polling(address, packets, ear).await,
        }
    }
}

async fn open_websocket(
    address: SocketAddr,
    mut packets: UnboundedReceiver<String>,
    ear: Arc<impl Ear>,
) -> Link {
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let (socket, _) = connect_async(url).await.expect("a WebSocket");
    let (mut sink, mut stream) = socket.split();
    let writing = tokio::spawn(async move {
        while let Some(packet) = packets.recv().await {
            if sink.send(Message::text(packet)).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    });
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Text(packet) = message {
                ear.packet(&packet);
            }
        }
        ear.closed();
    });
    Link { writing, reading }
}

async fn open_polling(
    address: SocketAddr,
    mut packets: UnboundedReceiver<String>,
    ear: Arc<impl Ear>,
) -> Link {
    let opened = Ask::new(address, "GET", "/socket.io/?EIO=4&transport=polling").send().await;
    ear.packet(&opened.text);
    let open: serde_json::Value = serde_json::from_str(&opened.text[1..]).expect("an open packet");
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", open["sid"].as_str().unwrap());
    let write_path = path.clone();
    let writing = tokio::spawn(async move {
        let mut waiting = Vec::new();
        while packets.recv_many(&mut waiting, 16).await > 0 {
            let payload = std::mem::take(&mut waiting).join("\u{1e}");
            let answer = Ask::new(address, "POST", &write_path).body(payload).exchange().await;
            if answer.is_err() {
                return;
            }
        }
    });
    let reading = tokio::spawn(async move {
        loop {
            match Ask::new(address, "GET", &path).exchange().await {
                Ok(answer) if answer.status == 200 => {
                    // A session that ends answers the poll that waits with nothing.
                    let packets = answer.text.split('\u{1e}').filter(|packet| !packet.is_empty());
                    packets.for_each(|packet| ear.packet(packet));
                }
                Ok(_) | Err(_) => break,
            }
        }
        ear.closed();
    });
    Link { writing, reading }
}
