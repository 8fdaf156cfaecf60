//! What the log says of joins and calls: ids only, each call in a span of its own.

use crate::domain::call::{CallRecord, CallStatus, EndReason};
use crate::domain::switchboard::Joining;
use tracing::{info, info_span};

pub(super) fn join(joining: &Joining) {
    info!(user = %joining.user.id, device = %joining.device, session = %joining.session, "user joins");
}

/// The call changed state.
pub(super) fn call(row: &CallRecord) {
    let _span = info_span!("call", id = %row.id).entered();
    match row.status {
        CallStatus::Ringing => {
            info!(caller = %row.caller, callee = %row.callee, call_type = row.call_type.as_str(), "call dialled");
        }
        CallStatus::Active => info!("call answered"),
        CallStatus::Completed
        | CallStatus::Rejected
        | CallStatus::Cancelled
        | CallStatus::Missed
        | CallStatus::Failed => {
            info!(status = row.status.as_str(), reason = row.end_reason.map(EndReason::as_str), "call ended");
        }
    }
}
