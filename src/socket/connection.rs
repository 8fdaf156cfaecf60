//! One socket, from its CONNECT to its end.

use super::inbound::Inbound;
use super::outbox::Line;
use crate::auth::token::Claims;
use crate::domain::ids::DeviceId;
use crate::domain::message::Party;
use crate::domain::rate::{Gcra, Rate};
use crate::domain::time::Moment;
use crate::error::{Error, Result};
use crate::telemetry::metrics::{Metrics, SocketEvent};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Answers of one socket that may wait for Postgres at once.
const WAITING_LIMIT: u32 = 8;
/// Events that may wait for a join to be decided, and the bytes of their payloads.
const WAITING_EVENTS: usize = 256;
const WAITING_BYTES: usize = 256 * 1024;
/// Joining again costs a whole list of users, so it is rarer than other events.
const REJOINS: Rate = Rate { burst: 5, period: Duration::from_secs(1) };

/// Who a joined socket speaks for.
#[derive(Debug)]
pub(super) struct Identity {
    /// Of the token it joined with.
    pub(super) claims: Claims,
}

impl Identity {
    pub(super) fn party(&self) -> Party {
        Party { id: self.claims.user, username: self.claims.username.clone() }
    }
}

/// How far a socket has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Connected; may only join and ping.
    Lobby,
    /// Its join is being decided; what it sends meanwhile waits, in order.
    Joining {
        was: Option<Arc<Identity>>,
        waiting: Vec<Inbound>,
    },
    Joined(Arc<Identity>),
    Closed,
}

/// The state of one socket.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) device: DeviceId,
    pub(super) line: Arc<Line>,
    /// What the handshake's token said, if there was one.
    pub(super) handshake: Option<Claims>,
    pub(super) metrics: Arc<Metrics>,
    phase: Mutex<Phase>,
    rate: Mutex<Gcra>,
    rejoins: Mutex<Gcra>,
    waiting: AtomicU32,
}

/// Where an event goes.
pub(super) enum Sorted {
    /// Nobody is there any more to hear of it, or it waits.
    Drop,
    Refuse(Inbound, Error),
    /// The phase is `Joining` from here on: who else joins meanwhile waits.
    Join {
        was: Option<Arc<Identity>>,
        join: Inbound,
    },
    Handle(Option<Arc<Identity>>, Inbound),
}

impl Connection {
    pub(super) fn new(
        device: DeviceId,
        line: Arc<Line>,
        handshake: Option<Claims>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            device,
            line,
            handshake,
            metrics,
            phase: Mutex::new(Phase::Lobby),
            rate: Mutex::default(),
            rejoins: Mutex::default(),
            waiting: AtomicU32::new(0),
        }
    }

    pub(super) fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rate(&self) -> MutexGuard<'_, Gcra> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides where an event goes, and notes it: two polls of one client may bring events at the same time.
    pub(super) fn sort(&self, event: Inbound, now: Moment) -> Sorted {
        let mut phase = self.phase();
        let was = match &mut *phase {
            Phase::Closed => return Sorted::Drop,
            Phase::Joining { waiting, .. } => return keep_waiting(waiting, event),
            Phase::Lobby => None,
            Phase::Joined(identity) => Some(Arc::clone(identity)),
        };
        if event.kind != SocketEvent::Join {
            return Sorted::Handle(was, event);
        }
        if was.is_some()
            && let Err(error) = self.may_join_again(now)
        {
            return Sorted::Refuse(event, error);
        }
        *phase = Phase::Joining { was: was.clone(), waiting: Vec::new() };
        Sorted::Join { was, join: event }
    }

    /// Takes one out of the allowance of joins that follow another.
    pub(super) fn may_join_again(&self, now: Moment) -> Result<()> {
        let mut rejoins = self.rejoins.lock().unwrap_or_else(PoisonError::into_inner);
        rejoins.take(&REJOINS, now).map_err(|retry_after| {
            self.metrics.refusals.rejoin.inc();
            Error::RateLimited { retry_after }
        })
    }

    /// A place for an answer that has to wait; given back when dropped.
    pub(super) fn begin_waiting(self: &Arc<Self>) -> Option<Waiting> {
        let waiting = Waiting(Arc::clone(self));
        (self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_LIMIT).then_some(waiting)
    }
}

fn keep_waiting(waiting: &mut Vec<Inbound>, event: Inbound) -> Sorted {
    let bytes: usize = waiting.iter().chain([&event]).map(Inbound::size).sum();
    if waiting.len() >= WAITING_EVENTS || bytes > WAITING_BYTES {
        return Sorted::Refuse(event, Error::RateLimited { retry_after: Duration::from_secs(1) });
    }
    waiting.push(event);
    Sorted::Drop
}

/// One answer that waits.
pub(super) struct Waiting(Arc<Connection>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
