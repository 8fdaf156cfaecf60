//! HTTP over connections that are kept.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection on which one request follows the other.
pub(crate) struct Http {
    tcp: TcpStream,
    heard: Vec<u8>,
}

impl Http {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        tcp.set_nodelay(true).unwrap();
        Self { tcp, heard: Vec::new() }
    }

    /// Sends the bytes of a request, and waits for all of the answer, which must be a success.
    pub(crate) async fn ask(&mut self, request: &[u8]) {
        self.tcp.write_all(request).await.unwrap();
        self.heard.clear();
        loop {
            assert_ne!(self.tcp.read_buf(&mut self.heard).await.unwrap(), 0, "the connection ends");
            if let Some(size) = size(&self.heard)
                && self.heard.len() >= size
            {
                assert_eq!(self.heard.len(), size, "more than was asked for");
                let status = self.heard.get(9..12);
                assert_eq!(status, Some(&b"200"[..]), "{}", String::from_utf8_lossy(&self.heard));
                return;
            }
        }
    }
}

/// Of the whole answer, once its head is there.
fn size(heard: &[u8]) -> Option<usize> {
    let head = heard.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&heard[..head]).unwrap().to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).expect("a length");
    Some(head + 4 + length.trim().parse::<usize>().unwrap())
}

/// The bytes of a GET.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n").into_bytes()
}

/// The bytes of a POST of JSON.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_an_answer_is_known_with_its_head() {
        assert_eq!(size(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r"), None);
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\n";
        assert_eq!(size(head.as_bytes()), Some(head.len() + 5));
    }
}
