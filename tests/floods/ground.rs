//! A server on a core of its own, with a PostgreSQL of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use test_kit::load::{beside_the_server, on_its_own_core, raise_file_limit};
use test_kit::{Cluster, Server, ServerProcess};
use tokio::time::Instant;

/// Twice what the floods open.
const FILES: u64 = 12_000;

pub(crate) struct Ground {
    pub(crate) server: ServerProcess,
    _postgres: Cluster,
}

impl Server for Ground {
    fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

impl Ground {
    /// With the contract's limits but for logins and requests, which the tests' own accounts would run into, and `environment`.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        let postgres = Cluster::start(&["fsync=off"]).await;
        let url = postgres.create_database("floods").await;
        let mut all = vec![
            ("DATABASE_URL", url.as_str()),
            ("LOGIN_RATE_PER_MINUTE", "0"),
            ("API_RATE_PER_MINUTE", "0"),
        ];
        all.extend_from_slice(environment);
        let program = Path::new(env!("CARGO_BIN_EXE_video-call-server"));
        let server = ServerProcess::start_by(on_its_own_core(program, FILES), &all).await;
        Self { server, _postgres: postgres }
    }
}

/// Runs a test's clients beside the server.
pub(crate) fn run(test: impl Future<Output = ()>) {
    raise_file_limit(FILES);
    beside_the_server().block_on(test);
}

/// Waits until `done`, at most until the deadline.
pub(crate) async fn until(deadline: Instant, what: &str, mut done: impl FnMut() -> bool) {
    while !done() {
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, (bytes >> 10) % 1024 * 10 / 1024)
}
