//! The switchboard: who is here and which calls are live.

use crate::domain::ids::{DeviceId, SessionId, UserId};
use crate::domain::username::Username;
use std::sync::Arc;

/// One row of the list of online users.
#[derive(Debug, Clone)]
pub(crate) struct OnlineUser {
    pub(crate) id: UserId,
    pub(crate) username: Username,
    /// The newest device.
    pub(crate) device: DeviceId,
}

/// Live state, shared by both transports.
#[derive(Debug, Default)]
pub(crate) struct Live;

impl Live {
    /// Cuts every socket of the session and ends its calls.
    pub(crate) fn end_session(&self, _session: SessionId) {}

    /// The sessions that have a joined socket.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        Vec::new()
    }

    pub(crate) fn is_online(&self, _user: UserId) -> bool {
        false
    }

    /// Ordered by when they came.
    pub(crate) fn online_users(&self) -> Arc<[OnlineUser]> {
        [].into()
    }

    pub(crate) fn active_users(&self) -> usize {
        0
    }

    pub(crate) fn active_calls(&self) -> usize {
        0
    }
}
