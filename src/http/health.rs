//! How the server is: for people and dashboards (`/health`), for whoever restarts it (`/health/live`) and for
//! whoever sends it traffic (`/health/ready`).

use super::docs::refusals::Refusals;
use super::docs::schemas;
use super::wire::Timestamp;
use crate::app::App;
use crate::clock::Clock;
use crate::domain::ids::NodeId;
use crate::domain::time::Moment;
use crate::live::Nodes;
use crate::store::{self, Condition, Pool};
use crate::version::{REVISION, VERSION};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long what `/health` says of the process's memory is good for: the kernel adds up every mapping to tell.
const MEMORY_AGE: Duration = Duration::from_secs(1);
/// How long a probe may take before the database counts as down, and how long its result is good for.
const PROBE_TIME: Duration = Duration::from_secs(1);
/// How long to wait for a probe that takes all its time.
const ITS_TIME: Duration = Duration::from_millis(1250);
/// From this age on a result is renewed in the background, so that whoever asks steadily never waits for the database.
const RENEWAL_AGE: Duration = Duration::from_millis(500);
/// How long `/health` waits for a newer result than it has: under load the database is slow to say that it is well.
const GLANCE: Duration = Duration::from_millis(20);
/// Up to this age a result will do where a newer one takes longer than a glance.
const STALE: Duration = Duration::from_secs(3);

pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(live)).routes(routes!(ready))
}

/// Asks the database how it is, at most twice a second, and the kernel what memory we take, at most once, however many
/// want to know.
pub(crate) struct Probe {
    pool: Pool,
    clock: Clock,
    last: watch::Sender<Option<(Moment, Condition)>>,
    is_asking: AtomicBool,
    memory: Mutex<Option<(Moment, Option<Memory>)>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Health)]
struct HealthBody {
    /// `OK`, or `DEGRADED` while the database or Redis is down.
    #[schema(value_type = HealthStatus)]
    status: &'static str,
    timestamp: Timestamp,
    /// In seconds.
    #[schema(minimum = 0)]
    uptime: f64,
    /// Where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    memory: Option<Memory>,
    /// On every node together.
    active_users: usize,
    active_calls: usize,
    /// With `REDIS_URL` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cluster: Option<ClusterBody>,
    #[schema(value_type = DatabaseStatus)]
    database: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit it was built from.
    #[schema(example = "0123456789ab")]
    revision: &'static str,
}

/// This node and the others.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
struct ClusterBody {
    /// Which node answers.
    #[schema(value_type = uuid::Uuid)]
    node_id: NodeId,
    /// How many are alive, this one included, as far as it knows.
    #[schema(minimum = 1)]
    nodes: usize,
    #[schema(value_type = DatabaseStatus)]
    redis: &'static str,
    /// Who is connected to this node.
    node_users: usize,
    /// The calls that live on it.
    node_calls: usize,
}

impl ClusterBody {
    fn of(nodes: Nodes, (node_users, node_calls): (usize, usize)) -> Self {
        let redis = if nodes.is_up { "up" } else { "down" };
        Self { node_id: nodes.id, nodes: nodes.others + 1, redis, node_users, node_calls }
    }
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "the names are for the document alone")]
enum HealthStatus {
    #[schema(rename = "OK")]
    Ok,
    #[schema(rename = "DEGRADED")]
    Degraded,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the names are for the document alone")]
enum DatabaseStatus {
    Up,
    Down,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Memory {
    rss: u64,
    peak_rss: u64,
    #[serde(rename = "virtual")]
    virtual_size: u64,
}

/// For a probe.
#[derive(Serialize, ToSchema)]
#[schema(as = Probe)]
pub(super) struct Plain {
    #[schema(example = "ready")]
    status: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "draining")]
    reason: Option<&'static str>,
}

/// How the server is
///
/// for people and dashboards: 200 also while the database is down.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "operations",
    responses((status = 200, description = "It answers", body = HealthBody), Refusals<()>),
)]
async fn show(State(app): State<Arc<App>>) -> Json<HealthBody> {
    let up = app.probe.glance().await != Condition::Down;
    app.live.caught_up().await;
    let now = app.clock.now();
    let cluster = app.live.nodes();
    Json(HealthBody {
        status: if up && cluster.as_ref().is_none_or(|cluster| cluster.is_up) { "OK" } else { "DEGRADED" },
        timestamp: Timestamp(now.wall),
        uptime: now.since(app.started).as_secs_f64(),
        memory: app.probe.memory(now),
        active_users: app.live.active_users(),
        active_calls: app.live.active_calls(),
        cluster: cluster.map(|nodes| ClusterBody::of(nodes, app.live.here())),
        database: if up { "up" } else { "down" },
        version: VERSION,
        revision: REVISION,
    })
}

/// Whether the process lives
///
/// for whoever restarts it.
#[utoipa::path(
    get, path = "/health/live", operation_id = "live", tag = "operations",
    responses((status = 200, description = "It does", body = Plain), Refusals<()>),
)]
async fn live() -> Json<Plain> {
    Json(Plain { status: "live", reason: None })
}

/// Whether it wants traffic
///
/// for whoever sends it: not while the database is down or its schema is behind, nor while the server goes down.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "ready", tag = "operations",
    responses((status = 200, description = "It does", body = Plain), Refusals<()>, schemas::NotReady),
)]
async fn ready(State(app): State<Arc<App>>) -> Response {
    let reason = match app.probe.condition(ITS_TIME).await {
        _ if app.draining.load(Ordering::Relaxed) => "draining",
        Condition::Down => "database down",
        Condition::Behind => "migrations pending",
        Condition::Ready => return Json(Plain { status: "ready", reason: None }).into_response(),
    };
    let body = Json(Plain { status: "unavailable", reason: Some(reason) });
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], body).into_response()
}

impl Probe {
    pub(crate) fn new(pool: Pool, clock: Clock) -> Arc<Self> {
        let (last, is_asking, memory) = (watch::Sender::default(), AtomicBool::new(false), Mutex::default());
        Arc::new(Self { pool, clock, last, is_asking, memory })
    }

    /// How the database was when it was asked last.
    pub(crate) fn last(&self) -> Option<Condition> {
        self.last.borrow().map(|(_, condition)| condition)
    }

    /// As `condition`, for those who look in passing.
    pub(crate) async fn glance(self: &Arc<Self>) -> Condition {
        self.condition(GLANCE).await
    }

    /// How the database is, or was a moment ago where that takes longer than `patience` to find out.
    async fn condition(self: &Arc<Self>, patience: Duration) -> Condition {
        let known = *self.last.borrow();
        let age = known.map(|(at, _)| self.clock.now().since(at));
        if let Some((_, condition)) = known
            && age.is_some_and(|age| age < PROBE_TIME)
        {
            if age.is_some_and(|age| age >= RENEWAL_AGE) {
                self.ask();
            }
            return condition;
        }
        let mut answers = self.last.subscribe();
        self.ask();
        let recent = known.filter(|_| age.is_some_and(|age| age < STALE));
        let patience = if recent.is_some() { patience } else { ITS_TIME };
        let answered = timeout(patience, answers.changed()).await;
        let latest = if matches!(answered, Ok(Ok(()))) { *answers.borrow() } else { recent };
        latest.map_or(Condition::Down, |(_, condition)| condition)
    }

    fn memory(&self, now: Moment) -> Option<Memory> {
        let mut last = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, memory)) if now.since(at) < MEMORY_AGE => memory,
            _ => last.insert((now, Memory::read())).1,
        }
    }

    /// Asks the database, unless it is being asked already.
    fn ask(self: &Arc<Self>) {
        if self.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let probe = Arc::clone(self);
        tokio::spawn(async move {
            let condition = timeout(PROBE_TIME, store::probe(&probe.pool)).await.unwrap_or(Condition::Down);
            // In this order: whoever begins to wait after the answer asks anew.
            probe.is_asking.store(false, Ordering::Release);
            probe.last.send_replace(Some((probe.clock.now(), condition)));
        });
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
    use chrono::DateTime;

    #[tokio::test]
    async fn a_slow_database_is_as_it_was_a_moment_ago_until_it_has_answered() {
        let clock = Clock::held(DateTime::UNIX_EPOCH);
        // It takes 50 ms to find out that nobody is there.
        let probe = Probe::new(store::nowhere(), clock.clone());
        probe.last.send_replace(Some((clock.now(), Condition::Ready)));
        clock.advance(PROBE_TIME);
        assert_eq!(probe.condition(Duration::ZERO).await, Condition::Ready);
        assert_eq!(probe.condition(ITS_TIME).await, Condition::Down);
        assert_eq!(probe.condition(Duration::ZERO).await, Condition::Down);
    }

    #[tokio::test]
    async fn a_result_is_renewed_in_the_background_before_anybody_has_to_wait_for_it() {
        let clock = Clock::held(DateTime::UNIX_EPOCH);
        let probe = Probe::new(store::nowhere(), clock.clone());
        probe.last.send_replace(Some((clock.now(), Condition::Ready)));
        let mut answers = probe.last.subscribe();
        clock.advance(RENEWAL_AGE);
        assert_eq!(probe.condition(ITS_TIME).await, Condition::Ready);
        answers.changed().await.unwrap();
        assert_eq!(probe.condition(Duration::ZERO).await, Condition::Down);
    }

    #[tokio::test]
    async fn what_is_known_from_long_ago_is_asked_anew() {
        let clock = Clock::held(DateTime::UNIX_EPOCH);
        let probe = Probe::new(store::nowhere(), clock.clone());
        probe.last.send_replace(Some((clock.now(), Condition::Ready)));
        clock.advance(STALE);
        assert_eq!(probe.condition(Duration::ZERO).await, Condition::Down);
    }

    #[tokio::test]
    async fn memory_is_looked_at_once_a_second() {
        let clock = Clock::held(DateTime::UNIX_EPOCH);
        let probe = Probe::new(store::nowhere(), clock.clone());
        *probe.memory.lock().unwrap() = Some((clock.now(), None));
        assert_eq!(probe.memory(clock.now()), None);
        clock.advance(MEMORY_AGE);
        assert!(probe.memory(clock.now()).is_some());
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status =
            "Name:\tx\nVmSize:\t  6120 kB\nVmHWM:\t     1820 kB\nVmRSS:\t     1750 kB\nThreads:\t1\n";
        let memory = Memory { rss: 1_792_000, peak_rss: 1_863_680, virtual_size: 6_266_880 };
        assert_eq!(Memory::parse(status), Some(memory));
        assert_eq!(Memory::parse("Name:\tx\n"), None);
    }
}
