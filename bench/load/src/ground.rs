//! The server that is measured, with a PostgreSQL of its own.

use std::net::SocketAddr;
use std::path::Path;
use test_kit::{Cluster, Server, ServerProcess};

/// `SERVER_BIN`, running without limits of logins and requests: all clients are one address.
pub struct Ground {
    /// The process.
    pub server: ServerProcess,
    _postgres: Cluster,
}

impl Server for Ground {
    fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

impl Ground {
    /// Starts both.
    pub async fn start() -> Self {
        let Ok(program) = std::env::var("SERVER_BIN") else { panic!("SERVER_BIN: the server's binary") };
        let postgres = Cluster::start(&[]).await;
        let url = postgres.create_database("load").await;
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("LOGIN_RATE_PER_MINUTE", "0"),
            ("API_RATE_PER_MINUTE", "0"),
            // Longer than any soak: nobody logs in again.
            ("ACCESS_TOKEN_TTL", "7days"),
            // A line a connection would fill the memory of whoever reads it.
            ("RUST_LOG", "warn,video_call_server::service=info,video_call_server::app=info"),
        ];
        let server = ServerProcess::start(Path::new(&program), &environment).await;
        Self { server, _postgres: postgres }
    }
}
