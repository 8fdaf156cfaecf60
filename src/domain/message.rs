//! What the rules tell a client, before it has a wire form.

use super::call::Role;
use super::ids::{CallId, DeviceId, UserId};
use super::media::{CallType, Candidate, Description, MediaState};
use super::presence::{Roster, RosterDelta};
use super::username::Username;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// A user as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Party {
    pub(crate) id: UserId,
    pub(crate) username: Username,
}

/// What became of a `call_user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DialStatus {
    Ringing,
    UserOffline,
    UserBusy,
    /// The callee is calling the caller already.
    Glare,
}

/// Why a device is told that its call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndNotice {
    Hangup,
    Cancelled,
    NoAnswer,
    AnsweredElsewhere,
    RejectedElsewhere,
    ConnectionLost,
    ServerShutdown,
    SessionRevoked,
}

/// The call a device comes back into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActiveCall {
    pub(crate) call: CallId,
    pub(crate) role: Role,
    pub(crate) peer: Party,
    pub(crate) call_type: CallType,
    pub(crate) active: bool,
    /// Epoch milliseconds.
    pub(crate) start_time: i64,
}

impl Message {
    /// The bytes of the descriptions and candidates it carries.
    pub(crate) fn media_size(&self) -> usize {
        match self {
            Self::IncomingCall { offer: description, .. }
            | Self::CallAccepted { answer: description, .. }
            | Self::Renegotiate { description, .. } => description.size(),
            Self::IceCandidate { candidate, .. } => candidate.size(),
            Self::Joined { .. }
            | Self::UsersUpdated(_)
            | Self::PresenceDelta(_)
            | Self::CallStatus { .. }
            | Self::CallRejected { .. }
            | Self::CallEnded { .. }
            | Self::MediaState { .. }
            | Self::PeerReconnecting { .. }
            | Self::PeerReconnected { .. }
            | Self::TokenExpiring { .. } => 0,
        }
    }
}

/// One event for one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Of this node alone, as are the next two: each has its own list.
    #[serde(skip)]
    Joined {
        socket_id: DeviceId,
        online: Arc<Roster>,
        active_call: Option<ActiveCall>,
    },
    #[serde(skip)]
    UsersUpdated(Arc<Roster>),
    #[serde(skip)]
    PresenceDelta(Arc<RosterDelta>),
    IncomingCall {
        call: CallId,
        from: Party,
        call_type: CallType,
        offer: Description,
    },
    CallStatus {
        call: CallId,
        status: DialStatus,
    },
    CallAccepted {
        call: CallId,
        answer: Description,
    },
    CallRejected {
        call: CallId,
    },
    CallEnded {
        call: CallId,
        reason: EndNotice,
    },
    IceCandidate {
        call: CallId,
        from: UserId,
        candidate: Candidate,
    },
    Renegotiate {
        call: CallId,
        from: UserId,
        description: Description,
    },
    MediaState {
        call: CallId,
        from: UserId,
        media: MediaState,
    },
    PeerReconnecting {
        call: CallId,
    },
    PeerReconnected {
        call: CallId,
    },
    TokenExpiring {
        left: Duration,
    },
}
