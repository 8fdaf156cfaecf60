//! A production backend for 1:1 video and audio calls.

pub mod clock;
pub mod config;
mod domain;
mod error;
mod live;
pub mod server;
mod store;
pub mod telemetry;
