//! The server under floods: what it refuses, what it cuts, and how little of it the others feel.
//!
//! `cargo test --profile quick --test floods -- --test-threads=1 --nocapture`: the server runs as a process on a core of its
//! own, the clients on the others, and each test says what it saw. A PostgreSQL is started for each from the machine's binaries.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, reads clocks that the server never reads, and says what it saw"
)]

mod connects;
mod events;
mod ground;
mod health;
mod logins;
mod slow;
mod stalled;
mod torrent;
