//! What clients send on their sockets, and how it is answered.

use super::register::Register;
use crate::error::Error;
use prometheus::{IntCounter, IntCounterVec, Result};

/// The events there are. Whatever else a client may call one is a single value: its names are its own invention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketEvent {
    Join,
    CallUser,
    AcceptCall,
    RejectCall,
    EndCall,
    IceCandidate,
    Renegotiate,
    MediaState,
    WatchUsers,
    Authenticate,
    Ping,
    Unknown,
}

impl SocketEvent {
    pub(crate) const ALL: [Self; 12] = [
        Self::Join,
        Self::CallUser,
        Self::AcceptCall,
        Self::RejectCall,
        Self::EndCall,
        Self::IceCandidate,
        Self::Renegotiate,
        Self::MediaState,
        Self::WatchUsers,
        Self::Authenticate,
        Self::Ping,
        Self::Unknown,
    ];

    pub(crate) fn named(name: &str) -> Self {
        match name {
            "ice_candidate" => Self::IceCandidate,
            "join" => Self::Join,
            "call_user" => Self::CallUser,
            "accept_call" => Self::AcceptCall,
            "reject_call" => Self::RejectCall,
            "end_call" => Self::EndCall,
            "renegotiate" => Self::Renegotiate,
            "media_state" => Self::MediaState,
            "watch_users" => Self::WatchUsers,
            "authenticate" => Self::Authenticate,
            "ping" => Self::Ping,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::CallUser => "call_user",
            Self::AcceptCall => "accept_call",
            Self::RejectCall => "reject_call",
            Self::EndCall => "end_call",
            Self::IceCandidate => "ice_candidate",
            Self::Renegotiate => "renegotiate",
            Self::MediaState => "media_state",
            Self::WatchUsers => "watch_users",
            Self::Authenticate => "authenticate",
            Self::Ping => "ping",
            Self::Unknown => "unknown",
        }
    }
}

/// The codes a socket may hear, and `internal`, which it hears as `unavailable`.
const CODES: [&str; 14] = [
    "validation_failed",
    "unauthorized",
    "token_expired",
    "session_revoked",
    "identity_mismatch",
    "not_joined",
    "not_found",
    "invalid_state",
    "self_call",
    "payload_too_large",
    "rate_limited",
    "unknown_event",
    "unavailable",
    "internal",
];

/// A counter for each way something may go.
#[derive(Clone)]
pub(crate) struct Outcomes {
    ok: IntCounter,
    failed: [IntCounter; CODES.len()],
    /// A code that is not foreseen here.
    other: IntCounter,
}

impl Outcomes {
    /// `labels`: what stands before the result.
    pub(super) fn new(counters: &IntCounterVec, labels: &[&str]) -> Result<Self> {
        let of = |result| counters.get_metric_with_label_values(&[labels, &[result]].concat());
        let other = of("other")?;
        let mut failed = CODES.map(|_| other.clone());
        for (counter, code) in failed.iter_mut().zip(CODES) {
            *counter = of(code)?;
        }
        Ok(Self { ok: of("ok")?, failed, other })
    }

    pub(crate) fn succeeded(&self) {
        self.ok.inc();
    }

    pub(crate) fn failed(&self, error: &Error) {
        let code = error.code();
        let known = CODES.iter().position(|known| *known == code).and_then(|place| self.failed.get(place));
        known.unwrap_or(&self.other).inc();
    }
}

/// Events by name and result.
#[derive(Clone)]
pub(crate) struct Events([Outcomes; SocketEvent::ALL.len()]);

impl Events {
    pub(super) fn new(register: &Register<'_>) -> Result<Self> {
        let counters = register.counters(
            "video_call_socket_events_total",
            "Events that clients sent, by name and result: ok, or the code of the failure.",
            &["event", "result"],
        )?;
        let first = Outcomes::new(&counters, &[SocketEvent::Unknown.as_str()])?;
        let mut all = SocketEvent::ALL.map(|_| first.clone());
        for (outcomes, event) in all.iter_mut().zip(SocketEvent::ALL) {
            *outcomes = Outcomes::new(&counters, &[event.as_str()])?;
        }
        Ok(Self(all))
    }

    /// The counters of an event.
    pub(crate) fn of(&self, event: SocketEvent) -> Option<&Outcomes> {
        self.0.get(event as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn every_event_has_its_place_and_its_name() {
        for (place, event) in SocketEvent::ALL.into_iter().enumerate() {
            assert_eq!((event as usize, SocketEvent::named(event.as_str())), (place, event));
        }
        assert_eq!(SocketEvent::named("Join"), SocketEvent::Unknown);
    }

    #[test]
    fn an_event_is_counted_by_its_name_and_how_it_went() {
        let metrics = Metrics::new().unwrap();
        let joins = metrics.events.of(SocketEvent::Join).unwrap();
        joins.succeeded();
        joins.failed(&Error::TokenExpired);
        joins.failed(&Error::TokenExpired);
        joins.failed(&Error::AccountDisabled);
        let text = metrics.render().unwrap();
        for line in [
            r#"video_call_socket_events_total{event="join",result="ok"} 1"#,
            r#"video_call_socket_events_total{event="join",result="token_expired"} 2"#,
            r#"video_call_socket_events_total{event="join",result="other"} 1"#,
            r#"video_call_socket_events_total{event="unknown",result="token_expired"} 0"#,
        ] {
            assert!(text.lines().any(|there| there == line), "{line} in {text}");
        }
    }
}
