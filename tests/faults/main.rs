//! The server under faults: each is injected for real, into a real PostgreSQL and real processes, while two hundred sockets
//! are connected and fifty calls are live; and each is injected `FAULT_ROUNDS` times (20).
//!
//! Run by `cargo test --test faults -- --test-threads=6`. Most of the time everything waits for something frozen.
//! What it needs beside PostgreSQL's binaries, all of it Debian: root, and the packages `faketime` (a clock that can be
//! moved), `iproute2` (networks of the test's own) and `iptables` (packet loss in them). What is missing fails the test
//! that needs it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, says what it measured, and reads tables that the server never reads"
)]

mod check;
mod database;
mod disk;
mod invariants;
mod ledger;
mod network;
mod peers;
mod population;
mod process;
mod proxy;
mod wall_clock;
mod world;

/// How often each fault is injected.
fn rounds() -> usize {
    std::env::var("FAULT_ROUNDS").map_or(20, |text| text.parse().expect("FAULT_ROUNDS to be a number"))
}
