//! A call as history keeps it.

use super::ending::EndReason;
use crate::domain::ids::{CallId, UserId};
use crate::domain::media::CallType;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

/// The `status` of a history row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CallStatus {
    Ringing,
    Active,
    Completed,
    Rejected,
    Cancelled,
    Missed,
    Failed,
}

impl CallStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// The whole history row as it stands at one instant. A later one of the same call replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallRecord {
    pub(crate) id: CallId,
    pub(crate) caller: UserId,
    pub(crate) callee: UserId,
    pub(crate) call_type: CallType,
    pub(crate) status: CallStatus,
    pub(crate) end_reason: Option<EndReason>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) answered_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// Somebody was rung. Not on record: it is for who watches the server.
    pub(crate) rang: bool,
}
