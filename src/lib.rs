//! A production backend for 1:1 video and audio calls.

pub mod admin;
mod app;
mod auth;
pub mod clock;
pub mod config;
pub mod database;
mod domain;
mod error;
mod http;
mod live;
pub mod server;
pub mod service;
mod socket;
mod store;
pub mod telemetry;
