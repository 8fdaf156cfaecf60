//! How a call ends, and what that makes of its history row.

use super::record::CallStatus;

/// The `end_reason` of a history row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    Hangup,
    Rejected,
    Cancelled,
    NoAnswer,
    UserOffline,
    UserBusy,
    ConnectionLost,
    ServerShutdown,
    SessionRevoked,
}

impl EndReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::NoAnswer => "no_answer",
            Self::UserOffline => "user_offline",
            Self::UserBusy => "user_busy",
            Self::ConnectionLost => "connection_lost",
            Self::ServerShutdown => "server_shutdown",
            Self::SessionRevoked => "session_revoked",
        }
    }
}

/// A call's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    pub(crate) answered: bool,
}

impl Ending {
    /// An answered call ends as completed, whatever ended it.
    pub(crate) fn status(self) -> CallStatus {
        if self.answered {
            return CallStatus::Completed;
        }
        match self.reason {
            EndReason::Rejected => CallStatus::Rejected,
            EndReason::Hangup
            | EndReason::Cancelled
            | EndReason::ConnectionLost
            | EndReason::SessionRevoked => CallStatus::Cancelled,
            EndReason::NoAnswer | EndReason::UserOffline | EndReason::UserBusy => CallStatus::Missed,
            EndReason::ServerShutdown => CallStatus::Failed,
        }
    }
}
