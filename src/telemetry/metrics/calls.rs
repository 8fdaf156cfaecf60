//! How calls begin and end.

use super::register::{Register, SHORT};
use crate::domain::call::{CallRecord, CallStatus, EndReason};
use chrono::{DateTime, Utc};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Result};
use std::time::Duration;

/// Seconds that a telephone rings.
const RINGING: &[f64] = &[0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0];
/// Seconds that people talk.
const TALKING: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0];

/// How calls end, as history has it: there from the start, so that the first of a kind is an increase, too.
const ENDINGS: [(&str, &str); 14] = [
    ("completed", "hangup"),
    ("completed", "connection_lost"),
    ("completed", "session_revoked"),
    ("completed", "server_shutdown"),
    ("rejected", "rejected"),
    ("cancelled", "cancelled"),
    ("cancelled", "hangup"),
    ("cancelled", "connection_lost"),
    ("cancelled", "session_revoked"),
    ("missed", "no_answer"),
    ("missed", "user_offline"),
    ("missed", "user_busy"),
    ("failed", "server_shutdown"),
    LEFT_LIVE,
];
const LEFT_LIVE: (&str, &str) = ("failed", "server_restart");

/// Counts what becomes of calls.
#[derive(Clone)]
pub(crate) struct Calls {
    ended: IntCounterVec,
    set_up: Histogram,
    accept: Histogram,
    ring: HistogramVec,
    talk: Histogram,
    too_many: IntCounter,
}

impl Calls {
    pub(super) fn new(register: &Register<'_>, too_many: IntCounter) -> Result<Self> {
        let ended = register.counters(
            "video_call_calls_ended_total",
            "Calls that are over, by status and end reason as in the table of calls.",
            &["status", "end_reason"],
        )?;
        for (status, reason) in ENDINGS {
            ended.get_metric_with_label_values(&[status, reason])?;
        }
        let ring = register.histograms(
            "video_call_call_ring_seconds",
            "From the beginning of a call to its answer, or its end without one; calls that never rang left out.",
            &["outcome"],
            RINGING,
        )?;
        for outcome in ["answered", "rejected", "cancelled", "missed", "failed"] {
            ring.get_metric_with_label_values(&[outcome])?;
        }
        Ok(Self {
            too_many,
            ended,
            ring,
            set_up: register.histogram(
                "video_call_call_setup_seconds",
                "From call_user received to incoming_call sent, with the commit in between.",
                SHORT,
            )?,
            accept: register.histogram(
                "video_call_call_accept_seconds",
                "From accept_call received to call_accepted sent.",
                SHORT,
            )?,
            talk: register.histogram(
                "video_call_call_talk_seconds",
                "From the answer of a call to its end.",
                TALKING,
            )?,
        })
    }

    /// For those who do not look at them.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn unread() -> Self {
        static UNREAD: std::sync::LazyLock<Calls> = std::sync::LazyLock::new(|| {
            let registry = prometheus::Registry::new();
            let made = IntCounter::new("refused", "refused")
                .and_then(|refused| Calls::new(&Register(&registry), refused));
            let Ok(calls) = made else { unreachable!("their names are constants") };
            calls
        });
        UNREAD.clone()
    }

    /// Of calls that a dead server left live.
    pub(super) fn left_live(&self) -> Result<IntCounter> {
        let (status, reason) = LEFT_LIVE;
        self.ended.get_metric_with_label_values(&[status, reason])
    }

    /// A user asks for more calls than are allowed.
    pub(crate) fn too_many(&self) {
        self.too_many.inc();
    }

    /// The callee's devices ring, this long after the call was asked for.
    pub(crate) fn rang(&self, after: Duration) {
        self.set_up.observe(after.as_secs_f64());
    }

    /// The caller knows of the answer, this long after it was given.
    pub(crate) fn accepted(&self, after: Duration) {
        self.accept.observe(after.as_secs_f64());
    }

    /// The call changed state.
    pub(crate) fn changed(&self, row: &CallRecord) {
        match (row.status, row.end_reason) {
            (CallStatus::Ringing, _) => {}
            (CallStatus::Active, _) => self.rang_until("answered", row, row.answered_at),
            (status, Some(reason)) => self.ended(row, status, reason),
            (status, None) => tracing::error!(status = status.as_str(), "a call that ended for no reason"),
        }
    }

    fn ended(&self, row: &CallRecord, status: CallStatus, reason: EndReason) {
        self.ended.with_label_values(&[status.as_str(), reason.as_str()]).inc();
        if let (Some(answered), Some(ended)) = (row.answered_at, row.ended_at) {
            self.talk.observe(seconds(answered, ended));
        } else if row.rang {
            self.rang_until(status.as_str(), row, row.ended_at);
        }
    }

    fn rang_until(&self, outcome: &str, row: &CallRecord, until: Option<DateTime<Utc>>) {
        if let Some(until) = until {
            self.ring.with_label_values(&[outcome]).observe(seconds(row.started_at, until));
        }
    }
}

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).to_std().unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CallId, UserId};
    use crate::domain::media::CallType;
    use crate::telemetry::metrics::Metrics;

    fn row(
        status: CallStatus,
        reason: Option<EndReason>,
        answered: Option<i64>,
        ended: Option<i64>,
    ) -> CallRecord {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        CallRecord {
            id: CallId::new(),
            caller: UserId::new(),
            callee: UserId::new(),
            call_type: CallType::Audio,
            status,
            end_reason: reason,
            started_at: at(100),
            answered_at: answered.map(at),
            ended_at: ended.map(at),
            rang: true,
        }
    }

    #[test]
    fn a_call_rings_until_it_is_answered_or_over_and_talks_from_there() {
        let metrics = Metrics::new().unwrap();
        let calls = &metrics.calls;
        calls.changed(&row(CallStatus::Ringing, None, None, None));
        calls.changed(&row(CallStatus::Active, None, Some(104), None));
        calls.changed(&row(CallStatus::Completed, Some(EndReason::Hangup), Some(104), Some(134)));
        calls.changed(&row(CallStatus::Missed, Some(EndReason::NoAnswer), None, Some(160)));
        for (status, reason) in
            [(CallStatus::Missed, EndReason::UserBusy), (CallStatus::Cancelled, EndReason::Cancelled)]
        {
            let unheard = row(status, Some(reason), None, Some(105));
            calls.changed(&CallRecord { rang: false, ..unheard });
        }
        let text = metrics.render().unwrap();
        for line in [
            r#"video_call_calls_ended_total{end_reason="hangup",status="completed"} 1"#,
            r#"video_call_calls_ended_total{end_reason="no_answer",status="missed"} 1"#,
            r#"video_call_calls_ended_total{end_reason="user_busy",status="missed"} 1"#,
            r#"video_call_calls_ended_total{end_reason="server_restart",status="failed"} 0"#,
            r#"video_call_call_ring_seconds_sum{outcome="answered"} 4"#,
            r#"video_call_call_ring_seconds_count{outcome="answered"} 1"#,
            r#"video_call_call_ring_seconds_sum{outcome="missed"} 60"#,
            r#"video_call_call_ring_seconds_count{outcome="missed"} 1"#,
            r#"video_call_call_ring_seconds_count{outcome="cancelled"} 0"#,
            "video_call_call_talk_seconds_sum 30",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} in {text}");
        }
    }
}
