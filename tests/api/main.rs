//! The server from outside: HTTP and Socket.IO to a real listener, rows in a real PostgreSQL.
//!
//! With nothing configured, one private PostgreSQL serves the whole run and is gone with it; `TEST_DATABASE_URL` names
//! another. Each test has a database and a server of its own, and holds the clock still where time matters.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads tables that the server never reads"
)]

mod abuse;
mod administration;
mod app;
mod constraints;
mod database;
mod durability;
mod history_docs;
mod hostile;
mod limits;
mod metrics;
mod process;
mod races;
mod security_docs;
mod seed;
mod sessions;
mod shutdown;
mod strangers;
mod time;
mod upgrade;
