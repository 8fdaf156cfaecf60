//! What the suites and benchmarks share: clients that speak HTTP and Socket.IO, the server as a process, a PostgreSQL to be ill-treated.
//! What does not answer, or answers otherwise than it must, panics: every user of this is a test.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads clocks and tables that the server never reads"
)]

mod account;
pub mod client;
mod http;
pub mod load;
pub mod postgres;
pub mod process;
mod raw;
mod transport;

pub use account::{Account, PASSWORD};
pub use client::{Client, End};
pub use http::{Answer, Ask};
pub use postgres::{Cluster, Shutdown};
pub use process::ServerProcess;
pub use raw::exchange;
pub use transport::Transport;

use std::net::SocketAddr;
use std::time::Duration;

/// How long anything awaited may take, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Whatever has a server's address.
pub trait Server {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
}

impl Server for SocketAddr {
    fn address(&self) -> SocketAddr {
        *self
    }
}
