//! HTTP as no library would write it.

use crate::PATIENCE;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends the bytes as they are and gives what comes back until the server ends the connection, as text.
///
/// A server that stops reading may cut the rest of the request off; what it said before that counts.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = TcpStream::connect(address).await.expect("a connection").into_split();
    let written = async {
        // The writing half stays open: a server may take its end for a client that has gone.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let mut heard = Vec::new();
    let read = async {
        let mut block = [0_u8; 4096];
        while let Ok(count @ 1..) = reader.read(&mut block).await {
            heard.extend_from_slice(&block[..count]);
        }
    };
    let ended = async {
        tokio::select! { () = written => {} () = read => {} }
    };
    let in_time = timeout(PATIENCE, ended).await.is_ok();
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(in_time, "the connection stays open after {:?}: {heard}", String::from_utf8_lossy(bytes));
    heard
}
