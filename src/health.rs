//! `video-call-server health`: asks the server of the same settings whether it is ready, where there is no curl to ask.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use video_call_server::config::Config;
use video_call_server::service::StartError;

/// `/health/ready` waits a second and a quarter for the database.
const PATIENCE: Duration = Duration::from_secs(3);
/// Far above what `/health/ready` says.
const LIMIT: u64 = 16 * 1024;
const REQUEST: &[u8] = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Fails unless the server answers that it is ready.
pub(crate) async fn check(config: &Config) -> Result<(), StartError> {
    if config.port == 0 {
        return Err("PORT: the server's port is not known, since PORT is 0".into());
    }
    let address = SocketAddr::new(reachable(config.host), config.port);
    let answer = match timeout(PATIENCE, ask(address)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(format!("no server answers at {address}: {error}").into()),
        Err(_) => return Err(format!("the server at {address} does not answer").into()),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.strip_prefix("HTTP/1.1 ").and_then(|head| head.split(' ').next()) {
        Some("200") => Ok(()),
        Some(status) => Err(format!("the server at {address} is not ready: {status} {body}").into()),
        None => Err(format!("what answers at {address} is no HTTP server").into()),
    }
}

/// Where a server that listens everywhere can be reached from beside it.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut server = TcpStream::connect(address).await?;
    server.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    server.take(LIMIT).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
