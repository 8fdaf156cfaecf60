//! Takes events in packet order and answers every one of them, the unparsable too.

use super::Sockets;
use super::connection::{Connection, Identity, Sorted};
use super::inbound::Inbound;
use super::outbound::{Failure, Reply};
use super::outbox::Item;
use crate::error::{Error, Result};
use futures_util::FutureExt;
use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::{MessageHandler, Value};
use socketioxide::socket::Socket;
use std::sync::Arc;

/// Takes the events of one socket. socketioxide calls it synchronously, in packet order.
pub(super) struct Reception {
    pub(super) sockets: Arc<Sockets>,
    pub(super) connection: Arc<Connection>,
}

/// Tells this handler from those that socketioxide makes of closures.
pub(super) struct Inline;

impl MessageHandler<LocalAdapter, Inline> for Reception {
    fn call(&self, _: Arc<Socket>, value: Value, ack: Option<i64>) {
        self.sockets.receive(&self.connection, Inbound::read(&value, ack));
    }
}

impl Sockets {
    fn receive(self: &Arc<Self>, connection: &Arc<Connection>, event: Inbound) {
        let _answered_before_the_end = connection.line.begin_handling();
        let allowed =
            self.event_rate.map_or(Ok(()), |rate| connection.rate().take(&rate, self.app.clock.now()));
        if let Err(retry_after) = allowed {
            return answer(connection, &event, Reply::Failed(Error::RateLimited { retry_after }));
        }
        match connection.sort(event, self.app.clock.now()) {
            Sorted::Drop => {}
            Sorted::Refuse(event, error) => answer(connection, &event, Reply::Failed(error)),
            Sorted::Join { was, join } => self.begin_join(connection, was, join),
            Sorted::Handle(identity, event) => self.handle(connection, identity.as_ref(), event),
        }
    }

    pub(super) fn handle(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        identity: Option<&Arc<Identity>>,
        event: Inbound,
    ) {
        if event.event == "ping" {
            connection.line.send(Item::Pong);
            return acknowledge(connection, &event, Reply::Done);
        }
        let Some(known) = Known::named(&event.event) else {
            return answer(connection, &event, Reply::Failed(Error::UnknownEvent));
        };
        let Some(identity) = identity else {
            return answer(connection, &event, Reply::Failed(Error::NotJoined));
        };
        let device = connection.device;
        let done = match known {
            Known::CallUser => return self.call_user(connection, identity, event),
            Known::Authenticate => return self.authenticate(connection, identity, event),
            Known::WatchUsers => self.watch_users(device, &event),
            Known::AcceptCall => self.accept_call(device, &event).map(|()| Reply::Done),
            Known::RejectCall => self.reject_call(device, &event).map(|()| Reply::Done),
            Known::EndCall => self.end_call(device, &event).map(|()| Reply::Done),
            Known::IceCandidate => self.ice_candidate(device, &event).map(|()| Reply::Done),
            Known::Renegotiate => self.renegotiate(device, &event).map(|()| Reply::Done),
            Known::MediaState => self.media_state(device, &event).map(|()| Reply::Done),
        };
        answer(connection, &event, done.unwrap_or_else(Reply::Failed));
    }
}

/// The events of a joined socket.
enum Known {
    CallUser,
    AcceptCall,
    RejectCall,
    EndCall,
    IceCandidate,
    Renegotiate,
    MediaState,
    WatchUsers,
    Authenticate,
}

impl Known {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "call_user" => Self::CallUser,
            "accept_call" => Self::AcceptCall,
            "reject_call" => Self::RejectCall,
            "end_call" => Self::EndCall,
            "ice_candidate" => Self::IceCandidate,
            "renegotiate" => Self::Renegotiate,
            "media_state" => Self::MediaState,
            "watch_users" => Self::WatchUsers,
            "authenticate" => Self::Authenticate,
            _ => return None,
        })
    }
}

/// Answers an event: by its acknowledgement, or a failure without one by `event_error`.
pub(super) fn answer(connection: &Connection, event: &Inbound, reply: Reply) {
    if let Reply::Failed(error) = &reply {
        log_failure(connection, event, error);
        if event.event == "join" {
            connection.line.send(Item::JoinError(Failure::new(error)));
        }
    }
    match (event.ack, reply) {
        (None, Reply::Failed(error)) => {
            // An event name may be as long as a frame.
            let name = event.event.chars().take(64).collect();
            let failure = Failure::new(&error);
            connection.line.send(Item::EventError { event: name, failure, call: event.call_id() });
        }
        (_, reply) => acknowledge(connection, event, reply),
    }
}

fn acknowledge(connection: &Connection, event: &Inbound, reply: Reply) {
    if let Some(id) = event.ack {
        connection.line.send(Item::Ack(id, reply));
    }
}

fn log_failure(connection: &Connection, event: &Inbound, error: &Error) {
    let name: String = event.event.chars().take(64).collect();
    if let Error::Internal(source) = error {
        tracing::error!(device = %connection.device, event = name, error = %source, "event failed");
    } else {
        tracing::debug!(device = %connection.device, event = name, code = error.code(), "event refused");
    }
}

/// Runs to its end at once when nothing has to be awaited, in a task of its own when something has.
pub(super) fn now_or_later(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    if work.as_mut().now_or_never().is_none() {
        tokio::spawn(work);
    }
}

/// A place among the answers of this socket that may wait.
pub(super) fn begin_waiting(connection: &Arc<Connection>) -> Result<super::connection::Waiting> {
    connection.begin_waiting().ok_or(Error::RateLimited { retry_after: std::time::Duration::from_secs(1) })
}
