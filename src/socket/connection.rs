//! One socket, from its CONNECT to its end.

use super::inbound::Inbound;
use super::outbox::Line;
use crate::auth::token::Claims;
use crate::domain::ids::DeviceId;
use crate::domain::message::Party;
use crate::domain::rate::Gcra;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Answers of one socket that may wait for Postgres at once.
const WAITING_LIMIT: u32 = 8;

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
    phase: Mutex<Phase>,
    rate: Mutex<Gcra>,
    waiting: AtomicU32,
}

impl Connection {
    pub(super) fn new(device: DeviceId, line: Arc<Line>, handshake: Option<Claims>) -> Self {
        Self {
            device,
            line,
            handshake,
            phase: Mutex::new(Phase::Lobby),
            rate: Mutex::default(),
            waiting: AtomicU32::new(0),
        }
    }

    pub(super) fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rate(&self) -> MutexGuard<'_, Gcra> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an answer that has to wait; given back when dropped.
    pub(super) fn begin_waiting(self: &Arc<Self>) -> Option<Waiting> {
        let waiting = Waiting(Arc::clone(self));
        (self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_LIMIT).then_some(waiting)
    }
}

/// One answer that waits.
pub(super) struct Waiting(Arc<Connection>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
