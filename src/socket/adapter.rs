//! Takes events in packet order and answers every one of them, the unparsable too.

use super::connection::{Connection, Identity, Sorted};
use super::inbound::Inbound;
use super::outbound::{Failure, Reply};
use super::outbox::Item;
use super::{Sockets, presence};
use crate::error::{Error, Result};
use crate::telemetry::metrics::SocketEvent;
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
        self.sockets.receive(&self.connection, Inbound::read(value, ack));
    }
}

impl Sockets {
    fn receive(self: &Arc<Self>, connection: &Arc<Connection>, event: Inbound) {
        let _answered_before_the_end = connection.line.begin_handling();
        let now = self.app.clock.now();
        let allowed = self.event_rate.map_or(Ok(()), |rate| connection.rate().take(&rate, now));
        if let Err(retry_after) = allowed {
            connection.line.hold_back();
            connection.metrics.refusals.event.inc();
            return answer(connection, &event, Reply::Failed(Error::RateLimited { retry_after }));
        }
        match connection.sort(event, now) {
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
        if event.kind == SocketEvent::Ping {
            connection.line.send(Item::Pong);
            return answer(connection, &event, Reply::Done);
        }
        let Some(known) = Known::of(event.kind) else {
            return answer(connection, &event, Reply::Failed(Error::UnknownEvent));
        };
        let Some(identity) = identity else {
            return answer(connection, &event, Reply::Failed(Error::NotJoined));
        };
        match known {
            Known::CallUser => self.call_user(connection, identity, event),
            Known::Authenticate => self.authenticate(connection, identity, event),
            Known::WatchUsers => {
                let watched = presence::watch_users(&self.app.live, connection.device, &event);
                answer(connection, &event, watched.unwrap_or_else(Reply::Failed));
            }
            Known::OnCall(known) => self.act(connection, known, event),
        }
    }
}

/// The events of a joined socket.
pub(super) enum Known {
    CallUser,
    Authenticate,
    WatchUsers,
    OnCall(OnCall),
}

/// Those about a call that there is.
#[derive(Clone, Copy)]
pub(super) enum OnCall {
    Accept,
    Reject,
    End,
    Candidate,
    Renegotiate,
    MediaState,
}

impl Known {
    pub(super) fn of(event: SocketEvent) -> Option<Self> {
        Some(match event {
            SocketEvent::CallUser => Self::CallUser,
            SocketEvent::Authenticate => Self::Authenticate,
            SocketEvent::AcceptCall => Self::OnCall(OnCall::Accept),
            SocketEvent::RejectCall => Self::OnCall(OnCall::Reject),
            SocketEvent::EndCall => Self::OnCall(OnCall::End),
            SocketEvent::IceCandidate => Self::OnCall(OnCall::Candidate),
            SocketEvent::Renegotiate => Self::OnCall(OnCall::Renegotiate),
            SocketEvent::MediaState => Self::OnCall(OnCall::MediaState),
            SocketEvent::WatchUsers => Self::WatchUsers,
            SocketEvent::Join | SocketEvent::Ping | SocketEvent::Unknown => return None,
        })
    }
}

/// Answers an event, by its acknowledgement, or a failure without one by `event_error`; and counts it.
pub(super) fn answer(connection: &Connection, event: &Inbound, reply: Reply) {
    count(connection, event.kind, &reply);
    if let Reply::Failed(error) = &reply {
        log_failure(connection, event, error);
        if event.kind == SocketEvent::Join {
            connection.line.send(Item::JoinError(Failure::new(error)));
        }
    }
    match (event.ack, reply) {
        (None, Reply::Failed(error)) => {
            // An event name may be as long as a frame.
            let name = event.event().chars().take(64).collect();
            let failure = Failure::new(&error);
            connection.line.send(Item::EventError { event: name, failure, call: event.call_id() });
        }
        (_, reply) => acknowledge(connection, event, reply),
    }
}

fn count(connection: &Connection, event: SocketEvent, reply: &Reply) {
    match (connection.metrics.events.of(event), reply) {
        (Some(outcomes), Reply::Failed(error)) => outcomes.failed(error),
        (Some(outcomes), Reply::Done | Reply::With(_)) => outcomes.succeeded(),
        (None, _) => {}
    }
}

fn acknowledge(connection: &Connection, event: &Inbound, reply: Reply) {
    if let Some(id) = event.ack {
        connection.line.send(Item::Ack(id, reply));
    }
}

fn log_failure(connection: &Connection, event: &Inbound, error: &Error) {
    let name: String = event.event().chars().take(64).collect();
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
