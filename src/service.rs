//! The server as a whole: what starts after what, and what stops before what.

use crate::app::App;
use crate::clock::Clock;
use crate::cluster::{Cluster, Tasks};
use crate::config::{AppEnv, Config};
use crate::domain::call::Rules;
use crate::domain::ids::NodeId;
use crate::domain::rate::Rate;
use crate::http;
use crate::live::Live;
use crate::server::{self, Limits, Registry, Tls, read_pair};
use crate::socket::{Outbox, Sockets};
use crate::store::journal::{Coroner, Journal, Writer};
use crate::store::pool;
use crate::telemetry::{self, metrics, metrics::Metrics};
use crate::version::{REVISION, VERSION};
use crate::vitals;
use secrecy::SecretString;
use socketioxide::SocketIo;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// Connections of the pool; the journal and the watch on revocations have one each of their own.
const POOL_SIZE: u32 = 10;
/// Of the time for a shutdown, what the connections may take before they are cut.
const DRAIN_SHARE: u32 = 2;
/// How long clients may take to fetch the end of their calls: who uses long-polling is always between two requests
/// now and then, and would find the door shut.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why the server does not start, in one line.
pub type StartError = Box<dyn Error + Send + Sync>;

/// A running server.
pub struct Service {
    app: Arc<App>,
    address: SocketAddr,
    metrics: Option<MetricsPort>,
    io: SocketIo,
    stop_serving: CancellationToken,
    serving: JoinHandle<()>,
    stop_writing: CancellationToken,
    writing: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
    journal: Journal,
}

impl Service {
    /// Starts to serve on `HOST` and `PORT`, with the history in the database at `url`.
    pub async fn start(config: Config, url: SecretString, clock: Clock) -> Result<Self, StartError> {
        // First of all: a taken port should not migrate anything.
        let listener = server::bind(config.host, config.port)?;
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let address = listener.local_addr()?;
        let metrics_listener = config.metrics_addr.map(server::bind_metrics).transpose()?;
        let metrics = Metrics::new()?;
        pool::migrate(&url).await?;
        let pool = pool::connect(&url, POOL_SIZE).await?;
        let journal = Journal::new(config.journal_capacity);
        let node = NodeId::new();
        let cluster = enter_cluster(config.redis_url.as_ref(), node, &clock).await?;
        let coroner = cluster.as_ref().map(|(cluster, _)| coroner(cluster));
        let writer = Writer::start(journal.clone(), url, node, metrics.writing.clone(), coroner).await?;

        let config = Arc::new(config);
        let outbox = Arc::new(Outbox::default());
        let (cluster, tasks) = cluster.unzip();
        let (sink, calls) = (outbox.clone(), metrics.calls.clone());
        let live = live(&config, node, clock.clone(), journal.clone(), sink, calls, cluster);
        let app = App::new(Arc::clone(&config), clock, pool, Arc::clone(&live), metrics)?;
        let connections = Registry::new(limits(&config));
        vitals::register(&app, &outbox, &journal, &connections)?;
        let sockets = Sockets::new(Arc::clone(&app), outbox);
        let (layer, io) = sockets.layer();
        let service = http::wrap(layer.layer(http::router(Arc::clone(&app))), &app);

        let mut background = meet_others(&app, tasks).await?;
        let (stop_serving, stop_writing) = (CancellationToken::new(), CancellationToken::new());
        let drain = config.shutdown_timeout / DRAIN_SHARE;
        let serving = tokio::spawn(server::serve(
            listener,
            tls.clone(),
            service,
            connections,
            stop_serving.clone(),
            drain,
        ));
        let writing = tokio::spawn(writer.run(stop_writing.clone()));
        background.extend(beside(&app, sockets, tls.as_ref()));
        tracing::info!(%address, tls = tls.is_some(), version = VERSION, revision = REVISION, "serving");
        let metrics = metrics_listener.map(|listener| MetricsPort::serve(listener, &app)).transpose()?;
        Ok(Self {
            app,
            address,
            metrics,
            io,
            stop_serving,
            serving,
            stop_writing,
            writing,
            background,
            journal,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves `/metrics`, if that is elsewhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|metrics| metrics.address)
    }

    /// Ends every call, lets clients go in a way that makes them come back, writes what is left of the history.
    /// Takes at most `SHUTDOWN_TIMEOUT`.
    pub async fn stop(self) {
        let time = self.app.config.shutdown_timeout;
        let deadline = Instant::now() + time - (time / 10).min(Duration::from_secs(1));
        let (calls, users) = (self.app.live.active_calls(), self.app.live.active_users());
        tracing::info!(calls, users, "shutting down");
        // From here on probes hear that the server is not ready, and no client may come back to it.
        self.app.draining.store(true, Ordering::Relaxed);
        self.app.live.hand_over(time / 4).await;
        self.app.live.shut_down();
        self.app.live.flushed().await;
        self.app.live.say_goodbye().await;
        if users > 0 {
            tokio::time::sleep(FAREWELL.min(time / 4)).await;
        }
        // An Engine.IO close, not a Socket.IO disconnect: after it, the official client connects again by itself.
        // Bounded: a client that does not read keeps it waiting until the connections are cut below.
        let _ = timeout(FAREWELL.min(time / 4), self.io.close()).await;
        self.stop_serving.cancel();
        let _ = timeout_at(deadline, self.serving).await;
        self.background.iter().for_each(JoinHandle::abort);
        self.stop_writing.cancel();
        if timeout_at(deadline, self.writing).await.is_err() {
            tracing::error!(
                rows = self.journal.depth(),
                "the database is away: the last of the history is lost"
            );
        }
        let _ = timeout_at(deadline, self.app.pool.close()).await;
        // Last of all: how it ends should be seen.
        if let Some(metrics) = self.metrics {
            metrics.stop.cancel();
            let _ = timeout_at(deadline, metrics.serving).await;
        }
        tracing::info!("stopped");
    }
}

/// What would keep a server from starting, as far as that can be told without starting one: neither port nor database is
/// touched. Good settings may still be worth a note.
pub fn preflight(config: &Config) -> Result<Vec<String>, StartError> {
    let mut notes = Vec::new();
    telemetry::filter(&config.log_filter)?;
    if let Some(url) = &config.database_url {
        pool::address(url)?;
    }
    if let Some(files) = &config.tls {
        notes.extend(read_pair(files)?.note(Clock::machine().now().wall));
    } else if config.env == AppEnv::Production && config.trusted_proxies.is_empty() {
        let problem = "is empty, and there is no TLS_CERT: behind a reverse proxy all clients would share one address and its limits";
        notes.push(format!("TRUSTED_PROXIES {problem}"));
    }
    if !config.web_root.join("index.html").is_file() {
        let root = config.web_root.display();
        notes.push(format!("WEB_ROOT {root} has no index.html: a page says how to build it"));
    }
    Ok(notes)
}

/// What runs beside requests.
fn beside(app: &Arc<App>, sockets: Arc<Sockets>, tls: Option<&Arc<Tls>>) -> Vec<JoinHandle<()>> {
    let (deadlines, presence) = (Arc::clone(&app.live), Arc::clone(&app.live));
    let mut running = vec![
        tokio::spawn(Arc::clone(app).upkeep()),
        tokio::spawn(async move { sockets.reap().await }),
        tokio::spawn(async move { deadlines.serve_deadlines().await }),
        tokio::spawn(async move { tokio::join!(presence.announce_deltas(), presence.announce_lists()).0 }),
    ];
    running.extend(tls.map(|tls| tokio::spawn(Arc::clone(tls).follow(app.clock.clone()))));
    running
}

/// How long a new node waits for the others to say what is on them.
const MEETING: Duration = Duration::from_secs(5);

async fn enter_cluster(
    redis: Option<&SecretString>,
    node: NodeId,
    clock: &Clock,
) -> Result<Option<(Arc<Cluster>, Tasks)>, StartError> {
    let Some(redis) = redis else { return Ok(None) };
    let entered = Cluster::enter(redis, node, clock.clone()).await;
    let entered = entered.map_err(|error| format!("REDIS_URL: cannot use this Redis: {error}"))?;
    tracing::info!(%node, "one of several nodes");
    Ok(Some(entered))
}

fn live(
    config: &Config,
    node: NodeId,
    clock: Clock,
    journal: Journal,
    sink: Arc<Outbox>,
    calls: metrics::Calls,
    cluster: Option<Arc<Cluster>>,
) -> Arc<Live> {
    let rules = Rules { ring_timeout: config.ring_timeout, reconnect_grace: config.reconnect_grace };
    let live = Live::new(node, clock, rules, call_rate(config.call_rate_per_minute), journal, sink, calls);
    Arc::new(match cluster {
        Some(cluster) => live.among(cluster),
        None => live,
    })
}

fn coroner(cluster: &Arc<Cluster>) -> Coroner {
    let cluster = Arc::clone(cluster);
    Box::new(move |calls| {
        let cluster = Arc::clone(&cluster);
        Box::pin(async move { cluster.dead_among(&calls).await.ok().flatten() })
    })
}

/// Says what is here and hears what is on the others, before clients are let in.
async fn meet_others(app: &Arc<App>, tasks: Option<Tasks>) -> Result<Vec<JoinHandle<()>>, StartError> {
    let Some(Tasks { outgoing, incoming, mut members, pulse, news }) = tasks else { return Ok(Vec::new()) };
    let others = members.enter().await?;
    let (live, counting) = (Arc::clone(&app.live), Arc::downgrade(app));
    live.count_by(move |counted| {
        if let Some(app) = counting.upgrade() {
            app.count(&counted);
        }
    });
    let following = Arc::clone(&live);
    let running = vec![
        tokio::spawn(pulse.feel()),
        tokio::spawn(outgoing.run()),
        tokio::spawn(incoming.run()),
        tokio::spawn(members.run()),
        tokio::spawn(async move { following.follow_nodes(news).await }),
    ];
    live.meet(&others, MEETING).await;
    Ok(running)
}

/// `METRICS_ADDR`
struct MetricsPort {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl MetricsPort {
    fn serve(listener: TcpListener, app: &Arc<App>) -> Result<Self, StartError> {
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let few = Limits { max_connections: 100, max_per_address: 100, ..Limits::default() };
        let service = http::metrics::apart(Arc::clone(app));
        let serving =
            server::serve(listener, None, service, Registry::new(few), stop.clone(), Duration::ZERO);
        tracing::info!(%address, "metrics are served");
        Ok(Self { address, stop, serving: tokio::spawn(serving) })
    }
}

/// A client that takes nothing is gone no later than one that says nothing: its end waits for what it does not take.
fn limits(config: &Config) -> Limits {
    let session_life = config.ping_interval + config.ping_timeout;
    let user_timeout = Limits::default().user_timeout.min(session_life);
    Limits { exempt: config.trusted_proxies.clone(), session_life, user_timeout, ..Limits::default() }
}

/// The allowance of one user: a third of a minute's worth at once.
fn call_rate(per_minute: u32) -> Option<Rate> {
    (per_minute > 0)
        .then(|| Rate { burst: (per_minute / 3).max(1), period: Duration::from_mins(1) / per_minute })
}
