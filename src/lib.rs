//! The backend that 1:1 video and audio calls ring through: accounts, presence, WebRTC signalling over Socket.IO, and
//! a call history in PostgreSQL.
//!
//! An event comes in through [`socket`], in packet order. It is parsed into a command, which [`live`] applies to the pure
//! rules of [`domain`] under one short lock. What the rules say must happen goes two ways: messages to the outbox of
//! [`socket`], history rows to the journal in [`store`], which writes them behind. The acknowledgement answers.
//!
//! Where several servers are one, [`cluster`] carries what they tell each other: a call lives on one of them, and what a device on another
//! wants of it is judged there.
//!
//! REST requests come in through [`http`]; accounts, tokens and sessions are the business of [`auth`]. [`service`] starts
//! and stops the whole, on a database that [`database`] finds or makes. Only [`config`] reads the environment, only
//! [`clock`] the time, and [`error`] has everything that can go wrong for a client.
//!
//! The binary is the product; the public items here are what it, and the tests that run a server in their own process, need.
#![expect(rustdoc::private_intra_doc_links, reason = "the map of the house shows its private rooms, too")]

pub mod admin;
mod app;
mod auth;
pub mod clock;
mod cluster;
pub mod config;
pub mod database;
mod domain;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
#[cfg(test)]
mod instructions;
mod live;
mod notices;
mod retention;
pub mod server;
pub mod service;
mod socket;
mod store;
pub mod telemetry;
pub mod version;
mod vitals;
