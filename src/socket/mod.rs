//! Socket.IO: who may speak, in which order, and what is answered. Only this room knows socketioxide.
//!
//! An event travels inline: socketioxide calls [`adapter`] in packet order, the adapter parses it into a command,
//! `live` applies it, [`outbox`] lets the messages out, and the acknowledgement answers. No task and no queue stand
//! in between, except for what has to wait: a join for its session's check, a dialled call for its commit.

mod adapter;
mod admission;
#[cfg(test)]
mod asyncapi;
mod authenticate;
mod calls;
mod connection;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod inbound;
mod outbound;
mod outbox;
mod presence;
mod reaper;

use crate::app::App;
use crate::config::Config;
use crate::domain::rate::Rate;
use admission::Admission;
pub(crate) use outbox::Outbox;
use socketioxide::handler::ConnectHandler;
use socketioxide::layer::SocketIoLayer;
use socketioxide::{ParserConfig, SocketIo};
use std::sync::Arc;
use std::time::Duration;

/// What a frame, or a polling request, may carry.
const FRAME_LIMIT: usize = 64 * 1024;
/// What is read from a WebSocket at once, and kept for each of them as long as it lives.
const READ_BUFFER: usize = 2048;
/// Packets that may wait inside socketioxide for one socket, each encoded for itself; beyond it they wait in the outbox,
/// where they share what they hold.
const SEND_BUFFER: usize = 64;
/// How long an Engine.IO session may take to open the namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The socket side of the server.
pub(crate) struct Sockets {
    app: Arc<App>,
    outbox: Arc<Outbox>,
    event_rate: Option<Rate>,
}

impl Sockets {
    pub(crate) fn new(app: Arc<App>, outbox: Arc<Outbox>) -> Arc<Self> {
        let event_rate = event_rate(&app.config);
        Arc::new(Self { app, outbox, event_rate })
    }

    /// The layer that serves `/socket.io`, and the handle that closes it.
    pub(crate) fn layer(self: &Arc<Self>) -> (SocketIoLayer, SocketIo) {
        let config = &self.app.config;
        let (layer, io) = SocketIo::builder()
            .ping_interval(config.ping_interval)
            .ping_timeout(config.ping_timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .max_payload(FRAME_LIMIT as u64)
            .ws_max_message_size(FRAME_LIMIT)
            .ws_max_frame_size(FRAME_LIMIT)
            .ws_read_buffer_size(READ_BUFFER)
            .max_buffer_size(SEND_BUFFER)
            .with_parser(ParserConfig::common().max_incoming_binaries(0))
            .build_layer();
        let admission = Admission(Arc::clone(self));
        let greet = async || {};
        io.ns("/", greet.with(move |socket, auth| admission.clone().admit(socket, auth)));
        (layer, io)
    }

    /// Removes what a lost disconnect left behind, for as long as it is polled.
    pub(crate) async fn reap(&self) {
        reaper::run(&self.outbox, &self.app.live).await;
    }
}

/// The allowance of one socket: five seconds' worth at once.
fn event_rate(config: &Config) -> Option<Rate> {
    let per_second = config.event_rate_per_second;
    (per_second > 0)
        .then(|| Rate { burst: per_second.saturating_mul(5), period: Duration::from_secs(1) / per_second })
}
