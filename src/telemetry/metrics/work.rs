//! What keeps the server busy, and what it does not let itself be kept busy with.

use super::register::{Register, SHORT};
use prometheus::{Histogram, IntCounter, Result};

/// What is refused for coming too often, by the limit that was reached.
#[derive(Clone)]
pub(crate) struct Refusals {
    /// Registrations and logins of an address.
    pub(crate) login: IntCounter,
    /// Other requests of an address.
    pub(crate) api: IntCounter,
    /// Wrong passwords of an account from an address.
    pub(crate) password: IntCounter,
    /// Handshakes of Socket.IO of an address.
    pub(crate) handshake: IntCounter,
    /// CONNECTs of a transport.
    pub(crate) connect: IntCounter,
    /// Events of a socket.
    pub(crate) event: IntCounter,
    /// Joins that follow another.
    pub(crate) rejoin: IntCounter,
    /// Calls of a user.
    pub(crate) call: IntCounter,
}

impl Refusals {
    pub(super) fn new(register: &Register<'_>) -> Result<Self> {
        let refused = register.counters(
            "video_call_rate_limited_total",
            "What was refused for coming too often, by the limit that was reached.",
            &["limit"],
        )?;
        let by = |limit| refused.get_metric_with_label_values(&[limit]);
        Ok(Self {
            login: by("login")?,
            api: by("api")?,
            password: by("password")?,
            handshake: by("handshake")?,
            connect: by("connect")?,
            event: by("event")?,
            rejoin: by("rejoin")?,
            call: by("call")?,
        })
    }
}

/// Passwords are hashed.
#[derive(Clone)]
pub(crate) struct Hashing {
    /// Until the work began.
    pub(crate) wait: Histogram,
    pub(crate) work: Histogram,
    /// There was no place to wait in.
    pub(crate) no_place: IntCounter,
    /// It was not its turn in time.
    pub(crate) too_late: IntCounter,
}

impl Hashing {
    pub(super) fn new(register: &Register<'_>) -> Result<Self> {
        let refused = register.counters(
            "video_call_password_hash_refused_total",
            "Passwords that were not hashed: the queue was full, or its turn did not come in time.",
            &["reason"],
        )?;
        Ok(Self {
            wait: register.histogram(
                "video_call_password_hash_wait_seconds",
                "How long a password waited for a processor to be hashed on.",
                SHORT,
            )?,
            work: register.histogram(
                "video_call_password_hash_seconds",
                "How long argon2 took for a password.",
                SHORT,
            )?,
            no_place: refused.get_metric_with_label_values(&["queue_full"])?,
            too_late: refused.get_metric_with_label_values(&["waited_too_long"])?,
        })
    }
}

/// The journal is written.
#[derive(Clone)]
pub(crate) struct Writing {
    /// One batch, committed.
    pub(crate) commit: Histogram,
    pub(crate) rows: IntCounter,
    /// Attempts that will be repeated.
    pub(crate) failures: IntCounter,
    /// Rows that the database refuses for what they are.
    pub(crate) dropped: IntCounter,
    /// Calls that a dead server left live, closed.
    pub(crate) left_live: IntCounter,
}

impl Writing {
    pub(super) fn new(register: &Register<'_>, left_live: IntCounter) -> Result<Self> {
        Ok(Self {
            commit: register.histogram(
                "video_call_journal_commit_seconds",
                "How long it took to write a batch of history rows and commit it.",
                SHORT,
            )?,
            rows: register
                .counter("video_call_journal_rows_written_total", "History rows that were committed.")?,
            failures: register.counter(
                "video_call_journal_write_failures_total",
                "Attempts to write history that failed and are made again.",
            )?,
            dropped: register.counter(
                "video_call_journal_rows_dropped_total",
                "History rows that the database refused for what they are, and that are lost.",
            )?,
            left_live,
        })
    }
}
