//! What is so at a moment, for whoever scrapes: read from where it is, and not counted a second time.

use crate::app::App;
use crate::cluster::{Cluster, Counts};
use crate::error::Result;
use crate::live::Live;
use crate::server::Registry;
use crate::socket::Outbox;
use crate::store::journal::Journal;
use crate::store::{Condition, pool};
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::Handle;

/// Puts everything there is to read into the metrics. None of it may keep the [`App`], which keeps the metrics.
pub(crate) fn register(
    app: &App,
    outbox: &Arc<Outbox>,
    journal: &Journal,
    connections: &Arc<Registry>,
) -> Result<()> {
    of_connections(&app.metrics, outbox, connections)?;
    of_live(&app.metrics, &app.live)?;
    if let Some(cluster) = app.live.cluster() {
        of_cluster(&app.metrics, cluster)?;
    }
    of_history(&app.metrics, &app.live, journal)?;
    of_database(app)?;
    of_passwords(app)?;
    of_process(app)
}

fn of_connections(metrics: &Metrics, outbox: &Arc<Outbox>, connections: &Arc<Registry>) -> Result<()> {
    let outbox = Arc::clone(outbox);
    metrics.gauges(
        "video_call_sockets",
        "Connected sockets, joined or not, by transport.",
        "transport",
        move || {
            let [websocket, polling] = outbox.transports();
            vec![("websocket", number(websocket)), ("polling", number(polling))]
        },
    )?;
    let open = Arc::clone(connections);
    metrics.gauge("video_call_tcp_connections", "TCP connections to the main port.", move || {
        number(open.len())
    })?;
    let refused = Arc::clone(connections);
    metrics.counter(
        "video_call_tcp_connections_refused_total",
        "TCP connections that were closed as they came, since there were too many, in all or of one address.",
        move || large(refused.refused()),
    )
}

fn of_live(metrics: &Metrics, live: &Arc<Live>) -> Result<()> {
    let of = Arc::clone(live);
    metrics.gauge("video_call_users_online", "Users with a joined device, on whatever node.", move || {
        number(of.active_users())
    })?;
    let of = Arc::clone(live);
    metrics.gauge("video_call_devices_joined", "Sockets that have joined, on this node.", move || {
        number(of.device_count())
    })?;
    let of = Arc::clone(live);
    metrics.gauges(
        "video_call_calls",
        "Calls that live on this node by state; dialling: not on record yet, so nobody is rung.",
        "state",
        move || {
            let states = of.calls_by_state();
            vec![
                ("dialling", number(states.dialling)),
                ("ringing", number(states.ringing)),
                ("active", number(states.active)),
            ]
        },
    )
}

fn of_cluster(metrics: &Metrics, cluster: &Arc<Cluster>) -> Result<()> {
    let of = Arc::clone(cluster);
    metrics.gauge(
        "video_call_cluster_nodes",
        "Nodes that are alive, this one included, as far as it knows.",
        move || number(of.peers().len() + 1),
    )?;
    let of = Arc::clone(cluster);
    metrics.gauge("video_call_cluster_redis_up", "Whether Redis answers.", move || truth(of.is_up()))?;
    let of = Arc::clone(cluster);
    metrics.gauge("video_call_cluster_backlog_steps", "What waits to be sent to Redis.", move || {
        number(of.backlog())
    })?;
    for (name, help, read) in [
        (
            "video_call_cluster_letters_sent_total",
            "Letters to other nodes.",
            Counts::sent as fn(&Counts) -> u64,
        ),
        ("video_call_cluster_letters_received_total", "Letters of other nodes.", Counts::received),
        (
            "video_call_cluster_letters_missed_total",
            "Letters of other nodes that never came.",
            Counts::missed,
        ),
        (
            "video_call_cluster_calls_adopted_total",
            "Calls taken over from nodes that are gone.",
            Counts::adopted,
        ),
    ] {
        let of = Arc::clone(cluster);
        metrics.counter(name, help, move || large(read(&of.counts)))?;
    }
    Ok(())
}

fn of_history(metrics: &Metrics, live: &Arc<Live>, journal: &Journal) -> Result<()> {
    let of = Arc::clone(live);
    metrics.gauge("video_call_journal_rows", "History rows that are not committed yet.", move || {
        number(of.history_lag().rows)
    })?;
    let of = Arc::clone(live);
    metrics.gauge(
        "video_call_journal_bytes",
        "The memory that history rows take which are not committed yet.",
        move || number(of.history_lag().bytes),
    )?;
    let of = Arc::clone(live);
    metrics.gauge(
        "video_call_journal_age_seconds",
        "How long the oldest of these rows has waited.",
        move || of.history_lag().age.as_secs_f64(),
    )?;
    let capacity = number(journal.capacity());
    metrics.gauge(
        "video_call_journal_capacity_rows",
        "History rows that may wait before new calls are refused.",
        move || capacity,
    )
}

fn of_database(app: &App) -> Result<()> {
    let of = app.pool.clone();
    app.metrics.gauges(
        "video_call_database_pool_connections",
        "Connections of the pool to PostgreSQL.",
        "state",
        move || {
            let usage = pool::usage(&of);
            vec![("idle", f64::from(usage.idle)), ("busy", f64::from(usage.busy))]
        },
    )?;
    let limit = f64::from(pool::usage(&app.pool).limit);
    app.metrics.gauge(
        "video_call_database_pool_limit_connections",
        "Connections that the pool may have.",
        move || limit,
    )?;
    let probe = Arc::clone(&app.probe);
    app.metrics.gauge("video_call_database_up", "Whether PostgreSQL answers.", move || {
        truth(probe.last().is_some_and(|condition| condition != Condition::Down))
    })?;
    let (probe, draining) = (Arc::clone(&app.probe), Arc::clone(&app.draining));
    app.metrics.gauge("video_call_ready", "Whether /health/ready says so.", move || {
        truth(probe.last() == Some(Condition::Ready) && !draining.load(Ordering::Relaxed))
    })
}

fn of_passwords(app: &App) -> Result<()> {
    let passwords = app.accounts.hashing();
    app.metrics.gauges(
        "video_call_password_hash_jobs",
        "Passwords that are being hashed, and that wait to be.",
        "state",
        move || {
            let load = passwords.load();
            vec![("running", number(load.running)), ("waiting", number(load.waiting))]
        },
    )?;
    let queue = number(app.accounts.hashing().load().queue);
    app.metrics.gauge(
        "video_call_password_hash_queue_limit",
        "Passwords that may wait to be hashed; more are refused.",
        move || queue,
    )
}

fn of_process(app: &App) -> Result<()> {
    let started = app.started.wall;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this millennium fit")]
    let started = started.timestamp_millis() as f64 / 1e3;
    app.metrics.gauge(
        "process_start_time_seconds",
        "When the server started, since the Unix epoch.",
        move || started,
    )?;
    let runtime = Handle::current().metrics();
    app.metrics.gauge("video_call_tokio_tasks", "Tasks of the runtime that are alive.", move || {
        number(runtime.num_alive_tasks())
    })?;
    let runtime = Handle::current().metrics();
    app.metrics.gauge(
        "video_call_tokio_queued_tasks",
        "Tasks that wait in the runtime's common queue.",
        move || number(runtime.global_queue_depth()),
    )?;
    let workers = number(Handle::current().metrics().num_workers());
    app.metrics.gauge("video_call_tokio_workers", "Threads that tasks run on.", move || workers)
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn number(value: usize) -> f64 {
    large(value as u64)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn large(value: u64) -> f64 {
    value as f64
}
