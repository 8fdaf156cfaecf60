//! How the server is: for people and dashboards (`/health`), for whoever restarts it (`/health/live`) and for
//! whoever sends it traffic (`/health/ready`).

use super::wire::Timestamp;
use crate::app::App;
use crate::clock::Clock;
use crate::domain::time::Moment;
use crate::store::{self, Condition, Pool};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a probe may take before the database counts as down, and how long its result is good for.
const PROBE_TIME: Duration = Duration::from_secs(1);

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(show))
        .route("/health/live", get(async || Json(Plain { status: "live", reason: None })))
        .route("/health/ready", get(ready))
}

/// Asks the database how it is, at most once a second however many want to know.
pub(crate) struct Probe {
    pool: Pool,
    clock: Clock,
    last: Mutex<Option<(Moment, Condition)>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthBody {
    status: &'static str,
    timestamp: Timestamp,
    /// In seconds.
    uptime: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    active_users: usize,
    active_calls: usize,
    database: &'static str,
    version: &'static str,
}

/// In bytes.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    rss: u64,
    peak_rss: u64,
    #[serde(rename = "virtual")]
    virtual_size: u64,
}

#[derive(Serialize)]
struct Plain {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

async fn show(State(app): State<Arc<App>>) -> Json<HealthBody> {
    let up = app.probe.condition().await != Condition::Down;
    let now = app.clock.now();
    Json(HealthBody {
        status: if up { "OK" } else { "DEGRADED" },
        timestamp: Timestamp(now.wall),
        uptime: now.since(app.started).as_secs_f64(),
        memory: Memory::read(),
        active_users: app.live.active_users(),
        active_calls: app.live.active_calls(),
        database: if up { "up" } else { "down" },
        version: env!("CARGO_PKG_VERSION"),
    })
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let reason = match app.probe.condition().await {
        _ if app.draining.load(Ordering::Relaxed) => "draining",
        Condition::Down => "database down",
        Condition::Behind => "migrations pending",
        Condition::Ready => return Json(Plain { status: "ready", reason: None }).into_response(),
    };
    let body = Json(Plain { status: "unavailable", reason: Some(reason) });
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], body).into_response()
}

impl Probe {
    pub(crate) fn new(pool: Pool, clock: Clock) -> Self {
        Self { pool, clock, last: Mutex::default() }
    }

    async fn condition(&self) -> Condition {
        // Those who come during a probe wait for its result.
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        if let Some((at, condition)) = *last
            && now.since(at) < PROBE_TIME
        {
            return condition;
        }
        let condition =
            tokio::time::timeout(PROBE_TIME, store::probe(&self.pool)).await.unwrap_or(Condition::Down);
        *last = Some((self.clock.now(), condition));
        condition
    }
}

impl Memory {
    /// Where the system tells.
    fn read() -> Option<Self> {
        // procfs answers from memory: reading it does not block.
        Self::parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    /// `status` gives kilobytes; `statm` gives pages, whose size differs between machines.
    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kilobytes * 1024)
        };
        Some(Self { rss: bytes("VmRSS:")?, peak_rss: bytes("VmHWM:")?, virtual_size: bytes("VmSize:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_bytes() {
        let status =
            "Name:\tx\nVmSize:\t  6120 kB\nVmHWM:\t     1820 kB\nVmRSS:\t     1750 kB\nThreads:\t1\n";
        let memory = Memory { rss: 1_792_000, peak_rss: 1_863_680, virtual_size: 6_266_880 };
        assert_eq!(Memory::parse(status), Some(memory));
        assert_eq!(Memory::parse("Name:\tx\n"), None);
    }
}
